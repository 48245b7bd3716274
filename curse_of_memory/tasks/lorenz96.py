"""A site of a Lorenz-96 system as a nonlinear functional of a random forcing.

Equation
--------
    dz_i/dt = (z_{i+1} − z_{i−2}) z_{i−1} − z_i + F + δ_{i0} x(t),    i modulo the number of sites,

from the rest point z = F, with x(t) = x_k for k dt ≤ t < (k + 1) dt; the answer is y_k = z_j((k + 1) dt) − F.
For F < 8/9 the rest point is stable for any number of sites, and memory decays. The quadratic part does no
work, Σ z_i (z_{i+1} − z_{i−2}) z_{i−1} = 0, so that bounded inputs give bounded answers. Small inputs see the
linear memory ρ(t) = (e^{At})_{j0} with A z = F (z_{i+1} − z_{i−2}) − z_i.

Algorithm
---------
Classical Runge-Kutta steps of the length dt/substeps, all sequences at once; x is constant within each, so
that the order four is kept.
"""

import numbers

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from curse_of_memory.tasks.sampling import WhiteInputTask
from curse_of_memory.tools import checks

__all__ = ["Lorenz96"]

FEWEST_SITES = 4  # i + 1, i, i − 1 and i − 2 are different sites


class Lorenz96(WhiteInputTask):
    """Learn how one site of a Lorenz-96 system answers a random forcing of site 0.

    Parameters
    ----------
    horizon : int
        Length T of the sequences, in steps.
    sites : int
        How many variables z_i there are, at least 4.
    forcing : float
        F, at every site; with |F| < 8/9 the system forgets.
    observed : int
        j, the site that is read.
    dt : float
        Time step of the input.
    substeps : int
        Runge-Kutta steps in each.
    variance : float
        Variance of the inputs x_k; the larger, the less linear.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, or a site that is not there.

    Notes
    -----
    "Curse of memory" (2009.07799) trains linear RNNs on a Lorenz-96 target; its settings are not public, and
    those here are ours.

    Examples
    --------
    >>> task = Lorenz96(horizon=50)
    >>> task.sample(8, seed=0).targets.shape
    torch.Size([8, 50, 1])
    """

    output_size = 1

    def __init__(
        self,
        horizon: int,
        *,
        sites: int = 8,
        forcing: float = 0.5,
        observed: int = 2,
        dt: float = 0.2,
        substeps: int = 2,
        variance: float = 1.0,
    ):
        super().__init__(horizon, variance=variance)
        self.sites = checks.positive_int("sites", sites)
        if self.sites < FEWEST_SITES:
            raise ValueError(f"sites must be at least {FEWEST_SITES}, got {sites}")
        self.forcing = checks.real("forcing", forcing)
        if isinstance(observed, bool) or not isinstance(observed, numbers.Integral):
            raise TypeError(f"observed must be a whole number, got {checks.shown(observed)}")
        if not 0 <= observed < self.sites:
            raise ValueError(f"observed must be one of the sites 0 to {self.sites - 1}, got {observed!r}")
        self.observed = int(observed)
        self.dt = checks.positive("dt", dt)
        self.substeps = checks.positive_int("substeps", substeps)
        self._after = np.roll(np.arange(self.sites), -1)
        self._before = np.roll(np.arange(self.sites), 1)
        self._second_before = np.roll(np.arange(self.sites), 2)

    def __repr__(self) -> str:
        return (
            f"Lorenz96(horizon={self.horizon}, sites={self.sites}, forcing={self.forcing:g}, "
            f"observed={self.observed}, dt={self.dt:g}, substeps={self.substeps}, variance={self.variance:g})"
        )

    def answer(self, x: Tensor) -> Tensor:
        """Return y ``(batch, horizon, 1)`` for inputs `x` of the same shape; float64, on the CPU."""
        self._check_inputs(x)
        drive = x[..., 0].detach().cpu().double().numpy()
        z = np.full((self.sites, len(drive)), self.forcing)
        answers = np.empty_like(drive)
        for k in range(self.horizon):
            z = self._step(z, drive[:, k])
            answers[:, k] = z[self.observed] - self.forcing
        return torch.from_numpy(answers[..., None]).to(x)

    def _step(self, z: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return the sites ``(site, batch)`` one dt later."""
        h = self.dt / self.substeps
        for _ in range(self.substeps):
            first = self.velocity(z, x)
            second = self.velocity(z + h / 2 * first, x)
            third = self.velocity(z + h / 2 * second, x)
            fourth = self.velocity(z + h * third, x)
            z = z + h / 6 * (first + 2 * (second + third) + fourth)
        return z

    def velocity(self, z: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return dz/dt ``(site, batch)`` for states of that shape and inputs ``(batch,)``."""
        velocity = (z[self._after] - z[self._second_before]) * z[self._before] - z + self.forcing
        velocity[0] += x
        return velocity

    def linear_memory(self) -> np.ndarray:
        """Return the answer after s steps to a small impulse x_0, divided by x_0, ``(horizon,)``.

        That is ∫_{s dt}^{(s+1) dt} (e^{At})_{j0} dt: small inputs give y_k = Σ_s memory_s x_{k−s}.
        """
        one = np.eye(self.sites)
        A = self.forcing * (one[self._after] - one[self._second_before]) - one
        # the input is one more variable, constant within a step: it switches off after the first
        driven = np.zeros((self.sites + 1, self.sites + 1))
        driven[:-1, :-1] = A
        driven[0, -1] = 1.0
        step = scipy.linalg.expm(self.dt * driven)
        state, memory = step[:-1, -1], np.empty(self.horizon)
        for s in range(self.horizon):
            memory[s] = state[self.observed]
            state = step[:-1, :-1] @ state
        return memory
