import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.nn import RNN
from curse_of_memory.tasks import Batch, LinearFunctional
from curse_of_memory.theory import targets
from tests.devices import DEVICES

EPS = {torch.float32: float(np.finfo(np.float32).eps), torch.float64: float(np.finfo(float).eps)}
steady = settings(derandomize=True, deadline=None, max_examples=40)


def convolution(rho, x, dt):
    """Σ_{s<=k} ρ_s x_{k-s} dt, sequence by sequence, without FFT."""
    return np.stack([dt * np.convolve(row, rho)[: rho.size] for row in x])


def fft_rounding(rho, x, dt, dtype):
    """The error of an FFT convolution: eps log2(n) times the product of the Euclidean norms.

    The sum of magnitudes stands in for the norm of ρ, which it bounds: its squares may underflow.
    """
    n = 2 * rho.size
    norms = np.abs(rho).sum() * np.linalg.norm(x, axis=1).max()
    return 4 * EPS[dtype] * (1 + math.log2(n)) * dt * norms


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("inputs", ["white", "random_walk"])
@pytest.mark.parametrize(("horizon", "dt"), [(1, 1.0), (2, 0.5), (37, 0.1), (128, 2.0)])
def test_answers_are_direct_convolutions(inputs, horizon, dt, dtype, device):
    task = LinearFunctional(targets.polynomial(1.1), horizon, dt=dt, inputs=inputs)
    x, y = task.sample(4, seed=1, dtype=dtype, device=device)
    assert x.shape == y.shape == (4, horizon, 1)
    assert x.dtype == y.dtype == dtype
    assert x.device.type == y.device.type == device
    rho = (1 + dt * np.arange(horizon)) ** -1.1
    past = x[..., 0].double().cpu().numpy()
    tolerance = fft_rounding(rho, past, dt, dtype)
    np.testing.assert_allclose(y[..., 0].cpu(), convolution(rho, past, dt), rtol=0, atol=tolerance)


@steady
@given(
    rho=st.lists(st.floats(-10.0, 10.0), min_size=1, max_size=40),
    dt=st.floats(0.01, 10.0),
    seed=st.integers(0, 2**31),
)
def test_every_memory_is_convolved(rho, dt, seed):
    values = np.array(rho)
    task = LinearFunctional(values, values.size, dt=dt)
    x = np.random.default_rng(seed).standard_normal((3, values.size))
    found = task.answer(torch.from_numpy(x))
    # among subnormal numbers rounding is absolute: half a step in each of up to 40 terms
    tolerance = fft_rounding(values, x, dt, torch.float64) + 40 * np.finfo(float).smallest_subnormal
    np.testing.assert_allclose(found, convolution(values, x, dt), rtol=0, atol=tolerance)


@pytest.mark.parametrize("dt", [1.0, 0.25])
def test_an_exponential_memory_is_a_network(dt):
    """Twins: the task's FFT and the time loop of the RNN that has the same memory."""
    rates, c = np.array([0.05, 0.7]), np.array([1.0, -0.5])
    task = LinearFunctional(targets.exponential_sum(coefficients=c, rates=rates), 60, dt=dt)
    model = RNN.from_exponential_sum(rates=rates, coefficients=c, dt=dt)
    x, y = task.sample(5, seed=0, dtype=torch.float64)
    with torch.no_grad():
        tolerance = 60 * fft_rounding(np.abs(task.rho), x[..., 0].numpy(), dt, torch.float64)
        torch.testing.assert_close(model(x), y, rtol=0, atol=tolerance)
        torch.testing.assert_close(model.kernel(60), task.kernel, rtol=0, atol=32 * 60 * EPS[torch.float64])


def test_the_input_of_a_step_is_answered_at_lag_zero():
    task = LinearFunctional([2.0, 0.0, 0.0], 3)
    x = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    torch.testing.assert_close(task.answer(x), 2 * x)


