"""Peak memory of one way of a row; of a CPU in a new process: ``python -m benchmarks.memory NAME WAY``."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.all_rows import ROWS

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak(name: str, way: str, device: str) -> float:
    """Return the bytes that a row's ``plain`` or ``fast`` way needs beyond its inputs; NaN if unknown."""
    if device.startswith("cuda"):  # torch counts: no process of its own is needed
        return _measure(name, way, device)
    if not RESET.exists():
        return float("nan")
    command = [sys.executable, "-m", "benchmarks.memory", name, way, device]
    # large blocks go back to the system as soon as they are free
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    root = Path(__file__).parents[1]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _resident(entry: str) -> int:
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return 1024 * int(lines[entry].split()[0])


def _measure(name: str, way: str, device: str) -> int:
    row = next(row for row in ROWS if row.name == name)
    getattr(row.make(device, True), way)()  # libraries take memory of their own at their first use
    work = getattr(row.make(device, False), way)
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    RESET.write_text("5")
    before = _resident("VmRSS")
    work()
    return _resident("VmHWM") - before


if __name__ == "__main__":
    print(_measure(*sys.argv[1:]))
