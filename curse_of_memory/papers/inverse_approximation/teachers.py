"""Figure 3 of "Inverse approximation theory" (2305.19190): which random teachers are learnt stably."""

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from curse_of_memory.experiments.teacher_students import (
    errors_by_seed,
    filter_of,
    medians,
    perturbed_students,
)
from curse_of_memory.measure import linearised_rate, memory_function
from curse_of_memory.nn.recurrent.gates import ElmanRNN
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.theory.decay import decay
from curse_of_memory.tools import checks

__all__ = ["data", "plot", "random_teacher", "survives"]

BETA = 0.032  # where stability is judged; one of the authors' radii
TOLERANCE = 0.25  # largest error there, as a share of the variance of the target
LAGS = 200  # of the memory of a teacher
GREY = "0.6"


@figure_data(
    title="Teachers that students approximate stably forget exponentially",
    source="Inverse approximation theory (2305.19190), figure 3",
)
def data(
    *,
    gains: Sequence[float] = (0.577, 0.9, 1.5),
    teacher_width: int = 64,
    widths: Sequence[int] = (4, 8, 16),
    activation: str = "tanh",
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
    """Train students of random tanh RNNs, perturb them, and measure the memory of the teachers.

    A teacher of gain g has recurrent weights uniform in ±g √(3/m), so that their eigenvalues fill the disk of
    radius g; torch's own have g = 3^{−1/2}. `seeds` students of each of the `widths`, in one sweep a teacher.
    In the panel *students*, the columns ``gain, m, seed, beta, error``, the error being a share of the
    variance of the target; in *memory*, ``gain, lag, memory`` under the Heaviside probe; in *teacher*, one
    row each: ``gain, survives, kind, rate``, ``start, level`` of the fitted law, and the rate ``predicted``
    by the linearised teacher.
    """
    if len(set(widths)) < 2:
        raise ValueError(f"widths must be at least two different numbers, got {list(widths)!r}")
    starts = range(seed, seed + checks.positive_int("seeds", seeds))
    parts = []
    for gain in gains:
        teacher = random_teacher(teacher_width, gain, seed)
        memory = memory_function(teacher, LAGS, device=device)
        curves = perturbed_students(
            filter_of(teacher, horizon),
            widths,
            starts,
            activation=activation,
            diagonal=False,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            draws=draws,
            samples=samples,
            device=device,
        )
        law = decay(memory)
        facts = {
            "gain": gain,
            "survives": survives(curves),
            "kind": law.kind,
            "rate": math.nan if law.rate is None else law.rate,
            "start": law.start,
            "level": law.level,
            "predicted": linearised_rate(teacher, (1.0, -1.0)),
        }
        heard = memory.values > memory.attrs["noise_floor"]
        seen = pd.DataFrame({"lag": memory.lag.values[heard], "memory": memory.values[heard]})
        parts.append(curves.assign(panel="students", gain=gain))
        parts.append(seen.assign(panel="memory", gain=gain))
        parts.append(pd.DataFrame([facts]).assign(panel="teacher"))
    table = pd.concat(parts, ignore_index=True)
    return _findings(table)


def random_teacher(width: int, gain: float, seed: int) -> nn.Module:
    """Return torch's tanh RNN with a linear readout, its recurrent weights scaled to spectral radius `gain`.

    The radius is that of the circular law; the one of a matrix of `width` rows differs by O(width^{−1/2}).
    """
    checks.positive("gain", gain)
    teacher = ElmanRNN(width, seed=seed, dtype=torch.float64)
    with torch.no_grad():
        teacher.network.weight_hh_l0 *= gain * math.sqrt(3)
    return teacher


def survives(curves: pd.DataFrame) -> bool:
    """Say whether students approximate stably, as far as finitely many widths can show it.

    That is: at β = 0.032 the widest ones miss at most a quarter of the variance of the target, and are not
    worse than the narrowest ones (medians over the seeds).

    Parameters
    ----------
    curves : pandas.DataFrame
        Columns ``m, seed, beta, error``.
    """
    errors = medians(curves, BETA)
    return bool(errors.iloc[-1] <= min(TOLERANCE, errors.iloc[0]))


def _findings(table: pd.DataFrame) -> Findings:
    headline, by_seed = {}, {}
    teachers = table[table.panel == "teacher"]
    for row in teachers.itertuples():
        curves = table[(table.panel == "students") & (table.gain == row.gain)]
        errors = {beta: errors_by_seed(curves, beta) for beta in (0.0, BETA)}
        for m, beta in product(errors[BETA].columns[[0, -1]], errors):
            label = f"E_{m:.0f}({beta:g}) over the variance, gain {row.gain:g}"
            headline[label], by_seed[label] = float(errors[beta][m].median()), errors[beta][m]
        headline[f"approximated stably, gain {row.gain:g}"] = "yes" if row.survives else "no"
        headline[f"decay of the memory, gain {row.gain:g}"] = row.kind
        if math.isfinite(row.rate):
            headline[f"fitted rate per step, gain {row.gain:g}"] = row.rate
            headline[f"rate of the linearised teacher, gain {row.gain:g}"] = row.predicted
    stable = teachers[teachers.survives.astype(bool)]
    exponential = stable[stable.kind == "exponential"]
    rates = ", ".join(f"{row.rate:.2g} (gain {row.gain:g})" for row in stable.itertuples())
    message = (
        f"Of {len(teachers)} teachers {len(stable)} are approximated stably: perturbed by β = {BETA:g}, "
        f"their widest students miss at most {TOLERANCE:.0%} of the variance. "
        f"{len(exponential)} of these {len(stable)} forget exponentially"
    )
    message += f", at the rates {rates} per step." if len(stable) else "."
    return Findings(table, message, headline, spread=spreads(by_seed))


def plot(data: FigureData) -> Figure:
    """Draw a panel of students for each teacher, medians and ranges over the seeds, and the memories."""
    table = data.table
    teachers = table[table.panel == "teacher"]
    widths = sorted({int(m) for m in table.m.dropna()})
    with plotting.style():
        size = {"width": 3.4 * (len(teachers) + 1), "height": 4.2}
        figure, axes = plotting.canvas(len(teachers) + 1, **size)
        for axis, teacher in zip(axes, teachers.itertuples(), strict=False):
            curves = table[(table.panel == "students") & (table.gain == teacher.gain)]
            _draw_students(axis, curves, widths)
            verdict = "stable" if teacher.survives else "not stable"
            axis.set_title(f"gain {teacher.gain:g}: {verdict}")
        axes[0].set_ylabel(r"$E_m(\beta)$ / variance of the target")
        axes[0].plot([], [], color=plotting.INK, lw=6, alpha=0.2, label="range of the seeds")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
        _draw_memories(axes[-1], table, teachers)
    return figure


def _draw_students(axis: Axes, curves: pd.DataFrame, widths: Sequence[int]) -> None:
    curves = curves[curves.beta > 0]
    for m, (color, mark) in zip(widths, plotting.distinct(len(widths)), strict=True):
        runs = curves[curves.m == m].groupby("beta").error.quantile([0.0, 0.5, 1.0]).unstack()
        axis.fill_between(runs.index, runs[0.0], runs[1.0], color=color, alpha=0.2, lw=0)
        axis.plot(runs.index, runs[0.5], mark + "-", color=color, lw=1.4, label=f"student, $m={m}$")
    axis.plot([BETA], [TOLERANCE], "x", color=plotting.INK, ms=8, label="largest error called stable")
    axis.set(xscale="log", yscale="log", xlim=(7e-4, 0.4), ylim=(8e-4, 20), xlabel=r"perturbation $\beta$")


def _draw_memories(axis: Axes, table: pd.DataFrame, teachers: pd.DataFrame) -> None:
    for teacher, (color, mark) in zip(teachers.itertuples(), plotting.distinct(len(teachers)), strict=True):
        curve = table[(table.panel == "memory") & (table.gain == teacher.gain)]
        start = curve.memory.max()
        some = curve.iloc[:: max(1, len(curve) // 25)]
        color = color if teacher.survives else GREY
        label = f"gain {teacher.gain:g}" + ("" if teacher.survives else ", not stable")
        axis.plot(some.lag, some.memory / start, mark, color=color, ms=4, label=label)
        if teacher.survives and math.isfinite(teacher.rate):
            lags = np.array([teacher.start, curve.lag.max()])
            law = teacher.level * np.exp(-teacher.rate * (lags - teacher.start))
            axis.plot(
                lags, law / start, color=color, lw=1.4, label=f"$e^{{-{teacher.rate:.2g}\\,t}}$, fitted"
            )
    axis.set(yscale="log", ylim=(1e-13, 10), xlabel="lag $t$ (steps)", title="Memory of the teachers")
    axis.set_ylabel(r"$M(t)$ / largest $M$")
    axis.legend(loc="lower right", fontsize=9)
