"""The certified maximum of a norm over a product of balls."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.theory.stability.quadratic_bound import largest_norm, largest_sum

EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=100)


def points(rng, count, boxed, balled):
    """Return points of the product of [-1, 1]^boxed and a unit ball, corners and edge included."""
    v = rng.uniform(-1, 1, (count, boxed))
    v[: count // 2] = np.sign(v[: count // 2])
    g = rng.standard_normal((count, balled))
    g /= np.maximum(np.linalg.norm(g, axis=1, keepdims=True), 1e-300)
    return np.concatenate([v, g * np.where(np.arange(count) % 3, 1.0, rng.random(count))[:, None]], 1)


@steady
@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.integers(0, 3), st.sampled_from([1.0, 1e-8, 1e60]))
def test_no_point_is_beyond_the_bound(seed, boxed, balled, scale):
    rng = np.random.default_rng(seed)
    boxed += boxed + balled == 0
    r, N = rng.standard_normal((1, 7)), scale * rng.standard_normal((1, boxed + balled, 7))
    x = r + points(rng, 400, boxed, balled) @ N[0]
    assert np.linalg.norm(x, axis=1).max() <= largest_norm(r, N, boxed)[0] * (1 + 64 * EPS)
    assert np.abs(x).sum(1).max() <= largest_sum(r, N, boxed)[0] * (1 + 64 * EPS)


@steady
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_directions_of_one_sign_are_bounded_sharply(seed, k):
    # with no negative entry the corner (1, …, 1) is the maximum, and the dual has no gap
    rng = np.random.default_rng(seed)
    r, N = rng.random((1, 6)), rng.random((1, k, 6))
    corner = r[0] + N[0].sum(0)
    assert largest_norm(r, N, k)[0] == pytest.approx(np.linalg.norm(corner), rel=1e-9)
    assert largest_sum(r, N, k)[0] <= 1.05 * corner.sum()


def test_a_ball_alone_is_the_spectral_norm():
    N = np.random.default_rng(0).standard_normal((1, 4, 9))
    assert largest_norm(np.zeros((1, 9)), N, 0)[0] == pytest.approx(np.linalg.norm(N[0], 2), rel=1e-6)


def test_random_boxes_are_bounded_within_a_factor():
    rng = np.random.default_rng(1)
    r, N = rng.standard_normal((50, 8)), rng.standard_normal((50, 3, 8))
    corners = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
    x = r[:, None, :] + corners @ N
    assert (largest_norm(r, N, 3) <= 1.34 * np.linalg.norm(x, axis=-1).max(1)).all()
    assert (largest_sum(r, N, 3) <= 2 * np.abs(x).sum(-1).max(1)).all()
