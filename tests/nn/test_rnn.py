import copy
import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.nn import RNN
from curse_of_memory.nn.building.activations import RECURRENT
from curse_of_memory.theory.reparameterization import REPARAMETERIZATIONS, Reparameterization
from tests.devices import DEVICES

EPS = {torch.float32: float(np.finfo(np.float32).eps), torch.float64: float(np.finfo(float).eps)}
steady = settings(derandomize=True, deadline=None, max_examples=30)
SHAPES = list(itertools.product(("direct", "softplus", "exp", "lru"), [True, False]))
WITHOUT_LARGEST_RATE = [name for name in REPARAMETERIZATIONS if not name.startswith("best")]
DTYPES = [torch.float32, torch.float64]


def network(**options):
    """A network of several channels whose bias is not zero, as it is at the start."""
    options = {"input_size": 2, "output_size": 3, "dt": 0.5, "seed": 1, "dtype": torch.float64} | options
    model = RNN(4, **options)
    if model.bias is not None:
        model.bias.data = torch.linspace(-0.4, 0.6, 4).to(model.bias)
    return model


def plain_loop(model, x):
    """The recurrence in numpy, one sequence and one step at a time, and the size of what was added up."""
    p = {name: value.detach().cpu().double().numpy() for name, value in model.named_parameters()}
    f = {
        "direct": lambda w: w,
        "softplus": lambda w: -np.logaddexp(0, w),
        "exp": lambda w: -np.exp(w),
        "lru": lambda w: (np.exp(-np.exp(w)) - 1) / model.dt,
    }
    sigma = {
        "linear": lambda z: z,
        "tanh": np.tanh,
        "hardtanh": lambda z: np.clip(z, -1, 1),
        "relu": lambda z: np.maximum(z, 0),
    }[model.activation]
    w, m = p["recurrent_weight"], model.width
    if model.diagonal:
        W = np.diag(f[model.parameterization](w))
    elif model.parameterization == "direct":
        W = w
    else:
        W = p["basis"].T @ np.diag(f[model.parameterization](w)) @ p["basis"]
    U, C, b = p["input_weight"], p["output_weight"], p.get("bias", np.zeros(m))
    y = np.empty((*x.shape[:2], C.shape[0]))
    size = 0.0
    for i, sequence in enumerate(x):
        h = np.zeros(m)
        for k, x_k in enumerate(sequence):
            h = h + model.dt * sigma(W @ h + U @ x_k + b)
            y[i, k] = C @ h
            size = max(size, (np.abs(C) @ np.abs(h)).max())
    return y, size


def rounding(model, steps, size, dtype):
    """One rounding error per term of each of `steps` matrix products, none of which grows later."""
    return 4 * steps * model.width * EPS[dtype] * size


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("parameterization", "diagonal"), SHAPES)
@pytest.mark.parametrize("activation", RECURRENT)
def test_forward_is_the_plain_loop(activation, parameterization, diagonal, dtype, device):
    model = network(
        activation=activation,
        parameterization=parameterization,
        diagonal=diagonal,
        dtype=dtype,
        device=device,
    )
    x = np.random.default_rng(0).standard_normal((2, 30, 2))
    y, size = plain_loop(model, x)
    found = model(torch.from_numpy(x).to(device=device, dtype=dtype))
    assert found.dtype == dtype
    assert found.shape == (2, 30, 3)
    tolerance = rounding(model, 30, size, dtype)
    np.testing.assert_allclose(found.detach().cpu(), y, rtol=0, atol=tolerance)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("parameterization", "diagonal"), SHAPES)
def test_kernel_and_offset_are_the_responses_to_an_impulse_and_to_nothing(
    parameterization, diagonal, bias, dtype, device
):
    T = 60
    model = network(
        parameterization=parameterization, diagonal=diagonal, bias=bias, dtype=dtype, device=device
    )
    x = torch.zeros(3, T, 2, dtype=dtype, device=device)
    x[0, 0, 0] = x[1, 0, 1] = 1.0
    with torch.no_grad():
        y = model(x)
        kernel, offset = model.kernel(T), model.offset(T)
    assert kernel.shape == (T, 3, 2)
    assert offset.shape == (T, 3)
    assert kernel.dtype == offset.dtype == dtype
    _, size = plain_loop(model, x.double().cpu().numpy())
    tolerance = rounding(model, T, size, dtype)
    torch.testing.assert_close(offset, y[2], rtol=0, atol=tolerance)
    # ŷ_k = dt ρ̂_k for the impulse; the division takes the errors along
    responses = (y[:2] - y[2]).movedim(0, -1) / model.dt
    torch.testing.assert_close(kernel, responses, rtol=0, atol=3 * tolerance / model.dt)
    assert bool(offset.abs().max() > 0) is bias


