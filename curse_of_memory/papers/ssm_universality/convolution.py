"""SSMs are universal approximators (2309.13414): temporal convolutions by one state space layer."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.nn import S4D, SSM
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.report.record import Number
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets
from curse_of_memory.theory.exponential_sums import fit_exponential_sums
from curse_of_memory.tools import checks
from curse_of_memory.training import fit_expected

__all__ = ["TARGETS", "data", "plot"]

TARGETS: dict[str, targets.Target] = {
    "exponential": targets.exponential_sum(coefficients=[1.0, -0.6], rates=[0.05, 0.3]),
    "polynomial": targets.named("iat-code-polynomial"),
    "Airy": targets.named("iat-code-airy"),
    "delayed": targets.from_formula("exp(-(t - 16)**2/18)"),
}
REAL, PAIRS, FLOOR, SSM_MARK, S4D_MARK = "real rates", "pairs", "no layer", "SSM, trained", "S4D, trained"
CLOCK = (0.03, 0.3)  # steps of S4D at the start: its modes then have periods from some steps on
EXACT = 1e-12  # relative errors below are rounding, and drawn at the lower edge


@figure_data(
    title="One state space layer is a temporal convolution with a sum of exponentials",
    source="SSM universality (2309.13414), temporal convolutions",
)
def data(
    *,
    widths: Sequence[int] = (1, 2, 3, 4, 5, 6, 7, 8),
    trained_widths: Sequence[int] = (2, 4, 8),
    seeds: int = 3,
    horizon: int = 64,
    descent: int = 100,
    evaluations: int = 40,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Approximate y_k = Σ_s ρ_s x_{k−s} by one layer of m states, ρ̂_s = C e^{W s} U, in five ways.

    Errors are |ρ − ρ̂| / |ρ| in ℓ2 over the lags 0 … `horizon` − 1: the relative error of y at the last step
    for white inputs. Columns: ``kernel, kind, width, seed, error``. The kinds: *real rates* and *pairs* are
    the best sums of exponentials found, with real rates and with conjugate pairs; *no layer* is a lower bound
    over all W, C and U, real or not; *SSM, trained* has real modes and *S4D, trained* one channel of
    conjugate pairs, from `seeds` initial weights each, with `descent` steps of gradient descent and
    `evaluations` by Gauss-Newton on the expected loss of the last step. (The work is done on the CPU;
    `device` changes nothing.)
    """
    checks.positive_int("seeds", seeds)
    widths = sorted({checks.positive_int("widths", width) for width in widths})
    for m in trained_widths:
        if checks.positive_int("trained_widths", m) % 2:
            raise ValueError(f"trained_widths must be even, for modes in pairs, got {m}")
    exact = run_grid(
        _best_fits, product_of(kernel=TARGETS), common={"widths": widths, "horizon": horizon, "seed": seed}
    )
    trained = run_grid(
        _trained,
        product_of(
            kernel=TARGETS, width=trained_widths, seed=range(seed, seed + seeds), kind=(SSM_MARK, S4D_MARK)
        ),
        common={"horizon": horizon, "descent": descent, "evaluations": evaluations},
    )
    table = pd.concat([exact, trained], ignore_index=True)
    table = pd.concat([rows(table, kernel=name) for name in TARGETS], ignore_index=True)
    return _findings(table.loc[:, ["kernel", "kind", "width", "seed", "error"]])


def _best_fits(kernel: str, widths: Sequence[int], horizon: int, seed: int) -> pd.DataFrame:
    """Return the errors of the best sums of exponentials for a kernel and the lower bound, by width."""
    task = LinearFunctional(TARGETS[kernel], horizon)
    curves = []
    for kind, modes in ((REAL, "real"), (PAIRS, "complex")):
        fits = fit_exponential_sums(task.rho, max(widths), modes=modes)
        errors = [fits[m - 1].error for m in widths]
        curves.append(pd.DataFrame({"kind": kind, "width": widths, "seed": seed, "error": errors}))
    floor = [fits[m - 1].lower_bound for m in widths]
    curves.append(pd.DataFrame({"kind": FLOOR, "width": widths, "seed": seed, "error": floor}))
    return pd.concat(curves, ignore_index=True)


def layers(states: int, seed: int) -> dict[str, SSM | S4D]:
    """Return untrained layers of `states` states, one input and one output, in float64, by their `kind`."""
    return {
        SSM_MARK: SSM(states, bias=False, parameterization="softplus", seed=seed, dtype=torch.float64),
        S4D_MARK: S4D(
            1, states, step=CLOCK, skip=False, parameterization="softplus", seed=seed, dtype=torch.float64
        ),
    }


