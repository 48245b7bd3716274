import copy
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from curse_of_memory.losses import TemporallyWeightedMAE, TemporallyWeightedMSE
from curse_of_memory.measure import perturbation_curve, stability_margin
from curse_of_memory.measure import sampled_error as sampled
from curse_of_memory.measure.copies import STEPS_AT_ONCE, copies_of, naive_copies_of
from curse_of_memory.measure.perturbation import BALLS, _directions
from curse_of_memory.measure.sampled_error import with_standard_error
from curse_of_memory.nn import RNN
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets
from tests.devices import DEVICES

EPS = {torch.float32: float(np.finfo(np.float32).eps), torch.float64: float(np.finfo(float).eps)}
steady = settings(derandomize=True, deadline=None, max_examples=25)
SHAPES = list(itertools.product(("direct", "softplus", "exp", "lru"), [True, False]))
BETAS = [0.0, 0.01, 0.1, 0.5]
T, DT = 15, 0.5


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.gru = nn.GRU(1, 4, batch_first=True)
        self.readout = nn.Linear(4, 1)

    def forward(self, x):
        return self.readout(self.gru(x)[0])


class Sampled:
    """A task that hides that its expected errors are known."""

    def __init__(self, task):
        self.sample = task.sample


def network(**options):
    model = RNN(3, **({"dt": DT, "seed": 1, "dtype": torch.float64} | options))
    if model.bias is not None:
        model.bias.data = torch.linspace(-0.1, 0.2, 3).to(model.bias)
    return model


def functional(inputs="white", variance=2.0):
    return LinearFunctional(targets.polynomial(1.5), T, dt=DT, inputs=inputs, variance=variance)


def directions_of(model, ball="spectral", draws=5, seed=0):
    weights = {name: p.detach() for name, p in model.named_parameters()}
    return _directions(weights, getattr(model, "diagonal_parameters", ()), ball, draws, seed)


def perturbed(model, directions, beta, draw):
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for name, p in moved.named_parameters():
            p.add_(beta * directions[name][draw])
    return moved


# --- the naive way ------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize("inputs", ["white", "random_walk"])
@pytest.mark.parametrize(("parameterization", "diagonal"), SHAPES)
def test_exact_errors_are_those_of_one_perturbed_copy_after_the_other(
    parameterization, diagonal, inputs, ball, device
):
    model = network(parameterization=parameterization, diagonal=diagonal)
    task, loss = functional(inputs), TemporallyWeightedMSE(2)
    curve = perturbation_curve(model, task, BETAS, draws=5, ball=ball, loss=loss, device=device)
    assert curve.attrs["method"] == "exact"
    assert curve.attrs["ball"] == ball
    model.cpu()
    directions = directions_of(model, ball)
    naive = np.empty((len(BETAS), 5))
    for (row, beta), draw in itertools.product(enumerate(BETAS), range(5)):
        moved = perturbed(model, directions, beta, draw)
        with torch.no_grad():
            naive[row, draw] = loss.expected(
                moved.kernel(T) - task.kernel,
                offset_error=moved.offset(T),
                dt=DT,
                variance=2.0,
                inputs=inputs,
            )
    # batched products add in another order: T steps of m terms, cumulated once more
    np.testing.assert_allclose(curve.draw_error, naive, rtol=64 * T**2 * EPS[torch.float64])
    np.testing.assert_allclose(curve.error, np.maximum.accumulate(naive.max(1)), rtol=1e-11)


@pytest.mark.parametrize("build", [lambda: network(activation="tanh"), Gated])
def test_sampled_errors_are_those_of_one_perturbed_copy_after_the_other(build):
    model, task = build(), functional()
    curve = perturbation_curve(model, task, BETAS, draws=4, samples=32, seed=7, device="cpu")
    assert curve.attrs["method"] == "sampled"
    dtype = next(model.parameters()).dtype
    x, y = task.sample(32, seed=(7, 4, 32), dtype=dtype)
    directions = directions_of(model, draws=4, seed=7)
    for (row, beta), draw in itertools.product(enumerate(BETAS), range(4)):
        moved = perturbed(model, directions, beta, draw)
        with torch.no_grad():
            naive = nn.functional.mse_loss(moved(x), y).item()
        assert curve.draw_error[row, draw].item() == pytest.approx(naive, rel=64 * T * EPS[dtype])


