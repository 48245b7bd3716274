import math

import numpy as np
import pytest
import torch

from curse_of_memory.tasks import LinearFunctional, VolterraFunctional
from curse_of_memory.theory import targets

EPS = {torch.float32: float(np.finfo(np.float32).eps), torch.float64: float(np.finfo(float).eps)}


def double_sum(first, second, x, dt):
    """Both sums of one sequence, term by term."""
    T = len(x)
    y = np.zeros(T)
    for k in range(T):
        for s in range(k + 1):
            y[k] += dt * first[s] * x[k - s]
            for r in range(k + 1):
                y[k] += dt**2 * second[s, r] * x[k - s] * x[k - r]
    return y


def rounding(first, second, x, dt, dtype):
    """FFT convolutions (see the linear functional), and eigenpairs with a backward error of T eps |K|.

    |v ∗ x| <= |x| for each of the orthonormal v, so that the squares add up to |x|² Σ|λ|.
    """
    T = len(first)
    size = np.linalg.norm(x, axis=1).max()
    spectrum = np.abs(np.linalg.eigvalsh((second + second.T) / 2)).sum()
    linear = dt * np.abs(first).sum() * size * math.log2(4 * T)
    quadratic = dt**2 * spectrum * size**2 * (T + math.log2(4 * T))
    return 8 * EPS[dtype] * (linear + quadratic)


T = 12
LAGS = np.arange(T)
KERNELS = {
    "separable": [(0.7**LAGS, 1.0 / (1 + LAGS)), (np.cos(LAGS), 0.5**LAGS)],
    "product": [(lambda t: 0.9**t, lambda t: 0.5**t)],
    "formula": lambda s, r: np.exp(-0.3 * (s + r)) * np.cos(s - 2 * r),
    "values": np.random.default_rng(0).standard_normal((T, T)),
    "square": np.eye(T),
    "hilbert": lambda s, r: 1 / (1 + s + r),  # eigenvalues of every size down to rounding
}


def values(kernel, dt):
    if isinstance(kernel, list):
        lags = dt * LAGS
        pairs = [[part(lags) if callable(part) else part for part in pair] for pair in kernel]
        return sum(a[:, None] * b[None, :] for a, b in pairs)
    return kernel(dt * LAGS[:, None], dt * LAGS[None, :]) if callable(kernel) else kernel


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dt", [1.0, 0.25])
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_answers_are_the_double_sum(kernel, dt, dtype):
    first = targets.polynomial(1.5)
    task = VolterraFunctional(T, first=first, second=kernel, dt=dt)
    x, y = task.sample(3, seed=0, dtype=dtype)
    assert x.shape == y.shape == (3, T, 1)
    rho1, rho2 = (1 + dt * LAGS) ** -1.5, values(kernel, dt)
    past = x[..., 0].double().numpy()
    exact = [double_sum(rho1, rho2, row, dt) for row in past]
    tolerance = rounding(rho1, rho2, past, dt, dtype)
    np.testing.assert_allclose(y[..., 0], exact, rtol=0, atol=tolerance)
    assert tolerance < 0.05 * np.abs(exact).max()  # far below what is compared


def test_a_separable_kernel_is_a_product_of_convolutions():
    a, b = 0.8**LAGS, np.cos(LAGS)
    x, y = VolterraFunctional(T, second=[(a, b)]).sample(4, seed=1, dtype=torch.float64)
    factors = [LinearFunctional(part, T).answer(x[..., 0]) for part in (a, b)]
    tolerance = rounding(np.zeros(T), np.outer(a, b), x[..., 0].numpy(), 1.0, torch.float64)
    torch.testing.assert_close(y[..., 0], factors[0] * factors[1], rtol=0, atol=tolerance)


def test_terms_are_the_rank():
    a, b, c = np.random.default_rng(1).standard_normal((3, 200))
    assert VolterraFunctional(200, first=a).terms == 0
    assert VolterraFunctional(200, second=[(a, a)]).terms == 1
    assert VolterraFunctional(200, second=[(a, b)]).terms == 2
    assert VolterraFunctional(200, second=[(a, b), (b, c)]).terms == 2  # b(s) (a(r) + c(r)) when symmetric
    assert VolterraFunctional(200, second=[(a, b), (c, c)]).terms == 3
    assert VolterraFunctional(50, second=np.eye(50)).terms == 50


def test_first_order_is_the_linear_functional():
    task = VolterraFunctional(T, first=0.5**LAGS, dt=0.5, variance=2.0)
    linear = LinearFunctional(0.5**LAGS, T, dt=0.5, variance=2.0)
    for found, exact in zip(task.sample(5, seed=2), linear.sample(5, seed=2), strict=True):
        assert torch.equal(found, exact)


def test_answers_have_the_mean_and_variance_of_the_theory():
    N, dt, variance = 40_000, 0.5, 2.0
    first, second = 0.6**LAGS, np.exp(-0.4 * (LAGS[:, None] + LAGS)) * np.cos(LAGS[:, None] - LAGS)
    task = VolterraFunctional(T, first=first, second=second, dt=dt, variance=variance)
    y = task.sample(N, seed=3, dtype=torch.float64).targets[..., 0].numpy()
    for k in range(T):
        K = second[: k + 1, : k + 1]
        mean = variance * dt**2 * np.trace(K)
        spread = variance * dt**2 * (first[: k + 1] ** 2).sum() + 2 * variance**2 * dt**4 * (K**2).sum()
        assert abs(y[:, k].mean() - mean) < 5 * math.sqrt(spread / N)
        fourth = ((y[:, k] - mean) ** 2).std() / math.sqrt(N)
        assert abs(((y[:, k] - mean) ** 2).mean() - spread) < 5 * fourth


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: VolterraFunctional(4), ValueError, "first, second or both"),
        (lambda: VolterraFunctional(4, first=np.ones(3)), ValueError, "first must have one value per lag"),
        (lambda: VolterraFunctional(4, second=np.ones((4, 3))), ValueError, r"shape \(4, 4\), got \(4, 3\)"),
        (
            lambda: VolterraFunctional(4, second=[(np.ones(4), np.ones(3))]),
            ValueError,
            "second must have one",
        ),
        (lambda: VolterraFunctional(4, second=np.full((4, 4), np.nan)), ValueError, "second must be finite"),
        (lambda: VolterraFunctional(4, first=np.ones(4), dt=0), ValueError, "dt must be positive"),
        (
            lambda: VolterraFunctional(4, first=np.ones(4)).answer(torch.zeros(2, 4)),
            ValueError,
            r"x must have shape \(batch, 4, 1\)",
        ),
    ],
)
def test_bad_input_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
