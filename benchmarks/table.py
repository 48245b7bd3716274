"""The table: rows that were run, as Markdown."""

import datetime
import math
import os
import platform
import time
from collections.abc import Callable

import numba
import numpy as np
import torch

from benchmarks import forgetting, growth
from benchmarks.memory import peak
from benchmarks.peers import prepared
from benchmarks.remarks import of_others, of_peers
from benchmarks.rows import Row
from benchmarks.timing import TimeIsUp, measure_machine, take_turns, time_limit

COLUMNS = ("work", "plain way", "plain", "ours", "ratio (quartiles)", "goal", "reached", "bound", "at bound")
COLUMNS += ("remarks",)


class Table:
    """The table, row by row: it can be read at any time.

    Parameters
    ----------
    device : str
        cpu or cuda.
    budget : float
        Seconds for a row, about.
    small : bool
        Whether all work is as small as in tests, which tells nothing of speed.
    limit : float
        Seconds from now on after which no row is begun, and the one that runs is left.
    longest : float
        Seconds after which a row is left.
    """

    def __init__(
        self,
        device: str,
        budget: float,
        *,
        small: bool = False,
        limit: float = math.inf,
        longest: float = math.inf,
    ):
        self.device, self.budget, self.small = device, budget, small
        self._longest, self._end = longest, time.monotonic() + limit
        self.machine = measure_machine(device, 64 if small else 2048)
        self._lines: list[str] = []
        self._parts: list[str] = []
        self.failed: list[str] = []
        self.left: list[str] = []

    def add(self, row: Row) -> str:
        """Run a row, and return how it ended: in no time if there is none left."""
        return self._add(row.name, self._lines, lambda: _line(row, self))

    def add_growth(self) -> str:
        """Run the growth with the length of sequences."""
        return self._add("growth", self._parts, lambda: _growth(self.device, self.budget / 10))

    def add_growth_by_memories(self) -> str:
        """Run the growth with the number of memories."""
        budget = self.budget / 4
        return self._add("growth by memories", self._parts, lambda: _growth_by_memories(self.device, budget))

    def _add(self, name: str, where: list[str], make: Callable[[], str]) -> str:
        start = time.monotonic()
        try:
            with time_limit(min(self._end - start, self._longest)):
                where.append(make())
        except TimeIsUp:
            self.left.append(name)
            return f"left {time.monotonic() - start:.1f} s {name}"
        except Exception as error:  # the other rows are worth having
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            self.failed.append(f"{name}: {said}")
            return f"failed {time.monotonic() - start:.1f} s {name}: {said}"
        return f"done {time.monotonic() - start:.1f} s {name}"

    def text(self) -> str:
        """Return Markdown of what there is."""
        parts = [_title(self)]
        if self._lines:
            parts.append("\n".join([_cells(COLUMNS), _cells(["---"] * len(COLUMNS)), *self._lines]))
        parts += self._parts
        for what, names in (("Not reached in the time that there was", self.left), ("Failed", self.failed)):
            if names:
                parts.append(f"{what}:\n\n" + "\n".join(f"- {name}" for name in names))
        return "\n\n".join(parts) + "\n"


def _line(row: Row, table: "Table") -> str:
    machine, device, budget = table.machine, table.device, table.budget
    case = row.make(device, table.small)
    peers, missing = prepared(case.peers, torch.finfo(case.dtype).eps)
    ways = {name: peer.way for name, peer in peers.items()}
    timing = take_turns({"plain": case.plain, "ours": case.fast, **case.others, **ways}, budget, device)
    plain, ours = case.times * timing.seconds["plain"], timing.seconds["ours"]
    low, middle, high = case.times * timing.quartiles("ours")
    bound, shares = machine.bound(case), [middle / row.goal]
    remarks = [case.note, *of_others(row, case, timing, shares)]
    remarks += [*of_peers(peers, timing, bound, budget, device, shares), *missing]
    if row.memory and not table.small:
        memory = [peak(row.name, way, device) / 2**20 for way in ("plain", "fast")]
        remarks.append(
            f"peak memory {memory[0]:.0f} MB against {memory[1]:.0f} MB: {memory[0] / memory[1]:.1f}x"
        )
    goal = f"≥ {row.goal:g}x" + (f" of {row.against}" if row.against else "")
    goal += "".join(f", ≥ {ratio:g}x of {name}" for name, ratio in row.wanted.items())
    goal += ", ahead of each peer that does the same" if peers else ""
    cells = [
        row.name,
        row.plain,
        _seconds(plain),
        _seconds(ours),
        f"**{middle:.3g}** ({low:.3g} to {high:.3g})",
        goal,
        "yes" if min(shares) >= 1 else f"{min(shares):.0%}",
        _seconds(bound) if bound else "-",
        f"{bound / ours:.1%}" if bound else "-",
        "; ".join(remark for remark in remarks if remark),
    ]
    return _cells(cells)


def _cells(cells) -> str:
    return f"| {' | '.join(cells)} |"


def _growth(device: str, budget: float) -> str:
    names = " | ".join(f"T = {T:,}" for T in growth.LENGTHS)
    lines = [f"| growth | {names} | slope (log-log) | slope of the last two |", "|---" * 7 + "|"]
    for name, seconds, slope, last in growth.growth(device, budget):
        lines.append(f"| {name} | {' | '.join(map(_seconds, seconds))} | {slope:.2f} | {last:.2f} |")
    return "\n".join(lines)


def _growth_by_memories(device: str, budget: float) -> str:
    lines = [
        "| Expire-Span, forward+backward, by | smallest | | largest | slope (log-log) | goal |",
        "|---" * 6 + "|",
    ]
    for name, (goal, works) in forgetting.growing(device).items():
        ways = {f"{size:,}": work for size, work in works.items()}
        seconds = take_turns(ways, budget, device).seconds
        cells = [f"{size}: {_seconds(value)}" for size, value in seconds.items()]
        slope = growth.slope(list(works), list(seconds.values()))
        lines.append(_cells([name, *cells, f"{slope:.2f}", f"≤ {goal:g}"]))
    return "\n".join(lines)


def _title(table: Table) -> str:
    device, machine = table.device, table.machine
    cuda = device.startswith("cuda")
    what = torch.cuda.get_device_name() if cuda else f"{_processor()}, {os.cpu_count()} cores"
    speeds = ", ".join(f"{rate / 1e9:.0f} Gflop/s {str(dtype)[6:]}" for dtype, rate in machine.flops.items())
    small = " **All work is as small as in tests: times and ratios tell nothing.**" if table.small else ""
    load = "" if cuda or not hasattr(os, "getloadavg") else f" Load before: {os.getloadavg()[0]:.1f}."
    return (
        f"# {what}\n\n{datetime.date.today()}, torch {torch.__version__}, numba {numba.__version__}, numpy "
        f"{np.__version__}, Python {platform.python_version()}, {torch.get_num_threads()} threads."
        f"{load}{small}\n\n"
        f"Measured in the same run: products {speeds}; copies {machine.traffic / 1e9:.0f} GB/s. The bound is "
        "what the products and the memory traffic of the work take at these speeds. Ratio: plain over ours, "
        "median and quartiles of turns that alternate. float64 unless said."
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def _seconds(value: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value * 1e9:.2g} ns"
