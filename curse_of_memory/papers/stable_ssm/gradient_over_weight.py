"""StableSSM (2311.14495): gradient over weight through training, and its bound for one mode."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.nn import SSM
from curse_of_memory.nn.gradient_bounds import largest_ratio
from curse_of_memory.papers.stable_ssm._ratios import draw_ratios, typical_ratio, typical_ratios
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import rows
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets
from curse_of_memory.theory.reparameterization import get
from curse_of_memory.training import fit

__all__ = ["data", "plot", "reach_gradient"]

RECORDS = 30  # of one training
TIMES = np.geomspace(1.25, 100, 60)  # how long a mode remembers, in steps
MEASURED = TIMES[4::11]
COLUMNS = ["panel", "parameterization", "seed", "step", "time", "ratio", "measured", "loss"]
LONG_ENOUGH = 60  # lags over the time of a mode: e^{−60} of its memory is beyond


@figure_data(
    title="Gradient over weight through training",
    source="StableSSM (2311.14495), theorem 3.6",
)
def data(
    *,
    parameterizations: Sequence[str] = ("relu", "softplus", "exp", "tanh", "best"),
    width: int = 16,
    horizon: int = 100,
    steps: int = 300,
    batch_size: int = 128,
    learning_rate: float = 0.01,
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train ŷ = cᵀ tanh(h), dh/dt = f(w) ⊙ h + U x, on (1 + t/10)^{−1.1}, and watch max |∂L/∂w|/|w|.

    Under one seed every map starts from the same Λ = f(w) and sees the same batches. Rows of the panel
    *training* hold ``ratio`` = max_j |∂L/∂w_j|/|w_j| and the validation ``loss`` at a ``step``; those of the
    panel *theory* hold |f'(w)|/(f(w)² |w|) as ``ratio`` for a mode that remembers ``time`` steps, and as
    ``measured`` the same from :func:`reach_gradient`. Columns: ``panel, parameterization, seed, step, time,
    ratio, measured, loss``.
    """
    task = LinearFunctional(targets.named("iat-code-polynomial"), horizon)
    training = run_grid(
        _trained,
        product_of(parameterization=parameterizations, seed=range(seed, seed + seeds)),
        common={
            "task": task,
            "width": width,
            "steps": steps,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "device": device,
        },
    ).assign(panel="training")
    theory = [_theory(name).assign(panel="theory") for name in parameterizations]
    return _findings(pd.concat([training, *theory], ignore_index=True).loc[:, COLUMNS])


def _trained(
    parameterization: str,
    seed: int,
    task: LinearFunctional,
    width: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    device: str,
) -> pd.DataFrame:
    """Train one SSM; return ``step, ratio, loss`` through the training."""
    model = SSM(width, activation="tanh", parameterization=parameterization, bias=False, seed=seed)
    history = fit(
        model,
        task,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        clip=math.inf,
        validate_every=max(1, steps // RECORDS),
        validation_size=256,
        watch=lambda _: {"ratio": largest_ratio([model])},
        seed=seed,
        device=device,
    ).history
    seen = history.loc[:, ["step", "ratio", "validation_loss"]].dropna()
    return seen.rename(columns={"validation_loss": "loss"})


def _theory(name: str) -> pd.DataFrame:
    """Return the bound of one mode, ``parameterization, time, ratio, measured``, measured at some times."""
    f = get(name)

    def weights(times):
        return f.inverse(1 - 1 / times if f.time == "discrete" else -1 / times)

    curve = weights(TIMES)
    measured = np.full(TIMES.size, np.nan)
    at = np.flatnonzero(np.isin(TIMES, MEASURED))
    measured[at] = [reach_gradient(name, float(curve[i]), TIMES[i]) / abs(curve[i]) for i in at]
    return pd.DataFrame(
        {
            "parameterization": name,
            "time": TIMES,
            "ratio": f.gradient_over_weight(curve) / np.abs(curve),
            "measured": measured,
        }
    )


def reach_gradient(name: str, weight: float, time: float) -> float:
    """Return sup |∂y/∂w| over inputs |x| <= 1 of a layer of one mode with c = u = 1, by autograd.

    It is Σ_s |∂K_s/∂w| for the response K of the layer to an impulse. The theory says |f'(w)|/f(w)², or
    |f'(w)|/(1 − |f(w)|)² for a map of discrete time, whatever the time step: K_s is ∫ e^{f(w) t} over step s.

    Parameters
    ----------
    name : str
        The map f.
    weight : float
        The weight w.
    time : float
        How long the mode remembers, in steps; lags up to 60 times that are summed.
    """
    model = SSM(1, parameterization=name, bias=False, seed=0, dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)

    def response(w: torch.Tensor) -> torch.Tensor:
        parameters = {"recurrent_weight": w, "input_weight": one, "output_weight": one}
        return model.kernel(math.ceil(LONG_ENOUGH * time), parameters).flatten()

    at = torch.tensor([weight], dtype=torch.float64)
    return torch.func.jacfwd(response)(at).abs().sum().item()


def _findings(table: pd.DataFrame) -> Findings:
    typical = typical_ratios(table)
    headline, by_seed, words = {}, {}, []
    for name in typical:
        label = f"typical max |gradient|/|weight|, {name}"
        by_seed[label] = typical[name].dropna()  # NaN where a training had no gradient at all
        headline[label] = typical_ratio(by_seed[label])
        words.append(
            f"{headline[label]:.2g} ({name}; {typical[name].min():.2g} to {typical[name].max():.2g})"
        )
    theory = table.loc[(table.panel == "theory") & table.measured.notna()]
    gap = float((theory.measured / theory.ratio - 1).abs().max())
    headline["measured gradient over theory − 1, at most"] = gap
    message = (
        "Training, geometric mean of the largest |gradient|/|weight|, and its range over the seeds: "
        f"{', '.join(words)}. Theory: the measured gradient of one mode is |f'|/f² up to a relative "
        f"{max(gap, 1e-12):.0e}."
    )
    return Findings(table, message, headline, spread=spreads(by_seed))


def plot(data: FigureData) -> Figure:
    """Draw the ratios through training with their range over the seeds, and the bound of one mode."""
    table = data.table
    looks = plotting.looks(dict.fromkeys(table.parameterization))
    with plotting.style():
        figure, (training, bound) = plotting.canvas(2, width=10, height=4.2)
        styles = draw_ratios(training, table, looks)
        training.set_title("Training")
        for name, (color, mark) in looks.items():
            theory = rows(table, panel="theory", parameterization=name)
            bound.plot(theory.time, theory.ratio, styles[name], color=color)
            bound.plot(theory.time, theory.measured, mark, color=color, mfc="none", ms=6)
        bound.set(
            xscale="log",
            yscale="log",
            xlabel=r"time that a mode remembers, $1/|f(w)|$ (steps)",
            ylabel=r"$|f'(w)|\,/\,(f(w)^2\,|w|)$",
            title="Theory: bound of one mode",
        )
        plotting.joined_legend(figure, [training], ncols=5)
    return figure
