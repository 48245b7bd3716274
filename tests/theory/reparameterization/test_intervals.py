"""Intervals through formulas: against mpmath's interval arithmetic and dense samples."""

import math
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import pytest

from curse_of_memory.theory.reparameterization import REPARAMETERIZATIONS
from curse_of_memory.theory.reparameterization.intervals import Interval, over
from curse_of_memory.theory.reparameterization.namespaces import functions_for
from curse_of_memory.theory.reparameterization.ranges import bounded_by, value_intervals, value_range
from curse_of_memory.theory.reparameterization.weight_map import Reparameterization

X = functions_for(over(np.zeros(1), np.ones(1)))
# each with a number that it is evaluated around, and its derivative by mpmath
FUNCTIONS = {
    "exp": (X.exp, mpmath.exp, (-30, 30)),
    "expm1": (X.expm1, mpmath.expm1, (-30, 30)),
    "log": (X.log, mpmath.log, (0.01, 30)),
    "log1p": (X.log1p, lambda x: mpmath.log(1 + x), (-0.9, 30)),
    "sqrt": (X.sqrt, mpmath.sqrt, (0.01, 30)),
    "tanh": (X.tanh, mpmath.tanh, (-5, 5)),
    "sinh": (X.sinh, mpmath.sinh, (-5, 5)),
    "cosh": (X.cosh, mpmath.cosh, (-5, 5)),
    "atan": (X.atan, mpmath.atan, (-5, 5)),
    "sin": (X.sin, mpmath.sin, (-50, 50)),
    "cos": (X.cos, mpmath.cos, (-50, 50)),
    "abs": (X.abs, lambda x: abs(x), (-5, 5)),
    "square": (X.square, lambda x: x**2, (-5, 5)),
    "cube": (lambda x: x**3, lambda x: x**3, (-5, 5)),
    "power": (lambda x: x**1.5, lambda x: x ** mpmath.mpf(1.5), (0.1, 5)),
    "reciprocal": (lambda x: 2 / x, lambda x: 2 / x, (0.1, 5)),
    "exponent": (lambda x: 3.0**x, lambda x: mpmath.mpf(3) ** x, (-5, 5)),
    "softplus": (
        lambda x: X.logaddexp(X.zeros_like(x), x),
        lambda x: mpmath.log(1 + mpmath.exp(x)),
        (-30, 30),
    ),
    "product": (lambda x: x * X.exp(-x), lambda x: x * mpmath.exp(-x), (-5, 5)),
    "quotient": (lambda x: (x - 1) / (x * x + 1), lambda x: (x - 1) / (x * x + 1), (-5, 5)),
    "minimum": (lambda x: X.minimum(x, 1 - x), lambda x: min(x, 1 - x), (-5, 5)),
    "switch": (
        lambda x: X.where(x > 1, 2 * x, -x),
        lambda x: 2 * x if x > 1 else -x,
        (-5, 5),
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_intervals_hold_values_and_slopes(name):
    function, exact, (low, high) = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    a = rng.uniform(low, high, 60)
    b = np.minimum(a + (high - low) * 10.0 ** rng.uniform(-16, 0, 60), high)
    found = function(over(a, b))
    with mpmath.workdps(40):
        for i in range(60):
            for x in (a[i], b[i], *rng.uniform(a[i], b[i], 3)):
                value = exact(mpmath.mpf(float(x)))
                assert found.value[0][i] <= value <= found.value[1][i]
            for x in rng.uniform(a[i], b[i], 2):
                slope = mpmath.diff(exact, mpmath.mpf(float(x)), h=mpmath.mpf(10) ** -15)
                # the difference is off by 1e-15, and by a jump where it falls upon one
                assert found.slope[0][i] - 1e-12 <= slope <= found.slope[1][i] + 1e-12


@pytest.mark.parametrize("name", FUNCTIONS)
def test_narrow_intervals_are_narrow(name):
    function, exact, (low, high) = FUNCTIONS[name]
    x = np.linspace(low, high, 12)[1:-1] + 0.01
    found = function(over(x, x))
    with mpmath.workdps(40):
        values = np.array([float(exact(mpmath.mpf(float(v)))) for v in x])
    # of some dozens of roundings, relative to the numbers that go in
    np.testing.assert_allclose(found.value[0], values, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(found.value[1], values, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("formula", "sign"),
    [
        (lambda x, v: -x.exp(v), -1),
        (lambda x, v: -x.log1p(x.exp(v)), -1),
        (lambda x, v: x.expm1(-x.exp(v)), -1),
        (lambda x, v: -x.logaddexp(x.zeros_like(v), v), -1),
        (lambda x, v: 1 / x.cosh(v), 1),
        (lambda x, v: x.exp(v) - x.exp(-v), 0),
        (lambda x, v: -((v - 0.3) ** 2), 0),
        (lambda x, v: -((v - 0.3) ** 2) - x.exp(-v), -1),
    ],
)
def test_signs_are_known_where_numbers_underflow(formula, sign):
    found = formula(X, over(np.array([-1e6]), np.array([1e6])))
    assert found.sign.tolist() == [sign]


def test_a_division_by_what_may_vanish_is_unbounded():
    found = 1 / over(np.array([-1.0, 0.0, 1.0]), np.array([1.0, 1.0, 2.0]))
    assert found.value[0].tolist()[0] == -math.inf
    assert found.value[1].tolist()[:2] == [math.inf, math.inf]
    assert 1 <= found.value[1][2] <= 1 + 1e-14


def test_logarithms_of_what_may_be_negative_are_unbounded():
    found = X.log(over(np.array([-1.0]), np.array([2.0])))
    assert (found.value[0][0], found.value[1][0]) == (-math.inf, math.inf)


@pytest.mark.parametrize("comparison", [lambda x: bool(x > 0), lambda x: bool(x), lambda x: x + "1"])
def test_what_intervals_cannot_answer_is_an_error(comparison):
    with pytest.raises(TypeError):
        comparison(over(np.array([-1.0]), np.array([2.0])))


# --- maps -------------------------------------------------------------------------------------------


iv: Any = mpmath.iv  # its types know neither sums with numbers nor intervals from pairs
SLOPES = {  # of f, by hand
    "direct": lambda v: iv.mpf(1),
    "softplus": lambda v: -1 / (1 + iv.exp(-v)),
    "exp": lambda v: -iv.exp(v),
    "inverse": lambda v: 1 / (v * v),
    "best": lambda v: 2 * v / (v * v + 0.5) ** 2,
    "best-code": lambda v: 2 * v / (v * v + 0.1) ** 2,
    "direct-discrete": lambda v: iv.mpf(1),
    "lru": lambda v: -iv.exp(v) * iv.exp(-iv.exp(v)),
    "softplus-discrete": lambda v: -iv.exp(v) / (1 + iv.exp(v)) ** 2,
    "tanh": lambda v: 4 / (iv.exp(v) + iv.exp(-v)) ** 2,
    "best-discrete": lambda v: 2 * v / (v * v + 0.5) ** 2,
    "relu": lambda v: -iv.mpf([int(v.a > 0), int(v.b > 0)]),
}


@pytest.mark.parametrize("name", REPARAMETERIZATIONS)
def test_the_maps_of_the_papers_turn_where_they_say(name):
    f = REPARAMETERIZATIONS[name]
    assert f.turns is not None
    edges = [max(f.domain[0], -300.0), *f.turns, 300.0]
    for low, high in pairwise(edges):
        points = np.linspace(low, high, 400)
        signs = set()
        for a, b in pairwise(points):
            if a in f.turns or b in f.turns or a == f.domain[0]:
                continue  # there the slope is zero, or not defined
            bounds = SLOPES[name](iv.mpf([float(a), float(b)]))
            assert not (bounds.a < 0 < bounds.b), f"{a} to {b}"
            signs |= {bounds.b > 0} if bounds.a != bounds.b or bounds.a != 0 else set()
        assert len(signs) == 1


@pytest.mark.parametrize("name", REPARAMETERIZATIONS)
def test_declared_turns_and_interval_arithmetic_agree(name):
    f = REPARAMETERIZATIONS[name]
    bare = Reparameterization(name, f.definition, time=f.time, domain=f.domain)
    assert (bounded_by(f), bounded_by(bare)) == ("turns", "intervals")
    rng = np.random.default_rng(0)
    a = rng.uniform(0.1 if f.domain[0] == 0 else -5, 5, 30)
    b = a + 10.0 ** rng.uniform(-3, 0.7, 30)
    declared, proved = value_range(f, a, b), value_range(bare, a, b)
    # bounds are wider by some roundings, and at a turn by the square of the last pieces
    room = 1e-9 * (declared.high - declared.low) + 1e-13 * np.abs(declared.low) + 1e-15
    for outer, inner in ((declared.low - proved.low, room), (proved.high - declared.high, room)):
        assert (outer >= -1e-14 * np.abs(declared.low)).all()
        assert (outer <= inner).all()


def test_a_map_that_wiggles_is_enclosed_with_its_wiggles():
    wiggling = Reparameterization("wiggling", lambda x, v: v + x.sin(400 * v) / 20)
    found = value_range(wiggling, np.array([-1.0]), np.array([-0.9]))
    x = np.linspace(-1.0, -0.9, 200_001)
    values = x + np.sin(400 * x) / 20
    assert found.low[0] <= values.min() <= values.max() <= found.high[0]
    # the samples are 5e-7 apart, and the curvature is 400²/20
    assert found.high[0] - found.low[0] <= np.ptp(values) + 1e-8


@pytest.mark.parametrize(
    ("definition", "turns", "message"),
    [
        (lambda x, v: -((v - 1) ** 2), (), "are not all"),
        (lambda x, v: v + x.sin(3 * v) / 2, (0.0,), "are not all"),
        (lambda x, v: -(v**2), (1.0, 0.0), "must increase"),
        (lambda x, v: -(v**2), (math.nan,), "must be finite"),
    ],
)
def test_promised_turns_are_held_against_samples(definition, turns, message):
    with pytest.raises(ValueError, match=message):
        Reparameterization("mine", definition, turns=turns)


def test_formulas_that_take_no_intervals_are_told_apart():
    table = Reparameterization("table", lambda x, v: np.interp(v, [0.0, 1.0], [-1.0, -2.0]))
    assert bounded_by(table) == "samples"
    assert value_intervals(table, np.zeros(1), np.ones(1)) is None
    assert not value_range(table, np.zeros(1), np.ones(1)).certified
    assert isinstance(value_intervals(REPARAMETERIZATIONS["lru"], np.zeros(1), np.ones(1)), Interval)


def test_maps_that_ask_for_equality_are_not_certified():
    """One weight with another value is one of the ball: f(½) = −0.35, where all others are at most −1."""
    maps = [
        lambda x, w: -1 - w * w + 0.9 * (w == 0.5),
        lambda x, w: -1 - w * w + 0.9 * (1 - (w != 0.5)),
        lambda x, w: -1 - w * w + 0.9 * ((w >= 0.5) == (w <= 0.5)),
    ]
    for definition in maps:
        assert bounded_by(Reparameterization("spike", definition)) == "samples"
