"""The exact expected loss of a linear model on a linear task, and training on it."""
