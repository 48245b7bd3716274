"""A figure as data: what a `data` function returns, the decorator that completes it, and its files."""

import functools
import inspect
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, cast

import pandas as pd

from curse_of_memory.report.arguments import check_arguments
from curse_of_memory.report.printed_table import as_latex, as_markdown
from curse_of_memory.report.record import Number, Record, Spread, comparison, record_text, spreads
from curse_of_memory.tools.devices import device_name
from curse_of_memory.tools.files import whole_file
from curse_of_memory.tools.run_notes import run_notes
from curse_of_memory.tools.versions import __version__, numeric_versions

if TYPE_CHECKING:  # what is drawn comes from elsewhere
    from matplotlib.figure import Figure

__all__ = ["FigureData", "FigureFunction", "Findings", "Spread", "figure_data", "spreads"]

PAPERS = "curse_of_memory.papers"

Asked = ParamSpec("Asked")  # the arguments of a function that computes a figure


@dataclass(frozen=True)
class Findings:
    """What a `data` function returns; :func:`figure_data` adds the name, the parameters, device and time.

    Attributes
    ----------
    table : pandas.DataFrame
        The drawn numbers in long form, one column per coordinate.
    message : str
        What the picture shows, in one sentence with this run's numbers.
    headline, paper : mapping from label to number
        A few of our numbers, and the paper's under the same labels.
    spread : mapping from label to Spread
        Smallest and largest over the seeds, of the headline numbers that average over seeds.
    printed : pandas.DataFrame, optional
        A table as the paper prints it: its cells as texts; the index is the first column.
    stand_in : str
        What stands in for which data, as a task says it of itself; empty if the data are real, or none are
        read.
    stand_in_is_real : bool
        Whether what stands in are real data, too, of another set: then no made ones replace the figure.
    data_part : str
        How much of the published data was read, such as "1200 of 105 829 clips", if less than the paper's
        scale asks for; else empty.
    """

    table: pd.DataFrame
    message: str
    headline: Mapping[str, Number]
    paper: Mapping[str, Number] = field(default_factory=dict)
    printed: pd.DataFrame | None = None
    spread: Mapping[str, Spread] = field(default_factory=dict)
    stand_in: str = ""
    stand_in_is_real: bool = False
    data_part: str = ""