def test_sampled_errors_lie_around_the_exact_one_as_their_standard_errors_say():
    """t of 15 degrees of freedom: 95 % within 2.13, variance 15/13; 60 seeds, 4 standard errors allowed."""
    model, task = network(), functional()
    exact = perturbation_curve(model, task, [0.0, 0.1], draws=1)
    assert (exact.attrs["bound"], exact.attrs["samples"]) == ("lower", 0)
    assert (exact.standard_error == 0).all()
    z = []
    for seed in range(60):
        found = perturbation_curve(model, Sampled(task), [0.0], draws=1, samples=256, seed=seed)
        assert found.attrs["bound"] == "estimate"
        z.append(((found.error[0] - exact.error[0]) / found.standard_error[0]).item())
    z = np.array(z)
    assert 0.25 < (z > 0).mean() < 0.75  # no bound on either side
    assert abs(z.mean()) < 4 * math.sqrt(15 / 13 / 60) + 0.2  # errors of squares are skew: O(1/√256)
    assert 0.7 < z.std() < 1.5
    assert (np.abs(z) < 2.13).mean() > 0.95 - 4 * math.sqrt(0.95 * 0.05 / 60)


def test_the_standard_error_is_that_of_the_draw_that_is_largest():
    curve = perturbation_curve(Gated(), functional(), [0.1, 0.3], draws=6, samples=32)
    for row in range(2):
        flat = curve.draw_error.values[: row + 1].ravel()
        assert curve.error[row] == flat.max()
        assert curve.standard_error[row] == curve.draw_standard_error.values[: row + 1].ravel()[flat.argmax()]


@pytest.mark.parametrize("count", [5, 160, 163])
def test_standard_errors_of_means_sums_and_roots(count):
    """Of a mean s/√n, of a sum n times that, of a root half of it over the root (the delta method)."""
    y = torch.from_numpy(np.random.default_rng(count).exponential(size=(count, 3, 2)))
    zero = torch.zeros_like(y)
    _, of_mean = with_standard_error(lambda a, b: (a - b).square().mean(), y, zero).tolist()
    groups = np.array_split(y.square().mean((1, 2)).numpy(), min(16, count))
    assert of_mean == pytest.approx(np.std([g.mean() for g in groups], ddof=1) / len(groups) ** 0.5, rel=0.05)
    _, of_sum = with_standard_error(lambda a, b: (a - b).square().mean((1, 2)).sum(), y, zero).tolist()
    share = 1 - 1 / len(groups)  # the jackknife of a sum lacks the group left out
    assert of_sum == pytest.approx(share * count * of_mean, rel=0.1)
    root, of_root = with_standard_error(lambda a, b: (a - b).square().mean().sqrt(), y, zero).tolist()
    assert of_root == pytest.approx(of_mean / (2 * root), rel=0.1 if count > 5 else 0.5)
    assert with_standard_error(nn.functional.mse_loss, y[:1], zero[:1])[1] == math.inf


@pytest.mark.parametrize("build", [Gated, lambda: network(activation="tanh")])
def test_answers_that_do_not_fit_are_averaged_group_by_group(build, monkeypatch):
    options = {"draws": 3, "samples": 64}
    whole = perturbation_curve(build(), functional(), BETAS, **options)
    monkeypatch.setattr(sampled, "BYTES_AT_ONCE", 20 * 4 * 8 * T)  # 20 sequences at once
    parts = perturbation_curve(build(), functional(), BETAS, **options)
    eps = EPS[next(build().parameters()).dtype]
    np.testing.assert_allclose(parts.draw_error, whole.draw_error, rtol=64 * T * eps)
    np.testing.assert_allclose(parts.draw_standard_error, whole.draw_standard_error, rtol=1e-3)
    with pytest.raises(ValueError, match="loss must be a mean over sequences"):
        perturbation_curve(build(), functional(), BETAS, loss=nn.MSELoss(reduction="sum"), **options)


