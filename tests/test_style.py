"""Style, the law of imports and types are part of the tests."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def tool(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is not installed; it is in the extra 'test'"
    return found


# the tests themselves are left to `make types`: they would take as long again, and run besides
TYPED = ["curse_of_memory", "benchmarks", "docs/conf.py", "docs/generators"]
TOOLS = {
    "style": ["ruff", "check", "--no-cache", "."],
    "form": ["ruff", "format", "--no-cache", "--check", "."],
    "imports": ["lint-imports", "--no-cache"],
    "types": ["basedpyright", "--level", "error", "--pythonpath", sys.executable, *TYPED],
}
MARKS = {"types": pytest.mark.slow}


@pytest.mark.parametrize("what", [pytest.param(what, marks=MARKS.get(what, ())) for what in TOOLS])
def test_tools_have_nothing_to_say(what):
    name, *arguments = TOOLS[what]
    done = subprocess.run([tool(name), *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
