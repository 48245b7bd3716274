import math
import pickle

import numpy as np
import pytest
import scipy.linalg
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import curse_of_memory as com
from curse_of_memory.nn.state_space.modes import DISCRETIZATIONS, INITIAL, discretize
from curse_of_memory.nn.state_space.s4d import S4D
from curse_of_memory.nn.state_space.ssm import SSM
from curse_of_memory.theory.reparameterization import REPARAMETERIZATIONS

EPS = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}
DOUBLE = torch.float64
MAPS = list(REPARAMETERIZATIONS)
STABLE = [name for name in MAPS if REPARAMETERIZATIONS[name].is_stable]


def noise(seed: int, *shape: int, dtype=DOUBLE) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def layer(kind, **options):
    """A layer of each kind with three channels in and out."""
    options = {"seed": 0, "dtype": DOUBLE} | options
    if kind is S4D:
        return S4D(3, states=6, **options)
    return SSM(6, input_size=3, output_size=3, skip=True, **options)


def matrices(model):
    """z, φ, U, C, D of the model as one system of all its complex modes, D a matrix, with 2 Re at the end."""
    z, phi = model.multipliers()
    U, C, D = model.__dict__.get("input_weight"), model._number(model.output_weight), model.skip
    if isinstance(model, S4D):
        channels, modes = z.shape
        U = torch.eye(channels, dtype=z.dtype).repeat_interleave(modes, 0)
        C = torch.block_diag(*C)
        D = torch.diag(D)
    else:
        U = model._number(model.input_weight)
    return z.flatten(), phi.flatten(), U.to(z.dtype), C, D


def loop(model, x, state=None):
    """The recurrence as it is written, one step after the other, with all modes in one vector."""
    z, phi, U, C, D = matrices(model)
    bias = getattr(model, "bias", None)
    h = x.new_zeros(len(x), len(z), dtype=z.dtype) if state is None else state
    y = []
    for v in x.unbind(1):
        drive = v.to(z.dtype) @ U.T
        if bias is not None:
            drive = drive + model._number(bias)
        h = z * h + phi * drive
        out = h @ C.T
        y.append((2 * out.real if model.has_pairs else out) + v @ D.T)
    return torch.stack(y, 1), h


def size_of(model, x):
    """How large outputs can be: Σ |C||φ||U| / (1 − |z|), at least a step, times max |x|."""
    z, phi, U, C, D = (t.detach().abs() for t in matrices(model))
    lasting = torch.clamp(1 / (1 - z).clamp(min=1e-300), max=x.shape[1])
    return float((2 * (C * phi * lasting) @ U + D).sum(1).max() * x.abs().max())


# --- one step of a mode -----------------------------------------------------------------------------


@pytest.mark.parametrize("rule", DISCRETIZATIONS)
@pytest.mark.parametrize("step", [1e-6, 0.1, 2.0])
def test_a_step_is_that_of_scipy(rule, step):
    lam = -0.7 + 3.0j
    system = np.array([[lam]]), np.array([[1.0 + 0j]]), np.eye(1), np.zeros((1, 1))
    z, phi = discretize(torch.tensor([lam], dtype=torch.complex128), step, rule)
    a, b, *_ = scipy.signal.cont2discrete(system, step, method=rule)
    np.testing.assert_allclose(z.numpy(), a.ravel(), rtol=4e-15)
    np.testing.assert_allclose(phi.numpy(), b.ravel(), rtol=4e-15)


def test_zero_order_hold_is_the_matrix_exponential():
    """exp(Δ [[λ, 1], [0, 0]]) = [[z, φ], [0, 1]], for fast, slow and standing modes."""
    for lam in (-30.0, -1.0 + 5.0j, -0.5, -1e-3, -1e-9, 0.0):
        expected = scipy.linalg.expm(np.array([[lam, 1.0], [0.0, 0.0]], dtype=complex))
        z, phi = discretize(torch.tensor(lam, dtype=torch.complex128), 1.0, "zoh")
        np.testing.assert_allclose([z.item(), phi.item()], expected[0], rtol=0, atol=30 * 2.0**-52)


def test_zero_order_hold_has_derivatives_everywhere_at_zero_too():
    u = torch.tensor([0.0, 1e-3, -0.4999, -0.5001, -3.0], dtype=DOUBLE, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u: discretize(u, 0.7, "zoh"), u)
    _, phi = discretize(u, 1.0, "zoh")
    slope = torch.autograd.grad(phi.sum(), u)[0]
    assert slope[0] == 0.5  # of 1 + u/2 + …


