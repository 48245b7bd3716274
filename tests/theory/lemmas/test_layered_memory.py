import math
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.theory.lemmas.layered_memory import LayeredMemory

EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=60)
TIMES = np.array([0.0, 1e-6, 0.01, 0.5, 1.0, 3.0, 20.0, 100.0])
rates = st.lists(st.one_of(st.floats(0.05, 5.0), st.sampled_from([1.0, 1.0 + 1e-9])), min_size=1, max_size=5)


@pytest.mark.parametrize("layers", range(1, 7))
def test_equal_layers_give_a_power_times_an_exponential(layers):
    memory = LayeredMemory((0.7,) * layers)
    exact = TIMES ** (layers - 1) * np.exp(-0.7 * TIMES) / math.factorial(layers - 1)
    # a few roundings a layer, and e^{−70}, whose argument is rounded
    np.testing.assert_allclose(memory(TIMES), exact, rtol=(4 * layers + 70) * EPS)


def test_layers_convolve():
    t, s = sympy.symbols("t s", positive=True)
    memory = sympy.exp(-t / 3)
    for rate in (1, 1, sympy.Rational(5, 2)):
        memory = sympy.integrate(sympy.expand(memory.subs(t, s) * sympy.exp(-rate * (t - s))), (s, 0, t))
    exact = [float(memory.subs(t, sympy.nsimplify(x)).evalf(30)) for x in (0.5, 1, 3, 20)]
    np.testing.assert_allclose(LayeredMemory((1 / 3, 1, 1, 2.5))([0.5, 1, 3, 20]), exact, rtol=1e-13)


@steady
@given(rates=rates, t=st.floats(1e-3, 60.0))
def test_close_and_distant_rates_agree_with_200_digits(rates, t):
    with mpmath.workdps(200):
        # the divided difference itself; equal rates are parted by 1e-20, which moves it by as little
        at = [mpmath.mpf(rate) + i * mpmath.mpf("1e-20") for i, rate in enumerate(sorted(rates))]
        column = [mpmath.exp(-x * t) for x in at]
        for order in range(1, len(at)):
            steps = zip(pairwise(column), at, at[order:], strict=False)
            column = [(high - low) / (last - first) for (low, high), first, last in steps]
        exact = (-1) ** (len(at) - 1) * column[0]
        ours = mpmath.mpf(float(LayeredMemory(tuple(rates))(t)))
        assert abs(ours / exact - 1) < 8 * len(rates) * (1 + 5 * t) * EPS


@steady
@given(rates=rates, gain=st.sampled_from([-2.0, 1.0]))
def test_the_memory_lies_between_its_bounds(rates, gain):
    """StableSSM, theorem 3.3, for linear layers: t^{ℓ−1} e^{−β₀t}, here with its constant."""
    memory = LayeredMemory(tuple(rates), gain)
    values = np.abs(memory(TIMES))
    assert (values <= memory.upper(TIMES) * (1 + 1e-12)).all()
    assert (values >= memory.lower(TIMES) * (1 - 1e-12)).all()


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_the_slowest_layer_sets_the_rate(layers):
    memory = LayeredMemory((0.1, *([1.0] * (layers - 1))))
    late = memory([200.0, 210.0])
    assert math.log(late[0] / late[1]) / 10 == pytest.approx(0.1, rel=1e-9)  # e^{−0.9·200} of the others


@pytest.mark.parametrize("layers", range(1, 6))
def test_equal_layers_in_steps_give_binomials(layers):
    dt, rate = 0.5, 0.6
    s = np.arange(200)
    exact = dt ** (layers - 1) * np.array([math.comb(k + layers - 1, k) for k in s]) * (1 - rate * dt) ** s
    found = LayeredMemory((rate,) * layers).discrete(200, dt)
    np.testing.assert_allclose(found, exact, rtol=200 * layers * EPS)
    assert found.lag[-1] == 99.5


def test_steps_tend_to_the_continuous_memory_at_first_order():
    memory = LayeredMemory((0.5, 1.0, 1.1))
    errors = []
    for dt in (0.02, 0.01, 0.005):
        grid = memory.discrete(round(8 / dt), dt)
        errors.append(np.abs(grid - memory(grid.lag.values)).max().item())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.1)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LayeredMemory(()), "rates must not be empty"),
        (lambda: LayeredMemory((1.0, 0.0)), "rates must be positive"),
        (lambda: LayeredMemory((1.0,), math.nan), "gain must be finite"),
        (lambda: LayeredMemory((1.0,))(-1.0), "t must not be negative"),
        (lambda: LayeredMemory((1.0,)).upper(-1.0), "t must not be negative"),
        (lambda: LayeredMemory((1.0, 4.0)).discrete(5, 0.5), "dt must be below 2 over the fastest rate, 0.5"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
