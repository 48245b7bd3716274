"""Appendix C of IAT: which of four partial sums is stable, in exact numbers."""

import math

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from curse_of_memory.theory.lemmas.rescaled_modes import RescaledModes, appendix_c

steady = settings(derandomize=True, deadline=None, max_examples=60)
K = 20
SHARE = 0.6  # of the radius


def relative(terms, power, model, beta, order=1):
    modes = appendix_c(terms, power, model)
    return modes.worst_error(beta, order) / modes.norm(order)


@pytest.mark.parametrize(
    ("power", "model", "radius", "term", "norm"),
    [
        (1, "plain", 1 / K, lambda k, b: b / (1 - k * b), lambda k: 1 / k),
        (1, "rescaled", 1.0, lambda k, b: b / (k * (1 - b)), lambda k: 1 / k),
        (2, "plain", 1 / K**2, lambda k, b: k**2 * b / (1 - k**2 * b), lambda k: 1),
        (2, "rescaled", 1 / K, lambda k, b: k * b / (1 - k * b), lambda k: 1),
    ],
)
def test_the_table_of_the_four_models(power, model, radius, term, norm):
    modes, b = appendix_c(K, power, model), SHARE * radius
    assert modes.radius == pytest.approx(radius, rel=1e-15)
    assert modes.worst_error(b) == pytest.approx(sum(term(k, b) for k in range(1, K + 1)), rel=1e-14)
    assert modes.norm() == pytest.approx(sum(norm(k) for k in range(1, K + 1)), rel=1e-14)
    assert modes.worst_error(modes.radius) == math.inf


def test_the_integral_behind_the_table():
    t, rate, moved = sympy.symbols("t lambda delta", positive=True)
    slower = sympy.symbols("mu", positive=True)
    difference = sympy.integrate(sympy.exp(-slower * t) - sympy.exp(-rate * t), (t, 0, sympy.oo))
    assert sympy.simplify(difference.subs(slower, rate - moved) - moved / (rate * (rate - moved))) == 0


def test_only_the_rescaled_model_of_the_first_target_keeps_one_envelope():
    widths = (1, 10, 100, 1000)
    steady_one = [relative(m, 1, "rescaled", 0.3) for m in widths]
    np.testing.assert_allclose(steady_one, 0.3 / 0.7, rtol=1e-13)
    for power, model in ((1, "plain"), (2, "plain"), (2, "rescaled")):
        radii = [appendix_c(m, power, model).radius for m in widths]
        assert (np.diff(radii) < 0).all()
        assert relative(100, power, model, 0.3) == math.inf


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("power", "model"), [(1, "plain"), (1, "rescaled"), (2, "rescaled")])
def test_errors_are_the_integrals_they_stand_for(power, model, order):
    modes = appendix_c(6, power, model)
    beta = SHARE * modes.radius
    moved = RescaledModes(
        coefficients=modes.coefficients, rates=modes.rates - modes.scales * beta, scales=modes.scales
    )
    value, error = quad(
        lambda u: (abs(moved(math.exp(u)) - modes(math.exp(u))) ** order) * math.exp(u), -30, 10, limit=300
    )
    assert modes.worst_error(beta, order) ** order == pytest.approx(value, rel=1e-9, abs=2 * error)


def test_small_perturbations_keep_their_digits():
    modes = appendix_c(5)
    tiny, small = modes.worst_error(1e-13, 2), modes.worst_error(1e-10, 2)
    assert small / tiny == pytest.approx(1e3, rel=1e-8)


@steady
@given(seed=st.integers(0, 10**6), share=st.floats(0.01, 0.95), model=st.sampled_from(["plain", "rescaled"]))
def test_no_perturbation_in_the_ball_is_worse_at_any_time(seed, share, model):
    modes = appendix_c(8, 1, model)
    beta = share * modes.radius
    delta = beta * np.random.default_rng(seed).uniform(-1, 1, 8)
    t = np.geomspace(1e-3, 1e3, 200)
    corner = RescaledModes(
        coefficients=modes.coefficients, rates=modes.rates - modes.scales * beta, scales=modes.scales
    )(t) - modes(t)
    other = RescaledModes(
        coefficients=modes.coefficients, rates=modes.rates - modes.scales * delta, scales=modes.scales
    )(t) - modes(t)
    assert (np.abs(other) <= corner + 1e-14).all()


def test_the_norm_of_the_first_target_in_l2_is_known():
    # the rest Σ 1/(jk(j+k)) beyond K is below 2 (1 + log K)/K
    gap = 2 * float(sympy.zeta(3)) - appendix_c(1000).norm(2) ** 2
    assert 0 < gap < 2 * (1 + math.log(1000)) / 1000


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: appendix_c(0), "terms must be at least 1"),
        (lambda: appendix_c(3, 3), "power must be 1 or 2"),
        (lambda: appendix_c(3, model="scaled"), "model must be one of 'plain', 'rescaled'"),
        (lambda: RescaledModes(coefficients=[1.0], rates=[1.0, 2.0], scales=[1.0]), "one entry per mode"),  # pyright: ignore[reportArgumentType]
        (lambda: RescaledModes(coefficients=[1.0], rates=[-1.0], scales=[1.0]), "rates must be positive"),  # pyright: ignore[reportArgumentType]
        (lambda: appendix_c(3).worst_error(-0.1), "beta must not be negative"),
        (lambda: appendix_c(3).worst_error(0.1, 3), "order must be 1 or 2"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
