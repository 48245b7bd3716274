import math
import pickle

import mpmath
import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

import curse_of_memory as com
from curse_of_memory.theory.reparameterization import (
    REPARAMETERIZATIONS,
    Registry,
    Reparameterization,
    best,
    get,
)
from curse_of_memory.theory.reparameterization.rate_modulus import _discrete_change, rate_modulus
from curse_of_memory.theory.reparameterization.weight_map import w

EPS = {torch.float32: float(np.finfo(np.float32).eps), torch.float64: float(np.finfo(float).eps)}
steady = settings(derandomize=True, deadline=None, max_examples=50)

every = pytest.mark.parametrize("name", REPARAMETERIZATIONS)
CONTINUOUS = [name for name, p in REPARAMETERIZATIONS.items() if p.time == "continuous"]
DISCRETE = [name for name in REPARAMETERIZATIONS if name not in CONTINUOUS]
STABLE = {"softplus", "exp", "best", "best-code", "lru", "softplus-discrete", "tanh"}
SOME = np.linspace(0.05, 3.0, 60)  # in the domain of all of them


def weights(name: str) -> np.ndarray:
    return SOME if REPARAMETERIZATIONS[name].domain[0] == 0 else np.concatenate([-SOME, SOME])


# --- one definition for numpy, torch and sympy ----------------------------------------------------


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("direct", w),
        ("softplus", -sympy.log(1 + sympy.exp(w))),
        ("exp", -sympy.exp(w)),
        ("relu", -sympy.Max(0, w)),
        ("inverse", -1 / w),
        ("best", -1 / (w**2 + sympy.Rational(1, 2))),
        ("best-code", -1 / (w**2 + sympy.Rational(1, 10))),
        ("direct-discrete", w),
        ("lru", sympy.exp(-sympy.exp(w))),
        ("softplus-discrete", 1 / (1 + sympy.exp(w))),
        ("tanh", sympy.tanh(w).rewrite(sympy.exp)),
        ("best-discrete", 1 - 1 / (w**2 + sympy.Rational(1, 2))),
    ],
)
def test_the_formula_is_that_of_the_paper(name, formula):
    assert sympy.simplify(REPARAMETERIZATIONS[name].formula - formula) == 0


@pytest.mark.slow
@every
def test_numpy_and_torch_compute_the_formula(name):
    p, x = REPARAMETERIZATIONS[name], weights(name)
    expected = np.array([float(p.formula.subs(w, sympy.Float(v, 40))) for v in x])
    # some roundings of numbers that are at most 1/f or 1 larger than the result
    tolerance = 16 * EPS[torch.float64] * np.maximum(1.0, np.abs(expected))
    for found in (p.f(x), p.f(torch.from_numpy(x)).numpy()):
        assert found.dtype == np.float64
        assert (np.abs(found - expected) <= tolerance).all()
    assert p.f(torch.from_numpy(x).float()).dtype == torch.float32


@every
def test_the_derivative_is_that_of_the_formula(name):
    p, x = REPARAMETERIZATIONS[name], weights(name)
    exact = sympy.diff(p.formula, w)
    expected = np.array([float(exact.subs(w, sympy.Float(v, 40))) for v in x])
    tolerance = 16 * EPS[torch.float64] * np.abs(expected)
    assert (np.abs(p.derivative(x) - expected) <= tolerance).all()
    free = torch.from_numpy(x).requires_grad_()
    p.f(free).sum().backward()
    assert free.grad is not None
    # autograd differentiates −expm1 and such: absolute errors of the size of what is added up
    assert np.abs(free.grad.numpy() - expected).max() <= 64 * EPS[torch.float64] * np.abs(expected).max()
    assert np.abs(p.derivative(torch.from_numpy(x)).numpy() - expected).max() <= tolerance.max()


@every
def test_a_number_gives_a_number(name):
    p = REPARAMETERIZATIONS[name]
    for value in (p.f(0.5), p.derivative(0.5), p.gradient_over_weight(0.5)):
        assert isinstance(float(value), float)
        assert np.shape(value) == ()


