"""Curse of memory (2009.07799): how many exponentials a memory needs, fixed, spaced or free."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import rows
from curse_of_memory.theory.approximation_rates import (
    EquispacedError,
    best_spacing,
    equispaced_error,
    truncation_terms,
)
from curse_of_memory.theory.exponential_sums.geometric_sums import geometric_exponential_sum
from curse_of_memory.theory.exponential_sums.l1_fit import L1Fit, fit_l1
from curse_of_memory.theory.targets import polynomial
from curse_of_memory.theory.targets.rate_targets import damped, kink
from curse_of_memory.tools import checks

__all__ = ["data", "plot"]

WIDTHS = (1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256)
# beyond a kink the best error wanders with its place among the zeros: more lower bounds, and more widths
EXTRA = 20
SMOOTH, SMOOTH_RATE, SPACING = "e⁻ᵗ/(1 + t)", 1.0, 0.5
COLUMNS = ["panel", "target", "method", "terms", "value", "lower"]


@figure_data(
    title="How many exponentials a memory needs",
    source="Curse of memory (2009.07799), Jackson rate and curse of memory",
)
def data(
    *,
    orders: Sequence[int] = (1, 2, 3),
    omegas: Sequence[float] = (0.5, 1, 2),
    tolerances: Sequence[float] = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001, 0.00001, 0.000001),
    largest: int = 64,
    free: int = 7,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Measure L¹ errors on [0, ∞) of sums of up to `largest` exponentials for three kinds of memory.

    *smoothness*: memories with a kink in the derivative of `orders`, and a smooth one, under fixed exponents
    jβ. *curse*: ρ = (1 + t)^{−(1+ω)} for `omegas`; equispaced exponents of the best spacing, geometric ones
    that certify each of `tolerances`, and up to `free` free ones. *abscissa*: the slowest rate of the free
    sums. Columns: ``panel, target, method, terms, value, lower``, `lower` being a lower bound of the best
    error under fixed exponents. (Nothing here is random, nor needs a device.)
    """
    widths = [m for m in WIDTHS if m <= checks.positive_int("largest", largest)]
    for omega in omegas:
        checks.positive("omegas", omega)
    kinks = {f"kink {order}": order for order in orders}
    powers = {f"ω = {omega:g}": omega for omega in omegas}
    table = run_grid(
        _errors,
        product_of(target=[*kinks, SMOOTH, *powers]),
        {"kinks": kinks, "powers": powers, "widths": widths, "tolerances": tolerances, "free": free},
    ).reindex(columns=COLUMNS)
    return Findings(table, *_summary(table, orders, omegas))


def _errors(
    target: str,
    kinks: Mapping[str, int],
    powers: Mapping[str, float],
    widths: Sequence[int],
    tolerances: Sequence[float],
    free: int,
) -> pd.DataFrame:
    """Return the errors of all methods for one memory, one row an error."""
    if target in kinks:
        order, dense = kinks[target], np.geomspace(2, widths[-1], 28).round().astype(int)
        errors = [
            equispaced_error(kink(order), m, extra=EXTRA) for m in np.unique(dense).tolist() if m > order
        ]
        points = _fixed("smoothness", "fixed", errors)
    elif target == SMOOTH:
        smooth = damped(1, SMOOTH_RATE)
        points = _fixed("smoothness", "fixed", (equispaced_error(smooth, m, SPACING) for m in widths))
        points += _free("smoothness", fit_l1(smooth, free))
    else:
        omega = powers[target]
        rho = polynomial(1 + omega)
        points = _fixed("curse", "equispaced", (best_spacing(rho, m, extra=EXTRA) for m in widths))
        for tolerance in tolerances:
            certified = geometric_exponential_sum(rho, tolerance)
            points.append(("curse", "geometric", certified.sum.rates.size, certified.bound, np.nan))
            points.append(("curse", "truncation", truncation_terms(omega, tolerance), tolerance, np.nan))
        points += _free("curse", fit_l1(rho, free))
    return pd.DataFrame(points, columns=[name for name in COLUMNS if name != "target"])


