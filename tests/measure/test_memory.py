import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from curse_of_memory.measure import memory_function
from curse_of_memory.measure.memory import PROBES
from curse_of_memory.nn import RNN
from curse_of_memory.theory import targets
from tests.devices import DEVICES

EPS = {torch.float32: float(np.finfo(np.float32).eps), torch.float64: float(np.finfo(float).eps)}
steady = settings(derandomize=True, deadline=None, max_examples=25)
T, DT = 40, 0.5


class Gated(nn.Module):
    """Somebody else's model: it has no attribute of ours."""

    def __init__(self, channels=1, width=8):
        super().__init__()
        torch.manual_seed(1)
        self.gru = nn.GRU(channels, width, batch_first=True)
        self.readout = nn.Linear(width, 2)

    def forward(self, x):
        return self.readout(self.gru(x)[0])


class Answer(nn.Module):
    """The model that a function is."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def linear(**options):
    options = {"input_size": 2, "output_size": 3, "dt": DT, "seed": 1, "dtype": torch.float64} | options
    model = RNN(4, **options)
    model.bias.data = torch.linspace(-0.4, 0.6, 4).to(model.bias)
    return model


def l1(kernel):
    """Σ_i |ρ_i| over inputs for one output; for several the largest Euclidean norm over sign vectors."""
    corners = itertools.product((1.0, -1.0), repeat=kernel.shape[-1])
    return np.max([np.linalg.norm(kernel @ np.array(x), axis=-1) for x in corners], axis=0)


def kernel_of(model, horizon):
    return model.kernel(horizon).detach().double().cpu().numpy()


# --- linear models: three probes and the closed form --------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize(
    "options",
    [
        {"diagonal": True},
        {"parameterization": "softplus"},
        {"diagonal": True, "parameterization": "exp", "output_size": 1},
        {"input_size": 1, "output_size": 1},
        {"input_size": 3, "output_size": 1, "dt": 1.0},
    ],
)
def test_probes_measure_the_closed_form(options, probe, dtype, device):
    model = linear(dtype=dtype, **options)
    dt = model.dt
    warmup = 100
    kernel = kernel_of(model, T + warmup)
    exact = l1(kernel[:T])
    if probe == "reversed":  # which measures ρ(t) − ρ(t + warmup dt)
        exact = l1(kernel[:T] - kernel[warmup : warmup + T])
    found = memory_function(model, T, probe=probe, closed_form=False, warmup=warmup, device=device)
    # differences of answers y, each off by some eps m (steps) times the state, are divided by dt
    steps = T + (warmup if probe == "reversed" else 0)
    size = dt * np.abs(kernel).sum(0).max() + model.offset(steps).abs().max().item()
    tolerance = 4 * model.width * steps * EPS[dtype] * size / dt
    np.testing.assert_allclose(found, exact, rtol=0, atol=tolerance)
    assert tolerance < (0.02 if dtype == torch.float32 else 1e-10)
    assert found.attrs["probe"] == probe


@pytest.mark.parametrize("options", [{"diagonal": True}, {"parameterization": "exp"}])
def test_the_closed_form_is_taken_where_there_is_one(options):
    model = linear(**options)
    found = memory_function(model, T)
    np.testing.assert_allclose(found, l1(kernel_of(model, T)), rtol=8 * EPS[torch.float64])
    assert found.attrs.items() >= {"probe": "closed form", "dt": DT, "inputs": 4, "exact": True}.items()
    np.testing.assert_array_equal(found.lag, DT * np.arange(T))
    assert found.dims == ("lag",)
    assert found.name == "memory"
    same = memory_function(model, T, closed_form=True, radii=[3.0, 0.1], probe="impulse")
    np.testing.assert_array_equal(same, found)


def test_one_output_of_many_inputs_remembers_their_sum():
    model = linear(output_size=1, input_size=3)
    kernel = kernel_of(model, T)
    found = memory_function(model, T, closed_form=False)
    np.testing.assert_allclose(found, np.abs(kernel).sum((1, 2)), rtol=0, atol=1e-12)


def test_the_remainder_of_the_reversed_probe_is_the_memory_left_after_the_warmup():
    model = RNN.from_exponential_sum(rates=[0.1], coefficients=[1.0])
    for warmup in (1, 10, 50):
        found = memory_function(model, 10, probe="reversed", closed_form=False, warmup=warmup)
        exact = np.exp(-0.1 * np.arange(10)) * (1 - math.exp(-0.1 * warmup))
        np.testing.assert_allclose(found, exact, rtol=0, atol=100 * EPS[torch.float64])
    by_default = memory_function(model, 10, probe="reversed", closed_form=False)
    exact = np.exp(-0.1 * np.arange(10)) * (1 - math.exp(-4.0))
    np.testing.assert_allclose(by_default, exact, rtol=0, atol=100 * EPS[torch.float64])


def test_the_reversed_probe_says_how_much_it_cuts():
    """e^{-.01 t} after 80 steps: .55 for 1, and no more than e^{-.8} is missing anywhere."""
    model = RNN.from_exponential_sum(rates=[0.01], coefficients=[1.0])
    cut = memory_function(model, 20, probe="reversed", closed_form=False)
    assert cut[0] == pytest.approx(1 - math.exp(-0.8), rel=1e-12)
    assert cut.attrs["truncation"] == pytest.approx(math.exp(-0.8), rel=1e-12)
    assert cut.attrs["exact"] is False
    whole = memory_function(model, 20, probe="reversed", closed_form=False, warmup=4000)
    assert whole.attrs["exact"] is True
    assert whole.attrs["truncation"] <= whole.attrs["noise_floor"]
    for exact in (
        memory_function(model, 20, probe="reversed"),
        memory_function(model, 20, closed_form=False),
    ):
        assert (exact.attrs["exact"], exact.attrs["truncation"]) == (True, 0.0)
    gated = memory_function(Gated(), 5, probe="reversed")
    assert gated.attrs["exact"] is False
    assert math.isnan(gated.attrs["truncation"])


@pytest.mark.parametrize("warmup", [1, 7, 40])
def test_what_the_reversed_probe_cuts_is_within_its_bound(warmup):
    for seed in range(4):
        model = linear(seed=seed, dt=1.0)
        kernel = kernel_of(model, T + warmup)
        found = memory_function(model, T, probe="reversed", closed_form=False, warmup=warmup)
        assert found.attrs["truncation"] == pytest.approx(l1(kernel[warmup:]).max(), rel=1e-9)
        gap = np.abs(found - l1(kernel[:T]))
        assert (gap <= found.attrs["truncation"] * (1 + 1e-9)).all()
        assert gap.max() > 0.05 * found.attrs["truncation"]


def test_another_output_of_a_linear_model_is_measured():
    model = linear()
    plain, half = memory_function(model, T), memory_function(model, T, output=lambda y: 0.5 * y)
    np.testing.assert_allclose(half, plain / 2, rtol=0, atol=1e-12)
    assert (half.attrs["probe"], half.attrs["exact"]) == ("heaviside", False)
    with pytest.raises(TypeError, match="output= chooses another"):
        memory_function(model, T, output=lambda y: y, closed_form=True)


@steady
@given(radius=st.floats(1e-3, 1e3), probe=st.sampled_from(PROBES), seed=st.integers(0, 1000))
def test_the_memory_of_linear_models_does_not_depend_on_the_size_of_inputs(radius, probe, seed):
    model = RNN(3, dt=DT, seed=seed, dtype=torch.float64)
    at_one = memory_function(model, 15, probe=probe, closed_form=False)
    at_radius = memory_function(model, 15, probe=probe, closed_form=False, radii=[radius])
    np.testing.assert_allclose(at_radius, at_one, rtol=0, atol=15 * 5 * 64 * EPS[torch.float64])


@steady
@given(
    scale=st.floats(-100.0, 100.0).filter(lambda s: s == 0 or abs(s) > 1e-200), probe=st.sampled_from(PROBES)
)
def test_twice_the_model_has_twice_the_memory(scale, probe):
    model = RNN(3, activation="tanh", dt=DT, seed=0, dtype=torch.float64)
    one = memory_function(model, 15, probe=probe)
    model.output_weight.data *= scale
    scaled = memory_function(model, 15, probe=probe)
    np.testing.assert_allclose(scaled, abs(scale) * one, rtol=0, atol=abs(scale) * 1e-12)


@pytest.mark.parametrize("closed_form", [True, False])
def test_memory_is_a_density_so_that_finer_steps_show_the_same(closed_form):
    """e^{-t} by its Euler steps: dt and dt/2 agree with it, and with each other, to O(dt)."""
    errors = []
    for dt in (0.1, 0.05, 0.025):
        model = RNN(1, diagonal=True, bias=False, dt=dt, seed=0, dtype=torch.float64)
        for p, value in zip(model.parameters(), (-1.0, 1.0, 1.0), strict=True):
            p.data.fill_(value)
        found = memory_function(model, round(2 / dt), closed_form=closed_form)
        # (1 - dt)^{t/dt} = e^{-t} (1 - t dt / 2 + O(dt²)), worst at t = 1
        errors.append(np.abs(found - targets.exponential(1.0)(found.lag)).max().item())
        assert errors[-1] == pytest.approx(dt / 2 * math.exp(-1), rel=2 * dt)
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.05)


def test_a_network_made_from_a_target_remembers_it():
    """Twins: formula, network and measurement."""
    rho = targets.exponential_sum(coefficients=[1.0, -0.4], rates=[0.05, 0.5])
    model = RNN.from_exponential_sum(rates=[0.05, 0.5], coefficients=[1.0, -0.4], dt=DT)
    for closed_form in (True, False):
        found = memory_function(model, T, closed_form=closed_form)
        np.testing.assert_allclose(found, np.abs(rho(found.lag)), rtol=0, atol=1e-13)


# --- nonlinear models ---------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "hardtanh", "relu"])
@pytest.mark.parametrize("probe", PROBES)
def test_the_memory_is_at_least_that_of_any_input_tried(activation, probe):
    model = linear(activation=activation)
    horizon, warmup, radii = 20, 30, [0.3, 1.0, 3.0]
    found = memory_function(model, horizon, probe=probe, radii=radii, warmup=warmup)
    assert found.attrs.items() >= {"probe": probe, "dt": DT, "inputs": 12, "exact": False}.items()
    first = warmup if probe == "reversed" else 0
    sup = np.zeros(horizon)
    for radius, signs in itertools.product(radii, itertools.product((1.0, -1.0), repeat=2)):
        x = torch.zeros(2, first + horizon, 2, dtype=torch.float64)
        last = {"heaviside": None, "impulse": 1, "reversed": warmup}[probe]
        x[0, :last] = radius * torch.tensor(signs, dtype=x.dtype)
        with torch.no_grad():
            y = model(x)
        answer = (y[0] - y[1]).numpy() / (DT * radius)
        if probe != "impulse":
            answer = np.diff(answer, axis=0, prepend=np.zeros((1, 3)))
        single = np.linalg.norm(answer[first:], axis=1)
        assert (found.values >= single - 1e-12).all()
        sup = np.maximum(sup, single)
    np.testing.assert_allclose(found, sup, rtol=0, atol=1e-12)


@pytest.mark.parametrize("probe", PROBES)
def test_more_radii_never_lower_the_supremum(probe):
    model = RNN(4, activation="tanh", bias=False, dt=DT, seed=1, dtype=torch.float64)
    curves = [memory_function(model, 20, probe=probe, radii=r) for r in ([1.0], [1.0, 0.1], [5, 1, 0.1])]
    for fewer, more in itertools.pairwise(curves):
        assert (more >= fewer).all()
    assert (curves[1] > curves[0]).any()


def test_small_inputs_see_the_linear_part_of_a_nonlinear_model():
    """tanh z = z + O(z³) without bias: the memory at radius r is that of the linear twin to O(r²)."""
    twins = [RNN(4, activation=a, bias=False, seed=2, dtype=torch.float64) for a in ("tanh", "linear")]
    exact = memory_function(twins[1], 20)
    errors = [np.abs(memory_function(twins[0], 20, radii=[r]) - exact).max().item() for r in (0.02, 0.01)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 2])
def test_somebody_elses_model_has_a_memory(channels, dtype, device):
    model = Gated(channels).to(dtype)
    found = memory_function(model, 30, input_size=channels, dt=0.1, device=device)
    assert found.dtype == np.float64
    told = {"probe": "heaviside", "dt": 0.1, "inputs": 2**channels, "exact": False}
    assert found.attrs.items() >= told.items()
    assert found.lag.values[-1] == pytest.approx(2.9)
    # a gated network contracts at its initial weights
    assert 0 < found[-1] < 0.1 * found[0]
    assert {p.device.type for p in model.parameters()} == {device}
    assert {p.dtype for p in model.parameters()} == {dtype}


def test_models_without_weights_are_measured():
    running_sum = Answer(lambda x: x.cumsum(1))
    found = memory_function(running_sum, 5, dt=0.5)
    assert found.values.tolist() == [2, 2, 2, 2, 2]
    drifting = Answer(lambda x: x.cumsum(1) + torch.arange(x.shape[1])[:, None] ** 2)
    assert memory_function(drifting, 5, dt=0.5).values.tolist() == found.values.tolist()
    delayed = Answer(lambda x: torch.cat([torch.zeros_like(x[:, :2]), 3 * x[:, :-2]], 1))
    for probe in PROBES:
        assert memory_function(delayed, 4, probe=probe).values.tolist() == [0, 0, 3, 0]


def test_many_channels_are_sampled_and_the_attributes_say_so():
    model = linear(input_size=16, output_size=1)
    exact = np.abs(kernel_of(model, T)).sum((1, 2))
    first, again, other = (memory_function(model, T, seed=s) for s in (0, 0, 1))
    assert first.attrs["exact"] is False
    assert first.attrs["inputs"] == 256
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first.values <= exact * (1 + 1e-12)).all()
    for channels in (8, 9):
        found = memory_function(linear(input_size=channels, output_size=1), T)
        assert found.attrs["exact"] is (channels == 8)
        assert found.attrs["inputs"] == 256


def test_measuring_leaves_the_model_as_it_was():
    model = linear(activation="tanh")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    torch.manual_seed(0)
    state = torch.get_rng_state()
    memory_function(model, 5)
    assert all(torch.equal(before[n], p) for n, p in model.named_parameters())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_is_out_of_the_measurement_and_modes_come_back():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5), nn.Linear(1, 1))
    model[2].eval()
    exact = abs(model[0].weight * model[2].weight).item()
    found = memory_function(model, 4)
    np.testing.assert_allclose(found, [exact, 0, 0, 0], rtol=0, atol=8 * EPS[torch.float32])
    assert [part.training for part in model] == [True, True, False]
    # and also after an error
    with pytest.raises(ValueError, match="say input_size=1"):
        memory_function(model, 4, input_size=3)
    assert [part.training for part in model] == [True, True, False]


# --- refusals -----------------------------------------------------------------------------------


def unstable(**options):
    model = linear(diagonal=True, **options)
    model.recurrent_weight.data.fill_(1e30)
    return model


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: memory_function(linear(), 0), ValueError, "horizon must be at least 1"),
        (lambda: memory_function(linear(), 5, probe="heavyside"), ValueError, "did you mean 'heaviside'"),
        (lambda: memory_function(linear(), 5, radii=[]), ValueError, "radii must not be empty"),
        (lambda: memory_function(linear(), 5, radii=[1.0, 0.0]), ValueError, "radii must be positive"),
        (lambda: memory_function(linear(), 5, radii=[math.nan]), ValueError, "radii must be finite"),
        (lambda: memory_function(linear(), 5, dt=0.0), ValueError, "dt must be positive"),
        (lambda: memory_function(Gated(), 5, input_size=0), ValueError, "input_size must be at least 1"),
        (lambda: memory_function(linear(), 5, warmup=0), ValueError, "warmup must be at least 1"),
        (lambda: memory_function(linear(), 5, device="gpu"), ValueError, "device must be 'auto'"),
        (lambda: memory_function(Gated(), 5, closed_form=True), TypeError, "not linear or has no kernel"),
        (
            lambda: memory_function(linear(activation="tanh"), 5, closed_form=True),
            TypeError,
            "not linear or has no kernel",
        ),
        (
            lambda: memory_function(unstable(), 20),
            ValueError,
            "NaN or infinity from lag .* on: it is unstable",
        ),
        (lambda: memory_function(unstable(), 20, closed_form=False), ValueError, "it is unstable"),
        (
            lambda: memory_function(Answer(lambda x: torch.where(x.cumsum(1) > 2, math.nan, x)), 5, dt=0.5),
            ValueError,
            "from lag 1 on",
        ),
        (
            lambda: memory_function(Answer(lambda x: x[:, -1]), 5),
            ValueError,
            r"answers \(3, 5, 1\) with shape",
        ),
        (lambda: memory_function(Answer(lambda x: x[:, :3]), 5), ValueError, r"with shape \(3, 3, 1\)"),
        (lambda: memory_function(Answer(lambda x: x.mT), 5), ValueError, r"with shape \(3, 1, 5\)"),
    ],
)
def test_bad_input_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_another_dt_means_the_same_to_all_probes():
    model = RNN(2, dt=0.5, seed=0, dtype=torch.float64)
    closed, probed = (memory_function(model, 5, dt=0.25, closed_form=c) for c in (True, False))
    np.testing.assert_allclose(closed, probed, rtol=1e-12)
