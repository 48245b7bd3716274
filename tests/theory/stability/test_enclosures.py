"""The certified bound alone, without the help of a lower bound, against the worst models that are found."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.theory import targets
from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.stability.ascent import ascend, random_points
from curse_of_memory.theory.stability.enclosures import _Amplitudes, bound_above
from curse_of_memory.theory.stability.perturbed_model import perturbed_model

EPS = np.finfo(float).eps
NAMES = ["direct", "softplus", "best", "inverse", "lru", "tanh", "best-discrete"]


@settings(derandomize=True, deadline=None, max_examples=80)
@given(
    rates=st.lists(st.floats(0.02, 1.2), min_size=1, max_size=3),
    amplitudes=st.lists(st.sampled_from([-2.0, -0.1, 0.01, 0.5, 2.0]), min_size=3, max_size=3),
    name=st.sampled_from(NAMES),
    norm=st.sampled_from(["l2", "l1", "w1"]),
    perturbed=st.sampled_from(["all", "rates"]),
    beta=st.floats(0.003, 0.6),
    budget=st.sampled_from([1, 20]),
)
def test_no_model_found_is_above_the_bound(rates, amplitudes, name, norm, perturbed, beta, budget):
    check(rates, amplitudes[: len(rates)], name, norm, beta, perturbed, budget)


def check(rates, amplitudes, name, norm, beta, perturbed="all", budget=1):
    fit = ExponentialSum(rates=np.array(rates), coefficients=np.array(amplitudes), error=0.0, dt=1.0)
    model = perturbed_model(fit, targets.exponential(0.3), name, norm, 15, None, perturbed, "exponential")
    if not model.poles.inside(model.centre.w, beta):
        return
    assert model.steps is not None
    ball = model.ball(beta, model.steps)
    found, _ = ascend(ball, random_points(ball, 10, 0), 0, rounds=10)
    assert bound_above(ball, 0.0, budget, 0.0) >= found


@pytest.mark.parametrize(
    "case",
    [
        ([0.06], [2.0], "softplus", "l2", 0.46),
        ([0.07], [0.5], "direct", "l2", 0.6),
        ([0.06], [2.0], "lru", "l1", 0.51),
        ([0.13], [-0.1], "lru", "l2", 0.48),
        ([0.16, 0.41, 0.15], [-0.1, 0.5, 0.01], "direct", "l1", 0.51),
        ([0.11, 0.066], [0.5, 0.5], "best", "l1", 0.61),
    ],
)
def test_bounds_that_are_nearly_attained_hold(case):
    # rates and amplitudes move together here: without their product the bound would be too small
    check(*case)


@pytest.mark.parametrize("a", [0.0, 0.01, 1.0, -0.3])
@pytest.mark.parametrize("beta", [0.05, 0.15, 0.6, 3.0])
def test_the_range_of_one_amplitude_is_exact(a, beta):
    root = math.sqrt(abs(a))
    moves = np.linspace(-beta, beta, 61)
    reached = (root + moves[:, None]) * (np.copysign(root, a) + moves)
    low, high = _Amplitudes(np.array([a]), np.array([root]), beta).ends
    # products are least and largest at corners, which the grid has
    assert reached.min() == pytest.approx(low[0], rel=16 * EPS)
    assert reached.max() == pytest.approx(high[0], rel=16 * EPS)


def amplitude_moves(rng, a, beta, count):
    """Return what amplitudes (m,) can move by, at the edge of the ball."""
    root = np.sqrt(np.abs(a))
    p, q = (
        beta * x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.standard_normal((2, count, a.size))
    )
    q[: count // 2] = (p * np.sign(a))[: count // 2]  # aligned: the extreme ones
    return (root + p) * (np.sign(a) * root + q) - a


@pytest.mark.parametrize("beta", [0.05, 0.5, 2.0])
def test_amplitudes_stay_in_their_ellipsoid(beta):
    a = np.array([1.0, -0.2, 0.003])
    moves = amplitude_moves(np.random.default_rng(0), a, beta, 4000)
    reach = _Amplitudes(a, np.sqrt(np.abs(a)), beta).reach
    sizes = np.linalg.norm(moves / reach, axis=1)
    assert 0.95 < sizes.max() <= 1 + 16 * EPS


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("beta", [0.05, 2.0])
def test_moved_amplitudes_change_a_memory_by_at_most_their_bounds(order, beta):
    rng = np.random.default_rng(1)
    a, modes = np.array([1.0, -0.2, 0.003]), rng.standard_normal((1, 3, 8))
    amplitudes = _Amplitudes(a, np.sqrt(np.abs(a)), beta)
    changes = amplitude_moves(rng, a, beta, 4000) @ modes[0]
    largest = np.linalg.norm(changes, order, axis=1).max()
    assert (
        0.3 * amplitudes.total(np.abs(modes), order)[0] < largest <= amplitudes.total(np.abs(modes), order)[0]
    )
    assert (np.abs(changes) <= amplitudes.pointwise(np.abs(modes))[0]).all()


def test_signs_are_kept_only_by_amplitudes_larger_than_the_ball():
    amplitudes = _Amplitudes(np.array([1.0, -1.0, 0.01]), np.array([1.0, 1.0, 0.1]), 0.2)
    assert amplitudes.sign().tolist() == [1.0, -1.0, 0.0]
