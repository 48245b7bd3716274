"""Names of torch and numba that nobody promises: the versions that were tried, and what if one is gone."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import llvmlite
import numba
import pytest
import torch

ROOT = Path(__file__).parents[2]
NN = ROOT / "curse_of_memory" / "nn"
FILES = {
    "torch": NN / "_torch_private.py",
    "numba": NN / "recurrence" / "compiled" / "_numba_private.py",
    "llvmlite": NN / "recurrence" / "compiled" / "_numba_private.py",
}
INSTALLED = {"torch": torch, "numba": numba, "llvmlite": llvmlite}
GONE = {
    "torch": (
        "import torch; del torch._C._functorch.is_functorch_wrapped_tensor",
        r"curse_of_memory was tried with torch up to 2\.13, and torch \S+ has no torch\._C\._functorch",
    ),
    "numba": (
        "import numba.core.caching as caching; del caching._Cache",
        r"curse_of_memory was tried with numba up to 0\.68, and in \S+: .*_Cache",
    ),
}


def minor(version: str) -> tuple[int, int]:
    first, second = version.split(".")[:2]
    return int(first), int(second)


@pytest.mark.parametrize("name", FILES)
def test_the_ceiling_is_the_version_after_the_one_that_was_tried(name):
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (bound,) = [d for d in dependencies if re.match(rf"{name}\b", d)]
    below = re.search(r"<(\d+\.\d+)", bound)
    tried = re.search(rf"{name} (\d+\.\d+)", FILES[name].read_text())
    assert below is not None
    assert tried is not None
    major, number = minor(tried[1])
    assert minor(below[1]) == (major, number + 1)
    assert minor(INSTALLED[name].__version__) <= (major, number)


@pytest.mark.slow
@pytest.mark.parametrize("name", GONE)
def test_a_name_that_is_gone_is_told_in_one_line_when_layers_are_imported(name):
    without, message = GONE[name]
    code = f"{without}\ntry:\n    import curse_of_memory.nn\nexcept ImportError as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(message + ".*", done.stdout.strip())
