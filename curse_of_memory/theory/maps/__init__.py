"""Maps from free weights to recurrent weights, for numpy, torch, sympy and intervals of weights alike."""
