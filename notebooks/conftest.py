"""How pytest (nbval) runs the notebooks: as they stand, and compares what they print and show.

A notebook that has sizes under the preset ``tiny`` (`paper.yaml`) takes long as it stands. It runs at these,
and nothing is compared; with ``NOTEBOOKS=whole`` in the environment (``make notebooks``) it is as the others.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbval.kernel
import pytest
from nbval.plugin import IPyNbCell

from curse_of_memory.gallery.catalogue import read_catalogue
from curse_of_memory.gallery.fork_server import can_fork
from curse_of_memory.tasks.data_files import available
from curse_of_memory.tools.data_sources import REAL, STAND_IN
from tests.forks import ForkedManager

HERE = Path(__file__).parent
FIGURES = HERE.parent / "figures"
TINY, TINY_SECONDS = "tiny", 5.0


if can_fork():
    nbval.kernel.KernelManager = ForkedManager


def seconds(path: Path) -> float:
    """Return what the figure of a notebook took when it was made last; of one without a figure, for ever."""
    record = (FIGURES / path.relative_to(HERE)).with_suffix(".json")
    return json.loads(record.read_text())["seconds"] if record.exists() else float("inf")


def sets(item: IPyNbCell, values: Mapping[str, Any]) -> None:
    """Let the notebook of a cell have other values of some parameters."""
    if "parameters" in item.cell.metadata.get("tags", []):
        item.cell.source += "".join(f"\n{name} = {value!r}" for name, value in values.items())


def reads(item: IPyNbCell, source: str) -> None:
    """Let the notebook of a cell read real data or their stand-in, in place of what it finds.

    The committed outputs are those of the real data; of a cell with the tag ``real-data`` the stand-in need
    not show the same.
    """
    sets(item, {"data": source})
    if source == STAND_IN and "real-data" in item.cell.metadata.get("tags", []):
        item.options["check"] = False


def shrinks(item: IPyNbCell, sizes: Mapping[str, Any]) -> None:
    """Let the notebook of a cell have other sizes, of which the outputs it is committed with tell nothing."""
    item.options["check"] = False
    sets(item, sizes)


def tiny_sizes() -> Mapping[str, Mapping[str, Any]]:
    """Return the sizes, by notebook, of those that do not run as they stand.

    Raises
    ------
    pytest.UsageError
        If the environment asks for something else than whole notebooks.
    """
    if (asked := os.environ.get("NOTEBOOKS", "")) not in ("", "whole"):
        raise pytest.UsageError(f"NOTEBOOKS must be 'whole' or not set, got {asked!r}")
    return {} if asked else read_catalogue().presets.get(TINY, {})


def pytest_collectstart(collector):
    """Compare what the notebooks print and show; progress bars and warnings on stderr are no result."""
    if Path(collector.path).suffix == ".ipynb":
        collector.skip_compare += ("stderr",)


def pytest_collection_modifyitems(items):
    """Mark the notebooks, choose what they read, and put the longest ones first, after the types.

    Tests download nothing: a notebook whose data are not here runs on their stand-in. Processes that share
    the work end at about one time if what is left then is short.
    """
    notebooks = dict.fromkeys(item.path for item in items if item.path.suffix == ".ipynb")
    source, length, sizes = {}, {}, {}
    tiny = tiny_sizes() if notebooks else {}
    for path in notebooks:
        sizes[path] = tiny.get(path.relative_to(HERE).with_suffix("").as_posix(), {})
        needs = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("needs_data", [])
        try:
            if needs:
                source[path] = REAL if all(map(available, needs)) else STAND_IN
        except FileNotFoundError as error:
            raise pytest.UsageError(str(error)) from None
        length[path] = TINY_SECONDS if sizes[path] else seconds(path)
    for item in items:
        if item.path in notebooks:
            item.add_marker(pytest.mark.notebook)
            if item.path in source:
                reads(item, source[item.path])
            if sizes[item.path]:
                shrinks(item, sizes[item.path])
    length |= {item.path: float("inf") for item in items if item.path.name == "test_style.py"}
    items.sort(key=lambda item: -length.get(item.path, -1.0))
