import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.theory import bias, targets
from curse_of_memory.theory.plateau import growth_rate, plateau_time
from curse_of_memory.theory.plateau.exact_loss import exact_loss
from curse_of_memory.theory.plateau.gradient_flow import _coordinates, _Flow, gradient_flow
from curse_of_memory.theory.reparameterization import get
from curse_of_memory.theory.targets.far_bump import far_bump

# mpmath has no types
quad: Callable[..., Any] = mpmath.quad
EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=25)

RHO = far_bump(center=3.0, coefficients=[1.0, -0.4], rates=[1.0, 0.3])
A, W = np.array([0.7, -0.3, 0.4]), np.array([0.4, 1.1, 2.3])


def integral(function, points, digits=22):
    with mpmath.workdps(digits):
        return quad(function, points)


def rho_mp(rho, t):
    near = sum(c * mpmath.exp(-lam * t) for c, lam in zip(rho.coefficients, rho.rates, strict=True))
    return near + rho.height * mpmath.npdf(t, rho.center, rho.width)


@pytest.mark.parametrize("center", [0.0, 1.5, 16.0])
@pytest.mark.parametrize("w", [1e-3, 1.0, 80.0])
def test_moments_of_a_far_bump_are_its_integrals(center, w):
    rho = far_bump(center)
    got = rho.moments(np.array([w]))[:, 0]
    inside = max(center - w * 0.25, 0.0)
    edges = [*sorted({0.0, 0.3 / w, 3 / w, 30 / w, *(max(inside + k, 0.0) for k in range(-6, 7))}), math.inf]
    for k in range(3):
        exact = integral(lambda t, k=k: t**k * mpmath.exp(-w * t) * rho_mp(rho, t), edges)
        # the bump's moments are sums of two terms, the larger of which is rounded
        size = float(exact) + abs(center - w * 0.25) ** k * float(rho._bump_moments(np.array([w]))[0, 0])
        assert abs(got[k] - float(exact)) <= 64 * (1 + w * center) * EPS * size


def test_energies_are_integrals():
    edges = [0, 0.5, 1.5, 2, 3, 4, 5, 8, math.inf]
    assert RHO.energy == pytest.approx(float(integral(lambda t: rho_mp(RHO, t) ** 2, edges)), rel=32 * EPS)
    bump = integral(lambda t: mpmath.npdf(t, 3, 0.5) ** 2, edges)
    assert RHO.bump_energy == pytest.approx(float(bump), rel=32 * EPS)
    assert RHO.norm(2) ** 2 == pytest.approx(RHO.energy, rel=4 * EPS)


def test_a_far_bump_is_a_target_like_others():
    rho = far_bump(center=2.0)
    f = sympy.lambdify(targets.t, rho.formula, "mpmath")
    t = np.array([0.0, 1.7, 5.0])
    formula = [float(f(mpmath.mpf(x))) for x in t.tolist()]
    np.testing.assert_allclose(rho(t), formula, rtol=8 * EPS)
    tail = integral(lambda x: rho_mp(rho, x), [1.7, 2, 3, 5, math.inf])
    assert float(rho.tail(1.7)) == pytest.approx(float(tail), rel=16 * EPS)
    # of changing sign: the numerical tail, good to 1e-8
    assert far_bump(2.0, height=-1.0).norm(1) < rho.norm(1)


