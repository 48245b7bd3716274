"""Audit of how IAT (2305.19190) measures memory: definition 3.1, public code, and figure 12."""

import math

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.measure import memory_function
from curse_of_memory.nn import RNN
from curse_of_memory.papers.audit._public_probes import (
    Convolution,
    DecoderTeacher,
    saved_query,
    second_difference,
    single_step,
    torch_seed,
)
from curse_of_memory.papers.audit._table import Row, both_ways, over_draws, printed
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks.sampling import white_noise
from curse_of_memory.tasks.teacher import random_rnn
from curse_of_memory.theory import targets
from curse_of_memory.tools import checks

__all__ = ["data", "plot"]

CHANNELS, HIDDEN = 4, 16  # of the linear RNN that single inputs probe
LAG = 10
TEACHER = 256  # states of the random RNN
LABELS = {8: 32, 16: 64, 32: 128, 64: 256}  # of the curves in figure 12(b), and the widths in the logs
ZERO = 1e-4  # where β = 0 is drawn, as the authors do
COLUMNS = ["panel", "curve", "kind", "x", "y"]


@figure_data(
    title="Audit: how memory is measured",
    source="Inverse approximation theory (2305.19190): definition 3.1, public code, figure 12 and its logs",
)
def data(
    *,
    horizon: int = 60,
    inputs: int = 20,
    sequences: int = 128,
    repeats: int = 32,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Measure memories by definition and as the public code does.

    *inputs*: a linear RNN with four input channels: |ρ(t)|₁, the supremum over inputs, and `inputs` single
    random ones, divided by |x|. *transformer*: a causal transformer's memory, and what the code saves in its
    place, twice. *figure 12*: the logged curves under their widths. `sequences` is the batch that the
    published teacher mixes, and `repeats` how often its dropout is drawn. Columns: ``panel, curve, kind, x,
    y``.
    """
    checks.positive_int("inputs", inputs)
    parts, probing = _single_inputs(horizon, inputs, seed, device)
    transformer, teacher = _teachers(horizon, sequences, repeats, seed, device)
    logged = reference("inverse_approximation/figure12")
    for m, curve in logged.groupby("m"):
        parts.append(_curve("figure 12", f"{m}", "logged", curve.beta.replace(0.0, ZERO), curve.error))
    rows = [*probing, *_differences(), *_query(horizon, seed, device), *teacher, *_figure12(logged)]
    least, most = (parts[2].groupby("curve").y.first() / parts[0].y.iloc[0]).agg(["min", "max"])
    message = (
        f"One random input shows {least:.0%} to {most:.0%} of the memory at lag 0. What the code saves as "
        f"the memory of its transformer is a constant and dropout noise: two runs of it correlate by "
        f"{teacher[-1].as_code:.2f}."
    )
    table = pd.concat([*parts, *transformer], ignore_index=True)[COLUMNS]
    return Findings(table, message, both_ways(rows), {}, printed(rows), over_draws(rows))


def _curve(panel: str, curve: str, kind: str, x, y) -> pd.DataFrame:
    return pd.DataFrame({"panel": panel, "curve": curve, "kind": kind, "x": x, "y": np.asarray(y)})


def _single_inputs(horizon: int, inputs: int, seed: int, device: str) -> tuple[list, list[Row]]:
    model = RNN(HIDDEN, input_size=CHANNELS, diagonal=True, bias=False, seed=seed, dtype=torch.float64)
    exact = memory_function(model, horizon + 1, device=device)
    found = memory_function(model, horizon + 1, closed_form=False, device=device)
    lags = np.arange(horizon + 1)
    parts = [
        _curve("inputs", "exact", "exact", lags, exact),
        _curve("inputs", "supremum", "measured", lags, found),
    ]
    singles = []
    for draw in range(inputs):
        change, size = single_step(model, horizon, seed + draw)
        singles.append((change, size))
    divided = [_curve("inputs", f"{i}", "single", lags[1:], c / s) for i, (c, s) in enumerate(singles)]
    parts.append(pd.concat(divided, ignore_index=True))
    at = f"memory at lag {LAG}, {CHANNELS} inputs"
    seen = [change[LAG - 1] / size for change, size in singles]
    first, size = singles[0]
    return parts, [
        Row(
            "inputs",
            "supremum over inputs",
            "code: one random input",
            f"{at}, median of {inputs}",
            float(exact[LAG]),
            float(np.median(seen)),
            seen,
        ),
        Row(
            "size of the input",
            r"divided by $\lvert x\rvert_\infty$",
            "code: not divided",
            f"{at}, the first one",
            first[LAG - 1] / size,
            first[LAG - 1],
        ),
    ]


def _differences() -> list[Row]:
    rate, dt = -math.log(0.9), 0.1
    fine, plain = (RNN.from_exponential_sum(rates=[rate], coefficients=[1.0], dt=step) for step in (dt, 1.0))
    derivative = r"$\mathrm{d}H_t/\mathrm{d}t$", r"code: $\lvert y_{t+1}-y_t\rvert$"

    def ratio(model: RNN, entry: int) -> tuple[float, float]:
        """Return memory and difference at one entry of the curves, for an input of one."""
        change, size = single_step(model, entry + 1, 0)
        return float(memory_function(model, entry + 1)[entry]), float(change[entry] / size)

    rho = targets.named("iat-paper-polynomial")
    lags = np.arange(100, 400)
    model = Convolution(rho(np.arange(402)))
    first = memory_function(model, 400).values
    second = second_difference(model, 100)
    slopes = (-float(np.polyfit(np.log(1 + lags), np.log(curve[lags]), 1)[0]) for curve in (first, second))
    return [
        Row("first entry", *derivative, "ρ(t) = 0.9ᵗ, first entry of the curve", *ratio(plain, 0)),
        Row("time step", *derivative, f"ρ(t) = 0.9ᵗ, Δt = {dt:g}, entry {LAG}", *ratio(fine, LAG)),
        Row(
            "difference in the generator",
            "first",
            "code: second, input 0.1",
            "power law fitted to a memory of exponent 1.1",
            *slopes,
        ),
    ]


def _query(horizon: int, seed: int, device: str) -> list[Row]:
    teacher = random_rnn(TEACHER, seed).double()
    memory = memory_function(teacher, horizon, probe="impulse", device=device).values
    saved = saved_query(teacher, horizon, seed)
    quantity = f"random RNN, m = {TEACHER}: last over first of {horizon} lags"
    return [
        Row(
            "query of the filter task",
            "impulse at $t=0$",
            "code: zeros, impulse set too late",
            quantity,
            memory[-1] / memory[0],
            saved[-1] / saved[0],
        )
    ]


def _teachers(horizon: int, sequences: int, repeats: int, seed: int, device: str) -> tuple[list, list[Row]]:
    paper, code = DecoderTeacher(False, seed).eval(), DecoderTeacher(True, seed).eval()
    memory = memory_function(paper, horizon, probe="impulse", device=device).values
    saved = [saved_query(code, horizon, seed + i) for i in range(2)]
    still = DecoderTeacher(True, seed).eval()
    lags = np.arange(horizon)
    x = white_noise(sequences, horizon, 1, variance=1.0, seed=seed)
    changed = x.clone()
    changed[0, 0] += 1.0  # the first input of the first sequence
    with torch.no_grad():
        moved = [(model(changed) - model(x)).abs() for model in (paper, still)]
        later = [float(change[0, 1:].max()) for change in moved]
        others = [float(change[1:].max()) for change in moved]
        with torch_seed(seed):
            answers = torch.stack([code.train()(x) for _ in range(repeats)])
        constant = float(still(torch.zeros(1, horizon, 1, dtype=torch.float64)).std())
    noise = float(answers.var(0).mean() / answers.var())
    parts = [_curve("transformer", "causal", "measured", lags, memory)]
    parts += [_curve("transformer", f"saved, run {i + 1}", "saved", lags, y) for i, y in enumerate(saved)]
    attention = "attention of the transformer teacher", "to the past", "code: to the other sequences"
    dropout = "dropout of the transformer teacher", "none", "code: 0.1"
    return parts, [
        Row(*attention, "change of later answers, first input + 1", *later),
        Row(*attention, "change of other sequences, first input + 1", *others),
        Row(*dropout, "share of noise in the variance of the targets", 0.0, noise),
        Row(*dropout, "s.d. over lags of the saved memory", constant, float(saved[0].std())),
        Row(*dropout, "correlation of the saved memory of two runs", 1.0, float(np.corrcoef(saved)[0, 1])),
    ]


def _figure12(logged: pd.DataFrame) -> list[Row]:
    center = logged[logged.beta == 0].set_index("m").error
    rows = [
        Row(
            "widths of figure 12(b)",
            f"labelled {label}",
            f"logs: m = {width}",
            f"E(0) of m = {label}",
            float(center[width]),
            float(center[label]),
        )
        for label, width in LABELS.items()
    ]
    m = max(LABELS)
    return [
        *rows,
        Row(
            "students of figure 12(b)",
            "tanh",
            "logs: hardtanh, diagonal",
            f"recurrent weights, m = {m}",
            m * m,
            m,
        ),
    ]


def plot(data: FigureData) -> Figure:
    """Draw one model's memory through many inputs, a transformer's and what is saved of it, and figure 12."""
    panels = {name: curves for name, curves in data.table.groupby("panel", sort=False)}
    with plotting.style():
        figure, (inputs, transformer, logged) = plotting.canvas(3, width=13.5, height=5.2)
        _draw_inputs(inputs, panels["inputs"])
        _draw_transformer(transformer, panels["transformer"])
        _draw_figure12(logged, panels["figure 12"])
    return figure


def _draw_inputs(axis: Axes, curves: pd.DataFrame) -> None:
    kinds = {kind: curve for kind, curve in curves.groupby("kind", sort=False)}
    for _, single in kinds["single"].groupby("curve"):
        axis.plot(single.x, single.y, color="0.7", lw=0.8, zorder=1)
    color = plotting.order(3)[0]
    some = kinds["measured"].iloc[:: max(1, len(kinds["measured"]) // 15)]
    axis.plot(kinds["exact"].x, kinds["exact"].y, color=color, label=r"$|\rho(t)|_1$")
    axis.plot(some.x, some.y, "o", color=color, label="supremum over inputs, measured")
    axis.plot([], [], color="0.7", lw=0.8, label=r"single random inputs, over $|x|_\infty$")
    axis.set(
        yscale="log",
        ylim=(1e-3, 1),
        xlabel="lag $t$ (steps)",
        ylabel="memory (per step)",
        title=f"A linear RNN with {CHANNELS} inputs",
    )
    _legend_below(axis)


def _draw_transformer(axis: Axes, curves: pd.DataFrame) -> None:
    names = list(dict.fromkeys(curves.curve))
    for name, (color, mark) in zip(names, plotting.distinct(len(names)), strict=True):
        curve = curves[curves.curve == name]
        label = "memory of its causal form" if name == "causal" else name
        axis.plot(curve.x, curve.y, mark + "-", color=color, lw=1, ms=4, label=label)
    axis.set(
        yscale="log",
        xlabel="lag $t$ (steps)",
        ylabel="memory (per step)",
        title="A random transformer",
    )
    _legend_below(axis)


def _draw_figure12(axis: Axes, curves: pd.DataFrame) -> None:
    widths = {int(name): curve for name, curve in curves.groupby("curve")}
    labels = {width: label for label, width in LABELS.items()}
    for m, (color, mark) in zip(sorted(widths), plotting.distinct(len(widths)), strict=True):
        label = f"$m={m}$" + (f", labelled {labels[m]}" if m in labels else ", not drawn")
        axis.plot(widths[m].x, widths[m].y, mark + "-", color=color, lw=1, ms=4, label=label)
    axis.set(
        xscale="log",
        yscale="log",
        xlabel=r"perturbation $\beta$ of the weights ($0$ at $10^{-4}$)",
        ylabel="perturbation error (logged)",
        title="Figure 12(b), by its logs",
    )
    _legend_below(axis, 2)


def _legend_below(axis: Axes, columns: int = 1) -> None:
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=columns)
