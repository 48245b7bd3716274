"""The reparameterisations λ = f(w) of the papers and their public code by name, and a registry for more.

>>> chosen = REPARAMETERIZATIONS["best"]
>>> chosen.formula, chosen.is_stable, round(chosen.g(0.1), 4)
(-1/(w**2 + 1/2), True, 0.1518)
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Unpack

from curse_of_memory.theory.reparameterization.weight_map import (
    REALS,
    Formula,
    MapOptions,
    Reparameterization,
)
from curse_of_memory.tools import checks

__all__ = ["REPARAMETERIZATIONS", "Registry", "Reparameterization", "best", "get"]

_POSITIVE = (0.0, math.inf)
_MULTIPLIERS = (-1.0, 1.0)


class Registry(Mapping[str, Reparameterization]):
    """Reparameterisations by name: read like a dict, extended by :meth:`add`.

    Parameters
    ----------
    members : iterable of Reparameterization
        The first ones, which cannot be replaced.

    Examples
    --------
    >>> mine = Registry([Reparameterization("exp", lambda x, w: -x.exp(w), modulus=math.expm1)])
    >>> _ = mine.add("quartic", lambda x, w: -(w**4) - 1)
    >>> list(mine), mine["quartic"].is_stable
    (['exp', 'quartic'], True)
    """

    def __init__(self, members: Iterable[Reparameterization] = ()):
        self._members = {member.name: member for member in members}
        self._fixed = frozenset(self._members)

    def __getitem__(self, name: str) -> Reparameterization:
        """Return the reparameterisation called `name`; a KeyError lists the known ones."""
        if name in self._members:
            return self._members[name]
        listing = ", ".join(repr(known) for known in self._members)
        raise KeyError(f"{name!r} is none of {listing}{checks.near_match(name, self._members)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    @property
    def added(self) -> dict[str, Reparameterization]:
        """Those that have been added, by name."""
        return {name: member for name, member in self._members.items() if name not in self._fixed}

    def add(self, name: str, definition: Formula, **options: Unpack[MapOptions]) -> Reparameterization:
        """Add ``Reparameterization(name, definition, **options)`` and return it.

        One that was added before is replaced, so that a notebook cell can be run again.

        Raises
        ------
        ValueError
            If `name` was there from the start; and what `Reparameterization` raises for its arguments.
        """
        if name in self._fixed:
            raise ValueError(f"name must be new, but {name!r} is one of the papers' reparameterisations")
        self._members[name] = Reparameterization(name, definition, **options)
        return self._members[name]


def best(a: float = 1.0, b: float = 0.5, name: str = "best") -> Reparameterization:
    """Return f(w) = −1/(a w² + b), whose gradient-over-weight ratio |f'(w)|/f(w)² is 2a |w|.

    The bound of the gradient is then proportional to the weight (StableSSM (2311.14495)). Rates above 1/b
    cannot be represented: memories last at least b time units.

    Parameters
    ----------
    a, b : float
        > 0; the paper has a = 1, b = 1/2, its public code b = 1/10.
    name : str
        What tables call it.

    Examples
    --------
    >>> round(best().g(1.0), 3)
    2.732
    """
    a, b = checks.positive("a", a), checks.positive("b", b)

    def g(beta):
        square = a * beta * beta
        return (square + math.sqrt(square * square + 4 * b * square)) / (2 * b)

    def definition(x, w):
        return -1 / (a * w * w + b)

    return Reparameterization(
        name,
        definition,
        slope=lambda x, w: 2 * a * w * definition(x, w) ** 2,
        free=lambda x, v: x.sqrt((-1 / v - b) / a),
        image=(-1 / b, 0.0),
        modulus=g,
        ratio=lambda x, w: 2 * a * x.abs(w),
        turns=(0.0,),
    )


def _unbounded(beta: float) -> float:
    return math.inf


def _sigmoid(x, w):
    return x.exp(-x.logaddexp(x.zeros_like(w), -w))


def _softplus(x, w):
    return x.logaddexp(x.zeros_like(w), w)


def _softplus_inverse(x, rate):
    # log(e^r − 1), written so that neither a large nor a small rate r loses digits
    return rate + x.log(-x.expm1(-rate))


def _softplus_ratio(x, w):
    # below −36, log(1 + eʷ) and the sigmoid are eʷ to the last digit
    near = x.maximum(w, -36 * x.ones_like(w))
    return x.where(w < -36, x.exp(-w), _sigmoid(x, near) / _softplus(x, near) ** 2)


def _lru_ratio(x, w):
    near = x.maximum(w, -36 * x.ones_like(w))
    gap = -x.expm1(-x.exp(near))
    return x.where(w < -36, x.exp(-w), x.exp(near - x.exp(near)) / gap**2)


def _inverse_square(x, w):
    return 1 / (w * w)


_PAPERS = (
    Reparameterization(
        "direct",
        lambda x, w: w,
        slope=lambda x, w: x.ones_like(w),
        free=lambda x, v: v,
        image=REALS,
        modulus=_unbounded,
        ratio=_inverse_square,
        turns=(),
    ),
    Reparameterization(
        "softplus",
        lambda x, w: -_softplus(x, w),
        slope=lambda x, w: -_sigmoid(x, w),
        free=lambda x, v: _softplus_inverse(x, -v),
        modulus=math.expm1,  # reached as w → −∞
        ratio=_softplus_ratio,
        turns=(),
    ),
    Reparameterization(
        "exp",
        lambda x, w: -x.exp(w),
        slope=lambda x, w: -x.exp(w),
        free=lambda x, v: x.log(-v),
        modulus=math.expm1,
        ratio=lambda x, w: x.exp(-w),
        turns=(),
    ),
    Reparameterization(
        "relu",
        lambda x, w: -x.maximum(w, x.zeros_like(w)),
        slope=lambda x, w: -x.where(w > 0, x.ones_like(w), x.zeros_like(w)),
        free=lambda x, v: -v,
        modulus=_unbounded,
        ratio=lambda x, w: x.where(w > 0, 1 / (w * w), math.inf * x.ones_like(w)),
        turns=(),
    ),
    Reparameterization(
        "inverse",
        lambda x, w: -1 / w,
        slope=lambda x, w: 1 / (w * w),
        free=lambda x, v: -1 / v,
        domain=_POSITIVE,
        modulus=_unbounded,
        ratio=lambda x, w: x.ones_like(w),
        turns=(),
    ),
    best(),
    best(b=0.1, name="best-code"),
    Reparameterization(
        "direct-discrete",
        lambda x, w: 1 - w,
        time="discrete",
        slope=lambda x, w: x.ones_like(w),
        free=lambda x, v: 1 - v,
        image=REALS,
        modulus=_unbounded,
        ratio=lambda x, w: 1 / (1 - w) ** 2,
        turns=(),
    ),
    Reparameterization(
        "lru",
        lambda x, w: -x.expm1(-x.exp(w)),
        time="discrete",
        slope=lambda x, w: -x.exp(w - x.exp(w)),
        free=lambda x, v: x.log(-x.log1p(-v)),
        image=(0.0, 1.0),
        modulus=math.expm1,
        ratio=_lru_ratio,
        turns=(),
    ),
    Reparameterization(
        "softplus-discrete",
        lambda x, w: _sigmoid(x, w),
        time="discrete",
        slope=lambda x, w: -_sigmoid(x, w) * _sigmoid(x, -w),
        free=lambda x, v: x.log(v) - x.log1p(-v),
        image=(0.0, 1.0),
        modulus=math.expm1,
        ratio=lambda x, w: x.exp(-w),
        turns=(),
    ),
    Reparameterization(
        "tanh",
        lambda x, w: 2 * _sigmoid(x, -2 * w),
        time="discrete",
        slope=lambda x, w: 4 * _sigmoid(x, 2 * w) * _sigmoid(x, -2 * w),
        free=lambda x, v: (x.log1p(1 - v) - x.log(v)) / 2,
        image=_MULTIPLIERS,
        modulus=lambda beta: math.expm1(2 * beta),
        ratio=lambda x, w: x.exp(2 * w),
        turns=(),
    ),
    Reparameterization(
        "best-discrete",
        lambda x, w: 1 / (w * w + 0.5),
        time="discrete",
        slope=lambda x, w: 2 * w / (w * w + 0.5) ** 2,
        free=lambda x, v: x.sqrt(1 / v - 0.5),
        image=_MULTIPLIERS,
        modulus=_unbounded,  # w = 0 is the multiplier −1, which does not decay
        ratio=lambda x, w: 2 * x.abs(w),
        turns=(0.0,),
    ),
)

REPARAMETERIZATIONS = Registry(_PAPERS)
"""The reparameterisations of IAT (2305.19190), StableSSM (2311.14495) and their public code.

