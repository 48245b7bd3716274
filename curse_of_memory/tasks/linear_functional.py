"""Linear functionals y_k = dt Σ_s ρ(s dt) x_{k−s} of random inputs: what is learnt is the memory ρ."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from curse_of_memory.protocols import LinearError, LinearMemory
from curse_of_memory.tasks.convolution import filtered, lag_values
from curse_of_memory.tasks.sampling import Batch, fingerprint, placed, white_noise
from curse_of_memory.theory.bias import INPUTS
from curse_of_memory.theory.targets.lagged import lag_step
from curse_of_memory.tools import checks

__all__ = ["LinearFunctional"]


class LinearFunctional:
    """Learn the memory ρ from random sequences x and the answers y_k = dt Σ_{s≤k} ρ(s dt) x_{k−s}.

    Parameters
    ----------
    rho : Target, callable or array of shape (horizon,)
        The memory function, a density per unit time: evaluated at 0, dt, …, or its values there.
    horizon : int
        Length T of the sequences, in steps.
    dt : float, optional
        Time step; that of the lags that ρ is labelled with unless given, 1 without labels.
    inputs : {'white', 'random_walk'}
        x_k = ξ_k, or x_k = Σ_{r≤k} ξ_r, with independent normal ξ.
    variance : float
        Variance of ξ.

    Raises
    ------
    ValueError, TypeError
        For values of ρ that are not finite or do not fit the horizon, lags that are not even or contradict
        `dt`, and for bad numbers.

    Notes
    -----
    The public code of "INTEREST" and "Inverse approximation theory" leaves out the factor dt of the
    sum; at its dt = 1 that is the same.

    Examples
    --------
    >>> task = LinearFunctional(lambda t: 0.5**t, horizon=4)
    >>> task.sample(32, seed=0).targets.shape
    torch.Size([32, 4, 1])
    """

    input_size = 1
    output_size = 1

    def __init__(
        self,
        rho: Callable[[np.ndarray], ArrayLike] | ArrayLike,
        horizon: int,
        *,
        dt: float | None = None,
        inputs: str = "white",
        variance: float = 1.0,
    ):
        self.horizon = checks.positive_int("horizon", horizon)
        self.dt = lag_step({"rho": rho}, dt)
        self.inputs = checks.one_of("inputs", inputs, INPUTS)
        self.variance = checks.positive("variance", variance)
        self.rho = lag_values("rho", rho, self.horizon, self.dt)

    def __repr__(self) -> str:
        return (
            f"LinearFunctional(rho={fingerprint([self.rho])}, horizon={self.horizon}, dt={self.dt:g}, "
            f"inputs={self.inputs!r}, variance={self.variance:g})"
        )

    @property
    def kernel(self) -> Tensor:
        """The memory as a float64 tensor of shape ``(horizon, 1, 1)``, as linear models give theirs."""
        return torch.from_numpy(self.rho)[:, None, None]

    def linear_error(
        self, model: LinearMemory, parameters: Mapping[str, Tensor] | None = None
    ) -> LinearError:
        """Return how far a linear model is from this target, as the exact losses take it.

        Parameters
        ----------
        model : torch.nn.Module
            With ``kernel(horizon, parameters)`` and ``offset(horizon, parameters)``.
        parameters : mapping from name to tensor, optional
            Values that stand in for the model's own.

        Returns
        -------
        LinearError
            The arguments of ``loss.expected(**...)`` and ``loss.residuals(**...)``.

        Raises
        ------
        ValueError
            If the model has another time step, or other channels than one in and one out.
        """
        if not math.isclose(model.dt, self.dt):
            raise ValueError(f"model and task must share dt, got {model.dt!r} and {self.dt!r}")
        kernel = model.kernel(self.horizon, parameters)
        if kernel.shape != self.kernel.shape:
            raise ValueError(
                f"model must have one channel in and one out, got {tuple(kernel.shape[1:])[::-1]}"
            )
        return {
            "kernel_error": kernel - self.kernel.to(kernel),
            "offset_error": model.offset(self.horizon, parameters),
            "dt": self.dt,
            "variance": self.variance,
            "inputs": self.inputs,
        }

    def sample(
        self,
        size: int,
        *,
        seed: int | Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Batch:
        """Draw `size` sequences; equal seeds give equal sequences on every device.

        Parameters
        ----------
        size : int
            Number of sequences.
        seed : int or sequence of int
            Names the draw, e.g. ``(seed, step)``.
        device, dtype
            Of the tensors returned; torch's default dtype if none is given.

        Returns
        -------
        Batch
            Inputs and targets, both of shape ``(size, horizon, 1)``.
        """
        x = white_noise(size, self.horizon, 1, variance=self.variance, seed=seed)
        if self.inputs == "random_walk":
            x = x.cumsum(1)
        x = placed(x, device, dtype)
        return Batch(x, self.answer(x[..., 0])[..., None])

    def answer(self, x: Tensor) -> Tensor:
        """Return y for sequences `x` of shape ``(batch, horizon)``, by zero-padded FFT."""
        if x.shape[-1] != self.horizon:
            raise ValueError(f"x must have {self.horizon} steps, got shape {tuple(x.shape)}")
        return self.dt * filtered(self.rho, x)
