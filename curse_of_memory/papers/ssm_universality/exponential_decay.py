"""SSMs are universal approximators (2309.13414), figures 5 and 6: how random stacks forget."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from matplotlib.figure import Figure
from torch import nn

from curse_of_memory.experiments.random_models import (
    COLUMNS,
    agreement,
    draw_memories,
    findings_of,
    measured_memories,
)
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.tools import checks
from curse_of_memory.tools.devices import resolve_device

__all__ = ["data", "plot"]


@figure_data(
    title="Stacks of state space layers forget exponentially, as recurrent ones do",
    source="SSM universality (2309.13414), figures 5 and 6 and theorem 3.13",
)
def data(
    *,
    models: Sequence[str] = ("RNN", "GRU", "LSTM", "SSM", "S4D"),
    layers: Sequence[int] = (1, 2, 3, 4),
    width: int = 16,
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

        circumstances = {"kind": kind, "width": width, "repeats": repeats, "seed": seed, "early": steps}
        parts += measured_memories(layers, measure, (1.0,), "unit step", **circumstances)
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
    return findings_of(table, words, found.index, labels)


def plot(data: FigureData) -> Figure:
    """Draw ρ̂ by kind, medians in bands, and fitted rates c₀ against those of the theory."""
    quantity, fitted = r"$\hat\rho(t)=\|d\hat y/dt\|^2$", "fitted $c_0$ (1/step)"
    return draw_memories(data.table, quantity, fitted, r"$2\beta$", None)
