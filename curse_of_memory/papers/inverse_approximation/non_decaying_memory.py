"""Inverse approximation theory (2305.19190), figure 11: tanh networks whose memory does not decay."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy import stats

from curse_of_memory.measure import memory_function
from curse_of_memory.nn import RNN
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.theory.lemmas.heaviside_dynamics import contraction_region, corner_rates, simulate
from curse_of_memory.theory.lemmas.planar_basin import CORNERS, PLANAR, basin_boundary
from curse_of_memory.tools import checks

__all__ = ["data", "enclosed_area", "plot", "velocity_at"]

STEP = 0.1  # of Runge-Kutta's method, in time units: |W| STEP is a few tenths
KEPT = 0.01  # memory above this share of its start has not decayed
EXAMPLE_GAIN, EXAMPLE_TIME, EXAMPLE_STEP = 1.0, 100.0, 0.01
PLANAR_TIME = 300.0
KINDS = ("Hurwitz, decays", "Hurwitz, not decayed", "not Hurwitz")
COLUMNS = ["panel", "curve", "kind", "x", "y", "low", "high"]


@figure_data(
    title="Tanh networks whose memory does not decay",
    source="Inverse approximation theory (2305.19190), figure 11",
)
def data(
    *,
    gains: Sequence[float] = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
    width: int = 16,
    networks: int = 200,
    times: Sequence[float] = (100, 400),
    grid: int = 61,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Count random tanh RNNs that do not forget, and the starts that do in the plane of the paper's example.

    - *share*: of `networks` networks of W = −1 + g G/√m, G of independent N(0, 1), and U x ~ N(0, 1) per
      unit, how many still have |v(t)| > 1 % |v(0)| at t in `times`; *not Hurwitz* is the share of W with an
      eigenvalue in the right half-plane;
    - *memory*: |v(t)| of one network of each kind, by the equation dv/dt = (1 − v²) ∘ (W v) and measured on
      the RNN with the Heaviside probe;
    - *plane*: for W = [[1, 1], [−4, −3]], what becomes of `grid`² starts v(0), and the orbit around the
      basin.

    Columns: ``panel, curve, kind, x, y, low, high``; x and y are g and the share with its 95 % interval, t
    and |v|₂, v₁ and v₂.
    """
    checks.positive_int("networks", networks)
    curves: list[pd.DataFrame] = []
    facts: dict[str, float] = {}
    examples = {}
    rng = np.random.default_rng(seed)
    decayed, proven, bare = 0, 0, 0
    for gain in gains:
        W = gain * rng.standard_normal((networks, width, width)) / math.sqrt(width) - np.eye(width)
        drive = rng.standard_normal((networks, width))
        abscissas = np.linalg.eigvals(W).real.max(1)
        hurwitz, bare = abscissas < 0, bare + int((abscissas < -1).sum())
        size = np.linalg.norm(velocity_at(W, drive, times), axis=-1)
        kept = size > KEPT * np.linalg.norm(np.tanh(drive), axis=-1)
        for t, still in zip(times, kept, strict=True):
            curves.append(_share(f"t = {t:g}", "measured", gain, still))
            facts[f"not decayed at t = {t:g}, g = {gain:g}"] = float(still.mean())
        curves.append(_share("not Hurwitz", "theorem", gain, ~hurwitz))
        gone = np.flatnonzero(hurwitz & ~kept[-1])
        decayed += gone.size
        proven += sum(size[-1, i] <= contraction_region(W[i]).start for i in gone)
        if gain >= EXAMPLE_GAIN:
            for kind, chosen in zip(KINDS, (hurwitz & ~kept[-1], hurwitz & kept[-1], ~hurwitz), strict=True):
                if chosen.any():
                    first = int(np.argmax(chosen))
                    examples.setdefault(kind, (W[first], drive[first]))
    for kind, (W, drive) in examples.items():
        curves += _memories(kind, W, drive, device)
    plane, numbers = _plane(grid)
    facts["networks that are Hurwitz without the −1"] = bare
    facts |= {"share of the decayed with a proof of decay": proven / max(decayed, 1)} | numbers
    table = pd.concat([*curves, *plane], ignore_index=True).loc[:, COLUMNS]
    return Findings(table, _message(facts, gains, times), facts)