def test_kernel_is_a_density():
    """Two discretisations of one e^{-t}: the answers to a unit step tend to 1 - e^{-t} like dt."""
    errors = []
    for dt in (0.1, 0.05):
        model = RNN.from_exponential_sum(rates=[1.0], coefficients=[1.0], dt=dt)
        steps = round(3 / dt)
        answer = model(torch.ones(1, steps, 1, dtype=torch.float64))[0, -1, 0].item()
        # a left Riemann sum of e^{-t} up to t = 3 is too large by dt (1 - e^{-3}) / 2 and O(dt²)
        errors.append(answer - (1 - math.exp(-3)))
        assert errors[-1] == pytest.approx(dt * (1 - math.exp(-3)) / 2, rel=dt)
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)


# --- properties every network of this kind has --------------------------------------------------

seeds = st.integers(0, 2**31)
kinds = st.sampled_from(SHAPES)


def noise(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


@steady
@given(seed=seeds, kind=kinds, a=st.floats(-3, 3), b=st.floats(-3, 3))
def test_a_linear_network_superposes(seed, kind, a, b):
    parameterization, diagonal = kind
    model = network(parameterization=parameterization, diagonal=diagonal, seed=seed)
    x, z = noise(seed, 2, 1, 20, 2)
    with torch.no_grad():
        drift = model(torch.zeros_like(x))
        together = model(a * x + b * z) - drift
        apart = a * (model(x) - drift) + b * (model(z) - drift)
    size = max(plain_loop(model, v.numpy())[1] for v in (x, z, 4 * x))
    tolerance = (1 + abs(a) + abs(b)) * rounding(model, 20, size, torch.float64)
    torch.testing.assert_close(together, apart, rtol=0, atol=tolerance)


@steady
@given(seed=seeds, kind=kinds, activation=st.sampled_from(RECURRENT), cut=st.integers(0, 19))
def test_networks_are_causal(seed, kind, activation, cut):
    parameterization, diagonal = kind
    model = network(parameterization=parameterization, diagonal=diagonal, activation=activation, seed=seed)
    x = noise(seed, 2, 20, 2)
    later = x.clone()
    later[:, cut:] += 1.0
    with torch.no_grad():
        assert torch.equal(model(x)[:, :cut], model(later)[:, :cut])
        if activation != "relu":  # which may be asleep
            assert not torch.equal(model(x)[:, cut], model(later)[:, cut])


@steady
@given(seed=seeds, kind=kinds, activation=st.sampled_from(RECURRENT), wait=st.integers(1, 10))
def test_networks_without_bias_commute_with_shifts(seed, kind, activation, wait):
    parameterization, diagonal = kind
    model = network(
        parameterization=parameterization, diagonal=diagonal, activation=activation, seed=seed, bias=False
    )
    x = noise(seed, 1, 15, 2)
    shifted = torch.cat([torch.zeros(1, wait, 2, dtype=x.dtype), x], 1)
    with torch.no_grad():
        y, late = model(x), model(shifted)
    assert not late[:, :wait].any()
    size = plain_loop(model, x.numpy())[1]
    torch.testing.assert_close(late[:, wait:], y, rtol=0, atol=rounding(model, 15, size, torch.float64))


@steady
@given(seed=seeds, name=st.sampled_from(["softplus", "exp"]))
def test_dense_reparameterised_weights_are_symmetric_and_negative(seed, name):
    """Sylvester's law of inertia: whatever the free P, as long as it is invertible."""
    model = RNN(5, parameterization=name, seed=0, dtype=torch.float64)
    model.basis.data = noise(seed, 5, 5)
    model.recurrent_weight.data = noise(seed + 1, 5)
    W = model.recurrence().detach()
    assert torch.equal(W, W.T) or (W - W.T).abs().max() < 8 * EPS[torch.float64] * W.abs().max()
    # the largest eigenvalue is at most -min(rate) σ_min(P)²
    bound = -REPARAMETERIZATIONS[name].f(model.recurrent_weight.detach()).neg().min()
    bound = bound * torch.linalg.svdvals(model.basis.detach())[-1] ** 2
    largest = torch.linalg.eigvalsh(W)[-1]
    assert largest < bound + 16 * EPS[torch.float64] * W.abs().max()


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("parameterization", ["direct", "softplus", "exp", "relu", "inverse"])
def test_steps_are_stable_only_while_dt_times_rate_is_below_two(parameterization, diagonal):
    """W < 0 is stability in continuous time; one step multiplies by 1 - dt λ."""
    dt = 0.5
    for product, grows in ((1.9, False), (2.1, True)):
        model = network(parameterization=parameterization, diagonal=diagonal, dt=dt)
        rates = torch.full((4,), product / dt, dtype=torch.float64)
        free = REPARAMETERIZATIONS[parameterization].inverse(-rates)
        if diagonal or parameterization != "direct":
            model.recurrent_weight.data = free
        else:
            model.recurrent_weight.data = torch.diag(free)
        W = model.recurrence().detach()
        assert torch.linalg.eigvalsh(torch.diag(W) if diagonal else W).max() < 0
        kernel = model.kernel(100).detach().abs().amax((1, 2))
        assert bool(kernel[-1] > kernel[0]) is grows
        assert (kernel[-1] / kernel[0]).item() == pytest.approx(abs(1 - product) ** 99, rel=1e-10)


# --- initial weights ----------------------------------------------------------------------------


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("dt", [1.0, 0.25])
def test_all_parameterizations_start_as_the_same_network(diagonal, dt):
    names = [name for name in REPARAMETERIZATIONS if dt == 1 or name != "best"]
    models = {name: network(parameterization=name, diagonal=diagonal, dt=dt) for name in names}
    direct = models["direct"]
    for model in models.values():
        assert torch.equal(model.input_weight, direct.input_weight)
        assert torch.equal(model.output_weight, direct.output_weight)
        # log(rate) is at most log(100) + log(4) in size, and dense products add m terms
        torch.testing.assert_close(
            model.recurrence(), direct.recurrence(), rtol=0, atol=32 * EPS[torch.float64] / dt
        )


def test_a_parameterization_with_a_largest_rate_starts_below_it():
    """−1/(w² + ½) holds no rate above 2; the other modes are those of every other parameterization."""
    direct, best = (network(parameterization=name, diagonal=True, dt=0.0125) for name in ("direct", "best"))
    rates = -direct.recurrence().detach()
    assert rates.max() > 2
    torch.testing.assert_close(-best.recurrence().detach(), rates.clamp(max=1.9), rtol=1e-14, atol=0)


def test_a_discrete_parameterization_gives_the_multiplier_of_a_step():
    model = network(parameterization="lru", diagonal=True, dt=0.25)
    multiplier = torch.exp(-torch.exp(model.recurrent_weight))
    torch.testing.assert_close(1 + 0.25 * model.recurrence(), multiplier, rtol=0, atol=4 * EPS[torch.float64])


def test_a_parameterization_of_ones_own_needs_no_name():
    square = Reparameterization("square", lambda x, w: -(w**2), free=lambda x, v: x.sqrt(-v))
    model = network(parameterization=square, diagonal=True)
    torch.testing.assert_close(model.recurrence(), -(model.recurrent_weight**2), rtol=0, atol=0)
    assert "square" in repr(model)


@pytest.mark.parametrize("diagonal", [True, False])
def test_initial_rates_are_one_to_a_hundred_steps(diagonal):
    dt, m = 0.1, 400
    model = RNN(m, diagonal=diagonal, dt=dt, seed=0, dtype=torch.float64)
    W = model.recurrence().detach()
    rates = -dt * (W if diagonal else torch.linalg.eigvalsh(W))
    assert rates.min() > 0.01 * (1 - 1e-10)
    assert rates.max() < 1.0 + 1e-10
    # log rates are uniform on an interval of length L: mean in the middle, standard deviation L/√12
    length = math.log(100)
    middle = torch.log(rates).mean().item()
    assert abs(middle + length / 2) < 5 * length / math.sqrt(12 * m)
    assert torch.log(rates).std().item() == pytest.approx(length / math.sqrt(12), rel=0.1)


def test_a_seed_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second = RNN(4, seed=3), RNN(4, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.recurrent_weight, RNN(4, seed=4).recurrent_weight)


def test_without_a_seed_the_global_generator_draws():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second = RNN(4), RNN(4)
    assert not torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first.recurrent_weight, second.recurrent_weight)
    torch.manual_seed(0)
    assert torch.equal(first.recurrent_weight, RNN(4).recurrent_weight)


