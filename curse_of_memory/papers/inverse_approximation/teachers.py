"""Inverse approximation theory (2305.19190), figure 3: random teachers that are learnt stably."""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.experiments.perturbed_networks import draw_errors
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
from curse_of_memory.report.long_table import rows
from curse_of_memory.report.record import Number
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
    checks.positive_int("seeds", seeds)
    table = run_grid(
        _taught,
        product_of(gain=gains),
        common={
            "teacher_width": teacher_width,
            "widths": widths,
            "activation": activation,
            "horizon": horizon,
            "steps": steps,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "draws": draws,
            "samples": samples,
            "seeds": range(seed, seed + seeds),
            "device": device,
        },
    )
    return _findings(table)


def _taught(
    gain: float,
    teacher_width: int,
    widths: Sequence[int],
    activation: str,
    horizon: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    draws: int,
    samples: int,
    seeds: Sequence[int],
    device: str,
) -> pd.DataFrame:
    """Return the rows of all panels for one teacher."""
    teacher = random_teacher(teacher_width, gain, seeds[0])
    memory = memory_function(teacher, LAGS, device=device)
    curves = perturbed_students(
        filter_of(teacher, horizon),
        widths,
        seeds,
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
        "survives": survives(curves),
        "kind": law.kind,
        "rate": math.nan if law.rate is None else law.rate,
        "start": law.start,
        "level": law.level,
        "predicted": linearised_rate(teacher, (1.0, -1.0)),
    }
    heard = memory.values > memory.attrs["noise_floor"]
    seen = pd.DataFrame({"lag": memory.lag.values[heard], "memory": memory.values[heard]})
    panels = {"students": curves, "memory": seen, "teacher": pd.DataFrame([facts])}
    return pd.concat([table.assign(panel=panel) for panel, table in panels.items()], ignore_index=True)


def random_teacher(width: int, gain: float, seed: int) -> nn.Module:
    """Return torch's tanh RNN with a linear readout, its recurrent weights scaled to spectral radius `gain`.

    The radius is that of the circular law for large matrices; that of `width` rows is off by O(width^{−1/2}).
    """
    checks.positive("gain", gain)
    teacher = ElmanRNN(width, seed=seed, dtype=torch.float64)
    with torch.no_grad():
        teacher.network.get_parameter("weight_hh_l0").mul_(gain * math.sqrt(3))
    return teacher


def survives(curves: pd.DataFrame) -> bool:
    """Return whether students approximate stably, as far as finitely many widths can show it.

    They do if at β = 0.032 the widest ones miss at most a quarter of the variance of the target, and are not
    worse than the narrowest ones (medians over the seeds).

    Parameters
    ----------
    curves : pandas.DataFrame
        Columns ``m, seed, beta, error``.
    """
    errors = medians(curves, BETA)
    return bool(errors.iloc[-1] <= min(TOLERANCE, errors.iloc[0]))


def _findings(table: pd.DataFrame) -> Findings:
    headline: dict[str, Number] = {}
    by_seed = {}
    teachers = rows(table, panel="teacher")
    for gain, facts in teachers.set_index("gain").to_dict("index").items():
        curves = rows(table, panel="students", gain=gain)
        errors = {beta: errors_by_seed(curves, beta) for beta in (0.0, BETA)}
        for m, beta in product(errors[BETA].columns[[0, -1]], errors):
            label = f"E_{m:.0f}({beta:g}) over the variance, gain {gain:g}"
            by_seed[label] = errors[beta].loc[:, m]
            headline[label] = float(by_seed[label].median())
        headline[f"approximated stably, gain {gain:g}"] = "yes" if facts["survives"] else "no"
        headline[f"decay of the memory, gain {gain:g}"] = facts["kind"]
        if math.isfinite(facts["rate"]):
            headline[f"fitted rate per step, gain {gain:g}"] = facts["rate"]
            headline[f"rate of the linearised teacher, gain {gain:g}"] = facts["predicted"]
    stable = teachers.loc[teachers.survives.astype(bool)]
    exponential = rows(stable, kind="exponential")
    rates = ", ".join(
        f"{rate:.2g} (gain {gain:g})" for gain, rate in zip(stable.gain, stable.rate, strict=True)
    )
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
    teachers = rows(table, panel="teacher").set_index("gain").to_dict("index")
    looks = plotting.looks(sorted({int(m) for m in table.m.dropna()}))
    with plotting.style():
        figure, axes = plotting.canvas(len(teachers) + 1, width=3.4 * (len(teachers) + 1), height=4.2)
        for axis, (gain, teacher) in zip(axes, teachers.items(), strict=False):
            _draw_students(axis, rows(table, panel="students", gain=gain), looks)
            verdict = "stable" if teacher["survives"] else "not stable"
            axis.set_title(f"gain {gain:g}: {verdict}")
        axes[0].set_ylabel(r"$E_m(\beta)$ / variance of the target")
        axes[0].add_line(plotting.entry("range of the seeds", lw=6, alpha=0.2))
        plotting.joined_legend(figure, [axes[0]], ncols=6)
        _draw_memories(axes[-1], rows(table, panel="memory"), teachers)
    return figure


def _draw_students(axis: Axes, curves: pd.DataFrame, looks: Mapping[int, plotting.Look]) -> None:
    for m, look in looks.items():
        draw_errors(axis, rows(curves, m=m), look, f"student, $m={m}$")
    axis.plot([BETA], [TOLERANCE], "x", color=plotting.INK, ms=8, label="largest error called stable")
    axis.set(xscale="log", yscale="log", xlim=(7e-4, 0.4), ylim=(8e-4, 20), xlabel=r"perturbation $\beta$")


def _draw_memories(axis: Axes, memories: pd.DataFrame, teachers: Mapping[float, Mapping[str, Any]]) -> None:
    for gain, (color, mark) in plotting.looks(teachers).items():
        teacher, curve = teachers[gain], rows(memories, gain=gain)
        largest, stable = curve.memory.max(), teacher["survives"]
        some = curve.iloc[:: max(1, len(curve) // 25)]
        color = color if stable else GREY
        label = f"gain {gain:g}" + ("" if stable else ", not stable")
        axis.plot(some.lag, some.memory / largest, mark, color=color, ms=4, label=label)
        if stable and math.isfinite(teacher["rate"]):
            lags = np.array([teacher["start"], curve.lag.max()])
            law = teacher["level"] * np.exp(-teacher["rate"] * (lags - teacher["start"]))
            label = f"$e^{{-{teacher['rate']:.2g}\\,t}}$, fitted"
            plotting.theory(axis, lags, law / largest, color, lw=1.4, label=label)
    axis.set(yscale="log", ylim=(1e-13, 10), xlabel="lag $t$ (steps)", title="Memory of the teachers")
    axis.set_ylabel(r"$M(t)$ / largest $M$")
    axis.legend(loc="lower right", fontsize=9)
