"""Inverse approximation theory (2305.19190), figures 2 and 8: activations without and with softplus."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from curse_of_memory.experiments.perturbed_networks import (
    COMPARED_BETAS,
    direct_over_softplus,
    perturbed_networks,
)
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.report.reference_numbers import reference

__all__ = ["data", "plot"]


@figure_data(
    title="Perturbation error on polynomial memory: three activations, with and without softplus",
    source="Inverse approximation theory (2305.19190), figures 2 and 8",
)
def data(
    *,
    activations: Sequence[str] = ("linear", "hardtanh", "tanh"),
    widths: Sequence[int] = (2, 4, 8),
    horizon: int = 100,
    steps: int = 300,
    batch_size: int = 128,
    learning_rate: float = 0.02,
    draws: int = 30,
    samples: int = 256,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train dense RNNs on ρ(t) = (1 + 0.1 t)^{−1.1} and perturb them, W direct or −softplus.

    The error is the mean squared error over sampled white sequences, the largest of `draws` perturbations
    within β in the spectral ball. Columns: ``activation, parameterization, m, seed, beta, error``. The
    authors' runs have m = 8 … 64, the loss weight t⁴ and the max-norm ball.
    """
    table = perturbed_networks(
        activations,
        widths,
        [seed],
        horizon=horizon,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        draws=draws,
        samples=samples,
        device=device,
    )
    ours, theirs, _ = direct_over_softplus(table)
    at = f"{max(COMPARED_BETAS):g}"
    far = {label.split(",")[0]: ratio for label, ratio in ours.items() if label.endswith(at)}
    times = ", ".join(f"{ratio:.2g} ({activation})" for activation, ratio in far.items())
    message = f"At β = {at} the error of the direct W is that of the softplus W times {times}."
    return Findings(table, message, ours, theirs)


def plot(data: FigureData) -> Figure:
    """Draw one panel per activation: direct dashed, softplus solid, the authors' runs in grey."""
    printed = reference("inverse_approximation/activations")
    least = float(data.table.error[data.table.beta > 0].min())
    with plotting.style():
        panels = groups(data.table, "activation")
        looks = plotting.looks(sorted(set(data.table.m)))
        figure, axes = plotting.canvas(len(panels), height=4.2, sharey=True)
        for axis, (activation, curves) in zip(axes, panels.items(), strict=True):
            for parameterization, line in (("direct", "--"), ("softplus", "-")):
                theirs = rows(printed, activation=activation, parameterization=parameterization)
                for curve in groups(theirs.loc[theirs.beta > 0], "m").values():
                    axis.plot(curve.beta, curve.error, line, color="0.78", lw=1, zorder=1)
                ours = rows(curves, parameterization=parameterization)
                for m, curve in groups(ours.loc[ours.beta > 0], "m").items():
                    plotting.theory(axis, curve.beta, curve.error, looks[m].color, ls=line)
            axis.set(
                xscale="log",
                yscale="log",
                ylim=(min(1e-4, least), 1e5),
                xlabel=r"perturbation $\beta$",
                title=activation,
            )
        axes[0].set_ylabel(r"perturbation error $E_m(\beta)$ (mean squared)")
        for m, look in looks.items():
            axes[0].add_line(plotting.entry(f"$m={m}$", look.color))
        axes[0].add_line(plotting.entry("direct $W$", ls="--"))
        axes[0].add_line(plotting.entry("softplus $W$"))
        axes[0].add_line(plotting.entry("authors, $m=8$ to $64$", "0.78", lw=1))
        plotting.joined_legend(figure, [axes[0]], ncols=7)
    return figure
