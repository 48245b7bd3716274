"""How pytest (nbval) runs the notebooks."""

from pathlib import Path


def pytest_collectstart(collector):
    """Compare what the notebooks print and show; progress bars and warnings on stderr are no result."""
    if Path(collector.path).suffix == ".ipynb":
        collector.skip_compare += ("stderr",)