def test_torch_transforms_go_through():
    x = torch.linspace(0.1, 2, 5, dtype=torch.float64)
    for p in REPARAMETERIZATIONS.values():
        assert torch.equal(torch.func.vmap(p.f)(x), p.f(x))
        slopes = torch.func.vmap(torch.func.jacfwd(p.f))(x)
        torch.testing.assert_close(slopes, p.derivative(x), rtol=1e-12, atol=0)


# --- inverse ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", [n for n in CONTINUOUS if not n.startswith("best")])
@pytest.mark.parametrize("rate", [1e-12, 1e-6, 1e-3, 0.1, 1.0, 5.0, 50.0, 1e3])
def test_inverse_then_f_is_the_identity(name, rate, dtype):
    p = REPARAMETERIZATIONS[name]
    recurrent = torch.tensor([-rate], dtype=dtype)
    back = p.f(p.inverse(recurrent)).item()
    # w ~ log(rate) is rounded to |w| eps, which f turns into a relative error; softplus has w ~ rate
    # above 1, where the slope of f is one
    size = 2 + abs(math.log(rate))
    assert back == pytest.approx(recurrent.item(), rel=2 * size * EPS[dtype], abs=0)


@pytest.mark.parametrize("name", ["best", "best-code"])
@pytest.mark.parametrize("rate", [1e-12, 1e-6, 1e-3, 0.1, 1.0, 1.9])
def test_best_is_inverted_as_long_as_it_holds_the_rate(name, rate):
    p = REPARAMETERIZATIONS[name]
    assert p.f(p.inverse(-rate)) == pytest.approx(-rate, rel=8 * EPS[torch.float64])
    with pytest.raises(ValueError, match="takes values from"):
        p.inverse(-1.01 * p.fastest(1.0))


@pytest.mark.parametrize("dt", [1.0, 0.01])
@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.parametrize("steps", [1.2, 10.0, 1e6, 1e12])
def test_discrete_maps_keep_long_memories_to_the_last_digit(name, steps, dt):
    """A mode of 1e12 steps has the multiplier 1 − 1e-12, which float64 holds to four digits only."""
    p = REPARAMETERIZATIONS[name]
    recurrent = -1 / (steps * dt)
    back = p.recurrent_weight(p.free_weight(recurrent, dt), dt)
    size = 4 * (2 + math.log(steps))
    assert back == pytest.approx(
        recurrent, rel=size * EPS[torch.float64] * (steps if "direct" in name else 1)
    )


@pytest.mark.parametrize("rate", [19.0, 20.5, 25.0, 36.0, 45.0])
def test_softplus_keeps_its_digits_at_large_rates(rate):
    softplus = REPARAMETERIZATIONS["softplus"]
    lam = torch.tensor(-rate, dtype=torch.float64)
    assert softplus.f(softplus.inverse(lam)).item() == pytest.approx(-rate, rel=4 * EPS[torch.float64])


def test_the_inverse_of_a_formula_is_a_formula():
    lam = sympy.Symbol("lam", negative=True)
    for name in ("direct", "exp", "softplus", "inverse", "best"):
        p = REPARAMETERIZATIONS[name]
        assert sympy.simplify(p.f(p.inverse(lam)) - lam) == 0


# --- stability --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("beta", "expected"), [(0.1, 0.1518), (0.5, 1.0), (1.0, 2.732)])
def test_g_of_best_is_as_published(beta, expected):
    assert com.reparameterizations["best"].g(beta) == pytest.approx(
        expected, abs=5e-5 if beta == 0.1 else 5e-4
    )


@every
@pytest.mark.parametrize("beta", [1e-3, 0.1, 0.5, 1.0, 2.0])
def test_closed_form_and_numerical_g_agree(name, beta):
    p = REPARAMETERIZATIONS[name]
    found, exact = rate_modulus(p, beta), p.g(beta)
    if name in STABLE:
        # the supremum is a limit at infinity for some, which the grid comes close to only
        assert exact * (1 - 2e-6 - 1e-12 / beta) <= found <= exact * (1 + 1e-12 / beta)
    else:
        assert found == exact == math.inf


@every
def test_what_is_called_stable_is(name):
    p = REPARAMETERIZATIONS[name]
    assert p.is_stable == (name in STABLE)
    assert p.g(0.0) == 0.0


