"""The stability margin: the radius of weight perturbations up to which a model's error stays bounded."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from tqdm.auto import tqdm

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.measure.perturbation import perturbed_errors
from curse_of_memory.measure.probing import probing
from curse_of_memory.measure.sequence_map import SequenceMap
from curse_of_memory.protocols import Task
from curse_of_memory.tools import checks

__all__ = ["StabilityMargin", "stability_margin"]


@dataclass(frozen=True)
class StabilityMargin:
    """The radius at which the perturbation error leaves its bound, by :func:`stability_margin`.

    Attributes
    ----------
    beta : float
        A radius at which one of the directions tried has an error beyond the bound: an upper bound of
        the margin where errors are exact. inf if none has up to `largest`.
    inside : float
        The largest radius found at which none of them has; `beta` exceeds it by at most the tolerance.
    error : float
        E(0), the error of the model itself.
    allowed : float
        The bound, factor · E(0).
    draws : int
        Directions tried.
    largest : float
        Radius up to which was looked.
    method : str
        ``'exact'`` (expected errors) or ``'sampled'``.
    abscissa : float or None
        max Re of the eigenvalues of W, in 1/time, for models that name their ``recurrence()``. For a
        linear model with normal W that is its own weight, dh/dt = Wh is stable exactly in the ball
        β < −abscissa.
    """

    beta: float
    inside: float
    error: float
    allowed: float
    draws: int
    largest: float
    method: str
    abscissa: float | None = None

    @property
    def bound(self) -> str:
        """Whether `beta` is an ``'upper'`` bound of the margin or, from sampled errors, an ``'estimate'``."""
        return "upper" if self.method == "exact" else "estimate"


def stability_margin(
    model: nn.Module | SequenceMap,
    task: Task,
    *,
    factor: float = 2.0,
    draws: int = 30,
    smallest: float = 1e-6,
    largest: float = 10.0,
    tolerance: float = 1e-2,
    ball: str = "spectral",
    loss: nn.Module | None = None,
    samples: int = 1024,
    output: Callable | None = None,
    chunk: int | None = None,
    progress: bool = False,
    seed: int = 0,
    device: torch.device | str = "auto",
) -> StabilityMargin:
    """Find the radius β up to which the perturbation error stays within `factor` times E(0).

    The margin is sup{β : E_m(β) ≤ factor · E(0)}, with E_m the supremum over a ball of weights. Random
    directions are a lower bound of E_m, so that a radius at which one of them errs is an **upper**
    bound of the margin: the model is no more stable than that, and may be less. Where errors are sampled,
    all that is an estimate, as the errors are.

    Parameters
    ----------
    model, task, draws, ball, loss, samples, output, chunk, seed, device
        As for :func:`perturbation_curve`, and so are the directions.
    factor : float
        > 1; ``math.inf`` asks for a finite error only.
    smallest, largest : float
        Radii to look between: doubling from the first until a direction errs, then bisection.
    tolerance : float
        Relative, on the radius.
    progress : bool
        Show how many radii were tried.

    Returns
    -------
    StabilityMargin

    Raises
    ------
    ValueError, TypeError
        For bad numbers, and for a model whose error is zero or not finite.

    Notes
    -----
    "Inverse approximation theory" (2305.19190), perturbation error; the margin is a number of ours,
    a finite stand-in for its β₀ (the largest β up to which E is continuous).

    Examples
    --------
    >>> from curse_of_memory.nn import RNN
    >>> from curse_of_memory.tasks import LinearFunctional
    >>> task = LinearFunctional(lambda t: 0.5**t, horizon=20)
    >>> margin = stability_margin(RNN(4, diagonal=True, seed=0), task)
    >>> margin.inside < margin.beta < 1.01 * margin.inside, margin.method
    (True, 'exact')
    """
    if checks.real("factor", factor, endless=True) <= 1:
        raise ValueError(f"factor must exceed 1, got {factor!r}")
    checks.positive_int("draws", draws)
    low, high = checks.positive("smallest", smallest), checks.positive("largest", largest)
    if high <= low:
        raise ValueError(f"largest must exceed smallest = {low:g}, got {largest!r}")
    checks.positive("tolerance", tolerance)
    checks.flag("progress", progress)
    loss = TemporallyWeightedMSE() if loss is None else loss
    system = SequenceMap.of(model, output=output)
    with (
        probing(system.model, device) as place,
        tqdm(desc="radii", leave=False, disable=not progress) as bar,
    ):
        errors, exact = perturbed_errors(
            system, task, loss, draws, ball=ball, samples=samples, seed=seed, chunk=chunk, place=place
        )
        center = float(errors(0.0).values[0])
        if not 0 < center < math.inf:
            raise ValueError(f"model must have a finite error above zero, got {center:g}")
        allowed = factor * center

        def holds(beta: float) -> bool:
            worst = errors(beta).values.max()
            bar.update()
            return worst <= allowed and worst < math.inf

        inside, beta = _bracket(holds, low, high, tolerance)
        abscissa = _abscissa(system.model)
    return StabilityMargin(
        beta, inside, center, allowed, draws, high, "exact" if exact else "sampled", abscissa
    )


def _bracket(
    holds: Callable[[float], bool], low: float, high: float, tolerance: float
) -> tuple[float, float]:
    """Return neighbouring radii of which the first holds and the second does not."""
    inside, beta = 0.0, low
    while holds(beta):
        inside = beta
        if beta == high:
            return inside, math.inf
        beta = min(2 * beta, high)
    while inside and beta > (1 + tolerance) * inside:
        middle = math.sqrt(inside * beta)
        inside, beta = (middle, beta) if holds(middle) else (inside, middle)
    return inside, beta


def _abscissa(model: nn.Module) -> float | None:
    recurrence = getattr(model, "recurrence", None)
    if not inspect.ismethod(recurrence):  # but a part that has this name in a stranger's model
        return None
    W = recurrence()
    eigenvalues = W if W.ndim == 1 else torch.linalg.eigvals(W)
    return eigenvalues.real.max().item()
