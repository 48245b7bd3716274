"""Shares of steps and effective steps: by loops, by their limit, and as the variance of a mean."""

import numpy as np
import pytest
import sympy

from curse_of_memory.theory import bias

EPS = np.finfo(float).eps


@pytest.mark.parametrize("p", [0, 0.5, 1, 2, 10])
def test_effective_steps_reach_their_limit(p):
    """T(2p + 1)/(p + 1)² up to a few p + 1 steps, which are those of sums for integrals."""
    for horizon in (100, 10_000):
        limit = horizon * (2 * p + 1) / (p + 1) ** 2
        assert abs(bias.effective_steps(bias.power(p), horizon) - limit) < 1 + p


@pytest.mark.parametrize("p", [1, 2, 3])
def test_effective_steps_are_those_of_faulhabers_sums(p):
    t, T = sympy.symbols("t T", positive=True, integer=True)
    above, below = (sympy.lambdify(T, sympy.summation(t**power, (t, 1, T))) for power in (p, 2 * p))
    for horizon in (1, 7, 50):
        found = bias.effective_steps(bias.power(p), horizon)
        assert found == pytest.approx(above(horizon) ** 2 / below(horizon), rel=50 * EPS)


def test_a_weighted_mean_has_the_variance_of_a_mean_over_the_effective_steps():
    weight, horizon, draws = bias.power(2), 20, 200_000
    errors = np.random.default_rng(0).standard_normal((draws, horizon))
    means = errors @ weight.weights(horizon, unit_mean=True) / horizon
    # the variance of so many draws is off by √(2/draws) of itself; five times that
    expected = 1 / bias.effective_steps(weight, horizon)
    assert means.var() == pytest.approx(expected, rel=5 * np.sqrt(2 / draws))


@pytest.mark.parametrize("p", [-1, 0, 1, 2, np.inf])
def test_shares_are_those_of_a_loop(p):
    lengths = [3, 1, 5, 3, 2]
    expected = np.zeros(5)
    for length in lengths:
        w = (np.arange(1.0, length + 1) / length) ** p
        for t in range(length):
            expected[t] += w[t] * length / w.sum() / sum(lengths)
    shares = bias.step_shares(bias.power(p), lengths)
    np.testing.assert_allclose(shares, expected, rtol=20 * EPS, atol=0)
    assert shares.sum() == pytest.approx(1, rel=20 * EPS)


def test_bad_lengths_are_refused():
    with pytest.raises(ValueError, match="lengths must be those of one target at least"):
        bias.step_shares(bias.power(1), [])
    with pytest.raises(ValueError, match="lengths must be at least 1, got 0"):
        bias.step_shares(bias.power(1), [3, 0])


@pytest.mark.parametrize("weight", [1, np.sqrt, "power"])
def test_a_weight_is_a_bias(weight):
    for call in (lambda: bias.effective_steps(weight, 3), lambda: bias.step_shares(weight, [1, 3])):
        with pytest.raises(TypeError, match="weight must be a Bias, such as"):
            call()
