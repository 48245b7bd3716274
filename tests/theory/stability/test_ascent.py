"""Ascent within the ball: gradients, feasibility, starts."""

import numpy as np
import pytest

from curse_of_memory.theory import targets
from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.stability.ascent import Points, ascend, random_points
from curse_of_memory.theory.stability.perturbed_model import perturbed_model

EPS = np.finfo(float).eps
FIT = ExponentialSum(rates=np.array([0.1, 0.6]), coefficients=np.array([0.5, -0.2]), error=0.0, dt=1.0)


def ball_of(norm="l2", perturbed="all", beta=0.1, name="softplus"):
    model = perturbed_model(FIT, targets.polynomial(1.5), name, norm, 12, None, perturbed, "exponential")
    assert model.steps is not None
    return model.ball(beta, model.steps)


@pytest.mark.parametrize("norm", ["l2", "l1", "w1"])
@pytest.mark.parametrize("name", ["softplus", "lru"])
def test_gradients_are_derivatives(norm, name):
    ball = ball_of(norm, name=name)
    x = random_points(ball, 3, 0)
    _, g = ball.gradient(x)
    h = 1e-6
    for array, slopes in zip("wuc", g.all, strict=True):
        for i, unit in enumerate(np.eye(2)):
            sides = [
                ball.errors(Points(**{n: getattr(x, n) + s * h * unit * (n == array) for n in "wuc"}))
                for s in (1, -1)
            ]
            # central differences: h² of third derivatives of order ten, and rounding over h
            slope = (sides[0] - sides[1]) / (2 * h)
            np.testing.assert_allclose(slope, slopes[:, i], rtol=0, atol=10 * h**2 + 64 * EPS / h)


@pytest.mark.parametrize("perturbed", ["all", "rates"])
def test_random_points_are_on_the_edge_of_the_ball(perturbed):
    ball = ball_of(perturbed=perturbed)
    moved = [a - a0 for a, a0 in zip(random_points(ball, 5, 0).all, ball.centre.all, strict=True)]
    np.testing.assert_allclose(np.abs(moved[0]).max(1), 0.1, rtol=64 * EPS)
    for part in moved[1:]:
        length = 0.1 if perturbed == "all" else 0.0
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), length, rtol=64 * EPS)


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("perturbed", ["all", "rates"])
def test_what_is_found_lies_in_the_ball_and_has_the_error_given(norm, perturbed):
    ball = ball_of(norm, perturbed)
    starts = random_points(ball, 5, 0)
    found, x = ascend(ball, starts, 0)
    moved = [a - a0 for a, a0 in zip(x.all, ball.centre.all, strict=True)]
    assert np.abs(moved[0]).max() <= 0.1 * (1 + 64 * EPS)
    for part in moved[1:]:
        assert np.linalg.norm(part) <= (0.1 if perturbed == "all" else 0.0) * (1 + 64 * EPS)
    # the margin of rounding is below 1e-13 of the magnitudes
    assert ball.errors(x)[0] == pytest.approx(found, rel=1e-12)
    assert found >= ball.errors(starts, margin=True).max()


def test_points_outside_are_moved_to_the_nearest_inside():
    ball = ball_of()
    w, u, c = ball.centre.all
    inside = ball.inside(Points(w + 0.3, u + np.array([[0.3, 0.4]]), c))
    np.testing.assert_allclose(inside.w, w + 0.1, rtol=4 * EPS)
    np.testing.assert_allclose(inside.u, u + np.array([[0.06, 0.08]]), rtol=4 * EPS)
    np.testing.assert_array_equal(inside.c, c)
