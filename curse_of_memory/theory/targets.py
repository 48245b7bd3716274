"""Memory functions ρ: families, your own, and the kernels that papers and public code use, by name.

>>> rho = polynomial(exponent=1.5)
>>> float(rho(3.0)), float(rho.tail(3.0)), rho.norm(1)
(0.125, 1.0, 2.0)
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import sympy

from curse_of_memory import checks
from curse_of_memory.theory.functions.custom_targets import exponential_sum, from_callable, from_formula
from curse_of_memory.theory.functions.families import airy, exponential, polynomial, shift, sine, two_parts
from curse_of_memory.theory.functions.target import Decay, Target, t

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


def _named() -> Iterator[tuple[str, Target]]:
    nine_tenths = dataclasses.replace(exponential(-math.log(0.9)), formula=sympy.Rational(9, 10) ** t)
    yield "iat-paper-exponential", nine_tenths
    yield "iat-paper-polynomial", polynomial(1.1)
    yield "iat-paper-polynomial-nonlinear", polynomial(1.5)
    yield "iat-code-exponential", exponential()
    yield "iat-code-polynomial", polynomial(1.1, rate=0.1)
    yield "iat-code-shift", shift()
    yield "iat-code-two-parts", two_parts()
    yield "iat-code-airy", airy()
    yield "iat-code-sine", sine()


NAMED: Mapping[str, Target] = MappingProxyType(
    {name: dataclasses.replace(rho, name=name) for name, rho in _named()}
)
"""The kernels of IAT (2305.19190): figures 1 and 2 of the paper, and its public code, which differs."""


def named(name: str) -> Target:
    """Return the kernel that a paper or its public code uses.

    Parameters
    ----------
    name : str
        One of the keys of :data:`NAMED`.

    Raises
    ------
    ValueError
        If there is no such kernel; names them all, and the nearest.

    Examples
    --------
    >>> named("iat-paper-exponential").formula
    (9/10)**t
    """
    return NAMED[checks.one_of("name", name, NAMED)]
