"""The exact expected loss E(θ) of one linear model as a function of its weights, with derivatives.

    E(θ) = Σ_s (variance dt² B_s / T) (ρ̂_s − ρ_s)² + Σ_t (w_t / T) μ_t²,      B_s = Σ_{t>s} w_t .

All that does not depend on θ is prepared once. A linear RNN has a compiled misfit with closed derivatives, a
linear state space layer closed ones; any other linear model is differentiated by torch.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.measure.closed_form import check_closed_form
from curse_of_memory.nn import RNN, S4D, SSM
from curse_of_memory.protocols import LinearLoss, LinearMemory, LinearTask, has_linear_memory
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.tools import checks
from curse_of_memory.training.exact.compiled import MemoryMisfit, compiled_case
from curse_of_memory.training.exact.modal import ModalMisfit, modal_case

__all__ = ["ExpectedLoss", "NaiveExpectedLoss"]


class ExpectedLoss:
    """The expected loss E(θ) of a linear model, θ being all its weights as one float64 numpy vector.

    Parameters
    ----------
    model : torch.nn.Module
        Linear, with ``kernel(horizon, parameters)`` and ``offset(horizon, parameters)``, as :class:`RNN` has
        them. It is changed by :meth:`write` only.
    task : LinearFunctional
        The target memory, inputs and time step; or another task with ``linear_error(model, parameters)``.
    loss : TemporallyWeightedMSE, optional
        Its weight defines the expected loss; unweighted if none is given.

    Attributes
    ----------
    start : array of shape ``(weight,)``
        The weights the model had, in the order of ``model.parameters()``.

    Raises
    ------
    TypeError
        If the model or the loss has no exact expectation.
    ValueError
        For a model of other channels or another time step than the task, or one that answers otherwise than
        by its kernel and offset.

    Notes
    -----
    "INTEREST" (2307.11462), Theorem 3.3. For a linear RNN of m modes and horizon T a value with its gradient
    takes O(T m) operations if it is diagonal, O(T m²) if not.

    Examples
    --------
    >>> from curse_of_memory.nn import RNN
    >>> from curse_of_memory.tasks import LinearFunctional
    >>> exact = ExpectedLoss(RNN(4, diagonal=True, seed=0), LinearFunctional(lambda t: 0.5**t, horizon=20))
    >>> value, gradient = exact.value_and_gradient(exact.start)
    >>> lower, _ = exact.value_and_gradient(exact.start - 0.01 * gradient)
    >>> lower < value, gradient.shape
    (True, (16,))
    """

    def __init__(self, model: nn.Module, task: LinearTask, loss: LinearLoss | None = None):
        loss = TemporallyWeightedMSE() if loss is None else loss
        checks.fulfilling("loss", loss, LinearLoss, "a loss", instead="use TemporallyWeightedMSE")
        self._model = model
        if not has_linear_memory(model):
            what = "be linear and give its kernel(), its offset() and a number dt"
            raise TypeError(f"model must {what}; use training.fit for others")
        task = checks.fulfilling("task", task, LinearTask, "a linear task", instead="use training.fit")
        check_closed_form(self._model, moved=True)
        weights = [p.detach().double().cpu().numpy() for _, p in model.named_parameters()]
        self.start = np.concatenate([w.ravel() for w in weights])
        if network := compiled_case(model, task, loss):
            self._route = _Compiled(*network)
        elif layer := modal_case(model, task, loss):
            self._route = _Modal(*layer)
        else:
            self._route = NaiveExpectedLoss(model, task, loss)

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Return E and ∂E/∂θ, ``(weight,)``, at `theta`; inf or NaN where the model overflows."""
        return self._route.value_and_gradient(theta)

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        """Return the numbers ``(residual,)`` whose squares add up to E, at `theta`."""
        return self._route.residuals(theta)

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        """Return the derivatives ``(residual, weight)`` of :meth:`residuals` at `theta`."""
        return self._route.jacobian(theta)

    def by_name(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        """Return the parts of a `vector` like θ or its gradient, shaped and named as the model's weights."""
        return _by_name(vector, {name: tuple(p.shape) for name, p in self._model.named_parameters()})

    @torch.no_grad()
    def write(self, theta: np.ndarray) -> None:
        """Give the model the weights `theta`, in its own precision and on its own device."""
        for name, value in self.by_name(theta).items():
            self._model.get_parameter(name).copy_(torch.from_numpy(value))


def _by_name(vector: np.ndarray, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Return views of the parts of a vector that stand for arrays of these `shapes`."""
    edges = pairwise(np.cumsum([0, *(int(np.prod(shape)) for shape in shapes.values())]))
    return {
        name: vector[first:last].reshape(shape)
        for (name, shape), (first, last) in zip(shapes.items(), edges, strict=True)
    }


class _Compiled:
    """E(θ) of linear RNNs by the compiled misfit."""

    def __init__(self, model: RNN, task: LinearFunctional, loss: TemporallyWeightedMSE):
        self._misfit = MemoryMisfit(model, task, [loss])
        # views into two vectors, made once: a call copies θ into the one and a gradient out of the other
        shapes = {name: (1, *p.shape) for name, p in model.named_parameters()}
        self._theta, self._slopes = np.empty((2, sum(p.numel() for p in model.parameters())))
        self._weights, self._gradients = _by_name(self._theta, shapes), _by_name(self._slopes, shapes)
        self._alone = {name: view[0] for name, view in self._weights.items()}

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        self._theta[:] = theta
        return float(self._misfit.evaluate(self._weights, self._gradients)[0]), self._slopes.copy()

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        self._theta[:] = theta
        return self._misfit.residuals(self._alone)

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        self._theta[:] = theta
        slopes = self._misfit.jacobian(self._alone)
        return np.concatenate([slopes[name].reshape(len(slopes[name]), -1) for name in self._alone], 1)


class _Modal:
    """E(θ) of linear state space layers, closed: the gradient is that of a sum of squares."""

    def __init__(self, model: SSM | S4D, task: LinearFunctional, loss: TemporallyWeightedMSE):
        self._misfit = ModalMisfit(model, task, loss)
        self._shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        values = self.residuals(theta)
        with np.errstate(all="ignore"):
            return float(values @ values), 2 * values @ self.jacobian(theta)

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        return self._misfit.residuals(_by_name(theta, self._shapes))

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        slopes = self._misfit.jacobian(_by_name(theta, self._shapes))
        return np.concatenate([slopes[name] for name in self._shapes], 1)


class NaiveExpectedLoss:
    """E(θ) of any linear model by torch, from its kernel and offset. The compiled form must equal it.

    Parameters
    ----------
    model, task, loss
        As for :class:`ExpectedLoss`; the loss must be given.
    """

    def __init__(self, model: LinearMemory, task: LinearTask, loss: LinearLoss):
        task.linear_error(model)  # refuses what does not fit
        shapes = {name: p.shape for name, p in model.named_parameters()}
        sizes = [shape.numel() for shape in shapes.values()]

        def residuals(theta: Tensor) -> Tensor:
            named = zip(shapes.items(), theta.split(sizes), strict=True)
            return loss.residuals(
                **task.linear_error(model, {name: part.view(shape) for (name, shape), part in named})
            )

        self._residuals: Callable[[Tensor], Tensor] = residuals
        # whichever mode of differentiation has fewer columns to propagate: there are at most 2T residuals
        few_weights = sum(sizes) < 2 * task.horizon
        self._jacobian = (torch.func.jacfwd if few_weights else torch.func.jacrev)(residuals)

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Return E and ∂E/∂θ at `theta`."""
        leaf = torch.tensor(theta, requires_grad=True)
        value = self._residuals(leaf).square().sum()
        return value.item(), torch.autograd.grad(value, leaf)[0].numpy()

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        """Return the residuals at `theta`; without a bias half of them are zero."""
        return self._residuals(torch.from_numpy(theta)).numpy()

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        """Return the derivatives of :meth:`residuals` at `theta`."""
        return self._jacobian(torch.from_numpy(theta)).numpy()