def test_memories_may_be_targets_callables_or_values():
    lags = 0.5 * np.arange(8)
    values = np.exp(-lags)
    for rho in (targets.exponential(1.0), lambda t: np.exp(-t), values, values.tolist()):
        task = LinearFunctional(rho, 8, dt=0.5)
        np.testing.assert_allclose(task.rho, values, rtol=2 * EPS[torch.float64])
        assert task.kernel.shape == (8, 1, 1)
        assert task.kernel.dtype == torch.float64
        np.testing.assert_array_equal(task.kernel.flatten(), task.rho)


@pytest.mark.slow
@pytest.mark.parametrize("inputs", ["white", "random_walk"])
def test_the_error_of_a_linear_model_is_what_exact_losses_take(inputs):
    task = LinearFunctional(targets.polynomial(1.5), 12, dt=0.5, inputs=inputs, variance=2.0)
    model = RNN(2, dt=0.5, seed=0, dtype=torch.float64)
    model.bias.data += 0.3
    error = task.linear_error(model)
    assert torch.equal(error["kernel_error"], model.kernel(12) - task.kernel)
    assert torch.equal(error["offset_error"], model.offset(12))
    assert (error["dt"], error["variance"], error["inputs"]) == (0.5, 2.0, inputs)
    other = RNN(2, dt=0.5, seed=1, dtype=torch.float64)
    instead = task.linear_error(model, dict(other.named_parameters()))
    assert torch.equal(instead["kernel_error"], task.linear_error(other)["kernel_error"])
    # twins: the expected loss of it, and the mean of sampled losses
    N = 20_000
    x, y = task.sample(N, seed=6, dtype=torch.float64)
    with torch.no_grad():
        sample = (model(x) - y).square().mean((1, 2))
    exact = TemporallyWeightedMSE().expected(**error).item()
    assert abs(sample.mean().item() - exact) < 5 * sample.std().item() / math.sqrt(N)


# --- seeds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_equal_seeds_give_equal_sequences(device):
    task = LinearFunctional(lambda t: 0.9**t, 16)
    for seed in (0, 7, (0, 3), [2, 1, 5]):
        first = task.sample(6, seed=seed, dtype=torch.float64, device=device)
        second = task.sample(6, seed=seed, dtype=torch.float64, device=device)
        on_cpu = task.sample(6, seed=seed, dtype=torch.float64)
        assert isinstance(first, Batch)
        assert torch.equal(first.inputs, second.inputs)
        assert torch.equal(first.targets, second.targets)
        assert torch.equal(first.inputs.cpu(), on_cpu.inputs)


def test_different_streams_are_independent():
    task = LinearFunctional(lambda t: 0.9**t, 100)
    seeds = [0, 1, (0, 1), (0, 2), (1, 1), (0, 1, 1), (0, 1, 2)]
    draws = torch.stack([task.sample(100, seed=s, dtype=torch.float64).inputs.flatten() for s in seeds])
    # the correlation of N independent normals has standard deviation 1/√N
    correlations = torch.corrcoef(draws) - torch.eye(len(seeds))
    assert correlations.abs().max() < 5 / math.sqrt(10_000)


