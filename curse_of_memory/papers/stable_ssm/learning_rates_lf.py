"""StableSSM (2311.14495): the largest learning rate that a reparameterisation bears, on polynomial memory."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from curse_of_memory.experiments.grid import product_of
from curse_of_memory.nn import RNN
from curse_of_memory.papers.stable_ssm._by_rate import KINDS, by_rate_plot, loss_cells, rate_text, sound
from curse_of_memory.papers.stable_ssm._maps import GROWING, map_of, stepped
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets
from curse_of_memory.theory.reparameterization import get
from curse_of_memory.training import sweep

__all__ = ["data", "plot"]

REAL_PART, CLOCK = 0.5, (1e-3, 1e-1)  # of the public code: |Re λ| per unit of a step drawn from this range
LEARNT = 0.01  # a run has learnt something if it leaves less than this share of the target


@figure_data(
    title="Learning rates on a linear functional",
    source="StableSSM (2311.14495), sweep over learning rates",
)
def data(
    *,
    kinds: Sequence[str] = KINDS,
    learning_rates: Sequence[float] = (5e-6, 5e-5, 5e-4, 5e-3, 5e-2, 5e-1, 5e0),
    width: int = 16,
    horizon: int = 100,
    steps: int = 1000,
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train linear SSMs of real modes on (1 + t/10)^{−1.1} at each learning rate, all runs as one batch.

    Trained on the exact expected loss by AdamW with weight decay 0.01 and constant learning rate. The modes
    start as in the public code, |λ| = 1/2 times a step drawn from 10⁻³ to 10⁻¹: decaying ones, and for the
    kind "direct, growing start" growing ones; under one seed all kinds share |λ|, u and c. ``loss`` is that
    of the last weights, NaN where the run diverged. Columns: ``kind, learning_rate, seed, status, loss``.
    """
    task = LinearFunctional(targets.named("iat-code-polynomial"), horizon)
    runs = product_of(kind=kinds, learning_rate=learning_rates, seed=range(seed, seed + seeds))
    models = [_model(run["kind"], width, run["seed"]) for run in runs]
    trained = sweep(
        models,
        task,
        expected=True,
        steps=steps,
        learning_rate=[run["learning_rate"] for run in runs],
        weight_decay=0.01,
        clip=float("inf"),
        validate_every=max(1, steps // 20),
        decay_patience=steps,
        device=device,
    )
    last = trained.validation_loss.isel(step=-1).values
    table = pd.DataFrame(runs).assign(status=trained.status.values, loss=last)
    table.loc[table.status == "diverged", "loss"] = np.nan
    return _findings(table, zero_model_loss(horizon))


def _model(kind: str, width: int, seed: int) -> RNN:
    name = map_of(kind)
    model = RNN(
        width, diagonal=True, bias=False, parameterization=stepped(name), seed=seed, dtype=torch.float64
    )
    low, high = CLOCK
    clock = low * (high / low) ** np.random.default_rng(seed).random(width)
    rates = REAL_PART * clock
    weights = rates if kind == GROWING else get(name).inverse(-rates)
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.from_numpy(weights))
    return model


def zero_model_loss(horizon: int) -> float:
    """Return the expected loss of a model that always answers zero, Σ_s (1 − s/T) ρ(s)² for white inputs.

    Parameters
    ----------
    horizon : int
        T, in steps.
    """
    lags = np.arange(horizon)
    return float(((1 - lags / horizon) * targets.named("iat-code-polynomial")(lags) ** 2).sum())


def _findings(table: pd.DataFrame, zero: float) -> Findings:
    largest = sound(table, LEARNT * zero)
    by_seed = pd.DataFrame({i: sound(runs, LEARNT * zero) for i, runs in groups(table, "seed").items()})
    label = f"largest learning rate with less than {LEARNT:.0%} left, {{}}".format
    headline = {label(kind): float(rate) for kind, rate in largest.items()}
    spread = spreads({label(kind): by_seed.loc[kind] for kind in largest.index})
    gone = table[table.status == "diverged"].groupby("kind", sort=False).learning_rate.min()
    words = [f"{rate_text(rate)} ({kind})" for kind, rate in largest.items()]
    divergence = [f"{kind} from {rate:g} on" for kind, rate in gone.items()]
    message = (
        f"Largest learning rate at which every run leaves less than {LEARNT:.0%} of the target: "
        f"{', '.join(words)}. Diverged: {', '.join(divergence) or 'none'}."
    )
    return Findings(table, message, headline, printed=loss_cells(table), spread=spread)


def plot(data: FigureData) -> Figure:
    """Draw the last loss of every run against its learning rate."""
    horizon = data.parameters["horizon"]
    assert isinstance(horizon, int)
    zero = zero_model_loss(horizon)
    return by_rate_plot(data, label="expected squared error", level=zero, level_label="answering zero")
