"""Inverse approximation theory (2305.19190), figure 12: the memory of a random causal transformer.

One head of causal attention without positions, an input x at t = 0 and nothing after it. At time t it sees
one embedding z₁ = z₀ + x w among t + 1, all others z₀, and gives it the weight

    α_t = 1 / (1 + t/τ),      τ = exp(q·k/√d),      q = W_q z₀ + b_q,   k = x W_k w.

So what is left of x after t ≥ 1 steps is α_t v in the attention, v = x W_o W_v w, and in the answer

    M(t) = |DF(a₀) v| α_t + O(α_t²),        F the rest of the layer,   a₀ its attention without input:

a power law of exponent one. For −x the time is 1/τ, so that the supremum over both signs has the larger one.
A step input is not seen at all after t = 0: all embeddings are z₁ then, and so is every average of them.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import Tensor

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.experiments.perturbed_networks import draw_errors
from curse_of_memory.experiments.teacher_students import (
    errors_by_seed,
    filter_of,
    medians,
    perturbed_students,
)
from curse_of_memory.measure import memory_function
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.report.record import Number
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import TeacherFilter, random_transformer
from curse_of_memory.tasks.teacher import OneLayerTransformer
from curse_of_memory.theory.decay import decay
from curse_of_memory.tools import checks
from curse_of_memory.tools.random_streams import sample_seed

__all__ = ["data", "impulse_law", "past_share", "plot"]

WIDTH, FEEDFORWARD = 16, 32  # of the public code
PAIRS = 4096  # of sequences, to see what the past decides
RATIO = "E(0), widest over narrowest students"
PRESENT = "error of the widest in the function of the present input, at least"


@figure_data(
    title="The memory of a random transformer, and its students",
    source="Inverse approximation theory (2305.19190), figure 12",
)
def data(
    *,
    transformers: int = 5,
    lags: int = 400,
    widths: Sequence[int] = (4, 8, 16, 32),
    activation: str = "hardtanh",
    horizon: int = 50,
    steps: int = 300,
    batch_size: int = 128,
    learning_rate: float = 0.01,
    draws: int = 30,
    samples: int = 256,
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Measure the memory of random causal transformers, and train and perturb students of the first.

    One layer, one head, in evaluation mode. In the panel *memory*, the columns ``teacher, probe, lag, memory,
    theory``; in *students*, diagonal RNNs in one sweep, ``m, seed, beta, error``, the error being a share of
    the variance of the target; and in *authors*, their logs: ``m, label, beta, error``, with the true width
    and that in the legend of the paper.
    """
    checks.positive_int("transformers", transformers)
    if len(set(widths)) < 2:
        raise ValueError(f"widths must be at least two different numbers, got {list(widths)!r}")
    starts = range(seed, seed + checks.positive_int("seeds", seeds))
    memories = run_grid(
        _memory,
        product_of(teacher=range(seed, seed + transformers), probe=("heaviside", "impulse")),
        common={"lags": lags, "device": device},
    )
    teacher = random_transformer(WIDTH, 1, FEEDFORWARD, seed).double()
    task = filter_of(teacher, horizon)
    students = perturbed_students(
        task,
        widths,
        starts,
        activation=activation,
        diagonal=True,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        draws=draws,
        samples=samples,
        device=device,
    )
    panels = {
        "memory": memories,
        "students": students,
        "authors": reference("inverse_approximation/figure12"),
    }
    table = pd.concat([some.assign(panel=panel) for panel, some in panels.items()], ignore_index=True)
    return _findings(table, past_share(task, seed))


def _memory(teacher: int, probe: str, lags: int, device: str) -> pd.DataFrame:
    """Return ``lag, memory`` of one random transformer, and for the impulse the law, as ``theory``."""
    model = random_transformer(WIDTH, 1, FEEDFORWARD, teacher).double()
    memory = memory_function(model, lags, probe=probe, device=device)
    curve = pd.DataFrame({"lag": memory.lag.values, "memory": memory.values})
    return curve.assign(theory=impulse_law(model)(curve.lag.values)) if probe == "impulse" else curve


