import math
import pickle
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.mathtext import MathTextParser
from sympy.parsing.sympy_parser import implicit_multiplication, parse_expr, standard_transformations

from curse_of_memory.theory import targets
from curse_of_memory.theory.formulas import mathtext
from curse_of_memory.theory.quadrature import integrals_to
from curse_of_memory.theory.targets.custom_targets import sign_changes
from curse_of_memory.theory.targets.rate_targets import damped, kink

# mpmath has no types
quad: Callable[..., Any] = mpmath.quad
EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=40)
rates = st.floats(0.02, 20.0)

FAMILIES = {
    "exponential": targets.exponential(0.3),
    "polynomial": targets.polynomial(1.7, rate=0.4),
    "shift": targets.shift(2.0, 5.5),
    "two_parts": targets.two_parts(3.0),
    "airy": targets.airy(5.0),
    "exponential_sum": targets.exponential_sum(coefficients=[1.0, -3.0, 1.5], rates=[0.2, 0.5, 2.0]),
}
TIMES = np.array([0.0, 0.1, 0.9, 2.0, 3.7, 5.0, 5.4, 9.0])


def zeros_of(rho, stop=40.0):
    """Sign changes on a fine grid, refined by bisection: nothing the package computes."""
    grid = np.linspace(0.0, stop, 40_001)
    values = rho(grid)
    crossings = np.nonzero(values[:-1] * values[1:] < 0)[0]
    f = sympy.lambdify(targets.t, rho.formula, "mpmath")
    return [mpmath.findroot(f, (grid[i], grid[i + 1]), solver="anderson") for i in crossings]


def reference_tails(rho, starts, power=1):
    """∫_start^∞ |rho|^power by mpmath from the formula, split where the sign or the formula changes."""
    f = sympy.lambdify(targets.t, rho.formula, "mpmath")
    breaks = [mpmath.mpf(x) for x in (0.5, 1, 2, 3, 4, 5.5, 7, 10, 15, 20, 40)] + zeros_of(rho)
    starts = [mpmath.mpf(x) for x in starts]
    breaks = sorted(x for x in {*starts, *breaks} if x >= min(starts))
    # the Airy function is 1e-70 at 40 - 5, and mpmath cannot follow it to infinity
    stop = [] if rho.decay.kind in ("faster", "compact") else [mpmath.inf]
    tails, tail = {}, mpmath.mpf(0)
    for first, last in reversed(list(pairwise([*breaks, *stop]))):
        tail += quad(lambda x: abs(f(x)) ** power, [first, last])
        tails[first] = tail
    return np.array([float(tails.get(start, 0)) for start in starts])


@pytest.mark.parametrize("name", FAMILIES)
def test_values_follow_the_formula(name):
    rho = FAMILIES[name]
    f = sympy.lambdify(targets.t, rho.formula, "mpmath")
    expected = np.array([float(f(mpmath.mpf(x))) for x in TIMES])
    np.testing.assert_allclose(rho(TIMES), expected, rtol=0, atol=32 * EPS * np.abs(expected).max())


@pytest.mark.parametrize("name", FAMILIES)
def test_tails_and_norms_agree_with_mpmath(name):
    rho = FAMILIES[name]
    expected = reference_tails(rho, TIMES)
    np.testing.assert_allclose(rho.tail(TIMES), expected, rtol=1e-12, atol=1e-14)
    assert rho.norm(1) == pytest.approx(expected[0], rel=1e-13)
    assert rho.norm(2) == pytest.approx(math.sqrt(reference_tails(rho, [0.0], power=2)[0]), rel=1e-13)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_supremum_is_reached_and_never_exceeded(name):
    rho = FAMILIES[name]
    seen = np.abs(rho(np.linspace(0.0, 30.0, 300_001))).max()
    # a smooth maximum between grid points 1e-4 apart is at most |rho''| 1e-8/8 higher
    assert seen <= rho.norm(math.inf) * (1 + 4 * EPS)
    assert rho.norm(math.inf) == pytest.approx(seen, abs=1e-7)


