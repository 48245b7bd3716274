"""LEM (2110.04744) on the FitzHugh-Nagumo neuron: the next voltage, while the slow variable is hidden."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from curse_of_memory.experiments.grid import run_grid
from curse_of_memory.papers.lem import _neuron
from curse_of_memory.papers.lem._comparison import Quantity
from curse_of_memory.papers.lem._comparison_report import (
    SAID,
    draw_curves,
    draw_ends,
    draw_logs,
    looks_of,
    reduced,
)
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import FitzHughNagumo
from curse_of_memory.tasks.fitzhugh_nagumo import (
    autoregression_error,
    persistence_error,
)
from curse_of_memory.tasks.sampling import Batch, Splits

__all__ = ["LOG", "data", "plot"]

LOG = "log of the public code"
LOGGED_TEST = 0.0023766  # RMSE of the last 128 test series at the least validation of that log
LOGGED_EPOCHS = 400
OFFICIAL = {"horizon": 1000, "train": 128, "width": 16, "epochs": LOGGED_EPOCHS}
WORDS = {"horizon": "{} steps", "train": "{} series for training"}
ERROR = Quantity("RMSE", "rmse")
FLOOR = "noise floor"
ORDERS = (2, 10)  # of the autoregressions
EARLY = 100  # epochs over which a run in the public order is held against the log
SETS = ("validation", "test_last", "test_all")
PRINTED = ("validation", "test, last batch", "test, all")


@figure_data(
    title="The FitzHugh-Nagumo neuron",
    source="Long Expressive Memory (2110.04744), FitzHugh-Nagumo; settings and log of its public code",
)
def data(
    *,
    width: int = 8,
    horizon: int = 250,
    train: int = 32,
    validation: int = 16,
    test: int = 32,
    last_batch: int = 16,
    batch_size: int = 16,
    epochs: int = 20,
    learning_rate: float = 0.00904,
    dt: float = 1.0,
    seeds: int = 2,
    baseline_seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train LEM and models of as many weights to say the next voltage; select by the validation series.

    - The models of :data:`curse_of_memory.papers.lem._neuron.MODELS`: `seeds` LEMs of `width` units and time
      step `dt`, `baseline_seeds` of each of the others; and one LEM with the weights and the order of batches
      of the public code.
    - `train`, `validation` and `test` are numbers of series, of `horizon` steps each; the public code reads
      of the test series the `last_batch` alone.
    - Beside them: the log of the public code, the last voltage again (persistence), linear answers to the
      last voltages (AR), and by how much the series contradict their own equation (noise floor).

    Columns: ``model, seed, epoch, validation, test_last, test_all``, root mean squared errors; those of test
    series stand where the validation is the best, and lines have no epoch.
    """
    task = FitzHughNagumo(horizon)
    counts = train, validation, test
    sets = task.published(*counts)
    wanted = [{"model": _neuron.PUBLIC, "seed": _neuron.PUBLIC_SEED}]
    for model in _neuron.MODELS:
        count = seeds if model == "LEM" else baseline_seeds
        wanted += [{"model": model, "seed": seed + k} for k in range(count)]
    settings = {"series": sets, "width": width, "dt": dt, "batch_size": batch_size, "epochs": epochs}
    settings |= {"learning_rate": learning_rate, "last_batch": last_batch, "device": device}
    trained = run_grid(_neuron.run, wanted, settings)
    log = _log()
    lines = _lines(sets, task, task.published_starts(*counts), last_batch)
    table = pd.concat([trained, log.loc[log.epoch <= epochs], lines], ignore_index=True)
    return _findings(table, epochs)


def _log() -> pd.DataFrame:
    log = reference("lem/fitzhugh_nagumo_log").rename(columns={"valid_rmse": "validation"})
    return log.assign(model=LOG, seed=_neuron.PUBLIC_SEED)


def _lines(sets: Splits, task: FitzHughNagumo, starts: Sequence[np.ndarray], last_batch: int) -> pd.DataFrame:
    """Return what needs no training: a row each, with the errors on the sets."""
    last = Batch(*(part[-last_batch:] for part in sets.test))
    batches = (sets.validation, last, sets.test)
    found = {"persistence": [persistence_error(batch) for batch in batches]}
    for order in ORDERS:
        found[f"AR({order})"] = [autoregression_error(sets.train, batch, order) for batch in batches]
    found[FLOOR] = [task.noise_floor(v) for v in (starts[1], starts[2][-last_batch:], starts[2])]
    table = pd.DataFrame(list(found.values()), columns=list(SETS))
    table.insert(0, "model", list(found))
    return table


def _bests(table: pd.DataFrame) -> pd.DataFrame:
    """Return the row of the best validation of each run."""
    return table.loc[table.test_last.notna() & table.epoch.notna()]


def _names(model: str) -> list[str]:
    """Return the runs that a model stands for: LEM for those in the public order, too."""
    return ["LEM", _neuron.PUBLIC] if model == "LEM" else [model]


