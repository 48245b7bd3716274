"""Modal kernels K_s = Σ_n c_n z_n^s: the memories of diagonal linear recurrences.

Equation.   K_s = Σ_n c_n z_n^s,   s = 0 … T − 1      (for conjugate pairs 2 Re Σ over one of each pair).

Algorithm.  With s = q L + r, z^s = (z^L)^q z^r: per channel, the Vandermonde product is one of a (T/L × n)
and an (n × L) matrix. L ≈ √T makes both small: memory O(channels · n √T) in place of O(channels · n · T), and
the work is one real matrix product, Re(A B) = Re A Re B − Im A Im B. What the kernel does to sequences is the
matter of ``linear.convolution``.
"""

import math

import torch
from torch import Tensor

__all__ = ["modal_kernel", "naive_modal_kernel"]


def naive_modal_kernel(
    multipliers: Tensor, coefficients: Tensor, horizon: int, *, pairs: bool = False
) -> Tensor:
    """Return what :func:`modal_kernel` returns, by the whole Vandermonde matrix.

    The naive form for the same `multipliers`, `coefficients`, `horizon`, `pairs`; the fast one must equal it.
    """
    powers = multipliers[..., None] ** torch.arange(horizon, device=multipliers.device)
    kernel = (coefficients[..., None] * powers).sum(-2)
    return 2 * kernel.real if pairs else kernel


def modal_kernel(multipliers: Tensor, coefficients: Tensor, horizon: int, *, pairs: bool = False) -> Tensor:
    """Return K_s = Σ_n c_n z_n^s without ever holding all powers of all modes.

    Parameters
    ----------
    multipliers, coefficients : Tensor of shape ``(..., modes)``
        z and c, real or complex; the leading dimensions broadcast.
    horizon : int
        T, number of lags.
    pairs : bool
        Each complex mode stands for itself and its conjugate: K = 2 Re Σ, a real kernel.

    Returns
    -------
    Tensor of shape ``(..., horizon)``
        Real for real modes and for pairs, else complex. Differentiable in both.

    Raises
    ------
    ValueError
        If `horizon` is below one, or pairs are asked of real modes.

    Examples
    --------
    >>> modal_kernel(torch.tensor([0.5]), torch.tensor([8.0]), 4).tolist()
    [8.0, 4.0, 2.0, 1.0]
    """
    if horizon < 1:
        raise ValueError(f"horizon must be at least 1, got {horizon!r}")
    if pairs and not (multipliers.is_complex() and coefficients.is_complex()):
        raise ValueError("pairs needs complex multipliers and coefficients: a real mode has no conjugate")
    block = math.isqrt(horizon - 1) + 1
    powers = _powers(multipliers, block + 1)
    fine, coarse = powers[..., :block], _powers(powers[..., block], -(-horizon // block)).mT
    coarse = coefficients[..., None, :] * coarse
    kernel = 2 * _real_part(coarse, fine) if pairs else coarse @ fine
    return kernel.flatten(-2)[..., :horizon]


def _powers(z: Tensor, count: int) -> Tensor:
    """Return z⁰ … z^{count − 1} in a new last dimension: each pass multiplies those there are by the next.

    A power z^s has the rounding errors of s products at most, as the recurrence has them.
    """
    powers, following = torch.ones_like(z)[..., None], z[..., None]
    while (known := powers.shape[-1]) < count:
        powers = torch.cat([powers, powers[..., : count - known] * following], -1)
        following = following.square()
    return powers


def _real_part(left: Tensor, right: Tensor) -> Tensor:
    """Return Re(left @ right) as one real product."""
    return torch.cat([left.real, -left.imag], -1) @ torch.cat([right.real, right.imag], -2)
