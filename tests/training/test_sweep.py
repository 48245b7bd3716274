"""A sweep is the same as many fits, and its members do not notice one another."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.nn import RNN
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets
from curse_of_memory.training import fit
from curse_of_memory.training.sweep import sweep

no_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
SMALL = {"batch_size": 16, "validate_every": 10, "validation_size": 16, "device": "cpu"}
# A few dozens of steps of well-conditioned training. One step sums batch x time x width < 2e3 numbers, each
# rounded to 1.1e-16: 2e-13 in the worst case; steps add up, and curvature amplifies them by a small factor.
SAME = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture
def task():
    return LinearFunctional(targets.polynomial(1.1, rate=0.1), 20)


def network(hidden=3, *, seed=0, **options):
    options = {"activation": "tanh", "dtype": torch.float64} | options
    return RNN(hidden, seed=seed, **options)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def assert_same_as_fits(models, task, *, power=0.0, learning_rate=0.01, seed=0, **options):
    """Train copies one by one; weights, histories, ends and losses must be those of the sweep."""
    alone, options = copy.deepcopy(models), SMALL | options
    table = sweep(models, task, power=power, learning_rate=learning_rate, seed=seed, **options)
    for i, (model, twin) in enumerate(zip(models, alone, strict=True)):
        p, rate, s = (v[i] if np.ndim(v) else v for v in (power, learning_rate, seed))
        found = fit(twin, task, loss=TemporallyWeightedMSE(p), learning_rate=rate, seed=s, **options)
        torch.testing.assert_close(weights(model), weights(twin), **SAME)
        mine = table.isel(member=i)
        assert (mine.status.item(), mine.steps.item()) == (found.status, found.steps)
        np.testing.assert_allclose(mine.loss.item(), found.loss, **SAME)
        rows = mine[["training_loss", "validation_loss", "learning_rate_at"]].to_dataframe()
        rows = rows.dropna(subset="learning_rate_at").reset_index()
        expected = found.history.rename(columns={"learning_rate": "learning_rate_at"})
        np.testing.assert_allclose(rows[list(expected)], expected, **SAME)
    return table


# --- the same as one by one ---------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["linear", "tanh", "hardtanh", "relu"])
@pytest.mark.parametrize("diagonal", [False, True])
def test_members_take_the_trajectories_of_their_own_fits(task, activation, diagonal):
    kinds = [(2, "direct"), (3, "softplus"), (3, "lru")]
    models = [
        network(m, seed=s, activation=activation, parameterization=p, diagonal=diagonal)
        for m, p in kinds
        for s in (0, 1)
    ]
    assert_same_as_fits(models, task, steps=35, seed=[0, 1, 0, 0, 2, 3], learning_rate=0.01)


def test_learning_rates_and_powers_belong_to_members(task):
    models = [network(seed=s) for s in range(4)]
    assert_same_as_fits(
        models, task, steps=25, learning_rate=[0.1, 0.01, 0.001, 0.02], power=[0, 2, -1, math.inf]
    )
    assert len({tuple(weights(m).tolist()) for m in models}) == 4


def test_weight_decay_and_clipping_are_those_of_fit(task):
    models = [network(seed=s) for s in range(3)]
    for model in models:
        model.output_weight.data *= 30  # so that gradients are clipped
    assert_same_as_fits(models, task, steps=20, weight_decay=0.3, clip=0.1)


def test_plateaus_and_patience_are_counted_member_by_member(task):
    models = [network(seed=s) for s in range(5)]
    # at 1e-6 every validation is better, but by less than the plateau of ReduceLROnPlateau; at 1e-12 none is
    rates = [0.3, 0.1, 1e-3, 1e-6, 1e-12]
    patience = {"decay_patience": 1, "patience": 4}
    table = assert_same_as_fits(
        models, task, steps=200, learning_rate=rates, seed=[0, 0, 1, 1, 1], **patience
    )
    assert len(set(table.steps.values.tolist())) > 1
    assert {"stopped early", "finished"} <= set(table.status.values.tolist())
    assert (table.learning_rate_at.isel(member=0).dropna("step") < 0.3).any()


def test_members_that_are_good_enough_go(task):
    models = [network(seed=s) for s in range(3)]
    table = assert_same_as_fits(models, task, steps=60, stop_below=0.6, learning_rate=[0.1, 1e-5, 0.02])
    assert {"reached", "finished"} == set(table.status.values.tolist())


def test_frozen_weights_stay(task):
    models = [network(seed=s) for s in range(2)]
    for model in models:
        model.input_weight.requires_grad_(False)
    before = [model.input_weight.clone() for model in models]
    assert_same_as_fits(models, task, steps=10)
    assert all(torch.equal(a, m.input_weight) for a, m in zip(before, models, strict=True))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=no_cuda)])
def test_a_device_can_be_chosen(task, device):
    models = [network(m, seed=s) for m in (2, 3) for s in (0, 1)]
    rates = [0.01, 0.01, 1e-12, 0.01]
    assert_same_as_fits(models, task, steps=30, device=device, learning_rate=rates, patience=1)
    assert {p.device.type for model in models for p in model.parameters()} == {device}


def test_precisions_and_sizes_stand_side_by_side(task):
    models = [network(2), network(3, dtype=torch.float32), network(3, bias=False)]
    sweep(models, task, steps=5, **SMALL)
    assert [weights(m).dtype for m in models] == [torch.float64, torch.float32, torch.float64]


# --- divergence ---------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["at once", "in a step", "at a validation"])
def test_a_member_that_diverges_is_frozen_and_the_others_do_not_notice(task, where):
    models = [network(seed=s, activation="linear") for s in range(3)]
    rates, every = [0.01, 0.01, 0.01], {"validate_every": 1 if where == "at a validation" else 10}
    if where == "at once":
        models[1].recurrent_weight.data.fill_(1e200)
    else:
        rates[1] = 1e30
    with_it, without = copy.deepcopy(models), copy.deepcopy([models[0], models[2]])
    table = sweep(with_it, task, steps=30, learning_rate=rates, **(SMALL | every))
    sweep(without, task, steps=30, **(SMALL | every))
    assert table.status.values.tolist() == ["finished", "diverged", "finished"]
    assert torch.equal(weights(with_it[1]), weights(models[1]))
    for mine, other in zip((with_it[0], with_it[2]), without, strict=True):
        torch.testing.assert_close(weights(mine), weights(other), **SAME)
    assert_same_as_fits(models, task, steps=30, learning_rate=rates, **every)


def test_a_gradient_that_is_not_finite_ends_a_member(task):
    models = [network(seed=s, activation="linear") for s in range(2)]
    # errors of 1e120 have finite squares; the gradient by W is their product with states of 1e200
    models[0].input_weight.data.fill_(1e200)
    models[0].output_weight.data.fill_(1e-120)
    table = assert_same_as_fits(models, task, steps=12)
    assert table.status.values.tolist() == ["diverged", "finished"]
    assert table.steps.values.tolist() == [0, 12]


# --- the exact loss -----------------------------------------------------------------------------


@pytest.mark.parametrize("diagonal", [False, True])
def test_expected_losses_are_descended_as_by_torch(task, diagonal):
    powers = [0.0, 2.0, 0.0]
    models = [network(s + 2, seed=s, activation="linear", diagonal=diagonal) for s in (0, 1, 1)]
    twins = copy.deepcopy(models)
    table = sweep(models, task, expected=True, power=powers, steps=20, clip=math.inf, **SMALL)
    for i, (p, twin) in enumerate(zip(powers, twins, strict=True)):
        optimizer = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.0)
        for _ in range(20):
            optimizer.zero_grad()
            TemporallyWeightedMSE(p).expected(**task.linear_error(twin)).backward()
            optimizer.step()
        torch.testing.assert_close(weights(models[i]), weights(twin), **SAME)
        final = TemporallyWeightedMSE(p).expected(**task.linear_error(twin)).item()
        assert table.loss[i].item() == pytest.approx(final, rel=1e-10)


# --- checkpoints --------------------------------------------------------------------------------


class Interrupted:
    """A task whose draws stop working after a while."""

    def __init__(self, task, draws):
        self.task, self.draws = task, draws

    def __repr__(self):
        return repr(self.task)  # to a checkpoint it is the same task

    def sample(self, *arguments, **options):
        self.draws -= 1
        if self.draws < 0:
            raise KeyboardInterrupt
        return self.task.sample(*arguments, **options)


def mixed():
    """Members that end early, diverge, or go on."""
    models = [network(2 + s // 2, seed=s, activation="linear") for s in range(4)]
    models[1].recurrent_weight.data.fill_(1e200)
    return models


MIXED = SMALL | {"learning_rate": [0.02, 0.01, 1e-12, 0.05], "decay_patience": 1, "patience": 2}


@pytest.mark.parametrize("killed_at", [11, 19, 20, 37])
def test_a_sweep_that_was_killed_goes_on_along_the_same_trajectory(task, tmp_path, killed_at):
    path = tmp_path / "sweep.pt"
    whole, resumed = mixed(), mixed()
    uninterrupted = sweep(whole, task, steps=45, **MIXED)
    with pytest.raises(KeyboardInterrupt):
        sweep(mixed(), Interrupted(task, killed_at), steps=45, checkpoint=path, **MIXED)
    for model in resumed:
        for p in model.parameters():
            p.data.add_(0.1)  # everything is in the checkpoint: the weights it starts with do not count
    found = sweep(resumed, task, steps=45, checkpoint=path, **MIXED)
    assert all(torch.equal(weights(a), weights(b)) for a, b in zip(whole, resumed, strict=True))
    assert found.drop_attrs().identical(uninterrupted.drop_attrs())
    assert {"finished", "diverged", "stopped early"} == set(found.status.values.tolist())


def test_a_finished_sweep_can_be_made_longer(task, tmp_path):
    whole, resumed = mixed(), mixed()
    uninterrupted = sweep(whole, task, steps=45, **MIXED)
    for steps in (25, 45):
        found = sweep(resumed, task, steps=steps, checkpoint=tmp_path / "sweep.pt", **MIXED)
    assert all(torch.equal(weights(a), weights(b)) for a, b in zip(whole, resumed, strict=True))
    assert found.drop_attrs().identical(uninterrupted.drop_attrs())


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("learning_rate", {"learning_rate": 0.02}),
        ("seed", {"seed": [0, 1]}),
        ("power", {"power": 1}),
        ("patience", {"patience": 3}),
        ("clip", {"clip": 1.0}),
        ("expected", {"expected": True}),
        ("task", {"task": LinearFunctional([1.0], 1)}),
        (
            "models",
            {"models": [network(3, activation="linear"), network(3, activation="linear", bias=False)]},
        ),
    ],
)
def test_a_checkpoint_of_another_sweep_is_refused(task, tmp_path, name, other):
    path = tmp_path / "sweep.pt"
    arguments = {"models": [network(activation="linear", seed=s) for s in range(2)], "task": task} | SMALL
    sweep(**arguments, steps=1, checkpoint=path)
    with pytest.raises(ValueError, match=rf"checkpoint sweep.pt belongs to a sweep with other {name}$"):
        sweep(**(arguments | other), steps=1, checkpoint=path)


def test_a_checkpoint_of_a_single_run_is_refused(task, tmp_path):
    path = tmp_path / "run.pt"
    fit(network(), task, steps=1, checkpoint=path, **SMALL)
    with pytest.raises(ValueError, match="belongs to a sweep with other"):
        sweep([network()], task, steps=1, checkpoint=path, **SMALL)


# --- what comes out, and what goes in -----------------------------------------------------------


def test_results_are_found_by_their_labels(task):
    models = [network(m, activation=a) for m in (2, 3) for a in ("tanh", "linear")]
    table = sweep(models, task, steps=10, learning_rate=[0.1, 0.2, 0.3, 0.4], power=1, seed=7, **SMALL)
    one = table.where((table.width == 3) & (table.activation == "linear"), drop=True)
    assert one.learning_rate.values.tolist() == [0.4]
    assert (one.power.item(), one.seed.item(), one.parameterization.item()) == (1.0, 7, "direct")
    assert one.validation_loss.dims == ("member", "step")
    assert table.step.values.tolist() == [0, 10]
    assert table.attrs["seconds"] > 0


def test_the_table_can_be_written_and_read(task, tmp_path):
    frame = sweep([network()], task, steps=2, **SMALL).to_dataframe()
    frame.to_csv(Path(tmp_path) / "sweep.csv")
    assert frame.validation_loss.notna().all()


TWICE = network()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": []}, "models must not be empty"),
        ({"models": [torch.nn.Linear(1, 1)]}, "models must be of type RNN, got Linear"),
        ({"models": [TWICE, TWICE]}, "models must be different objects"),
        ({"expected": True}, "only linear models have an exact expected loss; one is tanh"),
        ({"learning_rate": [0.1]}, "learning_rate must be one number, or one for each of 2 models, got 1"),
        ({"learning_rate": [0.1, -1]}, "learning_rate must be positive, got -1"),
        ({"power": [0, math.nan]}, "p must be finite"),
        ({"seed": [0, -1]}, "seed must not be negative, got -1"),
        ({"seed": 0.5}, "seed must be a whole number, got 0.5"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"clip": 0}, "clip must be positive, got 0"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"stop_below": math.nan}, "stop_below must be finite"),
        ({"weight_decay": -1}, "weight_decay must not be negative"),
    ],
)
def test_bad_input_is_refused(task, options, message):
    arguments = {"models": [network(seed=s) for s in range(2)], "task": task, "steps": 1} | SMALL
    with pytest.raises((TypeError, ValueError), match=message):
        sweep(**(arguments | options))
