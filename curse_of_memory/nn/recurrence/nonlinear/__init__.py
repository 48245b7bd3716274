"""Nonlinear recurrences: cells, compiled loops, and the naive loop that they must equal."""