def test_dtype_rounds_the_same_draw():
    single, double = RNN(4, seed=0, dtype=torch.float32), RNN(4, seed=0, dtype=torch.float64)
    for a, b in zip(single.parameters(), double.parameters(), strict=True):
        assert torch.equal(a, b.float())
    assert RNN(2).recurrent_weight.dtype == torch.get_default_dtype()


# --- exponential sums ---------------------------------------------------------------------------


@pytest.mark.parametrize("dt", [1.0, 0.1, 3.0])
@pytest.mark.parametrize("parameterization", WITHOUT_LARGEST_RATE)
def test_an_exponential_sum_becomes_its_network(parameterization, dt):
    T = 80
    rates, c = np.array([0.01, 0.3, 2.0]) / dt, np.array([0.5, -2.0, 3.0])
    model = RNN.from_exponential_sum(rates=rates, coefficients=c, dt=dt, parameterization=parameterization)
    s = np.arange(T)
    modes = np.exp(-np.outer(s * dt, rates))
    # the multiplier e^{-λ dt} has an absolute error of some eps (w ~ log λ is rounded), and its
    # power s times that of the power before
    error = np.abs(c) @ (1 + s[:, None] * np.exp(-np.outer(np.maximum(s - 1, 0) * dt, rates))).T
    found = model.kernel(T).detach().squeeze()
    assert (np.abs(found.numpy() - modes @ c) <= 16 * EPS[torch.float64] * error).all()
    assert torch.equal(model.input_weight.abs().flatten(), model.output_weight.abs().flatten())
    assert model.bias is None
    assert model.dt == dt


