"""Rows of an audit: one disagreement between a paper, its README and its public code, run both ways."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from curse_of_memory.report.figure import Spread, spreads

__all__ = ["Row", "both_ways", "over_draws", "printed"]

AS_PAPER, AS_CODE = "as in the paper", "as in the code"


@dataclass(frozen=True)
class Row:
    """One fact that is said in two ways, and one number computed in both.

    Attributes
    ----------
    what : str
        The fact, in a few words; rows of one fact differ in `quantity`.
    paper, code : str
        What the paper says of it, and what the code, its logs or the README have.
    quantity : str
        What is computed.
    as_paper, as_code : float
        That, in the one way and in the other.
    draws : sequence of float
        Of a mean or median over random draws in the code's way: the same of each draw.
    """

    what: str
    paper: str
    code: str
    quantity: str
    as_paper: float
    as_code: float
    draws: Sequence[float] = ()

    @property
    def factor(self) -> float:
        """By what the number changes from the paper's way to the other; NaN where that is no number."""
        return self.as_code / self.as_paper if self.as_paper else math.nan


def printed(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the rows as a table that is ready to be printed.

    Examples
    --------
    >>> printed([Row("weight", "$t$", "$t^2$", "w at t = 3", 3.0, 9.0)]).loc["weight", "factor"]
    '3'
    """
    cells = [
        {
            "paper": row.paper,
            "README, code or logs": row.code,
            "number": row.quantity,
            AS_PAPER: _number(row.as_paper),
            AS_CODE: _number(row.as_code),
            "factor": _number(row.factor),
        }
        for row in rows
    ]
    return pd.DataFrame(cells, index=pd.Index([row.what for row in rows], name="what"), dtype=str)


def both_ways(rows: Sequence[Row]) -> dict[str, float]:
    """Return the numbers of all rows under labels of their own, for the headline of a figure."""
    return {
        _label(row, way): float(value)
        for row in rows
        for way, value in ((AS_PAPER, row.as_paper), (AS_CODE, row.as_code))
    }


def over_draws(rows: Sequence[Row]) -> dict[str, Spread]:
    """Return the spread of those numbers of :func:`both_ways` that are over random draws."""
    return spreads({_label(row, AS_CODE): row.draws for row in rows})


def _label(row: Row, way: str) -> str:
    return f"{row.what}: {row.quantity}, {way}"


def _number(value: float) -> str:
    """Return four digits, powers of ten as mathematics."""
    if math.isnan(value):
        return "—"
    if math.isinf(value):
        return "∞"
    text = f"{value:.4g}"
    mantissa, _, power = text.partition("e")
    return rf"${mantissa}\times10^{{{int(power)}}}$" if power else text
