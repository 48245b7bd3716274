"""Which parts a run on a GPU has, in which order, and how long each may take."""

import sys
from pathlib import Path

from benchmarks.gpu.parts import Part, of_notebooks, of_rows, of_tests

ROOT = Path(__file__).parents[2]
RESERVE = 20.0  # seconds at the end, to tidy up and to pack what there is
SHARES = {"tests": 0.3, "benchmarks": 0.35, "notebooks": 1.0}
"""Parts in their order, and how much of the whole time each may take; the last takes what is left."""


def tests(device: str, limit: float, workers: int) -> Part:
    """Return the CUDA variants of the tests; on a CPU a few of their twins."""
    command = _python(f"pytest -v --numprocesses {workers} -m {device.split(':')[0]}")
    # what lacks a package is told, and the rest runs; what another torch warns of is no fault
    command += ["--continue-on-collection-errors", "-W", "default", "-p", "no:cacheprovider"]
    command += ["tests/measure/test_gradients.py" if device == "cpu" else "tests"]
    return Part("tests", command, limit, of_tests, {"OMP_NUM_THREADS": "1"})


def benchmarks(device: str, limit: float, folder: Path) -> Part:
    """Return the table, which is kept beside the others as far as it came; on a CPU one row in `folder`."""
    command = _python(f"benchmarks --device {device} --up-to {0.95 * limit:.0f}")
    small = ["--small", "--into", str(folder), "SSM layer, B 8"]
    return Part("benchmarks", command + (small if device == "cpu" else ["--quick"]), limit, of_rows)


def notebooks(device: str, limit: float, folder: Path) -> Part:
    """Return the notebooks at full scale that fit, cheapest first; on a CPU one, into `folder`."""
    command = _python(f"curse_of_memory figures --preset paper --timeout {max(1.0, limit):.0f}s")
    if device == "cpu":
        command += ["theory/reparameterizations", "--jobs", "1", "--out", str(folder / "figures")]
        command += ["-p", "device", "cpu"]
    else:  # every notebook takes the GPU that there is
        command += ["--up-to", f"{limit:.0f}s"]
    return Part("notebooks", command, limit, of_notebooks)


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", *module.split()]


def limit_of(name: str, whole: float, left: float) -> float:
    """Return the seconds that a part may take, when so many of the whole time are left.

    Examples
    --------
    >>> limit_of("tests", 540.0, 540.0), limit_of("benchmarks", 540.0, 500.0)
    (162.0, 189.0)
    >>> limit_of("notebooks", 540.0, 311.0)  # all that is left
    291.0
    >>> limit_of("benchmarks", 540.0, 100.0)  # the environment took its time
    80.0
    """
    return max(0.0, min(SHARES[name] * whole, left - RESERVE))
