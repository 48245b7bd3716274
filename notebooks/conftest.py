"""How pytest (nbval) runs the notebooks."""

import json
from pathlib import Path

import pytest

from curse_of_memory.tasks.data_files import available


def pytest_collectstart(collector):
    """Compare what the notebooks print and show; progress bars and warnings on stderr are no result."""
    if Path(collector.path).suffix == ".ipynb":
        collector.skip_compare += ("stderr",)


def pytest_collection_modifyitems(items):
    """Skip the notebooks whose data are not on this machine: tests download nothing."""
    missing = {}
    for item in items:
        if item.path.suffix != ".ipynb":
            continue
        if item.path not in missing:
            needs = json.loads(item.path.read_text(encoding="utf-8"))["metadata"].get("needs_data", [])
            try:
                missing[item.path] = [name for name in needs if not available(name)]
            except FileNotFoundError as error:
                raise pytest.UsageError(str(error)) from None
        if missing[item.path]:
            item.add_marker(pytest.mark.skip(reason=f"no data here: {', '.join(missing[item.path])}"))
