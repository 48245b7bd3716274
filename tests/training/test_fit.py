import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from curse_of_memory.losses import TemporallyWeightedMAE, TemporallyWeightedMSE
from curse_of_memory.nn import RNN
from curse_of_memory.tasks import Batch, LinearFunctional
from curse_of_memory.theory import targets
from curse_of_memory.training import fit, fit_expected
from tests.devices import DEVICES

SMALL = {"steps": 40, "batch_size": 8, "validate_every": 10, "validation_size": 16, "device": "cpu"}


class GatedNetwork(nn.Module):
    """Somebody else's model: it has no attribute of ours."""

    def __init__(self, width=4):
        super().__init__()
        self.gru = nn.GRU(1, width, batch_first=True)
        self.readout = nn.Linear(width, 1)

    def forward(self, x):
        return self.readout(self.gru(x)[0])


class Watched:
    """A task that counts its draws, and calls `at[n]` instead of the n-th."""

    def __init__(self, task, at=None):
        self.task, self.at, self.seeds = task, at or {}, []

    def __repr__(self):
        return repr(self.task)  # to a checkpoint it is the same task

    def sample(self, size, *, seed, **options):
        self.seeds.append(seed)
        if len(self.seeds) - 1 in self.at:
            return self.at[len(self.seeds) - 1](size, seed=seed, **options)
        return self.task.sample(size, seed=seed, **options)


@pytest.fixture
def task():
    return LinearFunctional(targets.polynomial(1.1, rate=0.1), 12)


def network(**options):
    return RNN(3, **({"activation": "tanh", "seed": 0} | options))


def gated():
    torch.manual_seed(0)
    return GatedNetwork()


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# --- the sampled loss and the exact one ---------------------------------------------------------


@pytest.mark.parametrize("inputs", ["white", "random_walk"])
def test_sampled_losses_converge_to_the_exact_one_at_the_monte_carlo_rate(inputs):
    T, repeats, sizes = 20, 40, [50, 200, 800, 3200]
    task = LinearFunctional(targets.polynomial(1.5), T, dt=0.5, inputs=inputs, variance=2.0)
    model = RNN(3, diagonal=True, dt=0.5, seed=0, dtype=torch.float64)
    model.bias.data += 0.1
    loss = TemporallyWeightedMSE(1)
    each = TemporallyWeightedMSE(1, reduction="none")
    with torch.no_grad():
        exact = loss.expected(
            model.kernel(T) - task.kernel,
            offset_error=model.offset(T),
            dt=0.5,
            variance=2.0,
            inputs=inputs,
        ).item()
        spread, errors = [], []
        for n in sizes:
            x, y = task.sample(n * repeats, seed=(5, n), dtype=torch.float64)
            sample = each(model(x), y).mean((1, 2)).view(repeats, n)
            errors.append((sample.mean(1) - exact).numpy())
            spread.append(sample.std().item())
    for n, error, sigma in zip(sizes, errors, spread, strict=True):
        assert abs(error.mean()) < 5 * sigma / math.sqrt(n * repeats)
    roots = [np.sqrt(np.mean(e**2)) for e in errors]
    # each root mean square of 40 repeats is known to 1/√80 = 11 %, so that the slope over
    # log N = 0, 1, 2, 3 times log 4 has a standard error of 0.11 / (log 4 · √5) = 0.036
    slope = np.polyfit(np.log(sizes), np.log(roots), 1)[0]
    assert slope == pytest.approx(-0.5, abs=5 * 0.036)


