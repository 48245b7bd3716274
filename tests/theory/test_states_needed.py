"""How many states a kernel needs: ranks that are known, naive singular values, noise at a known level."""

import math
import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

import curse_of_memory as com
from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.exponential_sums.lower_bounds import scaled_section
from curse_of_memory.theory.exponential_sums.noisy_kernel import CONFIDENCE, NoisyKernel
from curse_of_memory.theory.states_needed import StatesNeeded

S = np.arange(120.0)
OSCILLATION = np.exp(-0.02 * S) * np.cos(0.3 * S) + 0.3 * np.exp(-0.1 * S)
PAIR = 0.97**S * np.cos(0.7 * S)
POLYNOMIAL = (1 + 0.1 * S) ** -1.1
few = settings(derandomize=True, deadline=None, max_examples=3)


def distance(fit, kernel, dt=1.0):
    """The relative l2 error, as it is defined."""
    errors = fit(dt * np.arange(kernel.size)) - kernel
    return np.linalg.norm(errors) / np.linalg.norm(kernel)


def naive_states_lower(kernel, error):
    """States that are too few by the plain Hankel matrix: an error of lag s is in it at most n//2 times."""
    half = kernel.size // 2
    sizes = np.asarray(linalg.svdvals(linalg.hankel(kernel[:half], kernel[half - 1 :])))
    tails = np.sqrt(np.cumsum(sizes[::-1] ** 2)[::-1] / half) / np.linalg.norm(kernel)
    return int((tails > error).sum()) - 1


def check(needed: StatesNeeded, kernel: np.ndarray, dt: float = 1.0):
    """What holds of every answer without noise."""
    assert needed.above is not None
    assert needed.above == needed.states == needed.fit.rates.size
    assert 0 <= needed.below < needed.above
    assert needed.limit == needed.error <= needed.asked
    # large coefficients of opposite signs are rounded
    rounding = 1e-15 * (10 + np.abs(needed.fit.coefficients).sum() / np.linalg.norm(kernel))
    assert needed.error == pytest.approx(distance(needed.fit, kernel, dt), abs=rounding)
    assert needed.below >= naive_states_lower(kernel, needed.asked)
    assert needed.is_least == (needed.above == needed.below + 1)


@pytest.mark.parametrize(
    ("kernel", "states"),
    [
        (0.8**S, 1),
        (np.ones(120), 1),
        (S * 0.9**S, 2),  # two rates that coincide
        (PAIR, 2),
        (OSCILLATION, 3),
        (0.9**S - 0.6**S, 2),
        (3.0 * (S == 0), 1),  # the limit of a fast rate
    ],
)
def test_a_kernel_of_m_states_needs_m(kernel, states):
    needed = com.states_needed(kernel, error=1e-3)
    check(needed, kernel)
    assert (needed.below, needed.states, needed.is_least) == (states - 1, states, True)