def test_sampling_leaves_the_global_generators_alone():
    task = LinearFunctional(lambda t: 0.9**t, 8)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    task.sample(4, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_dtype_rounds_the_same_draw():
    task = LinearFunctional(lambda t: 0.9**t, 16, inputs="random_walk")
    single = task.sample(4, seed=0, dtype=torch.float32)
    double = task.sample(4, seed=0, dtype=torch.float64)
    assert torch.equal(single.inputs, double.inputs.float())
    assert task.sample(1, seed=0).inputs.dtype == torch.get_default_dtype()


# --- statistics ---------------------------------------------------------------------------------


@pytest.mark.parametrize("variance", [1.0, 0.3, 4.0])
def test_white_inputs_are_independent_with_the_variance_stated(variance):
    T, N = 10, 20_000
    x = LinearFunctional(np.ones(T), T, variance=variance).sample(N, seed=2, dtype=torch.float64).inputs
    x = x[..., 0]
    # entries of an empirical covariance of N normals: variance² (1 + δ) / N
    covariance = x.T @ x / N
    error = covariance - variance * torch.eye(T)
    assert error.abs().max() < 5 * variance * math.sqrt(2 / N)
    assert x.mean(0).abs().max() < 5 * math.sqrt(variance / N)


def test_a_random_walk_cumulates_white_steps():
    T, N = 12, 20_000
    draws = {
        inputs: LinearFunctional(np.ones(T), T, inputs=inputs, variance=2.0)
        .sample(N, seed=3, dtype=torch.float64)
        .inputs[..., 0]
        for inputs in ("white", "random_walk")
    }
    walk = draws["random_walk"]
    assert torch.equal(walk, draws["white"].cumsum(1))
    # Cov(x_j, x_k) = variance (min(j, k) + 1), entries known to sqrt(V_jj V_kk + V_jk²) / √N
    steps = torch.arange(1.0, T + 1, dtype=torch.float64)
    exact = 2.0 * torch.minimum(steps[:, None], steps)
    spread = torch.sqrt((exact.diagonal()[:, None] * exact.diagonal() + exact**2) / N)
    assert ((walk.T @ walk / N - exact).abs() < 5 * spread).all()


@pytest.mark.parametrize("inputs", ["white", "random_walk"])
def test_answers_have_the_variance_of_the_theory(inputs):
    """Var y_k = variance dt² Σ_{s<=k} ρ_s², with the cumulated kernel for a random walk."""
    T, N, dt, variance = 20, 20_000, 0.5, 3.0
    task = LinearFunctional(targets.exponential(0.4), T, dt=dt, inputs=inputs, variance=variance)
    y = task.sample(N, seed=4, dtype=torch.float64).targets[..., 0].numpy()
    rho = task.rho.cumsum() if inputs == "random_walk" else task.rho
    exact = variance * dt**2 * (rho**2).cumsum()
    assert (np.abs((y**2).mean(0) - exact) < 5 * exact * math.sqrt(2 / N)).all()


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: LinearFunctional(np.ones(3), 4), ValueError, "one value per lag, horizon=4, got 3"),
        (lambda: LinearFunctional(np.ones((4, 1)), 4), ValueError, "rho must have 1 dimension"),
        (lambda: LinearFunctional([1.0, math.nan], 2), ValueError, "rho must be finite"),
        (lambda: LinearFunctional("exponential", 2), TypeError, "rho must be an array of real numbers"),
        (lambda: LinearFunctional(np.ones(2), 0), ValueError, "horizon must be at least 1"),
        (lambda: LinearFunctional(np.ones(2), 2.0), TypeError, "horizon must be a whole number"),
        (lambda: LinearFunctional(np.ones(2), 2, dt=0.0), ValueError, "dt must be positive"),
        (lambda: LinearFunctional(np.ones(2), 2, variance=-1.0), ValueError, "variance must be positive"),
        (lambda: LinearFunctional(np.ones(2), 2, inputs="withe"), ValueError, "did you mean 'white'"),
        (lambda: LinearFunctional(np.ones(2), 2).sample(0, seed=0), ValueError, "size must be at least 1"),
        (lambda: LinearFunctional(np.ones(2), 2).sample(1.5, seed=0), TypeError, "size must be a whole"),
        (lambda: LinearFunctional(np.ones(2), 2).sample(1, seed=-1), ValueError, "seed must not be negative"),
    ],
)
def test_bad_input_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_memories_may_be_views():
    values = np.arange(5.0)
    task = LinearFunctional(values[::-1], 5)
    assert task.kernel.flatten().tolist() == [4, 3, 2, 1, 0]
    assert task.sample(2, seed=0).targets.shape == (2, 5, 1)
    assert LinearFunctional(np.broadcast_to(1.0, (5,)), 5).kernel.sum() == 5  # read-only
    values[0] = 7
    assert task.rho[-1] == 0


def test_answers_are_asked_for_whole_sequences():
    with pytest.raises(ValueError, match="x must have 8 steps"):
        LinearFunctional(lambda t: 0.9**t, 8).answer(torch.zeros(2, 7))
