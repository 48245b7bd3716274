"""One style for every picture, and one function per kind of curve.

Theory is drawn as lines, measurement as marks on the same axes. Colours are told apart by
colour-blind readers and by a black-and-white printer (they differ in lightness), and every curve
is named beside a mark or a line style of its own.
"""

import contextlib
import itertools
import math
from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

__all__ = ["canvas", "distinct", "order", "power_label", "style"]

MARKS = ("o", "s", "^", "D", "v", "P", "X")
INK, GRID = "#2b2b2b", "#dddddd"

_STYLE = {
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


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the house inside this context; nothing outside of it changes."""
    with mpl.rc_context(_STYLE):
        yield


def canvas(
    columns: int = 1, *, width: float | None = None, height: float = 3.8, **options
) -> tuple[Figure, np.ndarray]:
    """Return a figure and a row of `columns` axes; call it inside :func:`style`."""
    width = (6.2 if columns == 1 else 4.1 * columns) if width is None else width
    figure, axes = plt.subplots(
        1, columns, figsize=(width, height), layout="constrained", squeeze=False, **options
    )
    return figure, axes[0]


def order(count: int) -> list[tuple[float, float, float, float]]:
    """Return `count` colours from dark to light for curves of one family, such as growing widths."""
    return [tuple(c) for c in mpl.colormaps["viridis"](np.linspace(0.0, 0.85, max(count, 1)))]


def distinct(count: int) -> list[tuple[tuple[float, float, float, float], str]]:
    """Return `count` pairs of a colour of :func:`order` and a mark, for curves with marks."""
    return list(zip(order(count), itertools.cycle(MARKS), strict=False))


def power_label(p: float) -> str:
    """Return the mathematical name of a weight's power, with a sign for infinity."""
    return r"$p=\infty$" if math.isinf(p) else f"$p={p:g}$"
