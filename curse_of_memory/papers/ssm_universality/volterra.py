"""SSMs are universal approximators (2309.13414): Volterra functionals, the width needed by horizon."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.nn import SSM
from curse_of_memory.papers.ssm_universality._two_layer_stacks import TwoLayers
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.report.record import Number
from curse_of_memory.tasks import VolterraFunctional
from curse_of_memory.theory.second_order_kernels import (
    DURATION,
    FASTEST,
    KERNELS,
    PRODUCT_RATES,
    SLOWEST,
    kernel_values,
    rank_errors,
    state_errors,
)
from curse_of_memory.tools import checks
from curse_of_memory.training import sweep

__all__ = ["data", "plot"]

LABELS = {
    "product": r"product, $(a*x)(b*x)$, $a=e^{-t/2}$, $b=e^{-6t}$",
    "infinite rank": r"infinite rank, $K=(1+s+r)^{-2}$",
}
SQUARES, STATES, POLARISED, TRAINED = "m squares", "m states", "polarisation", "trained"
GOOD = 0.05  # relative error that a width is asked for
NEGLIGIBLE = 1e-7  # share of the largest eigenvalue below which the training target has none
EXACT = 1e-8  # relative errors below are drawn at the lower edge; best fits are differences up to it


@figure_data(
    title="Volterra functionals of second order: the width needed does not depend on the horizon",
    source="SSM universality (2309.13414), Volterra series",
)
def data(
    *,
    widths: Sequence[int] = (1, 2, 3, 4, 5),
    horizons: Sequence[int] = (16, 32, 64, 128, 256, 512),
    trained_widths: Sequence[int] = (2, 4),
    trained_horizons: Sequence[int] = (16, 128),
    seeds: int = 3,
    steps: int = 400,
    batch_size: int = 64,
    learning_rate: float = 0.06,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Approximate two functionals of T steps, whose memory grows with T, by two layers of width m.

    Errors are |K − K̂|_F / |K|_F: the relative error of y at the last step for white normal inputs, but for a
    constant. Columns: ``kernel, kind, horizon, width, seed, error``. The kinds: *m squares*, the exact least
    error of any layer of m outputs with squares after it, whatever its states; *m states*, the best found
    with m states of real rates; *polarisation*, a stack written down for the product; *trained*, stacks of m
    states and m squares after `steps` updates on sampled sequences, from `seeds` initial weights each, with
    K̂ from the trained weights.
    """
    checks.positive_int("seeds", seeds)
    for name, values in (("widths", widths), ("trained_widths", trained_widths)):
        for width in values:
            checks.positive_int(name, width)
    if 1 not in widths:
        raise ValueError(f"widths must hold 1, from where errors fall, got {list(widths)!r}")
    for T in (*horizons, *trained_horizons):
        if checks.positive_int("horizons", T) < 2 * max(widths):
            raise ValueError(f"horizons must be at least twice the largest width {max(widths)}, got {T}")
    exact = run_grid(
        _least_errors, product_of(kernel=KERNELS, horizon=horizons), common={"widths": widths, "seed": seed}
    )
    trained = run_grid(
        _trained,
        product_of(kernel=KERNELS, horizon=trained_horizons),
        common={
            "widths": trained_widths,
            "seeds": range(seed, seed + seeds),
            "steps": steps,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "device": device,
        },
    )
    table = pd.concat([exact, trained.assign(kind=TRAINED)], ignore_index=True)
    table = pd.concat([rows(table, kernel=name) for name in KERNELS], ignore_index=True)
    return _findings(table.loc[:, ["kernel", "kind", "horizon", "width", "seed", "error"]])


def _least_errors(kernel: str, horizon: int, widths: Sequence[int], seed: int) -> pd.DataFrame:
    """Return the least errors of m squares and of m states, and for the product that of polarisation."""
    K = kernel_values(kernel, horizon)
    squares, states = rank_errors(K), state_errors(K, max(widths))
    errors = [(SQUARES, m, seed, squares[m]) for m in widths]
    errors += [(STATES, m, seed, states[m - 1]) for m in widths]
    if kernel == "product":
        errors.append((POLARISED, 2, seed, _error(polarised(K), K)))
    return pd.DataFrame(errors, columns=["kind", "width", "seed", "error"])


