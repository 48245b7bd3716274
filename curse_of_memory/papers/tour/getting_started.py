"""The picture at the end of the tour: a target, the memories of two models, and a perturbation curve."""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups
from curse_of_memory.theory.targets import Target

__all__ = ["data", "plot"]


def data(
    rho: Target,
    learnt: xr.DataArray,
    other: xr.DataArray,
    curve: xr.Dataset,
    *,
    seed: int = 0,
    device: str = "auto",
) -> FigureData:
    """Collect what the tour measured: memories over the lag, and the perturbation error over β.

    Parameters
    ----------
    rho : Target
        The memory that was to be learnt.
    learnt, other : xarray.DataArray over ``lag``
        Measured memories of the trained model and of another one.
    curve : xarray.Dataset over ``beta``
        Perturbation curve of the trained model.
    seed, device
        What the tour was run with.

    Returns
    -------
    FigureData
        Columns ``curve, at, value``: `at` is a lag, or a radius β for the perturbation error.
    """

    @figure_data(title="A tour: target, memory, perturbation", source="ours")
    def collect(*, seed: int, device: str) -> Findings:
        lags = learnt.lag.values
        curves = {
            "target": (lags, rho(lags)),
            "trained RNN": (lags, learnt.values),
            "random LSTM": (lags, other.values),
            "perturbation error": (curve.beta.values, curve.error.values),
        }
        table = pd.concat(
            [pd.DataFrame({"curve": name, "at": at, "value": v}) for name, (at, v) in curves.items()],
            ignore_index=True,
        )
        gap = float(np.abs(learnt.values - rho(lags)).max())
        message = (
            f"The trained modes learn the target to {gap:.1g} at every lag up to {lags[-1]:g}; of its memory "
            f"at lag 0, the random LSTM keeps {float(other[10] / other[0]):.0e} at lag {lags[10]:g}."
        )
        return Findings(table, message, {"largest error of the learnt memory": gap})

    return collect(seed=seed, device=device)


def plot(data: FigureData) -> Figure:
    """Draw the memories (target as a line, measurements as marks) and the perturbation error."""
    curves = groups(data.table, "curve")
    with plotting.style():
        figure, (memory, perturbed) = plotting.canvas(2, width=9.4)
        target, error = curves["target"], curves["perturbation error"]
        plotting.theory(memory, target["at"], target.value, label=r"target $\rho$")
        for name, look in plotting.looks(["trained RNN", "random LSTM"]).items():
            some = curves[name].loc[curves[name]["at"] % 5 == 0]
            plotting.measured(memory, some["at"], some.value, look, label=name)
        memory.set(
            yscale="log", xlabel="lag $t$ (steps)", ylabel="memory function", title="What is remembered"
        )
        memory.legend()
        look = plotting.Look(plotting.order(2)[0], "o")
        plotting.measured(perturbed, error["at"], error.value, look, joined="-")
        perturbed.set(
            yscale="log",
            xlabel=r"perturbation $\beta$",
            ylabel=r"error $E_m(\beta)$ (mean squared)",
            title="What a perturbation does to it",
        )
        perturbed.set_xscale("symlog", linthresh=0.01)  # β = 0 has its place, too
        perturbed.set(xticks=[0, 0.01, 0.1], xticklabels=["0", "0.01", "0.1"], xlim=(-0.001, 0.4))
    return figure
