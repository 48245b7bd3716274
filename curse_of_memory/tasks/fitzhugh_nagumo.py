"""The FitzHugh-Nagumo neuron: the voltage of the next step is to be said, while the recovery is hidden.

Equation
--------
    v' = v − v³/3 − w + I,      w' = ε (v + a − b w),      v(0) uniform in [−1, 1), w(0) = 0,

with I = 0.5, a = 0.7, b = 0.8: the voltage v jumps within times of order one, the recovery w creeps within
times of order 1/ε, and the two go round one limit cycle. The input is v at the times 0, dt, 2 dt, …, the
target v one dt later, so that a model has to carry what it has understood of w.

Algorithm
---------
Series are what ``scipy.integrate.solve_ivp`` makes with its defaults, RK45 and tolerances of 1e-3 and 1e-6,
one series at a time, since its steps adapt: this is the public data of Long Expressive Memory (2110.04744).
It is not the solution: see :meth:`FitzHughNagumo.noise_floor`.
"""

from collections.abc import Sequence

import numpy as np
import scipy.integrate
import torch

from curse_of_memory.tasks.sampling import Batch, Splits, drawn_by, placed
from curse_of_memory.tools import checks

__all__ = ["FitzHughNagumo", "autoregression_error", "persistence_error"]

CURRENT, A, B = 0.5, 0.7, 0.8
TIGHT = {"method": "DOP853", "rtol": 1e-10, "atol": 1e-12}


