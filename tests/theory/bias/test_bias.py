import csv
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.theory import bias

# mpmath has no types
quad: Callable[..., Any] = mpmath.quad
EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=60)
powers = st.floats(-3.0, 12.0)

TABLE = Path(__file__).parents[2] / "data" / "memory_bias_T64.csv"


def simulated_errors(rho, rho_hat, w, inputs, variance, dt, draws, seed):
    """Weighted errors of sampled inputs, one a draw, by convolving step by step."""
    T = rho.size
    x = np.random.default_rng(seed).normal(scale=math.sqrt(variance), size=(draws, T))
    if inputs == "random_walk":
        x = np.cumsum(x, axis=1)
    errors = np.zeros(draws)
    for k in range(T):
        past = x[:, k::-1]
        y, y_hat = dt * past @ rho[: k + 1], dt * past @ rho_hat[: k + 1]
        errors += w[k] * (y - y_hat) ** 2 / T
    return errors


def test_the_authors_memory_bias_figure():
    with TABLE.open() as file:
        rows = list(csv.DictReader(file))
    columns = {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}
    for p in (0, 1, 2, 10):
        drawn = bias.power(p).sampled(64, normalize="sum")
        np.testing.assert_allclose(drawn, columns[f"p={p}"], rtol=0, atol=1e-9)
    drawn = bias.power(-1).sampled(64, normalize="sum", offset=1)
    np.testing.assert_allclose(drawn, columns["p=-1"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(bias.power(math.inf).sampled(64, normalize="sum"), columns["p=inf"], atol=1e-9)


# exact sums, printed to as many digits as the fact sheet of the project has
RATIOS = {
    64: {-1: 303.6, 0: 64, 1: 32.5, 2: 21.836, 10: 6.331},
    100: {-1: 518.7, 0: 100, 1: 50.5, 2: 33.835, 10: 9.599},
    1024: {-1: 7689.4, 0: 1024, 1: 512.5, 2: 341.83, 10: 93.59},
}


@pytest.mark.parametrize("T", RATIOS)
def test_head_tail_ratios(T):
    for p, printed in RATIOS[T].items():
        digits = len(str(printed).partition(".")[2])
        assert round(bias.power(p).head_tail_ratio(T), digits) == printed


@pytest.mark.parametrize(("p", "shown"), [(0, [4, 3, 2, 1]), (1, [10, 9, 7, 4]), (2, [30, 29, 25, 16])])
def test_discrete_bias_by_hand(p, shown):
    assert bias.power(p).discrete(4).tolist() == shown


@pytest.mark.parametrize("p", [-1, 0, 1, 2, 10])
def test_discrete_bias_has_its_closed_form(p):
    T = 64
    s = np.arange(T)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1.0, T + 1))])
    closed = {
        -1: 1 - harmonic[:T] / harmonic[T],
        0: 1 - s / T,
        1: 1 - s * (s + 1) / (T * (T + 1)),
        2: 1 - s * (s + 1) * (2 * s + 1) / (T * (T + 1) * (2 * T + 1)),
        10: np.array([sum(k**10 for k in range(r + 1, T + 1)) for r in s])
        / sum(k**10 for k in range(1, T + 1)),
    }[p]
    np.testing.assert_allclose(bias.power(p).discrete(T, normalize="head"), closed, rtol=0, atol=T * EPS)


@pytest.mark.parametrize("p", [-1, 0, 1, 2, 10])
def test_mean_lag_tends_to_its_limit(p):
    limit = (p + 2) / (2 * (p + 3))
    errors = [abs(bias.power(p).mean_lag(T) / T - limit) for T in (1_000, 10_000)]
    # the sum is a Riemann sum of step 1/T; at p = -1 with a harmonic, logarithmic, correction
    assert errors[1] < errors[0] / 5
    assert errors[1] < 1e-3


