"""Memories of diagonal linear recurrences, and their action on whole sequences.

Equation.   K_s = Σ_n c_n z_n^s,   s = 0 … T − 1      (for conjugate pairs 2 Re Σ over one of each pair),
            y_k = Σ_{s <= k} K_s x_{k−s} .

Algorithm.  With s = q L + r, z^s = (z^L)^q z^r: per channel, the Vandermonde product is one of a (T/L × n)
and an (n × L) matrix. L ≈ √T makes both small: memory O(channels · n √T) in place of O(channels · n · T), and
the work is one real matrix product, Re(A B) = Re A Re B − Im A Im B. The sum over s is a product of spectra
of length 2T, so that nothing wraps around.
"""

import math

import torch
from scipy.fft import next_fast_len
from torch import Tensor

__all__ = ["causal_convolution", "modal_kernel", "modal_kernel_plain"]


def modal_kernel_plain(
    multipliers: Tensor, coefficients: Tensor, horizon: int, *, pairs: bool = False
) -> Tensor:
    """Return what :func:`modal_kernel` returns, with the Vandermonde matrix written out.

    The plain form for the same `multipliers`, `coefficients`, `horizon`, `pairs`; the fast one must equal it.
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
    fine = multipliers[..., None] ** torch.arange(block, device=multipliers.device)
    coarse = multipliers[..., None, :] ** (
        block * torch.arange(-(-horizon // block), device=multipliers.device)[:, None]
    )
    coarse = coefficients[..., None, :] * coarse
    kernel = 2 * _real_part(coarse, fine) if pairs else coarse @ fine
    return kernel.flatten(-2)[..., :horizon]


def _real_part(left: Tensor, right: Tensor) -> Tensor:
    """Return Re(left @ right) as one real product."""
    return torch.cat([left.real, -left.imag], -1) @ torch.cat([right.real, right.imag], -2)


def causal_convolution(kernel: Tensor, x: Tensor) -> Tensor:
    """Return y_k = Σ_{s <= k} K_s x_{k−s}, channel by channel.

    Parameters
    ----------
    kernel : Tensor of shape ``(channel, time)``
        K; real.
    x : Tensor of shape ``(batch, time, channel)``
        Inputs, as many steps as the kernel.

    Returns
    -------
    Tensor of shape ``(batch, time, channel)``
        The sum has the rounding errors of an FFT: about eps log T times the largest of ‖K‖₂‖x‖₂.

    Raises
    ------
    ValueError
        If the shapes do not agree.

    Examples
    --------
    >>> delay = torch.tensor([[0.0, 1.0, 0.0]])
    >>> causal_convolution(delay, torch.tensor([[[5.0], [6.0], [7.0]]])).flatten().round().abs()
    tensor([0., 5., 6.])
    """
    if x.ndim != 3 or kernel.shape != (x.shape[2], x.shape[1]):
        raise ValueError(
            "x must have shape (batch, time, channel) and kernel (channel, time), "
            f"got {tuple(x.shape)} and {tuple(kernel.shape)}"
        )
    time = x.shape[1]
    if time == 0:
        return x.clone()
    length = next_fast_len(2 * time - 1, real=True)
    spectrum = torch.fft.rfft(x.mT, length) * torch.fft.rfft(kernel, length)
    return torch.fft.irfft(spectrum, length)[..., :time].mT