Continuous time: ``direct`` w, ``softplus`` −log(1 + eʷ), ``exp`` −eʷ, ``relu`` −max(w, 0), ``inverse`` −1/w,
``best`` −1/(w² + ½), ``best-code`` −1/(w² + 1/10). Discrete time: ``direct-discrete`` w, ``lru``
exp(−eʷ), ``softplus-discrete`` 1/(1 + eʷ), ``tanh`` tanh w, ``best-discrete`` 1 − 1/(w² + ½).
"""


def get(parameterization: str | Reparameterization) -> Reparameterization:
    """Return the reparameterisation called `parameterization`, or itself if it is one.

    Parameters
    ----------
    parameterization : str or Reparameterization
        A key of :data:`REPARAMETERIZATIONS`, or one of your own.

    Raises
    ------
    ValueError, TypeError
        If no reparameterisation has that name, or it is neither a name nor a reparameterisation.

    Examples
    --------
    >>> get("exp").name
    'exp'
    """
    if isinstance(parameterization, Reparameterization):
        return parameterization
    if not isinstance(parameterization, str):
        raise TypeError(f"parameterization must be a name or a Reparameterization, got {parameterization!r}")
    return REPARAMETERIZATIONS[checks.one_of("parameterization", parameterization, REPARAMETERIZATIONS)]