def _trained(
    kernel: str, width: int, seed: int, kind: str, horizon: int, descent: int, evaluations: int
) -> dict[str, float]:
    """Train one layer; return the error of its memory."""
    task, model = LinearFunctional(TARGETS[kernel], horizon), layers(width, seed)[kind]
    return {"error": _error_of_trained(model, task, descent, evaluations)}


def _error_of_trained(model: SSM | S4D, task: LinearFunctional, descent: int, evaluations: int) -> float:
    """Train a layer on the expected loss of the last step; return the relative error of its memory."""
    fit_expected(model, task, loss=TemporallyWeightedMSE(math.inf), descent=descent, evaluations=evaluations)
    memory = model.kernel(task.horizon).detach().flatten().numpy()
    return float(np.linalg.norm(memory - task.rho) / np.linalg.norm(task.rho))


def medians(table: pd.DataFrame) -> pd.DataFrame:
    """Return the median error over the seeds, one row a kernel and width, one column a kind."""
    by_kind = table.groupby(["kernel", "width", "kind"]).error.median().unstack()
    return by_kind.reindex(table.kernel.unique(), level="kernel")


def _findings(table: pd.DataFrame) -> Findings:
    errors = medians(table)
    widest = rows(table, kind=SSM_MARK).width.max()
    runs = rows(table, width=widest).groupby(["kernel", "kind"]).error
    headline: dict[str, Number] = {}
    by_seed = {}
    for name in TARGETS:
        for kind, error in errors.loc[name, widest].dropna().items():
            label = f"{name}, m = {widest}, {kind}"
            headline[label], by_seed[label] = float(error), runs.get_group((name, kind))
    whole = table.pivot_table(index=["kernel", "width"], columns="kind", values="error", aggfunc="min")
    gap = (whole[PAIRS] / whole[FLOOR]).where(whole[PAIRS] > EXACT)
    headline |= {f"{name}, largest best fit / lower bound": float(gap.loc[name].max()) for name in TARGETS}
    real, pairs = (
        [errors.loc[(name, widest), kind] for name in ("Airy", "delayed")] for kind in (SSM_MARK, S4D_MARK)
    )
    message = (
        "No layer of m states, trained or not, is in the shaded region. Two states hold the exponential "
        f"kernel. At m = {widest} trained layers with real modes miss {real[0]:.1g} of the Airy kernel and "
        f"{real[1]:.1g} of the delayed one, those with conjugate pairs {pairs[0]:.1g} and {pairs[1]:.1g} "
        "(medians over seeds)."
    )
    return Findings(table, message, headline, spread=spreads(by_seed))


def plot(data: FigureData) -> Figure:
    """Draw errors against the number of states: best fits as lines, training as marks, bound shaded."""
    with plotting.style():
        figure, grid = plotting.canvas(2, 2, width=9.2, height=7.0, sharex=True)
        for axis, (name, errors) in zip(grid.flat, groups(data.table, "kernel").items(), strict=True):
            _draw(axis, errors)
            axis.set_title(f"{name}, {TARGETS[name].label()}")
        for axis in grid[1]:
            axis.set_xlabel("number of states $m$")
        for axis in grid[:, 0]:
            axis.set_ylabel(r"relative error $\|\rho-\hat\rho\|/\|\rho\|$")
        plotting.joined_legend(figure, [grid[0, 0]], ncols=3)
    return figure


def _draw(axis: Axes, errors: pd.DataFrame) -> None:
    dark, light = plotting.order(2)
    curves = errors.set_index(["kind", "width"]).error
    bottom = max(EXACT, 10.0 ** np.floor(np.log10(curves[PAIRS].min())))
    pairs, real = (curves[kind].clip(lower=bottom) for kind in (PAIRS, REAL))
    plotting.theory(axis, pairs.index, pairs, dark, lw=2.4, label="best fit found, pairs")
    plotting.theory(axis, real.index, real, light, ls="-.", label="best fit found, real rates")
    floor = curves[FLOOR].clip(lower=bottom)
    label = "no layer of $m$ states"
    plotting.band(axis, floor.index, bottom, floor, plotting.INK, alpha=0.14, label=label)
    for kind, mark, face, aside in ((SSM_MARK, "o", light, -0.12), (S4D_MARK, "s", dark, 0.12)):
        some = rows(errors, kind=kind)
        label = f"{kind}, {'real modes' if kind == SSM_MARK else 'pairs'}"
        error = some.error.clip(lower=bottom)
        axis.plot(some.width + aside, error, mark, color=face, mec=plotting.INK, ms=5.5, label=label)
    axis.set(yscale="log", xticks=sorted(set(errors.width)))
    axis.set_ylim(bottom, 1.5)
    axis.minorticks_off()
