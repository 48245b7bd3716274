"""Losses of errors at the first and the last lag: estimates, closed form, and printed numbers."""

import math

import numpy as np
import pytest

from curse_of_memory.papers.interest import head_tail_ratio
from curse_of_memory.theory import bias


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


def test_axes_say_what_they_are():
    figure = head_tail_ratio.plot(head_tail_ratio.data())
    for axis in figure.axes:
        assert axis.get_xlabel()
        assert axis.get_ylabel()
        assert axis.lines
