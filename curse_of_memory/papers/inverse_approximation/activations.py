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

    As :func:`curse_of_memory.experiments.perturbed_networks.perturbed_networks` says. Columns: ``activation,
    parameterization, m, seed, beta, error``. The authors' runs have m = 8 … 64, the loss weight t⁴ and the
    max-norm ball.
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
    """Draw one panel per activation: direct dashed, softplus solid, the authors' widest pair in grey."""
    printed = reference("inverse_approximation/activations")
    with plotting.style():
        groups = list(data.table.groupby("activation", sort=False))
        figure, axes = plotting.canvas(len(groups), height=4.2, sharey=True)
        for axis, (activation, curves) in zip(axes, groups, strict=True):
            widths = sorted(set(curves.m))
            for parameterization, line in (("direct", "--"), ("softplus", "-")):
                kind = curves[curves.parameterization == parameterization]
                theirs = printed[
                    (printed.activation == activation) & (printed.parameterization == parameterization)
                ]
                for _, curve in theirs[theirs.beta > 0].groupby("m"):
                    axis.plot(curve.beta, curve.error, line, color="0.78", lw=1, zorder=1)
                for m, color in zip(widths, plotting.order(len(widths)), strict=True):
                    curve = kind[(kind.m == m) & (kind.beta > 0)]
                    axis.plot(curve.beta, curve.error, line, color=color)
            axis.set(
                xscale="log", yscale="log", ylim=(1e-4, 1e5), xlabel=r"perturbation $\beta$", title=activation
            )
        axes[0].set_ylabel(r"perturbation error $E_m(\beta)$ (mean squared)")
        for m, color in zip(widths, plotting.order(len(widths)), strict=True):
            axes[0].plot([], [], color=color, label=f"$m={m}$")
        for line, name in (("--", "direct $W$"), ("-", "softplus $W$")):
            axes[0].plot([], [], line, color=plotting.INK, label=name)
        axes[0].plot([], [], color="0.78", lw=1, label="authors, $m=8$ to $64$")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure
