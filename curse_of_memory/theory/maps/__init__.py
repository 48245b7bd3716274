"""Maps from free weights to recurrent weights, for numpy, torch and sympy alike."""
