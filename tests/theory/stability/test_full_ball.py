"""The ball in which the whole matrix moves: no model found by other means exceeds the bracket."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm, solve_continuous_lyapunov

from curse_of_memory.measure import perturbation_curve
from curse_of_memory.nn import RNN
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets
from curse_of_memory.theory.exponential_sums import ExponentialSum, fit_exponential_sum
from curse_of_memory.theory.stability import stability_radius
from curse_of_memory.theory.stability.full_ball import FullBall, Matrices, polar
from curse_of_memory.theory.stability.full_bound import _affine, _grid_rest, _line_rest, linear_and_rest
from curse_of_memory.theory.stability.matrix_dual import largest_affine
from curse_of_memory.theory.stability.perturbed_model import perturbed_model
from curse_of_memory.theory.stability.worst_case import worst_case_curve, worst_case_error

EPS = np.finfo(float).eps
RHO = targets.polynomial(1.1, rate=0.1)
STEPS = [("direct", "exponential"), ("direct", "euler"), ("direct-discrete", "exponential")]


def exponential_sum(rates, coefficients, dt=1.0):
    return ExponentialSum(rates=np.array(rates, float), coefficients=np.array(coefficients, float), dt=dt)


def centre_of(fit, name, step):
    """Return matrix, u and c of the unperturbed model, written down once more."""
    root = np.sqrt(np.abs(fit.coefficients))
    z = np.exp(-fit.rates * fit.dt)
    w = {"direct-discrete": z, "euler": (z - 1) / fit.dt}.get(name if "-" in name else step, -fit.rates)
    return np.diag(w), root, np.sign(fit.coefficients) * root


def memory(W, u, c, name, step, horizon, dt):
    """Return the memories of models (n, m, m), step by step."""
    eye = np.eye(W.shape[-1])
    A = W if name == "direct-discrete" else eye + dt * W if step == "euler" else expm(dt * W)
    state, values = u[..., None], []
    for _ in range(horizon):
        values.append((c[:, None, :] @ state)[:, 0, 0])
        state = A @ state
    return np.stack(values, 1)


def norm_of(values, norm, dt):
    if norm == "l2":
        return np.sqrt(dt * (values**2).sum(-1))
    if norm == "expected":
        T = values.shape[-1]
        return np.sqrt(dt**2 * (np.arange(T, 0, -1) * values**2).sum(-1) / T)
    size = dt * np.abs(values).sum(-1)
    if norm == "w1":
        size = size + np.abs(values[..., 0]) + np.abs(np.diff(values)).sum(-1)
    return size


def random_moves(rng, count, m):
    """Return matrices of spectral norm one, of rank one and orthogonal, too, and vectors of length one."""
    X = rng.standard_normal((count, m, m))
    X[: count // 3] = X[: count // 3, :, :1] @ X[: count // 3, :1, :]
    X[count // 3 : count // 2] = polar(X[count // 3 : count // 2])
    X /= np.linalg.norm(X, 2, axis=(1, 2), keepdims=True)
    p, q = rng.standard_normal((2, count, m))
    return X, *(v / np.linalg.norm(v, axis=1, keepdims=True) for v in (p, q))


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    rates=st.lists(st.floats(0.01, 1.5), min_size=1, max_size=4),
    amplitudes=st.lists(st.sampled_from([-2.0, -0.3, 0.0, 0.01, 0.7, 3.0]), min_size=4, max_size=4),
    how=st.sampled_from(STEPS),
    norm=st.sampled_from(["l2", "l1", "w1", "expected"]),
    perturbed=st.sampled_from(["all", "rates"]),
    horizon=st.integers(1, 40),
    beta=st.floats(-4, 0.0).map(lambda x: 10**x),
    dt=st.sampled_from([1.0, 0.5]),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_full_matrix_exceeds_the_bound(rates, amplitudes, how, norm, perturbed, horizon, beta, dt, seed):
    fit, (name, step) = exponential_sum(rates, amplitudes[: len(rates)], dt), how
    options = {"horizon": horizon, "perturbed": perturbed, "step": step, "ball": "full", "draws": 5}
    found = worst_case_error(fit, RHO, beta, name, norm, **options)
    W, u, c = centre_of(fit, name, step)
    X, p, q = random_moves(np.random.default_rng(seed), 300, len(rates))
    moved = beta if perturbed == "all" else 0.0
    with np.errstate(over="ignore"):
        values = memory(W + beta * X, u + moved * p, c + moved * q, name, step, horizon, dt)
        errors = norm_of(RHO(dt * np.arange(horizon)) - values, norm, dt)
    # sums of at most 40 lags and as many products of matrices
    assert errors.max() <= found.upper * (1 + 1e-12) + 1e-13
    assert found.random <= found.lower <= found.upper
    if math.isfinite(found.lower):
        again = memory(found.weights[None], found.inputs[None], found.outputs[None], name, step, horizon, dt)
        reached = norm_of(RHO(dt * np.arange(horizon)) - again, norm, dt)[0]
        assert found.lower <= max(reached, found.random) * (1 + 1e-12) + 1e-13
        assert np.linalg.norm(found.weights - W, 2) <= beta * (1 + 64 * EPS) + 4 * EPS
        for part, start in ((found.inputs, u), (found.outputs, c)):
            assert np.linalg.norm(part - start) <= moved * (1 + 64 * EPS) + 4 * EPS * (1 + np.linalg.norm(u))


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_a_full_matrix_does_what_no_diagonal_one_can(norm):
    fit, beta = fit_exponential_sum(RHO.on_grid(100), terms=4), 0.01
    diagonal, full = (
        worst_case_error(
            fit, RHO, beta, "direct", norm, horizon=100, step="euler", ball=ball, perturbed="rates"
        )
        for ball in ("diagonal", "full")
    )
    assert full.lower > 1.05 * diagonal.upper
    W, u, c = centre_of(fit, "direct", "euler")
    reached = memory(full.weights[None], u[None], c[None], "direct", "euler", 100, 1.0)
    assert norm_of(RHO(np.arange(100.0)) - reached, norm, 1.0)[0] > 1.05 * diagonal.upper
    assert np.linalg.norm(full.weights - W, 2) <= beta * (1 + 64 * EPS)
    assert (diagonal.ball, full.ball) == ("diagonal", "full")


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["l2", "w1", "expected"])
@pytest.mark.parametrize(("name", "step"), STEPS)
def test_thousands_of_draws_at_the_sphere(name, step, norm):
    fit, horizon = fit_exponential_sum(RHO.on_grid(60), terms=3), 60
    W, u, c = centre_of(fit, name, step)
    X, p, q = random_moves(np.random.default_rng(1), 5000, 3)
    for beta in (1e-3, 0.02, 0.3):
        found = worst_case_error(fit, RHO, beta, name, norm, horizon=horizon, step=step, ball="full")
        values = memory(W + beta * X, u + beta * p, c + beta * q, name, step, horizon, 1.0)
        errors = norm_of(RHO(np.arange(horizon)) - values, norm, 1.0)
        assert errors.max() <= found.lower * (1 + 1e-9)  # the ascent finds worse ones
        assert found.upper <= {1e-3: 1.05, 0.02: 1.5, 0.3: 4.0}[beta] * found.lower


def square_norm(W, u, c, rates, amplitudes):
    """Return ∫(Σ aᵢ e^{−λᵢ t} − cᵀe^{Wt}u)² dt by a Lyapunov equation."""
    m, k = len(W), len(rates)
    A = np.zeros((m + k, m + k))
    A[:m, :m], A[m:, m:] = W, -np.diag(rates)
    b, out = np.concatenate([u, np.ones(k)]), np.concatenate([-c, amplitudes])
    return out @ solve_continuous_lyapunov(A, -np.outer(b, b)) @ out


@pytest.mark.parametrize("perturbed", ["all", "rates"])
@pytest.mark.parametrize("beta", [0.0, 1e-3, 0.03, 0.09])
def test_on_the_half_line_against_lyapunov_equations(perturbed, beta):
    rates, amplitudes = np.array([0.1, 0.6, 0.6]), np.array([0.5, -0.2, 1.0])
    fit, rho = exponential_sum(rates, amplitudes), targets.exponential(0.25)
    found = worst_case_error(fit, rho, beta, "direct", "l2", ball="full", perturbed=perturbed)
    W, u, c = centre_of(fit, "direct", "exponential")
    X, p, q = random_moves(np.random.default_rng(2), 1000, 3)
    moved = beta if perturbed == "all" else 0.0
    target = (np.array([0.25]), np.array([1.0]))
    errors = [
        math.sqrt(square_norm(W + beta * x, u + moved * a, c + moved * b, *target))
        for x, a, b in zip(X, p, q, strict=True)
    ]
    reached = math.sqrt(square_norm(found.weights, found.inputs, found.outputs, *target))
    # of a Lyapunov equation of condition up to 1e3
    assert max(errors) <= found.upper * (1 + 1e-9)
    assert found.lower == pytest.approx(reached, rel=1e-9)
    assert found.lower >= max(errors) * (1 - 1e-9)
    assert found.upper <= {0.0: 1 + 1e-8, 1e-3: 1.01, 0.03: 2.5, 0.09: 200.0}[beta] * found.lower


@pytest.mark.parametrize("norm", ["l1", "w1"])
def test_on_the_half_line_against_long_fine_grids(norm):
    fit, rho, beta = exponential_sum([0.2, 0.9], [0.5, -0.8]), targets.exponential(0.3), 0.02
    found = worst_case_error(fit, rho, beta, "direct", norm, ball="full")
    W, u, c = centre_of(fit, "direct", "exponential")
    X, p, q = random_moves(np.random.default_rng(3), 200, 2)
    dt, horizon = 0.02, 6000
    t = dt * np.arange(horizon)
    values = memory(W + beta * X, u + beta * p, c + beta * q, "direct", "exponential", horizon, dt)
    errors = rho(t) - values
    size = np.trapezoid(np.abs(errors), dx=dt)
    if norm == "w1":
        size = size + np.abs(errors[:, 0]) + np.abs(np.diff(errors)).sum(1)
    # the trapezoidal rule is off by dt² of the curvature, and by kinks
    assert size.max() <= found.upper * (1 + 1e-3)
    assert found.upper <= 1.5 * found.lower


def test_one_mode_is_its_own_full_matrix():
    fit = exponential_sum([0.2], [0.8])
    for horizon in (None, 30):
        diagonal, full = (
            worst_case_error(fit, targets.exponential(0.5), 0.05, "direct", "l2", horizon=horizon, ball=ball)
            for ball in ("diagonal", "full")
        )
        assert full.lower == pytest.approx(diagonal.lower, rel=1e-6)
        assert full.upper >= diagonal.lower
        assert full.radius == diagonal.radius


def test_from_the_stability_radius_on_the_error_is_infinite():
    fit = exponential_sum([0.1, 0.5], [0.2, 1.0])
    below, at = (worst_case_error(fit, RHO, beta, "direct", ball="full") for beta in (0.099, 0.1))
    assert math.isfinite(below.upper)
    assert at.lower == at.upper == math.inf
    assert "does not decay" in at.reason
    assert stability_radius([0.1, 0.5], ball="full") == 0.1


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [None, 1, 9])
@pytest.mark.parametrize(
    ("rates", "amplitudes"),
    [
        ([0.5], [1.0]),
        ([0.5, 0.5], [1.0, -1.0]),
        ([1e-6, 0.3, 50.0], [1e-3, 0.0, 2.0]),
        ([0.3, 0.4], [0.0, 0.0]),
        ([1e-8, 1e8], [1.0, 1.0]),
    ],
)
def test_radii_and_rates_of_any_size_give_bounds_in_order(rates, amplitudes, horizon):
    fit, rho, least = exponential_sum(rates, amplitudes), targets.exponential(0.5), min(rates)
    for beta in (0.0, 1e-300, 1e-9, least * (1 - 1e-9), least, 3.0, 1e3, 1e300):
        for norm, perturbed in (("l2", "all"), ("w1", "rates")):
            options = {"horizon": horizon, "ball": "full", "perturbed": perturbed, "draws": 3}
            found = worst_case_error(fit, rho, beta, "direct", norm, **options)
            assert 0 <= found.centre <= found.random <= found.lower <= found.upper
            moves = perturbed == "all" or any(amplitudes)
            if horizon is None and moves:
                assert math.isinf(found.lower) == (beta >= least)


def test_no_matrix_within_the_radius_is_unstable():
    rates = np.array([0.1, 0.4, 1.0])
    radius = stability_radius(rates, "direct", ball="full")
    X, _, _ = random_moves(np.random.default_rng(4), 5000, 3)
    assert np.linalg.eigvals(-np.diag(rates) + 0.999 * radius * X).real.max() < 0
    # normal matrices: the nearest unstable one moves one eigenvalue
    assert np.linalg.eigvals(-np.diag(rates) + radius * np.diag([1.0, 0, 0])).real.max() == 0


@pytest.mark.parametrize("seed", [0, 3])
def test_the_random_draws_are_those_of_the_measurement(seed):
    fit, m = fit_exponential_sum(RHO.on_grid(30), terms=3), 3
    W, u, c = centre_of(fit, "direct", "euler")
    model = RNN(m, bias=False, seed=0, dtype=torch.float64)
    values = {"recurrent_weight": W, "input_weight": u[:, None], "output_weight": c[None]}
    model.load_state_dict({key: torch.from_numpy(value) for key, value in values.items()})
    betas = [0.0, 0.01, 0.1]
    measured = perturbation_curve(model, LinearFunctional(RHO, 30), betas, draws=10, seed=seed)
    options = {"horizon": 30, "step": "euler", "draws": 10, "seed": seed, "ball": "full"}
    curve = worst_case_curve(fit, RHO, betas, "direct", "expected", **options)
    # sums of 30 lags of values of size one, and what rounding may add is taken off
    np.testing.assert_allclose(curve.random, np.sqrt(measured.error), rtol=1e-9, atol=1e-11)
    assert (curve.random <= curve.upper).all()
    assert curve.attrs["ball"] == "full"


def line_rows(model, slowest, fastest, sampled=False):
    line = model.line(slowest, fastest, sampled)
    assert line is not None
    return line.rows


def ball_of(norm="l2", name="direct", step="exponential", horizon: int | None = 12):
    fit = exponential_sum([0.1, 0.6], [0.5, -0.2])
    model = perturbed_model(fit, targets.polynomial(1.5), name, norm, horizon, None, "all", step)
    W, u, c = centre_of(fit, name, step)
    rows = model.steps or line_rows(model, 0.05, 1.0, sampled=True)
    return FullBall(Matrices(W[None], u[None], c[None]), 0.03, True, model.poles, rows)


@pytest.mark.parametrize("horizon", [12, None])
@pytest.mark.parametrize("norm", ["l2", "l1", "w1"])
@pytest.mark.parametrize(("name", "step"), STEPS)
def test_gradients_are_derivatives(norm, name, step, horizon):
    if horizon is None and (name, step) != STEPS[0]:
        return
    ball = ball_of(norm, name, step, horizon)
    x = ball.random(3, 0)
    size, g = ball.gradient(x)
    np.testing.assert_allclose(ball.by_eigenvalues(x), size, rtol=1e-12)
    np.testing.assert_allclose(size, ball.errors(x), rtol=1e-10)
    h = 1e-6
    for field in ("W", "u", "c"):
        start = getattr(x, field)
        for place in np.ndindex(start.shape[1:]):
            moved = np.zeros(start.shape[1:])
            moved[place] = h
            ends = [ball.errors(replace(x, **{field: start + s * moved})) for s in (1, -1)]
            # central differences: h² of third derivatives of up to 1e4, and rounding over h
            slope, found = (ends[0] - ends[1]) / (2 * h), getattr(g, field)[(..., *place)]
            np.testing.assert_allclose(slope, found, rtol=1e-6, atol=1e4 * h**2 + 1e4 * EPS / h)


# --- what is not linear in the move ----------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["l2", "w1"])
@pytest.mark.parametrize(("name", "step"), STEPS[1:])
@pytest.mark.parametrize("beta", [1e-3, 0.05, 0.4])
def test_the_rest_of_one_mode_is_exact(norm, name, step, beta):
    # all parts of the move of one mode towards slower and larger: nothing is lost by norms
    fit, horizon, dt = exponential_sum([0.7], [0.6], 0.5), 9, 0.5
    model = perturbed_model(fit, np.zeros(horizon), name, norm, horizon, None, "all", step)
    assert model.steps is not None
    W, u, c = centre_of(fit, name, step)
    ball = FullBall(Matrices(W[None], u[None], c[None]), beta, True, model.poles, model.steps)
    z, move = math.exp(-0.35), beta * (dt if name == "direct" else 1.0)
    s = np.arange(horizon)
    whole = (u[0] + beta) * (c[0] + beta) * (z + move) ** s - u[0] * c[0] * z**s
    linear = u[0] * c[0] * s * z ** np.maximum(s - 1, 0) * move + beta * (u[0] + c[0]) * z**s
    rest = _grid_rest(ball, np.diag(W), u, c)
    weights = model.steps.value_weights
    np.testing.assert_allclose(rest[:horizon], weights * (whole - linear), rtol=1e-9, atol=1e-14)
    # the worst model of a target zero is this one
    error = norm_of((u[0] + beta) * (c[0] + beta) * (z + move) ** s, norm, dt)
    bound = sum(linear_and_rest(ball, np.ones(3)))
    assert error <= bound * (1 + 1e-12)
    if norm == "l2":  # there all terms have one sign
        assert bound <= error * (1 + 1e-9)
    else:  # far above the memory the worst model moves down, and all of the rest is added
        far = perturbed_model(fit, np.full(horizon, 10.0), name, norm, horizon, None, "all", step)
        assert far.steps is not None
        _, added = linear_and_rest(replace(ball, rows=far.steps), -np.ones(3))
        assert added == pytest.approx(float(far.steps.norm(rest)), rel=1e-12)
    # differences of terms of both signs are bounded by the sums of their sizes
    assert (rest[horizon:] >= np.abs(np.diff(whole - linear))[: rest.size - horizon] - 1e-14).all()


@pytest.mark.parametrize("ball_norm", ["l2", "w1"])
@pytest.mark.parametrize(("name", "step"), STEPS)
@pytest.mark.parametrize("beta", [1e-3, 0.05, 0.4])
def test_the_rest_is_below_its_bound(ball_norm, name, step, beta):
    fit, horizon, m = exponential_sum([0.05, 0.4, 1.0], [0.3, -1.0, 0.2]), 20, 3
    model = perturbed_model(fit, np.zeros(horizon), name, ball_norm, horizon, None, "all", step)
    assert model.steps is not None
    W, u, c = centre_of(fit, name, step)
    ball = FullBall(Matrices(W[None], u[None], c[None]), beta, True, model.poles, model.steps)
    X, p, q = random_moves(np.random.default_rng(5), 500, m)
    p[:100], q[:100] = u / np.linalg.norm(u), c / np.linalg.norm(c)
    X[:100] = c[:, None] * u / np.linalg.norm(c) / np.linalg.norm(u)

    def rows(share):
        return ball.memories(Matrices(W + share * beta * X, u + share * beta * p, c + share * beta * q))

    # what is linear in the move, by its matrix of rows
    _, N = _affine(ball, np.diag(W), u, c)
    moves = np.concatenate([X.reshape(500, -1), p, q], 1) * beta
    rest = np.abs(rows(1.0) - rows(0.0) + moves @ N)
    bound = _grid_rest(ball, np.diag(W), u, c)
    assert (rest <= bound * (1 + 1e-9) + 1e-13).all()
    # no power of β is missing, nor too much
    assert bound[:horizon].sum() < 12 * rest[:, :horizon].sum(1).max()


@pytest.mark.parametrize("beta", [1e-3, 0.05])
def test_the_rest_of_one_mode_on_the_half_line_is_exact(beta):
    # ∫ of (u + β)(c + β) e^{−(λ − β)t} less its linear part in β
    fit, rate, a = exponential_sum([0.3], [0.6]), 0.3, 0.6
    model = perturbed_model(fit, targets.exponential(1.0), "direct", "l1", None, None, "all", "exponential")
    W, u, c = centre_of(fit, "direct", "exponential")
    rows = line_rows(model, rate - beta, rate)
    ball = FullBall(Matrices(W[None], u[None], c[None]), beta, True, model.poles, rows)
    whole = (u[0] + beta) * (c[0] + beta) / (rate - beta) - a / rate
    linear = a * beta / rate**2 + beta * (u[0] + c[0]) / rate
    # norms of exponentials are chords of a fine grid
    assert _line_rest(ball, rows, np.diag(W), u, c) == pytest.approx(whole - linear, rel=1e-4)


# --- the bound of an affine function ------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize("vectors", [True, False])
def test_affine_functions_stay_below_their_bound(order, m, vectors):
    rng = np.random.default_rng(m)
    size = m * m + 2 * m * vectors
    sizes = np.array([0.7, 0.4, 1.3])
    for scale in (0.0, 0.1, 5.0):
        r, N = scale * rng.standard_normal(9), rng.standard_normal((size, 9)) * rng.random((size, 1)) ** 3
        bound = largest_affine(r, N, sizes, rng.standard_normal(size), order)
        X, p, q = random_moves(rng, 2000, m)
        v = np.concatenate([0.7 * X.reshape(2000, -1), *([0.4 * p, 1.3 * q] if vectors else [])], 1)
        for _ in range(30):  # an ascent from each of them
            x = r + v @ N
            g = (x if order == 2 else np.sign(x)) @ N.T
            parts = [0.7 * polar(g[:, : m * m].reshape(-1, m, m)).reshape(-1, m * m)]
            for at, radius in ((m * m, 0.4), (m * m + m, 1.3))[: 2 * vectors]:
                part = g[:, at : at + m]
                parts.append(radius * part / np.linalg.norm(part, axis=1, keepdims=True))
            v = np.concatenate(parts, 1)
        reached = np.linalg.norm(r + v @ N, order, axis=1).max()
        assert reached <= bound * (1 + 1e-12)
        assert bound <= (1.05 if order == 2 else 1.7) * reached


@pytest.mark.parametrize("m", [1, 2, 4])
def test_the_bound_of_the_sum_of_squares_of_a_matrix(m):
    # |X|₂ <= 1 has ‖X‖ <= √m, and vectors of length at most one add theirs
    bound = largest_affine(np.zeros(m * m), np.eye(m * m), np.ones(3), np.eye(m).ravel(), 2)
    assert math.sqrt(m) <= bound <= 1.02 * math.sqrt(m)
    size = m * m + 2 * m
    bound = largest_affine(np.zeros(size), np.eye(size), np.ones(3), np.ones(size), 2)
    assert math.sqrt(m + 2) <= bound <= 1.02 * math.sqrt(m + 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: worst_case_error(f, RHO, 0.1, "softplus", ball="full"), ValueError, "got 'softplus'"),
        (
            lambda f: worst_case_error(f, RHO, 0.1, "direct", ball="spectral"),
            ValueError,
            "ball must be one of",
        ),
        (
            lambda f: worst_case_curve(f, RHO, [0.1], "lru", ball="full", horizon=9),
            ValueError,
            "whole recurrent",
        ),
        (lambda f: stability_radius(f, "exp", ball="full"), ValueError, "whole recurrent matrix"),
        (lambda f: worst_case_error(f, RHO, -1.0, "direct", ball="full"), ValueError, "must not be negative"),
        (lambda f: worst_case_error(f, RHO, math.nan, "direct", ball="full"), ValueError, "must be finite"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(exponential_sum([0.1, 0.5], [0.2, 1.0]))
