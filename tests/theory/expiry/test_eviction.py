"""The certificate of evictions against rational numbers; bounds of mass against scores that attain them."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.theory.expiry import (
    dropped_mass,
    evict,
    gate_threshold_mass,
    heavy_hitter_mass,
    mask,
    sink_mass,
    window_mass,
)

EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=80)


def softmax_mass(scores, dropped):
    """The weight of the dropped memories, from softmax."""
    w = np.exp(scores - scores.max())
    return w[dropped].sum() / w.sum()


@st.composite
def evictions(draw):
    """Whole weights, values of two channels, and a choice that keeps some weight."""
    n = draw(st.integers(1, 8))
    weights = draw(st.lists(st.integers(0, 50), min_size=n, max_size=n))
    values = [draw(st.lists(st.integers(-9, 9), min_size=2, max_size=2)) for _ in range(n)]
    kept = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    weights[0], kept[0] = max(weights[0], 1), True
    return weights, values, kept


@steady
@given(evictions())
def test_answer_mass_and_error_are_those_of_rational_numbers(case):
    weights, values, kept = case
    found = evict(weights, values, kept)

    def answer(chosen):
        total = sum(w for w, c in zip(weights, chosen, strict=True) if c)
        return [
            sum(Fraction(w * v[k], total) for w, v, c in zip(weights, values, chosen, strict=True) if c)
            for k in (0, 1)
        ]

    full, left = answer([True] * len(weights)), answer(kept)
    mass = Fraction(sum(w for w, c in zip(weights, kept, strict=True) if not c), sum(weights))
    np.testing.assert_allclose(found.answer, [float(x) for x in left], rtol=1e-13, atol=1e-13)
    assert found.mass == pytest.approx(float(mass), rel=16 * EPS)
    off = [a - b for a, b in zip(full, left, strict=True)]
    assert found.error == pytest.approx(math.hypot(*map(float, off)), rel=1e-12, abs=1e-13)
    assert found.error <= found.bound * (1 + 1e-12) + 1e-300
    if mass:  # δ |v̄ − o'|
        dropped = answer([not c for c in kept])
        apart = math.hypot(*(float(a - b) for a, b in zip(dropped, left, strict=True)))
        assert found.error == pytest.approx(float(mass) * apart, rel=1e-12, abs=1e-13)


@steady
@given(evictions())
def test_some_values_suffer_all_of_the_mass_that_was_dropped(case):
    """Lossless for all values iff δ = 0: values that tell dropped from kept are off by δ."""
    weights, _, kept = case
    values = np.where(kept, 0.0, 1.0)[:, None]
    found = evict(weights, values, kept)
    assert found.error == pytest.approx(float(found.mass), rel=16 * EPS)
    assert (found.error == 0) == (found.mass == 0)


def test_mass_that_agrees_with_the_rest_is_dropped_without_loss():
    found = evict([0.25, 0.25, 0.5], [[1.0], [1.0], [1.0]], [True, True, False])
    assert (float(found.mass), float(found.error), float(found.bound)) == (0.5, 0, 0)
    # nor need all values agree: their mean does
    found = evict([0.5, 0.25, 0.25], [[0.0], [1.0], [-1.0]], [True, False, False])
    assert found.error == 0
    assert found.bound == 0.5


def test_memories_that_have_expired_are_dropped_without_loss():
    rng = np.random.default_rng(0)
    ages, spans = np.arange(40, 0, -1), rng.uniform(0, 30, 40)
    m = mask(ages, spans, 4)
    found = evict(m * np.exp(rng.normal(size=(5, 40))), rng.normal(size=(40, 3)), m > 0)
    assert (m == 0).any()
    assert not found.mass.any()
    assert not found.error.any()
    assert not found.bound.any()
    assert found.answer.shape == (5, 3)


def test_rows_keep_what_they_choose():
    rng = np.random.default_rng(1)
    w, v = rng.uniform(size=(2, 3, 6)), rng.normal(size=(6, 2))
    kept = rng.uniform(size=(2, 3, 6)) < 0.6
    found = evict(w, v, kept)
    full = w / w.sum(-1, keepdims=True) @ v
    np.testing.assert_allclose(found.error, np.linalg.norm(full - found.answer, axis=-1), rtol=1e-12)
    one = evict(w[1, 2], v, kept[1, 2])
    assert found.mass[1, 2] == one.mass
    assert found.bound[1, 2] == one.bound


@steady
@given(
    n=st.integers(0, 30),
    gaps=st.lists(st.floats(-30, 30), min_size=1, max_size=10),
    data=st.data(),
)
def test_the_bound_of_mass_holds_and_is_attained(n, gaps, data):
    bound = dropped_mass(n, gaps)
    dropped = np.arange(n + len(gaps)) < n
    worst = np.concatenate([np.zeros(n), gaps])
    assert bound == pytest.approx(softmax_mass(worst, dropped), rel=1e-12)
    below = data.draw(st.lists(st.floats(0, 5), min_size=n + len(gaps), max_size=n + len(gaps)))
    other = worst + np.where(dropped, -1.0, 1.0) * below
    assert softmax_mass(other, dropped) <= bound * (1 + 1e-12)


@steady
@given(seed=st.integers(0, 10**6), N=st.integers(2, 40), W=st.integers(1, 40), delta=st.floats(0, 6))
def test_windows_sinks_and_heavy_hitters_keep_to_their_bounds(seed, N, W, delta):
    rng = np.random.default_rng(seed)
    scores, index = rng.uniform(0, delta, N), np.arange(N)
    old = index < N - W
    assert softmax_mass(scores, old) <= window_mass(N, W, delta) * (1 + 1e-12)
    k, gap = 1 + seed % 3, float(rng.uniform(-3, 6))
    sinks = np.where(index < k, delta + gap + rng.uniform(0, 1, N), scores)
    assert softmax_mass(sinks, old & (index >= k)) <= sink_mass(N, k, W, delta, gap) * (1 + 1e-12)
    light = np.argsort(np.argsort(-scores)) >= W
    assert softmax_mass(scores, light) <= heavy_hitter_mass(N, W) * (1 + 1e-12)
    moved = scores + rng.uniform(-0.5, 0.5, N)
    assert softmax_mass(moved, light) <= heavy_hitter_mass(N, W, drift=0.5) * (1 + 1e-12)


def test_the_bounds_of_the_rules_are_attained():
    old = np.arange(10) < 6
    worst = np.where(old, 3.0, 0.0)
    assert window_mass(10, 4, 3.0) == pytest.approx(softmax_mass(worst, old), rel=1e-13)
    assert heavy_hitter_mass(10, 4) == pytest.approx(softmax_mass(np.zeros(10), old), rel=1e-13)
    assert heavy_hitter_mass(10, 4, 0.5) == pytest.approx(
        softmax_mass(np.where(old, 0.5, -0.5), old), rel=1e-13
    )
    sinks = np.array([7.0, 7.0, *[3.0] * 6, 0.0, 0.0])
    dropped = (np.arange(10) >= 2) & (np.arange(10) < 8)
    assert sink_mass(10, 2, 2, 3.0, 4.0) == pytest.approx(softmax_mass(sinks, dropped), rel=1e-13)


def test_choice_by_past_weights_alone_bounds_nothing():
    """H2O keeps what past queries looked at: the present one may want what was dropped."""
    past, present = np.array([5.0, 0.0, 0.0]), np.array([-40.0, 0.0, 0.0])
    light = np.argsort(np.argsort(-past)) >= 1
    assert softmax_mass(present, light) > 1 - 1e-15
    assert softmax_mass(present, light) <= heavy_hitter_mass(3, 1, drift=22.5)


@steady
@given(seed=st.integers(0, 10**6), delta=st.floats(0, 4), log_threshold=st.floats(-20, -0.1))
def test_thresholds_of_forget_gates_keep_to_their_bound_and_lose_something(seed, delta, log_threshold):
    rng = np.random.default_rng(seed)
    gates = np.cumsum(np.append(0.0, np.log(rng.uniform(0.2, 1, 29))))
    dropped = gates < log_threshold
    mass = softmax_mass(gates + rng.uniform(0, delta, 30), dropped)
    bound = gate_threshold_mass(int(dropped.sum()), log_threshold, gates[~dropped], delta)
    assert mass <= bound * (1 + 1e-12)
    assert (mass > 0) == dropped.any()


def test_the_bound_of_a_threshold_is_approached():
    log_threshold, delta, F = -6.0, 1.5, np.array([0.0, -0.5, -2.0])
    scores = np.concatenate([np.full(9, log_threshold - 1e-12 + delta), F])
    bound = gate_threshold_mass(9, log_threshold, F, delta)
    assert softmax_mass(scores, np.arange(12) < 9) == pytest.approx(bound, rel=1e-10)
    assert bound == pytest.approx(9 * math.exp(-6 + 1.5) / np.exp(F).sum(), rel=0.1)


def test_nothing_dropped_loses_nothing_and_gaps_may_be_of_any_size():
    assert window_mass(5, 9, 2.0) == heavy_hitter_mass(3, 3) == sink_mass(3, 2, 4, 1.0, 0.0) == 0
    assert gate_threshold_mass(0, -1.0, [0.0], 1.0) == 0
    assert dropped_mass(3, [1e4]) == 0
    assert dropped_mass(3, [-1e4]) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evict([1.0, 2.0], [[1.0]], [True]), "weights must have one for each of 1 values"),
        (lambda: evict([1.0], [[1.0]], [True, False]), "kept must have the shape of weights"),
        (lambda: evict([1.0, -1.0], [[1.0], [2.0]], [True, True]), "weights must not be negative"),
        (lambda: evict([1.0, 0.0], [[1.0], [2.0]], [False, True]), "kept must hold some weight"),
        (lambda: evict([1.0, math.nan], [[1.0], [2.0]], [True, True]), "weights must be finite"),
        (lambda: dropped_mass(-1, [0.0]), "dropped must not be negative"),
        (lambda: dropped_mass(1, []), "gaps must not be empty"),
        (lambda: window_mass(4, 0, 1.0), "window must be at least 1"),
        (lambda: window_mass(4, 1, -1.0), "score_range must not be negative"),
        (lambda: gate_threshold_mass(1, 0.5, [0.0], 1.0), "log_threshold must not be positive"),
        (lambda: gate_threshold_mass(1, -0.5, [-1.0], 1.0), "kept_log_gates must be in"),
        (lambda: heavy_hitter_mass(4, 1, -1.0), "drift must not be negative"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_numbers_are_no_choice():
    kept: Any = [1, 0]
    with pytest.raises(TypeError, match="kept must be True or False"):
        evict([1.0, 2.0], [[1.0], [2.0]], kept)