def _fixed(panel: str, method: str, errors: Iterable[EquispacedError]) -> list[tuple]:
    return [(panel, method, e.terms, e.upper, e.lower) for e in errors]


def _free(panel: str, fits: Sequence[L1Fit]) -> list[tuple]:
    errors = [(panel, "free", i, fit.error, np.nan) for i, fit in enumerate(fits, 1)]
    slowest = [("abscissa", "free", i, fit.sum.rates.min(), np.nan) for i, fit in enumerate(fits, 1)]
    return errors + slowest


def _curve(table: pd.DataFrame, panel: str, target: str, method: str) -> pd.DataFrame:
    return rows(table, panel=panel, target=target, method=method).sort_values("terms")


def _slope(curve: pd.DataFrame, bound: str = "value") -> float:
    """Return the log-log slope of the errors, or of their lower bounds, over the upper half of the terms."""
    upper = curve.loc[curve.terms >= np.sqrt(curve.terms.min() * curve.terms.max())]
    return float(np.polyfit(np.log(upper.terms), np.log(upper[bound]), 1)[0])


def _needed(table: pd.DataFrame, name: str, method: str, error: float) -> float:
    """Return the smallest m of `method` in the table whose error is at most `error`, or NaN."""
    curve = _curve(table, "curse", name, method)
    return float(curve[curve.value <= error].terms.min())


def _summary(
    table: pd.DataFrame, orders: Sequence[int], omegas: Sequence[float]
) -> tuple[str, dict[str, float]]:
    headline = {}
    for order in orders:
        curve = _curve(table, "smoothness", f"kink {order}", "fixed")
        headline[f"log-log slope, kink in derivative {order} (at large m {-(order + 1)})"] = _slope(
            curve, "lower"
        )
    headline[f"log-log slope, {SMOOTH} under fixed exponents"] = _slope(
        _curve(table, "smoothness", SMOOTH, "fixed")
    )
    for omega in omegas:
        name, error = f"ω = {omega:g}", 10.0 ** -(1 + round(omega))
        equispaced = _curve(table, "curse", name, "equispaced")
        headline[f"log-log slope, {name}, equispaced (at large m {-2 * omega:g})"] = _slope(equispaced)
        headline[f"terms for {error:g}, {name}: truncation estimate"] = truncation_terms(omega, error)
        for method in ("equispaced", "geometric", "free"):
            headline[f"terms for {error:g}, {name}: {method}"] = _needed(table, name, method, error)
    slowest = rows(table, panel="abscissa").sort_values("terms").groupby("target").value.last()
    headline |= {
        f"slowest free rate at the largest width, {name}": float(rate) for name, rate in slowest.items()
    }
    name, error = f"ω = {omegas[-1]:g}", 10.0 ** -(1 + round(omegas[-1]))
    numbers = [headline[f"terms for {error:g}, {name}: {m}"] for m in ("equispaced", "geometric", "free")]
    message = (
        "Fixed exponents follow the smoothness of ρ (bands: the best error is proven to be inside). "
        f"For {name} and an error of {error:g} the truncation argument estimates "
        f"{truncation_terms(omegas[-1], error):.0f} terms, an upper bound's order; equispaced exponents need "
        f"{numbers[0]:.0f}, geometric ones with a certificate {numbers[1]:.0f}, free ones at most "
        f"{numbers[2]:.0f}. "
        "Measured: the slowest rate of free sums tends to 0 if memory is polynomial, and not if exponential."
    )
    return message, headline


def plot(data: FigureData) -> Figure:
    """Draw errors against m under fixed exponents; errors of power laws by four methods; slowest rates."""
    with plotting.style():
        figure, (smoothness, curse, abscissa) = plotting.canvas(3, height=4.4)
        _draw_smoothness(smoothness, data.table, data.parameters["orders"])
        _draw_curse(curse, data.table, data.parameters["omegas"])
        _draw_abscissa(abscissa, data.table, data.parameters["omegas"])
    return figure


