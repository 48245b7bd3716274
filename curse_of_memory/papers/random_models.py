"""Random models: figure 10 of IAT (2305.19190), figures 5 and 6 of "SSM universality" (2309.13414)."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.api.typing import DataFrameGroupBy
from torch import nn

from curse_of_memory import checks, plotting
from curse_of_memory.devices import resolve_device
from curse_of_memory.measure import memory_function
from curse_of_memory.papers.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.papers.random_stacks import STACKS, fitted_slope, linearised_rate, spread

__all__ = [
    "exponential_decay_data",
    "exponential_decay_plot",
    "memory_of_random_models_data",
    "memory_of_random_models_plot",
]

SHOWN = 400  # lags of a curve that the table keeps
COLUMNS = ["panel", "model", "layers", "probe", "lag", "low", "median", "high"]
COLUMNS += ["seed", "rate", "early", "predicted", "r2"]
# of one type in every part, empty or not
NUMBERS = dict.fromkeys(COLUMNS[4:], float)


@figure_data(
    "inverse_approximation/memory_of_random_models",
    title="The memory of random models decays exponentially",
    source="Inverse approximation theory (2305.19190), figure 10",
)
def memory_of_random_models_data(
    *,
    models: Sequence[str] = ("RNN", "GRU", "LSTM", "S4D"),
    layers: Sequence[int] = (1, 2, 3, 4),
    s4d_layers: Sequence[int] = (1, 2, 3),
    hidden: int = 16,
    horizon: int = 120,
    s4d_horizon: int = 10000,
    early: int = 2000,
    repeats: int = 10,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Measure the memory of untrained stacks by step and by impulse, and the slope of its logarithm.

    `repeats` models of each kind and depth, in float64, of `hidden` states or channels a layer; S4D with
    `s4d_layers` and over `s4d_horizon` steps, of which the paper shows the first `early`. In the panel
    *memory* the table has quantiles over the models at some lags; in *rate* one row a model: minus the fitted
    slope of log M, that within the first `early` steps, and β of the linearised model. Columns: ``panel,
    model, layers, probe, lag, low, median, high, seed, rate, early, predicted, r2``.
    """
    parts = []
    for probe, inputs in {"heaviside": (1.0, -1.0), "impulse": (0.0,)}.items():
        for kind in models:
            steps, deep = (s4d_horizon, s4d_layers) if kind == "S4D" else (horizon, layers)

            def measure(model, probe=probe, steps=steps):
                return memory_function(model, steps, probe=probe, device=device)

            circumstances = {"kind": kind, "hidden": hidden, "repeats": repeats, "seed": seed, "early": early}
            parts += _measured(deep, measure, inputs, probe, **circumstances)
    table = pd.concat(parts, ignore_index=True)[COLUMNS]
    return _memory_findings(table, early)