@pytest.mark.parametrize("inputs", ["white", "random_walk"])
@pytest.mark.parametrize(("parameterization", "diagonal"), SHAPES)
def test_exact_errors_are_the_limit_of_sampled_ones(parameterization, diagonal, inputs):
    model, task = network(parameterization=parameterization, diagonal=diagonal), functional(inputs)
    N = 4000
    options = {"draws": 6, "seed": 2, "samples": N, "loss": TemporallyWeightedMSE(1)}
    exact = perturbation_curve(model, task, BETAS, **options)
    sampled = perturbation_curve(model, Sampled(task), BETAS, **options)
    assert (exact.attrs["method"], sampled.attrs["method"]) == ("exact", "sampled")
    # the error of a sequence is a quadratic form xᵀA x + offset, of variance 2 |A|² <= 2 (tr A)² and
    # 4 |A μ|² on top from the offset: a standard error of 2 / √N times the mean at the very most
    difference = np.abs(sampled.draw_error - exact.draw_error)
    assert (difference < 5 * 2 / math.sqrt(N) * exact.draw_error).all()
    assert (difference > 0).all()


# --- the ball -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "build", [*(lambda p=p, d=d: network(parameterization=p, diagonal=d) for p, d in SHAPES), Gated]
)
def test_directions_lie_on_the_unit_sphere_of_their_ball(build, dtype):
    model = build().to(dtype)
    diagonal = getattr(model, "diagonal_parameters", ())
    for ball in BALLS:
        directions = directions_of(model, ball, draws=7)
        for name, p in model.named_parameters():
            units = directions[name]
            assert units.dtype == dtype
            assert units.shape == (7, *p.shape)
            for unit in units.double():
                if ball == "public_code" or name in diagonal:
                    size = unit.abs().max()
                elif unit.ndim == 1:
                    size = unit.norm()
                else:
                    size = torch.linalg.svdvals(unit)[0]
                assert size.item() == pytest.approx(1.0, rel=16 * EPS[dtype])


def test_directions_point_everywhere():
    """Entries of normal noise have either sign; a fixed direction, such as −1 everywhere, has not."""
    directions = directions_of(network(), draws=200)
    for units in directions.values():
        positive = (units > 0).double().mean().item()
        assert abs(positive - 0.5) < 5 * 0.5 / math.sqrt(units.numel())


@pytest.mark.parametrize("method", ["exact", "sampled"])
def test_more_draws_of_a_seed_never_lower_the_curve(method):
    task = functional() if method == "exact" else Sampled(functional())
    model = network()
    few, many = (perturbation_curve(model, task, BETAS, draws=n, samples=16, seed=4) for n in (4, 12))
    np.testing.assert_allclose(many.draw_error[:, :4], few.draw_error, rtol=1e-12)
    assert (many.error >= few.error * (1 - 1e-12)).all()
    assert few.attrs["draws"] == 4
    other = perturbation_curve(model, task, BETAS, draws=4, samples=16, seed=5)
    assert (other.draw_error[1:] != few.draw_error[1:]).all()


# --- what a curve is ----------------------------------------------------------------------------


@steady
@given(
    betas=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=6, unique=True).map(sorted),
    seed=st.integers(0, 1000),
    ball=st.sampled_from(BALLS),
)
def test_curves_never_decrease_and_start_at_or_above_the_centre(betas, seed, ball):
    model, task = network(seed=seed), functional()
    curve = perturbation_curve(model, task, betas, draws=4, ball=ball, seed=seed)
    error, draws = curve.error.values, curve.draw_error.values
    with torch.no_grad():
        centre = TemporallyWeightedMSE().expected(
            model.kernel(T) - task.kernel, offset_error=model.offset(T), dt=DT, variance=2.0
        )
    assert (np.diff(error) >= 0).all()
    assert error[0] >= centre.item() * (1 - 1e-12)
    assert (error[:, None] >= draws).all()
    expected = np.maximum.accumulate(np.maximum(draws.max(1), centre.item()))
    np.testing.assert_allclose(error, expected, rtol=1e-12)
    assert curve.attrs["bound"] == "lower"
    np.testing.assert_array_equal(curve.beta, betas)
    # a radius of zero is the model itself, whatever the draw
    if betas[0] == 0:
        np.testing.assert_allclose(draws[0], centre.item(), rtol=1e-12)


def test_a_perturbation_that_helps_does_not_lower_the_curve():
    """With one draw the error falls on the way to a better model; the ball still holds the centre."""
    task = LinearFunctional(np.ones(T), T)
    model = RNN(1, diagonal=True, bias=False, seed=0, dtype=torch.float64)
    for p, value in zip(model.parameters(), (-0.1, 0.5, 0.5), strict=True):
        p.data.fill_(value)
    helped = 0
    for seed in range(20):
        curve = perturbation_curve(model, task, [0.01, 0.05, 0.1], draws=1, seed=seed)
        centre = perturbation_curve(model, task, [0.0], draws=1, seed=seed).error.item()
        draws = curve.draw_error.values[:, 0]
        if draws[0] < centre and draws[2] < draws[1] < draws[0]:
            helped += 1
            np.testing.assert_allclose(curve.error, centre, rtol=1e-12)
        assert (np.diff(curve.error) >= 0).all()
    assert helped > 0


