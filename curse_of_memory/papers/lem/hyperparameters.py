"""The settings of LEM's public code, task by task, and what an untrained LEM keeps under each of them."""

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.nn import LEM
from curse_of_memory.papers.lem._equal_weights import number_of_weights
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tools import checks

__all__ = ["data", "kept", "plot", "weights"]

LANGUAGE = ("ptb_words", "ptb_characters")
SHORT = {"time_step": r"$\Delta t$", "Ndt": r"$N\Delta t$", "falls_after": "rate ÷10 after"}
SHORT |= {"batch_size": "batch", "learning_rate": "learning rate"}


@figure_data(
    title="The settings of the public code",
    source="Long Expressive Memory (2110.04744), hyperparameters; public code",
)
def data(
    *,
    networks: int = 1,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Say which time step, width and learning rate each task has, and what is kept from its first step.

    *kept* is what of a change of the first y is still in the last, over N steps: measured with `networks`
    untrained LEMs on normal inputs. A unit whose gate is half open, and whose goal stands still, keeps
    (1 − Δt/2)ᴺ. Columns: those of the settings, then ``Ndt, weights, seed,
    kept``. (Nothing here is random but the untrained weights.)
    """
    checks.positive_int("networks", networks)
    table = reference("lem/settings")
    table["Ndt"] = table.steps * table.time_step
    table["weights"] = [
        weights(row.figure, row.inputs, row.width, row.outputs) for _, row in table.iterrows()
    ]
    runs = []
    for _, task in table.iterrows():
        for k in range(seed, seed + networks):
            share = kept(task.inputs, task.width, task.time_step, task.steps, k)
            runs.append({**task, "seed": k, "kept": share})
    found = pd.DataFrame(runs)
    spans = table.set_index("task").Ndt
    headline = {f"N Δt, {name}": float(value) for name, value in spans.items()}
    headline |= {f"weights, {name}": int(n) for name, n in zip(table.task, table.weights, strict=True)}
    least, most = spans.idxmin(), spans.idxmax()
    slow, fast = _rates(found)
    message = (
        f"N Δt goes from {spans[least]:.3g} ({least}) to {spans[most]:.4g} ({most}). Of its first y an "
        f"untrained LEM keeps {_order(found, least)} there and {_order(found, most)} here, and where N Δt is "
        f"above ten from e^(−{slow:.2f} N Δt) to e^(−{fast:.2f} N Δt): units with half open gates and no "
        f"recurrent weights keep e^(−N Δt/2)."
    )
    return Findings(found, message, headline, {}, _printed(table))


def _order(found: pd.DataFrame, task: str) -> str:
    return f"{np.median(rows(found, task=task).kept):.1e}"


def _rates(found: pd.DataFrame) -> tuple[float, float]:
    """Return the least and the largest −log(kept)/N Δt of tasks with N Δt above ten, where it has settled."""
    long = found.loc[found.Ndt > 10]
    rates = -np.log(long.kept) / long.Ndt
    return float(rates.min()), float(rates.max())


def weights(figure: str, inputs: int, width: int, outputs: int) -> int:
    """Return how many numbers the model of a task learns.

    With m inputs, h units and o outputs a cell has 4h(m + h) + 8h, as the LSTM of torch, and a readout
    o(h + 1). Cells of the language models have one bias in place of two, hence 4h less, and an embedding o m,
    which is the readout's matrix, too, where m = h.
    """
    cell = LEM(width, input_size=inputs, output_size=None, seed=0)
    if figure not in LANGUAGE:
        return number_of_weights(cell) + outputs * (width + 1)
    readout = outputs if inputs == width else outputs * (width + 1)
    return number_of_weights(cell) - 4 * width + outputs * inputs + readout


def kept(inputs: int, width: int, dt: float, steps: int, seed: int) -> float:
    """Return the mean share of a change of all y₀ by one that is left in y after some steps, untrained.

    That is Σᵢⱼ ∂y_N,i / ∂y_0,j over h, in double precision, on normal inputs.

    Parameters
    ----------
    inputs, width : int
        Channels m, and units h.
    dt : float
        Δt.
    steps : int
        N.
    seed : int
        Names the weights and the inputs.
    """
    layer = LEM(
        width, dt=dt, input_size=inputs, output_size=None, pooling="last", seed=seed, dtype=torch.float64
    )
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal((1, steps, inputs)))
    state = torch.zeros(1, 2 * width, dtype=torch.float64, requires_grad=True)
    layer.run(x, state).y.sum().backward()
    assert state.grad is not None
    return abs(float(state.grad[0, :width].sum())) / width


def _printed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the settings as texts."""
    names = ["task", "steps", "inputs", "outputs", "width", "weights", "time_step", "Ndt", "learning_rate"]
    names += ["batch_size", "epochs", "updates", "falls_after", "clip", "seed"]
    printed = table[names].astype(object)
    for name in names[1:]:
        printed[name] = ["—" if pd.isna(value) else f"{value:.6g}" for value in table[name]]
    printed.columns = [SHORT.get(name, name) for name in names]
    return printed.set_index("task")


def plot(data: FigureData) -> Figure:
    """Draw Δt against the number of steps, and what is kept of the first against their product."""
    tasks = data.table.drop_duplicates("task").task
    looks = dict(zip(tasks, plotting.distinct(len(tasks)), strict=True))
    with plotting.style():
        figure, (left, right) = plotting.canvas(2, width=13, height=5.2)
        _draw_steps(left, data.table, looks)
        _draw_kept(right, data.table, looks)
        plotting.joined_legend(figure, [left, right], ncols=4, fontsize=11)
    return figure


def _draw_steps(axis: Axes, table: pd.DataFrame, looks: dict[str, plotting.Look]) -> None:
    steps = np.array([40.0, 40000.0])
    for product in (1, 10, 100, 1000):
        plotting.theory(axis, steps, product / steps, "0.75", ls="-", lw=1)
        at = max(product / 1.4, 60.0)
        axis.annotate(rf"$N\Delta t={product}$", (at, 1.25 * product / at), color="0.45", fontsize=10)
    for task, look in looks.items():
        own = rows(table, task=task).iloc[0]
        plotting.measured(axis, [own.steps], [own.time_step], look, ms=8, label=task)
    axis.set(xscale="log", yscale="log", xlim=steps, ylim=(7e-5, 4))
    axis.set(
        xlabel="steps $N$ of a sequence",
        ylabel=r"time step $\Delta t$",
        title="(a) Settings of the public code",
    )


def _draw_kept(axis: Axes, table: pd.DataFrame, looks: dict[str, plotting.Look]) -> None:
    product = np.linspace(0, 1050, 300)
    plotting.theory(axis, product, np.exp(-product / 2), label=r"$e^{-N\Delta t/2}$, as $\Delta t\to0$")
    for task, look in looks.items():
        own = rows(table, task=task)
        plotting.measured(axis, own.Ndt, own.kept, look, ms=7)
    axis.set(yscale="log", ylim=(1e-240, 1e10), xlim=(-20, 1050))
    axis.set_yticks(10.0 ** np.arange(-240, 1, 40))
    axis.set(
        xlabel=r"$N\Delta t$",
        ylabel="share of the first $y$ in the last",
        title="(b) Untrained: what is kept",
    )