LOSSES = {
    "half line": (exact_loss(RHO), lambda t: 1.0, [0, 1, 2, 3, 4, 5, 10, 30, math.inf]),
    "[0, 8], p = 2": (
        exact_loss(RHO, power=2, horizon=8.0),
        lambda t: 1 - (t / 8) ** 3,
        [0, 1, 2, 3, 4, 5, 8],
    ),
    "[0, 8]": (exact_loss(RHO, horizon=8.0), lambda t: 1.0, [0, 1, 2, 3, 4, 5, 8]),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_is_the_integral(name):
    loss, b, edges = LOSSES[name]

    def integrand(t):
        fitted = sum(a * mpmath.exp(-w * t) for a, w in zip(A, W, strict=True))
        return b(t) * (fitted - rho_mp(RHO, t)) ** 2

    scale = RHO.energy + np.abs(A).sum() ** 2 / W.min()
    assert abs(loss.value(A, W) - float(integral(integrand, edges))) <= 64 * EPS * scale


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_and_hessian_are_derivatives(name):
    loss = LOSSES[name][0]
    at, h = np.concatenate([A, W]), 1e-4
    hessian = loss.hessian(A, W).reshape(6, 6)
    np.testing.assert_allclose(hessian, hessian.T, rtol=0, atol=16 * EPS * np.abs(hessian).max())
    for i, unit in enumerate(np.eye(6)):
        ahead, behind = (np.split(at + sign * h * unit, 2) for sign in (1, -1))
        by_value = (loss.value(*ahead) - loss.value(*behind)) / (2 * h)
        by_gradient = (loss.gradient(*ahead) - loss.gradient(*behind)).ravel() / (2 * h)
        # central differences: h²/6 of third derivatives, at most 500 here, and rounding over h
        tolerance = 100 * h**2 + 64 * EPS / h
        assert abs(loss.gradient(A, W).ravel()[i] - by_value) <= tolerance
        np.testing.assert_allclose(hessian[i], by_gradient, rtol=0, atol=10 * tolerance)


def test_the_loss_vanishes_where_the_memory_is_fitted():
    rho = far_bump(5.0, height=0.0, coefficients=[0.5, 2.0], rates=[0.2, 3.0])
    loss = exact_loss(rho)
    a, w = np.array(rho.coefficients), np.array(rho.rates)
    assert abs(loss.value(a, w)) <= 8 * EPS * rho.energy
    assert np.abs(loss.gradient(a, w)).max() <= 64 * EPS * rho.energy / 0.2


@pytest.mark.parametrize("power", [0.0, 300.0, 1000.0])
def test_the_weight_of_any_power_is_taken(power):
    """∫_0^T (1 − (t/T)^{p+1}) e^{−2t} dt, where T^{p+1} itself may exceed double precision."""
    T, q = 16.0, mpmath.mpf(power) + 1
    moment = quad(lambda u: (1 - u**q) * mpmath.exp(-2 * T * u), [0, 0.01, 0.1, 0.5, 0.9, 1])
    found = exact_loss(far_bump(0.0, height=0.0), power=power, horizon=T).energy
    assert found == pytest.approx(float(T * moment), rel=1e-9)


def test_a_long_horizon_without_weight_is_the_half_line():
    far = exact_loss(RHO, power=math.inf, horizon=120.0)
    assert far.value(A, W) == pytest.approx(exact_loss(RHO).value(A, W), rel=1e-13)
    assert far.bump_energy == pytest.approx(RHO.bump_energy, rel=1e-13)


def test_what_is_narrow_or_jumps_is_seen_on_a_finite_horizon():
    rho = far_bump(20.0, 0.02)
    near, whole = exact_loss(rho, horizon=40.0), exact_loss(rho)
    # e^{−40} beyond the horizon, squared; sums of 16 points a panel
    assert near.energy == pytest.approx(whole.energy, rel=1e-13)
    for mine, other in zip(
        near.moments(np.array([1.0, 2.0])), whole.moments(np.array([1.0, 2.0])), strict=True
    ):
        np.testing.assert_allclose(mine, other, rtol=1e-12)
    spike = targets.from_callable(lambda t: np.exp(-t) + np.exp(-(((t - 20) / 0.02) ** 2)))
    exact = 0.5 + 0.02 * math.sqrt(math.pi / 2)  # the product is below e^{−19}
    assert exact_loss(spike, horizon=40.0).energy == pytest.approx(exact, rel=1e-8)
    assert exact_loss(targets.shift(0.3, 2.1), horizon=8.0).energy == pytest.approx(1.8, rel=1e-13)


def test_the_weight_is_the_memory_bias_of_the_library():
    p, horizon = 1.5, 8.0
    values = targets.from_callable(lambda t: np.sqrt(bias.power(p)(t, horizon)) * RHO(t))
    weighted = exact_loss(values, horizon=horizon).energy / bias.power(p)(0.0, horizon)
    assert exact_loss(RHO, power=p, horizon=horizon).energy == pytest.approx(float(weighted), rel=1e-9)


# geometric means over the starts 0 to 4 of a run of these equations that shares no code with the package
PILOT = {4: 0.93, 6: 4.1, 8: 28, 10: 1.9e2, 12: 4.0e3}
TWO_TERMS = {6: 3.0, 8: 50, 10: 407, 12: 7.3e3}


@pytest.fixture(scope="module")
def times():
    return np.array([[plateau_time(far_bump(float(d)), seed=s).time for d in PILOT] for s in range(5)])


@pytest.mark.slow
def test_plateau_times_are_those_of_the_pilot_run(times):
    means = np.exp(np.log(times).mean(axis=0))
    # the pilot's numbers have two digits
    np.testing.assert_allclose(means, list(PILOT.values()), rtol=0.03)


def test_two_exponentials_wait_as_long_as_in_the_pilot_run():
    found = [plateau_time(far_bump(float(d)), terms=2, seed=0).time for d in TWO_TERMS]
    np.testing.assert_allclose(found, list(TWO_TERMS.values()), rtol=0.02)


def test_log_time_grows_like_a_line_in_the_delay(times):
    rate = growth_rate(list(PILOT), times)
    assert 0.9 < rate.low < rate.slope < rate.high < 1.3
    residual = np.log(times).mean(axis=0) - rate.intercept - rate.slope * np.array(list(PILOT))
    assert np.abs(residual).max() < 0.6  # of a range of 8


def test_some_starts_never_leave_and_say_so():
    found = plateau_time(far_bump(8.0), terms=2, seed=3, time_limit=1e6)
    assert (found.reached, found.trajectory.attrs["status"], found.time) == (False, "time limit", 1e6)
    assert found.trajectory.loss[-1] > found.threshold


@pytest.mark.parametrize("options", [{}, {"parameterization": "softplus"}, {"power": 1, "horizon": 20.0}])
def test_the_flow_loses_loss_at_the_rate_of_the_squared_gradient(options):
    flow = gradient_flow(far_bump(6.0), seed=1, time_limit=50.0, **options)
    descent, time, loss = flow.descent.values, flow.time.values, flow.loss.values
    assert (np.diff(loss) <= 0).all()
    lost = np.diff(time) * (descent[1:] + descent[:-1]) / 2
    assert lost.sum() == pytest.approx(loss[0] - loss[-1], rel=0.01)  # trapezoidal rule on the steps


@pytest.mark.parametrize("name", ["direct", "exp", "softplus", "best", "inverse"])
def test_the_descent_is_the_squared_gradient_in_the_free_weights(name):
    loss, f = exact_loss(far_bump(6.0)), get(name)
    start = gradient_flow(far_bump(6.0), 3, seed=4, parameterization=name, time_limit=1e-6).isel(time=0)
    a, w = start.coefficients.values, start.rates.values
    v, h = np.asarray(f.inverse(-w)), 1e-6
    slopes = [
        (loss.value(a, -f.f(v + h * unit)) - loss.value(a, -f.f(v - h * unit))) / (2 * h)
        for unit in np.eye(3)
    ]
    by_a = loss.gradient(a, w)[0]
    assert float(start.descent) == pytest.approx(by_a @ by_a + np.dot(slopes, slopes), rel=1e-6)


@pytest.mark.parametrize("options", [{}, {"parameterization": "best"}, {"power": 0, "horizon": 16.0}])
def test_three_solvers_agree(options):
    found = [plateau_time(far_bump(8.0), seed=2, method=m, **options).time for m in ("LSODA", "Radau", "BDF")]
    assert found == pytest.approx([found[0]] * 3, rel=1e-4)  # errors of 1e-8 a step, over hundreds of steps


@pytest.mark.parametrize(
    ("name", "horizon"), [("direct", None), ("direct", 9.0), ("best", None), ("softplus", 9.0)]
)
def test_the_jacobian_of_the_flow_is_its_derivative(name, horizon):
    loss = exact_loss(far_bump(4.0), horizon=horizon)
    flow = _Flow(loss, _coordinates(get(name), math.isinf(loss.horizon)))
    state, h = np.concatenate([A, flow.coordinates.start(np.array([0.5, 1.1, 1.9]))]), 1e-5
    for column, unit in zip(flow.jacobian(0.0, state).T, np.eye(6), strict=True):
        slope = (flow.velocity(0.0, state + h * unit) - flow.velocity(0.0, state - h * unit)) / (2 * h)
        np.testing.assert_allclose(column, slope, rtol=0, atol=1e-6)


def test_every_parameterization_starts_from_the_same_function():
    starts = [
        gradient_flow(far_bump(6.0), seed=7, parameterization=name, time_limit=1e-3).isel(time=0)
        for name in ("direct", "exp", "softplus", "best", "inverse")
    ]
    for start in starts[1:]:
        np.testing.assert_allclose(start.rates, starts[0].rates, rtol=16 * EPS)
        np.testing.assert_allclose(start.coefficients, starts[0].coefficients, rtol=0)


def test_the_start_is_the_documented_one():
    start = gradient_flow(far_bump(6.0), 3, seed=11, time_limit=1e-3).isel(time=0)
    draws = np.random.default_rng(11)
    np.testing.assert_allclose(start.coefficients, draws.standard_normal(3) / 3, rtol=0)
    np.testing.assert_allclose(start.rates, draws.uniform(0.5, 2, 3), rtol=8 * EPS)


def test_rates_stay_positive_on_the_half_line():
    flow = plateau_time(far_bump(14.0), seed=2).trajectory
    assert 0 < float(flow.rates.min()) < 0.2


def test_reparameterisation_and_power_do_not_take_the_plateau_away():
    delays = (6, 10)
    for parameterization, power, horizon in (("exp", None, None), ("best", None, None), ("direct", 10, 16.0)):

        def time(delay, seed, f=parameterization, p=power, T=horizon):
            flow = plateau_time(far_bump(float(delay)), seed=seed, parameterization=f, power=p, horizon=T)
            return flow.time

        assert growth_rate(delays, [[time(delay, seed) for delay in delays] for seed in (0, 1)]).slope > 0.7


def test_a_small_power_waits_longer_than_a_large_one():
    flat, late = (plateau_time(far_bump(12.0), seed=2, power=p, horizon=16.0).time for p in (0, 10))
    assert flat > 1.5 * late


def test_the_threshold_is_the_share_of_the_weighted_bump():
    found = plateau_time(far_bump(4.0), drop=0.1, power=0, horizon=8.0, time_limit=1.0)
    bump = integral(lambda t: (1 - t / 8) * mpmath.npdf(t, 4, 0.5) ** 2, [0, 2, 3, 4, 5, 6, 8])
    assert found.threshold == pytest.approx(0.9 * float(bump), rel=1e-13)


def test_time_ends_at_the_threshold_and_a_larger_share_takes_longer():
    few, more = (plateau_time(far_bump(6.0), seed=1, drop=d) for d in (0.01, 0.03))
    assert few.time < more.time
    for found in (few, more):
        assert float(found.trajectory.loss[-1]) == pytest.approx(found.threshold, rel=1e-9)


def test_a_start_below_the_threshold_has_no_plateau():
    rho = far_bump(2.0, height=20.0)
    loss = gradient_flow(rho, stop_below=1e6)
    assert loss.attrs["status"] == "reached"
    assert loss.time.values.tolist() == [0.0]


def test_a_bump_beyond_double_precision_is_not_called_resolved():
    far, near = plateau_time(far_bump(60.0), 1, time_limit=1e6), plateau_time(far_bump(10.0))
    assert (far.reached, far.resolved) == (False, False)
    assert (near.reached, near.resolved) == (True, True)


def test_any_target_trains_on_a_finite_horizon():
    flow = gradient_flow(targets.airy(), horizon=16.0, time_limit=10.0)
    assert flow.loss[-1] < 0.97 * flow.loss[0]


@steady
@given(
    slopes=st.lists(st.floats(-2, 2), min_size=2, max_size=6),
    intercept=st.floats(-5, 5),
    delays=st.lists(st.integers(1, 20), min_size=2, max_size=6, unique=True),
)
def test_growth_rate_is_the_mean_slope(slopes, intercept, delays):
    times = np.exp(intercept + np.outer(slopes, delays))
    rate = growth_rate(delays, times)
    assert rate.slope == pytest.approx(np.mean(slopes), abs=1e-10)
    assert rate.intercept == pytest.approx(intercept, abs=1e-9)
    assert rate.low <= rate.slope <= rate.high


def test_the_interval_covers_as_often_as_it_says():
    draws = np.random.default_rng(0)
    delays = np.arange(4.0, 13.0, 2.0)
    covered = 0
    for _ in range(400):
        slopes = 1 + 0.2 * draws.standard_normal((5, 1))
        rate = growth_rate(delays, np.exp(slopes * delays), confidence=0.8)
        covered += rate.low < 1 < rate.high
    assert abs(covered / 400 - 0.8) < 4 * math.sqrt(0.8 * 0.2 / 400)


def test_one_seed_has_no_interval():
    rate = growth_rate([1, 2], [[1.0, 2.0]])
    assert (rate.low, rate.high) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: far_bump(-1.0), ValueError, "center must not be negative"),
        (lambda: far_bump(1.0, width=0.0), ValueError, "width must be positive"),
        (lambda: far_bump(1.0, rates=[0.0]), ValueError, "rates must be positive"),
        (lambda: far_bump(1.0, rates=[1.0, 2.0]), ValueError, "coefficients and rates must be as many"),
        (lambda: exact_loss(targets.exponential()), TypeError, "target must be a far_bump unless"),
        (lambda: exact_loss(np.ones(3)), TypeError, "target must be a Target"),  # pyright: ignore[reportArgumentType]
        (lambda: exact_loss(RHO, power=1), ValueError, "power must come with a horizon"),
        (lambda: exact_loss(RHO, power=-1, horizon=8.0), ValueError, "power must be greater than -1"),
        (lambda: exact_loss(RHO, horizon=0.0), ValueError, "horizon must be positive"),
        (
            lambda: exact_loss(targets.from_callable(lambda t: np.sin(1e5 * t**2)), horizon=8.0),
            ArithmeticError,
            "does not settle",
        ),
        (lambda: gradient_flow(RHO, 0), ValueError, "terms must be at least 1"),
        (lambda: gradient_flow(RHO, parameterization="lru"), ValueError, "must be one in continuous time"),
        (lambda: gradient_flow(RHO, parameterization="bset"), ValueError, "did you mean 'best'"),
        (lambda: gradient_flow(RHO, method="RK45"), ValueError, "method must be one of"),
        (lambda: gradient_flow(RHO, time_limit=-1.0), ValueError, "time_limit must be positive"),
        (lambda: gradient_flow(RHO, stop_below=0.0), ValueError, "stop_below must be positive"),
        (lambda: plateau_time(far_bump(3.0, height=0.0)), TypeError, "height other than 0"),
        (lambda: plateau_time(targets.airy()), TypeError, "target must be a far_bump"),  # pyright: ignore[reportArgumentType]
        (lambda: plateau_time(RHO, drop=1.0), ValueError, "drop must be between 0 and 1"),
        (lambda: growth_rate([1, 1], np.ones((2, 2))), ValueError, "two different"),
        (lambda: growth_rate([1, 2], np.ones((2, 3))), ValueError, "one column for each of 2 delays"),
        (lambda: growth_rate([1, 2], np.zeros((2, 2))), ValueError, "times must be positive"),
        (lambda: growth_rate([1, 2], np.ones((2, 2)), 1.0), ValueError, "confidence must be between"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