def single_batch_excess(model, task, loss, batch):
    """The expected excess loss of the minimiser of one batch: tr(H⁻¹ S) / (2 batch).

    H is the Hessian of the expected loss at `model` and S the covariance of the gradients of single
    sequences there. Parameters of one mode: multiplier r and coefficient c of ρ̂_s = c rˢ.
    """
    T = task.horizon
    kernel = model.kernel(T).detach().flatten()
    theta = torch.stack([kernel[1] / kernel[0], kernel[0]])
    lags = torch.arange(T, dtype=torch.float64)

    def memory(t):
        return t[1] * t[0] ** lags

    H = torch.autograd.functional.hessian(
        lambda t: loss.expected((memory(t) - task.kernel.flatten())[:, None, None]), theta
    )
    x, y = task.sample(2000, seed=99, dtype=torch.float64)
    lag = lags[:, None] - lags
    past = lag.long().clamp(min=0)

    def losses(t):
        matrix = torch.where(lag >= 0, memory(t)[past], 0.0)
        return (loss.weights(T)[:, None] * (matrix @ x - y) ** 2).mean((1, 2))

    S = torch.cov(torch.autograd.functional.jacobian(losses, theta).T)
    return torch.trace(torch.linalg.solve(H, S)).item() / (2 * batch)


@pytest.mark.slow
@pytest.mark.parametrize("power", [0, 2])
def test_sampled_and_exact_training_find_the_same_memory(power):
    T, batch = 25, 256
    task = LinearFunctional(targets.exponential_sum(coefficients=[1.0, 0.3], rates=[0.6, 0.02]), T)
    loss = TemporallyWeightedMSE(power)

    def start():
        return RNN(1, diagonal=True, bias=False, seed=1, dtype=torch.float64)

    exact, sampled = start(), start()
    best = fit_expected(exact, task, loss=loss).loss
    result = fit(
        sampled,
        task,
        loss=loss,
        steps=400,
        batch_size=batch,
        learning_rate=0.03,
        validate_every=20,
        decay_patience=2,
        validation_size=2048,
        device="cpu",
    )
    with torch.no_grad():
        difference = sampled.kernel(T) - exact.kernel(T)
        excess = loss.expected(sampled.kernel(T) - task.kernel).item() - best
        distance = loss.expected(difference).item()
    # averaging over the steps of a falling learning rate, and choosing by 2048 sequences, does no
    # worse than the minimiser of one single batch of 256
    allowed = single_batch_excess(exact, task, loss, batch)
    assert allowed < 0.03 * best
    assert -1e-9 * best <= excess < allowed
    # to second order the excess is the squared distance of the two memories under the bias, up to
    # the curvature of r ↦ rˢ times the residual
    assert distance < 2 * allowed
    # the validation loss is that of 2048 sequences, each of relative spread √2 at most
    assert result.loss == pytest.approx(best, rel=5 * math.sqrt(2 / 2048))


def test_a_memory_that_the_model_has_is_learned_to_rounding():
    """Where the best loss is zero the gradients have no noise, and training goes down to it."""
    task = LinearFunctional(targets.exponential(0.3), 15)
    model = RNN(1, diagonal=True, seed=1, dtype=torch.float64)
    result = fit(
        model,
        task,
        steps=600,
        batch_size=64,
        learning_rate=0.03,
        decay_patience=2,
        stop_below=1e-8,
        validate_every=10,
        device="cpu",
    )
    assert result.status == "reached"
    assert result.loss <= 1e-8
    # the expected loss (1/T) Σ b_s Δρ_s² bounds each Δρ_s² by T / b_s times the loss; the validation
    # loss of 1024 sequences is within 5 √(2/1024) = 22 % of it
    difference = (model.kernel(15) - task.kernel).detach().flatten()
    b = torch.arange(15, 0, -1.0, dtype=torch.float64)
    assert (difference**2 <= 1.3 * 1e-8 * 15 / b).all()


# --- what a run reports -------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("build", [network, gated])
def test_any_model_is_trained_and_keeps_its_dtype(task, build, dtype, device):
    model = build().to(dtype)
    result = fit(model, task, **(SMALL | {"device": device, "learning_rate": 0.02}))
    assert result.status == "finished"
    assert result.steps == 40
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert {p.device.type for p in model.parameters()} == {device}
    assert result.history.columns.tolist() == ["step", "training_loss", "validation_loss", "learning_rate"]
    assert result.history.step.tolist() == [0, 10, 20, 30, 40]
    assert result.history.training_loss.isna().tolist() == [True, False, False, False, False]
    assert result.loss == result.history.validation_loss.min() < result.history.validation_loss[0]
    assert result.seconds > 0