def test_g_of_best_follows_from_its_formula():
    """sup_w ((w + β)² a + b)/(a w² + b) − 1 by the roots of its derivative."""
    a, b, beta = sympy.Rational(3, 2), sympy.Rational(2, 5), sympy.Rational(7, 10)
    ratio = (a * (w + beta) ** 2 + b) / (a * w**2 + b) - 1
    critical = sympy.solve(sympy.numer(sympy.together(sympy.diff(ratio, w))), w)
    values = [ratio.subs(w, root) for root in critical]
    numbers = [value for value in values if isinstance(value, sympy.Expr)]
    assert len(numbers) == len(values)
    expected = max(map(float, numbers))
    assert best(1.5, 0.4).g(0.7) == pytest.approx(expected, rel=1e-14)


@steady
@given(
    name=st.sampled_from(sorted(STABLE & set(CONTINUOUS))),
    weight=st.floats(-20.0, 20.0),
    share=st.floats(-1.0, 1.0),
    beta=st.floats(1e-3, 3.0),
)
def test_no_perturbation_exceeds_g(name, weight, share, beta):
    p = REPARAMETERIZATIONS[name]
    change = abs(p.f(weight) / p.f(weight + share * beta) - 1)
    assert change <= p.g(beta) * (1 + 1e-12) + 1e-13


@pytest.mark.parametrize("name", sorted(STABLE & set(CONTINUOUS)))
def test_the_ratio_is_the_integral_of_the_definition(name):
    p = REPARAMETERIZATIONS[name]
    old, new = p.f(0.3), p.f(0.9)
    integral = quad(lambda t: abs(np.exp(new * t) - np.exp(old * t)), 0, 40 / min(-old, -new), epsrel=1e-12)[
        0
    ]
    assert -old * integral == pytest.approx(abs(old / new - 1), rel=1e-9)


@pytest.mark.parametrize(("weight", "moved"), [(0.3, 0.9), (-0.3, 0.4), (-0.2, -0.9)])
def test_the_discrete_change_is_the_sum_over_steps(weight, moved):
    """tanh w takes both signs; its sup over two weights is what rate_modulus adds up in closed form."""
    f = [float(mpmath.tanh(v)) for v in (weight, moved)]
    steps = np.arange(4000)
    expected = (1 - abs(f[0])) * np.abs(f[1] ** steps - f[0] ** steps).sum()
    found = _discrete_change(REPARAMETERIZATIONS["tanh"], np.array(weight), np.array(moved))
    assert found == pytest.approx(expected, rel=1e-12)


@steady
@given(weight=st.floats(-700.0, 700.0))
def test_stable_maps_are_negative_everywhere(weight):
    for name in sorted(STABLE & set(CONTINUOUS)):
        assert REPARAMETERIZATIONS[name].f(weight) < 0


# --- gradient over weight ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "ratio"),
    [
        ("direct", 1 / w**2),
        ("exp", sympy.exp(-w)),
        ("softplus", sympy.exp(w) / ((1 + sympy.exp(w)) * sympy.log(1 + sympy.exp(w)) ** 2)),
        ("inverse", sympy.Integer(1)),
        ("best", 2 * w),
        ("best-code", 2 * w),
        ("relu", 1 / w**2),
        ("best-discrete", 2 * w),
        ("lru", sympy.exp(w - sympy.exp(w)) / (1 - sympy.exp(-sympy.exp(w))) ** 2),
    ],
)
def test_gradient_over_weight_is_as_tabulated(name, ratio):
    expected = np.array([float(ratio.subs(w, sympy.Float(v, 40))) for v in SOME])
    np.testing.assert_allclose(
        REPARAMETERIZATIONS[name].gradient_over_weight(SOME), expected, rtol=32 * EPS[torch.float64]
    )


@pytest.mark.parametrize("name", CONTINUOUS)
def test_gradient_over_weight_is_the_gradient_of_the_memory(name):
    """y = ∫ e^{f(w)s} x_{t−s} ds over |x| <= 1 moves by ∫ s |f'| e^{f s} ds = |f'|/f² at most."""
    p = REPARAMETERIZATIONS[name]
    f, slope = p.f(0.7), p.derivative(0.7)
    if f >= 0:
        f, slope = p.f(-0.7), p.derivative(-0.7)
        ratio = p.gradient_over_weight(-0.7)
    else:
        ratio = p.gradient_over_weight(0.7)
    assert ratio == pytest.approx(quad(lambda s: s * abs(slope) * np.exp(f * s), 0, math.inf)[0], rel=1e-8)


