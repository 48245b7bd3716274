"""Closed expected losses of diagonal state space layers as functions of their weights, with Jacobian.

Equation.   E(θ) = Σ_s scale_s² (k_s − ρ_s)² + Σ_t (w_t/T) μ_t²,    k_s = C zˢ φ U / dt + (s = 0) D / dt,
            μ_t = Σ_{j<=t} C zʲ φ b, with z and φ of ``nn.state_space.modes``; for conjugate pairs twice the
            real part of either; for inputs that are a random walk with Σ_{r<=s} (k_r − ρ_r).

Algorithm.  Each mode adds a zˢ with a = C φ v, v = U or b, whose derivatives are closed:

                ∂/∂C = φ v zˢ,   ∂/∂v = C φ zˢ,   ∂/∂z = s z^{s−1} C φ v,   ∂/∂φ = C v zˢ ,

            and so are those of z and φ by λ = f(w) + iω and by the step Δ, with u = Δ λ:

                zoh        ∂z/∂λ = Δ z             ∂φ/∂λ = Δ² m'(u)         ∂z/∂Δ = λ z       ∂φ/∂Δ = z
                bilinear   ∂z/∂λ = Δ q²            ∂φ/∂λ = Δ² q²/2          ∂z/∂Δ = λ q²      ∂φ/∂Δ = q²
                euler      ∂z/∂λ = Δ               ∂φ/∂λ = 0                ∂z/∂Δ = λ         ∂φ/∂Δ = 1

            where m(u) = (e^u − 1)/u and q = 1/(1 − u/2). A map of discrete time has z = f(w) e^{iΔω}, φ = Δ.
"""

from collections.abc import Mapping

import numpy as np
import torch

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.nn import S4D, SSM
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import reparameterization

__all__ = ["ModalMisfit", "modal_case"]

Arrays = Mapping[str, np.ndarray]


def modal_case(
    model: object, task: object, loss: object
) -> tuple[SSM | S4D, LinearFunctional, TemporallyWeightedMSE] | None:
    """Return model, task and loss if :class:`ModalMisfit` takes them: no subclasses; else None."""
    if type(task) is not LinearFunctional or type(loss) is not TemporallyWeightedMSE:
        return None
    # by its exact class: what a subclass answers is not known
    return (model, task, loss) if isinstance(model, SSM | S4D) and type(model) in (SSM, S4D) else None