def test_the_model_ends_with_its_best_weights(task):
    model = network()
    # so large a step makes the loss go up and down
    result = fit(model, task, **(SMALL | {"learning_rate": 0.5, "validate_every": 1}))
    scores = result.history.validation_loss
    assert scores.iloc[-1] > scores.min()
    x, y = task.sample(16, seed=(0, 1))
    with torch.no_grad():
        assert TemporallyWeightedMSE()(model(x), y).item() == result.loss == scores.min()


def test_the_last_step_is_validated_even_between_two(task):
    result = fit(network(), task, **(SMALL | {"steps": 25}))
    assert result.history.step.tolist() == [0, 10, 20, 25]


def test_the_first_steps_are_those_of_the_plain_loop(task):
    ours, plain = network(dtype=torch.float64), network(dtype=torch.float64)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=0.02, weight_decay=0.1)
    for step in range(5):
        x, y = task.sample(8, seed=(3, 2, step), dtype=torch.float64)
        optimizer.zero_grad()
        (0.5 * torch.abs(plain(x) - y)).mean().mul(2).backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimizer.step()
    settings = SMALL | {"steps": 5, "validate_every": 1, "learning_rate": 0.02, "weight_decay": 0.1}
    result = fit(ours, task, loss=TemporallyWeightedMAE(), seed=3, **settings)
    assert result.loss == result.history.validation_loss.iloc[-1]  # so that the last weights are the best
    torch.testing.assert_close(weights(ours), weights(plain), rtol=1e-12, atol=1e-12)


def test_a_seed_is_a_run_and_the_global_generator_is_left_alone(task):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    runs = []
    for seed in (0, 0, 1):
        model = network()
        runs.append((fit(model, task, seed=seed, **SMALL), weights(model)))
    assert torch.equal(torch.get_rng_state(), before)
    pd.testing.assert_frame_equal(runs[0][0].history, runs[1][0].history, check_exact=True)
    assert torch.equal(runs[0][1], runs[1][1])
    assert not torch.equal(runs[0][1], runs[2][1])


def test_no_batch_is_seen_twice_nor_in_validation(task):
    watched = Watched(task)
    fit(network(), watched, **SMALL)
    assert len(watched.seeds) == 41
    assert len(set(watched.seeds)) == 41
    draws = [task.sample(1, seed=s).inputs.flatten() for s in watched.seeds]
    assert len({tuple(d.tolist()) for d in draws}) == 41


def test_progress_is_shown_only_on_request(task, capsys):
    fit(network(), task, **SMALL)
    assert capsys.readouterr() == ("", "")
    fit(network(), task, progress=True, **SMALL)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "training" in shown.err
    assert "40/40" in shown.err


# --- stopping -----------------------------------------------------------------------------------


def test_a_run_that_gets_no_better_stops_early(task):
    # no step changes a weight by more than 1e-30, so that no validation is better than the first
    result = fit(network(), task, **(SMALL | {"learning_rate": 1e-30}), patience=2)
    assert result.status == "not improved"
    assert result.steps == 20
    assert result.history.validation_loss.nunique() == 1


def test_the_learning_rate_falls_tenfold_on_a_plateau(task):
    settings = SMALL | {"learning_rate": 0.1, "validate_every": 1, "decay_patience": 3}
    rates = fit(network(), task, loss=lambda y_hat, y: (0 * y_hat).sum() + 1, **settings)
    rates = rates.history.learning_rate.to_numpy()
    falls = np.flatnonzero(np.diff(rates))
    # as torch counts: three validations without a better one are borne, the fourth is not
    assert falls[:3].tolist() == [4, 8, 12]
    np.testing.assert_allclose(rates[falls + 1][:3], [1e-2, 1e-3, 1e-4], rtol=1e-12)


