"""Brackets on [0, ∞) hold the error, wherever the memory lives: closed forms in 40 digits, and dense sums."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from curse_of_memory.theory import targets
from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.stability.cell_rows import hidden_in_cells
from curse_of_memory.theory.stability.half_line import half_line
from curse_of_memory.theory.stability.worst_case import worst_case_error
from curse_of_memory.theory.targets.far_bump import far_bump
from curse_of_memory.theory.targets.rate_targets import damped, kink

EPS = np.finfo(float).eps


def exponential_sum(rates, coefficients):
    return ExponentialSum(rates=np.array(rates, float), coefficients=np.array(coefficients, float))


# each target with ∫ρ² and ∫ρ e^{−λt} in closed form


def gauss(center, width, height, rate):
    """∫_0^∞ e^{−rate t} height N(t; center, width) dt."""
    z = (rate * width**2 - center) / (mpmath.sqrt(2) * width)
    return height / 2 * mpmath.exp(rate * (rate * width**2 / 2 - center)) * mpmath.erfc(z)


def two_parts(c):
    c = mpmath.mpf(c)
    width, height = 1 / mpmath.sqrt(2), mpmath.sqrt(mpmath.pi)
    energy = (
        0.5 + 2 * gauss(c, width, height, 1) + mpmath.sqrt(mpmath.pi / 8) * mpmath.erfc(-mpmath.sqrt(2) * c)
    )
    return energy, lambda rate: 1 / (1 + rate) + gauss(c, width, height, rate)


def bump(c, s):
    c, s = mpmath.mpf(c), mpmath.mpf(s)
    square = mpmath.erfc(-c / s) / (4 * mpmath.sqrt(mpmath.pi) * s)
    return 0.5 + 2 * gauss(c, s, 1, 1) + square, lambda rate: 1 / (1 + rate) + gauss(c, s, 1, rate)


def power_law(p, r):
    p, r = mpmath.mpf(p), mpmath.mpf(r)
    return 1 / (r * (2 * p - 1)), lambda rate: mpmath.exp(rate / r) / r * mpmath.expint(p, rate / r)


def window(a, b):
    a, b = mpmath.mpf(a), mpmath.mpf(b)
    return b - a, lambda rate: (mpmath.exp(-rate * a) - mpmath.exp(-rate * b)) / rate


CLOSED = st.one_of(
    st.floats(0, 3000).map(lambda c: (targets.two_parts(c), two_parts(c))),
    st.tuples(st.floats(0, 500), st.floats(0.01, 3)).map(lambda x: (far_bump(*x), bump(*x))),
    st.tuples(st.floats(0.55, 5), st.floats(0.01, 30)).map(lambda x: (targets.polynomial(*x), power_law(*x))),
    st.tuples(st.floats(0, 200), st.floats(0.01, 20)).map(
        lambda x: (targets.shift(x[0], x[0] + x[1]), window(x[0], x[0] + x[1]))
    ),
)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    closed=CLOSED,
    rates=st.lists(st.floats(1e-3, 20), min_size=1, max_size=4, unique=True),
    signs=st.lists(st.sampled_from([-2.0, -0.3, 0.05, 0.7, 3.0]), min_size=4, max_size=4),
)
def test_the_error_in_l2_is_within_its_bracket(closed, rates, signs):
    rho, (energy, overlap) = closed
    a = signs[: len(rates)]
    with mpmath.workdps(40):
        modes = [(mpmath.mpf(x), mpmath.mpf(y)) for x, y in zip(rates, a, strict=True)]
        square = energy - 2 * sum(y * overlap(x) for x, y in modes)
        square += sum(y * v / (x + u) for x, y in modes for u, v in modes)
        exact = float(mpmath.sqrt(square))
    found = worst_case_error(exponential_sum(rates, a), rho, 0.0, "direct", "l2", draws=1)
    assert found.lower <= exact * (1 + 4 * EPS)
    assert found.upper >= exact * (1 - 4 * EPS)
    assert found.attained


def test_the_bump_of_two_parts_is_not_missed():
    # ∫ρ² = 1/2 + √(π/2) and ∫ρ e^{−t/10} = 1/1.1, to e^{−30}: the bump is at 300
    exact = math.sqrt(0.5 + math.sqrt(math.pi / 2) - 0.6 / 1.1 + 0.09 / 0.2)
    assert exact == pytest.approx(1.2875789652914, rel=1e-13)
    found = worst_case_error(exponential_sum([0.1], [0.3]), targets.two_parts(300.0), 0.0, "direct", "l2")
    assert found.lower <= exact <= found.upper
    assert found.attained


def dense(rho, rates, a, norm, features, stop):
    """The norms by closed or dense sums over [0, stop], from values alone."""
    t = np.unique(np.concatenate([[0.0], np.geomspace(1e-7, stop, 20_001), *features]))
    error = rho(t) - np.exp(-np.outer(t, rates)) @ np.array(a)
    if norm == "l2":
        return math.sqrt(np.trapezoid(error**2, t))
    size = np.trapezoid(np.abs(error), t)
    return size if norm == "l1" else size + abs(error[0]) + np.abs(np.diff(error)).sum()


ANY = {
    "two parts": (targets.two_parts(150.0), [np.linspace(144, 156, 5_001)], 3e3),
    "bump": (far_bump(20.0, 0.02), [np.linspace(19.88, 20.12, 5_001)], 3e3),
    "negative bump": (far_bump(5.0, 0.3, height=-1.0), [np.linspace(0, 10, 5_001)], 3e3),
    "airy": (targets.airy(80.0), [np.linspace(0, 110, 100_001)], 3e3),
    "polynomial": (targets.polynomial(3.0), [np.linspace(0, 10, 5_001)], 3e4),
    "kink": (kink(2, 1.5), [np.linspace(0, 3, 5_001)], 3e3),
    "damped": (damped(2, 0.2), [np.linspace(0, 10, 5_001)], 3e3),
    "formula": (
        targets.from_formula("exp(-t/3)*cos(4*t) + exp(-((t-40)/0.1)**2)"),
        [np.linspace(0, 60, 40_001), np.linspace(39, 41, 5_001)],
        3e3,
    ),
}


# interval arithmetic over a formula's slopes takes half a minute
CASES = [(name, norm) for name in ANY for norm in ("l2", "l1", "w1") if (name, norm) != ("formula", "w1")]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "norm"), CASES)
def test_every_norm_of_every_target_is_within_its_bracket(name, norm):
    rho, features, stop = ANY[name]
    rng = np.random.default_rng(len(name))
    rates, a = np.exp(rng.uniform(-4, 1, 2)), rng.standard_normal(2)
    exact = dense(rho, rates, a, norm, features, stop)
    found = worst_case_error(exponential_sum(rates, a), rho, 0.0, "direct", norm, draws=1)
    # dense sums are good to the square of their spacing, 1.2e-3 of t, or of its share of a wave
    assert found.lower <= exact * (1 + 1e-5)
    assert found.upper >= exact * (1 - 1e-5)
    assert found.upper - found.lower <= {"l2": 1e-9, "l1": 5e-3, "w1": 2e-2}[norm] * found.upper
    # the ball is as certain as its centre
    beta = rates.min() / 5
    ball = worst_case_error(exponential_sum(rates, a), rho, beta, "direct", norm, draws=3, budget=10)
    for corner in ((-1, -1), (-1, 1)):
        moved = dense(rho, rates + beta * np.array(corner), a, norm, features, stop)
        assert moved <= ball.upper * (1 + 1e-5)


def test_airy_is_within_its_bracket_up_to_many_oscillations():
    for shift in (6.0, 80.0, 150.0):
        t = np.linspace(0, shift + 20, 100_001)
        ai = special.airy(t - shift)[0]
        rates, a = np.array([0.1]), np.array([0.3])
        error = np.append((ai - 0.3 * np.exp(-0.1 * t)) ** 2, 0.0)
        # Simpson's rule, (shift/1e5)⁴ of a fourth derivative of shift², and the mode beyond
        exact = math.sqrt(
            (t[1] / 3) * (error[:-1:2].sum() * 2 - error[0] - error[-2] + 4 * error[1:-1:2].sum())
        )
        exact = math.hypot(exact, 0.3 * math.exp(-0.1 * t[-1]) / math.sqrt(0.2))
        found = worst_case_error(exponential_sum(rates, a), targets.airy(shift), 0.0, "direct", "l2")
        assert found.lower * (1 - 1e-9) <= exact <= found.upper * (1 + 1e-9)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(seed=st.integers(0, 2**32 - 1), pieces=st.integers(1, 6), steep=st.floats(0.1, 10))
def test_no_sign_change_hides_more_than_is_said(seed, pieces, steep):
    """|∫Δ| and ∫|Δ| of a broken line whose slopes are at most `steep`, exactly, piece by piece."""
    rng = np.random.default_rng(seed)
    t = np.unique(np.concatenate([[0.0, 1.0], rng.random(pieces - 1)]))
    values = rng.uniform(-0.6, 0.6) * steep + np.append(
        0.0, np.cumsum(np.diff(t) * steep * rng.uniform(-1, 1, t.size - 1))
    )
    whole = size = 0.0
    for h, (a, b) in zip(np.diff(t), np.stack([values[:-1], values[1:]], 1), strict=True):
        whole += h * (a + b) / 2
        size += h * (abs(a) + abs(b)) / 2 if a * b >= 0 else h * (a * a + b * b) / (2 * (abs(a) + abs(b)))
    hidden = hidden_in_cells(np.array([abs(whole)]), np.array([steep]), np.ones(1))[0]
    assert size - abs(whole) <= hidden + 16 * EPS * steep


def test_what_is_missed_is_what_coarse_panels_miss():
    rho = targets.two_parts(40.0)
    line = half_line(rho, "l2", 0.05, 1.0)
    assert line is not None
    # ten times the modes that it was made for: the bound must grow with them
    few, many = (line.missed(np.array([[size]]), np.array([[0.05]]))[0] for size in (1.0, 10.0))
    assert 0 < few < 1e-12
    assert few < many < 110 * few
    assert line.missed(np.array([[1.0]]), np.array([[-1.0]]))[0] > 1e6


@pytest.mark.parametrize(
    "rho", [targets.from_callable(lambda t: np.exp(-t)), targets.from_formula("exp(-t)*tanh(t)")]
)
def test_what_is_only_sampled_has_no_bracket(rho):
    with pytest.raises(ValueError, match="known between samples"):
        worst_case_error(exponential_sum([0.1], [0.3]), rho, 0.0, "direct", "l2")


def test_what_oscillates_too_long_is_refused_in_one_line():
    with pytest.raises(ArithmeticError, match="cannot be certified with 8000 rows") as told:
        worst_case_error(exponential_sum([1e-3], [0.3]), targets.airy(3e3), 0.0, "direct", "l1")
    assert "\n" not in str(told.value)
