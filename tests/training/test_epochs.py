"""Training in epochs: each sequence once, learning rates by epoch, and going on in the middle."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, StackDataset, TensorDataset

from curse_of_memory.nn import GRU, RNN
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.training import fit

NUMBERS = torch.arange(23.0)
DATA = (NUMBERS[:, None, None].expand(23, 3, 1) / 23, torch.zeros(23, 3, 1))
SETTINGS = {"batch_size": 5, "validation": DATA, "validation_size": 4, "device": "cpu"}


class Seen(nn.Module):
    """A model that notes the sequences it is trained on, and may be killed."""

    def __init__(self, killed_at=None):
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Dropout(0.3), nn.Linear(4, 1))
        self.killed_at, self.batches = killed_at, []

    def __repr__(self):
        return "Seen"

    def forward(self, x):
        if self.training:
            if len(self.batches) == self.killed_at:
                raise KeyboardInterrupt
            self.batches.append((23 * x[:, 0, 0]).round().int().tolist())
        return self.inner(x)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def epochs_of(batches, each):
    return [[v for batch in batches[i : i + each] for v in batch] for i in range(0, len(batches), each)]


def test_every_epoch_visits_every_sequence_once_in_an_order_of_its_own():
    model = Seen()
    result = fit(model, DATA, epochs=3, **SETTINGS)
    assert [len(batch) for batch in model.batches] == 3 * [5, 5, 5, 5, 3]
    orders = epochs_of(model.batches, 5)
    assert [sorted(order) for order in orders] == 3 * [list(range(23))]
    assert len({tuple(order) for order in orders}) == 3
    assert result.history.epoch.tolist() == [0, 1, 2, 3]
    assert result.history.step.tolist() == [0, 5, 10, 15]
    assert result.steps == 15


def test_the_order_is_named_by_the_seed():
    def order(seed):
        model = Seen()
        fit(model, DATA, epochs=1, seed=seed, **SETTINGS)
        return model.batches

    assert order(1) == order(1) != order(2)


def test_without_validation_data_a_tenth_is_never_visited():
    model = Seen()
    fit(model, DATA, epochs=2, **(SETTINGS | {"validation": None}))
    orders = epochs_of(model.batches, 4)  # 3 of 23 are held out
    assert len(orders) == 2
    assert sorted(orders[0]) == sorted(orders[1])
    assert len(set(orders[0])) == len(orders[0]) == 20


def test_validations_may_be_at_other_steps():
    result = fit(Seen(), DATA, epochs=2, validate_every=4, **SETTINGS)
    assert result.history.step.tolist() == [0, 4, 8, 10]
    assert result.history.epoch.tolist() == [0, 0.8, 1.6, 2]


@pytest.mark.parametrize("kind", ["data", "loader"])
@pytest.mark.parametrize("dies_at", [3, 8, 14])
def test_a_run_killed_in_an_epoch_goes_on_along_the_same_path(tmp_path, dies_at, kind):
    def data():
        return DataLoader(TensorDataset(*DATA), batch_size=5, shuffle=True) if kind == "loader" else DATA

    path = tmp_path / "run.pt"
    settings = SETTINGS | {"epochs": 4, "schedule": [2], "learning_rate": 0.05}
    whole, resumed = Seen(), Seen()
    torch.manual_seed(5)
    uninterrupted = fit(whole, data(), **settings)
    kept = {"checkpoint": path, "checkpoint_every": 2}
    dying = Seen(killed_at=dies_at)
    torch.manual_seed(5)
    with pytest.raises(KeyboardInterrupt):
        fit(dying, data(), **settings, **kept)
    torch.manual_seed(6)
    found = fit(resumed, data(), **settings, **kept)
    # the last of the checkpoints at even steps and at ends of epochs, of five steps each
    last = max(dies_at // 2 * 2, dies_at // 5 * 5)
    assert resumed.batches == whole.batches[last:]
    pd.testing.assert_frame_equal(found.history, uninterrupted.history, check_exact=True)
    assert torch.equal(weights(resumed), weights(whole))


def test_what_was_watched_at_the_last_step_is_not_lost(tmp_path):
    """A kill between the last step and its validation, where a checkpoint would have been due."""
    killed = False

    def loss(answers, targets):
        if killed and not model.training and len(model.batches) == 12:
            raise KeyboardInterrupt
        return (answers - targets).square().mean()

    settings = {"loss": loss, "steps": 12, "validate_every": 5, "checkpoint_every": 4} | SETTINGS
    settings["watch"] = lambda model: {"size": weights(model).norm().item()}
    model = Seen()
    whole = fit(model, DATA, **settings).history
    path, killed, model = tmp_path / "run.pt", True, Seen()
    with pytest.raises(KeyboardInterrupt):
        fit(model, DATA, checkpoint=path, **settings)
    killed, model = False, Seen()
    resumed = fit(model, DATA, checkpoint=path, **settings).history
    assert resumed["size"].notna().tolist() == [False, True, True, True]
    pd.testing.assert_frame_equal(resumed, whole, check_exact=True)


def test_more_epochs_prolong_a_run_and_other_epochs_are_another_run(tmp_path):
    settings = SETTINGS | {"checkpoint": tmp_path / "run.pt"}
    whole, begun, model = Seen(), Seen(), Seen()
    torch.manual_seed(5)
    fit(whole, DATA, epochs=3, **SETTINGS)
    torch.manual_seed(5)
    fit(begun, DATA, epochs=1, **settings)
    fit(model, DATA, epochs=3, **settings)
    assert torch.equal(weights(model), weights(whole))
    with pytest.raises(ValueError, match=r"belongs to a run with other validate_every, epochs$"):
        fit(Seen(), DATA, steps=10, **settings)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25, 0]),
        ([2], [1, 1, 0.1, 0.1, 0.1]),
        ((3, 1), [1, 0.1, 0.1, 0.01, 0.01]),
        (np.array([9]), [1, 1, 1, 1, 1]),
    ],
)
def test_learning_rates_fall_after_given_epochs(schedule, rates):
    result = fit(Seen(), DATA, epochs=4, learning_rate=0.02, schedule=schedule, **SETTINGS)
    np.testing.assert_allclose(result.history.learning_rate, 0.02 * np.array(rates), rtol=1e-12)


def test_without_epochs_they_fall_after_given_steps():
    task = LinearFunctional(lambda t: 0.5**t, 5)
    sizes = {"batch_size": 4, "validation_size": 4, "validate_every": 1, "device": "cpu"}
    result = fit(RNN(2, seed=0), task, steps=4, learning_rate=0.02, schedule=[1, 3], **sizes)
    np.testing.assert_allclose(result.history.learning_rate, [0.02, 0.002, 0.002, 2e-4, 2e-4], rtol=1e-12)


def test_rates_rise_in_a_line_before_they_fall(tmp_path):
    """Over six steps of an epoch of five; a run that is killed meanwhile goes on rising."""
    settings = SETTINGS | {
        "epochs": 4,
        "schedule": [2],
        "learning_rate": 0.06,
        "warmup": 6,
        "validate_every": 1,
    }
    torch.manual_seed(5)
    whole = fit(Seen(), DATA, **settings).history
    rates = [*range(1, 7), 6, 6, 6, 6, *(11 * [0.6])]
    np.testing.assert_allclose(whole.learning_rate, 0.01 * np.array(rates), rtol=1e-12)
    torch.manual_seed(5)
    settings["checkpoint"] = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        fit(Seen(killed_at=4), DATA, **settings)
    with pytest.raises(ValueError, match=r"belongs to a run with other warmup$"):
        fit(Seen(), DATA, **settings | {"warmup": 7})
    pd.testing.assert_frame_equal(fit(Seen(), DATA, **settings).history, whole, check_exact=True)


def test_the_steps_of_an_epoch_are_those_of_the_plain_loop():
    """Adam without weight decay or clipping, η ÷ 10 after the first of two epochs."""
    x = torch.randn(23, 6, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    data = (x, x.cumsum(1) / 3)
    ours, plain = (GRU(3, seed=1, dtype=torch.float64) for _ in range(2))
    noted = []

    class Noted(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = ours

        def forward(self, x):
            if self.training:
                noted.append(x.clone())
            return self.inner(x)

    settings = SETTINGS | {"validation": data, "validation_size": 23}
    result = fit(Noted(), data, epochs=2, schedule=[1], clip=math.inf, learning_rate=0.02, **settings)
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.02)
    for step, inputs in enumerate(noted):
        if step == 5:
            optimizer.param_groups[0]["lr"] = 0.002
        optimizer.zero_grad()
        nn.functional.mse_loss(plain(inputs), inputs.cumsum(1) / 3).backward()
        optimizer.step()
    assert result.loss == result.history.validation_loss.iloc[-1]  # so that the last weights are the best
    torch.testing.assert_close(weights(ours), weights(plain), rtol=1e-12, atol=1e-12)


class Endless(IterableDataset):
    def __iter__(self):
        while True:
            yield torch.ones(3, 1), torch.ones(3, 1)


TASK = LinearFunctional(lambda t: 0.5**t, 3)
TRIPLES = StackDataset(*DATA, NUMBERS)
EMPTY = DataLoader(TensorDataset(*DATA), batch_size=99, drop_last=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 2, "steps": 5}, "steps must not be given with epochs"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"epochs": 2, "task": TASK}, "epochs must not be given with a task or loader that has no end"),
        ({"epochs": 2, "task": DataLoader(Endless(), batch_size=2)}, "epochs must not be given with"),
        ({"schedule": [2, 2]}, "schedule must hold different values, got 2 twice"),
        ({"schedule": []}, "schedule must not be empty"),
        ({"schedule": [0]}, "schedule must be at least 1"),
        ({"schedule": [1.5]}, "schedule must be a whole number"),
        ({"epochs": 2, "task": EMPTY}, "task must be a DataLoader with at least one batch"),
        ({"test": EMPTY}, "test must be a DataLoader with at least one batch"),
        ({"validation": EMPTY}, "validation must be a DataLoader with at least one batch"),
        ({"test": TRIPLES}, "test must give pairs of inputs and targets, got list"),
        ({"validation": TRIPLES}, "validation must give pairs of inputs and targets, got list"),
        ({"warmup": 1}, "warmup must be 0 with the schedule 'plateau'"),
        ({"epochs": 2, "schedule": "cosine", "warmup": 10}, "warmup must be below steps = 10, got 10"),
        ({"checkpoint_every": 0}, "checkpoint_every must be at least 1"),
        ({"evaluation_size": 0}, "evaluation_size must be at least 1"),
    ],
)
def test_bad_input_is_refused_in_one_line(options, message):
    arguments = {"task": DATA} | SETTINGS | options
    with pytest.raises((TypeError, ValueError), match=message) as refusal:
        fit(Seen(), arguments.pop("task"), **arguments)
    assert "\n" not in str(refusal.value)
