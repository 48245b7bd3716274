"""How often the decay of a noisy memory is classified rightly, by family of memories and by noise."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import rows
from curse_of_memory.theory.decay import decay
from curse_of_memory.tools import checks
from curse_of_memory.tools.random_streams import stream

__all__ = ["FAMILIES", "NOISES", "data", "noisy_memory", "plot"]

SURE = 0.9
UNIT = 200.0  # lags in which the times of the families are meant
_EDGES = np.linspace(0.0, 1.0, 11)

Memory = Callable[[np.ndarray, np.random.Generator], np.ndarray]
_OUTCOMES = {"right": "#35618f", "undecided": plotting.GRID, "wrong": "#e3a33b"}


def _between(random: np.random.Generator, low: float, high: float) -> float:
    """Draw a number between `low` and `high` whose logarithm is uniform."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def _wave(t: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.cos(_between(random, 0.2, 3.0) * t)


def _two_layers(t, random):
    rate = _between(random, 0.05, 0.2)
    return (1 + rate * t) * np.exp(-rate * t)


def _settling(t, random):
    level = _between(random, 0.05, 0.5)
    return level + (1 - level) * np.exp(-t / 10)


def _power(t, random):
    return (1 + t / _between(random, 1.0, 5.0)) ** -_between(random, 0.8, 2.5)


# by name: the class that is right, and a memory over t = 0 … 200 with random parameters
FAMILIES: dict[str, tuple[str, Memory]] = {
    "exponential": ("exponential", lambda t, r: np.exp(-_between(r, 0.02, 0.2) * t)),
    "two layers": ("exponential", _two_layers),
    "fast and slow": (
        "exponential",
        lambda t, r: np.exp(-0.5 * t) + 0.3 * np.exp(-_between(r, 0.02, 0.05) * t),
    ),
    "oscillating exponential": (
        "exponential",
        lambda t, r: np.exp(-_between(r, 0.02, 0.1) * t) * _wave(t, r),
    ),
    "polynomial": ("polynomial", _power),
    "oscillating polynomial": ("polynomial", lambda t, r: _power(t, r) * _wave(t, r)),
    "Gaussian": ("faster", lambda t, r: np.exp(-((t / _between(r, 20.0, 80.0)) ** 2))),
    "cut off": ("compact", lambda t, r: np.exp(-t / 100) * (t < _between(r, 20.0, 150.0))),
    "constant": ("none", lambda t, r: np.ones(t.size)),
    "settling": ("none", _settling),
    "oscillating": ("none", _wave),
}


def _multiplied(size: float) -> Memory:
    return lambda memory, random: memory * np.exp(size * random.standard_normal(memory.size))


# by name: what is measured of a memory
NOISES: dict[str, Memory] = {
    "none": lambda memory, random: memory,
    "times 1e-6": _multiplied(1e-6),
    "times 1 %": _multiplied(0.01),
    "times 10 %": _multiplied(0.1),
    "times 30 %": _multiplied(0.3),
    "plus 1e-4": lambda memory, random: memory + 1e-4 * random.standard_normal(memory.size),
    "plus 1 %": lambda memory, random: memory + 0.01 * random.standard_normal(memory.size),
    "plus 1 %, one sign": lambda memory, random: np.abs(memory) + 0.01 * random.random(memory.size),
}


def noisy_memory(family: str, noise: str, horizon: int, seed: int) -> np.ndarray:
    """Return a memory of the family with random parameters, as it is measured under the noise.

    Examples
    --------
    >>> noisy_memory("constant", "none", horizon=3, seed=0)
    array([1., 1., 1.])
    """
    random = stream("curves of a decay", seed, list(FAMILIES).index(family), list(NOISES).index(noise))
    t = np.arange(horizon) * (UNIT / horizon)
    return NOISES[noise](FAMILIES[family][1](t, random), random)