@dataclass(frozen=True)
class FigureData:
    """A computed figure or table: all that its files hold, save the picture.

    Attributes
    ----------
    name, title, source : str
        ``paper/figure``, the title, and where the paper shows it.
    table, message, headline, paper, printed, spread, stand_in, stand_in_is_real, data_part
        As in :class:`Findings`. Where data stand in for others, title and message say so, and there are no
        numbers of the paper.
    parameters : mapping
        The arguments it was computed with, save `data`, of which `stand_in` says what came of it.
    device : str
        Where: ``'cpu'``, or the name of the GPU.
    seconds : float
        How long that took, with the runs that were kept from earlier batches.
    """

    name: str
    title: str
    table: pd.DataFrame
    message: str
    headline: Mapping[str, Number]
    parameters: Mapping[str, Any]
    device: str
    seconds: float
    source: str = "ours"
    paper: Mapping[str, Number] = field(default_factory=dict)
    printed: pd.DataFrame | None = None
    spread: Mapping[str, Spread] = field(default_factory=dict)
    stand_in: str = ""
    stand_in_is_real: bool = False
    data_part: str = ""

    def comparison(self, digits: int = 4) -> pd.DataFrame:
        """Return a table of our numbers, their range over the seeds, and the paper's, to `digits` digits."""
        rows = comparison(self.headline, self.spread, self.paper, digits=digits, counted=False)
        ours = [row for row in rows if row.label in self.headline]
        table = pd.DataFrame({"ours": {row.label: row.ours for row in ours}})
        if self.spread:
            table["over seeds"] = [row.over_seeds for row in ours]
        if self.paper:
            table["paper"] = [row.paper for row in ours]
        return table

    def save(self, output_dir: str | Path, figure: "Figure") -> list[Path]:
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
        paths = {suffix: stem.with_suffix(f".{suffix}") for suffix in ("png", "pdf", *texts, "csv", "json")}
        # first, so that what cannot be written down leaves every file as it was
        record = record_text(self.record())
        with whole_file(paths["png"]) as draft:
            figure.savefig(draft, dpi=200, metadata={"Software": None})
        with whole_file(paths["pdf"]) as draft:
            figure.savefig(draft, metadata={"CreationDate": None, "Producer": None, "Creator": None})
        for suffix, text in texts.items():
            with whole_file(paths[suffix]) as draft:
                draft.write_text(text, encoding="utf-8")
        with whole_file(paths["csv"]) as draft:
            self.table.to_csv(draft, index=False)  # floats are written so that they read back exactly
        with whole_file(paths["json"]) as draft:
            draft.write_text(record, encoding="utf-8")
        return list(paths.values())

    def record(self) -> Record:
        """Return the record, with the versions and the time of now."""
        versions = {"python": platform.python_version(), "curse-of-memory": __version__}
        return Record(
            name=self.name,
            title=self.title,
            message=self.message,
            source=self.source,
            parameters=self.parameters,
            headline=self.headline,
            spread=self.spread,
            paper=self.paper,
            device=self.device,
            seconds=round(self.seconds, 2),
            versions=versions | numeric_versions(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            stand_in=self.stand_in,
            stand_in_is_real=self.stand_in_is_real,
            data_part=self.data_part,
        )


class FigureFunction(Protocol[Asked]):
    """A function that computes a figure; `figure_name` is the figure's, ``paper/figure``."""

    figure_name: str

    def __call__(self, *args: Asked.args, **kwargs: Asked.kwargs) -> FigureData:
        """Compute the figure."""
        ...


def figure_data(
    name: str | None = None, *, title: str, source: str
) -> Callable[[Callable[Asked, Findings]], FigureFunction[Asked]]:
    """Return a decorator: a function that returns :class:`Findings` then returns :class:`FigureData`.

    The function takes keyword arguments only, `seed` and `device` among them, each annotated. Its arguments
    are checked by :func:`check_arguments` before it runs.

    Parameters
    ----------
    name : str, optional
        ``paper/figure``, as its notebook is called. Without one it is told from the function's module, which
        is ``curse_of_memory.papers.<paper>.<figure>``.
    title, source : str
        What the figure is, and where the paper shows it.

    Raises
    ------
    ValueError
        By the decorator, if there is no `name` and the module is not such a one.
    """

    def decorate(compute: Callable[Asked, Findings]) -> FigureFunction[Asked]:
        signature, figure_name = inspect.signature(compute), name or _name_of(compute.__module__)

        @functools.wraps(compute)
        def wrapper(*args: Asked.args, **kwargs: Asked.kwargs) -> FigureData:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            check_arguments(signature, bound.arguments)
            started = _seconds_with_kept_runs()
            findings = compute(*args, **kwargs)
            if unknown := set(findings.spread) - set(findings.headline):
                raise ValueError(f"spread must be of numbers of the headline, got {sorted(unknown)}")
            note = findings.stand_in
            return FigureData(
                name=figure_name,
                title=f"{title} (stand-in data)" if note else title,
                source=source,
                table=findings.table,
                message=f"Stand-in data, {note}. {findings.message}" if note else findings.message,
                headline=dict(findings.headline),
                paper={} if note else dict(findings.paper),
                printed=findings.printed,
                spread=dict(findings.spread),
                parameters={key: value for key, value in bound.arguments.items() if key != "data"},
                stand_in=note,
                stand_in_is_real=findings.stand_in_is_real,
                data_part=findings.data_part,
                device=device_name(bound.arguments["device"]),
                seconds=_seconds_with_kept_runs() - started,
            )

        figure = cast("FigureFunction[Asked]", wrapper)  # which it is with the attribute that follows
        figure.figure_name = figure_name
        return figure

    return decorate


def _seconds_with_kept_runs() -> float:
    """Return a clock that has gone on, too, by the time of all runs that earlier batches have made."""
    notes = run_notes()
    return time.perf_counter() + (notes.kept_seconds if notes else 0.0)


def _name_of(module: str) -> str:
    """Return the name of the figure that a module computes, ``paper/figure``."""
    package, _, figure = module.rpartition(".")
    papers, _, paper = package.rpartition(".")
    if papers != PAPERS or figure.startswith("_"):
        raise ValueError(f"name must be given outside {PAPERS}.<paper>.<figure>, in {module}")
    return f"{paper}/{figure}"
