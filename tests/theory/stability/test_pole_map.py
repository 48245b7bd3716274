"""Free weights, poles, and how far they are from instability."""

import math

import numpy as np
import pytest

from curse_of_memory.theory.reparameterization import REPARAMETERIZATIONS, Reparameterization, get
from curse_of_memory.theory.stability.pole_map import STEPS, PoleMap

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
def test_ranges_hold_every_pole_and_are_reached(name, beta):
    poles = PoleMap(get(name), 0.5)
    w = poles.weights(RATES)
    found = poles.range(w, beta)
    within = np.clip(w + beta * np.linspace(-1, 1, 2001)[:, None], *(w - beta, w + beta))
    if poles.inside(w, beta):
        values = poles.pole(within)
        assert (found.low <= values.min(0)).all()
        assert (found.high >= values.max(0)).all()
        np.testing.assert_array_equal(poles.pole(found.at_low), found.low)
        np.testing.assert_array_equal(poles.pole(found.at_high), found.high)
    assert found.certified
    assert (np.abs(np.array([found.at_low, found.at_high]) - w) <= beta * (1 + 4 * EPS)).all()


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


# maps of users, their inverse on the right branch, and how far weights of the rates 1/2 and 1/4 are from the
# nearest one with f(w) >= 0
OWN = {
    "touching": ((lambda x, w: -((w - 0.3) ** 2)), (lambda x, v: 0.3 + x.sqrt(-v)), 0.5),
    "touching twice": (
        (lambda x, w: -((w * w - 1) ** 2)),
        (lambda x, v: x.sqrt(1 + x.sqrt(-v))),
        math.sqrt(1.5) - 1,
    ),
    "other branch": (
        (lambda x, w: -((w * w - 1) ** 2)),
        (lambda x, v: x.sqrt(1 - x.sqrt(-v))),
        1 - math.sqrt(0.5),
    ),
    "crossing": ((lambda x, w: w**3 - w - 1), (lambda x, v: x.sqrt(0 * v)), 1.324717957244746),
    "jumping": ((lambda x, w: x.where(w > 1, 1 + 0 * w, w - 1)), (lambda x, v: v + 1), 0.25),
    "jumping at once": ((lambda x, w: x.where(w > 0, 1 + 0 * w, w - 1)), (lambda x, v: v + 1), None),
    "pole": ((lambda x, w: -1 / (w * w) - 1), (lambda x, v: 1 / x.sqrt(-v - 1)), None),
    "never": ((lambda x, w: -x.exp(w) - x.exp(-2 * w)), None, math.inf),
    "wiggling": ((lambda x, w: w + x.sin(200 * w) / 50), None, None),
    "promised": ((lambda x, w: np.expm1(w)), (lambda x, v: np.log1p(v)), -math.log(0.75)),
}


def own(name, **options):
    definition, free, _ = OWN[name]
    return Reparameterization(name, definition, free=free, **options)


@pytest.mark.parametrize("name", ["touching", "touching twice", "other branch", "jumping"])
def test_the_radius_of_maps_that_turn_touch_and_jump(name):
    poles = PoleMap(own(name), 1.0)
    radius = poles.radius(poles.weights(np.array([0.25, 0.5]))).min()
    # the squares in the touching maps round to zero nowhere else
    assert radius == pytest.approx(OWN[name][2], rel=1e-12)
    assert poles.certified


def test_a_map_that_touches_zero_has_the_radius_of_its_root():
    poles = PoleMap(own("touching"), 1.0)
    assert poles.radius(poles.weights(np.array([0.5])))[0] == pytest.approx(math.sqrt(0.5), rel=1e-12)


def test_the_radius_of_a_cubic_is_the_distance_to_its_root():
    # w³ − w − 1 at 0, and the plastic number
    assert PoleMap(own("crossing"), 1.0).radius(np.array([0.0]))[0] == pytest.approx(
        1.324717957244746, rel=1e-12
    )


def test_a_map_without_an_edge_has_no_radius():
    assert PoleMap(own("never"), 1.0).radius(np.array([0.0]))[0] == math.inf


def test_promised_turns_serve_maps_that_go_through_no_intervals():
    unknown, promised = PoleMap(own("promised"), 1.0), PoleMap(own("promised", turns=()), 1.0)
    assert (unknown.certified, promised.certified) == (False, True)
    w = promised.weights(np.array([0.25, 0.5]))
    for poles in (unknown, promised):
        assert poles.radius(w).min() == pytest.approx(OWN["promised"][2], rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in OWN if name != "promised"])
@pytest.mark.parametrize("step", STEPS)
def test_ranges_of_maps_of_users_hold_every_pole(name, step):
    rng = np.random.default_rng(0)
    poles = PoleMap(own(name), 0.5, step)
    w, beta = rng.uniform(-2, 2, 40), 10.0 ** rng.uniform(-4, 0.5, 40)
    for x, b in zip(w, beta, strict=True):
        found = poles.range(np.array([x]), b)
        values = poles.pole(x + b * np.linspace(-1, 1, 20001))
        assert found.low[0] <= values.min()
        assert values.max() <= found.high[0]
        smooth = name not in ("jumping", "jumping at once", "pole")
        if smooth and np.isfinite(values).all():
            spread = np.ptp(values)
            # the samples are 1e-4 b apart, and f wiggles on the scale of 1/200
            assert (
                found.high[0] - found.low[0] <= spread * (1 + 1e-3) + 0.15 * b * (name == "wiggling") + 1e-12
            )


def test_an_inverse_that_is_none_is_refused():
    wrong = Reparameterization("wrong", lambda x, w: -(w**2), free=lambda x, v: -v)
    with pytest.raises(ValueError, match="free of 'wrong' must be the inverse"):
        PoleMap(wrong, 1.0).weights(RATES)


def test_a_touch_of_instability_counts():
    # 1 − 1/(w² + ½) has modulus one at w = 0 alone
    poles = PoleMap(get("best-discrete"), 1.0)
    w = poles.weights(np.array([0.3]))
    assert poles.radius(w)[0] == pytest.approx(w[0], rel=4 * EPS)


def test_infinite_time_refuses_steps():
    for name, step in (("direct", "euler"), ("lru", "exponential")):
        with pytest.raises(ValueError, match="horizon=None is continuous time"):
            PoleMap(get(name), dt=1.0, step=step, continuous=True)