@steady
@given(
    rates=st.lists(st.floats(1e-3, 5.0), min_size=1, max_size=4),
    coefficients=st.lists(st.floats(-10.0, 10.0), min_size=4, max_size=4),
    dt=st.floats(0.05, 2.0),
    parameterization=st.sampled_from(WITHOUT_LARGEST_RATE),
)
def test_every_exponential_sum_is_a_network(rates, coefficients, dt, parameterization):
    c = np.array(coefficients[: len(rates)])
    model = RNN.from_exponential_sum(rates=rates, coefficients=c, dt=dt, parameterization=parameterization)
    exact = np.exp(-np.outer(np.arange(20) * dt, rates)) @ c
    tolerance = 16 * 20 * EPS[torch.float64] * np.abs(c).sum()
    np.testing.assert_allclose(model.kernel(20).detach().squeeze(), exact, rtol=0, atol=tolerance)


# --- many networks at once ----------------------------------------------------------------------


@pytest.mark.parametrize(("parameterization", "diagonal"), SHAPES)
@pytest.mark.parametrize("activation", RECURRENT)
@pytest.mark.parametrize("bias", [True, False])
def test_many_networks_are_one_after_the_other(activation, parameterization, diagonal, bias):
    model = network(activation=activation, parameterization=parameterization, diagonal=diagonal, bias=bias)
    stacked = {n: p.detach() + 0.05 * noise(3, 5, *p.shape) for n, p in model.named_parameters()}
    x = noise(4, 3, 20, 2)
    together = model.run_many(stacked, x)
    assert together.shape == (5, 3, 20, 3)
    for i, y in enumerate(together):
        alone = torch.func.functional_call(model, {n: p[i] for n, p in stacked.items()}, (x,))
        atol = rounding(model, 20, alone.abs().max().item() + 1, torch.float64)
        torch.testing.assert_close(y, alone, rtol=0, atol=atol)