def test_modes_that_are_gone_within_a_step_have_finite_derivatives():
    u = torch.tensor([-1e4], requires_grad=True)
    _, phi = discretize(u, 1.0, "zoh")
    slope = torch.autograd.grad(phi.sum(), u)[0]
    assert slope.item() == pytest.approx(1e-8, rel=1e-6)  # of −1/u


# --- layers -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SSM, S4D])
@pytest.mark.parametrize("initial", INITIAL)
@pytest.mark.parametrize("parameterization", MAPS)
def test_forward_is_the_step_loop_is_chunks_is_the_kernel(kind, initial, parameterization):
    model = layer(kind, initial=initial, parameterization=parameterization, dt=0.5)
    x = noise(1, 2, 40, 3)
    plain, last = loop(model, x)
    # a sum of 40 products of 40 factors, each with a rounding, or an FFT
    bound = 40 * 8 * EPS[DOUBLE] * size_of(model, x)
    assert (model(x) - plain).abs().max() <= bound
    state, parts = None, []
    for chunk in x.split([1, 0, 25, 14], 1):
        y, state = model.run(chunk, state)
        parts.append(y)
    assert (torch.cat(parts, 1) - plain).abs().max() <= bound
    assert (state - last).abs().max() <= 40 * 8 * EPS[DOUBLE] * max(1, last.abs().max())
    rho = model.kernel(40)
    assert rho.shape == (40, 3, 3)
    convolved = sum(
        0.5 * torch.einsum("oi,bti->bto", rho[s], torch.nn.functional.pad(x, (0, 0, s, 0))[:, :40])
        for s in range(40)
    )
    assert (convolved - plain).abs().max() <= bound


@settings(derandomize=True, deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 99),
    states=st.sampled_from([2, 4, 8]),
    channels=st.integers(1, 4),
    time=st.sampled_from([0, 1, 2, 17, 200]),
    dtype=st.sampled_from(list(EPS)),
)
def test_whole_sequences_and_streams_agree_at_any_size(seed, states, channels, time, dtype):
    model = S4D(channels, states, seed=seed, dtype=dtype)
    x = noise(seed, 2, time, channels, dtype=dtype)
    whole, stream = model(x), model.run(x).y
    assert whole.shape == stream.shape == x.shape
    assert whole.dtype == stream.dtype == dtype
    if time:
        assert (whole - stream).abs().max() <= time * 8 * EPS[dtype] * size_of(model, x)


def test_the_scan_in_pieces_is_the_whole(monkeypatch):
    model, x = layer(S4D), noise(0, 2, 50, 3)
    whole = model.run(x)
    monkeypatch.setattr("curse_of_memory.nn.state_space.s4d.STATES_AT_ONCE", 2 * 3 * 3 * 7)
    pieces = model.run(x)
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-13)


def test_the_memory_is_the_exponential_sum():
    """With zero-order hold K_s = Σ c φ e^{−λ s}, whatever way the powers are made."""
    rates, c = np.array([0.01, 0.3, 2.0]), np.array([1.0, -2.0, 3.0])
    model = SSM(3, initial=-rates, dtype=DOUBLE)
    with torch.no_grad():
        model.input_weight.fill_(1)
        model.output_weight.copy_(torch.from_numpy(c * rates / -np.expm1(-rates))[None])
    values = com.exponential_sums.ExponentialSum(rates=rates, coefficients=c)(np.arange(300.0))
    np.testing.assert_allclose(model.kernel(300).squeeze().detach(), values, rtol=0, atol=300 * 6 * 2.0**-52)


def test_euler_steps_are_those_of_the_linear_rnn():
    options = {"input_size": 2, "output_size": 3, "dt": 0.5, "seed": 4, "dtype": DOUBLE}
    rnn = com.nn.RNN(5, diagonal=True, **options)
    ssm = SSM(5, discretization="euler", **options)
    assert {n: p.tolist() for n, p in rnn.named_parameters()} == {
        n: p.tolist() for n, p in ssm.named_parameters()
    }
    with torch.no_grad():
        rnn.bias.fill_(0.3), ssm.bias.fill_(0.3)
    x = noise(0, 2, 30, 2)
    torch.testing.assert_close(ssm(x), rnn(x), rtol=0, atol=1e-14)
    torch.testing.assert_close(ssm.kernel(30), rnn.kernel(30), rtol=0, atol=1e-14)
    torch.testing.assert_close(ssm.offset(30), rnn.offset(30), rtol=0, atol=1e-14)


