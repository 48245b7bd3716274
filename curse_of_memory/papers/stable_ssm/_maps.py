"""The maps f of StableSSM (2311.14495) as its figures show them: names, formulas, and one step with them."""

from functools import cache

import numpy as np

from curse_of_memory.theory.reparameterization import Reparameterization, get

__all__ = ["GROWING", "label_of", "map_of", "stepped"]

FORMULAS = {
    "direct": "$f=w$",
    "relu": r"$f=-\max(w,0)$",
    "softplus": r"$f=-\log(1+e^w)$",
    "exp": "$f=-e^w$",
    "tanh": r"$z=\tanh w$",
    "best": r"$f=-1/(w^2+\frac{1}{2})$",
}
GROWING = "direct, growing start"
"""Name of the rows with the map "direct" whose modes grow at the start, as in the public code."""


def map_of(kind: str) -> str:
    """Return the name of the map f that rows of this `kind` have: "direct" for both of its starts."""
    return "direct" if kind == GROWING else kind


def label_of(kind: str) -> str:
    """Return `kind` with the formula of its map, if it is the name of a map with a known formula."""
    return f"{kind}, {FORMULAS[kind]}" if kind in FORMULAS else kind


@cache
def stepped(name: str) -> Reparameterization:
    """Return the multiplier e^{f(w)} of a step of length one, for f of continuous time.

    With it a diagonal linear RNN, which is a linear SSM of real modes, has the memory Σ cᵢ uᵢ e^{f(wᵢ) s} of
    the theory at whole times s.

    Parameters
    ----------
    name : str
        f, one of continuous time.

    Raises
    ------
    ValueError
        For an unknown name, or a map of discrete time.

    Examples
    --------
    >>> round(float(stepped("exp").f(np.array(0.0))), 6)  # e^{−1}
    0.367879
    """
    f = get(name)
    if f.time != "continuous":
        raise ValueError(f"name must be of a map of continuous time, got {name!r}")
    low, high = np.exp(f.image)
    slope, free = f.slope, f.free
    return Reparameterization(
        f"e^{name}",
        lambda x, w: -x.expm1(f.definition(x, w)),
        slope=None if slope is None else lambda x, w: slope(x, w) * x.exp(f.definition(x, w)),
        time="discrete",
        free=None if free is None else lambda x, gap: free(x, x.log1p(-gap)),
        image=(float(low), float(high)),
    )