def stack(width: int, horizon: int, seed: int) -> TwoLayers:
    """Return an untrained stack: m states of variance one under white inputs, and squares of m sums of them.

    The rates are log-uniform between 0.3 and 8 per time unit, and trained as logarithms.
    """
    random = np.random.default_rng(seed)
    rates = np.exp(random.uniform(math.log(SLOWEST), math.log(FASTEST), width))
    first = SSM(
        width,
        output_size=width,
        initial=-rates,
        parameterization="exp",
        dt=DURATION / horizon,
        bias=False,
        seed=seed,  # of what is set below: the global generator stays out of it
        dtype=torch.float64,
    )
    with torch.no_grad():
        z, phi = first.multipliers()
        first.input_weight[:, 0] = (1 - z**2).sqrt() / phi
        first.output_weight.copy_(torch.from_numpy(random.standard_normal((width, width)) / math.sqrt(width)))
    first.input_weight.requires_grad_(False)  # C says all that U could
    return TwoLayers(first, "square", seed=seed)


@torch.no_grad()
def polarised(K: np.ndarray) -> TwoLayers:
    """Return two states and two squares whose sum is the product, ab = ((a + b)² − (a − b)²)/4."""
    T = len(K)
    model = stack(2, T, 0)
    first = model.first
    first.recurrent_weight[:] = torch.log(torch.tensor(PRODUCT_RATES, dtype=torch.float64))  # λ = −e^w
    first.input_weight[:, 0] = 1 / first.multipliers()[1]
    first.output_weight[:] = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    # K at the lags zero is one before it is scaled
    model.readout[:] = K[0, 0] * torch.tensor([0.25, -0.25], dtype=torch.float64)
    return model


@torch.no_grad()
def second_kernel(model: TwoLayers, horizon: int) -> np.ndarray:
    """Return K̂ = Σ c_j v_j v_jᵀ of a stack with squares, ``(horizon, horizon)``, per step, not per time."""
    v = model.first.kernel(horizon)[..., 0] * model.first.dt
    return ((v * model.readout) @ v.T).numpy()


def _task(K: np.ndarray) -> VolterraFunctional:
    """Return the functional of `K` without its negligible eigenvalues, which would only cost time."""
    eigenvalues, vectors = np.linalg.eigh(K)
    kept = np.abs(eigenvalues) > NEGLIGIBLE * np.abs(eigenvalues).max()
    pairs = [(size * v, v) for size, v in zip(eigenvalues[kept], vectors.T[kept], strict=True)]
    return VolterraFunctional(len(K), second=pairs)


def _trained(
    kernel: str,
    horizon: int,
    widths: Sequence[int],
    seeds: Sequence[int],
    steps: int,
    batch_size: int,
    learning_rate: float,
    device: str,
) -> pd.DataFrame:
    """Train stacks on sampled sequences, all widths and seeds at once; return the errors of their kernels."""
    K = kernel_values(kernel, horizon)
    runs = product_of(width=widths, seed=seeds)
    models = [stack(run["width"], horizon, run["seed"]) for run in runs]
    sweep(
        models,
        _task(K),
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="cosine",
        validate_every=steps,
        validation_size=64,
        seed=[run["seed"] for run in runs],
        device=device,
    )
    return pd.DataFrame(runs).assign(error=[_error(model.cpu(), K) for model in models])


def _error(model: TwoLayers, K: np.ndarray) -> float:
    """Return |K̂ − K|_F / |K|_F of a stack."""
    return float(np.linalg.norm(second_kernel(model, len(K)) - K) / np.linalg.norm(K))


def medians(table: pd.DataFrame) -> pd.Series:
    """Return the median error over the seeds, by kernel, kind, width and horizon."""
    return table.groupby(["kernel", "kind", "width", "horizon"]).error.median()


def width_needed(table: pd.DataFrame, kernel: str, kind: str) -> pd.Series:
    """Return by horizon the least width with an error of at most 5 per cent; it is missing if none has it."""
    good = rows(table, kernel=kernel, kind=kind)
    return good.loc[good.error <= GOOD].groupby("horizon").width.min()