def test_an_error_that_rises_and_falls_leaves_its_height_in_the_curve():
    """One step, where the memory is u c: (u + β)(c + β) falls before it rises to the target."""
    task = LinearFunctional([0.5], 1)
    model = RNN(1, diagonal=True, bias=False, seed=0, dtype=torch.float64)
    model.input_weight.data.fill_(-1.0)
    model.output_weight.data.fill_(0.2)

    def points_up(seed):
        directions = directions_of(model, draws=1, seed=seed)
        return all(directions[name] > 0 for name in ("input_weight", "output_weight"))

    curve = perturbation_curve(model, task, [0.4, 1.2], draws=1, seed=next(filter(points_up, range(100))))
    exact = [((0.4 - 1) * (0.4 + 0.2) - 0.5) ** 2, ((1.2 - 1) * (1.2 + 0.2) - 0.5) ** 2]
    np.testing.assert_allclose(curve.draw_error[:, 0], exact, rtol=16 * EPS[torch.float64])
    np.testing.assert_allclose(curve.error, exact[0], rtol=16 * EPS[torch.float64])


@pytest.mark.parametrize("corners", ["spectral", "public_code"])
def test_the_supremum_of_one_mode_is_found(corners):
    """The ball of one mode is a cube in (w, u, c), whose worst point a grid finds by brute force."""
    rates, c = [0.2], [1.0]
    model = RNN.from_exponential_sum(rates=rates, coefficients=c)
    task = LinearFunctional(targets.polynomial(1.1), T)
    betas = [0.05, 0.1, 0.2]
    few = perturbation_curve(model, task, betas, draws=3, ball=corners)
    many = perturbation_curve(model, task, betas, draws=64, ball=corners)
    w, u, v = (p.item() for p in model.parameters())
    b = np.arange(T, 0, -1.0) / T
    for row, beta in enumerate(betas):
        steps = beta * np.linspace(-1, 1, 21)
        multipliers = 1 + w + steps
        products = np.multiply.outer(u + steps, v + steps).ravel()
        memories = products[:, None, None] * multipliers[:, None] ** np.arange(T)
        worst = ((memories - task.rho) ** 2 @ b).max()
        # a lower bound, up to rounding, for any number of draws ...
        assert few.error[row] <= worst * (1 + 1e-12)
        # ... and with all eight corners among the draws the supremum: the error is convex along
        # u and along c, and grows with the multiplier where the memory is too large already
        assert many.error[row].item() == pytest.approx(worst, rel=1e-12)


def test_a_stable_parameterisation_survives_where_a_direct_one_does_not():
    """Slow modes: λ = 0.01 is at most β away from instability as it stands, but not as −eʷ."""
    task = LinearFunctional(targets.exponential(0.01), 100)
    errors = {}
    for name in ("direct", "softplus", "exp"):
        model = RNN.from_exponential_sum(rates=[0.01], coefficients=[1.0], parameterization=name)
        errors[name] = perturbation_curve(model, task, [0.3], draws=30).error.item()
    assert errors["direct"] > 1e6 * max(errors["exp"], errors["softplus"])


@pytest.mark.parametrize("method", ["exact", "sampled"])
@pytest.mark.parametrize("diagonal", [True, False])
def test_overflow_is_infinite_and_no_nan(method, diagonal):
    task = functional() if method == "exact" else Sampled(functional())
    model = network(diagonal=diagonal, dtype=torch.float32)
    curve = perturbation_curve(model, task, [0.0, 0.1, 1e10, 1e30], draws=5, samples=8)
    assert not curve.isnull().any().to_array().any()
    assert np.isfinite(curve.error[:2]).all()
    assert curve.error.values[2:].tolist() == [math.inf, math.inf]
    assert (curve.draw_error[3] == math.inf).all()


