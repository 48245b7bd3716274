"""Causal convolutions of whole sequences by FFT, channel by channel, with their derivatives.

Equations.  Three sums over lags, of a kernel K and sequences x and g, each channel by itself:

                convolution   y_k = Σ_{s <= k} K_s x_{k−s} ,
                its adjoint   r_k = Σ_{s} K_s x_{k+s} ,
                correlation   C_s = Σ_{sequences} Σ_k x_k g_{k+s} .

Algorithm.  Products of spectra of length 2T, so that nothing wraps around: K̂ x̂, conj(K̂) x̂ and Σ conj(x̂) ĝ.
            A few sequences at a time, whose spectra stay in the cache: the memory needed is that of the
            results and a workspace that does not grow with the batch or the channels.

Gradient.   Each sum is bilinear, and its derivatives are among the three: of the convolution, ∂/∂K is the
            correlation of x and ∂/∂y, and ∂/∂x the adjoint of ∂/∂y. Nothing but the arguments is kept;
            spectra are computed again.
"""

from collections.abc import Iterator

import torch
from scipy.fft import next_fast_len
from torch import Tensor

__all__ = ["fft_convolution"]

# numbers of one workspace, of which three are in use: about what caches hold
AT_ONCE = {"cpu": 1 << 19, "cuda": 1 << 26}
# fewer transforms at a time cost more for their preparation than for the transforms
FEWEST = 8


def fft_convolution(kernel: Tensor, x: Tensor) -> Tensor:
    """Return the causal convolution y_k = Σ_{s <= k} K_s x_{k−s} of every channel, by FFT.

    Parameters
    ----------
    kernel : Tensor of shape ``(channel, time)``
        K; real.
    x : Tensor of shape ``(batch, time, channel)``
        Inputs of the dtype of `kernel`, as many steps as the kernel.

    Returns
    -------
    Tensor of shape ``(batch, time, channel)``
        The sum has the rounding errors of an FFT: about eps log T times the largest of ‖K‖₂‖x‖₂.
        Differentiable, to any order, in both, and under ``torch.func``.

    Raises
    ------
    ValueError, TypeError
        If the shapes or dtypes do not agree.

    Examples
    --------
    >>> delay = torch.tensor([[0.0, 1.0, 0.0]])
    >>> fft_convolution(delay, torch.tensor([[[5.0], [6.0], [7.0]]])).flatten().round().abs()
    tensor([0., 5., 6.])
    """
    if x.ndim != 3 or kernel.shape != (x.shape[2], x.shape[1]):
        raise ValueError(
            "x must have shape (batch, time, channel) and kernel (channel, time), "
            f"got {tuple(x.shape)} and {tuple(kernel.shape)}"
        )
    if kernel.dtype != x.dtype or not x.is_floating_point():
        raise TypeError(f"kernel and x must share a real dtype, got {kernel.dtype} and {x.dtype}")
    convolve = _convolution_operator if torch.compiler.is_compiling() else _Convolution.apply
    return convolve(kernel, x, False)


class _Convolution(torch.autograd.Function):
    """The convolution of K and x, or its adjoint."""

    @staticmethod
    def forward(kernel: Tensor, x: Tensor, adjoint: bool) -> Tensor:
        return _convolved(kernel, x, adjoint)

    @staticmethod
    def setup_context(ctx, inputs, output):
        kernel, x, ctx.adjoint = inputs
        ctx.save_for_backward(kernel, x)
        ctx.save_for_forward(kernel, x)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return _convolution_adjoints(_Convolution.apply, _Correlation.apply, ctx, gradient)

    @staticmethod
    def jvp(ctx, along_kernel: Tensor, along_x: Tensor, _) -> Tensor:
        kernel, x = ctx.saved_tensors
        return _Convolution.apply(along_kernel, x, ctx.adjoint) + _Convolution.apply(
            kernel, along_x, ctx.adjoint
        )

    @staticmethod
    def vmap(info, in_dims, kernel, x, adjoint):
        if in_dims[0] is None:  # more sequences of the same channels
            x = x.movedim(in_dims[1], 0)
            return _Convolution.apply(kernel, x.flatten(0, 1), adjoint).unflatten(0, x.shape[:2]), 0
        x = _as_channels(x, in_dims[1], info.batch_size)
        y = _Convolution.apply(kernel.movedim(in_dims[0], 0).flatten(0, 1), x, adjoint)
        return y.unflatten(2, (info.batch_size, -1)), 2


class _Correlation(torch.autograd.Function):
    """C_s = Σ_{sequences} Σ_k x_k g_{k+s} of sequences x and g: ``(channel, time)``."""

    @staticmethod
    def forward(x: Tensor, g: Tensor) -> Tensor:
        return _correlated(x, g)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return _correlation_adjoints(_Convolution.apply, ctx, gradient)

    @staticmethod
    def jvp(ctx, along_x: Tensor, along_g: Tensor) -> Tensor:
        x, g = ctx.saved_tensors
        return _Correlation.apply(along_x, g) + _Correlation.apply(x, along_g)

    @staticmethod
    def vmap(info, in_dims, x, g):
        wide = [_as_channels(t, dim, info.batch_size) for t, dim in zip((x, g), in_dims, strict=True)]
        return _Correlation.apply(*wide).unflatten(0, (info.batch_size, -1)), 0