def _findings(table: pd.DataFrame) -> Findings:
    errors = medians(table)
    headline: dict[str, Number] = {}
    longest = rows(table, kind=SQUARES).horizon.max()
    exact = errors.loc["product", POLARISED].max()
    headline["product, two squares by polarisation, largest error of all T"] = float(exact)
    for name in KERNELS:
        for kind in (SQUARES, STATES):
            headline[f"{name}, m = 1, {kind}, T = {longest}"] = float(errors.loc[name, kind, 1, longest])
            needed = sorted(set(width_needed(table, name, kind)))
            headline[f"{name}, width for 5 %, {kind}, all T"] = ", ".join(map(str, needed)) or "more"
    by_seed = {}
    trained = rows(table, kind=TRAINED).sort_values(["kernel", "width", "horizon"], kind="stable")
    for (name, m, T), runs in groups(trained, ["kernel", "width", "horizon"]).items():
        label = f"{name}, m = {m}, T = {T}, trained"
        headline[label], by_seed[label] = float(runs.error.median()), runs.error
    needed = headline[f"infinite rank, width for 5 %, {SQUARES}, all T"]
    first = rows(table, kind=SQUARES).horizon.min()
    message = (
        f"Two squares hold the product of two convolutions at every T from {first} to {longest}, up to "
        f"{exact:.0e}. For the functional of infinite rank an error of 5 % takes {needed} squares at each of "
        "these T, though its memory grows with T: exact numbers, from eigenvalues. Marks are trained stacks."
    )
    return Findings(table, message, headline, spread=spreads(by_seed))


def plot(data: FigureData) -> Figure:
    """Draw errors against widths and against T: least errors as lines, trained stacks as marks."""
    table = data.table
    with plotting.style():
        figure, axes = plotting.canvas(3, width=13.2, height=4.6)
        colors = dict(zip(sorted(set(table.horizon)), plotting.order(table.horizon.nunique()), strict=True))
        for axis, name in zip(axes, KERNELS, strict=False):
            _against_width(axis, rows(table, kernel=name), colors)
            axis.set_title(LABELS[name])
        axes[0].set_ylabel(r"relative error $\|K-\hat K\|/\|K\|$")
        last = list(KERNELS)[-1]
        _against_horizon(axes[2], rows(table, kernel=last))
        axes[2].set_title(f"{last}: error against $T$")
        figure.legend(
            handles=[
                *(plotting.entry(f"$T={T}$", color) for T, color in colors.items()),
                plotting.entry("any $m$ squares, exact"),
                plotting.entry("$m$ states, best found", ls=":"),
                plotting.entry("trained", "white", marker="o", mec=plotting.INK, ls=""),
                plotting.entry("polarisation", marker="x", ls=""),
            ],
            loc="outside lower center",
            ncols=5,
        )
    return figure


def _against_width(axis: Axes, errors: pd.DataFrame, colors: Mapping[int, plotting.Color]) -> None:
    horizons = sorted(set(errors.horizon))
    for i, T in enumerate(horizons):
        some = rows(errors, horizon=T).assign(error=lambda shown: shown.error.clip(lower=EXACT))
        for kind, line in ((SQUARES, "-"), (STATES, ":")):
            curve = rows(some, kind=kind)
            axis.plot(curve.width, curve.error, ls=line, color=colors[T])
        points = rows(some, kind=TRAINED)
        aside = 0.2 * ((i + 0.5) / len(horizons) - 0.5)
        axis.plot(points.width + aside, points.error, "o", color=colors[T], mec=plotting.INK)
        built = rows(some, kind=POLARISED)
        axis.plot(built.width, built.error, "x", color=plotting.INK, ms=8)
    axis.set(yscale="log", ylim=(EXACT / 2, 1.5), xlabel="width $m$", xticks=sorted(set(errors.width)))
    axis.minorticks_off()


def _against_horizon(axis: Axes, errors: pd.DataFrame) -> None:
    for m, (color, mark) in plotting.looks(sorted(set(errors.width))).items():
        some = rows(errors, width=m)
        for kind, line in ((SQUARES, "-"), (STATES, ":")):
            curve = rows(some, kind=kind)
            axis.plot(curve.horizon, curve.error, ls=line, color=color)
        exact = rows(some, kind=SQUARES).tail(1)
        for T, error in zip(exact.horizon, exact.error, strict=True):
            axis.annotate(f" $m={m}$", (T, error), va="center", color=color)
        points = rows(some, kind=TRAINED)
        axis.plot(points.horizon, points.error, mark, color=color, mec=plotting.INK)
    ticks = sorted(set(errors.horizon))
    axis.set(xscale="log", yscale="log", xlabel="horizon $T$ (steps)", xlim=(ticks[0] / 1.2, ticks[-1] * 1.9))
    axis.set_xticks(ticks, [str(T) for T in ticks])
    axis.minorticks_off()
