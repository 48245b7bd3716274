"""How pytest (nbval) runs the notebooks."""

import json
import multiprocessing
from pathlib import Path

import nbval.kernel
import pytest

from curse_of_memory.tasks.data_files import available
from tests.forked_kernels import ForkingManager

HERE = Path(__file__).parent
FIGURES = HERE.parent / "figures"


if "forkserver" in multiprocessing.get_all_start_methods():
    nbval.kernel.KernelManager = ForkingManager


def seconds(path: Path) -> float:
    """Return what the figure of a notebook took when it was made last; of one without a figure, for ever."""
    record = (FIGURES / path.relative_to(HERE)).with_suffix(".json")
    return json.loads(record.read_text())["seconds"] if record.exists() else float("inf")


def pytest_collectstart(collector):
    """Compare what the notebooks print and show; progress bars and warnings on stderr are no result."""
    if Path(collector.path).suffix == ".ipynb":
        collector.skip_compare += ("stderr",)


def pytest_collection_modifyitems(items):
    """Mark the notebooks, skip those whose data are not here, and put the longest ones first.

    Tests download nothing. Processes that share the work end at about one time if what is left then is short.
    """
    notebooks = dict.fromkeys(item.path for item in items if item.path.suffix == ".ipynb")
    missing, length = {}, {}
    for path in notebooks:
        needs = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("needs_data", [])
        try:
            missing[path] = [name for name in needs if not available(name)]
        except FileNotFoundError as error:
            raise pytest.UsageError(str(error)) from None
        length[path] = seconds(path)
    for item in items:
        if item.path in notebooks:
            item.add_marker(pytest.mark.notebook)
            if missing[item.path]:
                item.add_marker(pytest.mark.skip(reason=f"no data here: {', '.join(missing[item.path])}"))
    items.sort(key=lambda item: -length.get(item.path, -1.0))
