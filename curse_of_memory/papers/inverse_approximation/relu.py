"""Inverse approximation theory (2305.19190), figure 7: ReLU networks without and with softplus."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib.figure import Figure

from curse_of_memory.experiments.perturbed_networks import (
    COMPARED_BETAS,
    PARAMETERIZATIONS,
    direct_over_softplus,
    draw_errors,
    perturbed_networks,
)
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tools import checks

__all__ = ["data", "plot"]

GREY = "0.75"


@figure_data(
    title="Perturbation error of ReLU networks on polynomial memory, without and with softplus",
    source="Inverse approximation theory (2305.19190), figure 7",
)
def data(
    *,
    widths: Sequence[int] = (2, 4, 8),
    horizon: int = 100,
    steps: int = 300,
    batch_size: int = 128,
    learning_rate: float = 0.02,
    draws: int = 30,
    samples: int = 256,
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train dense ReLU RNNs on ρ(t) = (1 + 0.1 t)^{−1.1} and perturb them, W direct or −softplus.

    The error is the mean squared error over sampled white sequences, the largest of `draws` perturbations
    within β in the spectral ball; there are `seeds` networks of every width. Columns: ``activation,
    parameterization, m, seed, beta, error``. The authors' runs have m = 8 … 64, the loss weight t⁴ and the
    max-norm ball.
    """
    starts = range(seed, seed + checks.positive_int("seeds", seeds))
    table = perturbed_networks(
        ["relu"],
        widths,
        starts,
        horizon=horizon,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        draws=draws,
        samples=samples,
        device=device,
    )
    ours, theirs, by_seed = direct_over_softplus(table)
    at = max(COMPARED_BETAS)
    runs = table.loc[np.isclose(table.beta, at)].pivot(
        index=["m", "seed"], columns="parameterization", values="error"
    )
    ratio = runs.direct / runs.softplus
    message = (
        f"At β = {at:g} the ReLU network with a direct W is {ratio.min():.2g} to {ratio.max():.2g} times as "
        f"wrong as that with softplus, over {len(ratio)} pairs of the same width and seed."
    )
    rest = table.loc[table.beta == 0].groupby(["parameterization", "m"]).error
    for parameterization, m in product(PARAMETERIZATIONS, sorted(set(table.m))):
        label = f"E_{m}(0), {parameterization}, median of the seeds"
        by_seed[label] = rest.get_group((parameterization, m))
        ours[label] = float(by_seed[label].median())
    return Findings(table, message, ours, theirs, spread=spreads(by_seed))


def plot(data: FigureData) -> Figure:
    """Draw a panel per parameterisation: medians and ranges over the seeds, the authors' runs in grey."""
    printed = reference("inverse_approximation/activations")
    printed = rows(printed.loc[printed.beta > 0], activation="relu")
    looks = plotting.looks(sorted(set(data.table.m)))
    least = float(data.table.error[data.table.beta > 0].min())
    with plotting.style():
        figure, axes = plotting.canvas(2, width=9.4, height=4.2, sharey=True)
        for axis, parameterization, letter in zip(axes, PARAMETERIZATIONS, "ab", strict=True):
            theirs = rows(printed, parameterization=parameterization)
            for i, curve in enumerate(groups(theirs, "m").values()):
                label = "authors, $m=8$ to $64$" if i == 0 else None
                axis.plot(curve.beta, curve.error, color=GREY, lw=1, zorder=1, label=label)
            for m, look in looks.items():
                ours = rows(data.table, parameterization=parameterization, m=m)
                draw_errors(axis, ours, look, f"$m={m}$")
            axis.set(
                xscale="log",
                yscale="log",
                ylim=(min(1e-3, least), 1e7),
                xlabel=r"perturbation $\beta$",
                title=f"({letter}) ReLU, {parameterization} $W$",
            )
        axes[0].set_ylabel(r"perturbation error $E_m(\beta)$ (mean squared)")
        axes[1].add_line(plotting.entry("range of the seeds", lw=6, alpha=0.2))
        plotting.joined_legend(figure, [axes[1]], ncols=6)
    return figure