class FitzHughNagumo:
    """Predict the next voltage of a FitzHugh-Nagumo neuron from those up to now.

    Parameters
    ----------
    horizon : int
        Length of the sequences, in steps.
    epsilon : float
        ε, the ratio of the two time scales.
    dt : float
        Time between two steps.

    Raises
    ------
    ValueError, TypeError
        For bad numbers.

    Examples
    --------
    >>> task = FitzHughNagumo(horizon=50)
    >>> x, y = task.sample(3, seed=0)
    >>> x.shape, torch.equal(x[:, 1:], y[:, :-1])
    (torch.Size([3, 50, 1]), True)
    """

    input_size = output_size = 1

    def __init__(self, horizon: int = 1000, *, epsilon: float = 1 / 50, dt: float = 0.4):
        self.horizon = checks.positive_int("horizon", horizon)
        self.epsilon = checks.positive("epsilon", epsilon)
        self.dt = checks.positive("dt", dt)

    def __repr__(self) -> str:
        return f"FitzHughNagumo(horizon={self.horizon}, epsilon={self.epsilon:g}, dt={self.dt:g})"

    def sample(
        self,
        size: int,
        *,
        seed: int | Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Batch:
        """Draw `size` series; equal seeds give equal ones on every device.

        Parameters
        ----------
        size : int
            Number of series.
        seed : int or sequence of int
            Names the draw, e.g. ``(seed, step)``.
        device, dtype
            Of the tensors returned; torch's default dtype if none is given.

        Returns
        -------
        Batch
            Inputs and targets ``(size, horizon, 1)``.
        """
        starts = drawn_by(seed).uniform(-1, 1, checks.positive_int("size", size))
        return self._pairs(self.trajectories(starts)[..., 0], device, dtype)

    def published(
        self,
        train: int = 128,
        validation: int = 128,
        test: int = 1024,
        *,
        seed: int = 1234,
        dtype: torch.dtype | None = None,
    ) -> Splits:
        """Return the series of the public code: drawn from one stream, first those for training.

        Parameters
        ----------
        train, validation, test : int
            Numbers of series.
        seed : int
            Of numpy's old generator, below 2³². The global one is left alone.
        dtype : torch.dtype, optional
            Torch's default dtype if none is given.
        """
        starts = self.published_starts(train, validation, test, seed=seed)
        parts = (self.trajectories(part)[..., 0] for part in starts)
        return Splits(*(self._pairs(part, "cpu", dtype) for part in parts))

    def published_starts(
        self, train: int = 128, validation: int = 128, test: int = 1024, *, seed: int = 1234
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return v(0) of the series that :meth:`published` returns for these arguments."""
        counts = [
            checks.positive_int(name, count)
            for name, count in (("train", train), ("validation", validation), ("test", test))
        ]
        if checks.seed("seed", seed) >= 2**32:
            raise ValueError(f"seed must be below 2^32, got {seed}")
        stream = np.random.RandomState(seed)  # that of the public code
        first, second, third = np.split(stream.uniform(-1, 1, sum(counts)), np.cumsum(counts)[:-1])
        return first, second, third

    def trajectories(self, starts: np.ndarray) -> np.ndarray:
        """Return v and w at the times 0, dt … horizon · dt, ``(series, horizon + 1, 2)``, for given v(0)."""
        end = self.horizon * self.dt
        times = np.linspace(0, end, self.horizon + 1)
        solved = [
            scipy.integrate.solve_ivp(self.velocity, (0, end), (float(start), 0.0), t_eval=times).y.T
            for start in checks.finite_array("starts", starts, ndim=1)
        ]
        return np.array(solved)

    def velocity(self, _time: float, state: np.ndarray) -> tuple:
        """Return dv/dt and dw/dt of a `state`, v and w."""
        v, w = state
        return v - v**3 / 3 - w + CURRENT, self.epsilon * (v + A - B * w)

    def noise_floor(self, starts: np.ndarray) -> float:
        """Return the root mean square by which v after one step is off the solution from the step before.

        By so much the series contradict the equation. A model that answers by the solution itself, from the
        true v and w, has this error.

        Parameters
        ----------
        starts : array of shape ``(series,)``
            v(0) of the series over which is averaged.
        """
        series = self.trajectories(starts)
        before, after = series[:, :-1].reshape(-1, 2), series[:, 1:, 0].ravel()

        def velocities(_time: float, states: np.ndarray) -> np.ndarray:
            return np.concatenate(self.velocity(_time, states.reshape(2, -1)))

        solved = scipy.integrate.solve_ivp(velocities, (0, self.dt), before.T.ravel(), **TIGHT).y[:, -1]
        return float(np.sqrt(np.mean((solved[: len(after)] - after) ** 2)))

    def _pairs(self, voltages: np.ndarray, device: torch.device | str, dtype: torch.dtype | None) -> Batch:
        v = placed(torch.from_numpy(voltages[..., None].copy()), device, dtype)
        return Batch(v[:, :-1].clone(), v[:, 1:].clone())


def persistence_error(batch: Batch) -> float:
    """Return the root mean squared error, over a `batch`, of the answer that v stays what it is."""
    return _root_mean_square(batch.targets - batch.inputs)


def autoregression_error(train: Batch, test: Batch, order: int) -> float:
    """Return the root mean squared error over `test` of the best linear answer to the last inputs.

    Its coefficients are those of least squares over `train`. There is nothing before the first input: inputs
    there are zero, for the fit, too.

    Parameters
    ----------
    train, test : Batch
        Series of one channel.
    order : int
        How many inputs are seen.

    Examples
    --------
    >>> wave = torch.sin(torch.arange(101.0, dtype=torch.float64)).view(1, 101, 1)
    >>> batch = Batch(wave[:, :-1], wave[:, 1:])  # sin(t + 1) = 2 cos(1) sin(t) - sin(t - 1)
    >>> autoregression_error(batch, batch, 1) > 0.1 > autoregression_error(batch, batch, 2)
    True
    """
    order = checks.positive_int("order", order)
    seen, right = _lagged(train.inputs, order), train.targets.double().numpy(force=True)
    coefficients = np.linalg.lstsq(seen.reshape(-1, order), right.ravel(), rcond=None)[0]
    answers = torch.from_numpy(_lagged(test.inputs, order) @ coefficients)
    return _root_mean_square(answers - test.targets[..., 0].cpu())


def _lagged(inputs: torch.Tensor, order: int) -> np.ndarray:
    """Return x_k, x_{k−1}, … of each step k, ``(series, time, order)``."""
    x = inputs[..., 0].double().numpy(force=True)
    x = np.pad(x, ((0, 0), (order - 1, 0)))
    return np.lib.stride_tricks.sliding_window_view(x, order, axis=1)[..., ::-1]


def _root_mean_square(errors: torch.Tensor) -> float:
    return errors.double().square().mean().sqrt().item()
