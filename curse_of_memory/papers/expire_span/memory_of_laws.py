"""Memory functions of laws of forgetting: closed forms, and attention as it is measured."""

import contextlib

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import special
from torch import nn

from curse_of_memory.measure import memory_function
from curse_of_memory.nn import CausalSelfAttention
from curse_of_memory.nn.forgetting import (
    AdaptiveSpan,
    Compressive,
    ExpireSpan,
    ForgetGate,
    Law,
    Sinks,
    Window,
)
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import curve, groups, rows
from curse_of_memory.theory.expiry import mask, reach, span_kernel
from curse_of_memory.tools import checks

__all__ = ["data", "plot"]

MAX_SPAN, SLOPE = 100, 1.0  # L, and w of spans and gates: one unit of input moves their logits by this
SINKS = 4
POOLED, MEANS = 4, 6  # steps that have one mean, and how many means
STACKS = (((0.5,), 3), ((3.9, 2.5), 3), ((3.9, 1.5, 3.5), 2))  # spans of the layers, and their ramp
BEYOND = 5  # lags that no stack reaches are measured, too
COLUMNS = ["panel", "curve", "kind", "x", "y"]


@figure_data(
    title="The memory of laws of forgetting",
    source="Theory of Expire-Span (2105.06548); closed forms are ours",
)
def data(
    *,
    window: int = 16,
    span: float = 20.0,
    adaptive_span: float = 9.5,
    ramp: int = 8,
    gate: float = 0.85,
    horizon: int = 60,
    start: int = 200,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Compute memory functions of attention with equal scores in closed form, and measure them in float64.

    Attention of one channel passes values on, so that all that is seen is its law. What is measured is the
    answer to an impulse at step `start`, over the lag since.

    - *undated*: no forgetting, and the first step that a window with sinks keeps for ever, both from step 0
      on; forget gates f = `gate` at all steps;
    - *dated*: a `window`, one with 4 sinks beside it, one with 6 means of 4 older steps each, and
      `adaptive_span` and `span` with a `ramp`;
    - *modes*: spans and gates that react to the input, by one unit of their logits for one unit of input,
      and held as they are without it; the larger answer of both signs;
    - *stack*: layers with spans of their own upon each other: memory up to exactly their reach.

    Columns: ``panel, curve, kind, x, y``; `kind` is ``theory`` or ``measured``, x is the lag in steps, and y
    the memory. (`seed` names the inputs on which causality is tried.)
    """
    W, R = checks.positive_int("window", window), checks.positive_int("ramp", ramp)
    lags, f = np.arange(checks.positive_int("horizon", horizon)), checks.positive("gate", gate)
    before = checks.whole_number("start", start, least=0)
    if f >= 1:
        raise ValueError(f"gate must be below 1, got {gate!r}")
    if before < (full := max(W + SINKS, W + POOLED * (MEANS + 1), MAX_SPAN + R)):
        raise ValueError(f"start must be at least {full}, so that memories expire before, got {start!r}")
    for name, e in {"span": span, "adaptive_span": adaptive_span}.items():
        if not checks.positive(name, e) < MAX_SPAN:
            raise ValueError(f"{name} must be below {MAX_SPAN} steps, got {e!r}")

    options = {"horizon": lags.size, "seed": seed, "device": device}
    adaptive = equal_scores(AdaptiveSpan(MAX_SPAN, R, initial_share=adaptive_span / MAX_SPAN))
    own = equal_scores(ExpireSpan(MAX_SPAN, R, initial_share=span / MAX_SPAN))
    gates = equal_scores(ForgetGate(), sees_itself=True, gate=f)
    recent = equal_scores(Window(W), sees_itself=True)
    with_sinks = equal_scores(Sinks(SINKS, W), sees_itself=True)
    with_means = equal_scores(Compressive(W, POOLED, MEANS), sees_itself=True)
    kernel, constant_gates = span_kernel(span, R, lags.size).values, gate_kernel(f, f, lags, before)
    held = _measured(own, before, "frozen", **options)
    held_gates = _measured(gates, before, "frozen", **options)
    curves = {
        ("undated", "no forgetting"): (
            1 / (1.0 + lags),
            _measured(equal_scores(None), 0, "free", **options),
        ),
        ("undated", "a sink"): (
            1 / np.minimum(1.0 + lags, SINKS + W),
            _measured(with_sinks, 0, "frozen", **options),
        ),
        ("undated", "gates"): (constant_gates, held_gates),
        ("dated", "window"): ((lags < W) / W, _measured(recent, before, "frozen", **options)),
        ("dated", "window and sinks"): (
            (lags < W) / (W + SINKS),
            _measured(with_sinks, before, "frozen", **options),
        ),
        ("dated", "window and means"): (
            compressive_kernel(W, lags, before),
            _measured(with_means, before, "frozen", **options),
        ),
        ("dated", "adaptive span"): (
            span_kernel(adaptive_span, R, lags.size).values,
            _measured(adaptive, before, "frozen", **options),
        ),
        ("dated", "span of its own"): (kernel, held),
        ("modes", "span, held"): (kernel, held),
        ("modes", "span, free"): (
            free_span_kernel(span, R, lags),
            _measured(own, before, "free", **options),
        ),
        ("modes", "gates, held"): (constant_gates, held_gates),
        ("modes", "gates, free"): (
            np.maximum(*(gate_kernel(f, moved, lags, before) for moved in _moved(f))),
            _measured(gates, before, "free", **options),
        ),
    }
    reaches = {}
    for spans, R_l in STACKS:
        exact, seen = _stack(spans, R_l, seed, device)
        curves["stack", _name(spans)] = exact, seen
        reaches[_name(spans)] = reach(list(spans), R_l), int(np.flatnonzero(seen).max())
    table = pd.concat(
        [
            curve(np.arange(len(values)), values, panel=panel, curve=name, kind=kind)
            for (panel, name), both in curves.items()
            for kind, values in zip(("theory", "measured"), both, strict=True)
        ],
        ignore_index=True,
    ).reindex(columns=COLUMNS)

    off = max(float(np.abs(exact - seen).max()) for exact, seen in curves.values())
    headline = {"largest difference from the closed form": off}
    for name, (exact, seen) in reaches.items():
        headline[f"reach of layers of spans {name}"] = exact
        headline[f"reach of layers of spans {name}, measured"] = seen
    message = (
        f"Lines are closed forms, marks are attention in float64, {off:.0e} off at most. Without "
        "forgetting memory is 1/t, with gates it is exponential, with a window or a span it ends. Stacks "
        f"reach back {', '.join(str(exact) for exact, _ in reaches.values())} steps and not one more."
    )
    return Findings(table, message, headline)


def equal_scores(
    law: Law | None, *, sees_itself: bool = False, gate: float | None = None
) -> CausalSelfAttention:
    """Return an attention of one channel that passes values on, with equal scores, in float64.

    Parameters
    ----------
    law : Law, optional
        Without one a step sees itself and the whole past.
    sees_itself : bool
        Whether it does with a law.
    gate : float, optional
        f of all steps at rest, for forget gates.
    """
    itself = sees_itself or law is None
    layer = CausalSelfAttention(1, bias=False, forgetting=law, sees_itself=itself, dtype=torch.float64)
    with torch.no_grad():
        layer.project.weight.copy_(torch.tensor([[0.0], [0.0], [1.0]]))
        layer.out.weight.fill_(1.0)
        if isinstance(layer.forgetting, ExpireSpan):
            layer.forgetting.predictor.weight.fill_(SLOPE)
        if isinstance(layer.forgetting, ForgetGate) and gate is not None:
            layer.forgetting.gate.weight.fill_(SLOPE)
            layer.forgetting.gate.bias.fill_(float(special.logit(gate)))
    return layer


def _measured(
    model: nn.Module, start: int, forgetting: str, horizon: int, seed: int, device: str
) -> np.ndarray:
    found = memory_function(
        model, horizon, probe="impulse", start=start, forgetting=forgetting, seed=seed, device=device
    )
    return found.values


def _moved(share: float) -> list[float]:
    """Return where one unit of input of either sign takes a share with the logistic function."""
    return [float(special.expit(special.logit(share) + SLOPE * sign)) for sign in (1, -1)]


def gate_kernel(gate: float, own: float, lags: np.ndarray, before: int) -> np.ndarray:
    """Return the weight of a memory with `before` memories before it: f^s/(Σ_{a≤s} f^a + (f'/f) Σ_{a>s} f^a).

    Parameters
    ----------
    gate, own : float
        f in (0, 1) of all other steps, and f' of the step of the memory itself, which all before it pass.
    lags : numpy.ndarray
        s, in steps.
    before : int
        Memories before.
    """
    f = gate
    since, older = (1 - f ** (lags + 1.0)) / (1 - f), f ** (lags + 1.0) * (1 - f**before) / (1 - f)
    return f**lags / (since + own / f * older)


def compressive_kernel(window: int, lags: np.ndarray, step: int) -> np.ndarray:
    """Return the weight of a memory that is kept for `window` steps, and then by the mean of its group.

    Parameters
    ----------
    window : int
        W, in steps.
    lags : numpy.ndarray
        s, in steps.
    step : int
        At which it was written, late enough that there are all means: groups are of the steps 0 to 3, 4 to
        7 and so on.
    """
    query, newest = step + lags, step // POOLED * POOLED + POOLED - 1
    oldest = -(-(query - window - POOLED + 1) // POOLED) * POOLED  # step that counts in full
    own = np.where(query - newest <= window, 1.0, 1 / POOLED)
    return own * (query - newest <= window + MEANS * POOLED) / (query - oldest + 1 + MEANS)


def free_span_kernel(span: float, ramp: int, lags: np.ndarray) -> np.ndarray:
    """Return max m'(s)/(Σ m − m(s) + m'(s)) over both signs of a unit input, which has the span e' and not e.

    Parameters
    ----------
    span : float
        e of all other steps, in steps.
    ramp : int
        R, in steps.
    lags : numpy.ndarray
        s, in steps.
    """
    rest, total = mask(lags, span, ramp) * (lags > 0), span + (ramp - 1) / 2
    own = [mask(lags, MAX_SPAN * share, ramp) * (lags > 0) for share in _moved(span / MAX_SPAN)]
    return np.maximum(*(m / (total - rest + m) for m in own))


def _name(spans: tuple[float, ...]) -> str:
    return ", ".join(f"{e:g}" for e in spans)


def _stack(spans: tuple[float, ...], ramp: int, seed: int, device: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the memory of a stack of layers, trapezoids folded with each other, and as it is measured."""
    last = reach(list(spans), ramp)
    layers = [equal_scores(ExpireSpan(MAX_SPAN, ramp, initial_share=e / MAX_SPAN)) for e in spans]
    exact = np.ones(1)
    for e in spans:
        exact = np.convolve(exact, span_kernel(e, ramp, last + 1))[: last + 1]
    exact = np.append(exact, np.zeros(BEYOND))
    with contextlib.ExitStack() as all_held:
        stack = nn.Sequential(*layers)
        for layer in layers:
            all_held.enter_context(layer.frozen_at(torch.zeros(1, last + exact.size, 1, dtype=torch.float64)))
        seen = _measured(stack, last, "free", exact.size, seed, device)
    return exact, seen


def plot(data: FigureData) -> Figure:
    """Draw four panels: laws without a date, laws with one, free and held spans, and the reach of stacks."""
    panels = groups(data.table, "panel")
    with plotting.style():
        figure, axes = plotting.canvas(2, 2, width=9.6, height=8.0)
        _draw(axes[0, 0], panels["undated"])
        axes[0, 0].set(
            xscale="log",
            yscale="log",
            ylim=(3e-4, 1.5),
            xlabel="lag $s+1$ (steps)",
            title="(a) Never deleted: memory has no end",
        )
        _draw(axes[0, 1], panels["dated"])
        axes[0, 1].set(xlabel="lag $s$ (steps)", title="(b) Deleted: memory that ends")
        _draw(axes[1, 0], panels["modes"])
        axes[1, 0].set(xlabel="lag $s$ (steps)", title="(c) An input that changes its own span")
        _draw_stacks(axes[1, 1], panels["stack"])
    return figure


def _draw(axis: Axes, curves: pd.DataFrame) -> None:
    shift = float(curves.panel.iloc[0] == "undated")  # a logarithm needs lags above zero
    for name, look in plotting.looks(curves.curve.unique()).items():
        line, marks = (rows(curves, curve=name, kind=kind) for kind in ("theory", "measured"))
        shown = np.unique(np.geomspace(1, len(marks), 20).astype(int)) - 1 if shift else slice(None, None, 2)
        some = marks.iloc[shown]
        plotting.theory_and_measured(
            axis, (line.x + shift, line.y), (some.x + shift, some.y), look, size=4, label=name
        )
    axis.set_ylabel("memory $M(s)$")
    axis.legend(loc="best")


def _draw_stacks(axis: Axes, curves: pd.DataFrame) -> None:
    for name, look in plotting.looks(curves.curve.unique()).items():
        line, marks = (rows(curves, curve=name, kind=kind) for kind in ("theory", "measured"))
        last = float(line.x[line.y > 0].max())
        seen = marks[marks.y > 0]
        plotting.theory(axis, line.x[line.y > 0], line.y[line.y > 0], look.color)
        plotting.measured(axis, seen.x, seen.y, look, ms=5, label=f"spans {name}: {last:.0f} steps")
        axis.axvline(last, color=look.color, ls=":", lw=1)
    axis.set(
        yscale="log",
        ylim=(1e-6, 1),
        xlim=(0, curves.x.max()),
        xlabel="lag $s$ (steps)",
        ylabel="memory $M(s)$",
        title=r"(d) Layers reach $\Sigma_l(R-1+\lceil e_l\rceil)$ steps, exactly",
    )
    axis.legend(loc="lower left")
