"""The memory bias of INTEREST against its closed form, and against the numbers of the paper's figure."""

import math

import numpy as np
import pandas as pd
import papermill
import pytest

from curse_of_memory.gallery.notebooks import find_root
from curse_of_memory.papers.interest import memory_bias
from curse_of_memory.report.reference_numbers import reference


def test_memory_bias_is_the_papers_curve():
    table = memory_bias.data().table
    merged = table.merge(reference("interest/memory_bias"), on=["p", "s"], suffixes=("", "_paper"))
    assert len(merged) == 6 * 64
    assert (merged.bias - merged.bias_paper).abs().max() < 1e-9


def test_memory_bias_notebook_under_papermill_from_another_directory(tmp_path, monkeypatch):
    notebook = find_root() / "notebooks" / "interest" / "memory_bias.ipynb"
    monkeypatch.chdir(tmp_path)
    papermill.execute_notebook(
        str(notebook),
        "out.ipynb",
        parameters={"horizon": 200, "powers": [0, 3], "output_dir": "somewhere"},
        kernel_name="python3",
        progress_bar=False,
    )
    table = pd.read_csv(tmp_path / "somewhere" / "memory_bias.csv")
    assert sorted(p.suffix for p in (tmp_path / "somewhere").iterdir()) == [".csv", ".json", ".pdf", ".png"]
    s = np.arange(200.0)
    for p in (0, 3):
        closed = 200.0 ** (p + 1) - s ** (p + 1)
        curve = table[table.p == p]
        assert (curve.s == s).all()
        assert np.abs(curve.bias.to_numpy() - closed / closed.sum()).max() < 1e-12 / 200


@pytest.mark.parametrize("powers", [[], [1, 1], [math.nan], [math.inf, "inf"]])
def test_powers_are_checked(powers):
    with pytest.raises(ValueError, match=r"^powers must "):
        memory_bias.data(powers=powers)


def test_axes_say_what_they_are():
    figure = memory_bias.plot(memory_bias.data())
    for axis in figure.axes:
        assert axis.get_xlabel()
        assert axis.get_ylabel()
        assert axis.lines