@pytest.mark.parametrize("name", FAMILIES)
def test_quadrature_of_an_opaque_twin_agrees_with_the_closed_form(name):
    rho = FAMILIES[name]
    twin = targets.from_callable(rho, name=name)
    np.testing.assert_allclose(twin.tail(TIMES), rho.tail(TIMES), rtol=0, atol=1e-8 * rho.norm(1))
    assert twin.norm(2) == pytest.approx(rho.norm(2), rel=1e-8)
    assert twin.norm(math.inf) == pytest.approx(rho.norm(math.inf), rel=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_targets_pickle_and_compare(name):
    rho = FAMILIES[name]
    again = pickle.loads(pickle.dumps(rho))
    assert again == rho
    assert hash(again) == hash(rho)
    assert np.array_equal(again(TIMES), rho(TIMES))


@steady
@given(exponent=st.floats(1.05, 6.0), rate=rates)
def test_polynomial_norms_agree_with_sympy(exponent, rate):
    rho = targets.polynomial(exponent, rate)
    p, r = sympy.Rational(repr(exponent)), sympy.Rational(repr(rate))
    assert rho.norm(1) == pytest.approx(float(1 / (r * (p - 1))), rel=4 * EPS)
    tail = sympy.integrate((1 + r * targets.t) ** -p, (targets.t, 2, sympy.oo))
    assert float(rho.tail(2.0)) == pytest.approx(float(tail), rel=1e-13)


@steady
@given(
    terms=st.lists(st.tuples(st.floats(-5, 5).filter(lambda c: abs(c) > 1e-3), rates), min_size=1, max_size=6)
)
def test_tails_of_exponential_sums_fall_from_the_norm_to_zero(terms):
    c, lam = zip(*terms, strict=True)
    try:
        rho = targets.exponential_sum(coefficients=c, rates=lam)
    except ValueError:  # terms of equal rate that cancel
        return
    scale = np.abs(np.divide(c, lam)).sum()
    grid = np.linspace(0.0, 50 / min(lam), 200)
    tail = rho.tail(grid)
    assert rho.norm(1) == pytest.approx(tail[0], abs=16 * EPS * scale)
    assert (np.diff(tail) <= 16 * EPS * scale).all()
    assert 0 <= tail[-1] <= scale * math.exp(-50) * 2
    # |∫ρ| <= ∫|ρ| <= Σ|cᵢ|/λᵢ
    assert abs(np.divide(c, lam).sum()) <= rho.norm(1) + 16 * EPS * scale <= scale * (1 + 32 * EPS)


@steady
@given(roots=st.lists(st.floats(0.05, 0.95), min_size=1, max_size=4, unique=True))
def test_sign_changes_finds_every_root_of_a_polynomial_in_exp(roots):
    roots = np.sort(roots)
    if np.diff(roots).size and np.diff(roots).min() < 0.05:
        return
    # Π (e^{-t} − z) e^{-t}, so the zeros are −ln z
    c = np.polynomial.polynomial.polyfromroots(roots)
    found = sign_changes(coefficients=c, rates=np.arange(1.0, c.size + 1))
    np.testing.assert_allclose(np.sort(found), np.sort(-np.log(roots)), atol=1e-9)


def test_equal_rates_are_added_up():
    rho = targets.exponential_sum(coefficients=[1.0, 2.0], rates=[0.5, 0.5])
    assert rho == targets.exponential_sum(coefficients=[3.0], rates=[0.5])


def test_borders_of_integrability():
    assert targets.polynomial(1.0).norm(1) == math.inf
    assert targets.polynomial(0.5).norm(2) == math.inf
    assert targets.polynomial(0.75).norm(2) == pytest.approx(math.sqrt(2), rel=4 * EPS)
    wave = targets.sine(2.0)
    assert wave.norm(1) == wave.norm(2) == math.inf
    assert wave.norm(math.inf) == 1.0
    assert np.isinf(wave.tail([0.0, 5.0])).all()


def test_declared_decay_tells_an_infinite_tail_and_an_undeclared_one_is_refused():
    slow = targets.from_formula("1/(1+t)", decay=targets.Decay("polynomial", 1.0))
    assert slow.norm(1) == math.inf
    assert slow.norm(2) == pytest.approx(1.0, rel=1e-8)
    for divergent in ("1/(1+t)", "sin(t)", "1"):
        with pytest.raises(ArithmeticError, match="does not settle"):
            targets.from_formula(divergent).norm(1)


def test_slow_tails_are_not_lost_beyond_the_last_octave():
    rho = targets.from_formula("(1+t)**(-1.1)")
    assert rho.norm(1) == pytest.approx(10.0, rel=1e-8)


def test_quadrature_to_a_finite_end():
    found = integrals_to(np.cos, np.array([[0.0], [0.5]]), 1.0, "cos")
    np.testing.assert_allclose(found, math.sin(1) - np.sin([[0.0], [0.5]]), rtol=1e-12)


def test_formulas_take_any_symbol_called_t():
    t = sympy.Symbol("t")
    assert targets.from_formula(sympy.exp(-t)).formula == sympy.exp(-targets.t)
    assert np.array_equal(targets.from_formula("2")([0.0, 1.0]), [2.0, 2.0])


def test_on_grid_is_labelled_by_time():
    grid = targets.exponential(0.5).on_grid(4, dt=0.5)
    assert grid.dims == ("lag",)
    assert grid.lag.values.tolist() == [0.0, 0.5, 1.0, 1.5]
    np.testing.assert_allclose(grid, np.exp([0.0, -0.25, -0.5, -0.75]), rtol=4 * EPS)


def test_shapes_and_types_follow_the_times():
    rho = targets.polynomial(2.0)
    assert rho(np.ones((2, 3))).shape == rho.tail(np.ones((2, 3))).shape == (2, 3)
    assert isinstance(rho(1), float)
    assert isinstance(rho.norm(2), float)


def test_named_kernels_keep_paper_and_code_apart():
    lags = np.arange(100.0)
    expected = {
        "iat-paper-exponential": 0.9**lags,
        "iat-paper-polynomial": (1 + lags) ** -1.1,
        "iat-paper-polynomial-nonlinear": (1 + lags) ** -1.5,
        "iat-code-exponential": np.exp(-lags),
        "iat-code-polynomial": (1 + 0.1 * lags) ** -1.1,
        "iat-code-shift": np.where(lags == 10, 1.0, 0.0),
        "iat-code-two-parts": np.exp(-lags) + np.exp(-((lags - 9) ** 2)),
        "iat-code-sine": np.sin(lags),
        "iat-code-airy": np.array([float(mpmath.airyai(x - 6)) for x in lags]),
    }
    assert set(expected) == set(targets.NAMED)
    for name, values in expected.items():
        rho = targets.named(name)
        assert rho.name == name
        # rate times time is rounded before exp: eps times the exponent, at most 99
        np.testing.assert_allclose(rho(lags), values, rtol=128 * EPS, atol=1e-15)


def test_the_readme_number():
    assert targets.polynomial(exponent=1.1, rate=0.1).norm(1) == 100.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: targets.exponential(0.0), "rate must be positive"),
        (lambda: targets.polynomial(-1.0), "exponent must be positive"),
        (lambda: targets.shift(3.0, 3.0), "stop must exceed start"),
        (lambda: targets.airy(-1.0), "shift must not be negative"),
        (lambda: targets.airy(1e7), "shift must be at most 1e6"),
        (lambda: targets.exponential_sum(coefficients=[1.0], rates=[1.0, 2.0]), "as many"),
        (lambda: targets.exponential_sum(coefficients=[1.0], rates=[-1.0]), "rates must be positive"),
        (lambda: targets.exponential_sum(coefficients=[1.0, -1.0], rates=[2.0, 2.0]), "must not all be zero"),
        (lambda: targets.from_formula("exp(-a*t)"), "no symbol but t, got a"),
        (lambda: targets.exponential()([-1.0]), "t must not be negative"),
        (lambda: targets.exponential().tail([math.nan]), "t must be finite"),
        (lambda: targets.exponential().norm(3), "order must be 1, 2 or math.inf"),
        (lambda: targets.exponential().on_grid(0), "horizon must be at least 1"),
        (lambda: targets.exponential().on_grid(4, dt=-1.0), "dt must be positive"),
        (lambda: targets.from_callable(lambda t: t[:-1])([1.0, 2.0]), "keep the shape of t"),
        (lambda: targets.from_callable(lambda t: t * math.nan)([1.0]), "must be finite"),
        (lambda: targets.named("iat-paper-exponental"), "did you mean 'iat-paper-exponential'"),
        (lambda: targets.Decay("slow"), "kind must be one of"),
        (lambda: targets.Decay("compact", 1.0), "rate must be None"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_no_callable_is_refused():
    with pytest.raises(TypeError, match="func must be callable"):
        targets.from_callable(3.0)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("rho", "label"),
    [
        (targets.named("iat-paper-exponential"), "$0.9^{t}$"),
        (targets.named("iat-paper-polynomial"), "$(1+t)^{-1.1}$"),
        (targets.named("iat-code-polynomial"), "$(1+t/10)^{-1.1}$"),
        (targets.named("iat-code-airy"), r"$\mathrm{Ai}(t-6)$"),
        (targets.named("iat-code-shift"), r"$\mathbf{1}_{9<t<11}$"),
        (targets.named("iat-code-two-parts"), "$e^{-t}+e^{-(t-9)^{2}}$"),
        (damped(), "$e^{-t}/(1+t)$"),
        (targets.exponential_sum(coefficients=[1.0, -0.6], rates=[0.05, 0.3]), "$e^{-t/20}-0.6e^{-0.3t}$"),
        (targets.from_formula("exp(-(t - 16)**2/18)"), "$e^{-(t-16)^{2}/18}$"),
    ],
)
def test_labels_are_written_as_the_figures_have_them(rho, label):
    assert rho.label() == label


