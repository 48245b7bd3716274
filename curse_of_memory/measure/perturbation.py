"""Perturbation error E_m(β): the largest error of a model whose weights are off by up to β."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.measure.closed_form import check_closed_form
from curse_of_memory.measure.perturbation_table import PerturbationCurve
from curse_of_memory.measure.probing import probing
from curse_of_memory.measure.sampled_error import sampled_error
from curse_of_memory.measure.sequence_map import SequenceMap
from curse_of_memory.protocols import LinearLoss, LinearTask, Task, has_linear_memory
from curse_of_memory.tools import checks
from curse_of_memory.tools.random_streams import sample_seed, sample_stream

__all__ = ["BALLS", "perturbation_curve", "perturbed_errors"]

BALLS = ("spectral", "public_code")
COPIES_AT_ONCE = 1024  # of a linear model, unless `chunk` says how many


def perturbation_curve(
    model: nn.Module | SequenceMap,
    task: Task,
    betas: Sequence[float] | np.ndarray,
    *,
    draws: int = 30,
    ball: str = "spectral",
    loss: nn.Module | None = None,
    samples: int = 1024,
    output: Callable | None = None,
    chunk: int | None = None,
    progress: bool = False,
    seed: int = 0,
    device: torch.device | str = "auto",
) -> PerturbationCurve:
    """Measure E_m(β) = sup{error(θ̃) : |θ̃ − θ| ≤ β} over random directions.

    Parameters
    ----------
    model : torch.nn.Module or SequenceMap
        Maps what `task` draws to what it asks for; its weights are not changed. It is tried on the first test
        sequences, and refused if it is no map of each by itself; see :meth:`SequenceMap.check`.
    task
        As for :func:`curse_of_memory.training.fit`.
    betas : sequence of float
        Radii β ≥ 0, strictly increasing.
    draws : int
        Random directions. All radii share them, so that curves are smooth in β.
    ball : {'spectral', 'public_code'}
        The norm |θ̃ − θ| is the largest over the weight tensors of: the spectral norm, as in the
        paper (for a vector the Euclidean norm; for a vector that stands for a diagonal matrix, which
        a model names in ``diagonal_parameters``, its largest entry); or the largest entry of each
        tensor, as in the public code. Weights stay what they are: a diagonal matrix moves along its
        diagonal (``ball="diagonal"`` of :func:`worst_case_error`), a dense one in every entry (there
        ``ball="full"``, which the paper means). Complex weights move in both parts.
    loss : torch.nn.Module, optional
        The error; the unweighted mean squared error if none is given.
    samples : int
        Test sequences, where the error has to be sampled.
    output : callable, optional
        Chooses the sequence in what the model answers, as for :func:`memory_function`.
    chunk : int, optional
        How much is evaluated at once, for the memory of the machine: perturbed copies of a linear model
        (1024 unless given); of any other, test sequences of all copies together (unless given, as many
        copies as have 2²⁰ time steps, at least one, and no more sequences than have answers of 2²⁸ bytes).
    progress : bool
        Show a bar over the radii.
    seed : int
        Names the directions and the test sequences.
    device : str or torch.device
        Where the model is evaluated, in evaluation mode; it is left as it was.

    Returns
    -------
    PerturbationCurve
        An xarray.Dataset, which ``plot()`` draws. ``error(beta)``, the largest error seen within radius β,
        never decreasing; ``draw_error(beta, draw)``, the error of each draw at each radius, infinite where
        the perturbed model overflows; ``standard_error(beta)`` and ``draw_standard_error(beta, draw)``, their
        standard errors over the test sequences (all draws and radii share these, so that curves move as one).
        Attributes: `draws`, `ball`, `samples`, `loss`; `method`: ``'exact'`` (expected error of a linear
        model on a linear task, no data) or ``'sampled'``; and `bound`: what ``error`` is of E_m(β).
        ``'lower'``: a lower bound, up to rounding, as the error of every draw is exact. ``'estimate'``: the
        error of each draw is a mean over samples, which may lie on either side; the largest of several such
        lies above the largest error by chance, by up to about √(2 ln draws) standard errors.

    Raises
    ------
    ValueError, TypeError
        For radii that are negative or not increasing, an unknown ball, bad numbers, or a model
        without weights; for a linear model whose channels or time step are not those of the task; as
        :meth:`SequenceMap.check` does; and for a loss that is no mean over sequences where the answers to all
        `samples` do not fit into 2²⁸ bytes.

    Notes
    -----
    "Inverse approximation theory" (2305.19190), perturbation error: the ball is |θ|₂ = max(|W|₂,
    |U|₂, |b|₂, |c|₂). A point at radius β' ≤ β lies in the ball β, so that the running
    maximum bounds the supremum, too; the public code takes it as well.

    All draws of a radius are one batch: in closed form for a linear model; else by the model's own
    ``run_many(parameters, x)``, if it has that (from weights ``(copy, *shape)`` by name to what it answers,
    ``(copy, batch, time, channel)``), or by :func:`torch.func.vmap` where that is faster. A model that this
    cannot batch, because its steps depend on values or are random, is evaluated one copy after the other.

    Examples
    --------
    >>> from curse_of_memory.nn import RNN
    >>> from curse_of_memory.tasks import LinearFunctional
    >>> task = LinearFunctional(lambda t: 0.5**t, horizon=20)
    >>> model = RNN(4, diagonal=True, seed=0)
    >>> curve = perturbation_curve(model, task, betas=[0.0, 0.1], draws=5)
    >>> bool(curve.error[1] > curve.error[0]), curve.attrs["method"], curve.attrs["bound"]
    (True, 'exact', 'lower')
    """
    radii = checks.finite_array("betas", betas, ndim=1)
    if (radii < 0).any() or (np.diff(radii) <= 0).any():
        raise ValueError(f"betas must be non-negative and strictly increasing, got {list(betas)!r}")
    checks.positive_int("draws", draws)
    checks.flag("progress", progress)
    loss = TemporallyWeightedMSE() if loss is None else loss

    system = SequenceMap.of(model, output=output)

    table, standard = np.empty((2, radii.size, draws))
    with probing(system.model, device) as place:
        errors, exact = perturbed_errors(
            system, task, loss, draws, ball=ball, samples=samples, seed=seed, chunk=chunk, place=place
        )
        center = errors(0.0)
        for row, beta in enumerate(tqdm(radii, desc="radii", leave=False, disable=not progress)):
            table[row], standard[row] = errors(beta) if beta else center
    largest = np.empty((2, radii.size))
    seen = np.array([center.values[0], center.standard_errors[0]])
    for row, draw in enumerate(table.argmax(1)):
        if table[row, draw] > seen[0]:
            seen = np.array([table[row, draw], standard[row, draw]])
        largest[:, row] = seen
    return PerturbationCurve(
        {
            "error": ("beta", largest[0]),
            "standard_error": ("beta", largest[1]),
            "draw_error": (("beta", "draw"), table),
            "draw_standard_error": (("beta", "draw"), standard),
        },
        coords={"beta": radii, "draw": np.arange(draws)},
        attrs={
            "bound": "lower" if exact else "estimate",
            "draws": draws,
            "ball": ball,
            "method": "exact" if exact else "sampled",
            "samples": 0 if exact else samples,
            "loss": repr(loss),
        },
    )


class Errors(NamedTuple):
    """Errors of perturbed models ``(draw,)``, and their standard errors, zero for expected ones."""

    values: np.ndarray
    standard_errors: np.ndarray


def perturbed_errors(
    system: SequenceMap,
    task: Task,
    loss: nn.Module,
    draws: int,
    *,
    ball: str,
    samples: int,
    seed: int,
    chunk: int | None,
    place: torch.device,
) -> tuple[Callable[[float], Errors], bool]:
    """Return the errors as a function of the radius β, and whether they are expected ones.

    To be called inside :func:`probing`; errors that are NaN count as infinite.
    """
    checks.positive_int("samples", samples)
    checks.one_of("ball", ball, BALLS)
    checks.seed("seed", seed)
    checks.fulfilling("task", task, Task, "a task")
    if chunk is not None:
        checks.positive_int("chunk", chunk)
    model = system.model
    weights = {name: p.detach() for name, p in model.named_parameters()}
    if not weights:
        raise ValueError(f"model has no weights to perturb: {type(model).__name__}")
    directions = _directions(weights, getattr(model, "diagonal_parameters", ()), ball, draws, seed)
    exact = _exact_error(system, task, loss, chunk or COPIES_AT_ONCE)
    test = sample_seed("perturbation test", seed, samples)
    error = exact or sampled_error(system, task, loss, samples, test, place, chunk)

    def errors(beta: float) -> Errors:
        if beta:
            stacked = {name: w + beta * directions[name] for name, w in weights.items()}
        else:
            stacked = {name: w[None] for name, w in weights.items()}
        table = error(stacked).cpu().double().numpy()
        return Errors(*np.where(np.isnan(table), np.inf, table))

    return errors, exact is not None


def _directions(
    weights: dict[str, Tensor], diagonal: Sequence[str], ball: str, draws: int, seed: int
) -> dict[str, Tensor]:
    """Return random directions of norm one, ``(draw, *shape)`` for each weight tensor."""

    def unit(name: str, noise: np.ndarray) -> np.ndarray:
        if ball == "public_code" or name in diagonal:
            return noise / np.abs(noise).max()
        matrix = noise.reshape(noise.shape[0] if noise.ndim > 1 else 1, -1)
        return noise / np.linalg.norm(matrix, 2)

    units: dict[str, list[np.ndarray]] = {name: [] for name in weights}
    for draw in range(draws):
        stream = sample_stream("perturbation directions", seed, draw)
        for name, w in weights.items():
            noise = stream.standard_normal(tuple(w.shape))
            if w.is_complex():
                noise = noise + 1j * stream.standard_normal(tuple(w.shape))
            units[name].append(unit(name, noise))
    return {
        name: torch.as_tensor(np.stack(units[name]), dtype=w.dtype, device=w.device)
        for name, w in weights.items()
    }


def _exact_error(
    system: SequenceMap, task: object, loss: object, chunk: int
) -> Callable[[dict[str, Tensor]], Tensor] | None:
    """Return the map from stacked weights to expected errors, for linear models on linear tasks.

    With a row of zeros, their standard errors. None for all others.
    """
    model = system.model
    if system.kernel is None or not has_linear_memory(model):
        return None
    if not (checks.fulfils(task, LinearTask) and checks.fulfils(loss, LinearLoss)):
        return None
    check_closed_form(system.model, moved=True)
    errors = torch.func.vmap(lambda p: loss.expected(**task.linear_error(model, p)), chunk_size=chunk)

    def error(stacked: dict[str, Tensor]) -> Tensor:
        values = errors(stacked)
        return torch.stack([values, torch.zeros_like(values)])

    return error