def test_a_run_stops_when_the_loss_asked_for_is_reached(task):
    everything = fit(network(), task, **SMALL)
    assert fit(network(), task, stop_below=1e9, **SMALL).steps == 0
    scores = everything.history.validation_loss
    middle = scores.iloc[2]
    result = fit(network(), task, stop_below=middle, **SMALL)
    assert result.status == "reached"
    assert result.loss <= middle
    assert result.steps == everything.history.step[(scores <= middle).idxmax()] < 40
    assert fit(network(), task, stop_below=0.0, **SMALL).status == "finished"


@pytest.mark.parametrize("validate_every", [1, 10])
def test_divergence_is_reported_and_the_best_weights_are_kept(task, validate_every):
    model = network(activation="linear")
    start = weights(model).clone()
    settings = SMALL | {"learning_rate": 1e6, "clip": math.inf, "validate_every": validate_every}
    result = fit(model, task, **settings)
    assert result.status == "diverged"
    assert result.steps < 40
    assert torch.equal(weights(model), start)
    assert result.loss == result.history.validation_loss[0]
    assert math.isfinite(result.loss)


@pytest.mark.parametrize("draw", [0, 1, 3])
def test_data_that_are_not_numbers_are_a_divergence(task, draw):
    def broken(size, **options):
        x, y = task.sample(size, **options)
        return Batch(x, y * math.nan)

    model = network()
    result = fit(model, Watched(task, {draw: broken}), **SMALL)
    assert result.status == "diverged"
    assert torch.isfinite(weights(model)).all()
    assert math.isnan(result.loss) is (draw == 0)
    # draw 0 is the validation set, draw n the batch of step n - 1, which is then not taken
    assert result.steps == max(draw - 1, 0)


# --- checkpoints --------------------------------------------------------------------------------


