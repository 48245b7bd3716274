import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from curse_of_memory.theory.lemmas.heaviside_dynamics import velocity_field
from curse_of_memory.theory.lemmas.planar_basin import basin_boundary

PLANAR = np.array([[1.0, 1.0], [-4.0, -3.0]])


@pytest.fixture(scope="module")
def orbit():
    return basin_boundary(PLANAR)


def forward(v0, time):
    """Go forward in z = artanh v, which does not round the distance to the edge of the square away."""
    t = np.linspace(0, time, 201)
    return np.tanh(
        solve_ivp(
            lambda _, z: PLANAR @ np.tanh(z), (0, time), np.arctanh(v0), t_eval=t, rtol=1e-9, atol=1e-9
        ).y.T
    )


def test_the_orbit_solves_the_equation(orbit):
    step = orbit.period / (len(orbit.points) - 1)
    start, middle, end = orbit.points[:-2], orbit.points[1:-1], orbit.points[2:]
    slope = (end - start) / (2 * step)
    # central differences: step² = 4e-3 times a third derivative, at most about 30
    assert np.abs(slope - velocity_field(PLANAR, middle)).max() < 0.2
    assert np.abs(slope).max() > 2
    assert math.dist(orbit.points[0], orbit.points[-1]) <= 2 * orbit.closure


def test_a_lap_multiplies_small_distances_as_stated(orbit):
    """Compare the integral of the divergence with solutions started beside the orbit, over half a lap."""

    def back(t, z):
        return z[0]

    back.terminal, back.direction = True, -1.0

    def half_lap(z1):
        start = [0.0, z1]
        end = solve_ivp(
            lambda _, z: PLANAR @ np.tanh(z), (0, 100), start, events=back, rtol=1e-12, atol=1e-13
        )
        return abs(end.y[1, -1])

    z, h = math.atanh(orbit.points[0, 1]), 1e-4
    growth = (half_lap(z + h) - half_lap(z - h)) / (2 * h)
    # h² of a third derivative of order one, and 1e-12 over h
    assert 2 * math.log(growth) == pytest.approx(orbit.log_multiplier, abs=1e-6)


def test_the_orbit_parts_what_forgets_from_what_does_not(orbit):
    for point in orbit.points[::40]:
        z = np.arctanh(point)
        assert np.abs(forward(np.tanh(0.97 * z), 200)[-1]).max() < 1e-6
        outside = forward(np.tanh(1.03 * z), 200)
        assert np.abs(outside[-20:]).max(axis=1).min() > 0.99


def test_outside_the_visits_to_two_corners_grow_longer_and_longer():
    """The edge of the square is a cycle through its corners; (1, −1) and (−1, 1) are left algebraically."""
    path = forward([0.9, 0.9], 400)
    slow = (np.abs(path) > 0.9).all(axis=1) & (path[:, 0] * path[:, 1] < 0)
    assert slow.mean() > 0.9
    assert (path[slow, 0] > 0).any()
    assert (path[slow, 0] < 0).any()


def test_mirrored_signs_give_the_mirrored_orbit(orbit):
    """Flipping one coordinate turns W into [[1, −1], [4, −3]], whose slow corners are (1, 1) and (−1, −1)."""
    flip = np.diag([1.0, -1.0])
    mirrored = basin_boundary(flip @ PLANAR @ flip)
    assert mirrored.period == pytest.approx(orbit.period, rel=1e-8)
    np.testing.assert_allclose(mirrored.points[:, 1].max(), orbit.points[:, 1].max(), rtol=1e-8)


def test_without_an_orbit_there_is_an_error():
    with pytest.raises(ArithmeticError, match="no periodic orbit"):
        basin_boundary([[-1.0, 0.2], [-0.2, -1.0]])


@pytest.mark.parametrize("W", [np.eye(2), -np.eye(3)])
def test_only_stable_planar_matrices_have_one(W):
    with pytest.raises(ValueError, match="W must be a Hurwitz matrix of shape"):
        basin_boundary(W)