@figure_data(
    "ssm_universality/exponential_decay",
    title="Stacks of state space layers forget exponentially, as recurrent ones do",
    source="SSM universality (2309.13414), figures 5 and 6 and theorem 3.13",
)
def exponential_decay_data(
    *,
    models: Sequence[str] = ("RNN", "GRU", "LSTM", "SSM", "S4D"),
    layers: Sequence[int] = (1, 2, 3, 4),
    hidden: int = 16,
    horizon: int = 120,
    ssm_horizon: int = 2000,
    s4d_horizon: int = 20000,
    repeats: int = 20,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Measure ρ̂(t) = ‖dŷ/dt‖² of untrained stacks under a unit step, and c₀ of ρ̂ ~ e^{−c₀ t}.

    As :func:`memory_of_random_models_data`, with ρ̂ in the place of M: `low`, `median` and `high` are its
    quantiles, `rate` is c₀, minus the slope of log ρ̂, and `predicted` is 2β, β the rate of the slowest layer.
    (`early` is `rate`.)
    """
    parts = []
    for kind in models:
        steps = {"SSM": ssm_horizon, "S4D": s4d_horizon}.get(kind, horizon)

        def measure(model, steps=steps):
            return _unit_step(model, steps, device)

        circumstances = {"kind": kind, "hidden": hidden, "repeats": repeats, "seed": seed, "early": steps}
        parts += _measured(layers, measure, (1.0,), "unit step", **circumstances)
    table = pd.concat(parts, ignore_index=True)[COLUMNS]
    table[["low", "median", "high"]] **= 2
    table[["rate", "early", "predicted"]] *= 2
    return _decay_findings(table)


def _unit_step(model: nn.Module, horizon: int, device: str) -> xr.DataArray:
    """Return |ŷ_{k+1} − ŷ_k| at the lags k under a unit step, with the rounding of ŷ as its noise."""
    checks.positive_int("horizon", horizon)
    place = resolve_device(device)
    with torch.no_grad():
        y = model.to(place)(torch.ones(1, horizon + 1, 1, dtype=torch.float64, device=place))[0, :, 0]
    noise = torch.finfo(y.dtype).eps * y.abs().max().item()
    values = y.diff().abs().cpu().numpy()
    return xr.DataArray(values, {"lag": np.arange(horizon)}, ["lag"], attrs={"noise_floor": noise})


def _measured(
    layers: Sequence[int],
    measure: Callable[[nn.Module], xr.DataArray],
    inputs: Sequence[float],
    probe: str,
    *,
    kind: str,
    hidden: int,
    repeats: int,
    seed: int,
    early: int,
) -> list[pd.DataFrame]:
    """Return the rows of both panels for one kind and one probe; it settles under constant `inputs`."""
    build = STACKS[checks.one_of("models", kind, STACKS)]
    checks.positive_int("repeats", repeats)
    checks.positive_int("early", early)
    parts = []
    for depth in layers:
        checks.positive_int("layers", depth)
        curves, rates = [], []
        for number in range(seed, seed + repeats):
            model = build(hidden, depth, number)
            predicted = linearised_rate(model, inputs)
            curves.append(measure(model))
            slope = fitted_slope(curves[-1])
            at_first = fitted_slope(curves[-1].isel(lag=slice(early)))
            row = {"seed": number, "rate": slope.rate, "early": at_first.rate, "r2": slope.r2}
            rates.append(row | {"predicted": predicted})
        known = {"model": kind, "layers": depth, "probe": probe}
        lags = curves[0].lag.values
        some = np.unique(np.linspace(0, lags.size - 1, SHOWN).astype(int))
        quantiles = {"lag": lags} | spread(curves)
        parts.append(pd.DataFrame(quantiles).iloc[some].assign(panel="memory", **known))
        parts.append(pd.DataFrame(rates).assign(panel="rate", **known))
    return [part.reindex(columns=COLUMNS).astype(NUMBERS) for part in parts]


def _by_stack(table: pd.DataFrame) -> DataFrameGroupBy:
    """Return one row a model, in groups of one probe, kind and depth: columns as :func:`agreement` says."""
    rates = table[table.panel == "rate"]
    rates = rates.assign(ratio=rates.rate / rates.predicted, early=rates.early / rates.predicted)
    return rates.groupby(["probe", "model", "layers"], sort=False)


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """Return medians over the models of each probe, kind and depth.

    Columns: the fitted and the predicted rate, `ratio` of the two and its quantiles `low` and `high` (10 and
    90 %), `early`, the ratio within the first steps, and `r2` of the line.
    """
    groups = _by_stack(table)
    found = groups[["rate", "predicted", "ratio", "early", "r2"]].median()
    return found.assign(low=groups.ratio.quantile(0.1), high=groups.ratio.quantile(0.9))


def _findings(table: pd.DataFrame, message: str, stacks: Iterable[tuple], labels: Mapping) -> Findings:
    """Return findings with medians over the models that have a rate; `labels` are by column."""
    models = _by_stack(table)
    found = product(stacks, labels.items())
    rates = {label.format(*at): models.get_group(at)[column].dropna() for at, (column, label) in found}
    headline = {label: float(each.median()) for label, each in rates.items()}
    return Findings(table, message, headline, spread=spreads(rates))


def _memory_findings(table: pd.DataFrame, early: int) -> Findings:
    found = agreement(table)
    first = found.index.get_level_values("layers").min()
    ends = [(*run, m) for *run, m in found.index if m in (first, found.loc[tuple(run)].index.max())]
    words = (
        f"With their usual initial weights the models forget exponentially: the slope of log M is "
        f"{found.ratio.min():.2f} to {found.ratio.max():.2f} times the rate of the linearised model (medians "
        f"over {table.seed.nunique()} models, dashed), for step and impulse."
    )
    if "S4D" in table.model.values:
        slow = found.xs("S4D", level="model")
        words += (
            f" Within the paper's {early} steps the slope of S4D is {slow.early.min():.1f} to "
            f"{slow.early.max():.1f} times that rate: faster channels are still heard."
        )
    name = "{1}, layers {2}, {0}"
    labels = {"rate": f"rate per step, {name}", "ratio": f"over that of the theory, {name}"}
    return _findings(table, words, ends, labels)


def _decay_findings(table: pd.DataFrame) -> Findings:
    found = agreement(table)
    words = (
        "With their usual initial weights all stacks forget exponentially: log ρ̂ is a line (median R² at "
        f"least {found.r2.min():.3f}) of slope −c₀, c₀ {found.ratio.min():.2f} to {found.ratio.max():.2f} "
        f"times 2β (medians over {table.seed.nunique()} models), β the rate of the slowest layer (dashed), "
        "at every depth drawn."
    )
    name = "{1}, layers {2}"
    labels = {"rate": f"c₀ per step, {name}", "ratio": f"c₀ over 2β, {name}", "r2": f"R², {name}"}
    return _findings(table, words, found.index, labels)


def memory_of_random_models_plot(data: FigureData) -> Figure:
    """Draw memories, step as bands and impulse as marks, and fitted rates against those of the theory."""
    early = data.parameters["early"]
    return _draw(data.table, r"memory $M(t)$", "fitted rate of $M$ (1/step)", r"rate $\beta$", early)


def exponential_decay_plot(data: FigureData) -> Figure:
    """Draw ρ̂ by kind, medians in bands, and fitted rates c₀ against those of the theory."""
    return _draw(data.table, r"$\hat\rho(t)=\|d\hat y/dt\|^2$", "fitted $c_0$ (1/step)", r"$2\beta$", None)


def _draw(table: pd.DataFrame, quantity: str, fitted: str, theory: str, early: int | None) -> Figure:
    kinds = list(table.model.unique())
    columns = min(3, len(kinds) + 1)
    rows = math.ceil((len(kinds) + 1) / columns)
    layers = sorted(table.layers.unique())
    with plotting.style():
        size = {"figsize": (4.2 * columns, 3.3 * rows + 0.5), "layout": "constrained"}
        figure, axes = plt.subplots(rows, columns, squeeze=False, **size)
        looks = dict(zip(layers, plotting.distinct(len(layers)), strict=True))
        for axis, kind in zip(axes.flat, kinds, strict=False):
            _draw_curves(axis, table[table.model == kind], looks)
            axis.set(yscale="log", xlabel="lag $t$ (steps)", ylabel=quantity, title=kind)
            if early is not None and early < table.lag[table.model == kind].max():
                axis.axvline(early, color=plotting.INK, ls=":", lw=1)
        _draw_rates(axes.flat[len(kinds)], table, looks)
        axes.flat[len(kinds)].set(xlabel=f"{theory} of the linearised model (1/step)", ylabel=fitted)
        axes.flat[len(kinds)].set_title("Theory (line) and measurement")
        entries = _entries(table, looks, theory, early)
        free = list(axes.flat[len(kinds) + 1 :])
        for axis in free:
            axis.axis("off")
        if free:
            free[0].legend(handles=entries, loc="center")
        else:
            figure.legend(handles=entries, loc="outside lower center", ncols=len(entries))
    return figure


def _draw_curves(axis: Axes, table: pd.DataFrame, looks: Mapping) -> None:
    """Draw one kind: bands of the first probe, marks of the second, and e^{−βt} with the median β."""
    probes = list(table.probe.unique())
    rates = agreement(table)
    for (depth, probe), curve in table[table.panel == "memory"].groupby(["layers", "probe"]):
        color, mark = looks[depth]
        if probe != probes[0]:
            some = curve.dropna(subset=["median"]).iloc[5 :: max(1, len(curve) // 12)]
            axis.plot(some.lag, some["median"], mark, color=color, ms=4, mfc="none")
            continue
        heard = curve[curve["median"] > 0]
        axis.plot(heard.lag, heard["median"], color=color)
        axis.fill_between(
            heard.lag, heard.low.fillna(heard["median"].min()), heard.high, color=color, alpha=0.15, lw=0
        )
        # from three fifths of the way on, a little above the curve
        tail = heard.iloc[int(0.6 * len(heard)) :]
        beta = rates.predicted[(probe, table.model.iloc[0], depth)]
        if not tail.empty:
            line = 3 * tail["median"].iloc[0] * np.exp(-beta * (tail.lag - tail.lag.iloc[0]))
            axis.plot(tail.lag, line, "--", color=color, lw=1.2)


def _draw_rates(axis: Axes, table: pd.DataFrame, looks: Mapping) -> None:
    rates = table[(table.panel == "rate") & (table.probe == table.probe.iloc[0])].dropna(subset=["rate"])
    for depth, some in rates.groupby("layers"):
        color, mark = looks[depth]
        axis.plot(some.predicted, some.rate, mark, color=color, ms=4, alpha=0.6)
    ends = np.array([rates.predicted.min() / 1.3, rates.predicted.max() * 1.3])
    axis.plot(ends, ends, "--", color=plotting.INK, lw=1.2)
    axis.set(xscale="log", yscale="log")


def _entries(table: pd.DataFrame, looks: Mapping, theory: str, early: int | None) -> list[plt.Line2D]:
    entries = [
        plt.Line2D([], [], color=color, marker=mark, ms=5, label=f"{depth} layer{'s' if depth > 1 else ''}")
        for depth, (color, mark) in looks.items()
    ]
    name = theory.split()[-1]
    entries.append(plt.Line2D([], [], color=plotting.INK, ls="--", lw=1.2, label=f"theory, rate {name}"))
    if table.probe.nunique() > 1:
        hollow = {"color": plotting.INK, "marker": "o", "ls": "", "mfc": "none", "ms": 4}
        entries.append(plt.Line2D([], [], label="impulse (line: step)", **hollow))
    if early is not None:
        entries.append(
            plt.Line2D([], [], color=plotting.INK, ls=":", lw=1, label=f"the paper's {early} steps")
        )
    return entries
