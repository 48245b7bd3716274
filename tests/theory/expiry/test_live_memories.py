"""The queue of live memories against mpmath, all outcomes of small ones, and simulations."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.theory.expiry import LiveMemories, LogitNormalSpans, life, live_memories

EPS = np.finfo(float).eps
MEAN, STD, L, R = -1.2, 1.5, 200.0, 16
SPANS = LogitNormalSpans(MEAN, STD, L)
ALIVE = live_memories(SPANS.exceeds, max_span=L, ramp=R)


def test_the_numbers_of_logit_normal_spans():
    assert round(ALIVE.mean, 3) == 75.125
    assert round(ALIVE.variance, 2) == 26.45
    assert round(ALIVE.largest(32), 3) == 85.876


def test_chances_agree_with_mpmath():
    for x in (0.0, 1e-6, 1.0, 46.3, 150.0, 199.0, 199.999999, 200.0):
        with mpmath.workdps(50):  # near 200 a float of x/200 has lost most digits of what is missing to one
            share = mpmath.mpf(x) / 200
            logit = mpmath.log(share / (1 - share)) if 0 < x < 200 else mpmath.inf * (1 if x else -1)
            exact = mpmath.ncdf((MEAN - logit) / STD)
        assert SPANS.exceeds(x) == pytest.approx(float(exact), rel=1e-13, abs=1e-300)
    assert SPANS.exceeds([-1.0, 201.0]).tolist() == [1, 0]


def test_moments_are_sums_of_mpmath():
    chance = [mpmath.ncdf((MEAN - mpmath.log(k / (200 - mpmath.mpf(k)))) / STD) for k in range(1, 200)]
    chance = [mpmath.mpf(1)] * R + chance
    assert ALIVE.mean == pytest.approx(float(sum(chance)), rel=1e-13)
    assert ALIVE.variance == pytest.approx(float(sum(p * (1 - p) for p in chance)), rel=1e-12)


def test_the_mean_is_the_mean_life():
    """Little's law: one arrival a step, so the mean number is the mean life."""
    k = np.arange(0.0, 201.0)
    chance = SPANS.exceeds(k[:-1]) - SPANS.exceeds(k[1:])  # P(k < e <= k + 1)
    assert ALIVE.mean == pytest.approx(chance @ life(k[1:], R), rel=1e-12)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(chances=st.lists(st.floats(0, 1) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=7))
def test_the_law_is_that_of_all_outcomes(chances):
    expected = np.zeros(len(chances) + 1)
    for outcome in itertools.product([0, 1], repeat=len(chances)):
        expected[sum(outcome)] += math.prod(p if o else 1 - p for p, o in zip(chances, outcome, strict=True))
    alive = LiveMemories(np.sort(chances)[::-1])
    np.testing.assert_allclose(alive.law, expected, rtol=64 * EPS, atol=1e-300)
    n = np.arange(len(chances) + 1)
    assert alive.mean == pytest.approx(alive.law @ n, rel=64 * EPS, abs=1e-300)
    assert alive.variance == pytest.approx(alive.law @ (n - alive.mean) ** 2, rel=1e-9, abs=1e-14)


def test_far_tails_of_the_law_keep_their_digits():
    alive = LiveMemories(np.full(60, 0.01))
    exact = [
        mpmath.binomial(60, n) * mpmath.mpf(0.01) ** n * (1 - mpmath.mpf(0.01)) ** (60 - n) for n in range(61)
    ]
    np.testing.assert_allclose(alive.law, [float(p) for p in exact], rtol=60 * 4 * EPS)


def test_the_largest_of_a_batch_is_that_of_all_pairs():
    alive = LiveMemories(np.array([1.0, 0.9, 0.5, 0.2]))
    law = alive.law
    pairs = sum(law[i] * law[j] * max(i, j) for i in range(5) for j in range(5))
    assert alive.largest(2) == pytest.approx(pairs, rel=32 * EPS)
    assert alive.largest(1) == pytest.approx(alive.mean, rel=32 * EPS)
    assert alive.largest(10**9) == pytest.approx(4.0, rel=32 * EPS)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(batch=st.integers(1, 200))
