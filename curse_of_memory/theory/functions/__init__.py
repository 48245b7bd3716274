"""Functions of time: memories and weights, read as formulas, evaluated and integrated."""
