"""SSMs are universal approximators (2309.13414), figures 5 and 6: random stacks forget exponentially."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from matplotlib.figure import Figure
from torch import nn

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.experiments.random_models import (
    COLUMNS,
    agreement,
    draw_memories,
    findings_of,
    stack_memories,
)
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import rows
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
    seeds: int = 20,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Measure ρ̂(t) = ‖dŷ/dt‖² of untrained stacks under a unit step, and c₀ of ρ̂ ~ e^{−c₀ t}.

    `seeds` stacks of each kind and depth, in float64, of `width` states or channels a layer. In the panel
    *memory* the table has quantiles of ρ̂ over the stacks at some lags, ``low, median, high``; in *rate* one
    row a stack: ``rate``, which is c₀, minus the fitted slope of log ρ̂, and ``predicted``, which is 2β, β the
    rate of the slowest layer (``early`` is ``rate``). Columns: ``panel, model, layers, probe, lag, low,
    median, high, seed, rate, early, predicted, r2``.
    """
    table = run_grid(
        _measured,
        product_of(model=models, layers=layers),
        common={
            "horizons": {"SSM": ssm_horizon, "S4D": s4d_horizon},
            "horizon": horizon,
            "width": width,
            "seeds": seeds,
            "seed": seed,
            "device": device,
        },
    )
    table = table.assign(probe="unit step").loc[:, COLUMNS]
    table[["low", "median", "high"]] **= 2
    table[["rate", "early", "predicted"]] *= 2
    return _decay_findings(table)


def _measured(
    model: str,
    layers: int,
    horizons: Mapping[str, int],
    horizon: int,
    width: int,
    seeds: int,
    seed: int,
    device: str,
) -> pd.DataFrame:
    """Return |dŷ/dt| and its rates for the stacks of one kind and depth."""
    steps = horizons.get(model, horizon)

    def measure(stack: nn.Module) -> xr.DataArray:
        return _unit_step(stack, steps, device)

    return stack_memories(model, layers, measure, (1.0,), width=width, seeds=seeds, seed=seed, early=steps)


def _unit_step(model: nn.Module, horizon: int, device: str) -> xr.DataArray:
    """Return |ŷ_{k+1} − ŷ_k| at the lags k under a unit step, with the noise between two roundings of it."""
    checks.positive_int("horizon", horizon)
    place = resolve_device(device)
    step = torch.ones(1, horizon + 1, 1, dtype=torch.float64, device=place)
    eps = torch.finfo(step.dtype).eps
    with torch.no_grad():
        y, again = (model.to(place)(size * step)[0, :, 0] for size in (1.0, 1 + 4 * eps))
    values, others = y.diff().abs(), again.diff().abs()
    # where terms of the readout cancel, rounding is far above eps |ŷ|
    noise = max(eps * y.abs().max().item(), (values - others).abs().max().item())
    return xr.DataArray(
        values.cpu().numpy(), {"lag": np.arange(horizon)}, ["lag"], attrs={"noise_floor": noise}
    )


def _decay_findings(table: pd.DataFrame) -> Findings:
    agreed = agreement(table)
    words = (
        "With their usual initial weights all stacks forget exponentially: log ρ̂ is a line (median R² at "
        f"least {agreed.r2.min():.3f}) of slope −c₀, c₀ {agreed.ratio.min():.2f} to {agreed.ratio.max():.2f} "
        f"times 2β (medians over {table.seed.nunique()} models), β the rate of the slowest layer (dashed), "
        "at every depth drawn."
    )
    rates = rows(table, panel="rate").rate
    if lost := int(rates.isna().sum()):
        words += (
            f" {lost} of {len(rates)} curves end on a hump or on too few peaks for a line, and are left out."
        )
    name = "{1}, layers {2}"
    labels = {"rate": f"c₀ per step, {name}", "ratio": f"c₀ over 2β, {name}", "r2": f"R², {name}"}
    return findings_of(table, words, agreed.index, labels)


def plot(data: FigureData) -> Figure:
    """Draw ρ̂ by kind, medians in bands, and fitted rates c₀ against those of the theory."""
    quantity, fitted = r"$\hat\rho(t)=\|d\hat y/dt\|^2$", "fitted $c_0$ (1/step)"
    return draw_memories(data.table, quantity, fitted, r"$2\beta$", None)