def test_the_activation_is_outside():
    x = 3 * noise(0, 2, 20, 1)
    linear, tanh = (SSM(4, activation=name, seed=0, dtype=DOUBLE) for name in ("linear", "tanh"))
    with torch.no_grad():
        for model in (linear, tanh):
            model.bias.fill_(0.5)
    states = []
    for i in range(4):  # the state i by itself
        with torch.no_grad():
            linear.output_weight.copy_(torch.eye(4, dtype=DOUBLE)[i : i + 1])
        states.append(linear(x))
    expected = torch.tanh(torch.cat(states, -1)) @ tanh.output_weight.T
    torch.testing.assert_close(tanh(x), expected, rtol=0, atol=1e-14)
    with pytest.raises(TypeError, match="only a linear model"):
        tanh.kernel(3)


def test_the_bias_is_the_offset():
    model = layer(SSM, initial="lru", parameterization="lru")
    with torch.no_grad():
        model.bias.copy_(noise(3, 3, 2))
    offset = model(torch.zeros(1, 25, 3, dtype=DOUBLE))[0]
    torch.testing.assert_close(model.offset(25), offset, rtol=0, atol=1e-12)
    assert offset.abs().min() > 0
    assert (layer(S4D).offset(4) == 0).all()


# --- where they start -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("initial", "expected"),
    [
        ("s4d-lin", [-0.5, -0.5 + math.pi * 1j, -0.5 + 2 * math.pi * 1j, -0.5 + 3 * math.pi * 1j]),
        ("s4d-inv", [-0.5 + 8 / math.pi * (8 / (2 * n + 1) - 1) * 1j for n in range(4)]),
        ("s4d-real", [-1, -2, -3, -4, -5, -6, -7, -8]),
    ],
)
def test_eigenvalues_at_the_start(initial, expected):
    model = S4D(2, 8, initial=initial, step=None, dt=0.25, dtype=DOUBLE)
    z, phi = model.multipliers()
    lam = np.array(expected)
    np.testing.assert_allclose(z.detach()[1], np.exp(0.25 * lam), rtol=1e-14)
    np.testing.assert_allclose(phi.detach()[0], np.expm1(0.25 * lam) / lam, rtol=1e-13)


@pytest.mark.parametrize("parameterization", ["exp", "lru"])
def test_the_ring_is_uniform_in_area_and_phase(parameterization):
    options = {"initial": "lru", "parameterization": parameterization, "ring": (0.6, 0.9, 0.5)}
    model = S4D(50, 200, seed=0, dtype=DOUBLE, **options)
    z, _ = model.multipliers()
    square, phase = z.detach().abs().square().flatten(), z.detach().angle().flatten()
    for values, low, high in ((square, 0.36, 0.81), (phase, 0.0, 0.5)):
        uniform = (values.sort().values - low) / (high - low)
        grid = (torch.arange(len(values)) + 0.5) / len(values)
        # Kolmogorov-Smirnov: the distance exceeds 2/√n with probability 2 e^{−8} < 10⁻³
        assert (uniform - grid).abs().max() < 2 / len(values) ** 0.5


def test_the_start_of_the_linear_recurrent_unit_keeps_the_variance():
    """White inputs of variance one then give states E|h|² = E|U|² / (1 − |z|²) = 1 in the mean."""
    model = SSM(4000, initial="lru", parameterization="lru", ring=(0.5, 0.99, 6.28), seed=0, dtype=DOUBLE)
    z, phi = model.multipliers()
    U = model._number(model.input_weight)[:, 0]
    variance = ((phi * U).abs().square() / (1 - z.abs().square())).detach()
    # an exponential variable of mean one for each of 2000 modes: six standard errors
    assert abs(variance.mean() - 1) < 6 / 2000**0.5


def test_steps_start_in_their_range_and_scale_with_dt():
    once, half = (S4D(1000, 2, step=(0.01, 0.1), dt=dt, seed=1, dtype=DOUBLE) for dt in (1.0, 0.5))
    delta = once.log_step.detach().exp()
    assert 0.01 <= delta.min() < 0.011
    assert 0.09 < delta.max() <= 0.1
    z, _ = once.multipliers()
    torch.testing.assert_close(half.multipliers()[0].square(), z, rtol=1e-14, atol=0)