@figure_data(
    title="How often the class of a decay is right",
    source="ours; decay notions of IAT (2305.19190), section 2",
)
def data(
    *,
    families: Sequence[str] = tuple(FAMILIES),
    noises: Sequence[str] = tuple(NOISES),
    curves: int = 16,
    horizon: int = 200,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Classify `curves` random memories of each family under each noise, and count the answers.

    A memory is multiplied by log-normal noise, or noise is added to it, normal or uniform between 0 and the
    level; :func:`decay` is told neither. Rows of the panel *confusion*, ``family, decays, noise, answer,
    curves, confidence, surest``: how many curves of a family that `decays` in one way are said to decay as
    `answer`, with the mean and the largest confidence. Of the panel *calibration*, ``low, curves, right``:
    how many answers other than "unknown" have a confidence from `low` to 0.1 above, and how many of them are
    right. (The work is done on the CPU; `device` changes nothing.)
    """
    checks.positive_int("curves", curves)
    checks.positive_int("horizon", horizon)
    for name, chosen in (("families", families), ("noises", noises)):
        if not chosen:
            raise ValueError(f"{name} must not be empty")
        known = {"families": FAMILIES, "noises": NOISES}[name]
        for one in chosen:
            checks.one_of(name, one, known)
    draws = range(seed, seed + curves)
    settings = product_of(family=families, noise=noises, draw=draws)
    each = run_grid(_answer, settings, {"horizon": horizon})
    each = each.assign(decays=each.family.map(lambda family: FAMILIES[family][0]))
    cells = each.groupby(["family", "decays", "noise", "answer"], sort=False).confidence
    confusion = cells.agg(curves="size", confidence="mean", surest="max").reset_index()
    told = each.loc[each.answer != "unknown"]
    right = told.answer == told.decays
    bins = np.clip(np.digitize(told.confidence, _EDGES) - 1, 0, _EDGES.size - 2)
    calibration = right.groupby(_EDGES[bins]).agg(curves="size", right="sum")
    calibration = calibration.rename_axis("low").reset_index()
    table = pd.concat(
        [confusion.assign(panel="confusion"), calibration.assign(panel="calibration")], ignore_index=True
    )
    return _findings(table, told, right)


def _answer(family: str, noise: str, draw: int, horizon: int) -> dict[str, object]:
    """Return the class that a random memory is said to have, and the confidence."""
    fit = decay(noisy_memory(family, noise, horizon, draw))
    return {"answer": fit.kind, "confidence": fit.confidence}


def _findings(table: pd.DataFrame, told: pd.DataFrame, right: pd.Series) -> Findings:
    sure = told.confidence >= SURE
    wrong = int((sure & ~right).sum())
    headline: dict[str, float] = {
        f"answers of confidence >= {SURE}": int(sure.sum()),
        "of them wrong": wrong,
        "surest wrong answer": float(told.confidence[~right].max()) if (~right).any() else 0.0,
    }
    share = outcomes(table)
    for noise in share.columns.unique("noise").sort_values():
        headline[f"right under noise {noise}, %"] = float(100 * pd.Series(share[noise, "right"]).mean())
    wrong_shares = share.xs("wrong", axis=1, level="outcome")
    row, column = np.unravel_index(wrong_shares.to_numpy().argmax(), wrong_shares.shape)
    family, noise = wrong_shares.index[row], wrong_shares.columns[column]
    cell = rows(table, family=family, noise=noise)
    mistaken = cell.loc[(cell.answer != cell.decays) & (cell.answer != "unknown")]
    message = (
        f"Measured: of {int(sure.sum())} answers with a confidence of {SURE} or more {wrong or 'none'} "
        f"{'is' if wrong < 2 else 'are'} wrong; the fit is told neither the family nor the noise."
    )
    if len(mistaken):
        top = mistaken.loc[mistaken.curves.idxmax()]
        message += (
            f" Most often mistaken is {family} under noise {noise}: {top.answer} for {top.decays}, with "
            f"confidences of at most {top.surest:.2f}. A floor of noise hides all below ten times its level, "
            f"and with it what would decide."
        )
    return Findings(table, message, headline)


def outcomes(table: pd.DataFrame) -> pd.DataFrame:
    """Return the shares ``right``, ``undecided`` and ``wrong`` of each family (rows) under each noise."""
    seen = rows(table, panel="confusion")
    outcome = np.where(
        seen.answer == "unknown", "undecided", np.where(seen.answer == seen.decays, "right", "wrong")
    )
    counts = seen.assign(outcome=outcome).pivot_table(
        index="family", columns=["noise", "outcome"], values="curves", aggfunc="sum", sort=False
    )
    noises, families = seen.noise.unique(), seen.family.unique()
    every = pd.MultiIndex.from_product([noises, list(_OUTCOMES)], names=["noise", "outcome"])
    counts = counts.reindex(index=families, columns=every).fillna(0.0)
    return counts / counts[noises[0]].sum(axis=1).iloc[0]


def plot(data: FigureData) -> Figure:
    """Draw the outcomes of each family under each noise as bars, with confidences, and the calibration."""
    share, table = outcomes(data.table), data.table
    families, noises = list(share.index), list(dict.fromkeys(share.columns.get_level_values(0)))
    confusion = rows(table, panel="confusion")
    with plotting.style():
        figure, (axis, reliability) = plotting.canvas(
            2, width=13.2, height=0.42 * len(families) + 1.9, gridspec_kw={"width_ratios": [3.4, 1]}
        )
        for column, noise in enumerate(noises):
            left = np.full(len(families), float(column))
            for outcome, color in _OUTCOMES.items():
                width = 0.9 * share[noise, outcome].to_numpy()
                axis.barh(range(len(families)), width, 0.78, left=left, color=color, label=outcome)
                left = left + width
            for row, family in enumerate(families):
                seen = rows(confusion, family=family, noise=noise)
                told = seen.loc[seen.answer == seen.decays]
                if len(told):
                    right = share[noise, "right"].iloc[row]
                    inside = right > 0.3  # else beside the bar, which has no room for it
                    color, start = ("white", column) if inside else (plotting.INK, column + 0.9 * right)
                    text = f"{told.confidence.iloc[0]:.2f}"
                    axis.text(start + 0.03, row, text, va="center", fontsize=8, color=color)
        axis.set(xlim=(-0.05, len(noises)), ylim=(len(families) - 0.4, -0.6))
        axis.set_xticks(np.arange(len(noises)) + 0.45, [_wrapped(noise) for noise in noises])
        axis.set_yticks(range(len(families)), families)
        axis.set(xlabel="noise of the curve", title="Answers, and the mean confidence in the right ones")
        axis.grid(visible=False)
        seen = rows(table, panel="calibration")
        middle, rate = seen.low + 0.05, seen.right / seen.curves
        # of a share that half an answer more would leave below one
        chance = (seen.right + 0.5) / (seen.curves + 1)
        error = np.sqrt(chance * (1 - chance) / seen.curves)
        reliability.plot([0, 1], [0, 1], "--", color=plotting.INK, lw=1)
        reliability.text(0.62, 0.42, "as a probability", rotation=64, fontsize=9, ha="center")
        plotting.error_bars(reliability, middle, rate, error, plotting.Look(_OUTCOMES["right"], "o"))
        reliability.set(
            xlim=(0, 1),
            ylim=(0, 1.03),
            xlabel="confidence",
            ylabel="share of right answers",
            title="Calibration",
        )
        plotting.joined_legend(figure, [axis], ncols=3)
    return figure


def _wrapped(noise: str) -> str:
    return noise.replace(", ", ",\n")
