"""Rows of modes: derivatives, and ranges that hold every value and are reached."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.theory.stability.error_rows import StepRows, TimeRows

EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=60)


def step_rows(n=12):
    weights, slopes = np.linspace(0.5, 2.0, n), np.linspace(1.0, 3.0, n - 1)
    return StepRows(1, np.arange(n, dtype=float), weights, slopes, np.zeros(2 * n - 1))


def time_rows():
    t = np.array([0.0, 0.1, 0.7, 2.0, 5.0, 11.0])
    return TimeRows(1, t, np.linspace(0.5, 2.0, 6), np.linspace(0.0, 3.0, 6), np.zeros(12))


def test_steps_are_powers_and_their_differences():
    z = 0.7
    (rows,) = step_rows(4).jet(np.array([z]))
    weights, slopes = np.linspace(0.5, 2.0, 4), np.linspace(1.0, 3.0, 3)
    powers = z ** np.arange(4)
    np.testing.assert_allclose(rows[0], [*(weights * powers), *(slopes * np.diff(powers))], rtol=8 * EPS)


def test_times_are_exponentials_and_their_derivatives():
    rows = time_rows()
    (found,) = rows.jet(np.array([-0.3]))
    e = np.exp(-0.3 * rows.nodes)
    expected = [*(rows.value_weights * e), *(rows.slope_weights * -0.3 * e)]
    np.testing.assert_allclose(found[0], expected, rtol=8 * EPS)


@pytest.mark.parametrize(("rows", "pole"), [(step_rows(), 0.8), (step_rows(), -0.6), (time_rows(), -0.4)])
@pytest.mark.parametrize("derivative", [1, 2])
def test_jets_are_derivatives(rows, pole, derivative):
    h = 1e-5
    ahead, behind = (rows.jet(np.array([pole + s * h]), derivative)[derivative - 1] for s in (1, -1))
    exact = rows.jet(np.array([pole]), derivative)[derivative]
    # central differences: h² of a third derivative of up to 11³, and rounding over h
    np.testing.assert_allclose((ahead - behind) / (2 * h), exact, rtol=0, atol=2e4 * h**2 + 1e3 * EPS / h)


@steady
@given(low=st.floats(-1.2, 1.2), width=st.floats(0.0, 1.5), discrete=st.booleans())
def test_ranges_hold_every_value_and_are_reached(low, width, discrete):
    rows = step_rows() if discrete else time_rows()
    inside = np.linspace(low, low + width, 801)
    values = rows.jet(inside[:, None], 2)
    ranges = rows.ranges(np.array([[low]]), np.array([[low + width]]), 2)
    for value, (least, largest) in zip(values, ranges, strict=True):
        size = 64 * EPS * np.abs(value).max()
        assert (value.min(0) >= least[0] - size).all()
        assert (value.max(0) <= largest[0] + size).all()
        # a dense sample comes within its spacing times the largest slope of an extremum
        near = (
            1e-3 * (width + 1) * (np.abs(rows.jet(inside[:, None], 2)[-1]).max() + np.abs(value).max() * 144)
        )
        assert (value.min(0) <= least[0] + near).all()
        assert (value.max(0) >= largest[0] - near).all()


def test_the_extremum_of_a_slope_inside_an_interval_is_found():
    # κ e^{κt} is least at κ = −1/t, where it is −1/(e t)
    rows = TimeRows(1, np.array([2.0]), np.ones(1), np.ones(1), np.zeros(2))
    ((least, _),) = rows.ranges(np.array([[-3.0]]), np.array([[-0.01]]), 0)
    assert least[0, 0, 1] == pytest.approx(-1 / (2 * np.e), rel=4 * EPS)


def test_an_overflow_is_an_infinite_norm():
    rows = step_rows()
    assert rows.norm(np.array([[np.nan, 1.0], [3.0, -4.0]])).tolist() == [np.inf, 7.0]