@pytest.mark.parametrize("diagonal", [True, False])
def test_a_model_that_overflows_by_itself_has_an_infinite_curve(diagonal):
    model = network(diagonal=diagonal)
    model.recurrent_weight.data *= -1e200
    curve = perturbation_curve(model, functional(), [0.0, 0.1], draws=3)
    assert curve.error.values.tolist() == [math.inf, math.inf]


def test_dropout_and_running_statistics_are_out_of_the_measurement():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5))
    model[0].eval()
    curves = [perturbation_curve(model, functional(), BETAS, draws=2, samples=16) for _ in range(2)]
    np.testing.assert_array_equal(curves[0].error, curves[1].error)
    assert [part.training for part in model] == [False, True]


@pytest.mark.parametrize("build", [network, lambda: network(activation="tanh"), Gated])
def test_the_model_is_left_as_it_was(build):
    model = build()
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(0)
    state = torch.get_rng_state()
    perturbation_curve(model, functional(), BETAS, draws=3, samples=8)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_loss_without_expectation_is_sampled():
    curve = perturbation_curve(network(), functional(), BETAS, loss=TemporallyWeightedMAE(1), samples=8)
    assert curve.attrs["method"] == "sampled"
    assert "t^1" in curve.attrs["loss"]


def test_large_numbers_of_draws_are_evaluated_in_chunks():
    model, task = network(diagonal=True), functional()
    curve = perturbation_curve(model, task, [0.1], draws=1030)
    few = perturbation_curve(model, task, [0.1], draws=5)
    assert curve.draw_error.shape == (1, 1030)
    np.testing.assert_allclose(curve.draw_error[:, :5], few.draw_error, rtol=1e-12)


# --- all draws as one batch ----------------------------------------------------------------------


