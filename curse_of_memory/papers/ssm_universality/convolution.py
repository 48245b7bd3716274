"""SSMs are universal approximators (2309.13414): temporal convolutions by one layer."""

import math
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.nn import S4D, SSM
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets
from curse_of_memory.theory.exponential_sums import fit_exponential_sums
from curse_of_memory.tools import checks
from curse_of_memory.training import fit_expected

__all__ = ["KERNELS", "data", "plot"]

KERNELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exponential": targets.exponential_sum(coefficients=[1.0, -0.6], rates=[0.05, 0.3]),
    "polynomial": targets.named("iat-code-polynomial"),
    "Airy": targets.named("iat-code-airy"),
    "delayed": targets.from_formula("exp(-(t - 16)**2/18)"),
}
LABELS = {
    "exponential": r"exponential, $e^{-t/20}-0.6\,e^{-3t/10}$",
    "polynomial": r"polynomial, $(1+t/10)^{-1.1}$",
    "Airy": r"Airy, $\mathrm{Ai}(t-6)$",
    "delayed": r"delayed, $e^{-(t-16)^2/18}$",
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
    trainings: int = 3,
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
    conjugate pairs, from `trainings` initial weights each, with so many steps of gradient descent and
    `evaluations` by Gauss-Newton on the expected loss of the last step. (The work is done on the CPU;
    `device` changes nothing.)
    """
    checks.positive_int("trainings", trainings)
    widths = sorted({checks.positive_int("widths", width) for width in widths})
    for m in trained_widths:
        if checks.positive_int("trained_widths", m) % 2:
            raise ValueError(f"trained_widths must be even, for modes in pairs, got {m}")
    settings = {"descent": descent, "evaluations": evaluations}
    rows = []
    for name, rho in KERNELS.items():
        task = LinearFunctional(rho, horizon)
        for kind, modes in ((REAL, "real"), (PAIRS, "complex")):
            fits = fit_exponential_sums(task.rho, widths[-1], modes=modes)
            rows += [(name, kind, m, seed, fits[m - 1].error) for m in widths]
        rows += [(name, FLOOR, m, seed, fits[m - 1].lower_bound) for m in widths]
        for m in trained_widths:
            for start in range(seed, seed + trainings):
                for kind, model in layers(m, start).items():
                    rows.append((name, kind, m, start, _trained(model, task, settings)))
    table = pd.DataFrame(rows, columns=["kernel", "kind", "width", "seed", "error"])
    return _findings(table)


def layers(states: int, seed: int) -> dict[str, nn.Module]:
    """Return untrained layers of so many states, one input and one output, in float64, by name."""
    shared = {"parameterization": "softplus", "seed": seed, "dtype": torch.float64}
    return {
        SSM_MARK: SSM(states, bias=False, **shared),
        S4D_MARK: S4D(1, states, step=CLOCK, skip=False, **shared),
    }


def _trained(model: nn.Module, task: LinearFunctional, settings: Mapping) -> float:
    """Train on the expected loss of the last step; return the relative error of the memory."""
    fit_expected(model, task, loss=TemporallyWeightedMSE(math.inf), **settings)
    memory = model.kernel(task.horizon).detach().flatten().numpy()
    return float(np.linalg.norm(memory - task.rho) / np.linalg.norm(task.rho))


def medians(table: pd.DataFrame) -> pd.DataFrame:
    """Return the median error over the seeds, one row a kernel and width, one column a kind."""
    found = table.groupby(["kernel", "width", "kind"]).error.median().unstack()
    return found.reindex(table.kernel.unique(), level="kernel")


def _findings(table: pd.DataFrame) -> Findings:
    found = medians(table)
    widest = table[table.kind == SSM_MARK].width.max()
    runs = table[table.width == widest].groupby(["kernel", "kind"]).error
    headline, by_seed = {}, {}
    for name in KERNELS:
        for kind, error in found.loc[name, widest].dropna().items():
            label = f"{name}, m = {widest}, {kind}"
            headline[label], by_seed[label] = float(error), runs.get_group((name, kind))
    whole = table.pivot_table(index=["kernel", "width"], columns="kind", values="error", aggfunc="min")
    gap = (whole[PAIRS] / whole[FLOOR]).where(whole[PAIRS] > EXACT)
    headline |= {f"{name}, largest best fit / lower bound": float(gap[name].max()) for name in KERNELS}
    real, pairs = (
        [headline[f"{name}, m = {widest}, {kind}"] for name in ("Airy", "delayed")]
        for kind in (SSM_MARK, S4D_MARK)
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
    groups = list(data.table.groupby("kernel", sort=False))
    with plotting.style():
        figure, grid = plt.subplots(2, 2, figsize=(9.2, 7.0), layout="constrained", sharex=True)
        for axis, (name, rows) in zip(grid.flat, groups, strict=True):
            _draw(axis, rows)
            axis.set_title(LABELS[name])
        for axis in grid[1]:
            axis.set_xlabel("number of states $m$")
        for axis in grid[:, 0]:
            axis.set_ylabel(r"relative error $\|\rho-\hat\rho\|/\|\rho\|$")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _draw(axis: Axes, rows: pd.DataFrame) -> None:
    dark, light = plotting.order(2)
    curves = rows.set_index(["kind", "width"]).error
    bottom = max(EXACT, 10.0 ** np.floor(np.log10(curves[PAIRS].min())))
    looks = {
        PAIRS: {"color": dark, "lw": 2.4, "label": "best fit found, pairs"},
        REAL: {"color": light, "ls": "-.", "label": "best fit found, real rates"},
    }
    for kind, look in looks.items():
        curve = curves[kind].clip(lower=bottom)
        axis.plot(curve.index, curve, **look)
    floor = curves[FLOOR].clip(lower=bottom)
    shade = {"color": plotting.INK, "alpha": 0.14, "lw": 0, "label": "no layer of $m$ states"}
    axis.fill_between(floor.index, bottom, floor, **shade)
    for kind, mark, face, aside in ((SSM_MARK, "o", light, -0.12), (S4D_MARK, "s", dark, 0.12)):
        some = rows[rows.kind == kind]
        label = f"{kind}, {'real modes' if kind == SSM_MARK else 'pairs'}"
        error = some.error.clip(lower=bottom)
        axis.plot(some.width + aside, error, mark, color=face, mec=plotting.INK, ms=5.5, label=label)
    axis.set(yscale="log", xticks=sorted(set(rows.width)))
    axis.set_ylim(bottom, 1.5)
    axis.minorticks_off()
