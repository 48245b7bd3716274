"""Temporally weighted squared and absolute errors."""

import torch
from torch import Tensor

from curse_of_memory.losses._weighted import TemporallyWeighted, WithForm, error_of, steps_below, wide_dtype
from curse_of_memory.theory import bias
from curse_of_memory.tools import checks

__all__ = ["TemporallyWeightedMAE", "TemporallyWeightedMSE"]


class TemporallyWeightedMSE(WithForm):
    """Weighted squared error, mean over batch, time and channel of w_t |ŷ_t − y_t|².

    Outputs may be complex: an error then counts by its modulus, and the loss is real.

    Parameters
    ----------
    power : float
        p of the weight tᵖ, t = 1 … T; `math.inf` keeps the last step only.
    weight : Bias or callable, optional
        Any other positive weight: an object of :mod:`curse_of_memory.bias`, or a function of the
        array of steps t = 1 … T.
    reduction : {'mean', 'sum', 'none'}
        As in `torch.nn`.
    form : {'error', 'inside_square'}
        Where the weight stands. ``'error'`` is the paper's. ``'inside_square'`` is what the public
        code does, (w_t ŷ_t − w_t y_t)²: the error of step t then counts w_t², for the weight tᵖ as
        if p had been 2p, and the weights no longer have mean one.
    clock : {'own', 'batch'}
        How t runs where targets have `lengths`. ``'own'``: each has weights of mean one over its own steps
        t = 1 … T_i. ``'batch'``: all have those of t = 1 … T, the longest there may be. The mean is in either
        case the sum of what is weighed over the sum of the weights.

    Raises
    ------
    ValueError
        For an unknown form, reduction or clock, a weight that is not positive, or (when called) tensors
        that are not both ``(batch, time, channel)``, or lengths below one or above `time`.
    TypeError
        For what is no tensor, or whole numbers for `y_hat`.

    Examples
    --------
    >>> loss = TemporallyWeightedMSE(power=1)
    >>> loss(torch.ones(1, 3, 1), torch.zeros(1, 3, 1)).item()
    1.0
    >>> loss.weights(3).tolist()
    [0.5, 1.0, 1.5]
    """

    FORMS = ("error", "inside_square")

    def effective_weights(self, horizon: int, *, dtype: torch.dtype | None = None, device=None) -> Tensor:
        """Return what multiplies the squared error of each step: w_t, or w_t² inside the square."""
        w = self.weights(horizon, dtype=dtype, device=device)
        return w if self.form == "error" else w**2

    def forward(self, y_hat: Tensor, y: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the loss of `y_hat` against `y`, both ``(batch, time, channel)``.

        Of targets of differing `lengths` ``(batch,)`` nothing counts from that step on, whatever it is.
        """
        if lengths is not None:
            w, error = _ragged(self, y_hat, y, lengths)
            total = w.sum() * error.shape[2]
            return self._weighed(w if self.form == "error" else w**2, _squared(error), total)
        squares = _squared(error_of(y_hat, y))
        w = self.effective_weights(y.shape[1], dtype=wide_dtype(squares), device=squares.device)
        return self._weighed(w[:, None], squares)

    def residuals(
        self,
        kernel_error: Tensor,
        *,
        offset_error: Tensor | None = None,
        dt: float = 1.0,
        variance: float = 1.0,
        inputs: str = "white",
    ) -> Tensor:
        """Return the numbers whose squares add up to :meth:`expected`, for least-squares solvers.

        Arguments are those of :meth:`expected`; the shape is ``(..., residual)``. Complex errors give
        the real residuals of real and imaginary part, side by side.
        """
        checks.one_of("inputs", inputs, bias.INPUTS)
        checks.positive("dt", dt)
        checks.non_negative("variance", variance)
        if not isinstance(kernel_error, Tensor):
            raise TypeError(f"kernel_error must be a tensor, got {type(kernel_error).__name__}")
        if kernel_error.ndim < 3:
            shape = tuple(kernel_error.shape)
            raise ValueError(f"kernel_error must have shape (..., time, output, input), got {shape}")
        if inputs == "random_walk":
            kernel_error = kernel_error.cumsum(-3)
        horizon, outputs, _ = kernel_error.shape[-3:]
        w = self.effective_weights(horizon, dtype=_real_dtype(kernel_error), device=kernel_error.device)
        B = w.flip(0).cumsum(0).flip(0)
        scale = (variance * dt**2 * B / (horizon * outputs)).sqrt()
        residuals = (scale[:, None, None] * kernel_error).flatten(-3)
        if offset_error is not None:
            offsets = (w / (horizon * outputs)).sqrt()[:, None] * offset_error
            residuals = torch.cat([residuals, offsets.flatten(-2)], -1)
        return torch.view_as_real(residuals).flatten(-2) if residuals.is_complex() else residuals

    def expected(
        self,
        kernel_error: Tensor,
        *,
        offset_error: Tensor | None = None,
        dt: float = 1.0,
        variance: float = 1.0,
        inputs: str = "white",
    ) -> Tensor:
        """Return the expected loss of a linear model on a linear target, without data.

        E = variance · dt² · (1/T) Σ_s B_s |Δρ_s|² + (1/T) Σ_t w_t |Δμ_t|²,  B_s = Σ_{t>s} w_t,

        for ŷ_k − y_k = dt Σ_s Δρ_s x_{k−s} + Δμ_k; the mean over outputs, the sum over inputs.
        It is differentiable.

        Parameters
        ----------
        kernel_error : Tensor of shape ``(..., time, output, input)``
            Δρ_s = ρ̂_s − ρ_s, densities per unit time.
        offset_error : Tensor of shape ``(..., time, output)``, optional
            Δμ_k, the part of the error that does not depend on the input.
        dt : float
            Time step.
        variance : float
            Variance of the independent steps ξ: of each input (white), or of each increment of it.
        inputs : {'white', 'random_walk'}
            x_k = ξ_k, or x_k = Σ_{r≤k} ξ_r, for which cumulated kernels take the place of Δρ.

        Returns
        -------
        Tensor of shape ``(...)``

        Raises
        ------
        ValueError
            For kernels of fewer dimensions, unknown inputs, or a bad `dt` or `variance`.
        """
        residuals = self.residuals(
            kernel_error, offset_error=offset_error, dt=dt, variance=variance, inputs=inputs
        )
        return residuals.square().sum(-1)


class TemporallyWeightedMAE(TemporallyWeighted):
    """Weighted absolute error, mean over batch, time and channel of w_t |ŷ_t − y_t|, complex ones by modulus.

    A weight inside the absolute value is the same weight, so there is one form only.

    Parameters
    ----------
    power, weight, reduction, clock
        As for :class:`TemporallyWeightedMSE`, and so are the errors raised.

    Examples
    --------
    >>> loss = TemporallyWeightedMAE(power=2)
    >>> loss(torch.zeros(1, 2, 1), torch.tensor([[[0.0], [1.0]]])).item()  # w = (0.4, 1.6)
    0.800000011920929
    """

    def forward(self, y_hat: Tensor, y: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the loss of `y_hat` against `y`, both ``(batch, time, channel)``, up to their `lengths`."""
        if lengths is not None:
            w, error = _ragged(self, y_hat, y, lengths)
            return self._weighed(w, error.abs(), w.sum() * error.shape[2])
        sizes = error_of(y_hat, y).abs()
        w = self.weights(y.shape[1], dtype=wide_dtype(sizes), device=sizes.device)
        return self._weighed(w[:, None], sizes)


def _ragged(loss: TemporallyWeighted, y_hat: Tensor, y: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights ``(batch, time, 1)`` of targets of differing lengths, and errors, zero beyond them."""
    error = error_of(y_hat, y)
    counts = steps_below(lengths, *error.shape[:2]).to(error.device)
    w = loss.weights_where(counts).to(wide_dtype(error))
    # what stands beyond a length may be no number: it must not reach the gradient, either
    return w[..., None], torch.where(counts[..., None], error, 0)


def _squared(error: Tensor) -> Tensor:
    """Return |e|², which is real for complex errors, too."""
    return error.real**2 + error.imag**2 if error.is_complex() else error**2


def _real_dtype(values: Tensor) -> torch.dtype:
    return values.dtype.to_real() if values.is_complex() else values.dtype
