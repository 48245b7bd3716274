"""StableSSM (2311.14495): causal attention learnt by state space stacks, and how much memory it takes."""

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from curse_of_memory.nn import S4D, CausalSelfAttention, SequenceStack
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
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
from curse_of_memory.training import fit, run_all

__all__ = ["data", "left_by_models", "plot"]

DEGREES = ("degree 1", "degree 2", "degree 3")
CASES = {"1 channel": (1, False), "64 channels": (64, False), "64 channels, projected": (64, True)}
PAIRED, PAIRS = (2, 4, 8, 16, 32, 64), 4096  # lengths of sequences, and how many pairs for one channel
REACH = np.union1d(PAIRED, np.geomspace(2, 100_000, 40).astype(int))
CLOCK = (0.01, 1.0)  # range of Δ at the start, with modes that remember 2 to 200 steps
ATTENTION = "attention"


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
    """Train stacks of S4D layers, and one layer of attention, on attention; compute what theory says of it.

    The blocks are those of the public code: GELU, gated output, residual, layer norm. Rows of the panel
    *tasks* hold the expected ``error`` of a ``predictor`` at a ``step`` of three tasks, and that of the one
    without memory as ``measured``, too; those of *theory* the expected errors on the task of the training;
    those of *training* means over `samples` unseen sequences, for each model, the limit, and the best linear
    predictor fitted to just these. Columns: ``panel, task, predictor, layers, seed, step, error, measured``.
    """
    seeds = range(seed, seed + checks.positive_int("seeds", seeds))
    device = resolve_device(device)
    task = AttentionApproximation(channels, horizon, projected=projected, seed=seed)
    parts = [_case(name, *case, seed, device) for name, case in CASES.items()]
    parts.append(_long(expected_errors(range(1, horizon + 1), _maps(task), seed=seed)).assign(panel="theory"))
    unseen = x, y = task.sample(samples, seed=sample_seed("unseen test", seed), dtype=torch.float64)
    limit = np.stack([p.limit for p in presents(x.flatten(0, 1).numpy(), _maps(task))])
    errors = [
        (answer - y).square().mean((0, 2)) for answer in (torch.from_numpy(limit).view_as(y), _linear(x, y))
    ]
    kinds = [(name, depth) for depth, name in product(layers, parameterizations)] + [(ATTENTION, 1)]
    runs = [{"predictor": name, "layers": depth, "seed": i} for (name, depth), i in product(kinds, seeds)]
    training = {"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate, "device": device}
    same = {"task": task, "unseen": unseen, "width": width, "states": states, "training": training}
    errors += run_all(_trained, [run | same for run in runs])
    for run, error in zip([{"predictor": "limit"}, {"predictor": "linear"}, *runs], errors, strict=True):
        parts.append(pd.DataFrame({"panel": "training", "step": range(1, horizon + 1), "error": error} | run))
    table = pd.concat(parts, ignore_index=True).astype({"layers": "Int64", "seed": "Int64"})
    return _findings(table)


def _trained(
    predictor: str, layers: int, seed: int, task, unseen: tuple, width: int, states: int, training: dict
) -> Tensor:
    """Return the mean squared error of a new model at every step after training."""

    def mixing(width: int) -> torch.nn.Module:
        if predictor == ATTENTION:
            return CausalSelfAttention(width)
        return S4D(width, states, parameterization=predictor, step=CLOCK)

    sizes = {"input_size": task.input_size, "output_size": task.output_size}
    model = SequenceStack(mixing, width, layers, seed=seed, **sizes)
    often = {"validate_every": max(1, training["steps"] // 4), "validation_size": 256}
    fit(model, task, schedule="cosine", weight_decay=0.01, seed=seed, **often, **training)
    weight = next(model.parameters())
    with torch.no_grad():
        parts = zip(*(some.to(weight).split(256) for some in unseen), strict=True)
        squares = torch.cat([(model(x) - y).square().mean(2) for x, y in parts])
    return squares.double().mean(0).cpu()


def _linear(x: Tensor, y: Tensor) -> Tensor:
    """Return at every step k what the best affine function of x_1 … x_k answers, by least squares.

    Past inputs are exchangeable, so that it gives all of them one weight.
    """
    past = x.cumsum(1) - x
    columns = torch.cat([torch.ones_like(x[..., :1]), x, past], -1).transpose(0, 1)
    weights = torch.linalg.lstsq(columns, y.transpose(0, 1), driver="gelsd").solution
    return (columns @ weights).transpose(0, 1)


def _case(name: str, channels: int, projected: bool, seed: int, device: torch.device) -> pd.DataFrame:
    """Return expected errors of a task, and half the squared difference of y for two pasts of one present."""
    kind = {"projected": projected, "seed": seed}
    maps = _maps(AttentionApproximation(channels, 1, **kind))
    errors = _long(expected_errors(REACH, maps, seed=seed))
    measured, pairs = [], PAIRS // math.isqrt(channels)
    for n in PAIRED:
        task = AttentionApproximation(channels, n, **kind)
        x = task.sample(
            2 * pairs, seed=sample_seed("unseen test", seed), device=device, dtype=torch.float64
        ).inputs
        x[pairs:, -1] = x[:pairs, -1]
        first, second = task.answer(x)[:, -1].split(pairs)
        measured.append((first - second).square().mean().item() / 2)
    seen = pd.DataFrame({"predictor": "memoryless", "step": PAIRED, "measured": measured})
    return pd.concat([errors, seen]).assign(panel="tasks", task=name)


def _maps(task: AttentionApproximation) -> np.ndarray:
    return no_projection(task.input_size) if task.projection is None else task.projection


def _long(errors: pd.DataFrame) -> pd.DataFrame:
    return errors.melt("step", var_name="predictor", value_name="error")


def left_by_models(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean error of each model over that of the best predictor without memory.

    Errors are measured as multiples of that of the limit on the same inputs, whose expectation is known: rare
    large ones are common to both.

    Parameters
    ----------
    table : DataFrame
        As :func:`data` makes it.

    Returns
    -------
    DataFrame
        One row per seed, and columns ``(predictor, layers)``.
    """
    models = table[table.layers.notna()].groupby(["seed", "predictor", "layers"], sort=False).error.mean()
    expected, limit = _theory(table).mean(), _baseline(table, "limit").mean()
    return (models / limit * expected["limit"] / expected["memoryless"]).unstack([1, 2])


def _theory(table: pd.DataFrame) -> pd.DataFrame:
    return table[table.panel == "theory"].pivot(index="step", columns="predictor", values="error")


def _baseline(table: pd.DataFrame, name: str) -> pd.Series:
    return table[(table.panel == "training") & (table.predictor == name)].set_index("step").error


def _findings(table: pd.DataFrame) -> Findings:
    expected = _theory(table).mean()
    memory = expected["memoryless"] / expected["constant"]
    headline = {"share of the target that takes memory": float(memory)}
    for name in (*DEGREES, "additive"):
        headline[f"left of it, {name}, theory"] = float(expected[name] / expected["memoryless"])
    linear = _baseline(table, "linear").mean() / _baseline(table, "limit").mean()
    headline["left of it, best linear predictor"] = float(linear * expected["limit"] / expected["memoryless"])
    left, runs = left_by_models(table), {}
    for name, depth in left:
        label = f"left of it, {_layers(depth)} of {name if name == ATTENTION else f'S4D, {name}'}"
        headline[label] = float(left[name, depth].mean())
        runs[label] = left[name, depth]
    last = table[(table.panel == "tasks") & (table.step == PAIRED[-1]) & table.error.notna()]
    for case, rows in last.groupby("task", sort=False):
        error = rows.set_index("predictor").error
        label = f"share that takes memory at step {PAIRED[-1]}, {case}"
        headline[label] = float(error["memoryless"] / error["constant"])
    by_depth = left.drop(columns=ATTENTION, level=0).T.groupby("layers")
    trained = [f"{f.min(axis=None):.2g} to {f.max(axis=None):.2g} ({_layers(d)})" for d, f in by_depth]
    theory = [f"{headline[f'left of it, {name}, theory']:.2g} ({name})" for name in DEGREES]
    message = (
        f"{memory:.2%} of the target takes memory. Sums of polynomials in past inputs leave of it at best "
        f"{', '.join(theory)}; trained stacks {', '.join(trained)}; a layer of attention at most "
        f"{left[ATTENTION].max(axis=None):.2g}."
    )
    return Findings(table, message, headline, spread=spreads(runs))


def _layers(depth: int) -> str:
    return "1 layer" if depth == 1 else f"{depth} layers"


def plot(data: FigureData) -> Figure:
    """Draw how much of three tasks takes memory, and what theory and trained models leave of it on one."""
    table, curves, left = data.table, _theory(data.table), left_by_models(data.table)
    memoryless, known = curves["memoryless"], curves[[*DEGREES, "additive"]]
    over_all = known.mean() / memoryless.mean()
    lowest = min(over_all.min(), left.min(axis=None)) / 8
    with plotting.style():
        figure, (tasks, by_step, by_depth) = plotting.canvas(3, width=12.6, height=4.6)
        _draw_tasks(tasks, table)
        measure = memoryless * _baseline(table, "limit") / curves["limit"]
        _draw_steps(by_step, table, measure, known.div(memoryless, axis=0))
        _draw_depths(by_depth, left, over_all)
        for axis in (by_step, by_depth):
            axis.set(yscale="log", ylim=(lowest, 1.2))
            axis.legend(loc="lower left", ncols=2)
    return figure


def _draw_tasks(axis: Axes, table: pd.DataFrame) -> None:
    tasks = table[table.panel == "tasks"].groupby("task", sort=False)
    for (color, mark), (case, rows) in zip(plotting.distinct(len(CASES)), tasks, strict=True):
        curves = rows[rows.error.notna()].pivot(index="step", columns="predictor", values="error")
        shares = curves.div(curves["constant"], axis=0)
        axis.plot(shares["memoryless"], color=color)
        axis.plot(shares["degree 1"], ":", color=color)
        seen = rows[rows.measured.notna()].set_index("step").measured
        axis.plot(seen / curves["constant"][seen.index], mark, color=color, mfc="none")
        axis.plot([], [], mark, ls="-", color=color, mfc="none", label=case)
    far = shares.index[shares.index >= 100]
    axis.plot(far, golden_law(far), "--", color=plotting.INK, lw=1, label=r"$C\sqrt{\log n}\;n^{-0.618}$")
    axis.plot([], [], ":", color=plotting.INK, label="left by degree 1")
    axis.set(xscale="log", yscale="log", xlabel="$n$, inputs seen", ylabel="share of the target's variance")
    axis.set(title="What takes memory", ylim=(3e-7, 1.5))
    axis.legend(loc="lower right")


def _draw_steps(axis: Axes, table: pd.DataFrame, measure: pd.Series, known: pd.DataFrame) -> None:
    later = known.loc[2:]  # a first input is answered without memory
    for name in later:
        axis.plot(later[name], "--" if name == "additive" else "-", color=plotting.INK, lw=1)
    means = table[table.layers.notna()].groupby([table.predictor == ATTENTION, "layers", "step"]).error.mean()
    errors = means.unstack("step")[later.index] / measure[later.index]
    looks = [*plotting.distinct(len(errors) - 1), (plotting.INK, "*")]
    for (color, mark), ((attention, depth), error) in zip(looks, errors.iterrows(), strict=True):
        label = ATTENTION if attention else _layers(depth)
        every = max(1, len(error) // 16)
        axis.plot(error, mark, color=color, mfc="none", label=label, markevery=every)
    axis.set(xlabel="$n$, inputs seen", ylabel="left of what takes memory", title="Learnt, by step")


def _draw_depths(axis: Axes, left: pd.DataFrame, known: pd.Series) -> None:
    stacks = left.drop(columns=ATTENTION, level=0)
    names, depths = stacks.columns.unique(0), sorted(stacks.columns.unique(1))
    axis.set(xlim=(-0.5, len(depths) + 0.5), xticks=range(len(depths) + 1))
    for name, level in known.items():
        axis.axhline(level, ls="--" if name == "additive" else "-", color=plotting.INK, lw=1)
        axis.annotate(f"{name} ", (len(depths) + 0.5, level), (0, 2), textcoords="offset points", ha="right")
    for i, ((color, mark), name) in enumerate(zip(plotting.distinct(len(names)), names, strict=True)):
        places = np.arange(len(depths)) + (i - (len(names) - 1) / 2) * 0.6 / len(names)
        lines = axis.plot(places, left[name][depths].T.to_numpy(float), mark, color=color, mfc="none")
        lines[0].set_label(name)
    alone = left[ATTENTION].to_numpy().ravel()
    axis.plot([len(depths)] * len(alone), alone, "*", color=plotting.INK, mfc="none")
    axis.set(xticklabels=[*map(_layers, depths), ATTENTION], title="Learnt, over all steps")