def velocity_at(W: np.ndarray, drive: np.ndarray, times: Sequence[float]) -> np.ndarray:
    """Return v(t) of many networks at once, dv/dt = (1 − v²) ∘ (W v) from v(0) = tanh(drive).

    In z = artanh v, dz/dt = W tanh z, which no rounding carries out of the cube.

    Parameters
    ----------
    W : numpy.ndarray, shape (m, m) or (networks, m, m)
        Recurrent weights, per unit time.
    drive : numpy.ndarray, shape (networks, m)
        U x + b.
    times : sequence of float
        Ascending multiples of 0.1, in time units.

    Returns
    -------
    numpy.ndarray, shape (times, networks, m)
    """

    def field(z):
        return (W @ np.tanh(z)[..., None])[..., 0]

    z, now, velocities = drive, 0, []
    for t in times:
        until = round(t / STEP)
        for _ in range(until - now):
            first = field(z)
            second = field(z + STEP / 2 * first)
            third = field(z + STEP / 2 * second)
            z = z + STEP / 6 * (first + 2 * (second + third) + field(z + STEP * third))
        now = until
        velocities.append(np.tanh(z))
    return np.array(velocities)


def enclosed_area(points: np.ndarray) -> float:
    """Return the area inside a closed curve ``(n, 2)``, by the shoelace formula.

    Examples
    --------
    >>> enclosed_area(np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]))
    1.0
    """
    x, y = points.T
    return abs(float(x[:-1] @ y[1:] - x[1:] @ y[:-1])) / 2


def _share(curve: str, kind: str, gain: float, chosen: np.ndarray) -> pd.DataFrame:
    """Return the share of the `chosen` networks at one gain, with its 95 % interval, as one row."""
    interval = stats.binomtest(int(chosen.sum()), chosen.size).proportion_ci(method="wilson")
    row = {"panel": "share", "curve": curve, "kind": kind, "x": gain, "y": chosen.mean()}
    return pd.DataFrame([row | {"low": interval.low, "high": interval.high}])


def _memories(kind: str, W: np.ndarray, drive: np.ndarray, device: str) -> list[pd.DataFrame]:
    """Return |v(t)| by the equation and as the Heaviside probe measures it on the RNN."""
    some = np.geomspace(0.1, EXAMPLE_TIME, 200)
    exact = simulate(W, drive, np.concatenate([[0.0], some])).velocity_equation[1:]
    measured = memory_function(
        tanh_network(W, drive, EXAMPLE_STEP),
        round(EXAMPLE_TIME / EXAMPLE_STEP),
        closed_form=False,
        device=device,
    )
    few = measured.sel(lag=np.geomspace(0.1, 0.99 * EXAMPLE_TIME, 25), method="nearest")
    return [
        _points("memory", kind, "theorem", some, np.linalg.norm(exact, axis=1)),
        _points("memory", kind, "measured", few.lag, few),
    ]


def tanh_network(W: np.ndarray, drive: np.ndarray, dt: float) -> RNN:
    """Return the tanh RNN whose output is its state h, with U = `drive`: its memory is |v(t)|₂.

    Parameters
    ----------
    W : numpy.ndarray, shape (m, m)
        Recurrent weight, per unit time.
    drive : numpy.ndarray, shape (m,)
        The input weight U.
    dt : float
        Length of Euler's steps.
    """
    m = len(W)
    model = RNN(m, output_size=m, activation="tanh", bias=False, dt=dt, dtype=torch.float64)
    values = {"recurrent_weight": W, "input_weight": drive[:, None], "output_weight": np.eye(m)}
    model.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()})
    return model


def _plane(grid: int) -> tuple[list[pd.DataFrame], dict[str, float]]:
    """Return the curves of the panel *plane*, and its numbers by label."""
    middles = (2 * np.arange(checks.positive_int("grid", grid)) + 1) / grid - 1  # of equal cells
    starts = np.stack(np.meshgrid(middles, middles), -1).reshape(-1, 2)
    W = np.array(PLANAR)
    size = np.linalg.norm(velocity_at(W, np.arctanh(starts), [PLANAR_TIME])[0], axis=-1)
    forgets = size < KEPT
    orbit = basin_boundary(W, samples=2001)
    curves = [
        _points("plane", "decays", "measured", *starts[forgets].T),
        _points("plane", "does not decay", "measured", *starts[~forgets].T),
        _points("plane", "orbit", "theorem", *orbit.points.T),
    ]
    facts = {
        "plane: share of the square that decays, orbit": enclosed_area(orbit.points) / 4,
        "plane: share of the square that decays, counted": float(forgets.mean()),
        "plane: period of the orbit": orbit.period,
    }
    for corner in CORNERS[::2]:
        for i, rate in enumerate(corner_rates(W, corner), 1):
            facts[f"plane: eigenvalue {i} at {corner}"] = float(rate) + 0.0  # no negative zero
    return curves, facts


