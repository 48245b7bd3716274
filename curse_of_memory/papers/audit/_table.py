"""Rows of an audit: one disagreement between a paper, its README and its public code, run both ways.

Where the text of a paper is not at hand, the public code is held against a plain reading of what it says to
measure.
"""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import pandas as pd

from curse_of_memory.report.figure import Spread, spreads

__all__ = ["Headings", "Row", "both_ways", "over_draws", "printed"]

AS_CODE = "as in the code"


@dataclass(frozen=True)
class Headings:
    """What the columns of a table of rows are called: both ways, and their numbers."""

    paper: str = "paper"
    code: str = "README, code or logs"
    as_paper: str = "as in the paper"
    as_code: str = AS_CODE


PAPER_AND_CODE = Headings()


@dataclass(frozen=True)
class Row:
    """One fact on which paper and code differ, and one number, computed as each of them has it.

    Attributes
    ----------
    what : str
        The fact, in a few words; several rows may be of one fact, and differ in `quantity`.
    paper, code : str
        What the paper says of it, and what the code, its logs or the README have.
    quantity : str
        What is computed.
    as_paper, as_code : float
        Its value as the paper has it, and as the code has it.
    draws : sequence of float
        If `as_code` is a mean or median over random draws: the value of each draw.
    """

    what: str
    paper: str
    code: str
    quantity: str
    as_paper: float
    as_code: float
    _: KW_ONLY
    draws: Sequence[float] = ()

    @property
    def factor(self) -> float:
        """`as_code` over `as_paper`; NaN if the latter is zero."""
        return self.as_code / self.as_paper if self.as_paper else math.nan


def printed(rows: Sequence[Row], headings: Headings = PAPER_AND_CODE) -> pd.DataFrame:
    """Return the rows as a table of texts, one line a row, with the facts as its index.

    Examples
    --------
    >>> printed([Row("weight", "$t$", "$t^2$", "w at t = 3", 3.0, 9.0)]).loc["weight", "factor"]
    '3'
    """
    cells = [
        {
            headings.paper: row.paper,
            headings.code: row.code,
            "number": row.quantity,
            headings.as_paper: _number(row.as_paper),
            headings.as_code: _number(row.as_code),
            "factor": _number(row.factor),
        }
        for row in rows
    ]
    return pd.DataFrame(cells, index=pd.Index([row.what for row in rows], name="what"), dtype=str)


def both_ways(rows: Sequence[Row], headings: Headings = PAPER_AND_CODE) -> dict[str, float]:
    """Return the headline of an audit: both numbers of each row, labelled by fact, quantity and way."""
    return {
        _label(row, way): float(value)
        for row in rows
        for way, value in ((headings.as_paper, row.as_paper), (headings.as_code, row.as_code))
    }


def over_draws(rows: Sequence[Row]) -> dict[str, Spread]:
    """Return the spread over random draws of those numbers of :func:`both_ways` that average over some."""
    return spreads({_label(row, AS_CODE): row.draws for row in rows})


def _label(row: Row, way: str) -> str:
    return f"{row.what}: {row.quantity}, {way}"


def _number(value: float) -> str:
    """Return a number with four significant digits, its power of ten written as mathematics."""
    if math.isnan(value):
        return "—"
    if math.isinf(value):
        return "∞"
    text = f"{value:.4g}"
    mantissa, _, power = text.partition("e")
    return rf"${mantissa}\times10^{{{int(power)}}}$" if power else text
