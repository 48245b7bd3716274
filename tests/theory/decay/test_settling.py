"""Whether another horizon would change the law of a curve, where the answer is known."""

import math

import numpy as np
import pytest

from curse_of_memory.theory.decay import decay, settling

T = np.arange(1000.0)
TWO = np.exp(-0.3 * T) + 0.05 * np.exp(-0.02 * T)


@pytest.mark.parametrize(
    ("curve", "last"),
    [
        (np.exp(-0.05 * T[:100]), 99),
        (np.exp(-0.05 * T[:400]), 399),
        ((1 + 0.1 * T) ** -1.1, 999),
        ((1 + T[:100]) ** -2.0, 99),
        (np.exp(-((T[:100] / 30) ** 2)), 99),
        (np.ones(100), 99),
        (np.r_[np.ones(10), np.zeros(20)], 29),
        (np.exp(-0.05 * T[:200]) * np.cos(T[:200]), 199),
    ],
)
def test_one_law_settles(curve, last):
    answer = settling(curve)
    assert answer.settled
    assert list(answer.fits)[-1] == last
    assert repr(answer.fits[float(last)]) == repr(decay(curve))  # NaN is not itself
    assert (
        answer.remark == f"settled: the same law up to lag {next(iter(answer.fits)):g} and up to lag {last}"
    )


@pytest.mark.parametrize("size", [30, 40, 50])
def test_a_fast_and_a_slow_mode_change_where_the_slow_one_takes_over(size):
    """They are equal at lag 10.7; a law of lag 50 to 100 is that of the slow one to 10⁻⁵."""
    answer = settling(TWO[:size])
    assert not answer.settled
    assert "measure longer" in answer.remark
    assert settling(TWO[:200]).settled
    assert settling(TWO[:200]).fits[199.0].rate == pytest.approx(0.02, rel=1e-6)


def test_the_remark_names_the_laws_and_how_far_each_held():
    curve = 0.8 ** T[:100] + 1e-4 * 0.98 ** T[:100]
    assert decay(curve[:50]).kind == "exponential"
    assert decay(curve).kind == "polynomial"
    told = settling(curve)
    assert told.remark.startswith(
        "the law changes from exponential (up to lag 49) to polynomial (up to lag 99)"
    )


def test_a_rate_that_moves_by_more_than_a_tenth_is_another_law():
    """A power that has not bent yet reads as an exponential, of a rate that falls."""
    curve = (1 + 0.01 * T[:80]) ** -3.0
    answer = settling(curve)
    rates = [fit.rate or math.nan for fit in answer.fits.values()]
    assert {fit.kind for fit in answer.fits.values()} == {"exponential"}
    assert rates[0] > 1.1 * rates[-1]
    assert not answer.settled
    assert answer.remark.startswith("the rate changes from ")


def test_a_curve_that_ends_in_noise_is_not_sent_further():
    noise = 2.5e-3 * np.random.default_rng(0).standard_normal(300)
    answer = settling(TWO[:300] + noise, noise_floor=2.5e-3)
    assert answer.in_noise
    assert not answer.settled
    assert answer.remark.endswith("measure in a higher precision")
    # ten floors above zero at lag 35, and no three floors later
    assert 30 <= max(answer.fits) < 55


def test_what_fell_to_nothing_must_stay_there_as_long():
    assert not settling(np.r_[np.ones(10), np.zeros(5)]).settled
    assert not settling(np.r_[np.ones(10), np.zeros(5)]).in_noise


@pytest.mark.parametrize("curve", [[1.0], [1.0, 0.5], np.random.default_rng(1).standard_normal(100)])
def test_nothing_settles_without_a_law(curve):
    answer = settling(curve)
    assert not answer.settled
    assert answer.remark == "no law is decided: measure longer"


def test_lags_are_in_units_of_time():
    assert list(settling(np.exp(-0.05 * T[:100]), dt=0.5).fits) == [24.5, 35.0, 49.5]
    assert settling(np.exp(-0.05 * T[:100]), dt=0.5).fits[49.5].rate == pytest.approx(0.1)