def test_the_largest_grows_with_the_batch_and_within_its_bound(batch):
    assert ALIVE.largest(batch) < ALIVE.largest(batch + 1)
    # of any variables of one mean and variance: (B − 1)/√(2B − 1) standard deviations at most
    assert (
        ALIVE.largest(batch)
        <= ALIVE.mean + math.sqrt(ALIVE.variance) * (batch - 1) / math.sqrt(2 * batch - 1) + 1e-9
    )


def simulated(queries, seed):
    """Live memories counted at each of `queries` independent queries, from spans that are drawn."""
    h = np.random.default_rng(seed).normal(MEAN, STD, size=(queries, int(L) + R))
    lives = life(L / (1 + np.exp(-h)), R)
    return (lives >= np.arange(1, h.shape[1] + 1)).sum(1)


def test_a_simulated_queue_has_this_mean_variance_and_law():
    counts = simulated(40_000, seed=0)
    # five standard errors: σ/√n of a mean, and about σ²√(2/n) of a variance
    assert abs(counts.mean() - ALIVE.mean) < 5 * math.sqrt(ALIVE.variance / counts.size)
    assert abs(counts.var() - ALIVE.variance) < 5 * ALIVE.variance * math.sqrt(2 / counts.size)
    below = np.cumsum(ALIVE.law)
    shares = np.array([(counts <= n).mean() for n in range(below.size)])
    # of the largest gap more than 1.95/√n has a chance of 0.1 % (Kolmogorov)
    assert np.abs(shares - below).max() < 1.95 / math.sqrt(counts.size)


def test_the_fullest_simulated_row_of_a_batch_has_this_mean():
    fullest = simulated(32 * 1_500, seed=1).reshape(-1, 32).max(1)
    error = fullest.std() / math.sqrt(fullest.size)
    assert error < 0.08
    assert abs(fullest.mean() - ALIVE.largest(32)) < 5 * error


def test_the_simulation_converges_at_the_monte_carlo_rate():
    def root_mean_square(queries):
        off = [simulated(queries, seed).mean() - ALIVE.mean for seed in range(40)]
        return math.sqrt(np.mean(np.square(off)))

    # 25 times the queries, a fifth of the error; 40 repeats know each to about 1/√80 = 11 %
    assert root_mean_square(20) / root_mean_square(500) == pytest.approx(5.0, rel=0.5)


def test_dependent_spans_have_this_mean_and_another_variance():
    rng = np.random.default_rng(2)
    h = np.repeat(rng.normal(MEAN, STD, size=(4000, 1)), int(L) + R, axis=1)  # one span for all memories
    counts = (life(L / (1 + np.exp(-h)), R) >= np.arange(1, h.shape[1] + 1)).sum(1)
    assert abs(counts.mean() - ALIVE.mean) < 5 * counts.std() / math.sqrt(4000)
    assert counts.var() > 50 * ALIVE.variance


def test_measured_spans_give_their_share():
    spans = np.array([3.0, 5.5, 0.2])
    alive = live_memories(lambda x: (spans[:, None] > x).mean(0), max_span=6.0, ramp=2)
    assert alive.mean == pytest.approx(life(spans, 2).mean(), rel=16 * EPS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LogitNormalSpans(0.0, 0.0, 5.0), "std must be positive"),
        (lambda: LogitNormalSpans(0.0, 1.0, -5.0), "max_span must be positive"),
        (lambda: live_memories(lambda x: x, 5.0, 2), "exceeds must return chances"),
        (lambda: live_memories(lambda x: 0.5, 5.0, 2), "exceeds must have 1 dimension"),
        (lambda: live_memories(SPANS.exceeds, 1e300, 2), "max_span must be at most 1e"),
        (lambda: live_memories(SPANS.exceeds, 5.0, 0), "ramp must be at least 1"),
        (lambda: ALIVE.largest(0), "batch must be at least 1"),
        (lambda: SPANS.exceeds(math.nan), "spans must be finite"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