def _convolved(kernel: Tensor, x: Tensor, adjoint: bool) -> Tensor:
    time, length = _lengths(x)
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    for channels, batches in _parts(x, length):
        spectrum = torch.fft.rfft(kernel[channels], length)
        if adjoint:
            spectrum = spectrum.conj().resolve_conj()
        for some in batches:
            product = torch.fft.rfft(x[some, :, channels].mT, length).mul_(spectrum)
            y[some, :, channels].mT.copy_(torch.fft.irfft(product, length)[..., :time])
    return y


def _correlated(x: Tensor, g: Tensor) -> Tensor:
    time, length = _lengths(x)
    correlation = x.new_empty(x.shape[2], time)
    for channels, batches in _parts(x, length):
        total = x.new_zeros(correlation[channels].shape[0], length // 2 + 1, dtype=x.dtype.to_complex())
        for some in batches:
            left = torch.fft.rfft(x[some, :, channels].mT, length)
            right = torch.fft.rfft(g[some, :, channels].mT, length)
            total += right.mul_(left.conj_physical_()).sum(0)
        correlation[channels] = torch.fft.irfft(total, length)[..., :time]
    return correlation


def _convolution_adjoints(convolve, correlate, ctx, gradient: Tensor):
    """Return the derivatives by K and x, made of other sums."""
    kernel, x = ctx.saved_tensors
    for_kernel = for_x = None
    if ctx.needs_input_grad[0]:
        for_kernel = correlate(*((gradient, x) if ctx.adjoint else (x, gradient)))
    if ctx.needs_input_grad[1]:
        for_x = convolve(kernel, gradient, not ctx.adjoint)
    return for_kernel, for_x, None


def _correlation_adjoints(convolve, ctx, gradient: Tensor):
    """Return the derivatives by both sequences."""
    x, g = ctx.saved_tensors
    for_x = convolve(gradient, g, True) if ctx.needs_input_grad[0] else None
    for_g = convolve(gradient, x, False) if ctx.needs_input_grad[1] else None
    return for_x, for_g


# For torch's compilers, which would write out all pieces: operators, of which they know the shapes.


@torch.library.custom_op("curse_of_memory::causal_convolution", mutates_args=())
def _convolution_operator(kernel: Tensor, x: Tensor, adjoint: bool) -> Tensor:
    return _convolved(kernel, x, adjoint)


@_convolution_operator.register_fake
def _(kernel: Tensor, x: Tensor, adjoint: bool) -> Tensor:
    return x.new_empty(x.shape)


@torch.library.custom_op("curse_of_memory::causal_correlation", mutates_args=())
def _correlation_operator(x: Tensor, g: Tensor) -> Tensor:
    return _correlated(x, g)


@_correlation_operator.register_fake
def _(x: Tensor, g: Tensor) -> Tensor:
    return x.new_empty(x.shape[2], x.shape[1])


def _keep(ctx, inputs, output):
    ctx.save_for_backward(*inputs[:2])
    ctx.adjoint = inputs[-1]


_convolution_operator.register_autograd(
    lambda ctx, g: _convolution_adjoints(_convolution_operator, _correlation_operator, ctx, g),
    setup_context=_keep,
)
_correlation_operator.register_autograd(
    lambda ctx, g: _correlation_adjoints(_convolution_operator, ctx, g), setup_context=_keep
)


def _lengths(x: Tensor) -> tuple[int, int]:
    """Return the number of steps, and of points of a transform in which a convolution does not wrap."""
    length = next_fast_len(max(1, 2 * x.shape[1] - 1), real=True)
    assert length is not None  # scipy's stubs allow for a number that is none
    return x.shape[1], length


def _parts(x: Tensor, length: int) -> Iterator[tuple[slice, list[slice]]]:
    """Yield groups of channels, each with groups of the batch: a workspace full of sequences at a time."""
    batch, time, channels = x.shape
    sequences = max(FEWEST, AT_ONCE.get(x.device.type, AT_ONCE["cpu"]) // length)
    wide = max(1, min(channels, sequences))
    rows = max(1, sequences // wide)
    for start in range(0, channels if time else 0, wide):
        yield slice(start, start + wide), [slice(b, b + rows) for b in range(0, batch, rows)]


def _as_channels(t: Tensor, dim: int | None, copies: int) -> Tensor:
    """Return sequences of which `dim` numbers copies as sequences with so many times the channels."""
    wide = t[None].expand(copies, *t.shape) if dim is None else t.movedim(dim, 0)
    return wide.movedim(0, 2).flatten(2)
