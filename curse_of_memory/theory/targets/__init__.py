"""Memory functions ρ(t): families in closed form, your own, and those of papers and their code by name.

>>> rho = polynomial(exponent=1.5)
>>> float(rho(3.0)), float(rho.tail(3.0)), rho.norm(1)
(0.125, 1.0, 2.0)
"""

from curse_of_memory.theory.targets.custom_targets import exponential_sum, from_callable, from_formula
from curse_of_memory.theory.targets.decays import Decay
from curse_of_memory.theory.targets.families import airy, exponential, polynomial, shift, sine, two_parts
from curse_of_memory.theory.targets.named_kernels import NAMED, named
from curse_of_memory.theory.targets.target import Target, t

__all__ = [
    "NAMED",
    "Decay",
    "Target",
    "airy",
    "exponential",
    "exponential_sum",
    "from_callable",
    "from_formula",
    "named",
    "polynomial",
    "shift",
    "sine",
    "t",
    "two_parts",
]
