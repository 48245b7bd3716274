"""What the picture of the worst case says, in numbers."""

import itertools

import numpy as np
import pytest

from curse_of_memory.papers.theory import stability_radius as figure
from curse_of_memory.report.reference_numbers import reference


@pytest.fixture(scope="module")
def data():
    return figure.data(widths=(2, 4), horizon=300, draws=40, budget=4)


def test_measured_draws_stay_below_the_certificate(data):
    seen = data.table[data.table.draws == 40]
    assert (seen.random <= seen.upper).all()
    assert (data.table.lower <= data.table.upper).all()


def test_the_bracket_is_narrow(data):
    assert 1 <= data.headline["upper over lower bound, at most"] < 1.3


def test_more_draws_see_more_and_never_all(data):
    share = figure.shares(data.table)
    assert (share.diff(axis=1).iloc[:, 1:] > 0).all(axis=None)
    assert (share < 1).all(axis=None)
    assert np.asarray(share[3]).max() < 0.8


def test_errors_that_no_float_can_square_are_infinite_and_no_share_of_anything():
    """Over a long horizon a direct W may grow: e^{0.1 t} at t = 4000 is 10^173, its square 10^347."""
    long = figure.data(widths=(2, 4), parameterizations=("direct",), horizon=4000, draws=12, budget=1)
    table = long.table
    assert np.isinf(table.loc[(table.m == 4) & (table.beta > 0.09)].random).all()
    finite = table.loc[np.isfinite(table.random)]
    assert (finite.random <= finite.upper).all()
    assert finite.beta.max() > 0.04
    assert (figure.shares(table) < 1).all(axis=None)


def test_all_matrices_do_worse_than_diagonal_ones(data):
    found = {label: value for label, value in data.headline.items() if "all W" in label}
    above = [value for label, value in found.items() if "above the worst diagonal" in label]
    wide = [value for label, value in found.items() if "to upper bound" in label]
    assert len(above) == len(wide) == 2
    assert 0 <= above[0] < above[1] < 20  # of two modes little is to be mixed
    assert all(0 <= value < 15 for value in wide)


def test_direct_crosses_far_before_softplus(data):
    at = data.headline["direct: E_2 and E_4 cross at β"]
    assert 0 < 3 * at < data.headline.get("softplus: E_2 and E_4 cross at β", np.inf)
    assert data.paper == {"direct: E_2 and E_4 cross at β": 0.113}


def test_the_plot_has_a_panel_per_parameterisation(data):
    drawn = figure.plot(data)
    assert [axis.get_title(loc="left").split(",")[0] for axis in drawn.axes[:2]] == ["direct", "softplus"]
    assert len(drawn.axes) == 3


def test_the_expected_largest_is_the_mean_over_choices():
    values = np.array([0.3, 5.0, 1.0, 2.0, 2.0])
    for count in range(1, 6):
        exact = np.mean([max(chosen) for chosen in itertools.combinations(values, count)])
        assert figure.expected_largest(values, count) == pytest.approx(exact, rel=1e-12)


def test_more_draws_than_there_are_cannot_be_chosen():
    with pytest.raises(ValueError, match="count must be at most the 3 values, got 4"):
        figure.expected_largest(np.ones(3), 4)


def test_the_authors_logs_are_running_maxima():
    for _, curve in reference("inverse_approximation/softplus_logs").groupby("m"):
        assert curve.sort_values("beta").error.is_monotonic_increasing
