"""The LEM cell as a drawing: what each box reads, z before y; and the drawn cell computed box by box."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from curse_of_memory.nn import LEM
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.tools import checks

__all__ = ["ARROWS", "BOXES", "Arrow", "data", "plot", "step"]

OLD, NEW = "0.35", "crimson"  # colours of what is there before the step, and of the new z
GATE, GOAL = "#dfe8f3", "#f6ead7"  # of boxes


class Arrow(NamedTuple):
    """An arrow of the drawing: from what to what, and through which points."""

    source: str
    target: str
    points: tuple[tuple[float, float], ...]


BOXES = {
    "gate of z": ((3.3, 4.05), r"$\Delta t_n=\Delta t\,\hat\sigma(W_1y_{n-1}+V_1x_n+b_1)$"),
    "goal of z": ((3.3, 3.05), r"$\tanh(W_zy_{n-1}+V_zx_n+b_z)$"),
    "goal of y": ((8.2, 3.05), r"$\tanh(W_yz_n+V_yx_n+b_y)$"),
    "gate of y": ((8.2, 2.05), r"$\overline{\Delta t}_n=\Delta t\,\hat\sigma(W_2y_{n-1}+V_2x_n+b_2)$"),
}
"""Centres and texts of the boxes, by name."""

WIDE, HIGH = 2.9, 0.62  # of a box

ARROWS = (
    Arrow("old y", "gate of z", ((0.9, 1.0), (1.15, 1.0), (1.15, 4.15), (1.85, 4.15))),
    Arrow("x", "gate of z", ((0.9, 0.1), (1.5, 0.1), (1.5, 3.95), (1.85, 3.95))),
    Arrow("old y", "goal of z", ((0.9, 1.0), (1.15, 1.0), (1.15, 3.15), (1.85, 3.15))),
    Arrow("x", "goal of z", ((0.9, 0.1), (1.5, 0.1), (1.5, 2.95), (1.85, 2.95))),
    Arrow("old z", "new z", ((0.9, 5.0), (5.0, 5.0))),
    Arrow("gate of z", "new z", ((4.75, 4.05), (5.1, 4.05), (5.1, 4.8))),
    Arrow("goal of z", "new z", ((4.75, 3.05), (5.3, 3.05), (5.3, 4.8))),
    Arrow("new z", "goal of y", ((5.4, 5.0), (6.0, 5.0), (6.0, 3.15), (6.75, 3.15))),
    Arrow("x", "goal of y", ((0.9, 0.1), (6.4, 0.1), (6.4, 2.95), (6.75, 2.95))),
    Arrow("old y", "gate of y", ((0.9, 1.0), (6.0, 1.0), (6.0, 2.15), (6.75, 2.15))),
    Arrow("x", "gate of y", ((0.9, 0.1), (6.4, 0.1), (6.4, 1.95), (6.75, 1.95))),
    Arrow("old y", "new y", ((0.9, 1.0), (9.9, 1.0))),
    Arrow("gate of y", "new y", ((9.65, 2.05), (10.0, 2.05), (10.0, 1.2))),
    Arrow("goal of y", "new y", ((9.65, 3.05), (10.2, 3.05), (10.2, 1.2))),
)
"""All arrows of the drawing between what is named; those out of it are drawn besides."""

ENDS = {
    "old z": ((0.45, 5.0), "$z_{n-1}$"),
    "old y": ((0.45, 1.0), "$y_{n-1}$"),
    "x": ((0.45, 0.1), "$x_n$"),
    "new z": ((11.45, 5.0), "$z_n$"),
    "new y": ((11.45, 1.0), "$y_n$"),
}
MIXED = {"new z": (5.2, 5.0), "new y": (10.1, 1.0)}
ORDER = ("gate of z", "goal of z", "new z", "gate of y", "goal of y", "new y")


@figure_data(
    title="The LEM cell",
    source="Long Expressive Memory (2110.04744), equation (3); the drawing is ours",
)
def data(*, width: int = 4, dt: float = 0.5, seed: int = 0, device: str = "auto") -> Findings:
    """Compute a step along the drawn arrows, each box from what points to it and from nothing else.

    Weights, input and states are drawn by `seed`; what comes out is held against :class:`LEM` of `width`
    units. Columns: ``source, target``, the arrows. (Needs no device.)
    """
    layer = LEM(width, dt=dt, output_size=None, seed=seed, dtype=torch.float64)
    random = np.random.default_rng(checks.seed("seed", seed))
    x, y, z = random.standard_normal(1), random.uniform(-1, 1, width), random.uniform(-1, 1, width)
    values = step(layer, {"x": x, "old y": y, "old z": z})
    with torch.no_grad():
        state = torch.from_numpy(np.concatenate([y, z]))[None]
        last = layer.run(torch.from_numpy(x).reshape(1, 1, 1), state).last.numpy()[0]
    off = float(np.abs(np.concatenate([values["new y"], values["new z"]]) - last).max())
    table = pd.DataFrame([(arrow.source, arrow.target) for arrow in ARROWS], columns=["source", "target"])
    message = (
        "A step moves z towards its goal, and then y with the new z. Computed along the arrows alone, "
        f"{len(ARROWS)} of them, it is within {off:.0e} of that of nn.LEM."
    )
    return Findings(table, message, {"arrows": len(ARROWS), "largest difference to nn.LEM": off})


def step(layer: LEM, start: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return all values of one step, by the names of the drawing, each computed from what points to it.

    Parameters
    ----------
    layer : LEM
        Of one layer; its weights are used.
    start : mapping
        ``x``, ``old y`` and ``old z``.
    """
    cell = layer.network.direction(0)
    with torch.no_grad():
        U, W = cell.input_weight.numpy(), cell.recurrent_weight.numpy()
        b = (cell.input_bias + cell.recurrent_bias).numpy()
    blocks: list[str] = ["gate of y", "gate of z", "goal of z", "goal of y"]  # in the layer's order
    U, W, b = (dict(zip(blocks, np.split(t, 4), strict=True)) for t in (U, W, b))

    def affine(name: str, read: Mapping[str, np.ndarray]) -> np.ndarray:
        (recurrent,) = (value for source, value in read.items() if source != "x")
        return W[name] @ recurrent + U[name] @ read["x"] + b[name]

    def moved(name: str, read: Mapping[str, np.ndarray]) -> np.ndarray:
        share = read[f"gate of {name}"]
        return (1 - share) * read[f"old {name}"] + share * read[f"goal of {name}"]

    compute: dict[str, Callable[[Mapping[str, np.ndarray]], np.ndarray]] = {}
    for of in ("z", "y"):
        gate, goal = f"gate of {of}", f"goal of {of}"
        compute[gate] = lambda read, name=gate: cell.dt / (1 + np.exp(-affine(name, read)))
        compute[goal] = lambda read, name=goal: np.tanh(affine(name, read))
        compute[f"new {of}"] = lambda read, name=of: moved(name, read)
    values = dict(start)
    for name in ORDER:
        values[name] = compute[name]({a.source: values[a.source] for a in ARROWS if a.target == name})
    return values


