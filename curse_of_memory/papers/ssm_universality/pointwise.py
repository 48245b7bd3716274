"""SSMs are universal approximators (2309.13414): element-wise functions by two state space layers, W = 0."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import nn

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.nn import SSM
from curse_of_memory.papers.ssm_universality._two_layer_stacks import (
    NONLINEARITIES,
    TwoLayers,
    without_memory,
)
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import rows
from curse_of_memory.report.record import Number
from curse_of_memory.tasks import Pointwise
from curse_of_memory.tools import checks
from curse_of_memory.tools.random_streams import sample_seed
from curse_of_memory.training import sweep

__all__ = ["data", "piecewise_linear_floor", "plot"]

FUNCTIONS = {"sin(3x)": lambda x: torch.sin(3 * x), "|x|": torch.abs}
LABELS = {"sin(3x)": r"\sin 3x", "|x|": "|x|"}
KNOTS, RANDOM, FLOOR = "ReLU, equal knots", "tanh, random", "no ReLU stack"
TRAINED = {"ReLU, trained": "relu", "tanh, trained": "tanh"}
FREE = "ReLU, trained, W free"
# As h → 0 the best continuous function of linear pieces of length h errs by h² |f''| / √720 in ℓ2; here
# h = 2/m and f'' = −9 f
LAW = 36 / math.sqrt(720)
STEEPEST = 6.0  # slopes of the units tanh(u (x − τ)) are uniform up to it, of either sign
ROUNDING = 1e-12  # of a sum of squares whose terms add up to one, from differences of cumulative sums
EXACT = 1e-12  # relative errors below are rounding, and drawn at the lower edge


@figure_data(
    title="Two state space layers without memory hold every function of the input of now",
    source="SSM universality (2309.13414), figure 1 and element-wise functions",
)
def data(
    *,
    widths: Sequence[int] = (1, 2, 4, 8, 16, 32, 64),
    trained_widths: Sequence[int] = (2, 8, 32),
    seeds: int = 3,
    draws: int = 20,
    points: int = 400,
    steps: int = 300,
    batch_size: int = 64,
    horizon: int = 8,
    learning_rate: float = 0.03,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Approximate y_k = f(x_k), x in [−1, 1], by ŷ = c · σ(U x + b) + d, in several ways.

    Errors are |f − ŷ| / |f| in ℓ2 over `points` equally spaced x, the midpoints of as many cells. Columns:
    ``function, kind, width, seed, error, past``. The kinds: *ReLU, equal knots* and *tanh, random* have
    inner weights without training (knots at −1 + 2 i/m; `draws` random draws) and exact least squares for
    the readout; *no ReLU stack* is the least error of any function of m + 1 linear pieces, hence below every
    ReLU stack of width m; *ReLU, trained* and *tanh, trained* are trained with W = 0, from `seeds` initial
    weights each, on sequences of `horizon` independent inputs; *ReLU, trained, W free* starts from a W that
    is not zero and trains it, too: there the error is that over random sequences, and `past` is the share of
    the variance of ŷ_k that the inputs before x_k account for.
    """
    checks.positive_int("seeds", seeds)
    checks.positive_int("draws", draws)
    checks.positive_int("points", points)
    if 2 * (max(widths) + 1) > points:
        raise ValueError(f"widths must be below half of points = {points}, got {max(widths)}")
    for name, several in (("widths", widths), ("trained_widths", trained_widths)):
        for width in several:
            checks.positive_int(name, width)
    exact = run_grid(
        _untrained,
        product_of(function=FUNCTIONS),
        common={"widths": widths, "draws": draws, "points": points, "seed": seed},
    )
    trained = run_grid(
        _trained,
        product_of(function=FUNCTIONS, width=trained_widths),
        common={
            "seeds": range(seed, seed + seeds),
            "points": points,
            "horizon": horizon,
            "steps": steps,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "device": device,
        },
    )
    table = pd.concat([exact, trained], ignore_index=True)
    table = pd.concat([rows(table, function=name) for name in FUNCTIONS], ignore_index=True)
    return _findings(table.loc[:, ["function", "kind", "width", "seed", "error", "past"]])


