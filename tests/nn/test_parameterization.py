import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.nn import PARAMETERIZATIONS

EPS = {torch.float32: float(np.finfo(np.float32).eps), torch.float64: float(np.finfo(float).eps)}
steady = settings(derandomize=True, deadline=None, max_examples=100)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", PARAMETERIZATIONS)
@pytest.mark.parametrize("rate", [1e-12, 1e-6, 1e-3, 0.1, 1.0, 5.0, 50.0, 1e3])
def test_inverse_then_f_is_the_identity(name, rate, dtype):
    p = PARAMETERIZATIONS[name]
    recurrent = torch.tensor([-rate], dtype=dtype)
    back = p.f(p.inverse(recurrent)).item()
    # w ~ log(rate) is rounded to |w| eps, which f turns into a relative error; softplus has w ~ rate
    # above 1, where the slope of f is one
    size = 2 + abs(math.log(rate))
    assert back == pytest.approx(recurrent.item(), rel=2 * size * EPS[dtype], abs=0)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("direct", lambda w: w),
        ("softplus", lambda w: -np.log(1 + np.exp(w))),
        ("exp", lambda w: -np.exp(w)),
    ],
)
def test_f_is_the_formula_of_the_paper(name, formula):
    w = np.linspace(-3.0, 3.0, 31)
    found = PARAMETERIZATIONS[name].f(torch.from_numpy(w)).numpy()
    np.testing.assert_allclose(found, formula(w), rtol=16 * EPS[torch.float64])


@steady
@given(w=st.floats(-700.0, 700.0))
def test_what_is_called_always_negative_is(w):
    for p in PARAMETERIZATIONS.values():
        if p.always_negative:
            assert p.f(torch.tensor(w, dtype=torch.float64)).item() < 0
    assert not PARAMETERIZATIONS["direct"].always_negative


@pytest.mark.parametrize("name", PARAMETERIZATIONS)
def test_f_has_a_derivative(name):
    w = torch.linspace(-4, 4, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(PARAMETERIZATIONS[name].f, (w,))


def test_names_are_the_keys():
    assert {name: p.name for name, p in PARAMETERIZATIONS.items()} == {n: n for n in PARAMETERIZATIONS}
    assert set(PARAMETERIZATIONS) == {"direct", "softplus", "exp"}


@pytest.mark.parametrize("rate", [19.0, 20.5, 25.0, 36.0, 45.0])
def test_softplus_keeps_its_digits_at_large_rates(rate):
    softplus = PARAMETERIZATIONS["softplus"]
    lam = torch.tensor(-rate, dtype=torch.float64)
    assert softplus.f(softplus.inverse(lam)).item() == pytest.approx(-rate, rel=4 * np.finfo(float).eps)
