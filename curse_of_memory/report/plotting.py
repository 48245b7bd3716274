"""One style for every picture, and one function per kind of curve.

A canvas and its style; the looks (colour and mark) of a family of curves; and the kinds of curve: theory as a
line, measurement as marks, the two together, a band between bounds or over seeds, means with error bars, and
the entries of legends that stand for many curves. Colours are told apart by colour-blind readers and by a
black-and-white printer (they differ in lightness), and every curve is named beside a mark or a line style of
its own.
"""

import contextlib
import itertools
import math
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.tools import checks
from curse_of_memory.tools.extras import require

require("figures", "matplotlib")

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import ColorType

__all__ = [
    "Look",
    "band",
    "canvas",
    "distinct",
    "entry",
    "error_bars",
    "joined_legend",
    "legend_below",
    "log_scale",
    "looks",
    "measured",
    "on",
    "order",
    "over_seeds",
    "power_label",
    "say_stand_in",
    "style",
    "theory",
    "theory_and_measured",
]

MARKS = ("o", "s", "^", "D", "v", "P", "X")
INK, GRID = "#2b2b2b", "#dddddd"

Color = tuple[float, float, float, float]
Name = TypeVar("Name", bound=Hashable)

# older versions of matplotlib have no type for the keys
_STYLE: dict[Any, Any] = {
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "mathtext.fontset": "cm",
}


class Look(NamedTuple):
    """How a curve of a family looks: its colour, and the mark of what is measured."""

    color: ColorType
    mark: str


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the house inside this context; nothing outside of it changes."""
    with mpl.rc_context(_STYLE):
        yield


def canvas(
    columns: int = 1,
    rows: int = 1,
    *,
    width: float | None = None,
    height: float | None = None,
    **options: Any,
) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes, a row of them or a grid; call it inside :func:`style`.

    Parameters
    ----------
    columns, rows : int
        How many axes; the array of axes has the shape ``(columns,)`` for one row, else ``(rows, columns)``.
    width, height : float, optional
        Of the figure, in inches.
    options
        Of :func:`matplotlib.pyplot.subplots`.
    """
    width = (6.2 if columns == 1 else 4.1 * columns) if width is None else width
    height = 3.8 * rows if height is None else height
    figure, axes = plt.subplots(
        rows, columns, figsize=(width, height), layout="constrained", squeeze=False, **options
    )
    return figure, axes[0] if rows == 1 else axes


@contextlib.contextmanager
def on(ax: Axes | None, **options: Any) -> Iterator[Axes]:
    """Yield the axes that a result draws itself on, in the style of the house: `ax`, or new ones.

    Parameters
    ----------
    ax : matplotlib.axes.Axes, optional
        Those that were asked for, whose figure stays as it is.
    options
        Of :func:`canvas`, for new ones.
    """
    with style():
        yield canvas(**options)[1][0] if ax is None else ax


def log_scale(ax: Axes, *along: Literal["x", "y"]) -> None:
    """Make axes logarithmic along which anything positive is drawn: matplotlib cannot show the others so."""
    for name in along:
        seen = [
            getattr(line, f"get_{name}data")() for line in ax.lines if line.get_transform() == ax.transData
        ]
        if any((np.asarray(values, float) > 0).any() for values in seen):
            ax.set(**{f"{name}scale": "log"})


def order(count: int) -> list[Color]:
    """Return `count` colours from dark to light for curves of one family, such as growing widths."""
    colors = mpl.colormaps["viridis"](np.linspace(0.0, 0.85, max(count, 1)))
    return [(float(r), float(g), float(b), float(a)) for r, g, b, a in colors]


def distinct(count: int) -> list[Look]:
    """Return `count` looks: colours of :func:`order`, each with a mark."""
    return [Look(color, mark) for color, mark in zip(order(count), itertools.cycle(MARKS), strict=False)]


def looks(names: Iterable[Name]) -> dict[Name, Look]:
    """Return the look of each curve of a family, by its name, from dark to light.

    Examples
    --------
    >>> [look.mark for look in looks(["RNN", "SSM"]).values()]
    ['o', 's']
    """
    names = list(names)
    return dict(zip(names, distinct(len(names)), strict=False))  # of no names, none


def power_label(p: float) -> str:
    """Return the mathematical name of a weight's power, with a sign for infinity."""
    return r"$p=\infty$" if math.isinf(p) else f"$p={p:g}$"


def theory(axis: Axes, x: ArrayLike, y: ArrayLike, color: ColorType = INK, **options: Any) -> Line2D:
    """Draw what a formula or a theorem says: a line.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    x, y : array
        Of one length.
    color
        Of the line.
    options
        Of :meth:`matplotlib.axes.Axes.plot`: ``ls="--"``, ``lw=1``, ``label="exact"``.
    """
    (line,) = axis.plot(x, y, color=color, **options)
    return line


def measured(
    axis: Axes,
    x: ArrayLike,
    y: ArrayLike,
    look: Look,
    *,
    joined: str = "",
    hollow: bool = False,
    **options: Any,
) -> Line2D:
    """Draw what was measured: marks.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    x, y : array
        Of one length.
    look : Look
        Colour and mark.
    joined : str
        Style of the line between the marks, such as ``"-"`` or ``":"``; without it there is none.
    hollow : bool
        Whether marks are rings.
    options
        Of :meth:`matplotlib.axes.Axes.plot`: ``ms=4``, ``label="trained"``.
    """
    if hollow:
        options["mfc"] = "none"
    (line,) = axis.plot(x, y, color=look.color, marker=look.mark, ls=joined or "none", **options)
    return line