LABELLED = [rho for rho in (*FAMILIES.values(), *targets.NAMED.values(), damped(3), kink(2))]


@pytest.mark.parametrize("rho", LABELLED, ids=lambda rho: rho.name)
def test_matplotlib_draws_every_label(rho):
    assert MathTextParser("path").parse(rho.label("s")).width > 0
    assert not re.search(r"(?<![a-z])t", rho.label("s"))


def read_again(text):
    for latex, python in (("^{", "**("), ("}", ")"), (r"\sqrt{", "sqrt("), (r"\times", "*"), (r"\cdot", "*")):
        text = text.replace(latex, python)
    steps = (*standard_transformations, implicit_multiplication)
    return parse_expr(text, {"e": sympy.E, "t": targets.t}, steps)


@pytest.mark.parametrize(
    "text",
    [
        "exp(-t/3)", "2*0.5**t", "-(t - 1)/7", "(t - 1)*(t + 2)", "1/sqrt(2*t)", "t/(2*(1 + t))",
        "3*t/40 - 5", "(2/3)**t", "(-t)**3", "(t**2)**t", "exp(-(t - 2)**2/2)/(1 + t)",
        "-2*exp(-t)*(1 + t)**(-3/2)", "1e-7*t", "0.05", "-0.25 - t",
    ],
)  # fmt: skip
def test_what_a_label_says_is_the_formula(text):
    formula = targets.from_formula(text).formula
    assert formula is not None
    again = read_again(mathtext(formula))
    for at in (0.3, 1.7, 2.9):
        assert complex(again.subs(targets.t, at)) == pytest.approx(complex(formula.subs(targets.t, at)))


def test_what_has_no_label_is_called_by_its_name():
    assert targets.from_callable(np.exp, name="mine").label() == "mine"
    assert targets.from_formula("besselj(0, t)", name="Bessel").label() == "Bessel"
    with pytest.raises(ValueError, match="formula must be one that can be written"):
        mathtext(sympy.besselj(0, targets.t))
    with pytest.raises(TypeError, match="symbol must be text, got 1"):
        targets.exponential().label(1)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_the_norms_of_a_sum_scale_with_its_coefficients(scale):
    plain = targets.exponential_sum(coefficients=[1.0, -3.0, 1.5], rates=[0.2, 0.5, 2.0])
    other = targets.exponential_sum(coefficients=[scale, -3 * scale, 1.5 * scale], rates=[0.2, 0.5, 2.0])
    for order in (1, 2, math.inf):
        assert other.norm(order) / scale == pytest.approx(plain.norm(order), rel=1e-12)