def _midpoints(points: int) -> np.ndarray:
    """Return the midpoints of `points` equal cells of [−1, 1]."""
    return -1 + (2 * np.arange(points) + 1) / points


def _untrained(function: str, widths: Sequence[int], draws: int, points: int, seed: int) -> pd.DataFrame:
    """Return the errors of stacks whose inner weights are given, and the floor below all, by width."""
    x = _midpoints(points)
    f = FUNCTIONS[function](torch.from_numpy(x)).numpy()
    floors = piecewise_linear_floor(x, f, max(widths) + 1)
    errors = []
    for m in widths:
        errors.append((FLOOR, m, seed, floors[m]))
        knots = np.stack([np.ones(m), 1 - 2 * np.arange(m) / m])
        errors.append((KNOTS, m, seed, _least_squares(x, f, "relu", *knots)))
        for draw in range(seed, seed + draws):
            units = _random_units(m, "tanh", draw)
            errors.append((RANDOM, m, draw, _least_squares(x, f, "tanh", *units)))
    return pd.DataFrame(errors, columns=["kind", "width", "seed", "error"]).assign(past=math.nan)


def _trained(
    function: str,
    width: int,
    seeds: Sequence[int],
    points: int,
    horizon: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    device: str,
) -> pd.DataFrame:
    """Train stacks of every kind; return their errors, and the shares of the past in their answers."""
    task = Pointwise(FUNCTIONS[function], horizon)
    runs = list(itertools.product(seeds, (*TRAINED, FREE)))
    models = [_stack(width, TRAINED.get(kind, "relu"), seed, memory=kind == FREE) for seed, kind in runs]
    sweep(
        models,
        task,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="cosine",
        validate_every=steps,
        validation_size=64,
        seed=[seed for seed, _ in runs],
        device=device,
    )
    x = _midpoints(points)
    f = FUNCTIONS[function](torch.from_numpy(x)).numpy()
    measured = []
    for model, (seed, kind) in zip(models, runs, strict=True):
        model.cpu()
        error = _error_and_past(model, task, seed) if kind == FREE else (_error_on(model, x, f), 0.0)
        measured.append((kind, seed, *error))
    return pd.DataFrame(measured, columns=["kind", "seed", "error", "past"])


def piecewise_linear_floor(x: np.ndarray, f: np.ndarray, pieces: int) -> np.ndarray:
    """Return the least |f − g| / |f| over all g that are linear on each of k runs of points, for k = 1, 2, ….

    By dynamic programming over the place where the last run begins; what rounding may have added is taken
    off. The answer of m ReLU units on a line has at most m + 1 linear pieces.

    Parameters
    ----------
    x, f : arrays of shape (points,)
        Ascending points, and the values there.
    pieces : int
        The largest number of runs.

    Returns
    -------
    array of shape (pieces,)
        For k = 1, 2, …, `pieces`.
    """
    x, f = x - x.mean(), f / np.linalg.norm(f)
    sums = [np.concatenate([[0.0], np.cumsum(v)]) for v in (np.ones_like(x), x, f, x * x, x * f, f * f)]
    n, sx, sf, sxx, sxf, sff = (s[None, :] - s[:, None] for s in sums)  # of the points i … j − 1
    count = np.maximum(n, 1)
    slope_energy = (sxf - sx * sf / count) ** 2 / np.where(n > 1, sxx - sx**2 / count, 1.0)
    cost = np.maximum(sff - sf**2 / count - slope_energy, 0.0)
    cost[n <= 0] = math.inf  # a run has points
    best, least = cost[0], []
    for _ in range(pieces):
        least.append(best[-1])
        best = np.minimum(best, (best[:, None] + cost).min(0))
    return np.sqrt(np.maximum(np.array(least) - ROUNDING, 0.0))