def theory_and_measured(
    axis: Axes,
    exact: tuple[ArrayLike, ArrayLike],
    seen: tuple[ArrayLike, ArrayLike],
    look: Look,
    *,
    line: str = "-",
    size: float | None = None,
    label: str | None = None,
) -> None:
    """Draw theory as a line and the measurement of the same thing as marks on it.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    exact, seen : tuple of two arrays
        Abscissae and ordinates of the theory, and of the measurement.
    look : Look
        Of both.
    line : str
        Style of the line.
    size : float, optional
        Of the marks, in points.
    label : str, optional
        Names the marks in the legend; the line has no name.
    """
    theory(axis, *exact, look.color, ls=line)
    measured(axis, *seen, look, ms=mpl.rcParams["lines.markersize"] if size is None else size, label=label)


def band(
    axis: Axes,
    x: ArrayLike,
    low: ArrayLike | float,
    high: ArrayLike | float,
    color: ColorType,
    *,
    alpha: float | None = 0.2,
    label: str | None = None,
) -> None:
    """Shade what lies between two curves over `x`: a lower and an upper bound, or the range of some runs.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    x, low, high : array
        Of one length; a bound that is the same everywhere may be a number.
    color, alpha
        Of the shade; None for `alpha` covers what is below.
    label : str, optional
        Names the shade in the legend.
    """
    axis.fill_between(np.asarray(x), low, high, color=color, alpha=alpha, lw=0, label=label)


def over_seeds(
    axis: Axes,
    x: ArrayLike,
    runs: ArrayLike,
    look: Look,
    *,
    middle: str = "median",
    joined: str = "-",
    alpha: float = 0.2,
    **options: Any,
) -> None:
    """Draw the middle of some runs as a curve with marks, and the range from the least to the largest shaded.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    x : array, shape (n,)
    runs : array, shape (seeds, n)
        One row a seed; NaN where a run has no number.
    look : Look
        Of the curve; the band has its colour.
    middle : str
        ``"median"``, ``"mean"`` or ``"geometric mean"``.
    joined, options
        As for :func:`measured`.
    alpha : float
        Of the band.
    """
    values = np.asarray(runs, dtype=float)
    middles = {
        "median": lambda: np.nanmedian(values, axis=0),
        "mean": lambda: np.nanmean(values, axis=0),
        "geometric mean": lambda: np.exp(np.nanmean(np.log(values), axis=0)),
    }
    measured(axis, x, middles[checks.one_of("middle", middle, middles)](), look, joined=joined, **options)
    band(axis, x, np.nanmin(values, axis=0), np.nanmax(values, axis=0), look.color, alpha=alpha)


def error_bars(
    axis: Axes,
    x: ArrayLike,
    y: ArrayLike,
    error: ArrayLike,
    look: Look,
    *,
    joined: str = "",
    hollow: bool = False,
    **options: Any,
) -> None:
    """Draw marks with error bars.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    x, y : array, shape (n,)
    error : array, shape (n,) or (2, n)
        Half the length of the bars, or the lengths below and above.
    look : Look
        Colour and mark.
    joined, hollow
        As for :func:`measured`.
    options
        Of :meth:`matplotlib.axes.Axes.errorbar`: ``label="two standard errors"``.
    """
    if hollow:
        options["mfc"] = "none"
    bars: dict[str, Any] = {"color": look.color, "marker": look.mark, "ls": joined or "none", "capsize": 2}
    axis.errorbar(x, y, error, **(bars | options))


def entry(label: str, color: ColorType = INK, **options: Any) -> Line2D:
    """Return a line without points: the entry of a legend that stands for many curves.

    ``axis.add_line(entry(...))`` puts it into the legend of an axis, in its place among the curves.

    Parameters
    ----------
    label : str
        What the legend says.
    color
        Of line and mark.
    options
        Of :class:`matplotlib.lines.Line2D`: ``marker``, ``ls``, ``lw``.

    Examples
    --------
    >>> entry("measured", marker="o", ls="").get_label()
    'measured'
    """
    return Line2D([], [], label=label, color=color, **options)


def say_stand_in(figure: Figure, stand_in: str) -> None:
    """Write above the whole figure which data stand in for which, below its title if it has one.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    stand_in : str
        As :class:`curse_of_memory.report.figure.FigureData` has it; an empty text changes nothing.
    """
    if stand_in:
        lines = (figure.get_suptitle(), f"Stand-in data: {stand_in}")
        figure.suptitle("\n".join(filter(None, lines)), fontsize=11)


def joined_legend(figure: Figure, axes: Iterable[Axes], **options: Any) -> None:
    """Draw one legend below the whole figure for the curves of several axes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    axes : iterable of matplotlib.axes.Axes
        In the order in which their entries stand; of two entries of one label the first is shown.
    options
        Of :meth:`matplotlib.figure.Figure.legend`: ``ncols=4``; ``loc`` for another place.
    """
    entries: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    options = {"loc": "outside lower center"} | options
    figure.legend(list(entries.values()), list(entries), **options)


def legend_below(axis: Axes, columns: int = 1, *, center: float = 0.5, size: float | None = None) -> None:
    """Draw the legend of an axis below its label, where it hides no curve.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    columns : int
        Of the legend.
    center : float
        Where its middle is, as a share of the width of the axis.
    size : float, optional
        Of its letters, in points.
    """
    size = mpl.rcParams["legend.fontsize"] if size is None else size
    axis.legend(loc="upper center", bbox_to_anchor=(center, -0.16), ncols=columns, fontsize=size)
