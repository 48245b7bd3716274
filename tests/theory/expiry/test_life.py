"""Lives, reach and kernels of memories with spans against fractions, brute force, and attention in numpy."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.theory.expiry import (
    last_reached,
    life,
    mask,
    ramp_steps,
    reach,
    serves_next_step,
    span_kernel,
)

EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=100)
spans = st.floats(0.0, 40.0) | st.integers(0, 40).map(float) | st.floats(0.0, 1e-300, exclude_min=True)
ramps = st.integers(1, 20)


def exact_mask(s, e, R):
    """The trapezoid in rational numbers."""
    return min(Fraction(1), max(Fraction(0), 1 + (Fraction(e) - s) / R))


@steady
@given(e=spans, R=ramps)
def test_masks_lives_and_ramps_are_those_of_rational_numbers(e, R):
    ages = range(1, 70)
    exact = [exact_mask(s, e, R) for s in ages]
    found = mask(list(ages), e, R)
    # a difference and a ratio, each rounded once
    np.testing.assert_allclose(found, [float(m) for m in exact], rtol=2 * EPS, atol=5e-324)
    if e == 0 or e > 1e-290:  # a quotient by R below all floats is nothing
        assert [m > 0 for m in found] == [m > 0 for m in exact]
    assert life(e, R) == sum(m > 0 for m in exact)
    assert ramp_steps(e, R) == sum(0 < m < 1 for m in exact)
    assert serves_next_step(e, R) == (exact[0] > 0)
    assert sum(exact) == Fraction(e) + Fraction(R - 1, 2)


def test_a_mask_computed_the_other_way_empties_rows_at_a_ramp_of_one():
    tiny = 2.0**-54
    assert mask(1, tiny, 1) == tiny
    assert max(0.0, 1 + (tiny - 1) / 1) == 0
    assert life(tiny, 1) == 1


@steady
@given(R=ramps, below=st.floats(0.0, 30.0), above=st.floats(1e-9, 30.0))
def test_the_next_step_is_served_above_one_less_the_ramp_alone(R, below, above):
    assert not serves_next_step(1 - R - below, R)
    assert serves_next_step(1 - R + above, R)
    assert serves_next_step(0.0, R) == (R >= 2)


def spans_of(h, predictor, span):
    """Spans that react to the states with `predictor`, else fixed ones."""
    return span if predictor is None else span / (1 + np.exp(-(h @ predictor)))


def attention_stack(x, layers, R):
    """Residual layers of masked attention that do not see themselves; also the spans of each layer."""
    h, seen = x, []
    for Q, K, V, predictor, span in layers:
        e = np.broadcast_to(spans_of(h, predictor, span), len(h))
        seen.append(e)
        out = np.zeros_like(h)
        for t in range(1, len(h)):
            m = mask(np.arange(t, 0, -1), e[:t], R)
            score = np.exp(h[t] @ Q @ (h[:t] @ K).T) * m
            if m.any():
                # one memory after the other, so that zeros change no digit
                out[t] = sum(w * v for w, v in zip(score, h[:t] @ V, strict=True)) / sum(score)
        h = h + np.tanh(out)
    return h, np.array(seen)


def stack(rng, layers, spans, predicted):
    """Random weights of `layers` layers, with fixed or predicted spans."""
    maps = rng.normal(size=(layers, 3, 2, 2))
    return [
        (*maps[k], rng.normal(size=2) if predicted else None, spans[k] if not predicted else 5.0)
        for k in range(layers)
    ]


def last_changed(x, i, layers, R):
    """The last step whose answer changes, in any digit, with the input at step i; and the larger spans."""
    other = x.copy()
    other[i] += np.array([0.7, -0.4])
    one, two = (attention_stack(u, layers, R) for u in (x, other))
    return int(np.flatnonzero((one[0] != two[0]).any(-1)).max()), np.maximum(one[1], two[1])


@pytest.mark.parametrize(
    ("layers", "R", "steps"), [((2.0,), 3, 4), ((4.0, 2.5), 3, 11), ((4.0, 1.0, 2.5), 2, 11), ((0.5,), 3, 3)]
)
def test_constant_spans_reach_exactly_so_far(layers, R, steps):
    assert reach(layers, R) == steps
    rng = np.random.default_rng(0)
    x, net = rng.normal(size=(24, 2)), stack(rng, len(layers), layers, predicted=False)
    for i in (0, 3, 7):
        assert last_changed(x, i, net, R)[0] == i + steps


@pytest.mark.parametrize("seed", range(6))
def test_spans_of_every_step_reach_exactly_so_far(seed):
    rng = np.random.default_rng(seed)
    fixed, R = rng.uniform(0, 5, size=(3, 30)).round(1), int(rng.integers(1, 4))
    x, net = rng.normal(size=(30, 2)), stack(rng, 3, fixed, predicted=False)
    exact = last_reached(fixed, R)
    for i in (0, 4, 9, 28):
        assert last_changed(x, i, net, R)[0] == min(exact[i], 29)
        assert exact[i] - i <= reach(fixed, R)


@pytest.mark.parametrize("seed", range(6))
def test_spans_that_react_reach_no_farther_than_the_larger_ones_of_both_runs(seed):
    rng = np.random.default_rng(seed)
    x, net, R = rng.normal(size=(30, 2)), stack(rng, 2, (), predicted=True), 2
    for i in (0, 5, 11):
        last, larger = last_changed(x, i, net, R)
        exact = last_reached(larger, R)[i]
        assert i < last <= exact <= i + reach(larger, R)


def test_spans_of_one_run_do_not_bound_spans_that_react():
    """The changed input may ask to be kept for longer: only the larger span of both runs bounds its reach."""
    x = np.zeros((12, 2))
    x[0] = [-6.0, 0.0]
    net = [(np.zeros((2, 2)), np.zeros((2, 2)), np.eye(2), np.array([1.0, 0.0]), 5.0)]
    other = x.copy()
    other[0] = [6.0, 0.0]
    (one, few), (two, many) = (attention_stack(u, net, 1) for u in (x, other))
    last = np.flatnonzero((one != two).any(-1)).max()
    assert last == last_reached(np.maximum(few, many), 1)[0] == 5
    assert last_reached(few, 1)[0] == 1


def test_the_last_reached_step_is_that_of_a_product_of_relations():
    rng = np.random.default_rng(1)
    for _ in range(20):
        T, layers, R = 14, int(rng.integers(1, 4)), int(rng.integers(1, 4))
        e = rng.uniform(0, 4, size=(layers, T)).round(1)
        far = 40  # no end of the sequence in the way: memories beyond T write nothing
        known = np.eye(far, dtype=bool)
        for layer in e:
            step = np.eye(far, dtype=bool)
            for j, span in enumerate(layer):
                step[j + 1 : j + 1 + life(span, R), j] = True
            known = step @ known
        expected = [int(np.flatnonzero(known[:, i]).max()) for i in range(T)]
        assert last_reached(e, R).tolist() == expected


@pytest.mark.parametrize(("e", "R"), [(0.0, 2), (3.0, 1), (6.5, 4), (0.3, 1)])
def test_the_kernel_is_the_impulse_response_of_attention_with_equal_scores(e, R):
    horizon, start = 14, 20
    kernel = span_kernel(e, R, horizon).values
    impulse = np.zeros(start + horizon)
    impulse[start] = 1.0
    answers = [
        (m := mask(np.arange(t, 0, -1), e, R)) @ impulse[:t] / m.sum() for t in range(start, start + horizon)
    ]
    np.testing.assert_allclose(kernel, answers, rtol=8 * EPS, atol=0)
    assert np.count_nonzero(kernel) == life(e, R)
    assert math.isclose(kernel.sum(), 1.0, rel_tol=horizon * EPS)


def test_a_kernel_of_nobody_is_zero():
    assert not span_kernel(0.0, 1, 5).values.any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mask([0.5], 1.0, 2), "ages must be whole numbers"),
        (lambda: mask([-1.0], 1.0, 2), "ages must be in"),
        (lambda: mask([1.0], -1.0, 2), "spans must be in"),
        (lambda: life([math.nan], 2), "spans must be finite"),
        (lambda: life([2.0**60], 2), "spans must be in"),
        (lambda: life([1.0], 0), "ramp must be at least 1"),
        (lambda: reach([], 2), "spans must have at least one layer"),
        (lambda: last_reached([1.0], 2), "spans must have 2 dimension"),
        (lambda: span_kernel(-1.0, 2, 3), "span must not be negative"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("one", [4.0, "4", np.array(4.0)])
def test_one_span_is_no_list_of_layers(one):
    with pytest.raises(TypeError, match="spans must be a list"):
        reach(one, 2)