def plot(data: FigureData) -> Figure:
    """Draw boxes and arrows; the new z, which the goal of y reads, in a colour of its own."""
    with plotting.style():
        figure, (axis,) = plotting.canvas(width=10.6, height=5.2)
        axis.set(xlim=(0, 11.9), ylim=(-0.35, 5.9))
        axis.axis("off")
        for left, right, text in ((1.0, 5.72, "first: $z$"), (5.8, 11.0, "then: $y$, with the new $z$")):
            axis.add_patch(Rectangle((left, -0.25), right - left, 5.75, fc="0.965", ec="none", zorder=0))
            axis.text((left + right) / 2, 5.68, text, ha="center", va="center", size=13)
        drawn = set(data.table.itertuples(index=False, name=None))
        for arrow in ARROWS:
            if (arrow.source, arrow.target) in drawn:
                _draw_arrow(axis, arrow.points, NEW if arrow.source == "new z" else OLD)
        _draw_arrow(axis, ((5.4, 5.0), (11.1, 5.0)), NEW)
        _draw_arrow(axis, ((10.3, 1.0), (11.1, 1.0)), OLD)
        for name, (center, text) in BOXES.items():
            _draw_box(axis, center, text, GATE if name.startswith("gate") else GOAL)
        for x, y in MIXED.values():
            axis.plot(x, y, "o", ms=25, mfc="white", mec=plotting.INK, mew=1.4, zorder=4)
            axis.text(x, y, r"mix", ha="center", va="center", size=10, zorder=5)
        for (x, y), text in ENDS.values():
            axis.text(x, y, text, ha="center", va="center", size=15)
        axis.text(5.45, 5.22, r"$(1-\Delta t_n)\,z_{n-1}+\Delta t_n\,\mathrm{goal}$", size=11.5, va="bottom")
        axis.text(
            9.8,
            0.62,
            r"$(1-\overline{\Delta t}_n)\,y_{n-1}+\overline{\Delta t}_n\,\mathrm{goal}$",
            size=11.5,
            ha="center",
            va="center",
        )
        for (x, y), text in (
            ((3.3, 4.5), "gate"),
            ((3.3, 3.5), "goal"),
            ((8.2, 3.5), "goal"),
            ((8.2, 2.5), "gate"),
        ):
            axis.text(x, y, text, ha="center", va="center", size=10, color=OLD)
    return figure


def _draw_box(axis: Axes, center: tuple[float, float], text: str, color: str) -> None:
    corner = (center[0] - WIDE / 2, center[1] - HIGH / 2)
    axis.add_patch(
        FancyBboxPatch(
            corner, WIDE, HIGH, boxstyle="round,pad=0,rounding_size=0.12", fc=color, ec=plotting.INK, zorder=3
        )
    )
    axis.text(*center, text, ha="center", va="center", size=12, zorder=4)


def _draw_arrow(axis: Axes, points: Sequence[tuple[float, float]], color: str) -> None:
    """Draw a line through points, and its last stretch with a head."""
    x, y = zip(*points, strict=True)
    axis.plot(x, y, color=color, lw=1.6, solid_capstyle="round", zorder=2)
    axis.annotate(
        "",
        points[-1],
        points[-2],
        arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.6, "shrinkA": 0, "shrinkB": 0},
        zorder=2,
    )
