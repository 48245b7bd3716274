"""Trainings of spans against the exact loss, its slope, and the end of the gradient flow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.papers.expire_span._descent import descended, ramp_sums
from curse_of_memory.theory.expiry import SpanLoss, learnt_span, safe_step, span_loss

EPS = np.finfo(float).eps
worths = st.lists(st.just(0.0) | st.floats(0.2, 2.0), min_size=2, max_size=20)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(w=worths, ramp=st.integers(1, 9), spans=st.lists(st.floats(0.0, 40.0), min_size=1, max_size=6))
def test_the_force_is_the_slope_of_the_loss(w, ramp, spans):
    loss = SpanLoss(np.array(w), ramp)
    np.testing.assert_allclose(
        ramp_sums(loss, np.array(spans))[0], -loss.slope(spans), rtol=64 * EPS, atol=1e-300
    )


@settings(derandomize=True, deadline=None, max_examples=25)
@given(w=worths, ramp=st.integers(1, 9), start=st.floats(0.1, 0.9))
def test_from_below_descent_ends_where_the_flow_does_and_never_beyond(w, ramp, start):
    loss = SpanLoss(np.array(w), ramp)
    for alpha in (0.0, 1e-3, 0.1):
        limit = learnt_span(loss, start, alpha)
        path = [float(descended(loss, start, alpha, steps=steps)) for steps in (1, 2, 5, 20)]
        if limit >= start:
            assert max(path) <= limit * (1 + 1e-12)
            assert float(descended(loss, start, alpha, steps=200)) == pytest.approx(limit, abs=1e-6)


def test_prices_and_starts_are_trainings_side_by_side():
    loss, prices = span_loss(np.exp(-0.05 * np.arange(400)), 16), [1e-1, 1e-3, 1e-5]
    together = descended(loss, 1.0, prices)
    apart = [float(descended(loss, 1.0, alpha)) for alpha in prices]
    np.testing.assert_allclose(together, apart, rtol=1e-12)
    np.testing.assert_allclose(together, [learnt_span(loss, 1.0, alpha) for alpha in prices], rtol=1e-9)


def test_nothing_on_the_ramp_leaves_the_price_alone():
    loss = span_loss([1.0, 1.0], 4)
    assert descended(loss, 30.0, steps=50) == 30
    assert descended(loss, 30.0, 0.5, steps=3) == pytest.approx(18, rel=1e-3)  # by a ramp a step
    assert descended(loss, 30.0, 0.5, steps=50) == 0
    assert descended(loss, 0.5, step=safe_step(loss), steps=500) == pytest.approx(1.0)
