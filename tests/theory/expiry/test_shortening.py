"""Mean masks of spans that are shortened at random, against quadrature, Monte Carlo and their sums."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from curse_of_memory.theory.expiry import (
    charge_gradient,
    life,
    mask,
    shortened_gradient,
    shortened_mask,
    shortened_span,
)

EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=60)
limits = st.floats(1.0, 40.0)
shares = st.floats(0.0, 1.0)
ramps = st.integers(1, 12)


@steady
@given(L=limits, share=shares, R=ramps, s=st.integers(0, 60))
def test_means_of_both_rules_are_integrals_over_the_limit(L, share, R, s):
    e = share * L
    kinks = sorted({x for x in (s - R, s, e) if 0 < x < L})
    soft, error = integrate.quad(lambda limit: mask(s, min(e, limit), R) / L, 0, L, points=kinks or None)
    # of an integrand that is piecewise linear quad is exact, but for what it says of itself
    assert shortened_mask(s, e, R, L) == pytest.approx(soft, abs=error + 20 * EPS)
    # of a step: the mask itself on the share of limits that reach the age
    sharp = mask(s, e, R) * max(0.0, L - s) / L
    assert shortened_mask(s, e, R, L, sharp=True) == pytest.approx(sharp, abs=4 * EPS)


def test_means_are_those_of_draws():
    """By Hoeffding, n draws of numbers in [0, 1] are off by t with a chance below 2 exp(−2 n t²)."""
    L, R, n = 64.0, 8, 20_000
    ages, spans = np.arange(1, 73), np.array([5.0, 20.3, 40.0, 64.0])[:, None]
    soft, sharp = np.zeros((2, len(spans), len(ages)))
    for limits in np.random.default_rng(1).uniform(0, L, (20, n // 20, 1, 1)):  # in pieces that are small
        soft += mask(ages, np.minimum(spans, limits), R).sum(0) / n
        sharp += mask(ages, spans, R) * (ages <= limits).sum(0) / n
    chance = 1e-6  # that any of all these means is farther off
    off = math.sqrt(math.log(2 * 2 * soft.size / chance) / (2 * n))
    assert off < 0.03
    np.testing.assert_allclose(soft, shortened_mask(ages, spans, R, L), rtol=0, atol=off)
    np.testing.assert_allclose(sharp, shortened_mask(ages, spans, R, L, sharp=True), rtol=0, atol=off)


@steady
@given(L=limits, share=shares, R=ramps)
def test_over_all_ages_a_mean_mask_has_the_mean_span(L, share, R):
    e = min(share * L, L)
    ages = np.arange(1, int(life(e, R)) + 2)
    total = shortened_mask(ages, e, R, L).sum()
    assert total == pytest.approx(shortened_span(e, L) + (R - 1) / 2, rel=1e-12)
    assert shortened_mask(ages[-1], e, R, L) == 0
    # never more than without, and never less than by the rule that cuts the mask with no ramp
    assert (shortened_mask(ages, e, R, L) <= mask(ages, e, R) + EPS).all()
    assert (shortened_mask(ages, e, R, L) >= shortened_mask(ages, e, R, L, sharp=True) - 4 * EPS).all()


def test_on_the_plateau_a_mean_mask_is_a_line():
    L, R = 100.0, 10
    ages = np.arange(R, 61)
    np.testing.assert_allclose(shortened_mask(ages, 60.0, R, L), 1 - (ages - R / 2) / L, rtol=1e-14)


def test_what_a_span_gains_and_what_it_costs_are_cut_alike():
    L, R, e, alpha, h = 50.0, 6, 20.25, 0.1, 1e-4
    ages = np.arange(1, 40)
    slopes = (shortened_mask(ages, e + h, R, L) - shortened_mask(ages, e - h, R, L)) / (2 * h)
    on_ramp = (ages > e) & (ages < e + R)
    # quadratic in e, of which a central difference is exact but for roundings of numbers up to one
    np.testing.assert_allclose(slopes, on_ramp * shortened_gradient(e, L) / R, rtol=0, atol=4 * EPS / h)
    # the public code charges what is left of a span; one that is cut is a number, and learns nothing
    limits = (np.arange(4000) + 0.5) * L / 4000
    costs = np.where(limits > e, charge_gradient(e, R, alpha), 0.0).mean()
    assert costs == pytest.approx(alpha * shortened_gradient(e, L), rel=1e-3)


def test_a_span_above_the_limit_is_refused():
    for refused in (
        lambda: shortened_mask(1, 5.5, 2, 5.0),
        lambda: shortened_span(5.5, 5.0),
        lambda: shortened_gradient([1.0, 5.5], 5.0),
    ):
        with pytest.raises(ValueError, match=r"spans must be at most max_span = 5, got 5\.5"):
            refused()