RATIOS = {  # |f'|/f², or |f'|/(1 − f)², by hand
    "direct": lambda v: 1 / v**2,
    "softplus": lambda v: 1 / (1 + mpmath.exp(-v)) / mpmath.log1p(mpmath.exp(v)) ** 2,
    "exp": lambda v: mpmath.exp(-v),
    "relu": lambda v: 1 / v**2 if v > 0 else mpmath.inf,
    "inverse": lambda v: mpmath.mpf(1),
    "best": lambda v: 2 * abs(v),
    "best-code": lambda v: 2 * abs(v),
    "direct-discrete": lambda v: 1 / (1 - v) ** 2,
    "lru": lambda v: mpmath.exp(v - mpmath.exp(v)) / mpmath.expm1(-mpmath.exp(v)) ** 2,
    "softplus-discrete": lambda v: mpmath.exp(-v),
    "tanh": lambda v: mpmath.exp(2 * v),
    "best-discrete": lambda v: 2 * abs(v),
}


@every
@pytest.mark.parametrize("size", [1e-200, 1e-3, 35.9, 36.1, 300.0, 1000.0, 1e200])
def test_gradient_over_weight_where_its_parts_overflow(name, size):
    p = REPARAMETERIZATIONS[name]
    for v in (size, -size):
        if not p.domain[0] < v < p.domain[1] or (
            size == 1e200 and name in ("softplus", "exp", "lru", "tanh")
        ):
            continue  # mpmath takes no e^(1e200)
        with mpmath.workdps(500):
            expected = float(RATIOS[name](mpmath.mpf(v))) if size < 1e200 or "softplus" not in name else None
        for found in (
            p.gradient_over_weight(v),
            p.gradient_over_weight(torch.tensor(v, dtype=torch.float64)),
        ):
            if expected is not None:
                assert float(found) == pytest.approx(expected, rel=64 * EPS[torch.float64], abs=1e-300)


@pytest.mark.parametrize(("v", "ratio"), [(1000.0, 0.0), (-1000.0, math.inf)])
def test_gradient_over_weight_of_a_map_without_a_closed_form(v, ratio):
    mine = Reparameterization("mine", lambda x, w: -x.exp(w))  # e^{−w}
    assert mine.gradient_over_weight(v) == ratio
    assert float(mine.gradient_over_weight(torch.tensor(v, dtype=torch.float64))) == ratio


@every
def test_g_beyond_double_precision_is_infinite(name):
    assert REPARAMETERIZATIONS[name].g(1e3) == pytest.approx(GREAT[name])


GREAT = dict.fromkeys(REPARAMETERIZATIONS, math.inf) | {
    # (aβ² + √(a²β⁴ + 4abβ²))/(2b)
    "best": (1e6 + math.sqrt(1e12 + 2e6)) / 1.0,
    "best-code": (1e6 + math.sqrt(1e12 + 0.4e6)) / 0.2,
}


@pytest.mark.parametrize("beta", [1e-3, 0.1, 2.0])
def test_a_map_that_touches_instability_has_no_modulus(beta):
    touching = Reparameterization("touching", lambda x, w: -((w - 0.3) ** 2))
    assert touching.g(beta) == math.inf
    assert not touching.is_stable


# --- a registry to extend ---------------------------------------------------------------------------


def test_a_user_adds_one_in_a_line():
    registry = Registry(REPARAMETERIZATIONS.values())
    quartic = registry.add("quartic", lambda x, w: -(w**4) - 1)
    assert quartic is registry["quartic"]
    assert len(registry) == len(REPARAMETERIZATIONS) + 1
    assert "quartic" not in REPARAMETERIZATIONS
    np.testing.assert_allclose(quartic.derivative(np.array([0.5, -2.0])), [-0.5, 32.0], rtol=1e-15)
    assert quartic.derivative(w) == -4 * w**3
    assert quartic.is_stable
    again = registry.add("quartic", lambda x, w: -(w**4) - 2)
    assert registry["quartic"] is again
    with pytest.raises(NotImplementedError, match="without `free`"):
        quartic.inverse(-2.0)


