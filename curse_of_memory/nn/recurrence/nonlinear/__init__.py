"""Nonlinear recurrences: cells, compiled loops, and the plain loop that they must equal."""