def test_given_eigenvalues_are_taken_and_cut_where_the_map_ends():
    """The public code of StableSSM starts "direct" at +1/2: an array can say so."""
    unstable = S4D(1, 4, initial=[0.5, 0.5 + 1j], parameterization="direct", step=None, dtype=DOUBLE)
    assert unstable.multipliers()[0].abs().min() > 1
    best = SSM(3, initial=[-0.1, -1.0, -50.0], parameterization="best", dtype=DOUBLE)
    rates = -best._map.f(best.recurrent_weight.detach())
    torch.testing.assert_close(rates, torch.tensor([0.1, 1.0, 1.9], dtype=DOUBLE), rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", STABLE)
@pytest.mark.parametrize("kind", [SSM, S4D])
def test_stable_for_all_weights(name, kind):
    model = layer(kind, parameterization=name, initial="s4d-lin" if kind is S4D else "real")
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(4 * noise(5, *weight.shape))
    assert (model.multipliers()[0].abs() <= 1).all()


def test_seeds_dtypes_and_pickles():
    one, two = (S4D(2, 4, seed=7, dtype=dtype) for dtype in (torch.float32, DOUBLE))
    for first, second in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(first, second.float())
        assert not first.is_complex()
    assert not torch.equal(S4D(2, 4, seed=8).output_weight, one.output_weight)
    x = noise(0, 1, 9, 2, dtype=torch.float32)
    assert torch.equal(pickle.loads(pickle.dumps(one))(x), one(x))
    assert one.double()(x.double()).dtype == DOUBLE


# --- gradients, and what measures and trains --------------------------------------------------------


@pytest.mark.parametrize("kind", [SSM, S4D])
@pytest.mark.parametrize(
    "options", [{"initial": "s4d-inv"}, {"initial": "real"}, {"parameterization": "lru"}]
)
def test_gradients_are_those_of_the_plain_loop(kind, options):
    model = layer(kind, **options)
    x, weight = noise(1, 2, 30, 3).requires_grad_(), noise(2, 2, 30, 3)
    leaves = [x, *model.parameters()]
    found, plain = (torch.autograd.grad((y * weight).sum(), leaves) for y in (model(x), loop(model, x)[0]))
    for fast, slow in zip(found, plain, strict=True):
        # 180 summands, each with up to 30 steps behind it
        assert (fast - slow).abs().max() <= 180 * 30 * EPS[DOUBLE] * (1 + slow.abs().max())


@pytest.mark.parametrize("model", [SSM(4, seed=0, dtype=DOUBLE), S4D(1, 4, seed=0, dtype=DOUBLE)])
def test_the_measured_memory_is_the_kernel(model):
    rho = model.kernel(40).detach().abs().squeeze().numpy()
    for options in (
        {"closed_form": True},
        {"closed_form": False, "probe": "impulse"},
        {"closed_form": False},
    ):
        memory = com.memory_function(model, 40, device="cpu", **options)
        assert memory.attrs["exact"]
        # differences of sums of 40 values
        np.testing.assert_allclose(memory, rho, rtol=0, atol=40 * 16 * 2.0**-52 * rho.sum())


@pytest.mark.parametrize("model", [SSM(4, seed=0, dtype=DOUBLE), S4D(1, 4, seed=0, dtype=DOUBLE)])
def test_the_exact_error_is_the_sampled_one(model):
    task = com.tasks.LinearFunctional(lambda t: 0.8**t, horizon=20)
    curve = com.perturbation_curve(model, task, [0.0, 0.1], draws=4, device="cpu")
    assert curve.attrs["method"] == "exact"
    x, y = task.sample(4000, seed=0, dtype=DOUBLE)
    errors = (model(x) - y).detach().square().mean((1, 2))
    assert abs(errors.mean() - curve.error[0].item()) < 6 * errors.std() / 4000**0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        SSM(4, parameterization="best", seed=0, dtype=DOUBLE),
        SSM(4, initial="lru", parameterization="lru", ring=(0.5, 0.9, 0.3), seed=0, dtype=DOUBLE),
        S4D(1, 4, initial="real", step=None, skip=False, seed=0, dtype=DOUBLE),
    ],
)
def test_training_on_the_expected_loss(model):
    task = com.tasks.LinearFunctional(com.targets.polynomial(1.1, rate=0.1), horizon=40)
    before = com.perturbation_curve(model, task, [0.0], draws=1, device="cpu").error.item()
    assert com.fit_expected(model, task).loss < 1e-3 * before


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: SSM(0), ValueError, "width must be at least 1"),
        (lambda: S4D(0), ValueError, "width must be at least 1"),
        (lambda: S4D(2, 3), ValueError, "states must be even"),
        (lambda: S4D(2, initial="s4d-line"), ValueError, "did you mean 's4d-lin'"),
        (lambda: S4D(2, 4, initial=[-1.0]), ValueError, "initial must have 4 eigenvalues"),
        (lambda: S4D(2, 4, initial=[-1.0 + 1j]), ValueError, "initial must have 2 eigenvalues for pairs"),
        (lambda: SSM(2, initial=[-1.0, np.nan]), ValueError, "initial must be finite"),
        (lambda: SSM(2, discretization="tustin"), ValueError, "discretization"),
        (lambda: SSM(2, parameterization="lru", discretization="zoh"), ValueError, "must not be given"),
        (lambda: SSM(2, initial="lru", activation="tanh"), ValueError, "'linear' for complex modes"),
        (lambda: SSM(2, initial="lru", ring=(0.9, 0.5, 1.0)), ValueError, "r_min < r_max"),
        (lambda: S4D(2, step=(0.1, 0.01)), ValueError, r"step must be \(low, high\)"),
        (lambda: S4D(2, step=(0.0, 0.01)), ValueError, "step must be positive"),
        (lambda: SSM(2, dt=0.0), ValueError, "dt must be positive"),
        (lambda: SSM(2)(torch.ones(1, 3)), ValueError, r"x must have shape \(batch, time, 1\)"),
        (lambda: S4D(2)(torch.ones(1, 3, 3)), ValueError, r"x must have shape \(batch, time, 2\)"),
        (lambda: S4D(2, 4).run(torch.ones(1, 3, 2), torch.ones(1, 3)), ValueError, "state must have shape"),
        (lambda: SSM(2).run(torch.ones(1, 3, 1), torch.ones(1, 3)), ValueError, "state must have shape"),
        (lambda: S4D(2).kernel(0), ValueError, "horizon must be at least 1"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- from an exponential sum ------------------------------------------------------------------------

SUMS = {
    "real": ([0.1, 0.5, 1.5], [1.0, -2.0, 3.0], 3),
    "a pair": ([0.1 + 1j, 0.1 - 1j], [0.5 - 0.2j, 0.5 + 0.2j], 2),
    # modes of a layer are all pairs or none: a real one beside a pair becomes a pair
    "a pair and a real rate": ([0.3, 0.1 + 1j, 0.1 - 1j], [2.0, 0.5 - 0.2j, 0.5 + 0.2j], 4),
    "alternating": ([0.2 + 1j * math.pi / 0.5, 0.3], [1.0, 0.5], 4),
    "a term without effect": ([0.2, 0.4], [0.0, 1.0], 2),
}


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("parameterization", STABLE)
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_the_kernel_of_a_layer_is_the_sum_that_it_is_made_from(name, parameterization, dtype):
    rates, coefficients, width = SUMS[name]
    layer = SSM.from_exponential_sum(
        rates=rates, coefficients=coefficients, dt=0.5, parameterization=parameterization, dtype=dtype
    )
    assert (layer.width, layer.dt, layer.bias, layer.skip) == (width, 0.5, None, None)
    s = 0.5 * np.arange(100)
    expected = np.real(np.exp(-np.outer(s, rates)) @ np.asarray(coefficients))
    kernel = layer.kernel(100)[:, 0, 0].detach().double().numpy()
    # z^s errs by s times the rounding of z; the largest coefficients are 3
    np.testing.assert_allclose(kernel, expected, rtol=0, atol=100 * EPS[dtype])
    x = noise(0, 1, 100, 1, dtype=dtype)
    answer = 0.5 * np.convolve(expected, x.double().numpy().ravel())[:100]
    np.testing.assert_allclose(layer(x).detach().numpy().ravel(), answer, atol=1000 * EPS[dtype])


def test_fast_rates_are_kept_and_what_a_map_cannot_be_is_refused():
    layer = SSM.from_exponential_sum(rates=[30.0], coefficients=[1.0], parameterization="lru")
    assert layer.kernel(2)[1].item() == pytest.approx(math.exp(-30), rel=1e-2, abs=1e-15)
    with pytest.raises(ValueError, match="'best' takes values from -2 to below 0, got -30"):
        SSM.from_exponential_sum(rates=[30.0], coefficients=[1.0], parameterization="best")
    with pytest.raises(ValueError, match="rates must have positive real parts"):
        SSM.from_exponential_sum(rates=[-0.1], coefficients=[1.0])


def test_from_a_kernel_to_a_layer_that_has_it():
    t = np.arange(60)
    needed = com.states_needed(np.exp(-0.05 * t) * np.cos(0.4 * t), dt=0.1)
    fit = needed.fit
    layer = SSM.from_exponential_sum(rates=fit.rates, coefficients=fit.coefficients, dt=fit.dt)
    assert layer.width == needed.states == 2
    np.testing.assert_allclose(layer.kernel(60)[:, 0, 0].detach().numpy(), fit.on_grid(60), atol=1e-13)
