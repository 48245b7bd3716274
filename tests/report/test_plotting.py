"""The kinds of curve: what is theory is a line, what is measured has marks."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb

from curse_of_memory.report import plotting


@pytest.fixture
def axis():
    with plotting.style():
        _, (axis,) = plotting.canvas()
        yield axis
    plt.close("all")


X = np.arange(4.0)
LOOK = plotting.distinct(2)[1]


def shade(axis):
    """Corners of the only band."""
    (band,) = (c for c in axis.collections if isinstance(c, PolyCollection))
    return np.asarray(band.get_paths()[0].vertices)


def test_looks_differ_in_mark_and_lightness():
    looks = plotting.looks("abcdefg")
    assert list(looks) == list("abcdefg")
    assert len({look.mark for look in looks.values()}) == 7
    lightness = [np.dot(to_rgb(look.color), [0.2126, 0.7152, 0.0722]) for look in looks.values()]
    assert (np.diff(lightness) > 0.03).all()


def test_no_names_have_no_looks():
    assert plotting.looks([]) == {}


def test_theory_is_a_line_and_a_measurement_marks(axis):
    plotting.theory_and_measured(axis, (X, X**2), (X[::2], X[::2]), LOOK, label="seen")
    line, marks = axis.lines
    assert (line.get_linestyle(), line.get_marker()) == ("-", "None")
    assert (marks.get_linestyle(), marks.get_marker()) == ("None", LOOK.mark)
    assert line.get_color() == marks.get_color() == LOOK.color
    assert marks.get_markersize() == plt.rcParams["lines.markersize"]
    np.testing.assert_array_equal(line.get_xydata(), np.stack([X, X**2], 1))
    np.testing.assert_array_equal(marks.get_xdata(), X[::2])
    assert axis.get_legend_handles_labels()[1] == ["seen"]


def test_marks_are_joined_or_hollow_when_asked(axis):
    line = plotting.measured(axis, X, X, LOOK, joined=":", hollow=True, ms=9)
    assert (line.get_linestyle(), line.get_markerfacecolor(), line.get_markersize()) == (":", "none", 9)


@pytest.mark.parametrize(
    ("middle", "curve"), [("median", [2, 4]), ("mean", [7 / 3, 14 / 3]), ("geometric mean", [2, 4])]
)
def test_runs_are_a_middle_and_a_range(axis, middle, curve):
    plotting.over_seeds(axis, [0, 1], [[1, 2], [2, 4], [4, 8]], LOOK, middle=middle)
    np.testing.assert_allclose(axis.lines[0].get_ydata(), curve)
    corners = shade(axis)
    for x, low, high in ((0, 1, 4), (1, 2, 8)):
        at = corners[corners[:, 0] == x, 1]
        assert (at.min(), at.max()) == (low, high)


def test_a_run_that_ended_early_is_left_out_where_it_has_no_number(axis):
    plotting.over_seeds(axis, [0, 1], [[1.0, np.nan], [3.0, 5.0]], LOOK)
    np.testing.assert_allclose(axis.lines[0].get_ydata(), [2, 5])


def test_an_unknown_middle_is_refused(axis):
    with pytest.raises(ValueError, match="middle must be one of"):
        plotting.over_seeds(axis, X, [X], LOOK, middle="mode")


def test_bars_are_as_long_as_the_error(axis):
    plotting.error_bars(axis, X, X, 0.5 + 0 * X, LOOK, label="measured")
    (bars,) = axis.containers
    ends = np.array(bars.lines[2][0].get_segments())[:, :, 1]
    np.testing.assert_allclose(ends, np.stack([X - 0.5, X + 0.5], 1))


def test_an_entry_stands_in_the_legend_in_its_place_and_moves_nothing(axis):
    plotting.theory(axis, X, X, label="first")
    axis.add_line(plotting.entry("second", marker="o", ls=""))
    plotting.measured(axis, X, 2 * X, LOOK, label="third")
    before = axis.get_xlim()
    assert axis.get_legend_handles_labels()[1] == ["first", "second", "third"]
    axis.add_line(plotting.entry("fourth"))
    axis.autoscale_view()
    assert axis.get_xlim() == before


def test_a_joined_legend_names_each_curve_once():
    with plotting.style():
        figure, axes = plotting.canvas(2)
        for axis, names in zip(axes, ("ab", "bc"), strict=True):
            for name in names:
                plotting.theory(axis, X, X, label=name)
        plotting.joined_legend(figure, axes, ncols=3)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "c"]
    plt.close("all")


@pytest.mark.parametrize("title", ["", "A title"])
def test_a_stand_in_is_written_above_the_figure(title):
    with plotting.style():
        figure, _ = plotting.canvas()
        figure.suptitle(title)
        plotting.say_stand_in(figure, "")
        assert figure.get_suptitle() == title
        plotting.say_stand_in(figure, "digits, in place of MNIST")
    assert figure.get_suptitle().splitlines() == [
        *([title] if title else []),
        "Stand-in data: digits, in place of MNIST",
    ]
    plt.close("all")


@pytest.mark.parametrize(("rows", "shape"), [(1, (3,)), (2, (2, 3))])
def test_a_canvas_is_a_row_or_a_grid(rows, shape):
    with plotting.style():
        _, axes = plotting.canvas(3, rows)
    assert axes.shape == shape
    plt.close("all")