def _points(panel: str, curve: str, kind: str, x: ArrayLike, y: ArrayLike) -> pd.DataFrame:
    """Return the rows of one curve, which has no intervals."""
    columns = {"panel": panel, "curve": curve, "kind": kind, "x": np.asarray(x), "y": np.asarray(y)}
    return pd.DataFrame(columns).assign(low=np.nan, high=np.nan)


def _message(facts: dict[str, float], gains: Sequence[float], times: Sequence[float]) -> str:
    last = max(times)
    shares = [facts[f"not decayed at t = {last:g}, g = {g:g}"] for g in (min(gains), max(gains))]
    return (
        f"Measured: at t = {last:g}, {shares[0]:.0%} of the random tanh networks still remember at gain "
        f"g = {min(gains):g} and {shares[1]:.0%} at g = {max(gains):g}; theorem: almost all do if W is not "
        f"Hurwitz. In the plane {facts['plane: share of the square that decays, orbit']:.1%} of the square "
        f"forgets (inside the orbit of period {facts['plane: period of the orbit']:.3g}; counted: "
        f"{facts['plane: share of the square that decays, counted']:.1%}), although both eigenvalues are −1."
    )


def plot(data: FigureData) -> Figure:
    """Draw shares against the gain, memories of three networks, and the plane: theory as lines."""
    panels = groups(data.table, "panel")
    with plotting.style():
        figure, (share, memory, plane) = plotting.canvas(3, height=4.9)
        _draw_shares(share, panels["share"])
        _draw_memories(memory, panels["memory"] if "memory" in panels else data.table.iloc[:0])
        _draw_plane(plane, panels["plane"])
    return figure


def _draw_shares(axis: Axes, table: pd.DataFrame) -> None:
    theorem = rows(table, kind="theorem")
    axis.plot(theorem.x, theorem.y, color="crimson", label="$W$ not Hurwitz: theorem")
    measured = groups(rows(table, kind="measured"), "curve")
    for name, (color, mark) in plotting.looks(measured).items():
        curve = measured[name]
        spread = [(curve.y - curve.low).clip(lower=0), (curve.high - curve.y).clip(lower=0)]
        axis.errorbar(curve.x, curve.y, spread, fmt=mark, color=color, capsize=2, label=f"measured, ${name}$")
    axis.axvline(1.0, color=plotting.INK, ls=":", lw=1.2, label=r"circular law, $m\to\infty$")
    axis.set(
        ylim=(-0.03, 1.03),
        xlabel=r"gain $g$ of $W=-1+gG/\sqrt{m}$",
        ylabel="share whose memory has not decayed",
        title="(a) How often",
    )
    _legend_below(axis)


def _draw_memories(axis: Axes, table: pd.DataFrame) -> None:
    for name, (color, mark) in plotting.looks(dict.fromkeys(table.curve)).items():
        theorem, measured = (rows(table, curve=name, kind=kind) for kind in ("theorem", "measured"))
        axis.plot(theorem.x, theorem.y, color=color)
        axis.plot(measured.x, measured.y, mark, color=color, label=f"$W$ {name}")
    axis.add_line(plotting.entry(r"$\dot v=(1-v^2)\circ Wv$"))
    axis.set(
        xscale="log",
        yscale="log",
        ylim=(1e-4, 10),
        xlabel="time $t$",
        ylabel=r"memory $|v(t)|_2$",
        title="(a) Memories, marks: probed RNN",
    )
    _legend_below(axis)


def _draw_plane(axis: Axes, table: pd.DataFrame) -> None:
    curves = groups(table, "curve")
    dark, _, light = plotting.order(3)
    for name, color in (("decays", dark), ("does not decay", light)):
        if name in curves:
            axis.plot(curves[name].x, curves[name].y, "s", color=color, ms=1.6, label=f"start that {name}")
    axis.plot(curves["orbit"].x, curves["orbit"].y, color="crimson", label="periodic orbit, repels")
    for corner in CORNERS:
        saddle = corner_rates(PLANAR, corner).max() > 0
        axis.plot(*corner, "X" if saddle else "o", color=plotting.INK, ms=9, clip_on=False, zorder=5)
    axis.add_line(plotting.entry("saddle, $-4$, $14$", marker="X", ls="", ms=9))
    axis.add_line(plotting.entry("slow corner, $-2$, $0$", marker="o", ls="", ms=9))
    axis.set(
        xlim=(-1.06, 1.06),
        ylim=(-1.06, 1.06),
        xticks=(-1, 0, 1),
        yticks=(-1, 0, 1),
        aspect="equal",
        xlabel="$v_1$",
        ylabel="$v_2$",
        title=r"(b) $W=[[1,1],[-4,-3]]$",
    )
    _legend_below(axis)


def _legend_below(axis: Axes) -> None:
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=1, fontsize=9.5)
