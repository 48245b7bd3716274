"""Spans of kinds of memories at one level of worth against mpmath, other allocations and brute force."""

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.theory.expiry import (
    SpanLoss,
    exponential_kinds,
    exponential_span,
    kind_spans,
    largest_saving,
    span_loss,
)

findroot: Callable[..., Any] = mpmath.findroot  # mpmath has no types
steady = settings(derandomize=True, deadline=None, max_examples=60)
TIMES, SHARES = [100.0, 2.0], [0.05, 0.95]


@st.composite
def kinds(draw):
    """Time constants and shares of one to five kinds."""
    count = draw(st.integers(1, 5))
    tau = draw(st.lists(st.floats(0.5, 500.0), min_size=count, max_size=count))
    q = np.array(draw(st.lists(st.floats(0.01, 1.0), min_size=count, max_size=count)))
    return tau, q / q.sum()


def test_few_slow_memories_save_thirteen_and_a_half_to_fourteen_times():
    savings = [exponential_kinds(TIMES, SHARES, alpha).saving for alpha in (1e-2, 1e-3, 1e-4)]
    assert [round(s, 1) for s in (savings[0], savings[-1])] == [13.5, 14.0]
    assert savings == sorted(savings)
    assert round(largest_saving(TIMES, SHARES), 1) == 14.5


@pytest.mark.parametrize("alpha", [0.5, 1e-2, 1e-8])
def test_spans_are_at_one_level_and_the_window_has_their_error(alpha):
    found = exponential_kinds(TIMES, SHARES, alpha, variance=2.0)
    np.testing.assert_allclose(2 * np.exp(-2 * found.spans / TIMES), alpha, rtol=1e-9)
    assert found.spans.tolist() == [
        pytest.approx(exponential_span(1 / tau, alpha, variance=2.0)) for tau in TIMES
    ]
    assert found.memory == pytest.approx(float(np.dot(SHARES, found.spans)))

    def error(spans):
        return sum(q * tau * mpmath.exp(-2 * e / tau) for q, tau, e in zip(SHARES, TIMES, spans, strict=True))

    assert found.error == pytest.approx(float(error(found.spans)), rel=1e-9)
    root = findroot(lambda W: mpmath.log(error([W, W]) / found.error), found.window * 1.01)
    assert found.window == pytest.approx(float(root), rel=1e-9)


@steady
@given(kinds=kinds(), alpha=st.floats(1e-12, 0.99))
def test_no_window_needs_more_than_the_limit(kinds, alpha):
    tau, q = kinds
    found, limit = exponential_kinds(tau, q, alpha), largest_saving(tau, q)
    assert 1 - 1e-9 <= found.saving <= limit * (1 + 1e-9)


@steady
@given(kinds=kinds())
def test_the_limit_is_reached_by_cheap_memory(kinds):
    tau, q = kinds
    slow = int(np.argmax(tau))
    alpha = 1e-300
    least = 1 + math.log(q[slow] * tau[slow] / (q @ tau)) / -math.log(alpha)
    assert exponential_kinds(tau, q, alpha).saving >= largest_saving(tau, q) * least * (1 - 1e-9)


@steady
@given(
    worths=st.lists(st.lists(st.floats(0.0, 2.0), min_size=1, max_size=12), min_size=1, max_size=4),
    alpha=st.floats(0.0, 1.0),
    ramp=st.integers(1, 5),
    other=st.lists(st.floats(0.0, 14.0), min_size=4, max_size=4),
)
def test_no_other_spans_of_as_little_memory_have_less_error(worths, alpha, ramp, other):
    losses = [SpanLoss(np.array(w), ramp) for w in worths]
    q = np.full(len(losses), 1 / len(losses))
    found, spans = kind_spans(losses, q, alpha), np.array(other[: len(losses)])
    error = float(q @ [loss.error(e) for loss, e in zip(losses, spans, strict=True)])
    assert found.error + alpha * found.memory <= error + alpha * float(q @ spans) + 1e-12
    if q @ spans <= found.memory:
        assert error >= found.error - 1e-12
    # and one window is one of these other spans
    pooled = float(q @ [loss.error(found.window) for loss in losses])
    assert pooled == pytest.approx(found.error, abs=1e-9)
    assert alpha == 0 or found.window >= found.memory - 1e-9 / alpha


def test_whole_steps_tend_to_continuous_time():
    fine, alpha = 8, 1e-3
    lags = np.arange(500 * fine) / fine
    losses = [span_loss(np.exp(-lags / tau), ramp=1) for tau in TIMES]
    found, exact = kind_spans(losses, SHARES, alpha), exponential_kinds(TIMES, SHARES, alpha)
    np.testing.assert_allclose(found.spans / fine, exact.spans, atol=2 / fine)
    assert found.saving == pytest.approx(exact.saving, rel=0.05)


def test_kinds_that_are_worth_nothing_break_the_limit():
    """The limit is one of kernels of one height: what is not needed has no span, but fills a window."""
    lags = np.arange(2000)
    used, unused = (span_loss(height * np.exp(-lags / 100), ramp=1) for height in (1.0, 0.0))
    found = kind_spans([used, unused], SHARES, alpha=1e-4)
    assert largest_saving([100.0, 100.0], SHARES) == 1
    assert found.saving == pytest.approx(20, rel=1e-6)


def test_ends():
    dear = exponential_kinds(TIMES, SHARES, 2.0)
    assert (dear.memory, dear.window) == (0, 0)
    assert math.isnan(dear.saving)
    assert dear.error == pytest.approx((0.05 * 100 + 0.95 * 2) / 2)
    free = kind_spans([SpanLoss(np.eye(9)[3], 2), SpanLoss(np.eye(9)[8], 2)], [1.0, 0.0], 0.0)
    assert (free.spans.tolist(), free.window, free.error) == ([3, 8], 3, 0)
    assert exponential_kinds([5.0], [1.0], 0.1).saving == pytest.approx(1)
    # worths below all normal numbers are no reason to fail
    assert SpanLoss(np.array([0.0, 5e-324]), 1).best(1e-3).span == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: exponential_kinds([1.0, 2.0], [1.0], 0.1), "shares must be as many as times"),
        (lambda: exponential_kinds([1.0, -2.0], SHARES, 0.1), "times must be positive"),
        (lambda: exponential_kinds(TIMES, [0.5, 0.6], 0.1), "shares must not be negative and have the sum 1"),
        (lambda: exponential_kinds(TIMES, SHARES, 0.0), "alpha must be positive"),
        (lambda: largest_saving(TIMES, [1.0]), "shares must be as many as times"),
        (
            lambda: kind_spans([SpanLoss(np.ones(2), 1), SpanLoss(np.ones(2), 2)], SHARES, 0.1),
            "losses must have one ramp",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_no_list_of_losses_is_refused():
    loss, one = SpanLoss(np.ones(2), 1), [1.0, 2.0]
    bad: list[Any] = [loss, [loss], one]
    for losses in bad:
        with pytest.raises(TypeError, match="losses must be"):
            kind_spans(losses, SHARES, 0.1)
