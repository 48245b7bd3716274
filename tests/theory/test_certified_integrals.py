"""Tails and norms that no sample can vouch for: features far, narrow or oscillating, terms that cancel."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from curse_of_memory.theory import targets
from curse_of_memory.theory.airy_integrals import airy_magnitude
from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.stability import worst_case_error
from curse_of_memory.theory.targets.analytic import derivative_bound, gauss_bound
from curse_of_memory.theory.targets.far_bump import far_bump
from curse_of_memory.theory.targets.rate_targets import damped, kink
from curse_of_memory.theory.targets.rectangles import magnitude_of

EPS = np.finfo(float).eps
# mpmath has no types
quad: Callable[..., Any] = mpmath.quad
steady = settings(derandomize=True, deadline=None, max_examples=60)

FORMULAS = [
    "exp(-t)*cos(5*t)",
    "exp(-(t - 16)**2/18)",
    "t**2*exp(-t/3)",
    "sqrt(t)*exp(-t)",
    "exp(-sqrt(t))",
    "log(1 + t)/(1 + t)**3",
    "erfc(t - 3)",
    "erf(t)*exp(-t)",
    "airyai(2.25*(t - 5))",
    "1/(1 + t**2)",
    "cosh(t)*exp(-2*t)",
    "3**(-t)*(1 + t)**1.5",
    "sin(t)/(2 + t)**2",
]


def spike(t):
    return np.exp(-t) + np.exp(-(((t - 1000) / 0.3) ** 2))


def test_a_far_bump_of_a_callable_is_seen():
    # ∫e^{−2t} = 1/2 and ∫e^{−2((t−1000)/.3)²} = .3 √(π/2)
    exact = math.sqrt(0.5 + 0.3 * math.sqrt(math.pi / 2))
    for rho in (targets.from_callable(spike), targets.from_formula("exp(-t)+exp(-((t-1000)/0.3)**2)")):
        assert rho.norm(2) == pytest.approx(exact, rel=1e-8)
        assert rho.norm(1) == pytest.approx(1 + 0.3 * math.sqrt(math.pi), rel=1e-8)
        assert float(rho.tail(500.0)) == pytest.approx(0.3 * math.sqrt(math.pi), rel=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(("where", "width"), [(1e4, 1e-4), (3e7, 5.0), (2e-9, 1e-11)])
def test_what_is_narrower_or_farther_is_certified_of_a_formula_and_named_of_a_callable(where, width):
    height = 0.5 / width
    area, energy = 0.5 * math.sqrt(math.pi), 0.25 / width * math.sqrt(math.pi / 2)

    def bump(t):
        return np.exp(-t) + height * np.exp(-(np.minimum((t - where) / width, 1e3) ** 2))

    by_name = targets.from_callable(bump, features=[[where, width]])
    formula = targets.from_formula(f"exp(-t) + {height!r}*exp(-((t - {where!r})/{width!r})**2)")
    cross = height * width * math.sqrt(math.pi) * math.exp(-where)
    for rho in (by_name, formula):
        assert rho.norm(1) == pytest.approx(1 + area, rel=1e-8)
        assert rho.norm(2) == pytest.approx(math.sqrt(0.5 + 2 * cross + energy), rel=1e-8)
        assert rho.norm(math.inf) == pytest.approx(
            max(1, height) + (where < 1) * 1.0 * (height > 1), rel=1e-8
        )
    assert formula.certified
    assert not by_name.certified


def test_every_feature_as_wide_as_promised_is_seen():
    # steps t/1000 wide, whose jumps are named, and bumps of that width at half their height
    for where in np.random.default_rng(0).uniform(math.log(1e-6), math.log(1e6), 40):
        at = math.exp(where)

        def bump(t, at=at):
            inside = np.abs(t - at) < at / 2000
            return np.exp(-t) + np.where(inside, 1 / at, 0.0)

        rho = targets.from_callable(bump, features=[[at * (1 - 1 / 2000), 0.0], [at * (1 + 1 / 2000), 0.0]])
        assert rho.norm(1) == pytest.approx(1 + 1e-3, rel=1e-8)
        width = at / 1000 / (2 * math.sqrt(math.log(2)))
        unnamed = targets.from_callable(
            lambda t, at=at, width=width: np.exp(-t) + np.exp(-(np.minimum((t - at) / width, 99) ** 2)) / at
        )
        assert unnamed.norm(1) == pytest.approx(1 + math.sqrt(math.pi) * width / at, rel=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_agree_with_mpmath(text):
    rho = targets.from_formula(text)
    assert rho.certified
    f = sympy.lambdify(targets.t, rho.formula, "mpmath")
    grid = np.linspace(0, 60, 6001)
    signs = np.sign(rho(grid))
    zeros = [
        mpmath.findroot(f, (grid[i], grid[i + 1]), solver="anderson", tol=1e-20)
        for i in np.nonzero(signs[1:-1] * signs[2:] < 0)[0] + 1
    ]
    breaks = [0, *sorted([*zeros, *(mpmath.mpf(x) for x in (0.03, 0.3, 1, 3, 6, 10, 16, 25, 45))])]
    far = [] if "airy" in text else [mpmath.mpf(200), mpmath.inf]
    if text.startswith("sin"):
        # alternating pieces that fall like t^{−2}: the rest is that of ⟨|sin|⟩ = 2/π, to second order
        breaks = [0, *(k * mpmath.pi for k in range(1, 200))]
        exact = quad(lambda x: abs(f(x)), breaks) + 2 / mpmath.pi / (2 + 199 * mpmath.pi)
        with pytest.raises(ArithmeticError, match="does not settle"):
            rho.norm(1)
        assert rho.norm(2) ** 2 == pytest.approx(float(quad(lambda x: f(x) ** 2, breaks)), rel=1e-6)
        return
    for power in (1, 2):
        exact = quad(lambda x, power=power: abs(f(x)) ** power, [*breaks, *far])
        assert rho.norm(power) ** power == pytest.approx(float(exact), rel=2e-8)
    assert rho.norm(math.inf) == pytest.approx(np.abs(rho(np.linspace(0, 60, 600_001))).max(), rel=1e-7)


@steady
@given(
    text=st.sampled_from(FORMULAS),
    low=st.floats(-0.5, 30),
    width=st.floats(0, 5),
    height=st.floats(0, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_magnitudes_of_formulas_are_bounds(text, low, width, height, seed):
    formula = sympy.sympify(text, locals={"t": targets.t})  # pyright: ignore[reportCallIssue]  # sympy's overloads leave out `locals`
    magnitude = magnitude_of(formula)
    assert magnitude is not None
    bound = float(magnitude(*(np.array([x]) for x in (low, low + width, height)))[0])
    f = sympy.lambdify(targets.t, formula, "mpmath")
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(low, low + width, 5), rng.uniform(-height, height, 5)
    for z in (*(x + 1j * y), complex(low, height), complex(low + width, -height)):
        if math.isfinite(bound):
            assert abs(f(mpmath.mpc(z))) <= bound


@steady
@given(
    which=st.integers(0, 7),
    low=st.floats(-0.4, 40),
    width=st.floats(0, 3),
    height=st.floats(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_magnitudes_of_families_are_bounds(which, low, width, height, seed):
    rho = [
        targets.exponential(0.7),
        targets.polynomial(1.4, 0.6),
        targets.two_parts(20.0),
        targets.airy(25.0),
        far_bump(12.0, 0.4, -2.0, coefficients=[1.0, -0.5], rates=[0.3, 1.0]),
        damped(2, 0.5),
        targets.exponential_sum(coefficients=[1.0, -3.0], rates=[0.2, 1.0]),
        targets.sine(2.0),
    ][which]
    bound = float(rho._magnitude(*(np.array([x]) for x in (low, low + width, height)))[0])
    f = sympy.lambdify(targets.t, rho.formula, "mpmath")
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(low, low + width, 4), rng.uniform(-height, height, 4)
    for z in (*(x + 1j * y), complex(low, height)):
        assert abs(f(mpmath.mpc(z))) <= bound * (1 + 64 * EPS)


def test_the_pieces_of_a_kink_are_below_their_bound():
    rho = kink(2, 1.3)
    for low, width, height in np.random.default_rng(1).uniform([-0.2, 0, 0], [3, 2, 2], (200, 3)):
        bound = rho._magnitude(*(np.array([x]) for x in (low, low + width, height)))[0]
        z = complex(low, height)
        assert abs(np.exp(-z) * (np.exp(-z) - math.exp(-1.3)) ** 2) <= bound * (1 + 64 * EPS)


def test_the_airy_bound_holds_far_out_where_it_oscillates():
    for low, width, height in np.random.default_rng(2).uniform([-400, 0, 0], [10, 4, 3], (150, 3)):
        bound = airy_magnitude(*(np.array([x]) for x in (low, low + width, height)))[0]
        points = complex(low, height), complex(low + width, height), complex(low + width / 2, 0)
        assert max(abs(complex(mpmath.airyai(z))) for z in points) <= bound


@steady
@given(low=st.floats(0, 20), width=st.floats(1e-3, 8), nodes=st.integers(2, 16), which=st.integers(0, 2))
def test_gauss_and_derivative_bounds_hold(low, width, nodes, which):
    rho = [targets.exponential(1.0), targets.polynomial(2.0), targets.two_parts(10.0)][which]
    ends = np.array([low]), np.array([low + width])
    x, weights = np.polynomial.legendre.leggauss(nodes)
    found = width / 2 * weights @ rho(low + width / 2 * (1 + x))
    # tails are closed forms, of positive functions
    exact = float(rho.tail(low) - rho.tail(low + width))
    assert abs(found - exact) <= gauss_bound(rho._magnitude, *ends, nodes)[0] + 8 * EPS * float(rho.tail(low))
    f = sympy.lambdify(targets.t, rho.formula, "mpmath")
    for order in (1, 2, 3):
        inside = [mpmath.diff(f, low + share * width, order) for share in (0.1, 0.5, 0.9)]
        assert max(map(abs, inside)) <= derivative_bound(rho._magnitude, *ends, order)[0]


@pytest.mark.parametrize("center", [0.0, 0.7, 9.0, 300.0, 1e4])
def test_suprema_of_bumps(center):
    rho = targets.two_parts(center)
    t = np.concatenate([np.linspace(max(center - 2, 0), center + 2, 400_001), [0.0]])
    # the grid is 1e-5 apart, and |ρ''| <= 3
    assert rho.norm(math.inf) == pytest.approx(rho(t).max(), rel=1e-9)
    for width, height in ((0.02, 1.0), (0.02, -1.0), (1e-3, 0.5)):
        rho = far_bump(center, width, height)
        t = np.concatenate([center + width * np.linspace(-min(center / width, 6), 6, 400_001), [0.0]])
        assert rho.norm(math.inf) == pytest.approx(np.abs(rho(t)).max(), rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("center", [3.0, 20.0, 400.0])
@pytest.mark.parametrize("height", [-1.0, 0.7])
def test_tails_of_bumps_of_any_sign(center, height):
    rho = far_bump(center, 0.02, height, coefficients=[1.0, -0.3], rates=[1.0, 0.2])
    f = sympy.lambdify(targets.t, rho.formula, "mpmath")
    grid = np.unique(np.concatenate([np.linspace(0, 60, 20_001), center + np.linspace(-0.3, 0.3, 2001)]))
    i = np.nonzero(np.diff(np.sign(rho(grid))))[0]
    zeros = [mpmath.findroot(f, (grid[k], grid[k + 1]), solver="anderson") for k in i]
    near = [center + 0.02 * k for k in (-12, -6, -3, -1, 0, 1, 3, 6, 12)]
    breaks = sorted({0.0, 1.0, 3.5, 8.0, 30.0, 80.0, *map(float, zeros), *near})
    exact = quad(lambda x: abs(f(x)), [*breaks, mpmath.inf])
    assert rho.norm(1) == pytest.approx(float(exact), rel=1e-8)
    # piece by piece, so that all tails are sums of the same integrals
    times = (0.0, 2.0, center, center + 0.05)
    edges = sorted({*breaks, *times})
    pieces = [quad(lambda x: f(x) ** 2, ends) for ends in itertools.pairwise([*edges, mpmath.inf])]
    assert rho.norm(2) == pytest.approx(float(mpmath.sqrt(sum(pieces))), rel=1e-12)
    for t in times:
        rest = sum(pieces[edges.index(t) :])
        assert float(rho._energy(np.array(t))) == pytest.approx(float(rest), rel=1e-11, abs=1e-14)


def sum_norms(c, rates):
    """Norms of a sum of one sign in 60 digits: its squared L² norm is a quadratic form."""
    with mpmath.workdps(60):
        c, rates = [mpmath.mpf(x) for x in c], [mpmath.mpf(x) for x in rates]
        square = sum(
            a * b / (p + q) for a, p in zip(c, rates, strict=True) for b, q in zip(c, rates, strict=True)
        )
        return float(mpmath.sqrt(square)), float(abs(sum(a / p for a, p in zip(c, rates, strict=True))))


def test_a_sum_whose_terms_cancel_keeps_its_digits():
    c, rates = (5, -4.9999999), (0.5, 0.50000001)
    rho = targets.exponential_sum(coefficients=c, rates=rates)
    two, one = sum_norms(c, rates)
    assert two == pytest.approx(1.5811388e-7, rel=1e-7)
    assert rho.norm(2) == pytest.approx(two, rel=1e-12)
    assert rho.norm(1) == pytest.approx(one, rel=1e-8)
    assert rho.norm(math.inf) == pytest.approx(5 - 4.9999999, rel=1e-12)
    bump = far_bump(3.0, height=0.0, coefficients=c, rates=rates)
    assert bump.norm(2) == pytest.approx(two, rel=1e-12)


@steady
@given(
    rate=st.floats(0.05, 5),
    gap=st.floats(1e-9, 1e-2),
    size=st.floats(1e-3, 1e3),
    excess=st.floats(0, 1e-6),
)
def test_nearly_equal_rates_are_a_divided_difference(rate, gap, size, excess):
    c, rates = (size * (1 + excess), -size), (rate, rate * (1 + gap))
    rho = targets.exponential_sum(coefficients=c, rates=rates)
    two, one = sum_norms(c, rates)
    assert rho.norm(2) == pytest.approx(two, rel=1e-12)
    # c/λ is rounded before it is subtracted, to eps of a term: that is eps/gap of the difference
    assert rho.norm(1) == pytest.approx(one, rel=1e-12 + 8 * EPS / gap)


CANCELLING = {
    "divided difference": ((1.0, -1.0), (1e-3, 1.0000001e-3)),
    "second difference": ((1.0, -2.0, 1.0), (1.0, 1.001, 1.002)),
    "nearly equal": ((1.0, -2.0, 1.0), (1.0, 1 + 1e-7, 1 + 2e-7)),
    "third difference": ((1e3, -3e3, 3e3, -1e3), (0.1, 0.1001, 0.1002, 0.1003)),
    "two clusters": ((1.0, -1.0, 5.0, -5.0), (1.0, 1 + 1e-9, 30.0, 30 + 1e-8)),
}


def exact_energy(c, rates, start=0.0):
    """∫_start^∞ of the square of a sum, in 60 digits."""
    with mpmath.workdps(60):
        parts = [
            (a * mpmath.exp(-mpmath.mpf(rate) * start), mpmath.mpf(rate))
            for a, rate in zip(c, rates, strict=True)
        ]
        return sum(a * b / (p + q) for a, p in parts for b, q in parts)


@pytest.mark.parametrize("name", CANCELLING)
def test_values_and_tails_of_cancelling_sums_keep_their_digits(name):
    c, rates = CANCELLING[name]
    rho = targets.exponential_sum(coefficients=c, rates=rates)
    for start in (0.0, 0.3 / rates[0], 4 / rates[0]):
        with mpmath.workdps(60):
            each = [a * mpmath.exp(-mpmath.mpf(rate) * start) for a, rate in zip(c, rates, strict=True)]
            value = sum(each)
            tail = abs(sum(a / mpmath.mpf(rate) for a, rate in zip(each, rates, strict=True)))
        known = 200 * EPS * (1 + rates[0] * start)
        assert rho(start) == pytest.approx(float(value), rel=known, abs=0)
        # none of these sums changes its sign
        assert rho.tail(start) == pytest.approx(float(tail), rel=known, abs=0)
        energy = float(exact_energy(c, rates, start))
        assert float(rho._energy(np.array(start))) == pytest.approx(energy, rel=2 * known, abs=0)


@pytest.mark.parametrize("rate", [0.5, 3.0, 30.0])
@pytest.mark.parametrize("name", CANCELLING)
def test_brackets_hold_where_a_target_cancels_beyond_the_modes(name, rate):
    c, rates = CANCELLING[name]
    rho, rate = targets.exponential_sum(coefficients=c, rates=rates), rate * rates[0]
    fit = ExponentialSum(rates=[rate], coefficients=[1e-3 * rho.norm(2)])
    found = worst_case_error(fit, rho, 0.0, "direct", "l2")
    with mpmath.workdps(60):
        exact = mpmath.sqrt(exact_energy([*c, -fit.coefficients[0]], [*rates, rate]))
        assert found.lower <= exact <= found.upper


def airy_tail(shift):
    """∫|Ai(t − shift)| from zeros and primitives of mpmath."""
    zeros, k = [], 1
    while (zero := mpmath.airyaizero(k)) > -shift:
        zeros, k = [zero, *zeros], k + 1
    edges = [mpmath.mpf(-shift), *zeros]
    primitive = [mpmath.airyai(x, derivative=-1) for x in edges] + [mpmath.mpf(1) / 3]
    return float(sum(abs(b - a) for a, b in itertools.pairwise(primitive)))


@pytest.mark.parametrize("shift", [0.0, 2.5, 29.9, 30.1, 45.0])
def test_airy_tails_agree_with_mpmath(shift):
    assert targets.airy(shift).norm(1) == pytest.approx(airy_tail(shift), rel=1e-12)


def test_a_very_long_airy_memory_has_its_norm_at_once():
    rho = targets.airy(1e4)
    t = np.linspace(0, 4, 200_001)
    sampled = np.trapezoid(np.abs(special.airy(t - 1e4)[0]), t)
    # kinks in one of 1500 cells of a half wave each: (π/1500)² of it
    assert float(rho.tail(0.0) - rho.tail(4.0)) == pytest.approx(sampled, rel=1e-5)
    # |Ai(−x)| is x^{−1/4}/√π |cos| on average 2/π of it: 4/3 x^{3/4} 2/π^{3/2}, but for the first waves
    assert rho.norm(1) == pytest.approx(8 / 3 * 1e3 / math.pi**1.5, rel=1e-2)
    assert targets.airy(1e6).norm(math.inf) == pytest.approx(0.53565665601569, rel=1e-12)  # Ai(−1.01879)
    with pytest.raises(ArithmeticError, match="more than 6e6 sign changes"):
        targets.airy(1e6).norm(1)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([1.0, 2.0], "dimension"),
        ([[1.0, 2.0, 3.0]], "pairs"),
        ([[-1.0, 1.0]], "pairs"),
        ([[1.0, math.nan]], "finite"),
    ],
)
def test_features_are_pairs(features, message):
    with pytest.raises(ValueError, match=message):
        targets.from_callable(np.exp, features=features)
