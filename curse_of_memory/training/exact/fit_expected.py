"""Training one linear model on its exact expected loss, by least squares.

For a linear target and a linear model the expected loss is a sum of squares over lags,

    E = Σ_s (variance dt² B_s / T) (ρ̂_s − ρ_s)² + Σ_t (w_t / T) μ_t²,      B_s = Σ_{t>s} w_t,

so that training is a nonlinear least-squares problem of 2T residuals, which :class:`ExpectedLoss` gives with
their derivatives. A short gradient descent finds the valley (Gauss-Newton alone would jump into a bad one, or
onto the saddle where input and output weights vanish together); Gauss-Newton steps then walk to its floor.
"""

import math
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import scipy.optimize
import torch
from torch import nn
from tqdm.auto import tqdm

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.protocols import LinearTask
from curse_of_memory.tools import checks
from curse_of_memory.training.exact.expected_loss import ExpectedLoss
from curse_of_memory.training.result import FitResult, verdict

__all__ = ["fit_expected"]


def fit_expected(
    model: nn.Module,
    task: LinearTask,
    *,
    loss: TemporallyWeightedMSE | None = None,
    descent: int = 200,
    evaluations: int = 200,
    tolerance: float = 1e-12,
    progress: bool = False,
) -> FitResult:
    """Train a linear `model` on the exact expected loss of a linear `task`.

    Parameters
    ----------
    model : torch.nn.Module
        With ``kernel(horizon, parameters)`` and ``offset(horizon, parameters)``, as :class:`RNN` has
        them. The work is done in float64 on the CPU; the model keeps its dtype and device. Weights that
        need no gradient (``requires_grad=False``) stay as they are.
    task : LinearFunctional
        The target memory, inputs and time step; or another task with ``linear_error(model, parameters)``.
    loss : TemporallyWeightedMSE, optional
        Its weight defines the expected loss; unweighted if none is given.
    descent : int
        Steps of gradient descent (Adam, learning rate 0.01) at the start.
    evaluations : int
        At most so many evaluations of the residuals by the Gauss-Newton steps that follow.
    tolerance : float
        Relative change of the loss or of the weights at which the descent counts as converged.
    progress : bool
        Show a bar over `descent` and `evaluations`; it ends early where the descent converges.

    Returns
    -------
    FitResult
        Status ``'converged'``, ``'finished'`` or, where the start was no worse, ``'not improved'``, the exact
        expected loss of the weights found, before they are rounded to the model's dtype, and a history of
        columns ``evaluation, expected_loss``. Where the loss has no finite derivatives any more, as with a
        weight whose mode is gone within a step, the descent ends as ``'diverged'``, with the weights it had
        there.

    Raises
    ------
    TypeError
        If the model or the loss has no exact expectation.
    ValueError
        For bad numbers, a model of other channels or another time step than the task, one all of whose
        weights are frozen, or initial weights whose loss is not finite.

    Notes
    -----
    The expectation is that of "INTEREST" (2307.11462), Theorem 3.3, for white inputs; cumulated
    kernels take the place of ρ for random walks. The problem is not convex: from some initial
    weights two modes merge and the descent ends in a local minimum. The best loss known of
    diagonal modes is that of :func:`curse_of_memory.fit_exponential_sum` with ``modes="discrete"``.
    """
    checks.positive_int("descent", descent)
    checks.positive_int("evaluations", evaluations)
    checks.positive("tolerance", tolerance)
    checks.flag("progress", progress)
    exact = ExpectedLoss(model, task, loss)
    trained = np.concatenate([np.full(p.numel(), p.requires_grad) for p in model.parameters()])
    if not trained.any():
        raise ValueError("model has no weights to train: all are frozen")
    history: list[float] = []
    if not np.isfinite(exact.residuals(exact.start)).all():
        raise ValueError("the initial weights have an infinite loss; start from a stable model")
    started = time.perf_counter()

    def whole(free: np.ndarray) -> np.ndarray:
        """Return all weights, those that are frozen where they were."""
        theta = exact.start.copy()
        theta[trained] = free
        return theta

    def value_and_gradient(free: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = exact.value_and_gradient(whole(free))
        bar.update()
        return value, gradient[trained]

    def evaluate(free: np.ndarray) -> np.ndarray:
        values = exact.residuals(whole(free))
        history.append(float(values @ values))
        bar.update()
        if not values.any():  # nothing is left, and a Gauss-Newton step would divide by it
            raise _EndError(free.copy(), "converged")
        return values

    def derivatives(free: np.ndarray) -> np.ndarray:
        jacobian = exact.jacobian(whole(free))
        if not np.isfinite(jacobian).all():
            raise _EndError(free.copy(), "diverged")
        return jacobian[:, trained]

    with tqdm(total=descent + evaluations, disable=not progress, desc="training") as bar:
        valley = _descend(value_and_gradient, exact.start[trained], descent, history)

        # an unstable trial step may overflow: the trust region then shrinks
        with np.errstate(over="ignore"):
            try:
                # scipy has no stubs
                solution = scipy.optimize.least_squares(
                    evaluate,
                    valley,
                    jac=derivatives,  # pyright: ignore[reportArgumentType] -- its default is a text
                    method="trf",
                    x_scale="jac",
                    ftol=tolerance,
                    xtol=tolerance,
                    gtol=None,  # pyright: ignore[reportArgumentType] -- and this one a number
                    max_nfev=evaluations,
                )
                best, status = solution.x, "converged" if solution.status > 0 else "finished"
            except _EndError as end:
                best, status = end.theta, end.status
    best = whole(best)
    exact.write(best)
    values = exact.residuals(best)
    lowest = float(values @ values)
    return FitResult(
        verdict(status, history[0], lowest, improved=lowest < history[0]),
        lowest,
        len(history),
        pd.DataFrame({"evaluation": np.arange(len(history)), "expected_loss": history}),
        time.perf_counter() - started,
    )


class _EndError(ArithmeticError):
    """Ends the least squares at `theta`, where the loss is zero or has no finite derivatives."""

    def __init__(self, theta: np.ndarray, status: str):
        super().__init__(status)
        self.theta, self.status = theta, status


def _descend(
    evaluate: Callable[[np.ndarray], tuple[float, np.ndarray]],
    start: np.ndarray,
    steps: int,
    history: list[float],
) -> np.ndarray:
    """Return the best point of a gradient descent from `start`; its losses are added to `history`."""
    theta = start.copy()
    weights = torch.from_numpy(theta)  # the same memory
    optimizer = torch.optim.Adam([weights], lr=0.01)
    best, lowest = start, math.inf
    for _ in range(steps):
        value, gradient = evaluate(theta)
        history.append(value)
        if value < lowest:
            best, lowest = theta.copy(), value
        weights.grad = torch.from_numpy(gradient)
        optimizer.step()
    return best