class Batched(nn.Module):
    """h ← h + dt tanh(w h + u x), ŷ = Σ h, that runs copies by itself, and counts how often it runs."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([-0.5, -0.1], dtype=torch.float64))
        self.input_weight = nn.Parameter(torch.tensor([0.3, -0.2], dtype=torch.float64))
        self.calls = []

    def forward(self, x):
        p = {name: w[None] for name, w in self.named_parameters()}
        self.calls.append(None)
        return self._steps(p, x)[0]

    def run_many(self, parameters, x):
        self.calls.append((len(parameters["weight"]), len(x)))
        return self._steps(parameters, x)

    def _steps(self, p, x):
        w, u = p["weight"][:, None], p["input_weight"][:, None]
        h = x.new_zeros(len(w), len(x), 2)
        sums = []
        for k in range(x.shape[1]):
            h = h + DT * torch.tanh(w * h + u * x[:, k])
            sums.append(h.sum(-1, keepdim=True))
        return torch.stack(sums, 2)


class Strange(Batched):
    """A model that torch cannot batch, for a `reason`."""

    run_many = property()  # hasattr says no

    def __init__(self, reason):
        super().__init__()
        self.reason = reason

    def forward(self, x):
        if self.reason == "steps depend on values" and self.weight.sum() > 1e9:
            return 0 * x
        if self.reason == "random":
            x = x + 0 * torch.randn_like(x)
        if self.reason == "numpy":
            x = x + float(self.weight.detach().sum()) * 0
        return super().forward(x)


def stacked(model, copies=5, size=0.1):
    generator = torch.Generator().manual_seed(0)
    return {
        name: p.detach() + size * torch.randn(copies, *p.shape, generator=generator, dtype=p.dtype)
        for name, p in model.named_parameters()
    }


def deep():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(T, T, 1), nn.LayerNorm(1), RNN(3, activation="tanh", dt=DT), nn.Linear(1, 2)
    )


REASONS = ("steps depend on values", "random", "numpy")
COPIED = [
    Gated,
    Batched,
    deep,
    lambda: nn.LSTM(1, 3, batch_first=True),
    lambda: network(activation="relu", diagonal=True, parameterization="exp"),
    *(lambda reason=reason: Strange(reason) for reason in REASONS),
]


@pytest.mark.parametrize("build", COPIED)
@torch.no_grad()
def test_copies_at_once_answer_as_one_after_the_other(build):
    model = build().eval()
    dtype = next(model.parameters()).dtype
    x = torch.randn(6, T, 1, generator=torch.Generator().manual_seed(1), dtype=dtype)
    weights = stacked(model)
    found, plain = copies_of(model)(weights, x), naive_copies_of(model)(weights, x)
    assert found.shape[:3] == (5, 6, T)
    # a few dozen roundings a step, of numbers of size one
    torch.testing.assert_close(found, plain, rtol=0, atol=32 * T * EPS[dtype] * plain.abs().max().item())


def test_a_model_that_torch_can_batch_runs_once_for_all_draws():
    for build, times in ((lambda: Strange("none"), 1), (lambda: Strange(REASONS[0]), 4)):
        model = build()
        copies_of(model)(stacked(model, copies=4), torch.zeros(2, T, 1, dtype=torch.float64))
        assert len(model.calls) == times


@pytest.mark.parametrize(("limit", "times"), [(4 * 2 * T, 1), (3 * 2 * T, 2), (2 * T, 4)])
def test_torch_batches_as_many_copies_as_are_worth_it(monkeypatch, limit, times):
    monkeypatch.setitem(STEPS_AT_ONCE, "cpu", limit)
    model, x = Strange("none"), torch.ones(2, T, 1, dtype=torch.float64)
    weights = stacked(model, copies=4)
    found = copies_of(model)(weights, x)
    assert len(model.calls) == times
    expected = naive_copies_of(model)(weights, x)
    torch.testing.assert_close(found, expected, rtol=16 * T * EPS[torch.float64], atol=0)


def test_what_the_model_itself_refuses_is_its_own_error():
    with pytest.raises(ValueError, match="shapes cannot be multiplied"):
        copies_of(nn.Linear(2, 1))(stacked(nn.Linear(2, 1)), torch.zeros(1, 3, 3))


@pytest.mark.parametrize(
    ("chunk", "passes"),
    [
        (None, {(1, 20), (7, 20)}),
        (60, {(1, 20), (3, 20)}),
        (39, {(1, 20)}),
        (8, {(1, 8), (1, 4)}),
    ],
)
def test_chunks_hold_copies_then_sequences(chunk, passes):
    model, task = Batched(), Sampled(functional())
    whole = perturbation_curve(model, task, BETAS, draws=7, samples=20)
    model.calls.clear()
    found = perturbation_curve(model, task, BETAS, draws=7, samples=20, chunk=chunk)
    assert set(model.calls) - {None} == passes  # None: tried by itself first
    np.testing.assert_allclose(found.draw_error, whole.draw_error, rtol=16 * T * EPS[torch.float64])


@pytest.mark.parametrize("build", [Batched, lambda: Strange("none")])
def test_the_sequence_is_chosen_in_the_answer_of_every_copy(build):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = build()
            if hasattr(self.inner, "run_many"):
                self.run_many = self._run_many

        def forward(self, x):
            return torch.cat([7 + x, self.inner(x)], -1)

        def _run_many(self, parameters, x):
            inner = {name.removeprefix("inner."): w for name, w in parameters.items()}
            return torch.stack([torch.cat([7 + x, y], -1) for y in self.inner.run_many(inner, x)])

    options = {"draws": 3, "samples": 8}
    chosen = perturbation_curve(Two(), functional(), BETAS, output=lambda y: y[..., 1:], **options)
    inner = perturbation_curve(build(), functional(), BETAS, **options)
    np.testing.assert_allclose(chosen.draw_error, inner.draw_error, rtol=16 * T * EPS[torch.float64])


# --- inputs are the model's own ------------------------------------------------------------------


class Doubling(Gated):
    """Works on its input in place."""

    def forward(self, x):
        return super().forward(x.mul_(2.0))


class Twice(Gated):
    def forward(self, x):
        return super().forward(2.0 * x)


class Stored:
    """Hands out its own tensors, all sequences one tensor expanded."""

    def __init__(self):
        x = torch.randn(T, 1, generator=torch.Generator().manual_seed(1))
        self.x, self.y = x.expand(16, -1, -1), 3 * x.expand(16, -1, -1)

    def sample(self, size, *, seed, device="cpu", dtype=None):
        return self.x[:size], self.y[:size]


@pytest.mark.parametrize("draws", [1, 5])
def test_a_model_that_works_in_place_changes_no_test_set(draws):
    task = Stored()
    before = task.x.clone()
    found = perturbation_curve(Doubling(), task, BETAS, draws=draws, samples=16)
    assert torch.equal(task.x, before)
    plain = perturbation_curve(Twice(), task, BETAS, draws=draws, samples=16)
    np.testing.assert_allclose(found.draw_error, plain.draw_error, rtol=64 * T * EPS[torch.float32])
    margins = [stability_margin(m(), task, draws=draws, samples=16).beta for m in (Doubling, Twice)]
    assert margins[0] == pytest.approx(margins[1], rel=0.03)


# --- complex weights, and half precisions --------------------------------------------------------


class Rotation(nn.Module):
    """y = a x with one complex weight."""

    def __init__(self, a):
        super().__init__()
        self.a = nn.Parameter(torch.tensor([a], dtype=torch.complex128))

    def forward(self, x):
        return self.a * x


def modulus(y_hat, y):
    return (y_hat - y).abs().square().mean()


def test_complex_weights_move_in_both_parts():
    """Within β of a = 1 the error on y = x is at most β² mean x², which random phases reach."""
    task = LinearFunctional(lambda t: (t == 0.0).astype(float), T)
    curve = perturbation_curve(Rotation(1.0 + 0j), task, [0.0, 0.5], draws=8, samples=64, loss=modulus)
    x, _ = task.sample(64, seed=(0, 4, 64), dtype=torch.float64)
    np.testing.assert_allclose(curve.draw_error[1], 0.25 * x.square().mean().item(), rtol=1e-12)
    curve = perturbation_curve(Rotation(0.5 + 0j), task, [0.5], draws=8, samples=64, loss=modulus)
    relative = curve.draw_error.values[0] / x.square().mean().item()  # |−.5 + .5 e^{iφ}|²
    assert ((relative > 0.01) & (relative < 0.99)).sum() > 4  # along one line all would be 0 or 1
    with pytest.raises(TypeError, match="loss must be one real number"):
        perturbation_curve(Rotation(1j), task, [0.5], samples=8, loss=lambda a, b: (a - b).mean())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precisions_are_perturbed(dtype):
    double = perturbation_curve(Gated().double(), functional(), [0.0, 0.1], draws=2, samples=32)
    half = perturbation_curve(Gated().to(dtype), functional(), [0.0, 0.1], draws=2, samples=32)
    np.testing.assert_allclose(half.draw_error, double.draw_error, rtol=8 * torch.finfo(dtype).eps)


def test_an_output_chosen_in_a_linear_model_is_not_its_closed_form():
    curve = perturbation_curve(network(), functional(), [0.0], draws=1, output=lambda y: 0 * y)
    assert curve.attrs["method"] == "sampled"
    _, y = functional().sample(1024, seed=(0, 4, 1024), dtype=torch.float64)
    assert curve.error.item() == pytest.approx(y.square().mean().item(), rel=1e-12)


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dt": 1.0}, "must share dt, got 1.0 and 0.5"),
        ({"input_size": 2}, r"one channel in and one out, got \(2, 1\)"),
        ({"output_size": 2}, r"one channel in and one out, got \(1, 2\)"),
    ],
)
def test_a_model_of_another_kind_than_the_task_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        perturbation_curve(network(**options), functional(), BETAS)


@pytest.mark.parametrize(
    ("betas", "options", "kind", "message"),
    [
        ([], {}, ValueError, "betas must not be empty"),
        ([-0.1, 0.1], {}, ValueError, "betas must be non-negative and strictly increasing"),
        ([0.1, 0.1], {}, ValueError, "strictly increasing"),
        ([0.2, 0.1], {}, ValueError, "strictly increasing"),
        ([0.1, math.nan], {}, ValueError, "betas must be finite"),
        ([[0.1]], {}, ValueError, "betas must have 1 dimension"),
        ([0.1], {"draws": 0}, ValueError, "draws must be at least 1"),
        ([0.1], {"draws": 2.5}, TypeError, "draws must be a whole number"),
        ([0.1], {"samples": 0}, ValueError, "samples must be at least 1"),
        ([0.1], {"ball": "spectrel"}, ValueError, "did you mean 'spectral'"),
        ([0.1], {"device": "gpu"}, ValueError, "device must be 'auto'"),
    ],
)
def test_bad_input_is_refused(betas, options, kind, message):
    with pytest.raises(kind, match=message):
        perturbation_curve(network(), functional(), betas, **options)


def test_a_model_without_weights_is_refused():
    with pytest.raises(ValueError, match="model has no weights to perturb"):
        perturbation_curve(torch.nn.Identity(), LinearFunctional(lambda t: 0.5**t, 4), [0.1])