class ModalMisfit:
    """The residuals of the expected loss of one diagonal state space layer, and their Jacobian.

    Parameters
    ----------
    template : SSM or S4D
        Linear, of one channel; its own weights do not count.
    task : LinearFunctional
        Target, inputs and time step.
    loss : TemporallyWeightedMSE
        Its weight.

    Raises
    ------
    ValueError, TypeError
        If the layer is not linear, or has other channels or another time step than the task.
    """

    def __init__(self, template: SSM | S4D, task: LinearFunctional, loss: TemporallyWeightedMSE):
        task.linear_error(template)  # refuses what does not fit
        self._map, self._dt = reparameterization.get(template.parameterization), template.dt
        self._pairs, self._rule = template.has_pairs, template.discretization
        has_offset = isinstance(template, SSM) and template.bias is not None
        self._columns = ("input_weight", "bias")[: 1 + has_offset]
        horizon = task.horizon
        self._lags = np.arange(horizon)[:, None]
        self._target = np.zeros((len(self._columns), horizon))
        self._target[0] = task.rho
        self._cumulated = (task.inputs == "random_walk", True)[: len(self._columns)]
        one = torch.ones(horizon, 1, 1, dtype=torch.float64)
        factors = loss.residuals(one, offset_error=one[..., 0], dt=task.dt, variance=task.variance)
        self._roots = factors.numpy().reshape(2, horizon)

    def residuals(self, weights: Arrays) -> np.ndarray:
        """Return the numbers ``(residual,)`` whose squares add up to the loss, at `weights` by name."""
        with np.errstate(all="ignore"):
            z, phi, _ = self._modes(weights)
            powers, C = self._powers(z), self._number(weights["output_weight"])
            errors = np.stack(
                [self._real(powers @ (C * phi * self._driven(weights, name))) for name in self._columns]
            )
            if "skip" in weights:
                errors[0, 0] += weights["skip"].item()
            errors[0] /= self._dt
            return self._weighted((errors - self._target)[..., None]).ravel()

    def jacobian(self, weights: Arrays) -> dict[str, np.ndarray]:
        """Return the derivatives of :meth:`residuals` by name, ``(residual, weight)``, at `weights`."""
        with np.errstate(all="ignore"):
            z, phi, slopes = self._modes(weights)
            powers, C = self._powers(z), self._number(weights["output_weight"])
            turned = np.zeros_like(powers)  # s z^{s−1}
            turned[1:] = self._lags[1:] * powers[:-1]
            shape = len(self._columns), len(powers)
            by_name = {name: np.zeros((*shape, w.size)) for name, w in weights.items()}
            for column, name in enumerate(self._columns):
                v = self._driven(weights, name)
                by_name["output_weight"][column] = self._by_number(powers * (phi * v))
                if name in weights:
                    by_name[name][column] = self._by_number(powers * (C * phi))
                by_z, by_phi = turned * (C * phi * v), powers * (C * v)
                for weight, (slope_z, slope_phi) in slopes.items():
                    part = self._real(by_z * slope_z + by_phi * slope_phi)
                    # one step is that of all modes
                    by_name[weight][column] = part.sum(1, keepdims=True) if weight == "log_step" else part
            if "skip" in weights:
                by_name["skip"][0, 0] = 1.0
            for slope in by_name.values():
                slope[0] /= self._dt
            return {
                name: self._weighted(slope).reshape(-1, slope.shape[2]) for name, slope in by_name.items()
            }

    def _modes(self, weights: Arrays) -> tuple[np.ndarray, np.ndarray, dict[str, tuple]]:
        """Return z and φ of all modes, and by weight what ∂z and ∂φ are."""
        w = weights["recurrent_weight"].ravel()
        f, slope = np.asarray(self._map.f(w)), np.asarray(self._map.derivative(w))
        step = self._dt * (np.exp(weights["log_step"].item()) if "log_step" in weights else 1.0)
        omega = weights["frequency"].ravel() if self._pairs else None
        if self._map.time == "discrete":
            turn = np.ones_like(f) if omega is None else np.exp(1j * step * omega)
            z, phi = f * turn, np.full_like(f, step)
            slopes: dict[str, tuple] = {"recurrent_weight": (slope * turn, 0.0)}
            if omega is not None:
                slopes["frequency"] = 1j * step * z, 0.0
            if "log_step" in weights:
                slopes["log_step"] = (0.0 if omega is None else 1j * step * omega * z), phi
            return z, phi, slopes
        eigenvalues = f if omega is None else f + 1j * omega
        z, phi, by_eigenvalue, by_step = _discretized(eigenvalues, step, self._rule)
        slopes = {"recurrent_weight": tuple(slope * part for part in by_eigenvalue)}
        if omega is not None:
            slopes["frequency"] = tuple(1j * part for part in by_eigenvalue)
        if "log_step" in weights:
            slopes["log_step"] = tuple(step * part for part in by_step)
        return z, phi, slopes

    def _powers(self, z: np.ndarray) -> np.ndarray:
        powers = np.ones((len(self._lags), z.size), z.dtype)
        powers[1:] = z
        return powers.cumprod(0)

    def _number(self, weight: np.ndarray) -> np.ndarray:
        """Return a weight of the modes as numbers, complex for pairs."""
        if not self._pairs:
            return weight.ravel()
        return weight.reshape(-1, 2) @ np.array([1.0, 1.0j])

    def _driven(self, weights: Arrays, column: str) -> np.ndarray | float:
        """Return U or b; a layer without input weights has ones."""
        return self._number(weights[column]) if column in weights else 1.0

    def _real(self, values: np.ndarray) -> np.ndarray:
        return 2 * np.real(values) if self._pairs else values

    def _by_number(self, slope: np.ndarray) -> np.ndarray:
        """Return derivatives by a weight of the modes, for pairs by real and imaginary part in turn."""
        return (
            np.stack([2 * np.real(slope), -2 * np.imag(slope)], -1).reshape(len(slope), -1)
            if self._pairs
            else slope
        )

    def _weighted(self, errors: np.ndarray) -> np.ndarray:
        """Return errors or their derivatives, ``(column, time, any)``, cumulated if need be, and weighted."""
        for column, cumulated in zip(errors, self._cumulated, strict=True):
            if cumulated:
                column.cumsum(0, out=column)
        return self._roots[: len(errors), :, None] * errors


def _discretized(
    eigenvalues: np.ndarray, step: float, rule: str | None
) -> tuple[np.ndarray, np.ndarray, tuple, tuple]:
    """Return z, φ, their derivatives by λ, and those by Δ."""
    u = step * eigenvalues
    if rule == "zoh":
        z, (mean, slope) = np.exp(u), _mean_exponential(u)
        return z, step * mean, (step * z, step**2 * slope), (eigenvalues * z, z)
    if rule == "bilinear":
        q = 1 / (1 - u / 2)
        square = q**2
        return (
            (1 + u / 2) * q,
            step * q,
            (step * square, step**2 * square / 2),
            (eigenvalues * square, square),
        )
    one = np.ones_like(u)
    return 1 + u, step * one, (step * one, 0.0 * one), (eigenvalues, one)


def _mean_exponential(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return m(u) = (e^u − 1)/u and m'(u), for small and for zero u, too."""
    small = np.abs(u) < 0.5
    near, far = np.where(small, u, 0.0), np.where(small, 1.0, u)
    series, slope = np.ones_like(near), np.zeros_like(near)
    for n in range(15, 1, -1):  # Σ uⁿ/(n + 1)!, and its derivative, of which the next terms are below 10⁻¹⁶
        slope = (series + near * slope) / n
        series = 1 + series * near / n
    whole = np.exp(far)
    mean = (whole - 1) / far
    return np.where(small, series, mean), np.where(small, slope, (whole - mean) / far)