@few
@given(
    radii=st.lists(st.floats(0.6, 0.95), min_size=1, max_size=2, unique=True),
    angle=st.floats(0.4, 2.6),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_kernels_of_known_rank(radii, angle, seed):
    # real multipliers and one pair: a rank that is known, with an error far below what fewer states reach
    z = np.array([*radii, 0.9 * np.exp(1j * angle)])
    sizes = np.random.default_rng(seed).choice([-1.0, 1.0], z.size)
    kernel = np.real(z ** S[:40, None]) @ sizes
    m = len(radii) + 2
    needed = com.states_needed(kernel, error=1e-6, most=m)
    check(needed, kernel)
    assert needed.states in range(1, m + 1)
    if naive_states_lower(kernel, 1e-6) == m - 1:
        assert needed.is_least


@pytest.fixture(scope="module")
def polynomial():
    return com.states_needed(POLYNOMIAL)


def test_a_polynomial_memory_needs_three_states(polynomial):
    check(polynomial, POLYNOMIAL)
    assert (polynomial.states, polynomial.is_least) == (3, True)
    # it is completely monotone: real rates are enough, and two of them do not reach it
    assert com.fit_exponential_sum(POLYNOMIAL, 2).error > 0.01
    assert str(polynomial).startswith(
        "3 states match the kernel within 1 %, and fewer are proved to be too few"
    )


def test_a_shift_needs_as_many_states_as_it_waits():
    kernel = 1.0 * (np.arange(20) == 3)
    needed = com.states_needed(kernel, 0.01)
    check(needed, kernel)
    # its Hankel section has four singular values that are one
    assert (needed.below, needed.states) == (3, 4)


def test_real_rates_cannot_match_an_oscillation_and_the_answer_says_so():
    needed = com.states_needed(OSCILLATION, modes="real", most=3)
    assert (needed.states, needed.above, needed.is_least) == (None, None, False)
    assert needed.below == 2
    assert needed.fit is needed.fits[-1]
    assert needed.fit.rates.size == 3
    assert needed.error > 0.1
    assert str(needed).startswith("More than 2 states are needed to match the kernel within 1 %, proved: ")


def test_words_agree_with_their_numbers():
    assert str(com.states_needed([1.0, 0.5, 3.0])).startswith("More than 1 state is needed to match")
    white = np.random.default_rng(0).standard_normal(40)
    assert "matches the kernel within 99.9 %" in str(com.states_needed(white, 0.999))


def test_noise_as_large_as_the_kernel_is_told_in_units_of_it():
    with pytest.raises(ValueError, match=r"got 20 times the root mean square of that"):
        com.states_needed(np.full(50, 0.5), noise=10.0)


def test_where_fit_and_proof_do_not_meet_there_is_a_bracket():
    kernel = (-0.5) ** S
    needed = com.states_needed(kernel)
    check(needed, kernel)
    # one alternating mode is a system of one state, but no exponential of continuous time
    assert (needed.below, needed.states, needed.is_least) == (0, 2, False)
    text = "2 states match the kernel within 1 %: the fit is off by rounding; for 1 there is neither"
    assert str(needed) == f"{text} fit nor proof."
    assert com.states_needed(kernel, modes="discrete").is_least


def test_noise_that_is_called_a_kernel_needs_more_than_is_tried():
    kernel = np.random.default_rng(0).standard_normal(60)
    needed = com.states_needed(kernel, most=2)
    assert needed.states is None
    assert needed.below >= naive_states_lower(kernel, 0.01) > 2


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_the_unit_does_not_matter(scale):
    for noise in (0.0, 1e-3):
        one = com.states_needed(PAIR, noise=noise, most=2)
        other = com.states_needed(scale * PAIR, noise=scale * noise, most=2)
        assert (one.below, one.states) == (other.below, other.states) == (1, 2)
        assert other.limit == pytest.approx(one.limit, rel=1e-6, abs=1e-14)


def test_time_steps_and_labels_do_not_matter_and_rates_are_per_unit_time():
    labels, r = 0.1 * S, -10 * math.log(0.97)
    for kernel, dt in (
        (xr.DataArray(PAIR, {"lag": labels}, ["lag"]), None),
        (pd.Series(PAIR, labels), None),
        (PAIR, 0.1),
    ):
        needed = com.states_needed(kernel, dt=dt)
        check(needed, PAIR, dt=0.1)
        np.testing.assert_allclose(np.sort(needed.fit.rates), [r - 7j, r + 7j], rtol=1e-9)


def test_a_model_that_was_measured():
    model = com.nn.RNN.from_exponential_sum(rates=[0.05, 0.3], coefficients=[1.0, 2.0])
    memory = com.memory_function(model, 100)
    assert memory.noise_floor > 0
    needed = com.states_needed(memory)
    assert (needed.below, needed.states, needed.above) == (1, 2, 2)
    assert needed.noise == memory.noise_floor
    assert com.states_needed(model.kernel(100)[:, 0, 0].detach()).is_least


def test_the_table_holds_bounds_below_errors(polynomial):
    needed, table = polynomial, polynomial.table
    assert table.index.tolist() == list(range(1, needed.states + 1))
    assert (table.bound <= table.error).all()
    assert (table.bound[: needed.below] > needed.asked).all()
    for m, fit in enumerate(needed.fits, start=1):
        assert fit.rates.size == m
    assert pickle.loads(pickle.dumps(needed)).table.equals(table)


@pytest.mark.parametrize("sigma", [0.0, 1e-3])
def test_the_picture_shows_fits_bounds_and_what_was_asked(polynomial, sigma):
    pytest.importorskip("matplotlib")
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("Agg")
    needed = com.states_needed(PAIR, noise=sigma, most=2) if sigma else polynomial
    axes = needed.plot()
    shown = {line.get_label(): line.get_ydata() for line in axes.lines}
    np.testing.assert_array_equal(shown["fit"], needed.table.error)
    assert "asked: 1 %" in shown
    assert any("limit" in str(name) for name in shown) == (sigma > 0)
    assert needed.plot(axes) is axes
    plt.close("all")


# --- noise ------------------------------------------------------------------------------------------


def measured(kernel, sigma, seed):
    return kernel + sigma * np.random.default_rng(seed).standard_normal(kernel.size)


def test_without_noise_the_bounds_are_those_of_sections():
    kernel = NoisyKernel(POLYNOMIAL, 0.0)
    matrix = linalg.hankel(POLYNOMIAL[:60], POLYNOMIAL[59:])
    for power in (0.0, 0.25, 0.5):
        scale = (np.arange(61) + 0.5) ** (-power / 2)
        naive = linalg.svdvals(scale[:60, None] * matrix * scale)
        np.testing.assert_allclose(scaled_section(POLYNOMIAL, np.ones(120), power).sizes, naive, atol=1e-13)
    for m in (1, 2, 3):
        bound = kernel.bounds[m]
        assert naive_states_lower(POLYNOMIAL, bound * (1 + 1e-9)) <= m
        assert bound == pytest.approx(com.weighted_lower_bound(POLYNOMIAL, m).section, rel=1e-9)
    assert (kernel.low, kernel.norm, kernel.high) == (kernel.whole,) * 3


@pytest.mark.parametrize("power", [0.0, 0.25, 0.5])
def test_the_norm_of_noise_is_below_what_is_taken_off(power):
    # zero kernels in unit noise: the largest singular value of 300 sections against the tail bound
    draws = np.random.default_rng(1).standard_normal((300, 120))
    largest = [scaled_section(draw, np.ones(120), power).sizes[0] for draw in draws]
    section = scaled_section(draws[0], np.ones(120), power)
    u, v = section.rows, section.columns
    variance = max(u.max() * v.sum(), v.max() * u.sum())
    limit = math.sqrt(2 * variance * math.log((u.size + v.size) / (1 - CONFIDENCE)))
    assert np.mean(np.array(largest) > limit) <= 1 - CONFIDENCE
    assert np.mean(largest) > limit / 4  # and it is no idle bound


@pytest.mark.parametrize("sigma", [0.003, 0.03, 0.1])
def test_norms_and_limits_hold_at_their_rate(sigma):
    norm, true = np.linalg.norm(OSCILLATION), 0.9 * OSCILLATION
    held = []
    for seed in range(200):
        values = measured(OSCILLATION, sigma, seed)
        kernel = NoisyKernel(values, sigma)
        residual = float(np.linalg.norm(values - true))
        one = ExponentialSum(rates=[1.0], coefficients=[1.0], error=residual / kernel.whole)
        held.append(
            [
                kernel.low <= norm <= kernel.high,
                kernel.limit(residual, 1) >= 0.1,
                kernel.explains(one, 0.1),
            ]
        )
    # 200 draws of what holds in 99 %: fewer than 193 have a probability of 1e-3
    assert (np.sum(held, axis=0) >= 193).all()


@pytest.mark.parametrize("sigma", [1e-3, 0.03])
def test_noise_is_not_fitted_and_the_proof_holds(sigma):
    for seed in range(3):
        needed = com.states_needed(measured(PAIR, sigma, seed), noise=sigma, most=4)
        # two states are exact: more would fit noise, and two are never proved too few
        assert (needed.below, needed.states) == (1, 2)
        assert distance(needed.fit, PAIR) <= needed.limit
        assert needed.above == (2 if sigma < 0.01 else None)


def test_errors_of_linear_fits_are_estimated_without_bias_and_limited_at_their_rate():
    # a linear fit by 2m = 4 orthonormal vectors, of a kernel that is off from their span by 0.1
    draws = np.random.default_rng(3)
    basis, _ = np.linalg.qr(draws.standard_normal((120, 5)))
    fitted, sigma = basis[:, :4], 0.01
    rho = basis @ [0.7, 0.5, 0.4, 0.3, 0.1]
    squares, held = [], []
    for _ in range(400):
        values = rho + sigma * draws.standard_normal(120)
        fit = fitted @ (fitted.T @ values)
        kernel, residual = NoisyKernel(values, sigma), float(np.linalg.norm(values - fit))
        true = np.sum((fit - rho) ** 2) / np.sum(rho**2)
        squares.append([kernel.error(residual, states=2) ** 2, true])
        held.append(kernel.limit(residual, states=2) ** 2 >= true)
    estimated, true = np.mean(squares, 0)
    # the norm in the denominator is estimated, too: a per cent or so
    assert estimated == pytest.approx(true, abs=4 * np.std(squares, 0)[0] / 20 + 0.01 * true)
    assert np.mean(held) >= CONFIDENCE - 0.015  # three standard errors


def test_the_level_of_a_tail_is_that_of_the_noise():
    kernel = 0.8 ** np.arange(300.0)
    values = measured(kernel, 0.01, 0)
    needed = com.states_needed(values, noise="tail")
    assert needed.noise == pytest.approx(0.01, rel=0.15)
    assert needed.states == 1
    text = str(needed)
    assert text.startswith("1 state matches the kernel within 1 % as far as noise of 0.0")
    assert text.endswith("(99% confidence).")


def test_noise_of_a_label_counts_unless_another_is_given():
    labelled = xr.DataArray(measured(PAIR, 0.01, 0), dims=["lag"], attrs={"noise_floor": 0.01})
    assert com.states_needed(labelled).noise == 0.01
    assert com.states_needed(labelled, noise=0.02).noise == 0.02


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"kernel": [1.0]}, ValueError, "kernel must have at least 2 lags, got 1"),
        ({"kernel": np.zeros(9)}, ValueError, "kernel must not be zero at every lag"),
        ({"kernel": [1.0, math.nan]}, ValueError, "kernel must be finite"),
        ({"kernel": np.ones((9, 1))}, ValueError, r"kernel must have 1 dimension\(s\), got shape \(9, 1\)"),
        ({"error": 0.0}, ValueError, "error must lie between 0 and 1, got 0.0"),
        ({"error": 1}, ValueError, "error must lie between 0 and 1, got 1"),
        ({"error": "1 %"}, TypeError, "error must be a real number"),
        ({"dt": -1.0}, ValueError, "dt must be positive"),
        ({"noise": -0.1}, ValueError, "noise must not be negative"),
        ({"noise": "head"}, ValueError, "noise must be one of 'tail'; got 'head'"),
        ({"noise": "tail"}, ValueError, "noise must be a number: no tail of the kernel is nothing but noise"),
        (
            {"noise": 1.0},
            ValueError,
            "noise must be well below the kernel, got .+ times the root",
        ),
        ({"modes": "pairs"}, ValueError, "modes must be one of 'real', 'complex', 'discrete'"),
        ({"most": 0}, ValueError, "most must be at least 1"),
    ],
)
def test_bad_input_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        com.states_needed(**({"kernel": OSCILLATION} | arguments))
