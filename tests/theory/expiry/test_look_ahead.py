"""Where learning of spans ends: closed forms against descent, a solver, and other parameterisations."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from curse_of_memory.theory.expiry import SpanLoss, blind_span, learnt_span, life, safe_step, span_loss

R = 16
steady = settings(derandomize=True, deadline=None, max_examples=50)
worths = st.lists(st.just(0.0) | st.floats(0.2, 2.0), min_size=2, max_size=30)


def gap(g, worth=1.0):
    """Uses at lags 1 to 20 and one at 20 + g."""
    rho = np.zeros(80)
    rho[1:21], rho[20 + g] = 1.0, worth
    return span_loss(rho, R)


def descend(loss, e, step, alpha=0.0, steps=4000):
    """All spans of gradient descent."""
    path = [e]
    for _ in range(steps):
        e = max(0.0, e - step * (float(loss.slope(e)) + alpha))
        path.append(e)
    return np.array(path)


@pytest.mark.parametrize("worth", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("g", [1, 2, 10, 14, 15, 16, 17, 30, 59])
def test_a_use_after_a_gap_is_learnt_below_a_ramp_and_never_from_there_on(g, worth):
    limit = 20.0 + g if g <= 15 else 20.0
    for start in (0.0, 5.0, 19.999):
        assert learnt_span(gap(g, worth), start) == limit
        assert blind_span([*range(1, 21), 20 + g], start, R) == limit
    assert (life(limit, R) >= 20 + g) == (g <= 15)


@pytest.mark.parametrize("g", [15, 16])
def test_small_steps_of_descent_end_there_however_many(g):
    loss = gap(g)
    path = descend(loss, 5.0, 0.99 * safe_step(loss))
    assert (np.diff(path) >= 0).all()
    if g == 15:
        assert path[-1] == pytest.approx(35.0, abs=1e-9)
    else:
        assert path.max() <= 20.0
        assert path[-1] == pytest.approx(20.0, abs=1e-9)


def test_large_steps_of_descent_may_jump_the_gap():
    loss = gap(16)
    assert descend(loss, 19.0, 1.5 * R**2).max() > 20
    assert descend(loss, 19.0, 1.5 * R**2)[-1] > 30


def test_a_use_beyond_the_gap_gives_no_gradient_at_all():
    near, far = gap(16), gap(59)
    e = np.linspace(0, 20, 401)
    np.testing.assert_array_equal(near.slope(e), far.slope(e))
    assert near.slope(20.0) == 0
    assert near.slope(20.0 + 1e-9) < 0  # a push, and it were learnt


@pytest.mark.parametrize("g", [15, 17])
def test_a_logistic_span_goes_the_same_way(g):
    """Flow of x in e = L σ̂(x), by a solver of scipy: other times, the same limits.

    With a gap of 16 the limit is where the far use comes in sight, and a rounding of the solver decides.
    """
    loss, L = gap(g), 100.0

    def velocity(_, x):
        share = 1 / (1 + np.exp(-x[0]))
        return [-float(loss.slope(L * share)) * L * share * (1 - share)]

    end = solve_ivp(velocity, (0, 300), [math.log(5 / 95)], method="LSODA", rtol=1e-9, atol=1e-9).y[0, -1]
    assert L / (1 + math.exp(-end)) == pytest.approx(learnt_span(loss, 5.0), abs=1e-3)


def test_variable_delays_are_the_cure():
    assert blind_span([60], 26.0, R) == 26
    assert blind_span(range(3, 201), 26.0, R) == 200
    assert blind_span(range(5, 201, 15), 0.0, R) == 200
    assert blind_span(range(5, 201, 16), 0.0, R) == 5
    assert blind_span([20], 5.0, R) == 20


@steady
@given(w=worths, ramp=st.integers(1, 9), start=st.integers(0, 240).map(lambda k: k / 8))
def test_without_a_price_both_limits_agree(w, ramp, start):
    limit = learnt_span(SpanLoss(np.array(w), ramp), start)
    uses = [s for s, worth in enumerate(w) if worth]
    assert limit == (blind_span(uses, start, ramp) if uses else start)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    w=worths,
    ramp=st.integers(1, 9),
    start=st.floats(0.0, 30.0).filter(lambda e: abs(e - round(e)) > 1e-3),
    alpha=st.just(0.0) | st.floats(0.01, 1.0),
)
def test_descent_ends_where_the_flow_does(w, ramp, start, alpha):
    loss = SpanLoss(np.array(w), ramp)
    limit, step = learnt_span(loss, start, alpha), min(0.99 * safe_step(loss), 100.0)
    path = descend(loss, start, step, alpha, steps=3000)
    way = np.sign(limit - start)
    assert (np.diff(path) * way >= -1e-12).all()
    assert ((limit - path) * way >= -1e-9).all()
    assert path[-1] == pytest.approx(limit, abs=1e-5)


@steady
@given(w=worths, ramp=st.integers(1, 9), start=st.floats(0.0, 30.0), alpha=st.floats(0.0, 1.0))
def test_the_limit_is_a_stationary_point_no_better_than_the_best(w, ramp, start, alpha):
    loss = SpanLoss(np.array(w), ramp)
    limit = learnt_span(loss, start, alpha)
    pull = float(loss.slope(limit)) + alpha
    assert abs(pull) < 1e-9 or (limit == 0 and pull > 0)
    assert float(loss.error(limit)) + alpha * limit >= loss.best(alpha).cost - 1e-9


def test_a_price_shortens_the_look_ahead():
    """The near uses hold the span where Σ (s − e) = αR²/2; from there the ramp sees less far."""
    alpha = 4 / R**2
    assert learnt_span(gap(14), 5.0, alpha) == pytest.approx(34 - 2)
    assert learnt_span(gap(15), 5.0, alpha) == pytest.approx(18.5)  # (19 − e) + (20 − e) = 2
    assert span_loss(np.eye(80)[35] + np.eye(80)[20], R).best(alpha).span == pytest.approx(33)


def test_nothing_used_leaves_the_span_where_it_is_unless_it_costs():
    loss = span_loss([1.0, 0.5], R)
    assert learnt_span(loss, 40.0) == 40
    assert learnt_span(loss, 40.0, alpha=1.0) == 0
    assert safe_step(span_loss(np.zeros(4), R)) == math.inf
    assert safe_step(span_loss([1.0], R)) == math.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: learnt_span(gap(3), -1.0), "start must not be negative"),
        (lambda: learnt_span(gap(3), 1.0, -1.0), "alpha must not be negative"),
        (lambda: blind_span([1.5], 1.0, 2), "uses must be whole numbers"),
        (lambda: blind_span([1], -1.0, 2), "start must not be negative"),
        (lambda: blind_span([1], 1.0, 0), "ramp must be at least 1"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_no_loss_is_refused():
    one: Any = 1.0
    for call in (lambda: learnt_span(one, 1.0), lambda: safe_step(one)):
        with pytest.raises(TypeError, match="loss must be a SpanLoss"):
            call()
