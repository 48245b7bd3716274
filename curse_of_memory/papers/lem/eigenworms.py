"""LEM (2110.04744) on EigenWorms: which strain a worm is of, after 17 984 steps of its posture."""

import pandas as pd
from matplotlib.figure import Figure

from curse_of_memory.papers.lem._comparison import ACCURACY, compared
from curse_of_memory.papers.lem._comparison_report import SAID, draw, printed, reduced, told
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks.eigenworms import STEPS, EigenWorms

__all__ = ["data", "plot"]

OFFICIAL_STEP = "LEM, official Δt"
README_MEAN, LOGGED_TEST, UNICORNN_TEST = 0.923, 38 / 39, 37 / 39
LARGEST = "largest class"
OFFICIAL = {"horizon": STEPS, "width": 32, "epochs": 50, "batch_size": 8}
PUBLISHED = {
    "LEM, mean (README)": README_MEAN,
    "LEM, one run (log)": LOGGED_TEST,
    "UnICORNN, one run (log)": UNICORNN_TEST,
}


@figure_data(
    title="EigenWorms",
    source="Long Expressive Memory (2110.04744), EigenWorms; settings, README and log of its public code",
)
def data(
    *,
    division: str = "official",
    horizon: int = 300,
    width: int = 16,
    dt: float = 0.00017,
    batch_size: int = 24,
    epochs: int = 8,
    learning_rate: float = 0.00609,
    seeds: int = 3,
    baseline_seeds: int = 3,
    data: str = "auto",
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train LEM and models of as many weights to name the strain of a worm; select by the validation series.

    - `data` are EigenWorms where its files are here, else the UCR Worms, else the stand-in; `division` and
      `horizon` are those of :class:`curse_of_memory.tasks.EigenWorms`.
    - `dt` is the official time step for 17 984 steps. Of shorter series it is larger for "LEM", so that the
      steps come to the same time; "LEM, official Δt" keeps it as it is.
    - Chrono initialisation prepares for as many steps as there are.

    Columns: ``model, seed, epoch, validation, test, weights, status``; accuracies are shares, and the line
    "largest class" has no epoch.
    """
    task = EigenWorms(division, horizon=horizon, data=data)
    settings = {
        "width": width,
        "memory": float(task.horizon),
        "batch_size": batch_size,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "device": device,
    }
    common = {"output_size": task.output_size, "quantity": ACCURACY, "seeds": seeds, "seed": seed}
    scaled = dt * STEPS / task.horizon
    if not 0 < scaled <= 1:
        raise ValueError(f"dt must be at most {task.horizon / STEPS:.3g}, 1 for {STEPS} steps, got {dt!r}")
    table = compared(task.splits, other_seeds=baseline_seeds, dt=scaled, **common, **settings)
    if task.horizon != STEPS:
        official = compared(task.splits, models=["LEM"], dt=dt, **common, **settings)
        table = pd.concat([table, official.assign(model=OFFICIAL_STEP)], ignore_index=True)
    chance = pd.DataFrame({"model": [LARGEST], "test": [task.largest_class()]})
    return _findings(pd.concat([table, chance], ignore_index=True), task, scaled)


def _findings(table: pd.DataFrame, task: EigenWorms, dt: float) -> Findings:
    trained, known = _trained(table), _lines(table)
    headline, by_seed, words = told(trained, ACCURACY)
    headline |= {f"{LARGEST}: test {ACCURACY.label}": 100 * known[LARGEST]}
    published = PUBLISHED if _is_published(task) else {}
    paper = {f"LEM: test {ACCURACY.label}": 100 * README_MEAN} if published else {}
    series = [len(part.targets) for part in task.splits]
    message = (
        f"{words} The largest class: {ACCURACY.text(known[LARGEST])}. {'/'.join(map(str, series))} series of "
        f"{task.horizon} steps; Δt = {dt:.2g}; one test series is {ACCURACY.text(1 / series[-1])}."
    )
    return Findings(
        table,
        message,
        headline,
        paper,
        printed(trained, ACCURACY, known | published),
        spreads(by_seed),
        task.stand_in,
        stand_in_is_real=task.stand_in_is_real,
    )


def _is_published(task: EigenWorms) -> bool:
    """Return whether the test series are those of the published numbers."""
    return not task.stand_in and task.division == "official"


def _trained(table: pd.DataFrame) -> pd.DataFrame:
    return table.loc[table.epoch.notna()].astype({"epoch": int, "weights": int})


def _lines(table: pd.DataFrame) -> dict[str, float]:
    """Return what needs no training, by what it is."""
    lines = table.loc[table.epoch.isna()]
    return dict(zip(lines.model, lines.test.astype(float), strict=True))


def plot(data: FigureData) -> Figure:
    """Draw validation by epoch and the test accuracy of each training; of EigenWorms the published, too."""
    lines = _lines(data.table)
    logged = None
    if not data.stand_in and data.parameters["division"] == "official":
        lines |= PUBLISHED
        logged = _logs(int(data.table.epoch.max()))
    scale = reduced(data.parameters, OFFICIAL, SAID | {"horizon": "{} steps at most"})
    return draw(data, ACCURACY, lines, logged=logged, note=scale)


def _logs(epochs: int) -> pd.DataFrame:
    """Return the validation by epoch of the public logs of LEM and of UnICORNN, as far as `epochs`."""
    names = {"LEM": "lem/eigenworms_log", "UnICORNN": "lem/eigenworms_unicornn_log"}
    logs = pd.concat([reference(table).assign(log=name) for name, table in names.items()])
    logs["validation"] = logs.valid_accuracy_percent / 100
    return logs.loc[logs.epoch <= epochs]
