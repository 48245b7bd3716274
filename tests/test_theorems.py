"""Theorems about memory, checked on torch models against their closed forms."""

import math

import numpy as np
import pytest
import sympy
import torch
from torch import nn

import curse_of_memory as com
from curse_of_memory.theory.lemmas.gru_linearization import gru_linearization
from curse_of_memory.theory.lemmas.heaviside_dynamics import simulate
from curse_of_memory.theory.lemmas.layered_memory import LayeredMemory
from curse_of_memory.theory.lemmas.resolvent import spectral_abscissa
from curse_of_memory.theory.reparameterization import REPARAMETERIZATIONS
from curse_of_memory.theory.targets.lagged import lag_grid

EPS = np.finfo(float).eps
LAGS = np.arange(100.0)
F64 = torch.float64


class Stack(nn.Module):
    """Layers one after the other; linear if all of them are."""

    def __init__(self, *layers, dt=1.0):
        super().__init__()
        self.layers, self.dt = nn.Sequential(*layers), dt

    def forward(self, x):
        return self.layers(x)


class Cell(nn.Module):
    """A recurrent network of torch with a linear readout, in float64."""

    def __init__(self, kind, layers=1, width=16, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.core = getattr(nn, kind)(1, width, layers, batch_first=True, dtype=F64)
            self.readout = nn.Linear(width, 1, dtype=F64)

    def forward(self, x):
        return self.readout(self.core(x)[0])


def scalar_layer(rate, dt):
    layer = com.nn.RNN(1, diagonal=True, bias=False, dt=dt, dtype=F64)
    weights = {"recurrent_weight": [-rate], "input_weight": [[1.0]], "output_weight": [[1.0]]}
    layer.load_state_dict({name: torch.tensor(value, dtype=F64) for name, value in weights.items()})
    return layer


def memory(model, horizon, probe="heaviside", **options):
    return com.memory_function(model, horizon, probe=probe, closed_form=False, device="cpu", **options)


def slope(curve, high=1e-2, low=1e-11):
    """Return slope and R² of the log of the largest memory from a lag on."""
    envelope = np.maximum.accumulate(np.asarray(curve)[::-1])[::-1]
    lag = np.asarray(curve.lag)
    seen = (envelope < high * envelope[0]) & (envelope > low)
    fitted = np.polynomial.Polynomial.fit(lag[seen], np.log(envelope[seen]), 1)
    rest = np.log(envelope[seen]) - fitted(lag[seen])
    return fitted.convert().coef[1], 1 - rest.var() / np.log(envelope[seen]).var()


# StableSSM, theorem 3.3: memory of several layers


@pytest.mark.parametrize("dt", [1.0, 0.1])
@pytest.mark.parametrize("rates", [(0.3,), (0.3, 0.3), (0.3,) * 4, (0.05, 0.2, 0.9)])
def test_a_stack_of_scalar_layers_remembers_its_closed_form(rates, dt):
    model = Stack(*(scalar_layer(rate, dt) for rate in rates), dt=dt)
    exact = LayeredMemory(rates).discrete(100, dt)
    found = memory(model, 100, probe="impulse")
    # 100 steps a layer, of a few roundings each
    np.testing.assert_allclose(found, exact, rtol=1000 * len(rates) * EPS)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_wide_linear_stacks_decay_at_the_rate_of_the_slowest_layer_times_a_power(layers):
    """M(t) <= C t^{ℓ−1} e^{−β₀t}: the ratio of the two does not grow any more in the second half."""
    parts = [com.nn.RNN(4, bias=False, dt=0.1, seed=seed, dtype=F64) for seed in range(layers)]
    found = memory(Stack(*parts, dt=0.1), 3000, probe="impulse")
    slowest = max(spectral_abscissa(part.recurrence().detach()) for part in parts)
    beta_0 = -math.log1p(0.1 * slowest) / 0.1  # of the steps
    t = found.lag.values[1:]
    ratio = found.values[1:] / (t ** (layers - 1) * np.exp(-beta_0 * t))
    assert ratio[len(ratio) // 2 :].max() <= ratio[: len(ratio) // 2].max() * (1 + 1e-9)


# SSM universality (2309.13414), theorem 3.13: random stacks forget exponentially


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_random_stacks_forget_in_a_straight_line(kind, layers):
    found, fit_quality = slope(memory(Cell(kind, layers), 150))
    assert -1 < found < -0.1
    assert fit_quality > 0.95  # oscillations about the line are what is left


# IAT, section 3 and appendices F, G: three definitions of memory


@pytest.mark.parametrize(
    "model",
    [
        com.nn.RNN(5, input_size=2, dt=0.5, seed=0, dtype=F64),
        Stack(com.nn.RNN(3, dt=0.5, seed=1, dtype=F64), com.nn.RNN(4, dt=0.5, seed=2, dtype=F64), dt=0.5),
    ],
    ids=["dense", "stack"],
)
def test_probes_of_linear_models_agree_to_rounding(model):
    step, impulse = memory(model, 60), memory(model, 60, "impulse")
    size = float(impulse.max())
    # the step and the reversed probe take differences of outputs, which here are at most 100 times the memory
    np.testing.assert_allclose(step, impulse, rtol=0, atol=1e3 * EPS * size)
    reversed_ = memory(model, 60, "reversed", warmup=8000)
    np.testing.assert_allclose(reversed_, impulse, rtol=0, atol=1e3 * EPS * size)


@pytest.mark.parametrize("radius", [0.1, 1.0])
@pytest.mark.parametrize("probe", ["heaviside", "impulse", "reversed"])
def test_probes_of_the_tanh_rnn_share_the_slope_of_its_linear_part(probe, radius):
    """dh/dt = tanh(Wh + Ux + b) is at rest where the argument is zero: W is its linear part for every x."""
    model = com.nn.RNN(6, activation="tanh", seed=3, dtype=F64)
    linear = math.log1p(spectral_abscissa(model.recurrence().detach()))
    found, fit_quality = slope(memory(model, 900, probe, radii=[radius], warmup=900), high=1e-5)
    assert found == pytest.approx(linear, rel=0.01)
    assert fit_quality > 0.999


@pytest.mark.parametrize("probe", ["heaviside", "impulse", "reversed"])
def test_probes_of_torchs_rnn_have_the_slope_of_the_rest_state_they_end_at(probe):
    """h ← tanh(Wh + Ux): the step ends at the rest state of x, the others at that of 0; the linear parts
    diag(1 − h²) W there differ, so that not every probe of a nonlinear model has the same slope."""
    model = Cell("RNN", width=4)
    Q = torch.linalg.qr(torch.randn(4, 4, dtype=F64, generator=torch.Generator().manual_seed(0))).Q
    with torch.no_grad():
        model.core.weight_hh_l0.copy_(Q @ torch.diag(torch.tensor([0.95, 0.4, 0.3, -0.2], dtype=F64)) @ Q.T)
        model.core.bias_ih_l0 *= 0  # at rest from the start: no drift of its own is in the step's answer
        model.core.bias_hh_l0 *= 0
    multipliers = []
    for x in (1.0, -1.0) if probe == "heaviside" else (0.0,):
        inputs, h = torch.full((1, 2000, 1), x, dtype=F64), torch.zeros(1, 1, 4, dtype=F64)
        h = model.core(inputs, h)[1].detach()
        jacobian = torch.autograd.functional.jacobian(lambda h, x=inputs[:, :1]: model.core(x, h)[1], h)
        multipliers.append(torch.linalg.eigvals(jacobian.reshape(4, 4)).abs().max().item())
    found, fit_quality = slope(memory(model, 900, probe, warmup=900), high=1e-4)
    assert found == pytest.approx(math.log(max(multipliers)), rel=0.01)
    assert fit_quality > 0.999


# IAT, theorem 3.9: β₀ is at most the decay rate


@pytest.mark.parametrize(("beta", "decays"), [(0.9, True), (1.1, False)])
def test_a_linear_rnn_bears_a_shift_of_w_up_to_its_decay_rate(beta, decays):
    model = com.nn.RNN(5, bias=False, dt=0.05, seed=4, dtype=F64)
    rate = -spectral_abscissa(model.recurrence().detach().numpy())
    with torch.no_grad():
        model.recurrent_weight += beta * rate * torch.eye(5, dtype=F64)
    late = model.kernel(round(40 / (rate * 0.05))).abs().flatten()
    assert bool(late[-1] < late[len(late) // 2]) == decays


def test_fits_of_an_exponential_memory_keep_their_rate_and_those_of_a_polynomial_lose_it():
    def slowest(values):
        found = []
        for m in (1, 2, 4, 6):
            fit = com.fit_exponential_sum(values, terms=m)
            found.append(np.real(fit.rates)[np.abs(fit.coefficients) > 1e-9].min())
        return np.array(found)

    beta_0 = -math.log(0.9)  # IAT's figure 1 marks about 0.07 for this memory: not above
    np.testing.assert_allclose(slowest(0.9**LAGS), beta_0, rtol=1e-9)
    assert beta_0 > 0.07
    polynomial = slowest((1 + LAGS) ** -1.1)
    assert (np.diff(polynomial) < 0).all()
    assert polynomial[-1] < 0.02


# IAT, proof of theorem 3.9: Heaviside dynamics


def test_the_step_probe_of_a_tanh_rnn_measures_the_heaviside_dynamics():
    W = np.array([[-0.5, 2.0], [-2.0, -0.5]])
    c, U = np.array([0.7, -0.4]), np.array([0.9, 0.6])
    gaps = []
    for dt in (0.02, 0.01):
        model = com.nn.RNN(2, activation="tanh", bias=False, dt=dt, dtype=F64)
        weights = {"recurrent_weight": W, "input_weight": U[:, None], "output_weight": c[None]}
        model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        found = memory(model, round(5 / dt))
        v = simulate(W, U, found.lag.values).velocity_equation.values
        gaps.append(np.abs(found.values - np.abs(v @ c)).max())
    assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.1)  # Euler steps: first order
    assert gaps[1] < 0.05


# IAT, appendix J: the linear part of a GRU


def gru(seed):
    """A GRU whose candidate has no bias, as in the appendix, so that h = 0 is at rest."""
    model = Cell("GRU", width=5, seed=seed)
    with torch.no_grad():
        model.core.weight_hh_l0[10:] *= 2
        model.core.bias_ih_l0[10:] = 0
        model.core.bias_hh_l0[10:] = 0
    b_r, b_z, _ = (model.core.bias_ih_l0 + model.core.bias_hh_l0).detach().numpy().reshape(3, 5)
    U_h = model.core.weight_hh_l0.detach().numpy()[10:]
    return model, gru_linearization(U_h, b_r, -b_z), 1 / (1 + np.exp(-b_r))  # torch's z is the share kept


@pytest.mark.parametrize("seed", range(3))
def test_the_jacobian_of_torchs_gru_is_the_linear_part_in_other_coordinates(seed):
    model, A, reset = gru(seed)
    zero = torch.zeros(1, 1, 1, dtype=F64), torch.zeros(1, 1, 5, dtype=F64)
    jacobian = torch.autograd.functional.jacobian(lambda h: model.core(zero[0], h)[1], zero[1]).reshape(5, 5)
    np.testing.assert_allclose(jacobian, np.eye(5) + reset[:, None] * A / reset, rtol=0, atol=50 * EPS)


@pytest.mark.parametrize("seed", range(3))
def test_the_memory_of_a_gru_ends_at_the_rate_of_its_linear_part(seed):
    model, A, _ = gru(seed)
    largest = np.abs(1 + np.linalg.eigvals(A)).max()
    found, _ = slope(memory(model, 300, "impulse"), high=1e-4)
    assert spectral_abscissa(A) < 0
    assert found == pytest.approx(math.log(largest), rel=0.05)


# StableSSM, theorem 3.6: the gradient bound, where it is sharp

WEIGHTS = (0.3, 0.9, 2.0)


def cases(time):
    """Return names and weights of decaying memories, those in steps with a multiplier below 0.97."""
    for name, r in REPARAMETERIZATIONS.items():
        for weight in WEIGHTS:
            w = -weight if name == "direct" else weight
            if r.time == time and (time == "continuous" or abs(r.f(np.float64(w))) < 0.97):
                yield pytest.param(r, w, id=f"{name}-{w:g}")


def test_the_largest_gradient_is_the_integral_of_the_derivative_of_the_memory():
    s, rate = sympy.symbols("s lambda", positive=True)
    assert sympy.integrate(s * sympy.exp(-rate * s), (s, 0, sympy.oo)) == rate**-2


@pytest.mark.parametrize(("r", "w"), [*cases("continuous")])
def test_autograd_reaches_the_gradient_bound_for_the_input_of_constant_sign(r, w):
    """y = ∫ c e^{f(w)s} u x_{t−s} ds: c u f' ∫ s e^{fs} x_{t−s} ds is largest for x = 1, |cu| |f'|/f²."""
    nodes, shares = np.polynomial.laguerre.laggauss(20)
    rate = -float(r.f(np.float64(w)))
    s, c, u = torch.from_numpy(nodes / rate), 1.7, -0.6
    weight = torch.tensor(w, dtype=F64, requires_grad=True)
    # ∫ g(s) ds = Σ shares e^{nodes} g(nodes/rate)/rate, exact for e^{−rate s} times a polynomial
    density = c * u * torch.exp(r.f(weight) * s) * torch.from_numpy(shares * np.exp(nodes) / rate)
    largest = torch.autograd.grad(density.sum(), weight, retain_graph=True)[0].abs().item()
    assert largest == pytest.approx(abs(c * u) * float(r.gradient_over_weight(np.float64(w))), rel=1e-12)
    for signs in np.random.default_rng(0).choice([-1.0, 1.0], (20, nodes.size)):
        other = torch.autograd.grad((density * torch.from_numpy(signs)).sum(), weight, retain_graph=True)[0]
        assert other.abs().item() <= largest * (1 + 1e-14)


@pytest.mark.parametrize(("r", "w"), [*cases("discrete")])
def test_in_steps_the_bound_needs_the_modulus_of_a_negative_multiplier(r, w):
    """y = Σ f(w)^s x_{t−s}: sup |∂y/∂w| = |f'|/(1 − |f|)², which is |f'|/(1 − f)² only where f >= 0."""
    w = torch.tensor(w, dtype=F64, requires_grad=True)
    f = r.f(w)
    powers = f ** torch.arange(3000)
    worst = torch.sign(f.detach()) ** torch.arange(1, 3001)
    sup = torch.autograd.grad((powers * worst).sum(), w, retain_graph=True)[0].abs().item()
    constant = torch.autograd.grad(powers.sum(), w)[0].abs().item()
    slope_ = abs(float(r.derivative(w.item())))
    assert sup == pytest.approx(slope_ / (1 - abs(f.item())) ** 2, rel=1e-10)
    assert constant == pytest.approx(slope_ / (1 - f.item()) ** 2, rel=1e-10)


# IAT, appendix A.7: decaying memory is not fading memory


class PeakHold(nn.Module):
    """H_t(x) = sup_{s <= t} |x_s|."""

    def forward(self, x):
        return x.abs().cummax(1).values


def test_the_peak_hold_operator_has_a_decaying_memory_and_never_forgets():
    model = PeakHold()
    np.testing.assert_array_equal(memory(model, 30), lag_grid(np.eye(30)[0], 1.0, "memory"))
    np.testing.assert_array_equal(memory(model, 30, "impulse"), 1.0)  # two pasts that differ long ago