# --- the kernel as a function of the weights ----------------------------------------------------


@pytest.mark.parametrize(("parameterization", "diagonal"), SHAPES)
def test_vmap_over_weights_is_one_network_after_the_other(parameterization, diagonal):
    model = network(parameterization=parameterization, diagonal=diagonal)
    stacked = {n: p.detach() + 0.05 * noise(7, 6, *p.shape) for n, p in model.named_parameters()}
    kernels = torch.func.vmap(lambda p: model.kernel(25, p))(stacked)
    offsets = torch.func.vmap(lambda p: model.offset(25, p))(stacked)
    other = copy.deepcopy(model)
    for i in range(6):
        other.load_state_dict({n: p[i] for n, p in stacked.items()})
        with torch.no_grad():
            kernel, offset = other.kernel(25), other.offset(25)
        tolerance = 25 * 4 * EPS[torch.float64]
        torch.testing.assert_close(kernels[i], kernel, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(offsets[i], offset, rtol=tolerance, atol=tolerance)


def test_some_weights_may_be_given_and_the_rest_are_the_models():
    model = network(diagonal=True)
    doubled = model.kernel(5, {"output_weight": 2 * model.output_weight})
    assert torch.equal(doubled, 2 * model.kernel(5))


@pytest.mark.parametrize(("parameterization", "diagonal"), SHAPES)
def test_gradients_of_the_kernel_are_those_of_the_loop(parameterization, diagonal):
    T = 30
    model = network(parameterization=parameterization, diagonal=diagonal)
    x = torch.zeros(3, T, 2, dtype=torch.float64)
    x[0, 0, 0] = x[1, 0, 1] = 1.0
    y = model(x)
    weights = list(model.parameters())
    tests = noise(3, T, 3, 2)
    by_loop = torch.autograd.grad(((y[:2] - y[2]).movedim(0, -1) / model.dt * tests).sum(), weights)
    used = [p for p in weights if p is not model.bias]
    by_kernel = torch.autograd.grad((model.kernel(T) * tests).sum(), used)
    # each gradient sums T² products; the bias has no say in the memory
    for p, g in zip(used, by_kernel, strict=True):
        other = next(h for q, h in zip(weights, by_loop, strict=True) if q is p)
        size = max(1.0, g.abs().max().item())
        torch.testing.assert_close(g, other, rtol=0, atol=T**2 * 4 * EPS[torch.float64] * size)
    bias = next(h for q, h in zip(weights, by_loop, strict=True) if q is model.bias)
    assert bias.abs().max() < T**2 * 16 * EPS[torch.float64]


@pytest.mark.parametrize(("parameterization", "diagonal"), SHAPES)
def test_kernel_and_offset_have_the_derivatives_of_differences(parameterization, diagonal):
    model = network(parameterization=parameterization, diagonal=diagonal)
    names, weights = zip(*model.named_parameters(), strict=True)
    weights = tuple(w.detach().requires_grad_() for w in weights)

    def both(*values):
        p = dict(zip(names, values, strict=True))
        return model.kernel(6, p), model.offset(6, p)

    assert torch.autograd.gradcheck(both, weights)


def test_a_multiplier_of_zero_has_a_gradient():
    """0⁰ = 1 and the derivative of 0¹ is one: a power of tensors must not make NaN of them."""
    model = RNN(1, diagonal=True, bias=False, dt=0.5, seed=0, dtype=torch.float64)
    model.recurrent_weight.data.fill_(-2.0)
    kernel = model.kernel(4)
    product = (model.input_weight * model.output_weight).item()
    assert kernel.flatten().tolist() == [product, 0, 0, 0]
    (gradient,) = torch.autograd.grad(kernel.sum(), model.recurrent_weight)
    assert gradient.item() == pytest.approx(0.5 * product, rel=4 * EPS[torch.float64])


# --- small print --------------------------------------------------------------------------------


@pytest.mark.parametrize("diagonal", [True, False])
def test_empty_batches_and_times_have_empty_answers(diagonal):
    model = network(diagonal=diagonal)
    like = {"dtype": torch.float64}
    assert model(torch.zeros(0, 5, 2, **like)).shape == (0, 5, 3)
    assert model(torch.zeros(2, 0, 2, **like)).shape == (2, 0, 3)


@pytest.mark.parametrize(("parameterization", "diagonal"), SHAPES)
def test_weights_survive_saving_copying_and_pickling(parameterization, diagonal):
    model = network(parameterization=parameterization, diagonal=diagonal, activation="tanh")
    x = noise(0, 2, 10, 2)
    other = network(parameterization=parameterization, diagonal=diagonal, activation="tanh", seed=9)
    assert not torch.equal(other(x), model(x))
    other.load_state_dict(model.state_dict())
    for twin in (other, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(x), model(x))
    twin = copy.deepcopy(model)
    twin.output_weight.data.zero_()
    assert model.output_weight.any()


@pytest.mark.parametrize(("parameterization", "diagonal"), SHAPES)
def test_a_network_knows_what_it_is(parameterization, diagonal):
    model = network(parameterization=parameterization, diagonal=diagonal)
    assert model.is_linear
    assert not network(activation="relu").is_linear
    whole = parameterization == "direct" and not diagonal
    assert model.diagonal_parameters == (set() if whole else {"recurrent_weight"})
    assert model.recurrence().shape == ((4,) if diagonal else (4, 4))
    for word in (parameterization, "diagonal" if diagonal else "dense", "dt=0.5"):
        assert word in repr(model)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: RNN(0), ValueError, "width must be at least 1"),
        (lambda: RNN(2.0), TypeError, "width must be a whole number"),
        (lambda: RNN(2, input_size=0), ValueError, "input_size must be at least 1"),
        (lambda: RNN(2, output_size=-1), ValueError, "output_size must be at least 1"),
        (lambda: RNN(2, dt=0.0), ValueError, "dt must be positive"),
        (lambda: RNN(2, dt=math.nan), ValueError, "dt must be finite"),
        (lambda: RNN(2, activation="tanhh"), ValueError, "did you mean 'tanh'"),
        (lambda: RNN(2, parameterization="softplsu"), ValueError, "did you mean 'softplus'"),
        (lambda: RNN(2)(torch.zeros(3, 4, 2)), ValueError, r"shape \(batch, time, 1\), got \(3, 4, 2\)"),
        (lambda: RNN(2)(torch.zeros(3, 4)), ValueError, r"shape \(batch, time, 1\), got \(3, 4\)"),
        (lambda: RNN(2, activation="tanh").kernel(5), TypeError, "only a linear network.*is tanh"),
        (lambda: RNN(2, activation="relu").offset(5), TypeError, "only a linear network.*is relu"),
        (lambda: RNN(2).kernel(0), ValueError, "horizon must be at least 1"),
        (
            lambda: RNN.from_exponential_sum(rates=[0.0], coefficients=[1.0]),
            ValueError,
            "rates must be positive",
        ),
        (
            lambda: RNN.from_exponential_sum(rates=[1.0, -1.0], coefficients=[1.0, 1.0]),
            ValueError,
            "rates must be positive",
        ),
        (
            lambda: RNN.from_exponential_sum(rates=[1.0], coefficients=[1.0, 2.0]),
            ValueError,
            "agree in length, got 1, 2",
        ),
        (
            lambda: RNN.from_exponential_sum(rates=[1.0], coefficients=[math.inf]),
            ValueError,
            "coefficients must be finite",
        ),
        (
            lambda: RNN.from_exponential_sum(rates=[1.0], coefficients=[1.0], dt=-1.0),
            ValueError,
            "dt must be positive",
        ),
        (lambda: RNN.from_exponential_sum(rates=[], coefficients=[]), ValueError, "rates must not be empty"),
    ],
)
def test_bad_input_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_no_nonlinear_network_has_an_offset():
    with pytest.raises(TypeError, match="only a linear network"):
        RNN(2, activation="tanh", bias=False).offset(3)
    with pytest.raises(ValueError, match="horizon must be at least 1"):
        RNN(2, bias=False).offset(0)
