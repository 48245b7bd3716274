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
from curse_of_memory.report.long_table import curve, groups, rows
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


@figure_data(
    title="Audit: how memory is measured",
    source="Inverse approximation theory (2305.19190): definition 3.1, public code, figure 12 and its logs",
)
def data(
    *,
    horizon: int = 60,
    inputs: int = 20,
    sequences: int = 128,
    draws: int = 32,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Measure memories by definition and as the public code does.

    The panel *inputs* has the memory of a linear RNN with four input channels: |ρ(t)|₁, the supremum over
    inputs, and what `inputs` single random inputs show of it, divided by |x|. The panel *transformer* has the
    memory of a causal transformer, and twice what the code saves in its place. The panel *figure 12* has the
    logged curves, named by their true widths. `sequences` is the batch that the published teacher mixes, and
    `draws` is how often its dropout is drawn. Columns: ``panel, curve, kind, x, y``.
    """
    checks.positive_int("inputs", inputs)
    probed, probing = _single_inputs(horizon, inputs, seed, device)
    transformer, teacher = _teachers(horizon, sequences, draws, seed, device)
    logged = reference("inverse_approximation/figure12")
    figure12 = [
        curve(log.beta.replace(0.0, ZERO), log.error, panel="figure 12", curve=f"{m}", kind="logged")
        for m, log in groups(logged.sort_values("m", kind="stable"), "m").items()
    ]
    disagreements = [
        *probing,
        *_differences(),
        *_query(horizon, seed, device),
        *teacher,
        *_figure12(logged),
    ]
    exact, _, single = probed
    shares = single.groupby("curve").y.first() / exact.y.iloc[0]
    least, most = shares.min(), shares.max()
    message = (
        f"One random input shows {least:.0%} to {most:.0%} of the memory at lag 0. What the code saves as "
        f"the memory of its transformer is a constant and dropout noise: two runs of it correlate by "
        f"{teacher[-1].as_code:.2f}."
    )
    return Findings(
        pd.concat([*probed, *figure12, *transformer], ignore_index=True),
        message,
        both_ways(disagreements),
        printed=printed(disagreements),
        spread=over_draws(disagreements),
    )


def _single_inputs(
    horizon: int, inputs: int, seed: int, device: str
) -> tuple[tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame], list[Row]]:
    """Return the exact memory, the supremum measured and single inputs of a linear RNN; and rows on them."""
    model = RNN(HIDDEN, input_size=CHANNELS, diagonal=True, bias=False, seed=seed, dtype=torch.float64)
    exact = memory_function(model, horizon + 1, device=device)
    supremum = memory_function(model, horizon + 1, closed_form=False, device=device)
    lags = np.arange(horizon + 1)
    singles = [single_step(model, horizon, seed + draw) for draw in range(inputs)]
    divided = [
        curve(lags[1:], change / size, panel="inputs", curve=f"{i}", kind="single")
        for i, (change, size) in enumerate(singles)
    ]
    curves = (
        curve(lags, exact, panel="inputs", curve="exact", kind="exact"),
        curve(lags, supremum, panel="inputs", curve="supremum", kind="measured"),
        pd.concat(divided, ignore_index=True),
    )
    at = f"memory at lag {LAG}, {CHANNELS} inputs"
    seen = [change[LAG - 1] / size for change, size in singles]
    first, size = singles[0]
    return curves, [
        Row(
            "inputs",
            "supremum over inputs",
            "code: one random input",
            f"{at}, median of {inputs}",
            float(exact[LAG]),
            float(np.median(seen)),
            draws=seen,
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
    """Return the rows on differences of answers: first entry, time step, and second difference."""
    rate, dt = -math.log(0.9), 0.1
    fine, coarse = (RNN.from_exponential_sum(rates=[rate], coefficients=[1.0], dt=step) for step in (dt, 1.0))
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
        Row("first entry", *derivative, "ρ(t) = 0.9ᵗ, first entry of the curve", *ratio(coarse, 0)),
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
    """Return the row on the query that the filter task answers in the place of an impulse."""
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


def _teachers(
    horizon: int, sequences: int, draws: int, seed: int, device: str
) -> tuple[list[pd.DataFrame], list[Row]]:
    """Return the memory of the transformer teacher and what is saved of it; and rows on its attention."""
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
            answers = torch.stack([code.train()(x) for _ in range(draws)])
        constant = float(still(torch.zeros(1, horizon, 1, dtype=torch.float64)).std())
    noise = float(answers.var(0).mean() / answers.var())
    curves = [curve(lags, memory, panel="transformer", curve="causal", kind="measured")]
    for i, y in enumerate(saved, 1):
        curves.append(curve(lags, y, panel="transformer", curve=f"saved, run {i}", kind="saved"))
    attention = "attention of the transformer teacher", "to the past", "code: to the other sequences"
    dropout = "dropout of the transformer teacher", "none", "code: 0.1"
    return curves, [
        Row(*attention, "change of later answers, first input + 1", *later),
        Row(*attention, "change of other sequences, first input + 1", *others),
        Row(*dropout, "share of noise in the variance of the targets", 0.0, noise),
        Row(*dropout, "s.d. over lags of the saved memory", constant, float(saved[0].std())),
        Row(*dropout, "correlation of the saved memory of two runs", 1.0, float(np.corrcoef(saved)[0, 1])),
    ]


def _figure12(logged: pd.DataFrame) -> list[Row]:
    """Return the rows on the labels of figure 12(b), by the logged errors at β = 0."""
    center = rows(logged, beta=0).set_index("m").error
    labelled = [
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
        *labelled,
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
    """Draw a linear RNN's memory and what inputs show of it, a transformer's as saved, and figure 12."""
    panels = groups(data.table, "panel")
    with plotting.style():
        figure, (inputs, transformer, logged) = plotting.canvas(3, width=13.5, height=5.2)
        _draw_inputs(inputs, panels["inputs"])
        _draw_transformer(transformer, panels["transformer"])
        _draw_figure12(logged, panels["figure 12"])
    return figure


def _draw_inputs(axis: Axes, curves: pd.DataFrame) -> None:
    kinds = groups(curves, "kind")
    for single in groups(kinds["single"], "curve").values():
        plotting.theory(axis, single.x, single.y, "0.7", lw=0.8, zorder=1)
    exact, measured = kinds["exact"], kinds["measured"]
    look, some = plotting.Look(plotting.order(3)[0], "o"), measured[:: max(1, len(measured) // 15)]
    plotting.theory(axis, exact.x, exact.y, look.color, label=r"$|\rho(t)|_1$")
    plotting.measured(axis, some.x, some.y, look, label="supremum over inputs, measured")
    axis.add_line(plotting.entry(r"single random inputs, over $|x|_\infty$", "0.7", lw=0.8))
    axis.set(
        yscale="log",
        ylim=(1e-3, 1),
        xlabel="lag $t$ (steps)",
        ylabel="memory (per step)",
        title=f"A linear RNN with {CHANNELS} inputs",
    )
    plotting.legend_below(axis)


def _draw_transformer(axis: Axes, curves: pd.DataFrame) -> None:
    memories = groups(curves, "curve")
    for name, look in plotting.looks(memories).items():
        memory = memories[name]
        label = "memory of its causal form" if name == "causal" else name
        plotting.measured(axis, memory.x, memory.y, look, joined="-", lw=1, ms=4, label=label)
    axis.set(
        yscale="log",
        xlabel="lag $t$ (steps)",
        ylabel="memory (per step)",
        title="A random transformer",
    )
    plotting.legend_below(axis)


def _draw_figure12(axis: Axes, curves: pd.DataFrame) -> None:
    logs = {int(name): log for name, log in groups(curves, "curve").items()}
    labels = {width: label for label, width in LABELS.items()}
    for m, look in plotting.looks(sorted(logs)).items():
        label = f"$m={m}$" + (f", labelled {labels[m]}" if m in labels else ", not drawn")
        plotting.measured(axis, logs[m].x, logs[m].y, look, joined="-", lw=1, ms=4, label=label)
    axis.set(
        xscale="log",
        yscale="log",
        xlabel=r"perturbation $\beta$ of the weights ($0$ at $10^{-4}$)",
        ylabel="perturbation error (logged)",
        title="Figure 12(b), by its logs",
    )
    plotting.legend_below(axis, 2)
