"""StableSSM (2311.14495): causal attention learnt by state space stacks, and how much memory it takes."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from curse_of_memory.experiments.grid import run_grid
from curse_of_memory.nn import S4D, CausalSelfAttention, SequenceStack
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.report.record import Number
from curse_of_memory.tasks import AttentionApproximation
from curse_of_memory.theory.lemmas.attention_memory import (
    expected_errors,
    golden_law,
    no_projection,
    presents,
)
from curse_of_memory.tools import checks
from curse_of_memory.tools.devices import resolve_device
from curse_of_memory.tools.random_streams import sample_seed
from curse_of_memory.training import sweep

__all__ = ["data", "left_by_models", "plot"]

DEGREES = ("degree 1", "degree 2", "degree 3")
CASES = {"1 channel": (1, False), "64 channels": (64, False), "64 channels, projected": (64, True)}
PAIRED, PAIRS = (2, 4, 8, 16, 32, 64), 4096  # lengths of sequences, and how many pairs for one channel
REACH: list[int] = np.union1d(PAIRED, np.geomspace(2, 100_000, 40).astype(int)).tolist()
CLOCK = (0.01, 1.0)  # range of Δ at the start, with modes that remember 2 to 200 steps
ATTENTION = "attention"
COLUMNS = ["panel", "task", "predictor", "layers", "seed", "step", "error", "measured"]


@figure_data(
    title="Attention learnt by state space stacks",
    source="StableSSM (2311.14495), public code",
)
def data(
    *,
    channels: int = 1,
    projected: bool = False,
    parameterizations: Sequence[str] = ("direct", "softplus", "exp", "best"),
    layers: Sequence[int] = (1, 2, 3),
    width: int = 16,
    states: int = 16,
    horizon: int = 32,
    steps: int = 200,
    batch_size: int = 16,
    learning_rate: float = 0.05,
    samples: int = 1024,
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train stacks of S4D layers, and one layer of attention, on a task of attention; compare with theory.

    The blocks are those of the public code: GELU, gated output, residual, layer norm. Rows of the panel
    *tasks* hold the expected ``error`` of a ``predictor`` at a ``step`` of three tasks, and that of the one
    without memory as ``measured``, too; those of *theory* the expected errors on the task of the training;
    those of *training* means over `samples` unseen sequences, for each model, the limit, and the best linear
    predictor fitted to just these. Columns: ``panel, task, predictor, layers, seed, step, error, measured``.
    """
    starts = range(seed, seed + checks.positive_int("seeds", seeds))
    place = resolve_device(device)
    task = AttentionApproximation(channels, horizon, projected=projected, seed=seed)
    parts = [_case(name, *case, seed, place) for name, case in CASES.items()]
    parts.append(_long(expected_errors(range(1, horizon + 1), _maps(task), seed=seed)).assign(panel="theory"))
    unseen = x, y = task.sample(samples, seed=sample_seed("unseen test", seed), dtype=torch.float64)
    limit = np.stack([p.limit for p in presents(x.flatten(0, 1).numpy(), _maps(task))])
    for name, answer in (("limit", torch.from_numpy(limit).view_as(y)), ("linear", _linear(x, y))):
        errors = _by_step((answer - y).square().mean((0, 2)))
        parts.append(errors.assign(panel="training", predictor=name))
    trained = run_grid(
        _trained,
        [{"layers": depth, "predictors": tuple(parameterizations)} for depth in layers]
        + [{"layers": 1, "predictors": (ATTENTION,)}],
        common={
            "starts": starts,
            "task": task,
            "unseen": unseen,
            "width": width,
            "states": states,
            "steps": steps,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "device": place,
        },
    )
    table = pd.concat([*parts, trained.assign(panel="training")], ignore_index=True)
    return _findings(table.astype({"layers": "Int64", "seed": "Int64"}).loc[:, COLUMNS])


