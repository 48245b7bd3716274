"""Free weights, poles, and how far they are from instability."""

import math

import numpy as np
import pytest

from curse_of_memory.theory.perturbation.pole_map import STEPS, PoleMap, turning_points
from curse_of_memory.theory.reparameterization import REPARAMETERIZATIONS, Registry, get

EPS = np.finfo(float).eps
RATES = np.array([0.02, 0.3, 1.1])
NAMES = list(REPARAMETERIZATIONS)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", NAMES)
def test_unperturbed_multipliers_are_those_of_the_exponentials(name, step):
    poles = PoleMap(get(name), 0.5, step)
    found = poles.pole(poles.weights(RATES))
    np.testing.assert_allclose(found, np.exp(-0.5 * RATES), rtol=0, atol=16 * EPS)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", NAMES)
def test_slopes_are_derivatives(name, step):
    poles = PoleMap(get(name), 0.5, step)
    w, h = poles.weights(RATES), 1e-6
    slope = (poles.pole(w + h) - poles.pole(w - h)) / (2 * h)
    # central differences: h² of third derivatives of up to 1e3, and rounding over h
    np.testing.assert_allclose(poles.slope(w), slope, rtol=0, atol=1e3 * h**2 + 8 * EPS / h)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("beta", [0.01, 0.5, 3.0])
def test_ends_have_the_lowest_and_the_highest_pole(name, beta):
    poles = PoleMap(get(name), 0.5)
    w = poles.weights(RATES)
    low, high = poles.ends(w, beta)
    within = np.clip(w + beta * np.linspace(-1, 1, 2001)[:, None], *(w - beta, w + beta))
    if poles.inside(w, beta):
        values = poles.pole(within)
        assert (poles.pole(low) <= values.min(0)).all()
        assert (poles.pole(high) >= values.max(0)).all()
    assert (np.abs(np.array([low, high]) - w) <= beta * (1 + 4 * EPS)).all()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", NAMES)
def test_the_radius_separates_stable_from_unstable(name, step):
    poles = PoleMap(get(name), 0.5, step)
    w = poles.weights(RATES)
    low, high = poles.f.domain
    for x, radius in zip(w, poles.radius(w), strict=True):
        reach = min(radius, 20.0)
        inside = x + reach * np.linspace(-1, 1, 4001)[1:-1]
        assert poles.is_stable(inside).all()
        if math.isfinite(radius):
            ends = np.array([x - radius, x + radius])
            assert (~poles.is_stable(ends) | (ends <= low) | (ends >= high)).any()


def test_turning_points_are_found():
    turned = Registry().add("turned", lambda x, w: -1 - (w - 0.7) ** 2)
    np.testing.assert_allclose(turning_points(turned), [0.7], rtol=1e-12)
    assert turning_points(get("best")) == (0.0,)
    assert turning_points(get("relu")) == ()


def test_a_touch_of_instability_counts():
    # 1 − 1/(w² + ½) has modulus one at w = 0 alone
    poles = PoleMap(get("best-discrete"), 1.0)
    w = poles.weights(np.array([0.3]))
    assert poles.radius(w)[0] == pytest.approx(w[0], rel=4 * EPS)


def test_infinite_time_refuses_steps():
    for options in ({"f": get("direct"), "step": "euler"}, {"f": get("lru")}):
        with pytest.raises(ValueError, match="horizon=None is continuous time"):
            PoleMap(dt=1.0, continuous=True, **options)