def _findings(table: pd.DataFrame, epochs: int) -> Findings:
    bests = _bests(table)
    line = table.loc[table.epoch.isna()].set_index("model")
    runs: dict[str, np.ndarray] = {}
    for model in _neuron.MODELS:
        own = bests.loc[bests.model.isin(_names(model))]
        runs[f"{model}: RMSE of the last test series"] = own.test_last.to_numpy()
        if model == "LEM":
            runs["LEM: RMSE of all test series"] = own.test_all.to_numpy()
            runs["LEM: best RMSE of the validation series"] = own.validation.to_numpy()
            runs["LEM: epoch of the best validation"] = own.epoch.to_numpy()
    headline = {label: float(np.median(values)) for label, values in runs.items()}
    headline |= {f"{name}: RMSE of all test series": float(line.test_all[name]) for name in line.index}
    log = _log().set_index("epoch").validation
    public = rows(table, model=_neuron.PUBLIC).set_index("epoch").validation
    off = (public / log - 1).abs().loc[1 : min(epochs, EARLY, len(log))]
    headline[f"public order: largest deviation from the log up to epoch {off.index[-1]:g}"] = float(off.max())
    paper = {
        "LEM: RMSE of the last test series": LOGGED_TEST,
        "LEM: best RMSE of the validation series": float(log.min()),
        "LEM: epoch of the best validation": float(log.idxmin()),
    }
    lem = runs["LEM: RMSE of the last test series"]
    middle = {model: headline[f"{model}: RMSE of the last test series"] for model in _neuron.MODELS}
    order = sorted(middle, key=lambda model: middle[model])
    drawn = " is one such draw" if epochs >= LOGGED_EPOCHS else ""
    message = (
        f"Test errors (RMSE) at the best of {epochs} epochs: {len(lem)} trainings of LEM from "
        f"{lem.min():.2g} to {lem.max():.2g}; the log's {LOGGED_TEST:.2g} of {LOGGED_EPOCHS} epochs{drawn}. "
        "Medians: "
        + ", ".join(f"{model} {middle[model]:.2g}" for model in order)
        + f". Linear answers to ten voltages have {line.test_all['AR(10)']:.2g}, and the series contradict "
        f"their own equation by {line.test_all[FLOOR]:.2g}."
    )
    return Findings(table, message, headline, paper, _printed(bests, line), spreads(runs))


def _printed(bests: pd.DataFrame, line: pd.DataFrame) -> pd.DataFrame:
    """Return the table of the runs, and below it of what needs no training, as texts."""
    printed = pd.concat([bests, line.reset_index()], ignore_index=True)
    printed = printed.reindex(columns=["model", "seed", "epoch", *SETS])
    for name in ("seed", "epoch"):
        printed[name] = ["" if np.isnan(value) else f"{value:.0f}" for value in printed[name].astype(float)]
    for name in SETS:
        printed[name] = [f"{value:.5f}" for value in printed[name]]
    printed.columns = ["model", "seed", "epoch of the best validation", *PRINTED]
    return printed


def plot(data: FigureData) -> Figure:
    """Draw validation errors by epoch, and the test errors of all runs beside what needs no training."""
    table = data.table
    line = table.loc[table.epoch.isna()].set_index("model")
    trained = table.loc[(table.epoch > 0) & (table.model != LOG)]
    ends, looks = _bests(table), looks_of(trained.model)
    with plotting.style():
        figure, (left, right) = plotting.canvas(2, width=13, height=5.6)
        draw_curves(left, trained, ERROR, {model: looks[model] for model in _neuron.MODELS})
        public = rows(
            trained, model=_neuron.PUBLIC
        )  # jumps as the log does: marks would hide how alike they are
        left.plot(
            public.epoch, public.validation, color=looks[_neuron.PUBLIC].color, lw=1, label=_neuron.PUBLIC
        )
        draw_logs(left, rows(table, model=LOG), ERROR)
        for tested, hollow in (("test_last", False), ("test_all", True)):
            draw_ends(right, ends.assign(test=ends[tested]), ERROR, looks, hollow=hollow)
        for axis, of in ((left, "validation"), (right, "test_last")):
            for name, style in (("AR(10)", "--"), (FLOOR, ":")):
                label = {"AR(10)": "AR(10), least squares", FLOOR: "noise floor of the series"}[name]
                axis.axhline(float(line.loc[name, of]), color="0.45", ls=style, lw=1.4, label=label)
            axis.set(yscale="log")
        right.axhline(LOGGED_TEST, color=plotting.INK, lw=1.2)
        left.set(xscale="log")
        right.set(title="(b) At the best validation: last batch (full), all (hollow)")
        plotting.joined_legend(figure, [left], ncols=5, fontsize=11)
        figure.suptitle(reduced(data.parameters, OFFICIAL, SAID | WORDS), fontsize=11)
    return figure
