"""E_m(β) as a bracket: never violated, closed where the supremum is known, and what measurements see."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import differential_evolution

from curse_of_memory.measure import perturbation_curve
from curse_of_memory.nn import RNN
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import bias, targets
from curse_of_memory.theory.exponential_sums import ExponentialSum, fit_exponential_sum
from curse_of_memory.theory.reparameterization import REPARAMETERIZATIONS, Reparameterization, get
from curse_of_memory.theory.stability import worst_case
from curse_of_memory.theory.stability.worst_case import WorstCase, worst_case_curve, worst_case_error

EPS = np.finfo(float).eps
POLYNOMIAL = targets.polynomial(1.1, rate=0.1)
CONTINUOUS = [name for name, f in REPARAMETERIZATIONS.items() if f.time == "continuous"]


def exponential_sum(rates, coefficients, dt=1.0):
    return ExponentialSum(
        rates=np.array(rates, float), coefficients=np.array(coefficients, float), error=0.0, dt=dt
    )


def norm_of(values, norm, dt):
    """Return the norms of errors (..., horizon), written down once more."""
    if norm == "l2":
        return np.sqrt(dt * (values**2).sum(-1))
    if norm == "expected":
        T = values.shape[-1]
        return np.sqrt(dt**2 * (np.arange(T, 0, -1) * values**2).sum(-1) / T)
    size = dt * np.abs(values).sum(-1)
    if norm == "w1":
        size = size + np.abs(values[..., 0]) + np.abs(np.diff(values)).sum(-1)
    return size


def errors_at(fit, rho, name, norm, horizon, step, w, u, c):
    """Return the errors of models (n, m) from the formulas alone."""
    f = get(name)
    s = np.arange(horizon)
    if f.time == "discrete":
        z = 1 - f.gap(w)
    elif step == "euler":
        z = 1 + fit.dt * f.f(w)
    else:
        z = np.exp(fit.dt * f.f(w))
    memory = ((c * u)[..., None] * z[..., None] ** s).sum(-2)
    return norm_of(rho(fit.dt * s) - memory, norm, fit.dt)


def centre_of(fit, name, step):
    f = get(name)
    euler = step == "euler" or f.time == "discrete"
    w = f.free_weight(np.expm1(-fit.rates * fit.dt) / fit.dt, fit.dt) if euler else f.inverse(-fit.rates)
    root = np.sqrt(np.abs(fit.coefficients))
    return w, root, np.sign(fit.coefficients) * root


def in_ball(rng, count, m):
    g = rng.standard_normal((count, m))
    return g / np.linalg.norm(g, axis=1, keepdims=True) * rng.random((count, 1)) ** (0.3 / m)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    rates=st.lists(st.floats(0.01, 1.5), min_size=1, max_size=3),
    signs=st.lists(st.sampled_from([-2.0, -0.3, 0.01, 0.7, 3.0]), min_size=3, max_size=3),
    rho=st.sampled_from([targets.exponential(0.3), POLYNOMIAL, targets.two_parts(5.0)]),
    name=st.sampled_from(sorted(REPARAMETERIZATIONS)),
    norm=st.sampled_from(["l2", "l1", "w1", "expected"]),
    perturbed=st.sampled_from(["all", "rates"]),
    step=st.sampled_from(["exponential", "euler"]),
    horizon=st.integers(1, 40),
    beta=st.floats(1e-4, 1.0),
    dt=st.sampled_from([1.0, 0.5]),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_bracket_is_ever_violated(rates, signs, rho, name, norm, perturbed, step, horizon, beta, dt, seed):
    fit = exponential_sum(rates, signs[: len(rates)], dt)
    options = {"horizon": horizon, "perturbed": perturbed, "step": step, "draws": 8, "budget": 40}
    curve = worst_case_curve(fit, rho, [beta, 2 * beta], name, norm, **options)
    assert (curve.random <= curve.lower).all()
    assert (curve.lower <= curve.upper).all()
    assert (curve.diff("beta").lower >= 0).all()
    assert (curve.diff("beta").upper >= 0).all()
    if math.isinf(curve.lower[0]):
        return
    rng, m = np.random.default_rng(seed), fit.rates.size
    w, u, c = centre_of(fit, name, step)
    dw = rng.uniform(-1, 1, (200, m))
    dw[:100] = np.sign(dw[:100])
    moved = beta if perturbed == "all" else 0.0
    x = (w + beta * dw, u + moved * in_ball(rng, 200, m), c + moved * in_ball(rng, 200, m))
    with np.errstate(over="ignore", invalid="ignore"):
        errors = errors_at(fit, rho, name, norm, horizon, step, *x)
    # both sides round sums of at most 40 + 40 m numbers
    assert errors.max() <= curve.upper[0] * (1 + 500 * EPS) + 500 * EPS * (1 + np.abs(signs).sum()) * horizon


@pytest.mark.parametrize(
    ("name", "norm", "step", "beta"),
    [
        ("softplus", "l2", "exponential", 0.3),
        ("direct", "l1", "euler", 0.05),
        ("best", "w1", "exponential", 0.5),
        ("lru", "expected", "exponential", 0.2),
    ],
)
def test_one_mode_against_a_global_search(name, norm, step, beta):
    fit, horizon = exponential_sum([0.2], [0.8]), 30
    w, u, c = centre_of(fit, name, step)

    def negative(v):
        return -errors_at(fit, POLYNOMIAL, name, norm, horizon, step, w + v[0], u + v[1], c + v[2])

    best = -differential_evolution(negative, [(-beta, beta)] * 3, seed=0, tol=1e-9, popsize=10).fun  # pyright: ignore[reportCallIssue]  # `rng` since SciPy 1.15
    found = worst_case_error(fit, POLYNOMIAL, beta, name, norm, horizon=horizon, step=step)
    assert found.lower >= best * (1 - 1e-6)
    assert found.upper >= best


@pytest.mark.parametrize(("name", "norm"), [("softplus", "l2"), ("exp", "l1"), ("direct", "l2")])
def test_two_modes_against_a_global_search(name, norm):
    fit, horizon, beta = fit_exponential_sum(POLYNOMIAL.on_grid(40).values, terms=2), 40, 0.02
    w, u, c = centre_of(fit, name, "exponential")

    def negative(v):
        angles, lengths = v[2:4], v[4:6]
        du, dc = (beta * r * np.array([np.cos(a), np.sin(a)]) for a, r in zip(angles, lengths, strict=True))
        return -errors_at(fit, POLYNOMIAL, name, norm, horizon, "exponential", w + v[:2], u + du, c + dc)

    bounds = [(-beta, beta)] * 2 + [(-np.pi, np.pi)] * 2 + [(0, 1)] * 2
    best = -differential_evolution(negative, bounds, seed=0, tol=1e-8, popsize=8, maxiter=150).fun  # pyright: ignore[reportCallIssue]  # `rng` since SciPy 1.15
    found = worst_case_error(fit, POLYNOMIAL, beta, name, norm, horizon=horizon)
    assert found.lower >= best * (1 - 1e-6)
    assert best <= found.upper <= 1.01 * best


@pytest.mark.parametrize("beta", [0.05, 0.3, 0.45])
def test_one_mode_in_l1_has_a_closed_form(beta):
    # ∫|a e^{−λ̃t} − a e^{−λt}| = a |1/λ̃ − 1/λ|, largest for the slowest
    fit, rho = exponential_sum([0.5], [2.0]), exponential_sum([0.5], [2.0])
    found = worst_case_error(fit, rho, beta, "direct", "l1", perturbed="rates")
    exact = 2 * (1 / (0.5 - beta) - 2)
    assert found.attained
    # about 800 nodes, and two integrals of size 2/(0.5 − β) that cancel
    tolerance = 4 * 1000 * EPS * (2 / (0.5 - beta) + 4)
    assert found.lower == pytest.approx(exact, abs=tolerance)
    assert found.upper == pytest.approx(exact, abs=tolerance)
    assert found.weights[0] == -0.5 + beta


def test_one_mode_in_the_functional_norm_has_a_closed_form():
    # ã = (√a + β)², λ̃ = λ − β: Δ = ãe^{−λ̃t} − ae^{−λt} rises to a peak, then falls
    fit, rho, beta = exponential_sum([0.5], [1.0]), targets.exponential(0.5), 0.1
    found = worst_case_error(fit, rho, beta, "direct", "w1")
    a, rate = 1.1**2, 0.4
    turn = math.log(a * rate / 0.5) / (rate - 0.5)
    peak = max(a - 1, a * math.exp(-rate * turn) - math.exp(-0.5 * turn) if turn > 0 else 0.0)
    exact = (a / rate - 2) + (a - 1) + (2 * peak - (a - 1))
    # Δ' changes its sign at the turn, inside a cell
    assert found.lower <= exact * (1 + 1e-9)
    assert found.upper >= exact * (1 - 1e-9)
    assert found.lower == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("name", ["direct", "softplus", "exp", "lru"])
def test_a_supremum_at_a_corner_is_closed(name):
    # positive amplitudes and the fit's own memory as target: the slowest corner is the worst
    fit = exponential_sum([0.05, 0.4, 1.0], [0.3, 1.0, 0.2])
    for norm in ("l2", "l1"):
        found = worst_case_error(fit, fit, 0.04, name, norm, horizon=50, perturbed="rates", tolerance=0.0)
        assert found.attained
        w = centre_of(fit, name, "exponential")[0]
        np.testing.assert_allclose(np.abs(found.weights - w), 0.04, rtol=1e-9)


def test_brackets_of_polynomial_memory_are_tight():
    fit = fit_exponential_sum(POLYNOMIAL.on_grid(100).values, terms=4)
    for name in ("direct", "softplus"):
        curve = worst_case_curve(fit, POLYNOMIAL, [1e-3, 1e-2, 1e-1], name, "l2", horizon=100)
        assert (curve.upper / curve.lower).max() < 1.03


@pytest.mark.parametrize(
    ("name", "step"), [("direct", "euler"), ("softplus", "euler"), ("lru", "exponential")]
)
def test_the_random_draws_are_those_of_the_measurement(name, step):
    fit = fit_exponential_sum(POLYNOMIAL.on_grid(30).values, terms=3)
    model = RNN.from_exponential_sum(rates=fit.rates, coefficients=fit.coefficients, parameterization=name)
    betas = [0.0, 0.01, 0.1]
    measured = np.sqrt(perturbation_curve(model, LinearFunctional(POLYNOMIAL, 30), betas, draws=20).error)
    curve = worst_case_curve(
        fit, POLYNOMIAL, betas, name, "expected", horizon=30, step=step, draws=20, weight=bias.power(0)
    )
    # the reparameterised weight and its powers cost digits on both sides
    np.testing.assert_allclose(curve.random, measured, rtol=1e-9)
    assert (measured <= curve.upper).all()


def test_many_measured_draws_stay_within_the_bracket():
    fit = fit_exponential_sum(POLYNOMIAL.on_grid(30).values, terms=2)
    model = RNN.from_exponential_sum(rates=fit.rates, coefficients=fit.coefficients)
    task = LinearFunctional(POLYNOMIAL, 30)
    measured = np.sqrt(perturbation_curve(model, task, [0.02], draws=2000, seed=5).error.item())
    found = worst_case_error(fit, POLYNOMIAL, 0.02, "direct", "expected", horizon=30, step="euler")
    assert found.random < measured <= found.lower * (1 + 1e-12)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_half_line_error_obeys_the_modulus(name):
    # definition of a stable reparameterisation: E(β) <= E(0) + Σ|aᵢ| g(β)/λᵢ in L¹
    fit = exponential_sum([0.1, 0.8], [0.2, -0.7])
    for beta in (0.01, 0.3):
        found = worst_case_error(fit, POLYNOMIAL, beta, name, "l1", perturbed="rates")
        promised = found.centre + (np.abs(fit.coefficients) / fit.rates).sum() * get(name).g(beta)
        assert found.upper <= promised * (1 + 1e-3) or math.isinf(promised)


@pytest.mark.parametrize("beta", [0.0, 0.1, 1.0])
def test_what_a_memory_keeps_beyond_all_modes_counts(beta):
    # (1 + t)^{−3/2} − e^{−λt} > 0 for λ > 3/2, its integral is 2 − 1/λ: the fastest model is the worst
    found = worst_case_error(
        exponential_sum([3.0], [1.0]), targets.polynomial(1.5), beta, "direct", "l1", perturbed="rates"
    )
    exact = 2 - 1 / (3 + beta)
    assert found.lower == pytest.approx(exact, rel=1e-10)  # of one sign: cells hide nothing
    assert found.upper == pytest.approx(exact, rel=1e-10)


def test_the_half_line_is_the_limit_of_long_grids():
    fit = fit_exponential_sum(targets.polynomial(1.5).on_grid(40, 0.05).values, terms=2, dt=0.05)
    for norm in ("l1", "l2", "w1"):
        line = worst_case_error(fit, targets.polynomial(3.0), 0.1, "exp", norm)
        grid = worst_case_error(fit, targets.polynomial(3.0), 0.1, "exp", norm, horizon=4000)
        # sums of step 0.05 against integrals: off by half a step of the first value
        assert line.lower == pytest.approx(grid.lower, rel=0.05)
        assert line.quadrature < 1e-3 * line.lower


def test_from_the_stability_radius_on_the_error_is_infinite():
    fit = exponential_sum([0.1, 0.5], [0.2, 1.0])
    below, at = (worst_case_error(fit, POLYNOMIAL, beta, "direct") for beta in (0.0999, 0.1))
    assert math.isfinite(below.upper)
    assert at.lower == at.upper == math.inf
    assert "does not decay" in at.reason
    assert below.radius == at.radius == 0.1


TOUCHING = Reparameterization("touching", lambda x, w: -((w - 0.3) ** 2), free=lambda x, v: 0.3 + x.sqrt(-v))


@pytest.mark.parametrize("norm", ["l1", "l2", "w1"])
def test_a_map_that_touches_zero_is_bounded_up_to_there(norm):
    # the slowest mode within β of 0.3 + √½ has the rate (√½ − β)²
    fit, rho = exponential_sum([0.5], [1.0]), targets.exponential(0.5)
    below, beyond = (
        worst_case_error(fit, rho, beta, TOUCHING, norm, perturbed="rates") for beta in (0.5, 0.70711)
    )
    slow = (math.sqrt(0.5) - 0.5) ** 2
    exact = {"l1": 1 / slow - 2, "l2": math.sqrt(1 / (2 * slow) + 1 - 2 / (slow + 0.5))}
    if norm in exact:
        assert below.lower == pytest.approx(exact[norm], rel=1e-9)
        assert below.upper == pytest.approx(exact[norm], rel=1e-9)
    assert beyond.lower == beyond.upper == math.inf
    assert below.radius == pytest.approx(math.sqrt(0.5), rel=1e-12)
    assert below.certified


@pytest.mark.parametrize("horizon", [None, 20])
def test_a_map_that_wiggles_is_bounded_with_its_wiggles(horizon):
    # within 4 % of w, rising and falling
    def wiggling(x, w):
        return w + 0.04 * x.sin(100 * w)

    w = -1.0
    rate = -float(wiggling(np, w))
    f = Reparameterization("wiggling", wiggling, free=lambda x, v: 0 * v + w)
    fit, rho, beta = exponential_sum([rate], [1.0]), targets.exponential(rate), 0.05
    found = worst_case_error(fit, rho, beta, f, "l2", horizon=horizon, perturbed="rates")
    rates = -wiggling(np, w + beta * np.linspace(-1, 1, 100_001))
    if horizon is None:
        errors = np.sqrt(1 / (2 * rates) + 1 / (2 * rate) - 2 / (rate + rates))
    else:
        s = np.arange(horizon)
        errors = np.sqrt(sum((np.exp(-rates * k) - math.exp(-rate * k)) ** 2 for k in s))
    assert errors.max() <= found.upper * (1 + 1e-9)
    assert found.upper <= 1.01 * errors.max()
    # a wiggle away from the ends of the ball is the worst
    assert errors.max() > 1.05 * max(errors[0], errors[-1])


def test_a_map_that_nothing_is_proved_of_gets_no_certificate():
    table = Reparameterization(
        "table", lambda x, w: -np.log1p(np.exp(w)), free=lambda x, v: np.log(np.expm1(-v))
    )
    fit = exponential_sum([0.3], [1.0])
    for horizon in (None, 20):
        found = worst_case_error(fit, POLYNOMIAL, 0.1, table, horizon=horizon)
        known = worst_case_error(fit, POLYNOMIAL, 0.1, "softplus", horizon=horizon)
        assert (found.upper, found.certified, known.certified) == (math.inf, False, True)
        assert "no certificate" in found.reason
        assert found.lower == pytest.approx(known.lower, rel=1e-6)
    promised = Reparameterization("promised", table.definition, free=table.free, turns=())
    again = worst_case_error(fit, POLYNOMIAL, 0.1, promised, horizon=20)
    assert again.certified
    assert again.upper == pytest.approx(known.upper, rel=1e-6)


def test_a_mode_that_is_not_there_does_not_count():
    # with its amplitude kept at zero the slow mode may become unstable
    rho = targets.exponential(0.5)
    both, one = (
        worst_case_error(exponential_sum(*sums), rho, 0.2, "direct", "l1", perturbed="rates")
        for sums in (([0.05, 0.5], [0.0, 1.0]), ([0.5], [1.0]))
    )
    assert both.upper == pytest.approx(one.upper, rel=1e-9)
    assert both.lower == pytest.approx(one.lower, rel=1e-9)
    assert (both.radius, both.weights.tolist(), both.coefficients.tolist()) == (
        0.5,
        [-0.05, -0.3],
        [0.0, 1.0],
    )
    nothing = worst_case_error(exponential_sum([0.05], [0.0]), rho, 0.2, "direct", "l1", perturbed="rates")
    assert nothing.lower == pytest.approx(2.0, rel=1e-9)  # ∫e^{−t/2}
    assert nothing.upper == pytest.approx(2.0, rel=1e-9)
    assert nothing.radius == math.inf


@pytest.mark.slow
@pytest.mark.parametrize("name", ["exp", "softplus", "best", "relu", "lru", "tanh", "direct"])
@pytest.mark.parametrize("beta", [0.0, 1e-300, 100.0, 1e4, 1e300])
@pytest.mark.parametrize("horizon", [None, 9])
def test_radii_of_any_size_give_bounds_in_order(name, beta, horizon):
    if horizon is None and get(name).time == "discrete":
        return
    fit = exponential_sum([1e-6, 1.2, 1.2], [0.5, 0.0, -1.0])
    for norm in ("l1", "w1"):
        found = worst_case_error(fit, targets.exponential(0.5), beta, name, norm, horizon=horizon, draws=3)
        assert 0 <= found.centre <= found.random <= found.lower <= found.upper


def test_a_weight_at_the_edge_of_its_map():
    # the fastest mode of "best" is at w = 0, where f turns: rates only fall from there
    fit, rho = exponential_sum([2.0], [1.0]), targets.exponential(2.0)
    found = worst_case_error(fit, rho, 0.5, "best", "l1", perturbed="rates")
    assert found.lower == pytest.approx(0.75 - 0.5, rel=1e-9)  # (w² + ½) − ½ at w = ½
    assert found.upper == pytest.approx(0.25, rel=1e-9)


def test_leaving_the_domain_is_infinite_on_a_grid_too():
    found = worst_case_error(exponential_sum([0.5], [1.0]), POLYNOMIAL, 3.0, "inverse", horizon=5)
    assert found.lower == math.inf
    assert "domain" in found.reason


def test_a_target_of_infinite_norm_is_infinitely_far():
    found = worst_case_error(exponential_sum([0.5], [1.0]), targets.polynomial(0.9), 0.1, norm="l1")
    assert found.lower == math.inf
    assert "unperturbed" in found.reason


def test_without_perturbation_both_bounds_are_the_error():
    fit = fit_exponential_sum(POLYNOMIAL.on_grid(100).values, terms=3)
    found = worst_case_error(fit, POLYNOMIAL, 0.0, horizon=100)
    error = np.linalg.norm(POLYNOMIAL(np.arange(100)) - fit(np.arange(100)))
    # 100 lags, values of size one
    assert found.lower == pytest.approx(error, abs=1e-12)
    assert found.upper == pytest.approx(error, abs=1e-12)


def test_an_exact_fit_has_no_error_and_says_so():
    fit = exponential_sum([0.3], [1.0])
    found = worst_case_error(fit, targets.exponential(0.3), 0.0, horizon=20)
    assert found.lower == 0
    assert found.upper < 1e-12
    assert math.isnan(found.underestimate)


def test_large_errors_do_not_overflow_early():
    fit = exponential_sum([0.1], [1.0])
    found = worst_case_error(fit, POLYNOMIAL, 2.0, "direct", horizon=150, perturbed="rates")
    # e^{1.9 · 149}, the last lag, is 1e122; its square would still fit, that of horizon 300 would not
    assert found.upper == pytest.approx(math.exp(1.9 * 149) / math.sqrt(1 - math.exp(-3.8)), rel=1e-9)
    longer = worst_case_error(fit, POLYNOMIAL, 2.0, "direct", horizon=300, perturbed="rates")
    assert longer.lower == pytest.approx(math.exp(1.9 * 299) / math.sqrt(1 - math.exp(-3.8)), rel=1e-9)


def test_errors_beyond_double_precision_are_infinite_and_say_so():
    found = worst_case_error(exponential_sum([0.1], [1.0]), POLYNOMIAL, 5.0, "direct", horizon=300)
    assert found.lower == found.upper == math.inf
    assert "double precision" in found.reason


def test_more_boxes_never_loosen_the_bound():
    fit = fit_exponential_sum(POLYNOMIAL.on_grid(60).values, terms=3)
    uppers = [
        worst_case_error(fit, POLYNOMIAL, 0.02, "exp", "l1", horizon=60, perturbed="rates", budget=n).upper
        for n in (1, 20, 300)
    ]
    assert uppers[0] > uppers[1] >= uppers[2]


def test_bounds_of_nested_balls_serve_each_other(monkeypatch):
    lowers, uppers = iter([1.0, 0.9, 2.0]), iter([3.0, 2.5, 4.0])

    def bracket(model, beta, **_):
        none = np.zeros(2)
        return WorstCase(beta, next(lowers), next(uppers), 0.5, np.zeros(1), 0.1, 1.0, none, none, none, none)

    monkeypatch.setattr(worst_case, "bracket", bracket)
    curve = worst_case_curve(FIT, POLYNOMIAL, [0.1, 0.2, 0.3])
    assert curve.lower.values.tolist() == [1.0, 1.0, 2.0]
    assert curve.upper.values.tolist() == [2.5, 2.5, 4.0]


FIT = exponential_sum([0.1, 0.5], [0.2, 1.0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: worst_case_error(FIT, POLYNOMIAL, -0.1), ValueError, "beta must not be negative"),
        (lambda: worst_case_error(FIT, POLYNOMIAL, math.nan), ValueError, "beta must be finite"),
        (
            lambda: worst_case_error(FIT, POLYNOMIAL, 0.1, "soft"),
            ValueError,
            "parameterization must be one of",
        ),
        (lambda: worst_case_error(FIT, POLYNOMIAL, 0.1, norm="l3"), ValueError, "norm must be one of"),
        (lambda: worst_case_error(FIT, np.ones(9), 0.1), TypeError, r"rho on all of \[0, ∞\)"),
        (lambda: worst_case_error(FIT, POLYNOMIAL, 0.1, weight=np.ones(3)), ValueError, "give horizon"),
        (lambda: worst_case_error(FIT, POLYNOMIAL, 0.1, horizon=0), ValueError, "horizon must be at least 1"),
        (
            lambda: worst_case_error(FIT, POLYNOMIAL, 0.1, perturbed="u"),
            ValueError,
            "perturbed must be one of",
        ),
        (lambda: worst_case_error(FIT, POLYNOMIAL, 0.1, step="zoh"), ValueError, "step must be one of"),
        (lambda: worst_case_error(FIT, POLYNOMIAL, 0.1, draws=0), ValueError, "draws must be at least 1"),
        (lambda: worst_case_error(FIT, POLYNOMIAL, 0.1, budget=0), ValueError, "budget must be at least 1"),
        (lambda: worst_case_error([0.1], POLYNOMIAL, 0.1), TypeError, "fit must be an ExponentialSum"),  # pyright: ignore[reportArgumentType]
        (
            lambda: worst_case_error(FIT, POLYNOMIAL.on_grid(9, 0.5), 0.1, horizon=9),
            ValueError,
            "rho and dt must agree in their step",
        ),
        (
            lambda: worst_case_error(exponential_sum([0.1, 3.0], [1.0, 1.0]), POLYNOMIAL, 0.1, "best"),
            ValueError,
            "'best' takes values",
        ),
        (lambda: worst_case_curve(FIT, POLYNOMIAL, [0.1, 0.1]), ValueError, "strictly increasing"),
        (lambda: worst_case_curve(FIT, POLYNOMIAL, [0.1], drafts=3), ValueError, "did you mean 'draws'"),  # pyright: ignore[reportCallIssue]
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
