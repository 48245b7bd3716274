"""Powers of two as units: division by one changes no digit, and its quotients can be squared safely."""

import math

__all__ = ["power_of_two"]


def power_of_two(value: float) -> float:
    """Return the largest power of two that is at most `value` > 0; 1 for 0.

    Examples
    --------
    >>> power_of_two(5.0), power_of_two(0.3)
    (4.0, 0.25)
    """
    return math.ldexp(1.0, max(math.frexp(value)[1] - 1, -1022)) if value else 1.0
