"""A figure as data: what was computed, what the paper printed, and the four files of it."""

import functools
import inspect
import json
import math
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from curse_of_memory import __version__
from curse_of_memory.report.arguments import check_arguments
from curse_of_memory.report.printed_table import as_latex, as_markdown
from curse_of_memory.tools.devices import device_name
from curse_of_memory.tools.files import whole_file
from curse_of_memory.tools.versions import numeric_versions

__all__ = ["FigureData", "Findings", "Spread", "figure_data", "spreads"]

Number = float | int | str


@dataclass(frozen=True)
class Spread:
    """Smallest and largest of a number over runs that differ in their seed only; `runs` says how many.

    Examples
    --------
    >>> Spread.over([3.0, 1.0, 2.0])
    Spread(low=1.0, high=3.0, runs=3)
    """

    low: float
    high: float
    runs: int

    @classmethod
    def over(cls, values: Iterable[float]) -> "Spread":
        """Return the spread of `values`, one of each run; NaN, of a run that diverged, makes both ends NaN.

        Raises
        ------
        ValueError
            If there are no values.
        """
        values = np.array(list(values), dtype=float)
        if values.size == 0:
            raise ValueError("values must hold one number of each run, got none")
        return cls(float(values.min()), float(values.max()), values.size)


def spreads(runs: Mapping[str, Iterable[float]]) -> dict[str, Spread]:
    """Return the spread of each number, by label, over its values of the runs; of a single run there is none.

    Examples
    --------
    >>> spreads({"three seeds": [3.0, 1.0, 2.0], "one seed": [4.0]})
    {'three seeds': Spread(low=1.0, high=3.0, runs=3)}
    """
    values = {label: list(one_each) for label, one_each in runs.items()}
    return {label: Spread.over(one_each) for label, one_each in values.items() if len(one_each) > 1}


@dataclass(frozen=True)
class Findings:
    """What a ``*_data`` function finds out; :func:`figure_data` adds the circumstances.

    Attributes
    ----------
    table : pandas.DataFrame
        The drawn numbers in long form, one column per coordinate.
    message : str
        What the picture shows, in one sentence with this run's numbers.
    headline, paper : mapping from label to number
        A few numbers to hold beside the paper's, and the paper's under the same labels.
    spread : mapping from label to Spread
        Of those numbers of the headline that summarise runs with several seeds: the same of each run.
    printed : pandas.DataFrame, optional
        Of a table: the cells as a paper prints them, ready-made texts; the index is the first column.
    """

    table: pd.DataFrame
    message: str
    headline: Mapping[str, Number]
    paper: Mapping[str, Number] = field(default_factory=dict)
    printed: pd.DataFrame | None = None
    spread: Mapping[str, Spread] = field(default_factory=dict)


@dataclass(frozen=True)
class FigureData:
    """A computed figure or table, with all that its four files hold.

    Attributes
    ----------
    name, title, source : str
        Notebook name ``paper/figure``, title, and where the paper shows it.
    table, message, headline, paper, printed, spread
        As in :class:`Findings`.
    parameters : mapping
        The arguments it was computed with.
    device : str
        Where: ``'cpu'``, or the name of the GPU.
    seconds : float
        How long that took.
    """

    name: str
    title: str
    table: pd.DataFrame
    message: str
    headline: Mapping[str, Number]
    parameters: Mapping[str, object]
    device: str
    seconds: float
    source: str = "ours"
    paper: Mapping[str, Number] = field(default_factory=dict)
    printed: pd.DataFrame | None = None
    spread: Mapping[str, Spread] = field(default_factory=dict)

    def comparison(self, digits: int = 4) -> pd.DataFrame:
        """Return our numbers, their range over the seeds, and the paper's, to `digits` significant digits."""

        def rounded(value: Number) -> str:
            return f"{value:.{digits}g}" if isinstance(value, float) else str(value)

        table = pd.DataFrame({"ours": {label: rounded(v) for label, v in self.headline.items()}})
        beside = {
            "over seeds": {k: f"{rounded(s.low)} to {rounded(s.high)}" for k, s in self.spread.items()},
            "paper": {label: rounded(v) for label, v in self.paper.items()},
        }
        for name, column in beside.items():
            if column:
                table[name] = pd.Series(column, dtype=object).reindex(table.index).fillna("—")
        return table

    def save(self, output_dir: str | Path, figure: Figure) -> list[Path]:
        """Write ``<output_dir>/<last part of name>.{png,pdf,csv,json}``, and return the paths.

        With a printed table there are ``.md`` and ``.tex``, too. An empty `output_dir` writes nothing. Each
        file is written whole or not at all.
        """
        if str(output_dir) == "":
            return []
        stem = Path(output_dir) / self.name.rsplit("/", 1)[-1]
        texts = {}
        if self.printed is not None:
            texts = {"md": as_markdown(self.printed), "tex": as_latex(self.printed, self.title)}
        paths = {kind: stem.with_suffix(f".{kind}") for kind in ("png", "pdf", *texts, "csv", "json")}
        # first, so that what cannot be written down leaves every file as it was
        record = json.dumps(_plain(self._record()), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        with whole_file(paths["png"]) as draft:
            figure.savefig(draft, dpi=200, metadata={"Software": None})
        with whole_file(paths["pdf"]) as draft:
            figure.savefig(draft, metadata={"CreationDate": None, "Producer": None, "Creator": None})
        for kind, text in texts.items():
            with whole_file(paths[kind]) as draft:
                draft.write_text(text, encoding="utf-8")
        with whole_file(paths["csv"]) as draft:
            self.table.to_csv(draft, index=False)  # floats are written so that they read back exactly
        with whole_file(paths["json"]) as draft:
            draft.write_text(record, encoding="utf-8")
        return list(paths.values())

    def _record(self) -> dict:
        return {
            "name": self.name,
            "title": self.title,
            "message": self.message,
            "source": self.source,
            "parameters": self.parameters,
            "headline": self.headline,
            "spread": {label: asdict(spread) for label, spread in self.spread.items()},
            "paper": self.paper,
            "device": self.device,
            "seconds": round(self.seconds, 2),
            "versions": {"python": platform.python_version(), "curse-of-memory": __version__}
            | numeric_versions(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def figure_data(name: str, *, title: str, source: str) -> Callable:
    """Turn a function that returns :class:`Findings` into one that returns :class:`FigureData`.

    The function takes keyword arguments only, `seed` and `device` among them, each annotated; what it was
    called with is checked by :func:`check_arguments` and becomes ``parameters``. Its attribute
    ``figure_name`` is `name`, where its notebook stands.
    """

    def decorate(compute: Callable[..., Findings]) -> Callable[..., FigureData]:
        signature = inspect.signature(compute)

        @functools.wraps(compute)
        def wrapper(**arguments) -> FigureData:
            bound = signature.bind(**arguments)
            bound.apply_defaults()
            check_arguments(signature, bound.arguments)
            started = time.perf_counter()
            found = compute(**arguments)
            if unknown := set(found.spread) - set(found.headline):
                raise ValueError(f"spread must be of numbers of the headline, got {sorted(unknown)}")
            return FigureData(
                name=name,
                title=title,
                source=source,
                table=found.table,
                message=found.message,
                headline=dict(found.headline),
                paper=dict(found.paper),
                printed=found.printed,
                spread=dict(found.spread),
                parameters=dict(bound.arguments),
                device=device_name(bound.arguments["device"]),
                seconds=time.perf_counter() - started,
            )

        wrapper.figure_name = name
        return wrapper

    return decorate


def _plain(value):
    """Return `value` in the types that JSON has; infinities and NaN, which it lacks, become words."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