def _draw_smoothness(axis: Axes, table: pd.DataFrame, orders: Sequence[int]) -> None:
    for order, look in plotting.looks(orders).items():
        curve = _curve(table, "smoothness", f"kink {order}", "fixed")
        plotting.band(axis, curve.terms, curve.lower, curve.value, look.color, alpha=0.3)
        plotting.measured(axis, curve.terms, curve.value, look, ms=4, label=f"kink in $\\rho^{{({order})}}$")
        guide = curve.terms ** -(order + 1.0)
        guide *= np.exp(np.log(curve.value / guide).iloc[len(curve) // 2 :].mean())
        plotting.theory(axis, curve.terms, guide, look.color, lw=1, label=f"slope $-{order + 1}$")
    smooth, name = _curve(table, "smoothness", SMOOTH, "fixed"), damped(1, SMOOTH_RATE).label()
    plotting.theory(axis, smooth.terms, smooth.value, ls="--", label=f"{name}, fixed")
    free = _curve(table, "smoothness", SMOOTH, "free")
    axis.plot(free.terms, free.value, "x", color=plotting.INK, ms=7, mew=2, label=f"{name}, free")
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="number of exponentials $m$",
        ylabel=r"$L^1$ error $\|\rho-\hat\rho\|$",
        title="Fixed exponents: smoothness",
    )
    axis.legend(loc="lower left", fontsize=8, labelspacing=0.2)


def _draw_curse(axis: Axes, table: pd.DataFrame, omegas: Sequence[float]) -> None:
    for omega, color in zip(omegas, plotting.order(len(omegas)), strict=True):
        name, ring = f"ω = {omega:g}", plotting.Look(color, "o")
        spaced = _curve(table, "curse", name, "equispaced")
        plotting.band(axis, spaced.terms, spaced.lower, spaced.value, color, alpha=0.3)
        plotting.theory(axis, spaced.terms, spaced.value, color, label=f"$\\omega={omega:g}$")
        guess = _curve(table, "curse", name, "truncation")
        plotting.theory(axis, guess.terms, guess.value, color, ls=":")
        geometric = _curve(table, "curse", name, "geometric")
        plotting.measured(axis, geometric.terms, geometric.value, ring, hollow=True)
        free = _curve(table, "curse", name, "free")
        axis.plot(free.terms, free.value, "x", color=color, ms=7, mew=2)
    axis.add_line(plotting.entry(r"estimate $m=\omega\,\epsilon^{-1/\omega}$", "gray", ls=":"))
    axis.add_line(plotting.entry("equispaced, best spacing", "gray"))
    axis.add_line(plotting.entry("geometric, certified bound", "gray", marker="o", ls="", mfc="none"))
    axis.add_line(plotting.entry("free, best found", "gray", marker="x", ls=""))
    axis.set(
        xscale="log",
        yscale="log",
        xlim=(0.8, 3e3),
        xlabel="number of exponentials $m$",
        ylabel=r"$L^1$ error $\epsilon$",
        title=r"The curse: $\rho=(1+t)^{-(1+\omega)}$",
    )
    axis.set_ylim(bottom=1e-9)
    axis.legend(loc="lower right", fontsize=8, labelspacing=0.2)


def _draw_abscissa(axis: Axes, table: pd.DataFrame, omegas: Sequence[float]) -> None:
    smooth = damped(1, SMOOTH_RATE).label()
    looks = {SMOOTH: (smooth, plotting.Look(plotting.INK, "X"))}
    for omega, look in plotting.looks(omegas).items():
        looks[f"ω = {omega:g}"] = polynomial(1 + omega).label(), look
    for name, (label, look) in looks.items():
        curve = _curve(table, "abscissa", name, "free")
        plotting.measured(axis, curve.terms, curve.value, look, joined="-", lw=0.8, label=label)
    axis.axhline(SMOOTH_RATE, color=plotting.INK, ls="--", lw=1, label=f"decay rate of {smooth}")
    axis.set(
        yscale="log",
        xlabel="number of free exponentials $m$",
        ylabel=r"slowest rate $\min_i\lambda_i$ (per unit time)",
        title="Slowest rate: kept, or lost",
    )
    axis.legend(loc="lower left", fontsize=8, labelspacing=0.2)
