"""Stability radius, families of widths, crossings."""

import math

import numpy as np
import pytest

from curse_of_memory.theory import targets
from curse_of_memory.theory.exponential_sums import ExponentialSum, fit_exponential_sum
from curse_of_memory.theory.reparameterization import Reparameterization, get
from curse_of_memory.theory.stability import crossing, limit_curve, stability_radius

EPS = np.finfo(float).eps
RATES = [0.05, 0.4, 1.2]
BETAS = 1e-3 * 2.0 ** np.arange(6)


@pytest.mark.parametrize("name", ["exp", "softplus", "best", "best-code", "lru", "softplus-discrete", "tanh"])
def test_stable_reparameterisations_have_no_radius(name):
    assert stability_radius(RATES, name) == math.inf


@pytest.mark.parametrize(("name", "radius"), [("direct", 0.05), ("relu", 0.05), ("inverse", 1 / 1.2)])
def test_the_radius_of_the_others_in_continuous_time(name, radius):
    assert stability_radius(RATES, name) == pytest.approx(radius, rel=4 * EPS)


@pytest.mark.parametrize("dt", [1.0, 0.25])
def test_euler_steps_have_a_finite_radius(dt):
    # the nearest weight with f = −2/dt, or for "direct" also 0
    for name in ("softplus", "exp"):
        f = get(name)
        w = f.inverse(np.expm1(-np.array(RATES) * dt) / dt)
        expected = (f.inverse(np.array(-2 / dt)) - w).min()
        assert stability_radius(RATES, name, step="euler", dt=dt) == pytest.approx(expected, rel=16 * EPS)
    slowest = -math.expm1(-0.05 * dt) / dt
    assert stability_radius(RATES, "direct", step="euler", dt=dt) == pytest.approx(slowest, rel=16 * EPS)


def test_the_radius_of_a_map_that_touches_zero_is_the_way_there():
    touching = Reparameterization(
        "touching", lambda x, w: -((w - 0.3) ** 2), free=lambda x, v: 0.3 + x.sqrt(-v)
    )
    # f(w) = −1/2 at 0.3 + √½, f(0.3) = 0
    assert stability_radius([0.5], touching) == pytest.approx(math.sqrt(0.5), rel=1e-12)


def test_the_radius_of_a_map_that_cannot_be_certified_is_refused():
    table = Reparameterization(
        "table", lambda x, w: np.interp(w, [-1.0, 0.0], [-1.0, 0.0]), free=lambda x, v: v
    )
    with pytest.raises(ValueError, match="'table' does not go through interval arithmetic"):
        stability_radius([0.5], table)


def test_fits_of_an_exponential_are_no_stabler_than_it():
    # the converse: what is stably approximated up to β₀ decays at that rate, here 0.1054
    values = 0.9 ** np.arange(200.0)
    for terms in (1, 2, 4):
        assert stability_radius(fit_exponential_sum(values, terms)) <= -math.log(0.9) * (1 + 1e-9)


def test_fits_of_polynomial_memory_lose_their_radius():
    values = targets.polynomial(1.1).on_grid(1000).values
    radii = [stability_radius(fit_exponential_sum(values, m)) for m in (1, 2, 4)]
    assert radii[0] > 5 * radii[1] > 25 * radii[2]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: stability_radius([0.1, -0.2]), ValueError, "every rate > 0, got -0.2"),
        (lambda: stability_radius([0.1, math.nan]), ValueError, "fit must be finite"),
        (lambda: stability_radius([]), ValueError, "fit must not be empty"),
        (lambda: stability_radius([0.1 + 1j, 0.1 - 1j]), TypeError, "real numbers"),
        (lambda: stability_radius([0.1], "dirct"), ValueError, "did you mean 'direct'"),
        (lambda: stability_radius([0.1], dt=0.0), ValueError, "dt must be positive"),
        (lambda: stability_radius([0.1], step="exact"), ValueError, "step must be one of"),
        (lambda: stability_radius([3.0], "best"), ValueError, "'best' takes values"),
        (
            lambda: limit_curve([fit_exponential_sum(np.ones(8), 1)], np.ones(8), [0.1], horizon=8),
            ValueError,
            "at least two",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.fixture(scope="module")
def families():
    rho = targets.polynomial(1.1)
    values = rho.on_grid(300).values
    fits = {m: fit_exponential_sum(values, m) for m in (1, 2, 3)}
    return {
        name: limit_curve(fits, rho, BETAS, name, horizon=300, draws=3, budget=1)
        for name in ("direct", "exp")
    }


def test_direct_crossings_march_to_zero(families):
    found = families["direct"]
    assert found.crossing.values[0] > 4 * found.crossing.values[1] > 0


def test_crossings_are_certified_by_the_bracket(families):
    found = families["direct"]
    assert (found.crossing_earliest <= found.crossing).all()
    assert (found.crossing <= found.crossing_latest).all()


def test_a_stable_reparameterisation_keeps_one_envelope(families):
    found = families["exp"]
    assert (found.upper.sel(m=3) < 1.01 * found.lower.sel(m=1)).sel(beta=slice(0, 0.004)).all()
    assert (found.radius == math.inf).all()


def test_the_envelope_is_the_worst_of_the_wider_half(families):
    found = families["direct"]
    np.testing.assert_array_equal(found.envelope_lower, found.lower.sel(m=[2, 3]).max("m"))
    np.testing.assert_array_equal(found.envelope_upper, found.upper.sel(m=[2, 3]).max("m"))


def test_a_sequence_of_fits_is_named_by_widths():
    rho = targets.exponential(0.5)
    fits = [
        ExponentialSum(rates=np.array(r), coefficients=np.ones(len(r)), error=0.0, dt=1.0)
        for r in ([0.5], [0.5, 2.0])
    ]
    found = limit_curve(fits, rho, [0.0, 0.1], horizon=9, draws=2, budget=1)
    assert found.m.values.tolist() == [1, 2]


def test_crossing_is_interpolated_on_logarithmic_axes():
    beta = np.geomspace(1e-3, 1.0, 7)
    assert crossing(beta, np.ones(7), 10 * beta) == pytest.approx(0.1, rel=1e-12)


def test_crossing_is_nan_where_curves_do_not_cross():
    beta = np.array([0.0, 0.1, 1.0])
    assert math.isnan(crossing(beta, np.ones(3), np.full(3, 0.5)))
    assert math.isnan(crossing(beta, np.ones(3), np.full(3, 2.0)))


def test_an_overflow_is_the_worse_error():
    beta = np.array([0.1, 1.0])
    assert 0.1 < crossing(beta, np.ones(2), np.array([0.5, np.inf])) < 0.101