def _random_units(width: int, sigma: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return u and b of units σ(u x + b) that bend at points uniform in [−1, 1]."""
    random = np.random.default_rng(seed)
    slopes = random.choice([-1.0, 1.0], width) * (
        1 if sigma == "relu" else random.uniform(0, STEEPEST, width)
    )
    return slopes, -slopes * random.uniform(-1, 1, width)


def _least_squares(x: np.ndarray, f: np.ndarray, sigma: str, u: np.ndarray, b: np.ndarray) -> float:
    """Return the relative error with the best c and d for given inner weights."""
    features = NONLINEARITIES[sigma](torch.from_numpy(np.multiply.outer(x, u) + b)).numpy()
    design = np.column_stack([features, np.ones_like(x)])
    rest = f - design @ np.linalg.lstsq(design, f)[0]
    return float(np.linalg.norm(rest) / np.linalg.norm(f))


def _stack(width: int, sigma: str, seed: int, *, memory: bool = False) -> TwoLayers:
    """Return a stack of `width` random units; with `memory` W starts as the library starts it, not zero."""
    layer = SSM if memory else without_memory
    first = layer(width, output_size=width, seed=seed, dtype=torch.float64)
    slopes, shifts = (torch.from_numpy(part) for part in _random_units(width, sigma, seed))
    with torch.no_grad():
        first.input_weight[:, 0] = slopes
        assert isinstance(first.bias, torch.Tensor)
        first.bias[:] = shifts
        first.output_weight.copy_(torch.eye(width))
    first.output_weight.requires_grad_(False)  # U and b say all that C could
    return TwoLayers(first, sigma, seed=seed)


@torch.no_grad()
def _error_on(model: nn.Module, x: np.ndarray, f: np.ndarray) -> float:
    """Return the relative error at the inputs x, each a sequence of one step."""
    answers = model(torch.from_numpy(x)[:, None, None])[:, 0, 0].numpy()
    return float(np.linalg.norm(answers - f) / np.linalg.norm(f))


@torch.no_grad()
def _error_and_past(model: nn.Module, task: Pointwise, seed: int) -> tuple[float, float]:
    """Return the error at the last step, and E Var(ŷ_k | x_k) / Var ŷ_k, over 4096 pairs of sequences.

    The two of a pair share their last input: half the mean square of the difference of their answers is the
    variance that the past causes.
    """
    x, y = task.sample(2 * 4096, seed=sample_seed("unseen test", seed), dtype=torch.float64)
    x[1::2, -1], y[1::2, -1] = x[::2, -1].clone(), y[::2, -1].clone()
    answers, truth = model(x)[:, -1, 0], y[:, -1, 0]
    error = (answers - truth).norm() / truth.norm()
    past = (answers[1::2] - answers[::2]).square().mean() / 2 / answers.var()
    return error.item(), past.item()


def medians(table: pd.DataFrame) -> pd.DataFrame:
    """Return the median error over the seeds, one row a function and width, one column a kind."""
    return table.groupby(["function", "width", "kind"]).error.median().unstack()


def _findings(table: pd.DataFrame) -> Findings:
    errors = medians(table)
    widest = rows(table, kind=FREE).width.max()
    runs = rows(table, width=widest).groupby(["function", "kind"]).error
    headline: dict[str, Number] = {}
    by_seed = {}
    for run in itertools.product(FUNCTIONS, (*TRAINED, FREE)):
        label = f"{run[0]}, m = {widest}, {run[1]}"
        by_seed[label] = runs.get_group(run)
        headline[label] = float(by_seed[label].median())
    sine = errors.loc["sin(3x)", KNOTS]
    law = float(sine.index[-1] ** 2 * sine.iloc[-1])
    headline["sin(3x), equal knots: m² × error at the largest m"] = law
    headline["the law of that, 36/√720"] = LAW
    headline["|x|, two ReLU units"] = errors.loc["|x|", KNOTS].to_dict().get(2, math.nan)
    past = float(table.past.max())
    headline["W free: largest share of the past in ŷ"] = past
    reached, free = (
        [errors.loc[(function, widest), kind] for function in FUNCTIONS] for kind in ("ReLU, trained", FREE)
    )
    message = (
        f"With m ReLU units on equal knots the error of sin(3x) is {law:.3g}/m² at the largest m (theory: "
        f"{LAW:.3g}/m²), and two units hold |x|. Training with W = 0 reaches {reached[0]:.1g} and "
        f"{reached[1]:.1g} at m = {widest} (medians over seeds). A stack that has to find W = 0 by itself "
        f"reaches {free[0]:.1g} and {free[1]:.1g} in as many steps; at most {100 * past:.2g} % of the "
        "variance of its answers comes from the past."
    )
    return Findings(table, message, headline, spread=spreads(by_seed))


def plot(data: FigureData) -> Figure:
    """Draw the two layers, and errors against widths: constructions as lines, trained stacks as marks."""
    middle = medians(data.table)
    with plotting.style():
        figure, (sketch, *axes) = plotting.canvas(1 + len(FUNCTIONS), width=12.6, height=4.4)
        _draw_layers(sketch)
        for axis, function in zip(axes, FUNCTIONS, strict=True):
            _draw_errors(axis, middle.loc[function], rows(data.table, function=function))
            axis.set(title=f"$f(x)={LABELS[function]}$", xlabel="width $m$ (units)")
        axes[0].set_ylabel(r"relative error $\|f-\hat y\|/\|f\|$")
        plotting.joined_legend(figure, [axes[0]], ncols=3)
    return figure


def _draw_errors(axis: Axes, middle: pd.DataFrame, errors: pd.DataFrame) -> None:
    colors: dict[str, plotting.Color] = dict(zip(("relu", "tanh"), plotting.order(2), strict=True))
    lines = {
        KNOTS: ("relu", "-", "ReLU, equal knots, least squares"),
        RANDOM: ("tanh", "--", "tanh, random, least squares (median)"),
    }
    for kind, (sigma, line, label) in lines.items():
        curve = middle[kind].dropna().clip(lower=EXACT)
        axis.plot(curve.index, curve, ls=line, color=colors[sigma], label=label)
    drawn = rows(errors, kind=RANDOM).groupby("width").error
    band = drawn.min().clip(lower=EXACT), drawn.max().clip(lower=EXACT)
    plotting.band(axis, band[0].index, *band, colors["tanh"], alpha=0.25)
    floor = middle[FLOOR].clip(lower=EXACT)
    label = "no ReLU stack of width $m$"
    plotting.band(axis, floor.index, EXACT, floor, plotting.INK, alpha=0.14, label=label)
    marks = {
        "ReLU, trained": ("o", 0.90, "relu"),
        "tanh, trained": ("s", 1.11, "tanh"),
        FREE: ("D", 1.0, None),
    }
    for kind, (mark, aside, sigma) in marks.items():
        some = rows(errors, kind=kind)
        face = "white" if sigma is None else colors[sigma]
        label = kind.replace("W free", "$W$ free") if kind == FREE else f"{kind}, $W=0$"
        axis.plot(some.width * aside, some.error, mark, color=face, mec=plotting.INK, ms=5.5, label=label)
    widths = sorted(set(errors.width))
    axis.set(xscale="log", yscale="log", ylim=(EXACT, 2))
    axis.set_xticks(widths, [str(width) for width in widths])
    axis.minorticks_off()


def _draw_layers(axis: Axes) -> None:
    """Draw the structure of figure 1: two layers, each W, U and C, with σ between them."""
    axis.set(xlim=(0, 1), ylim=(0, 1), title="Two layers, $W=0$: $m$ units")
    axis.set_axis_off()
    boxes = {
        0.80: r"layer 1:  $h_k=W h_{k-1}+U x_k+b$",
        0.53: r"at every step:  $\sigma(C h_k)$",
        0.26: r"layer 2:  $\hat y_k=c\cdot\sigma(C h_k)+d$",
    }
    for height, text in boxes.items():
        box = FancyBboxPatch(
            (0.03, height - 0.065), 0.94, 0.13, boxstyle="round,pad=0.015", fc="white", ec=plotting.INK
        )
        axis.add_patch(box)
        axis.text(0.5, height, text, ha="center", va="center", fontsize=11)
    between = [(above - 0.085, below + 0.085) for above, below in itertools.pairwise(boxes)]
    for start, stop in ((0.98, 0.885), *between, (0.175, 0.06)):
        axis.annotate("", (0.5, stop), (0.5, start), arrowprops={"arrowstyle": "->", "color": plotting.INK})
    axis.text(0.55, 0.955, "$x_k$", va="center")
    axis.text(0.55, 0.10, r"$\hat y_k\approx f(x_k)$", va="center")
