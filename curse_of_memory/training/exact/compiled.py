"""Compiled expected losses of linear RNNs as functions of their weights, with gradients and Jacobian.

Equation.   E(θ) = Σ_s scale_s² (k_s − ρ_s)² + Σ_t (w_t/T) μ_t²,   k_s = C (I + dt W)ˢ U,
            μ_t = dt Σ_{j<=t} C (I + dt W)ʲ b,   W = diag(f(w)), W free, or W = Pᵀ diag(f(w)) P;

            for inputs that are a random walk with Σ_{r<=s} (k_r − ρ_r) in place of k_s − ρ_s.

Algorithm.  The compiled misfit gives E and its gradient G by W; the rest is the chain rule:

                ∂E/∂w_i = G_ii f'(w_i)   or   f'(w_i) (P G Pᵀ)_ii,       ∂E/∂P = diag(f(w)) P (G + Gᵀ) .

            The Jacobian of the residuals is closed, with c_s = C Aˢ and h_s = Aˢ V, A = I + dt W, V = [U, b]:

                ∂k_s/∂C = h_sᵀ,   ∂k_s/∂V = c_sᵀ,   ∂k_s/∂A = Σ_{l<s} c_{s−1−l}ᵀ h_lᵀ,   or s c_{s−1} ⊙ Vᵀ.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.nn import RNN
from curse_of_memory.nn.recurrence.linear.misfit_loops import dense_misfit, diagonal_misfit, krylov_rows
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import reparameterization

__all__ = ["MemoryMisfit", "compiled_case", "expected_losses"]

Arrays = Mapping[str, np.ndarray]


def compiled_case(
    model: object, task: object, loss: object
) -> tuple[RNN, LinearFunctional, TemporallyWeightedMSE] | None:
    """Return model, task and loss if :class:`MemoryMisfit` takes them: no subclasses; else None."""
    if type(model) is RNN and type(task) is LinearFunctional and type(loss) is TemporallyWeightedMSE:
        return model, task, loss
    return None


class MemoryMisfit:
    """Expected losses, gradients and Jacobian of linear RNNs of one kind; weights in float64.

    Parameters
    ----------
    template : RNN
        One of this kind; its own weights do not count.
    task : LinearFunctional
        Target, inputs and time step.
    losses : sequence of TemporallyWeightedMSE
        One for all models, or one for each.

    Raises
    ------
    ValueError, TypeError
        If the networks are not linear, or have other channels or another time step than the task.
    """

    def __init__(self, template: RNN, task: LinearFunctional, losses: Sequence[TemporallyWeightedMSE]):
        task.linear_error(template)  # refuses what does not fit
        self._map, self._dt = reparameterization.get(template.parameterization), template.dt
        self._diagonal, self._free = template.diagonal, not template.diagonal and self._map.name == "direct"
        horizon, columns = task.horizon, 1 if template.bias is None else 2
        self._target = np.zeros((columns, horizon, 1))
        self._target[0, :, 0] = task.rho
        self._cumulated = np.array([task.inputs == "random_walk", True][:columns])
        self._roots = np.stack([self._roots_of(loss, task) for loss in losses])[:, :columns].copy()

    def _roots_of(self, loss: TemporallyWeightedMSE, task: LinearFunctional) -> np.ndarray:
        """Return the factors of the residuals, ``(column, time)``: the residuals of errors that are one."""
        one = torch.ones(task.horizon, 1, 1, dtype=torch.float64)
        factors = loss.residuals(one, offset_error=one[..., 0], dt=task.dt, variance=task.variance)
        return factors.numpy().reshape(2, task.horizon) * [[1.0], [self._dt]]

    def evaluate(self, weights: Arrays, gradients: Arrays) -> np.ndarray:
        """Return the losses ``(model,)``, and write the gradients into `gradients`.

        Parameters
        ----------
        weights : mapping from name to array of shape ``(model, ...)``
            As the networks name them; contiguous.
        gradients : mapping from name to array
            Of the same names and shapes.
        """
        w, U, C = weights["recurrent_weight"], weights["input_weight"], weights["output_weight"]
        values = np.empty(len(w))
        for_w, for_U, for_C = (gradients[f"{name}_weight"] for name in ("recurrent", "input", "output"))
        if "bias" in weights:
            b, for_b = weights["bias"][..., None], gradients["bias"][..., None]
        else:
            b = for_b = np.empty((*w.shape[:2], 0))
        prepared = U, b, C, self._target, self._roots, self._cumulated, values
        with np.errstate(all="ignore"):
            if self._diagonal:
                multipliers = 1.0 + self._dt * self._recurrent(w)
                diagonal_misfit(multipliers, *prepared, for_w, for_U, for_b, for_C)
                for_w *= self._dt * self._slope(w)
                return values
            G = np.empty((*w.shape[:2], w.shape[1]))
            dense_misfit(self._steps(weights), *prepared, G, for_U, for_b, for_C)
            G *= self._dt
            if self._free:
                for_w[...] = G
                return values
            for_w[...], gradients["basis"][...] = self._by_spectrum(weights, G)
        return values

    def residuals(self, weights: Arrays) -> np.ndarray:
        """Return the residuals of one network, whose `weights` stand alone, ``(residual,)``."""
        with np.errstate(all="ignore"):
            _, h = self._states(weights)
            memory = h @ weights["output_weight"][0]
            return self._weighted((memory - self._target[..., 0])[..., None]).ravel()

    def jacobian(self, weights: Arrays) -> dict[str, np.ndarray]:
        """Return the derivatives of :meth:`residuals` by name, ``(residual, *shape)``, at `weights`."""
        w, C = weights["recurrent_weight"], weights["output_weight"]
        with np.errstate(all="ignore"):
            c, h = self._states(weights)
            columns, horizon, states = h.shape
            zero = np.zeros_like(c)
            slopes = {
                "input_weight": np.stack([c, zero][:columns])[..., None],
                "output_weight": h[:, :, None],
            }
            if "bias" in weights:
                slopes["bias"] = np.stack([zero, c])
            if self._diagonal:
                by_w = np.zeros_like(h)
                by_w[:, 1:] = np.arange(1, horizon)[:, None] * h[:, :-1] * C[0]
                slopes["recurrent_weight"] = by_w * (self._dt * self._slope(w))
            else:
                D = np.zeros((columns, horizon, states, states))
                backwards = c[::-1].T.copy()
                for s in range(1, horizon):
                    np.matmul(backwards[:, horizon - s :], h[:, :s], out=D[:, s])
                D *= self._dt
                slopes |= {"recurrent_weight": D} if self._free else {}
                if not self._free:
                    slopes["recurrent_weight"], slopes["basis"] = self._by_spectrum(weights, D)
            return {
                name: self._weighted(part.reshape(columns, horizon, -1)).reshape(-1, *weights[name].shape)
                for name, part in slopes.items()
            }

    def _states(self, weights: Arrays) -> tuple[np.ndarray, np.ndarray]:
        """Return c_s of shape ``(time, state)`` and h_s of shape ``(column, time, state)``."""
        horizon, C = self._target.shape[1], weights["output_weight"]
        V = weights["input_weight"].T
        if "bias" in weights:
            V = np.concatenate([V, weights["bias"][None]])
        if self._diagonal:
            W = self._recurrent(weights["recurrent_weight"])
            powers = np.ones((horizon, W.size))
            powers[1:] = 1.0 + self._dt * W
            powers = powers.cumprod(0)
            return powers * C, powers * V[:, None]
        A = self._steps(weights)
        rows = krylov_rows(A, C, horizon)[:, 0]
        return rows, krylov_rows(A.T.copy(), V.copy(), horizon).swapaxes(0, 1).copy()

    def _steps(self, weights: Arrays) -> np.ndarray:
        """Return A = I + dt W of full matrices W."""
        W = weights["recurrent_weight"]
        if not self._free:
            P = weights["basis"]
            W = (P * self._recurrent(W)[..., None]).swapaxes(-1, -2) @ P
        return np.eye(W.shape[-1]) + self._dt * W

    def _by_spectrum(self, weights: Arrays, G: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the derivatives by w and P, for derivatives `G` by W = Pᵀ diag(f(w)) P."""
        w, P = weights["recurrent_weight"], weights["basis"]
        left = P @ G
        by_basis = self._recurrent(w)[..., None] * (left + P @ G.swapaxes(-1, -2))
        return (left * P).sum(-1) * self._slope(w), by_basis

    def _recurrent(self, w: np.ndarray) -> np.ndarray:
        """Return the recurrent weights, or eigenvalues, that free ones stand for."""
        return np.asarray(self._map.recurrent_weight(w, self._dt))

    def _slope(self, w: np.ndarray) -> np.ndarray:
        """Return the derivative of the recurrent weight by the free one."""
        slope = np.asarray(self._map.derivative(w))
        return slope if self._map.time == "continuous" else slope / self._dt

    def _weighted(self, errors: np.ndarray) -> np.ndarray:
        """Return errors or their derivatives, ``(column, time, any)``, cumulated if need be, and weighted."""
        for column, cumulated in zip(errors, self._cumulated, strict=True):
            if cumulated:
                column.cumsum(0, out=column)
        return self._roots[0][..., None] * errors


def expected_losses(misfit: MemoryMisfit, weights: Mapping[str, Tensor]) -> Tensor:
    """Return the losses ``(model,)`` as a tensor with gradients, once differentiable.

    Parameters
    ----------
    misfit : MemoryMisfit
        Of models of this kind.
    weights : mapping from name to Tensor of shape ``(model, ...)``
        On the CPU, of any precision; the work is done in float64.
    """
    return _Losses.apply(misfit, tuple(weights), *weights.values())


class _Losses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, misfit: MemoryMisfit, names: tuple[str, ...], *weights: Tensor) -> Tensor:
        arrays = [np.ascontiguousarray(w.detach().double().numpy()) for w in weights]
        gradients = [np.empty_like(array) for array in arrays]
        values = misfit.evaluate(
            dict(zip(names, arrays, strict=True)), dict(zip(names, gradients, strict=True))
        )
        ctx.save_for_backward(*(torch.from_numpy(g).to(w) for g, w in zip(gradients, weights, strict=True)))
        return torch.from_numpy(values).to(weights[0])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, factors: Tensor):
        wide = (factors.view(-1, *[1] * (g.ndim - 1)) * g for g in ctx.saved_tensors)
        return None, None, *wide