def impulse_law(model: OneLayerTransformer) -> Callable[[ArrayLike], np.ndarray]:
    """Return t ↦ |DF(a₀) v| α_t, the law of this module, for a transformer of :func:`random_transformer`.

    Parameters
    ----------
    model : OneLayerTransformer
        With one head and one input channel.

    Returns
    -------
    callable
        Of an array of lags in steps; at lag 0, where the present query is not that of no input, NaN.
    """
    layer = model.layer
    attention, readin, readout = layer.self_attn, model.readin, model.readout
    if attention.num_heads != 1 or model.input_size != 1:
        raise ValueError("model must have one head and one input channel")
    d = attention.embed_dim
    with torch.no_grad():
        Wq, Wk, Wv = attention.get_parameter("in_proj_weight").split(d)
        bq, _, bv = attention.get_parameter("in_proj_bias").split(d)
        z, w = readin.bias, readin.weight[:, 0]
        tau = math.exp(abs((Wq @ z + bq) @ (Wk @ w)).item() / math.sqrt(d))
        a = attention.out_proj(Wv @ z + bv)
        v = attention.out_proj.weight @ (Wv @ w)

    def rest(a: Tensor) -> Tensor:
        h = layer.norm1(z + a)
        return readout(layer.norm2(h + layer.linear2(layer.activation(layer.linear1(h)))))

    slope = torch.func.jvp(rest, (a,), (v,))[1].norm().item()
    return lambda lag: np.where(np.asarray(lag) > 0, slope / (1 + np.asarray(lag) / tau), math.nan)


def past_share(task: TeacherFilter, seed: int) -> float:
    """Return E Var(y_t | x_t) / Var(y_t) for uniform t: the share of the variance of y that the past decides.

    Sampled over pairs of sequences that have only x_t in common: E (y_t − y'_t)² = 2 E Var(y_t | x_t).
    """
    x, y = task.sample(PAIRS, seed=sample_seed("unseen test", seed, 0), dtype=torch.float64)
    other = task.sample(PAIRS, seed=sample_seed("unseen test", seed, 1), dtype=torch.float64).inputs
    at = torch.arange(PAIRS), torch.arange(PAIRS) % task.horizon
    other[at] = x[at]
    y, y_other = y[at], task.answer(other)[at]
    return ((y - y_other).square().mean() / (2 * y.var())).item()


def _findings(table: pd.DataFrame, share: float) -> Findings:
    memory = rows(table, panel="memory")
    impulse = rows(memory, probe="impulse")
    laws = [decay(curve.memory.values) for curve in groups(impulse, "teacher").values()]
    exponents = [law.exponent for law in laws if law.exponent is not None]
    last = rows(impulse, lag=impulse.lag.max())
    off = float((last.memory / last.theory - 1).abs().max())
    step = float(memory.loc[(memory.probe == "heaviside") & (memory.lag > 0)].memory.max())
    polynomial = sum(law.kind == "polynomial" for law in laws)
    headline: dict[str, Number] = {
        "transformers with polynomial memory (impulse)": polynomial,
        "exponent, smallest": min(exponents, default=math.nan),
        "exponent, largest": max(exponents, default=math.nan),
        "memory over its law at the last lag, largest deviation from 1": off,
        "memory of a step after lag 0, largest": step,
        "share of the variance of the target that the past decides": share,
    }
    errors = errors_by_seed(rows(table, panel="students"), 0.0)
    rest = {m: float(error) for m, error in errors.median().items()}
    narrow, *_, wide = rest
    logged = medians(rows(table, panel="authors"), 0.0)
    paper = {RATIO: float(logged.iloc[-1] / logged.iloc[0])}
    by_seed = {f"E_{m:.0f}(0) over the variance": errors.loc[:, m] for m in errors}
    headline |= {label: float(each.median()) for label, each in by_seed.items()}
    headline[RATIO], by_seed[RATIO] = rest[wide] / rest[narrow], errors.loc[:, wide] / errors.loc[:, narrow]
    # a student off by e from y is off by at least e − |y − E[y|x_t]| from what the present decides
    present = max(0.0, math.sqrt(rest[wide]) - math.sqrt(share)) ** 2
    headline[PRESENT] = present
    by_seed[PRESENT] = np.maximum(np.sqrt(errors.loc[:, wide]) - math.sqrt(share), 0.0) ** 2
    message = (
        f"{polynomial} of {len(laws)} random transformers keep an impulse like 1/t, none a step. Students "
        f"do not approximate the first: from m = {narrow:.0f} to {wide:.0f} the median E_m(0) goes from "
        f"{rest[narrow]:.3g} to {rest[wide]:.3g} of the variance of the target. The past decides {share:.1g} "
        f"of it, so that at least {present:.2g} is missed in the function of the present input."
    )
    return Findings(table, message, headline, paper, spread=spreads(by_seed))


