"""INTEREST's figures against their closed forms."""

import math

import numpy as np
import pandas as pd
import papermill
import pytest

from curse_of_memory.gallery.notebooks import find_root
from curse_of_memory.papers.interest import head_tail_ratio, memory_bias, what_training_sees
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.theory import bias


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


def test_head_tail_ratio_estimates_have_honest_standard_errors():
    table = head_tail_ratio.data(horizons=(4, 32), samples=2000, seed=3).table
    closed = {p: (np.arange(1, 33.0) ** p).sum() / 32.0**p for p in (0, 1, 2, 10)}
    exact = table[table.horizon == 32].set_index("p").exact
    assert exact.to_dict() == pytest.approx(closed, rel=32 * np.finfo(float).eps)
    assert ((table.estimate - table.exact).abs() < 5 * table.standard_error).all()
    # a ratio of two means of squares of N(0, 1), the first over many steps: its relative standard
    # error is close to that of the second, sqrt(2 / samples)
    wide = table[(table.horizon == 32) & (table.p == 0)]
    assert float((wide.standard_error / wide.estimate).iloc[0]) == pytest.approx(math.sqrt(2 / 2000), rel=0.2)


def test_printed_ratios_are_set_beside_the_power_they_have_in_effect():
    found = head_tail_ratio.data(samples=10)
    label = "T = 1024, p = 1, weight inside the square"
    assert found.paper[label] == 254.68
    assert found.headline[label] == bias.power(2).head_tail_ratio(1024)


def test_three_ways_to_one_memory():
    table = what_training_sees.data(powers=(0, 10)).table
    scale = table.target.max()
    # Gauss-Newton stops at a relative change of 1e-12 of the loss, 1e-6 of the weights
    assert (table.exact - table.best).abs().max() < 1e-4 * scale
    # AdamW's last steps wander with the gradient noise: 0.7 % at most over three seeds and four powers
    assert (table.sampled - table.best).abs().max() < 0.02 * scale
    late = table[table.lag == 50].set_index("p")
    assert late.exact[10] > late.exact[0] > 0


@pytest.mark.parametrize("powers", [[], [1, 1], [math.nan], [math.inf, "inf"]])
def test_powers_are_checked(powers):
    with pytest.raises(ValueError, match=r"^powers must "):
        memory_bias.data(powers=powers)


@pytest.mark.parametrize("name", ["memory_bias", "head_tail_ratio", "what_training_sees"])
def test_axes_say_what_they_are(name):
    few = {"what_training_sees": {"powers": (0, 2), "steps": 2, "batch_size": 8}}.get(name, {})
    module = {"memory_bias": memory_bias, "head_tail_ratio": head_tail_ratio}.get(name, what_training_sees)
    figure = module.plot(module.data(**few))
    for axis in figure.axes:
        assert axis.get_xlabel()
        assert axis.get_ylabel()
        assert axis.lines
