"""The table that a report of memories is, which also says itself in words and draws itself."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from curse_of_memory.theory.decay import DecayIntervals

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MemoryReport"]

_DECIDED = 0.5  # confidence from which a law is drawn
_HALF = 0.5
_MARKS = 28  # of a curve, each at first and fewer later


class MemoryReport(pd.DataFrame):
    """The result of ``memory_report``: a table, one row a model, with the curves that it was read off.

    What is cut out of it or computed from it is a plain pandas.DataFrame.

    Parameters
    ----------
    table : pandas.DataFrame
        What it shows.
    memories : mapping from name to xarray.DataArray
        The memory of each model.
    answers : mapping from name to DecayIntervals
        Its law, and the intervals.
    share : float
        Of the memory within the effective horizon.
    """

    _metadata = ["memories", "answers", "share"]  # noqa: RUF012  # pandas' own way to name them
    memories: Mapping[str, xr.DataArray]
    answers: Mapping[str, DecayIntervals]
    share: float

    def __init__(
        self,
        table: pd.DataFrame,
        memories: Mapping[str, xr.DataArray],
        answers: Mapping[str, DecayIntervals],
        share: float,
    ):
        super().__init__(table)
        self.memories, self.answers, self.share = memories, answers, share

    @property
    def _constructor(self):
        return pd.DataFrame

    def told(self) -> str:
        """Return the report in words: the law of each model, how long it lasts, whether that is settled."""
        return "\n".join(line for name in self.memories for line in self._lines(name))

    def _lines(self, name: str) -> list[str]:
        memory, answer = self.memories[name], self.answers[name]
        fit, law = answer.fit, answer.fit.kind
        for quantity in ("rate", "exponent"):
            if getattr(fit, quantity) is not None:
                law += f", {quantity} {_number(getattr(fit, quantity), getattr(answer, quantity))}"
        last = f"the last lag, {memory.lag.values[-1]:g}"
        half = f"half-life {_number(fit.half_life, answer.half_life)}"
        left = abs(float(memory[-1])) / (float(np.abs(memory).max()) or 1.0)
        if math.isinf(fit.half_life) and left < _HALF:
            half = "half-life not decided"
        elif math.isinf(fit.half_life):
            half = f"more than half of the maximum left at {last}"
        whole = f"{_percent(self.share)} of it"
        horizon = f"{whole} within lag {_number(fit.effective_horizon, answer.effective_horizon)}"
        if math.isinf(fit.effective_horizon) and fit.kind == "unknown":
            horizon = f"not decided within which lag {whole} is"
        elif math.isinf(fit.effective_horizon):
            horizon = f"less than {whole} within {last}"
        inputs = memory.attrs.get("inputs")
        of_what = "" if inputs is None or memory.attrs.get("exact") else f"; the largest over {inputs} inputs"
        return [
            f"{name}: {law}",
            f"    {half}, {horizon} ({_percent(answer.level)} intervals{of_what})",
            f"    {self.loc[name, 'remark']}",
        ]

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw every memory over the lag, in units of its maximum, with its law where the data decide on one.

        Marks are measured, lines the fitted laws (confidence of 1/2 or more), bars along the lag the
        intervals of the effective horizons.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where; a new one, in the style of the figures, unless given.

        Raises
        ------
        ModuleNotFoundError
            Without matplotlib, which the extra ``figures`` brings.
        """
        from curse_of_memory.report import plotting  # brings matplotlib, which a report does without

        with plotting.on(ax) as axis:
            for name, look in plotting.looks(self.memories).items():
                memory, answer = self.memories[name], self.answers[name]
                fit, largest = answer.fit, float(np.abs(memory).max()) or 1.0
                lags, values = memory.lag.values, np.abs(memory.values) / largest
                some = np.unique(np.round(np.geomspace(1, lags.size, _MARKS)).astype(int)) - 1
                seen = np.where(values > 0, values, np.nan)
                plotting.measured(axis, lags[some], seen[some], look, label=f"{name}: {fit.kind}", alpha=0.85)
                if fit.confidence >= _DECIDED and (fit.rate is not None or fit.exponent is not None):
                    within = lags[(lags >= fit.start) & (lags <= fit.stop)]
                    plotting.theory(axis, within, fit(within) / largest, look.color)
                ends = answer.effective_horizon
                if ends[1] < math.inf:
                    height = float(np.interp(fit.effective_horizon, lags, values))
                    axis.plot(ends, [height, height], color=look.color, lw=3, marker="|", ms=9)
            steps = all(memory.attrs.get("dt", 1.0) == 1 for memory in self.memories.values())
            axis.set(
                xlabel=f"lag $t$ ({'steps' if steps else 'time units'})",
                ylabel=r"memory $M(t)\,/\max M$",
            )
            plotting.log_scale(axis, "y")
            axis.add_line(plotting.entry("fitted law"))
            within = f"interval of the lag with {_percent(self.share)} before it"
            axis.add_line(plotting.entry(within, lw=3, marker="|", ms=9))
            axis.legend()
        return axis


def _number(value: float, ends: tuple[float, float]) -> str:
    """Return a number and its interval, which is told where it is wider than the digits shown."""
    low, high = (f"{end:.3g}" for end in ends)
    return f"{value:.3g}" if low == high == f"{value:.3g}" else f"{value:.3g} [{low}, {high}]"


def _percent(share: float) -> str:
    return f"{100 * share:.12g} %"
