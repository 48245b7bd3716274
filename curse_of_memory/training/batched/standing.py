"""Per-member learning rates, patience counters, best losses and final statuses of a sweep."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from curse_of_memory.training.result import verdict

__all__ = ["TAKEN", "TRAINING", "Standing"]

TRAINING = "training"
CORE = ("step", "training_loss", "validation_loss", "learning_rate")
TAKEN = (*CORE, "learning_rate_at", "loss", "status", "steps")
"""Names in the table of a sweep that no other numbers may have."""
FACTOR, THRESHOLD, SMALLEST_CHANGE = 0.1, 1e-4, 1e-8  # of ReduceLROnPlateau, as training.fit uses it


class Standing:
    """Per-member learning rate, patience counters, best loss and status, by the rules of ``training.fit``.

    Parameters
    ----------
    learning_rates : sequence of float
        At the start.
    decay_patience : int
        So many validations in a row may bring no better one; at the next, the learning rate falls tenfold.
    cosine : int, optional
        Steps of the run, over which learning rates then fall along half a cosine, whatever the validations.
    """

    _ARRAYS = ("learning_rate", "plateau", "waited", "best", "stale", "training_loss", "steps")

    def __init__(self, learning_rates: Sequence[float], decay_patience: int, cosine: int | None = None):
        n = len(learning_rates)
        self._decay_patience = decay_patience
        self._cosine, self._initial_rate = cosine, np.array(learning_rates, dtype=float)
        self.learning_rate = self._initial_rate.copy()
        self.plateau = np.full(n, np.inf)
        self.waited = np.zeros(n, dtype=int)
        self.best = np.full(n, np.nan)
        self.stale = np.zeros(n, dtype=int)
        self.training_loss = np.full(n, np.nan)
        self.steps = np.zeros(n, dtype=int)
        self.status = [TRAINING] * n
        self.history: list[dict] = []
        self._noted: dict[str, list[float]] = {}

    def note(self, numbers: np.ndarray, seen: Sequence[Mapping[str, float]]) -> None:
        """Keep what is `seen` of the members `numbers`, by name, for the row of the next validation."""
        _enter(self._noted, len(self.status), numbers, seen)

    def open_row(self, step: int) -> None:
        """Add a row to the history for the validation at `step`, which has what was noted before."""
        empty = [np.nan] * len(self.status)
        _, *names = CORE
        self.history.append({"step": step} | {name: list(empty) for name in names} | self._noted)
        self._noted = {}

    def begin(self, step: int) -> None:
        """Set the learning rates of the `step`, where they follow a cosine: η (1 + cos(π k / steps)) / 2."""
        if self._cosine is not None:
            self.learning_rate = self._initial_rate * (1 + math.cos(math.pi * step / self._cosine)) / 2

    def record(
        self, numbers: np.ndarray, scores: np.ndarray, seen: Sequence[Mapping[str, float]]
    ) -> np.ndarray:
        """Enter validation losses, update rates and counters, and return which losses are the best so far.

        Parameters
        ----------
        numbers : array of int
            Members.
        scores : array of float
            Their validation losses; those that are not finite are no candidates for anything.
        seen : sequence of mapping
            Further numbers of each, by name.
        """
        row = self.history[-1]
        _enter(row, len(self.status), numbers, seen)
        for i, score in zip(numbers.tolist(), scores.tolist(), strict=True):
            row["training_loss"][i] = float(self.training_loss[i])
            row["validation_loss"][i] = score
            row["learning_rate"][i] = float(self.learning_rate[i])
        finite = np.isfinite(scores)
        if self._cosine is None:
            self._decay(numbers[finite], scores[finite])
        improved = finite & ~(scores >= self.best[numbers])
        better, worse = numbers[improved], numbers[finite & ~improved]
        self.best[better], self.stale[better] = scores[improved], 0
        self.stale[worse] += 1
        return improved

    def _decay(self, numbers: np.ndarray, scores: np.ndarray) -> None:
        better = scores < self.plateau[numbers] * (1 - THRESHOLD)
        self.plateau[numbers[better]] = scores[better]
        self.waited[numbers[better]] = 0
        self.waited[numbers[~better]] += 1
        due = numbers[self.waited[numbers] > self._decay_patience]
        self.waited[due] = 0
        lower = FACTOR * self.learning_rate[due]
        worth_it = self.learning_rate[due] - lower > SMALLEST_CHANGE
        self.learning_rate[due[worth_it]] = lower[worth_it]

    def end(self, numbers: Sequence[int], status: str, step: int) -> None:
        """Set the final `status` and `step` of the members `numbers`."""
        for i in numbers:
            self.status[i] = status
            self.steps[i] = step

    def judge(self) -> None:
        """Replace the status of members that blew up or never improved, by :func:`verdict`."""
        scores = np.array([row["validation_loss"] for row in self.history])
        for i, column in enumerate(scores.T):
            seen = column[~np.isnan(column)]
            if len(seen):
                first, last = float(seen[0]), float(seen[-1])
                better = bool(self.best[i] < first)
                self.status[i] = verdict(self.status[i], first, last, improved=better)

    def dataset(self, coordinates: Mapping[str, Sequence]) -> xr.Dataset:
        """Return losses, steps, statuses and history as a Dataset over member, with these `coordinates`."""
        over_time, none = ("member", "step"), [np.nan] * len(self.status)
        names = {name: name for row in self.history for name in row} | {"learning_rate": "learning_rate_at"}
        del names["step"]
        table = {
            called: (over_time, np.array([row.get(name, none) for row in self.history]).T)
            for name, called in names.items()
        }
        table |= {
            "loss": ("member", self.best),
            "steps": ("member", self.steps),
            "status": ("member", np.array(self.status)),
        }
        labels = {name: ("member", np.array(values)) for name, values in coordinates.items()}
        labels |= {"member": np.arange(len(self.status)), "step": [row["step"] for row in self.history]}
        return xr.Dataset(table, labels)

    def state_dict(self) -> dict:
        """Return all that a checkpoint needs, as plain numbers."""
        arrays = {name: getattr(self, name).tolist() for name in self._ARRAYS}
        return arrays | {"status": list(self.status), "history": self.history}

    def load_state_dict(self, state: Mapping) -> None:
        """Take up the `state` that :meth:`state_dict` returned."""
        for name in self._ARRAYS:
            setattr(self, name, np.array(state[name], dtype=getattr(self, name).dtype))
        self.status, self.history = list(state["status"]), list(state["history"])


def _enter(row: dict, count: int, numbers: np.ndarray, seen: Sequence[Mapping[str, float]]) -> None:
    """Write what is `seen` of the members `numbers` into a `row`, by name; NaN for the others of `count`."""
    for i, values in zip(numbers.tolist(), seen, strict=True):
        for name, value in values.items():
            row.setdefault(name, [np.nan] * count)[i] = value