def killed(*args, **options):
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("build", [network, gated])
@pytest.mark.parametrize("when", [5, 13, 21, 37])
def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(task, tmp_path, build, when):
    settings = SMALL | {"learning_rate": 0.05, "decay_patience": 1, "checkpoint": tmp_path / "run.pt"}
    whole = build()
    uninterrupted = fit(whole, task, **(settings | {"checkpoint": None}))
    model = build()
    with pytest.raises(KeyboardInterrupt):
        fit(model, Watched(task, {when: killed}), **settings)
    fresh = build()
    with torch.no_grad():
        for p in fresh.parameters():
            p.add_(1.0)  # everything is in the checkpoint: the weights it starts with do not count
    watched = Watched(task)
    resumed = fit(fresh, watched, **settings)
    # draw n is step n - 1, and the last validation was at a multiple of ten
    assert len(watched.seeds) == 1 + 40 - 10 * ((when - 1) // 10)
    pd.testing.assert_frame_equal(resumed.history, uninterrupted.history, check_exact=True)
    assert torch.equal(weights(fresh), weights(whole))
    assert (resumed.status, resumed.loss, resumed.steps) == ("finished", uninterrupted.loss, 40)


def test_the_plateau_that_was_counted_is_in_the_checkpoint(task, tmp_path):
    """A loss that stands still makes the learning rate fall; two of three bad validations are stored."""
    settings = SMALL | {"decay_patience": 2, "patience": 9, "validate_every": 1}
    settings |= {"loss": lambda y_hat, y: (0 * y_hat).sum() + 1}
    uninterrupted = fit(network(), task, **settings)
    assert uninterrupted.history.learning_rate.nunique() == 3
    assert (uninterrupted.status, uninterrupted.steps) == ("not improved", 9)
    for when in (3, 5, 8):
        path = tmp_path / f"{when}.pt"
        with pytest.raises(KeyboardInterrupt):
            fit(network(), Watched(task, {when: killed}), checkpoint=path, **settings)
        resumed = fit(network(), task, checkpoint=path, **settings)
        pd.testing.assert_frame_equal(resumed.history, uninterrupted.history, check_exact=True)
        assert (resumed.status, resumed.steps) == ("not improved", 9)


@pytest.mark.parametrize(
    ("schedule", "share"), [("cosine", lambda x: (1 + np.cos(np.pi * x)) / 2), ("linear", lambda x: 1 - x)]
)
def test_falls_to_the_end_are_by_their_formula_and_go_on_where_they_were(task, tmp_path, schedule, share):
    settings = SMALL | {"schedule": schedule, "learning_rate": 0.05, "validate_every": 10}
    uninterrupted = fit(network(), task, **settings)
    at = uninterrupted.history.step.to_numpy()
    expected = 0.05 * share(at / 40)
    # torch multiplies ratios of neighbouring steps: 40 products
    np.testing.assert_allclose(
        uninterrupted.history.learning_rate, expected, rtol=0, atol=40 * np.finfo(float).eps
    )
    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        fit(network(), Watched(task, {25: killed}), checkpoint=path, **settings)
    resumed = fit(network(), task, checkpoint=path, **settings)
    pd.testing.assert_frame_equal(resumed.history, uninterrupted.history, check_exact=True)
    with pytest.raises(ValueError, match="a run with other steps"):
        fit(network(), task, checkpoint=path, **(settings | {"steps": 80}))


def test_a_validation_task_gives_the_validation_set_and_nothing_else(task):
    other = LinearFunctional(targets.exponential(0.5), 12)
    training, validation = Watched(task), Watched(other)
    result = fit(network(), training, validation=validation, **SMALL)
    assert len(validation.seeds) == 1
    assert len(training.seeds) == 40
    x, y = other.sample(SMALL["validation_size"], seed=validation.seeds[0])
    start = network()
    with torch.no_grad():
        assert result.history.validation_loss[0] == ((start(x) - y) ** 2).mean().item()


def test_what_is_watched_stands_in_the_history(task):
    calls = []

    def watch(model):
        calls.append(sum(p.grad.square().sum().item() for p in model.parameters()))
        return {"squared": calls[-1]}

    result = fit(network(), task, watch=watch, **SMALL)
    assert len(calls) == 4  # before the validations at 10, 20, 30 and 40
    assert math.isnan(result.history.squared[0])
    assert result.history.squared.tolist()[1:] == calls
    plain = fit(network(), task, **SMALL)
    pd.testing.assert_frame_equal(result.history.drop(columns="squared"), plain.history, check_exact=True)


def test_a_finished_run_may_be_prolonged(task, tmp_path):
    settings = SMALL | {"checkpoint": tmp_path / "run.pt"}
    first = fit(network(), task, **(settings | {"steps": 20}))
    model, whole = network(), network()
    second = fit(model, task, **settings)
    uninterrupted = fit(whole, task, **(settings | {"checkpoint": None}))
    pd.testing.assert_frame_equal(second.history, uninterrupted.history, check_exact=True)
    assert torch.equal(weights(model), weights(whole))
    assert second.seconds > first.seconds
    # and one that is finished is only read
    again = fit(network(), Watched(task, {1: killed}), **settings)
    pd.testing.assert_frame_equal(again.history, second.history, check_exact=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.02),
        ("weight_decay", 0.1),
        ("batch_size", 4),
        ("clip", math.inf),
        ("validate_every", 5),
        ("validation_size", 8),
        ("decay_patience", 3),
        ("seed", 1),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(task, tmp_path, name, value):
    path = tmp_path / "run.pt"
    fit(network(), task, checkpoint=path, **SMALL)
    stored = path.read_bytes()
    with pytest.raises(ValueError, match=rf"checkpoint {path} belongs to a run with other {name}$"):
        fit(network(), task, checkpoint=path, **(SMALL | {name: value}))
    assert path.read_bytes() == stored


def test_a_write_that_fails_leaves_the_old_checkpoint(task, tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    fit(network(), task, checkpoint=path, **(SMALL | {"steps": 10}))
    stored = path.read_bytes()

    def full_disk(state, target):
        target.write_bytes(b"half of it")
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full_disk)
        with pytest.raises(OSError, match="no space left"):
            fit(network(), task, checkpoint=path, **SMALL)
    assert path.read_bytes() == stored
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]
    model, whole = network(), network()
    resumed = fit(model, task, checkpoint=path, **SMALL)
    assert resumed.loss == fit(whole, task, **SMALL).loss
    assert torch.equal(weights(model), weights(whole))