def plot(data: FigureData) -> Figure:
    """Draw memories with their laws, E_m(β) of the students, and the logs of the authors in grey."""
    table = data.table
    with plotting.style():
        figure, (memory, ours, theirs) = plotting.canvas(3, width=12.6, height=4.2)
        _draw_memories(memory, rows(table, panel="memory"))
        students = rows(table, panel="students")
        for m, look in plotting.looks(sorted({int(m) for m in students.m})).items():
            draw_errors(ours, rows(students, m=m), look, f"$m={m}$")
        share = float(data.headline["share of the variance of the target that the past decides"])
        ours.axhline(share, color=plotting.INK, ls=":", lw=1.2, label="what the past decides")
        ours.set(xlim=(7e-4, 0.4), ylim=(min(share / 2, 1e-3), 20), title="(b) students, over the seeds")
        ours.set_ylabel(r"$E_m(\beta)$ / variance of the target")
        _draw_logs(theirs, table.loc[(table.panel == "authors") & (table.beta > 0)])
        for axis in (ours, theirs):
            axis.set(xscale="log", yscale="log", xlabel=r"perturbation $\beta$")
            axis.legend(loc="upper left", fontsize=8.5)
    return figure


def _draw_memories(axis: Axes, memory: pd.DataFrame) -> None:
    curves = rows(memory.loc[memory.lag > 0], probe="impulse")
    for i, (teacher, (color, mark)) in enumerate(plotting.looks(dict.fromkeys(curves.teacher)).items()):
        curve = rows(curves, teacher=teacher)
        some = curve.iloc[np.unique(np.geomspace(1, len(curve), 18).astype(int)) - 1]
        labels = ("impulse", r"law $|DF\,v|\,/\,(1+t/\tau)$") if i == 0 else (None, None)
        axis.plot(some.lag, some.memory, mark, color=color, ms=4, label=labels[0])
        axis.plot(curve.lag, curve.theory, color=color, lw=1.4, label=labels[1])
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="lag $t$ (steps)",
        ylabel="memory $M(t)$",
        title="(a) random transformers",
    )
    axis.legend(loc="lower left", fontsize=9, title="a step input: 0 after $t=0$", title_fontsize=9)


def _draw_logs(axis: Axes, logs: pd.DataFrame) -> None:
    widths = sorted({int(m) for m in logs.m})
    lines = ("-", "--", "-.", ":")
    for i, m in enumerate(widths):
        curve = rows(logs, m=m)
        label = curve.label.iloc[0]
        shown = f" (paper: {label:.0f})" if math.isfinite(label) else " (not in the paper)"
        color = str(0.75 - 0.6 * i / max(1, len(widths) - 1))
        axis.plot(curve.beta, curve.error, lines[i % 4], color=color, lw=1.4, label=f"$m={m}${shown}")
    axis.set(title="(c) the authors' logs", ylabel=r"$E_m(\beta)$, their loss", ylim=(0.1, 1e9))