@pytest.mark.parametrize("p", [-2.0, -1.0, -1 + 1e-9, -0.5, 0.0, 1.0, 2.5, 10.0])
def test_continuous_bias_agrees_with_mpmath(p):
    T, s = 7.0, np.array([0.01, 0.5, 3.0, 6.9, 7.0])
    expected = [float(quad(lambda r: r ** mpmath.mpf(p), [x, *[e for e in (1, 3) if e > x], T])) for x in s]
    np.testing.assert_allclose(bias.power(p)(s, T), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("rate", [-2.0, -0.1, 0.0, 0.3, 2.0])
def test_exponential_bias_agrees_with_sympy(rate):
    b = bias.exponential(rate)
    assert b.formula is not None
    s = np.linspace(0.0, 5.0, 11)
    expected = [float(b.formula.subs({bias.s: sympy.Rational(x), bias.T: 5})) for x in s.tolist()]
    np.testing.assert_allclose(b(s, 5.0), expected, rtol=64 * EPS, atol=0)


@pytest.mark.parametrize("p", [-1, -0.5, 0, 1.5, 2])
def test_symbolic_continuous_and_numerical_bias_agree(p):
    b = bias.power(p)
    assert b.weight_formula is not None
    twin = bias.from_formula(b.weight_formula)
    s = np.array([0.25, 1.0, 2.5, 4.0])
    symbolic = sympy.lambdify((bias.s, bias.T), b.formula)(s, 4.0)
    np.testing.assert_allclose(b(s, 4.0), symbolic, rtol=1e-13, atol=64 * EPS)
    np.testing.assert_allclose(twin(s, 4.0), symbolic, rtol=0, atol=1e-8 * np.max(symbolic))
    np.testing.assert_allclose(twin.discrete(16), b.discrete(16), rtol=64 * EPS)


def test_formula_is_none_where_there_is_no_closed_form():
    assert bias.from_callable(np.sqrt).formula is None
    assert bias.from_formula("exp(sin(t))").formula is None
    assert bias.power(math.inf).formula == 1


@steady
@given(p=powers, T=st.integers(2, 300), dt=st.floats(0.01, 10.0))
def test_bias_is_positive_and_strictly_decreasing(p, T, dt):
    b = bias.power(p).discrete(T, dt)
    assert b[-1] > 0
    # each step takes dt w away; it shows unless it is below the rounding of b
    visible = dt * bias.power(p).weights(T, dt)[:-1] > T * EPS * b[:-1]
    assert (np.diff(b)[visible] < 0).all()
    assert (np.diff(b) <= 0).all()


@steady
@given(w=st.lists(st.floats(0.01, 100.0), min_size=2, max_size=50))
def test_every_positive_weight_prefers_short_memory(w):
    table = np.array(w)
    b = bias.from_callable(lambda t: table[np.rint(t).astype(int) - 1]).discrete(table.size)
    assert (np.diff(b) < 0).all()
    np.testing.assert_allclose(b - np.append(b[1:], 0.0), table, rtol=0, atol=table.size * EPS * b[0])


@steady
@given(p=powers, T=st.floats(0.1, 100.0), part=st.floats(0.001, 0.999))
def test_continuous_bias_is_additive(p, T, part):
    b = bias.power(p)
    middle = part * T
    start = middle / 2
    whole = float(b(start, T))
    assert float(b(start, middle) + b(middle, T)) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("p", [-3, -1, 0, 0.5, 2, 10, 100, math.inf])
def test_unit_mean_weights_never_overflow(p):
    w = bias.power(p).weights(100_000, unit_mean=True)
    assert w.mean() == pytest.approx(1.0, rel=1e-12)
    assert (w >= 0).all()
    b = bias.power(p).discrete(100_000, normalize="sum")
    assert b.sum() == pytest.approx(1.0, rel=1e-12)


def test_growing_exponentials_do_not_overflow_either():
    for rate in (-5.0, 5.0):
        assert bias.exponential(rate).weights(1_000, unit_mean=True).mean() == pytest.approx(1.0)
        assert bias.exponential(rate).sampled(1_000, normalize="head")[0] == 1.0


def test_a_single_weight_that_overflows_says_so():
    for call in (lambda b: b.weights(100_000), lambda b: b.discrete(100_000), lambda b: b([0.0, 1e5], 1e5)):
        with pytest.raises(OverflowError, match="exceeds double precision"):
            call(bias.power(100))


def test_infinite_power_weighs_the_last_step_only():
    last = bias.power(math.inf)
    assert last.weights(4).tolist() == [0, 0, 0, 1]
    assert last.weights(4, unit_mean=True).tolist() == [0, 0, 0, 4]
    assert last.discrete(4, dt=0.5).tolist() == [0.5] * 4
    assert last([0.0, 1.0, 2.0], 2.0).tolist() == [1, 1, 0]
    # and it is a limit: p = 1000 is there to 1e-3 on 4 steps
    np.testing.assert_allclose(bias.power(1000).weights(4, unit_mean=True), [0, 0, 0, 4], atol=1e-12)


def test_dt_is_a_change_of_unit():
    coarse, fine = bias.power(2), bias.power(2)
    np.testing.assert_allclose(fine.discrete(8, dt=0.5), coarse.discrete(8) * 0.5**3, rtol=8 * EPS)
    np.testing.assert_allclose(bias.power(1).sampled(4, dt=0.5), [2.0, 1.875, 1.5, 0.875], rtol=8 * EPS)


def test_biases_pickle_and_compare():
    for b in (bias.power(2), bias.power(math.inf), bias.exponential(1.0), bias.from_formula("1+t")):
        assert pickle.loads(pickle.dumps(b)) == b


# --- every size of power, lag and horizon --------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def forty_digits():
    """What is exact has 40 digits, in this module alone."""
    with mpmath.workdps(40):
        yield


LARGEST, SMALLEST = np.finfo(float).max, np.finfo(float).tiny


def exact_bias(p, s, T):
    """b(s) = (T^{p+1} − s^{p+1})/(p+1) to 40 digits, and 1000 more for what cancels."""
    with mpmath.workdps(400):
        p, s, T = mpmath.mpf(p), mpmath.mpf(s), mpmath.mpf(T)
        if p == -1:
            return mpmath.log(T / s)
        return (T ** (p + 1) - (s ** (p + 1) if s else 0)) / (p + 1)


ANY_POWER = [-1000, -400, -172, -171.5, -30, -2, -1 - 1e-9, -1 - EPS, -1, -1 + EPS, -1 + 1e-9, -0.5, 0, 1e-12]
ANY_POWER += [1, 10.7, 171, 400, 1000]


@pytest.mark.parametrize("p", ANY_POWER)
@pytest.mark.parametrize("T", [1.0, 7.0, 64.0, 1e3, 1e9])
def test_the_bias_of_a_power_keeps_its_digits(p, T):
    near = 1 - np.array([EPS, 1e-12, 1e-6, 1e-3])
    parts = np.concatenate([[1e-300, 1e-18, 1e-9, 1e-4, 0.1, 0.49, 0.5, 0.51, 0.9], near])
    seen = 0
    for s in (T * parts).tolist() + ([1.0] if T > 1 else []) + ([0.0] if p > -1 else []):
        exact = exact_bias(p, s, T)
        if exact > LARGEST:
            with pytest.raises(OverflowError, match="exceeds double precision"):
                bias.power(p)(s, T)
            continue
        found = float(bias.power(p)(s, T))
        if exact < SMALLEST / EPS:
            assert found <= SMALLEST / EPS
            continue
        # two roots of at most 4 roundings each, a logarithm, a ratio; and s itself is rounded already
        assert abs(found / exact - 1) < 32 * EPS
        seen += 1
    assert seen > 0 or abs(p) > 100


def test_the_bias_of_a_steeply_falling_power_is_its_head():
    assert float(bias.power(-400)(1.0, 64.0)) == pytest.approx(1 / 399, rel=8 * EPS)  # 64^{−399} is nothing
    assert float(bias.power(-1000)(1.0, 64.0)) == pytest.approx(1 / 999, rel=8 * EPS)


@steady
@given(
    p=st.floats(-1000, 1000),
    log_T=st.floats(0, math.log(1e9)),
    log_part=st.floats(-40, -1e-9),
)
def test_the_bias_of_any_power_agrees_with_mpmath(p, log_T, log_part):
    T = math.exp(log_T)
    s = T * math.exp(log_part)
    exact = exact_bias(p, s, T)
    if SMALLEST / EPS < exact < LARGEST:
        assert abs(float(bias.power(p)(s, T)) / exact - 1) < 32 * EPS


@pytest.mark.parametrize("p", ANY_POWER)
@pytest.mark.parametrize("T", [1, 2, 64, 1000])
def test_discrete_sums_of_any_power_agree_with_mpmath(p, T):
    w = [mpmath.mpf(k) ** mpmath.mpf(p) for k in range(1, T + 1)]
    sums = np.cumsum(w[::-1])[::-1]
    b = bias.power(p)
    # a power is off by p times the rounding of its base, a sum of n positive numbers by n roundings at most
    rel = (8 + abs(p) + T) * EPS
    for found, exact in (
        (b.discrete(T, normalize="head"), sums / sums[0]),
        (b.discrete(T, normalize="sum"), sums / sums.sum()),
        (b.weights(T, unit_mean=True), np.array(w) * T / sums[0]),
    ):
        np.testing.assert_allclose(found, exact.astype(float), rtol=rel, atol=SMALLEST)
    ratio = sums[0] / sums[-1]
    found = b.head_tail_ratio(T)
    assert found == math.inf if ratio > LARGEST else found == pytest.approx(float(ratio), rel=rel)
    mean = sum(k * x for k, x in enumerate(sums)) / sums.sum()
    assert b.mean_lag(T) == pytest.approx(float(mean), rel=2 * rel, abs=SMALLEST)


@pytest.mark.parametrize("p", [-1000, -400, -172, -2, -1, -0.5, 0, 3, 400, 1000])
def test_sampled_biases_of_any_power_are_normalised(p):
    T, offset = 64, int(p <= -1)
    exact = np.array([exact_bias(p, s + offset, T) for s in range(T)])
    found = bias.power(p).sampled(T, normalize="sum", offset=offset)
    np.testing.assert_allclose(found, (exact / exact.sum()).astype(float), rtol=1e-12, atol=SMALLEST)
    found = bias.power(p).sampled(T, normalize="head", offset=offset)
    np.testing.assert_allclose(found, (exact / exact[0]).astype(float), rtol=1e-12, atol=SMALLEST)


@pytest.mark.parametrize("rate", [-1000.0, -1.0, -1e-9, -1e-300, 1e-300, 1e-9, 0.3, 1.0, 70.0, 709.0])
def test_exponential_biases_of_any_rate_agree_with_mpmath(rate):
    T, b = 10.0, bias.exponential(rate)
    for s in (0.0, 1e-12, 0.1, 5.0, 9.99, 10 - 2e-15):
        r, exact_s = mpmath.mpf(rate), mpmath.mpf(s)
        exact = mpmath.exp(r * exact_s) * mpmath.expm1(r * (T - exact_s)) / r
        if exact > LARGEST:
            with pytest.raises(OverflowError, match="exceeds double precision"):
                b(s, T)
        elif exact > SMALLEST / EPS:
            # the exponential of a number x that is rounded is off by x roundings
            assert abs(float(b(s, T)) / exact - 1) < (16 + 2 * abs(rate) * T) * EPS


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_a_weight_of_your_own_may_be_of_any_size(scale):
    own, plain = bias.from_callable(lambda t: scale * np.sqrt(t)), bias.power(0.5)
    for normalize in ("sum", "head"):
        found = own.discrete(64, normalize=normalize)
        np.testing.assert_allclose(found, plain.discrete(64, normalize=normalize), rtol=64 * EPS)
    np.testing.assert_allclose(
        own.weights(64, unit_mean=True), plain.weights(64, unit_mean=True), rtol=64 * EPS
    )
    assert own.head_tail_ratio(64) == pytest.approx(plain.head_tail_ratio(64), rel=64 * EPS)
    with pytest.raises(OverflowError, match="exceeds double precision"):
        bias.from_callable(lambda t: 1e308 + 0 * t).discrete(4)


def test_weights_that_are_all_below_double_precision_say_so():
    for call in (lambda b: b.weights(4, dt=10.0), lambda b: b.discrete(4, dt=10.0)):
        with pytest.raises(OverflowError, match="below double precision at every step"):
            call(bias.power(-400))
    # 20^{−400}/10^{−400}
    relative = bias.power(-400).discrete(2, dt=10.0, normalize="head")
    assert relative[1] == pytest.approx(2.0**-400, rel=1e-12)


# --- the exact weighted error -------------------------------------------------------------------


@pytest.mark.parametrize("inputs", ["white", "random_walk"])
@pytest.mark.parametrize(
    ("p", "dt", "variance"), [(-1, 1.0, 1.0), (0, 0.25, 2.0), (2, 1.0, 0.5), (10, 0.5, 1.0)]
)
def test_weighted_error_is_the_mean_of_simulated_ones(inputs, p, dt, variance):
    T, draws = 24, 40_000
    lags = dt * np.arange(T)
    rho, rho_hat = np.exp(-0.3 * lags) * np.cos(lags), 0.8 * np.exp(-0.5 * lags)
    w = bias.power(p).weights(T, dt)
    sample = simulated_errors(rho, rho_hat, w, inputs, variance, dt, draws, seed=p + 17)
    exact = bias.weighted_error(rho, rho_hat, bias.power(p), inputs=inputs, variance=variance, dt=dt)
    # the mean of N draws is N(exact, std²/N): five standard errors
    standard_error = sample.std() / math.sqrt(draws)
    assert abs(sample.mean() - exact) < 5 * standard_error
    assert standard_error < 0.02 * exact


def test_the_simulation_converges_at_the_monte_carlo_rate():
    T = 16
    rho, rho_hat = 0.9 ** np.arange(T), np.zeros(T)
    exact = bias.weighted_error(rho, rho_hat, bias.power(1))
    w = bias.power(1).weights(T)

    def root_mean_square(draws):
        means = [
            simulated_errors(rho, rho_hat, w, "white", 1.0, 1.0, draws, seed).mean() for seed in range(40)
        ]
        return math.sqrt(np.mean((np.array(means) - exact) ** 2))

    # 64 times the draws, an eighth of the error; 40 repeats know each to about 1/sqrt(80) = 11 %
    assert root_mean_square(100) / root_mean_square(6_400) == pytest.approx(8.0, rel=0.5)


@pytest.mark.parametrize("inputs", ["white", "random_walk"])
@pytest.mark.parametrize("dt", [1.0, 0.3])
def test_weighted_error_is_the_quadratic_form_of_the_convolution(inputs, dt):
    """E w_k e_k² by the matrix that maps independent noise to the errors e: no bias in it."""
    T, rng = 12, np.random.default_rng(3)
    rho, rho_hat = rng.normal(size=(2, T))
    lag = np.subtract.outer(np.arange(T), np.arange(T))
    to_error = np.where(lag >= 0, dt * (rho - rho_hat)[np.maximum(lag, 0)], 0.0)
    if inputs == "random_walk":
        to_error = to_error @ np.tri(T)
    w = bias.power(1.5).weights(T, dt)
    expected = 2.0 * (w @ (to_error**2).sum(axis=1)) / T
    found = bias.weighted_error(rho, rho_hat, bias.power(1.5), inputs=inputs, variance=2.0, dt=dt)
    assert found == pytest.approx(expected, rel=T**2 * EPS)
    rescaled = bias.weighted_error(
        rho, rho_hat, bias.power(1.5), inputs=inputs, variance=2.0, dt=dt, unit_mean=True
    )
    assert rescaled == pytest.approx(expected / w.mean(), rel=T**2 * EPS)


@pytest.mark.parametrize("unit_mean", [False, True])
def test_weighted_error_broadcasts_and_takes_bias_values(unit_mean):
    T, rng = 10, np.random.default_rng(0)
    rho, models = rng.normal(size=T), rng.normal(size=(3, 2, T))
    b = bias.power(2)
    batch = bias.weighted_error(rho, models, b, dt=0.5, unit_mean=unit_mean)
    assert batch.shape == (3, 2)
    one = bias.weighted_error(rho, models[2, 1], b.discrete(T, 0.5), dt=0.5, unit_mean=unit_mean)
    assert one == pytest.approx(batch[2, 1], rel=T * EPS)


def test_unit_mean_makes_the_flat_weight_the_plain_mean_square():
    rho = np.array([1.0, 0.5, 0.25])
    plain = bias.weighted_error(rho, 0 * rho, bias.power(0))
    assert bias.weighted_error(rho, 0 * rho, bias.power(0), unit_mean=True) == pytest.approx(
        plain, rel=4 * EPS
    )
    assert plain == pytest.approx((3 * 1 + 2 * 0.25 + 1 * 0.0625) / 3, rel=4 * EPS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bias.power(-1)(0.0, 5.0), "diverges for p = -1"),
        (lambda: bias.power(-2).sampled(8), "diverges for p = -2"),
        (lambda: bias.power(math.nan), "p must be finite"),
        (lambda: bias.power(-math.inf), "p must be finite"),
        (lambda: bias.power(1).discrete(0), "horizon must be at least 1"),
        (lambda: bias.power(1).discrete(8, dt=0.0), "dt must be positive"),
        (lambda: bias.power(1).discrete(8, normalize="summ"), "did you mean 'sum'"),
        (lambda: bias.power(1).sampled(8, offset=2), "offset must be 0 or 1"),
        (lambda: bias.power(1)([0.0, 6.0], 5.0), r"s must be in \[0, T = 5\]"),
        (lambda: bias.power(1)([0.0], -5.0), "T must be positive"),
        (lambda: bias.power(1).weight([0.0]), "t must be positive"),
        (lambda: bias.power(math.inf).weight(1.0), "needs T"),
        (lambda: bias.from_callable(lambda t: t - 3).discrete(8), r"must be positive, but w\(1\) = -2"),
        (lambda: bias.from_callable(lambda t: t * math.nan).discrete(8), "must be finite"),
        (lambda: bias.from_formula("-t"), "expr must be positive"),
        (lambda: bias.from_formula("t**a"), "no symbol but t"),
        (lambda: bias.weighted_error([1.0, 2.0], [1.0], bias.power(0)), "rho_hat must have the lags"),
        (lambda: bias.weighted_error([1.0, math.nan], [1.0, 2.0], bias.power(0)), "rho must be finite"),
        (lambda: bias.weighted_error([1.0, 2.0], [1.0, 2.0], [1.0]), "b must have 2 lags"),
        (lambda: bias.weighted_error([1.0, 2.0], [1.0, 2.0], [1.0, 2.0]), "must not increase"),
        (lambda: bias.weighted_error([1.0], [1.0], bias.power(0), inputs="whit"), "did you mean 'white'"),
        (lambda: bias.weighted_error([1.0], [1.0], bias.power(0), variance=-1.0), "variance must not be"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_no_callable_is_refused():
    with pytest.raises(TypeError, match="func must be callable"):
        bias.from_callable(2.0)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("scale", [1e-150, 1e-100, 1e100, 1e150])
@pytest.mark.parametrize("weight", [1e-300, 1.0, 1e300])
@pytest.mark.parametrize("inputs", bias.INPUTS)
def test_kernels_and_weights_of_any_size_have_their_error(scale, weight, inputs):
    rho, rho_hat, b = np.array([1.0, 0.5, 0.1]), np.array([0.9, 0.6, 0.1]), np.array([3.0, 2.0, 1.0])
    plain = bias.weighted_error(rho, rho_hat, b, inputs=inputs)
    options = {"inputs": inputs, "unit_mean": True}
    found = bias.weighted_error(scale * rho, scale * rho_hat, weight * b, **options)
    one = bias.weighted_error(rho, rho_hat, b, **options)
    assert found / scale == pytest.approx(one * scale, rel=64 * EPS)
    exact = mpmath.mpf(float(plain)) * mpmath.mpf(scale) ** 2 * mpmath.mpf(weight)
    if exact > LARGEST:
        with pytest.raises(OverflowError, match="exceeds double precision"):
            bias.weighted_error(scale * rho, scale * rho_hat, weight * b, inputs=inputs)
    else:
        found = bias.weighted_error(scale * rho, scale * rho_hat, weight * b, inputs=inputs)
        assert found == pytest.approx(float(exact), rel=64 * EPS, abs=SMALLEST)


def test_a_variance_makes_up_for_the_size_of_kernels():
    rho = 1e200 * np.array([1.0, 0.5])
    found = bias.weighted_error(rho, 0 * rho, [1.0, 1.0], variance=1e-300, dt=1e-50)
    assert found == pytest.approx(0.5 * 1.25e50, rel=8 * EPS)