def test_a_checkpoint_holds_no_code(task, tmp_path):
    path = tmp_path / "run.pt"
    fit(copy.deepcopy(network()), task, checkpoint=path, **SMALL)
    assert torch.load(path, weights_only=True)["state"]["step"] == 40


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"steps": 0}, ValueError, "steps must be at least 1"),
        ({"batch_size": 1.5}, TypeError, "batch_size must be a whole number"),
        ({"validate_every": 0}, ValueError, "validate_every must be at least 1"),
        ({"validation_size": -1}, ValueError, "validation_size must be at least 1"),
        ({"schedule": "cosin"}, ValueError, "schedule must be one of"),
        ({"decay_patience": 0}, ValueError, "decay_patience must be at least 1"),
        ({"patience": 0}, ValueError, "patience must be at least 1"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be positive"),
        ({"learning_rate": math.nan}, ValueError, "learning_rate must be finite"),
        ({"weight_decay": -1.0}, ValueError, "weight_decay must not be negative"),
        ({"clip": 0.0}, ValueError, "clip must be positive"),
        ({"clip": math.nan}, ValueError, "clip must be finite"),
        ({"device": "gpu"}, ValueError, "device must be 'auto'"),
    ],
)
def test_bad_input_is_refused_before_anything_is_done(task, options, kind, message):
    model = network()
    start = weights(model).clone()
    with pytest.raises(kind, match=message):
        fit(model, task, **(SMALL | options))
    assert torch.equal(weights(model), start)


def test_a_checkpoint_belongs_to_its_model_loss_and_task(task, tmp_path):
    path = tmp_path / "run.pt"
    fit(network(), task, checkpoint=path, **SMALL)
    with pytest.raises(ValueError, match="belongs to a run with other loss"):
        fit(network(), task, loss=TemporallyWeightedMSE(power=2), checkpoint=path, **SMALL)
    with pytest.raises(ValueError, match="belongs to a run with other model"):
        fit(network(activation="hardtanh"), task, checkpoint=path, **SMALL)  # weights of the same shapes
    other = LinearFunctional(0.5 * task.rho, task.horizon)
    with pytest.raises(ValueError, match="belongs to a run with other task"):
        fit(network(), other, checkpoint=path, **SMALL)


def test_validation_is_without_dropout_and_the_mode_is_given_back(task):
    class Dropped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network, self.dropout = network(), torch.nn.Dropout(0.5)

        def forward(self, x):
            return self.network(self.dropout(x))

    model = Dropped().eval()
    result = fit(model, task, **SMALL)
    assert not model.dropout.training
    x, y = task.sample(SMALL["validation_size"], seed=(0, 1))
    assert TemporallyWeightedMSE()(model(x), y).item() == result.loss


def test_a_model_without_weights_is_refused(task):
    with pytest.raises(ValueError, match="model has no weights to train"):
        fit(torch.nn.Identity(), task, **SMALL)


def test_a_task_may_return_a_plain_pair(task):
    class Pair:
        def sample(self, size, **options):
            return tuple(task.sample(size, **options))

    assert fit(network(), Pair(), **SMALL).loss == fit(network(), task, **SMALL).loss


def test_numpy_numbers_do_not_spoil_a_checkpoint(task, tmp_path):
    options = SMALL | {"learning_rate": np.float64(0.01), "seed": np.int64(1), "batch_size": np.int64(4)}
    first, second = (fit(network(), task, checkpoint=tmp_path / "run.pt", **options) for _ in range(2))
    assert first.loss == second.loss


def test_a_run_that_ended_between_two_validations_may_be_prolonged(task, tmp_path):
    options = SMALL | {"validate_every": 10, "decay_patience": 1}
    fit(network(), task, **(options | {"steps": 15, "checkpoint": tmp_path / "run.pt"}))
    resumed = fit(network(), task, **(options | {"steps": 40, "checkpoint": tmp_path / "run.pt"}))
    uninterrupted = fit(network(), task, **(options | {"steps": 40}))
    pd.testing.assert_frame_equal(resumed.history, uninterrupted.history, check_exact=True)
