"""How a free weight becomes a recurrent weight: λ = f(w)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["PARAMETERIZATIONS", "Parameterization"]


@dataclass(frozen=True)
class Parameterization:
    """The map f from a free weight w to a recurrent weight, element by element.

    Attributes
    ----------
    name : str
        The name in :data:`PARAMETERIZATIONS`.
    f : callable
        ``Tensor -> Tensor``, λ = f(w), in 1 / time.
    inverse : callable
        ``Tensor -> Tensor``, w = f⁻¹(λ).
    always_negative : bool
        Whether f(w) < 0 for every w, so that no change of w makes dh/dt = f(w) h unstable.

    Notes
    -----
    Stable reparameterisation, "Inverse approximation theory" (2305.19190) and "StableSSM" (2311.14495):
    f(w) = −eʷ or −log(1 + eʷ); *direct* is f(w) = w.
    """

    name: str
    f: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]
    always_negative: bool


def _softplus_inverse(rate: Tensor) -> Tensor:
    # log(e^r - 1) written so that neither a large nor a small rate r loses digits
    return rate + torch.log(-torch.expm1(-rate))


PARAMETERIZATIONS: dict[str, Parameterization] = {
    p.name: p
    for p in (
        Parameterization("direct", lambda w: w, lambda lam: lam, always_negative=False),
        Parameterization(
            "softplus",
            lambda w: -torch.nn.functional.softplus(w, threshold=40),  # the default 20 costs 6 digits
            lambda lam: _softplus_inverse(-lam),
            always_negative=True,
        ),
        Parameterization("exp", lambda w: -torch.exp(w), lambda lam: torch.log(-lam), always_negative=True),
    )
}
"""The recurrent weights of the papers by name: ``direct``, ``softplus``, ``exp``."""
