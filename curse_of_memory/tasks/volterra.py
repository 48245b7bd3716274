"""Volterra functionals of second order: linear and quadratic kernels of white inputs.

Equation
--------
    y_k = dt Σ_s ρ₁(s) x_{k−s} + dt² Σ_s Σ_r ρ₂(s, r) x_{k−s} x_{k−r},    0 ≤ s, r ≤ k.

Only the symmetric part K = (ρ₂ + ρ₂ᵀ)/2 counts, and K = Σ_i λ_i v_i v_iᵀ, so that

    y_k = dt (ρ₁ ∗ x)_k + dt² Σ_i λ_i (v_i ∗ x)_k²

Algorithm
---------
One eigendecomposition when the task is made; then as many FFT convolutions a batch as K has eigenvalues
that are not rounding: two for each separable term a(s) b(r), at most `horizon` for a general ρ₂. The
double sum has horizon² terms for each step.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import TypeGuard

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor

from curse_of_memory.tasks.convolution import filtered, lag_values
from curse_of_memory.tasks.sampling import WhiteInputTask, fingerprint
from curse_of_memory.theory.targets.lagged import lag_step
from curse_of_memory.tools import checks

__all__ = ["VolterraFunctional"]

Kernel = Callable[[np.ndarray], ArrayLike] | ArrayLike
Pairs = Sequence[tuple[Kernel, Kernel]]
Kernel2 = Callable[[np.ndarray, np.ndarray], ArrayLike] | ArrayLike | Pairs


class VolterraFunctional(WhiteInputTask):
    """Learn y_k = dt Σ ρ₁(s) x_{k−s} + dt² ΣΣ ρ₂(s, r) x_{k−s} x_{k−r} from white inputs x.

    Parameters
    ----------
    horizon : int
        Length T of the sequences, in steps.
    first : Target, callable or array of shape (horizon,), optional
        ρ₁, a density per unit time: evaluated at 0, dt, …, or its values there. None is no linear part.
    second : callable, array of shape (horizon, horizon), or list of pairs, optional
        ρ₂: a function of two arrays of lags s and r; its values; or pairs ``[(a, b), …]`` of kernels of one
        lag each, given as `first` is, for ρ₂(s, r) = Σ a(s) b(r). None is no quadratic part.
    dt : float, optional
        Time step; that of the lags that kernels are labelled with unless given, 1 without labels.
    variance : float
        Variance of the inputs.

    Raises
    ------
    ValueError, TypeError
        If there is no kernel at all, for kernels that are not finite or do not fit the horizon, lags that are
        not even or contradict each other or `dt`, and for bad numbers.

    Notes
    -----
    A product of two convolutions, (a ∗ x)(b ∗ x), is the pair ``(a, b)``: the terms of the Volterra series
    in "State-space models with layer-wise nonlinearity are universal approximators" (2309.13414).

    For independent normal inputs of variance σ², with K the symmetric part of ρ₂:
    E y_k = σ² dt² Σ_{s≤k} K(s, s), and Var y_k = σ² dt² Σ_{s≤k} ρ₁(s)² + 2 σ⁴ dt⁴ Σ_{s,r≤k} K(s, r)².

    Examples
    --------
    >>> import numpy as np
    >>> decay = lambda t: 0.5**t
    >>> task = VolterraFunctional(20, second=[(decay, np.ones(20))])
    >>> task.terms  # squares of convolutions that make the quadratic part
    2
    >>> task.sample(8, seed=0).targets.shape
    torch.Size([8, 20, 1])
    """

    output_size = 1

    def __init__(
        self,
        horizon: int,
        *,
        first: Kernel | None = None,
        second: Kernel2 | None = None,
        dt: float | None = None,
        variance: float = 1.0,
    ):
        super().__init__(horizon, variance=variance)
        if first is None and second is None:
            raise ValueError("give a kernel: first, second or both")
        self.dt = lag_step({"first": first} | _labelled(second), dt)
        lags = np.zeros(self.horizon) if first is None else lag_values("first", first, self.horizon, self.dt)
        self.first = lags
        values = self._second_values(second)
        self.second = (values + values.T) / 2
        eigenvalues, vectors = np.linalg.eigh(self.second)
        scale = np.abs(eigenvalues).max()
        kept = np.abs(eigenvalues) > self.horizon * np.finfo(float).eps * scale
        self._eigenvalues, self._vectors = eigenvalues[kept], vectors.T[kept]

    def __repr__(self) -> str:
        kernels = fingerprint([self.first, self.second])
        return (
            f"VolterraFunctional(kernels={kernels}, horizon={self.horizon}, dt={self.dt:g}, "
            f"variance={self.variance:g})"
        )

    @property
    def terms(self) -> int:
        """The rank of the symmetric part of ρ₂: how many squared convolutions make the quadratic part."""
        return self._eigenvalues.size

    def answer(self, x: Tensor) -> Tensor:
        """Return y ``(batch, horizon, 1)`` for inputs `x` of the same shape."""
        self._check_inputs(x)
        signal = x[..., 0]
        y = self.dt * filtered(self.first, signal)
        for eigenvalue, vector in zip(self._eigenvalues, self._vectors, strict=True):
            y = y + self.dt**2 * float(eigenvalue) * filtered(vector, signal).square()
        return y[..., None]

    def _second_values(self, second: Kernel2 | None) -> np.ndarray:
        """Return ρ₂ at all pairs of lags, ``(horizon, horizon)``."""
        T = self.horizon
        if second is None:
            return np.zeros((T, T))
        if _is_separable(second):
            if not second:
                raise ValueError("second must not be empty")
            pairs = [[lag_values("second", kernel, T, self.dt) for kernel in pair] for pair in second]
            return np.sum([np.outer(a, b) for a, b in pairs], axis=0)
        lags = self.dt * np.arange(T)
        table = second(lags[:, None].copy(), lags[None, :].copy()) if callable(second) else second
        array = checks.finite_array("second", table, ndim=2)
        if array.shape != (T, T):
            raise ValueError(
                f"second must have one value for each two lags, shape ({T}, {T}), got {array.shape}"
            )
        return array


def _is_separable(second: Kernel2 | None) -> TypeGuard[Pairs]:
    return isinstance(second, list | tuple) and all(
        isinstance(pair, tuple) and len(pair) == 2 for pair in second
    )


def _labelled(second: Kernel2 | None) -> dict:
    """Return all that may carry lags of ρ₂, by name: kernels of pairs, or the labelled axes of one array."""
    if _is_separable(second):
        return {f"second ({i})": kernel for i, kernel in enumerate(itertools.chain.from_iterable(second))}
    if isinstance(second, xr.DataArray):
        return {
            f"second ({axis})": second[axis].rename({axis: "lag"})
            for axis in second.dims
            if axis in second.coords
        }
    return {"second": second}