def _by_step(errors: Tensor) -> pd.DataFrame:
    """Return errors at the steps 1, 2, …, as a table ``step, error``."""
    return pd.DataFrame({"step": range(1, len(errors) + 1), "error": errors})


def _trained(
    layers: int,
    predictors: Sequence[str],
    starts: Sequence[int],
    task: AttentionApproximation,
    unseen: tuple[Tensor, Tensor],
    width: int,
    states: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    device: torch.device,
) -> pd.DataFrame:
    """Train models of one depth from every start, all at once; return their errors on unseen sequences.

    Columns: ``predictor, seed, step, error``, with the mean squared error at every step.
    """

    def network(predictor: str, seed: int) -> SequenceStack:
        def mixing(width: int) -> torch.nn.Module:
            if predictor == ATTENTION:
                return CausalSelfAttention(width)
            return S4D(width, states, parameterization=predictor, step=CLOCK)

        return SequenceStack(
            mixing, width, layers, input_size=task.input_size, output_size=task.output_size, seed=seed
        )

    runs = [(predictor, seed) for predictor in predictors for seed in starts]
    models = [network(*run) for run in runs]
    sweep(
        models,
        task,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="cosine",
        weight_decay=0.01,
        validate_every=max(1, steps // 4),
        validation_size=256,
        seed=[seed for _, seed in runs],
        device=device,
    )
    tables = []
    for (predictor, seed), model in zip(runs, models, strict=True):
        weight = next(model.parameters())
        with torch.no_grad():
            batches = zip(*(tensor.to(weight).split(256) for tensor in unseen), strict=True)
            squares = torch.cat([(model(x) - y).square().mean(2) for x, y in batches])
        errors = _by_step(squares.double().mean(0).cpu())
        tables.append(errors.assign(predictor=predictor, seed=seed))
    return pd.concat(tables, ignore_index=True)


def _linear(x: Tensor, y: Tensor) -> Tensor:
    """Return the answers of the best affine function of x_1 … x_k at every step k, by least squares.

    Past inputs are exchangeable, so that all of them have one weight.
    """
    past = x.cumsum(1) - x
    columns = torch.cat([torch.ones_like(x[..., :1]), x, past], -1).transpose(0, 1)
    weights = torch.linalg.lstsq(columns, y.transpose(0, 1), driver="gelsd").solution
    return (columns @ weights).transpose(0, 1)


def _case(name: str, channels: int, projected: bool, seed: int, device: torch.device) -> pd.DataFrame:
    """Return expected errors of a task, and half the squared difference of y for two pasts of one present."""
    maps = _maps(AttentionApproximation(channels, 1, projected=projected, seed=seed))
    errors = _long(expected_errors(REACH, maps, seed=seed))
    measured = [_between_pasts(channels, n, projected, seed, device) for n in PAIRED]
    seen = pd.DataFrame({"predictor": "memoryless", "step": PAIRED, "measured": measured})
    return pd.concat([errors, seen]).assign(panel="tasks", task=name)


def _between_pasts(channels: int, n: int, projected: bool, seed: int, device: torch.device) -> float:
    """Return half the mean squared difference of y at step `n` for two pasts of one present."""
    pairs = PAIRS // math.isqrt(channels)
    task = AttentionApproximation(channels, n, projected=projected, seed=seed)
    x = task.sample(
        2 * pairs, seed=sample_seed("unseen test", seed), device=device, dtype=torch.float64
    ).inputs
    x[pairs:, -1] = x[:pairs, -1]
    first, second = task.answer(x)[:, -1].split(pairs)
    return (first - second).square().mean().item() / 2


def _maps(task: AttentionApproximation) -> np.ndarray:
    """Return the maps of queries, keys and values; identities for a task without projection."""
    return no_projection(task.input_size) if task.projection is None else task.projection


def _long(errors: pd.DataFrame) -> pd.DataFrame:
    """Return a table with a column a predictor in long form, ``step, predictor, error``."""
    return errors.melt("step", var_name="predictor", value_name="error")


def left_by_models(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean error of each model over that of the best predictor without memory.

    An error is measured over that of the limit on the same inputs, whose expectation is known: the rare large
    errors that both share cancel.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`data` makes it.

    Returns
    -------
    pandas.DataFrame
        One row per seed, and columns ``(predictor, layers)``.
    """
    models = table.loc[table.layers.notna()].groupby(["seed", "predictor", "layers"], sort=False).error.mean()
    expected, limit = _theory(table).mean(), _baseline(table, "limit").mean()
    return (models / limit * expected["limit"] / expected["memoryless"]).unstack([1, 2])


def _theory(table: pd.DataFrame) -> pd.DataFrame:
    """Return the expected errors on the task of the training, one row a step, one column a predictor."""
    return rows(table, panel="theory").pivot(index="step", columns="predictor", values="error")


def _baseline(table: pd.DataFrame, name: str) -> pd.Series:
    """Return the measured error of the predictor "limit" or "linear" by step."""
    return rows(table, panel="training", predictor=name).set_index("step").error


def _findings(table: pd.DataFrame) -> Findings:
    expected = {str(name): float(error) for name, error in _theory(table).mean().items()}
    memoryless = expected["memoryless"]
    memory = memoryless / expected["constant"]
    headline: dict[str, Number] = {"share of the target that takes memory": memory}
    theory = {name: expected[name] / memoryless for name in (*DEGREES, "additive")}
    headline |= {f"left of it, {name}, theory": share for name, share in theory.items()}
    linear = _baseline(table, "linear").mean() / _baseline(table, "limit").mean()
    headline["left of it, best linear predictor"] = float(linear * expected["limit"] / memoryless)
    left, runs = left_by_models(table), {}
    for name, depth in left:
        label = f"left of it, {_layers(depth)} of {name if name == ATTENTION else f'S4D, {name}'}"
        runs[label] = left.loc[:, (name, depth)]
        headline[label] = float(runs[label].mean())
    last = rows(table, panel="tasks", step=PAIRED[-1]).dropna(subset=["error"])
    for case, errors in groups(last, "task").items():
        error = errors.set_index("predictor").error
        label = f"share that takes memory at step {PAIRED[-1]}, {case}"
        headline[label] = float(error["memoryless"] / error["constant"])
    stacks = left.drop(columns=ATTENTION, level=0)
    by_depth = {depth: stacks.xs(depth, axis=1, level="layers") for depth in sorted(stacks.columns.unique(1))}
    trained = [
        f"{some.min(axis=None):.2g} to {some.max(axis=None):.2g} ({_layers(depth)})"
        for depth, some in by_depth.items()
    ]
    at_best = [f"{theory[name]:.2g} ({name})" for name in DEGREES]
    message = (
        f"{memory:.2%} of the target takes memory. Sums of polynomials in past inputs leave of it at best "
        f"{', '.join(at_best)}; trained stacks {', '.join(trained)}; a layer of attention at most "
        f"{left.xs(ATTENTION, axis=1).max(axis=None):.2g}."
    )
    return Findings(table, message, headline, spread=spreads(runs))


def _layers(depth: int) -> str:
    """Return a number of layers in words."""
    return "1 layer" if depth == 1 else f"{depth} layers"


def plot(data: FigureData) -> Figure:
    """Draw the share of three tasks that takes memory, and what theory and models leave of it on one."""
    table, curves, left = data.table, _theory(data.table), left_by_models(data.table)
    memoryless, known = curves.memoryless, curves.loc[:, [*DEGREES, "additive"]]
    over_all = known.mean() / memoryless.mean()
    lowest = min(over_all.min(), left.min(axis=None)) / 8
    with plotting.style():
        figure, (tasks, by_step, by_depth) = plotting.canvas(3, width=12.6, height=4.6)
        _draw_tasks(tasks, table)
        measure = memoryless * _baseline(table, "limit") / curves.limit
        _draw_steps(by_step, table, measure, known.div(memoryless, axis=0))
        _draw_depths(by_depth, left, over_all)
        for axis in (by_step, by_depth):
            axis.set(yscale="log", ylim=(lowest, 1.2))
            axis.legend(loc="lower left", ncols=2)
    return figure


def _draw_tasks(axis: Axes, table: pd.DataFrame) -> None:
    for case, (color, mark) in plotting.looks(CASES).items():
        some = rows(table, panel="tasks", task=case)
        curves = some.dropna(subset=["error"]).pivot(index="step", columns="predictor", values="error")
        shares = curves.div(curves.constant, axis=0)
        axis.plot(shares["memoryless"], color=color)
        axis.plot(shares["degree 1"], ":", color=color)
        seen = some.dropna(subset=["measured"]).set_index("step").measured
        axis.plot(seen / curves.constant[seen.index], mark, color=color, mfc="none")
        axis.add_line(plotting.entry(case, color, marker=mark, mfc="none"))
    far = np.array([n for n in REACH if n >= 100])
    axis.plot(far, golden_law(far), "--", color=plotting.INK, lw=1, label=r"$C\sqrt{\log n}\;n^{-0.618}$")
    axis.add_line(plotting.entry("left by degree 1", ls=":"))
    axis.set(xscale="log", yscale="log", xlabel="$n$, inputs seen", ylabel="share of the target's variance")
    axis.set(title="What takes memory", ylim=(3e-7, 1.5))
    axis.legend(loc="lower right")


def _draw_steps(axis: Axes, table: pd.DataFrame, measure: pd.Series, known: pd.DataFrame) -> None:
    later = known.loc[2:]  # a first input is answered without memory
    for name in later:
        axis.plot(later[name], "--" if name == "additive" else "-", color=plotting.INK, lw=1)
    models = table.dropna(subset=["layers"])
    means = models.groupby([models.predictor == ATTENTION, "layers", "step"]).error.mean()
    errors = means.unstack("step").loc[:, later.index] / measure.loc[later.index]
    looks = [*plotting.distinct(len(errors) - 1), (plotting.INK, "*")]
    for (color, mark), (attention, depth) in zip(looks, errors.index, strict=True):
        error = errors.loc[(attention, depth)]
        label = ATTENTION if attention else _layers(depth)
        every = max(1, len(error) // 16)
        axis.plot(error, mark, color=color, mfc="none", label=label, markevery=every)
    axis.set(xlabel="$n$, inputs seen", ylabel="left of what takes memory", title="Learnt, by step")


def _draw_depths(axis: Axes, left: pd.DataFrame, known: pd.Series) -> None:
    stacks = left.drop(columns=ATTENTION, level=0)
    depths = sorted(stacks.columns.unique(1))
    looks = plotting.looks(stacks.columns.unique(0))
    axis.set(xlim=(-0.5, len(depths) + 0.5), xticks=range(len(depths) + 1))
    for name, level in known.items():
        axis.axhline(level, ls="--" if name == "additive" else "-", color=plotting.INK, lw=1)
        axis.annotate(f"{name} ", (len(depths) + 0.5, level), (0, 2), textcoords="offset points", ha="right")
    for i, (name, (color, mark)) in enumerate(looks.items()):
        places = np.arange(len(depths)) + (i - (len(looks) - 1) / 2) * 0.6 / len(looks)
        lines = axis.plot(
            places,
            left.loc[:, [(name, depth) for depth in depths]].T.to_numpy(float),
            mark,
            color=color,
            mfc="none",
        )
        lines[0].set_label(name)
    alone = left.xs(ATTENTION, axis=1).to_numpy().ravel()
    axis.plot([len(depths)] * len(alone), alone, "*", color=plotting.INK, mfc="none")
    axis.set(xticklabels=[*map(_layers, depths), ATTENTION], title="Learnt, over all steps")
