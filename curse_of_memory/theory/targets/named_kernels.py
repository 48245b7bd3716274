"""The memory functions of IAT (2305.19190), of its paper and of its public code, by name."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import sympy

from curse_of_memory.theory.targets.families import airy, exponential, polynomial, shift, sine, two_parts
from curse_of_memory.theory.targets.target import Target, t
from curse_of_memory.tools import checks

__all__ = ["NAMED", "named"]


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
"""The memory functions of IAT (2305.19190): of its figures 1 and 2, and of its public code, which differs."""


def named(name: str) -> Target:
    """Return the memory function that a paper or its public code uses, from :data:`NAMED`.

    Parameters
    ----------
    name : str
        One of the keys of :data:`NAMED`.

    Raises
    ------
    ValueError
        For another name; the message lists all names, and the nearest.

    Examples
    --------
    >>> named("iat-paper-exponential").formula
    (9/10)**t
    """
    return NAMED[checks.one_of("name", name, NAMED)]