def test_a_derivative_by_sympy_serves_torch_too():
    mine = Reparameterization("mine", lambda x, w: -x.log1p(x.exp(w)) - x.tanh(w) ** 2)
    x = torch.linspace(-2, 2, 7, dtype=torch.float64, requires_grad=True)
    mine.f(x).sum().backward()
    torch.testing.assert_close(mine.derivative(x.detach()), x.grad, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("definition", "slope"),
    [
        (lambda x, w: -x.where(w > 0, w, 2 * w) - 1, lambda v: -1 if v > 0 else -2),
        (lambda x, w: -x.maximum(w, x.zeros_like(w)) * w - 1, lambda v: -2 * v if v > 0 else 0),
        (lambda x, w: -x.abs(w) - x.minimum(w, 1 - w) ** 2, lambda v: (1 if v < 0 else -1) - 2 * v),
        (
            lambda x, w: -x.cosh(w) - x.atan(w) - x.sin(w),
            lambda v: -math.sinh(v) - 1 / (1 + v * v) - math.cos(v),
        ),
        (lambda x, w: -x.square(w), lambda v: -2 * v),
    ],
)
def test_derivatives_of_maps_with_kinks_serve_numpy_and_torch(definition, slope):
    mine = Reparameterization("mine", definition)
    for v in (-1.2, -0.3, 0.2, 0.4):
        x = torch.tensor([v, v], dtype=torch.float64, requires_grad=True)
        mine.f(x).sum().backward()
        assert x.grad is not None
        found = mine.derivative(np.array([v, v])), mine.derivative(x.detach()), np.array([mine.derivative(v)])
        for one in (*found, x.grad):
            assert float(one[0]) == pytest.approx(slope(v), rel=1e-13, abs=1e-15)


def test_a_map_that_grows_ever_faster_is_not_stable():
    assert not Reparameterization("gauss", lambda x, w: -x.exp(w * w)).is_stable


def test_get_takes_names_and_maps():
    mine = Reparameterization("mine", lambda x, w: -(w**2))
    assert get(mine) is mine
    assert get("exp") is REPARAMETERIZATIONS["exp"]
    assert {name: p.name for name, p in REPARAMETERIZATIONS.items()} == {n: n for n in REPARAMETERIZATIONS}


def test_models_with_a_named_map_can_be_pickled():
    model = com.nn.RNN(2, parameterization="best", seed=0)
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again.recurrent_weight, model.recurrent_weight)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: get("softplsu"), ValueError, "did you mean 'softplus'"),
        (lambda: get(3), TypeError, "a name or a Reparameterization"),  # pyright: ignore[reportArgumentType]
        (lambda: REPARAMETERIZATIONS["bst"], KeyError, "did you mean 'best'"),
        (lambda: best(a=0.0), ValueError, "a must be positive"),
        (lambda: best(b=math.nan), ValueError, "b must be finite"),
        (lambda: best().g(-0.1), ValueError, "beta must not be negative"),
        (lambda: best().g(math.nan), ValueError, "beta must be finite"),
        (lambda: best().gap(1.0), ValueError, "is continuous"),
        (lambda: REPARAMETERIZATIONS["exp"].inverse(0.5), ValueError, "to below 0, got 0.5"),
        (lambda: REPARAMETERIZATIONS["exp"].inverse([-1.0, math.nan]), ValueError, "takes values"),
        (lambda: REPARAMETERIZATIONS["lru"].inverse(1.0), ValueError, "from 0 to below 1, got 1"),
        (lambda: REPARAMETERIZATIONS["tanh"].inverse(torch.tensor(-1.5)), ValueError, "got -1.5"),
        (lambda: Registry(REPARAMETERIZATIONS.values()).add("exp", best), ValueError, "must be new"),
        (lambda: Reparameterization("x", best, time="now"), ValueError, "time must be one of"),
        (lambda: Reparameterization("x", best, domain=(1, 0)), ValueError, "open interval"),
        (
            lambda: Reparameterization("up", lambda x, w: x.exp(w)).g(1.0),
            ValueError,
            "nothing of 'up' is stable",
        ),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
