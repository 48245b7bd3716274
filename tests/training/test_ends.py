"""How a run ended is said in the same words by all kinds of training."""

import math

import numpy as np
import pytest
import torch

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.nn import RNN
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.training import fit, fit_expected, sweep
from curse_of_memory.training.result import BLOW_UP, verdict

SMALL = {"steps": 20, "batch_size": 8, "validate_every": 5, "validation_size": 16, "device": "cpu"}


@pytest.fixture
def task():
    return LinearFunctional(lambda t: 0.5**t, 12)


def network(seed=0):
    # bounded states: nothing overflows, however large the weights become
    return RNN(3, activation="tanh", seed=seed, dtype=torch.float64)


def by_fit(model, task, **options):
    found = fit(model, task, **(SMALL | options))
    return found.status, found.loss, found.history.validation_loss.to_numpy()


def by_sweep(model, task, **options):
    found = sweep([model, network(seed=1)], task, **(SMALL | options))
    return found.status.values[0], found.loss.values[0], found.validation_loss.values[0]


@pytest.mark.parametrize("train", [by_fit, by_sweep])
def test_a_loss_that_blew_up_is_a_divergence(task, train):
    model = network()
    x, y = task.sample(16, seed=(0, 1), dtype=torch.float64)
    with torch.no_grad():
        untrained = TemporallyWeightedMSE()(model(x), y).item()
    status, loss, scores = train(model, task, learning_rate=1e6)
    # AdamW moves each weight by the learning rate: answers are of 3 states of at most 1 times weights of 1e6
    assert 1e9 < scores[-1] < 1e17
    assert status == "diverged"
    assert loss == pytest.approx(untrained, rel=1e-12)
    assert TemporallyWeightedMSE()(model(x), y).item() == pytest.approx(untrained, rel=1e-12)


@pytest.mark.parametrize("train", [by_fit, by_sweep])
def test_a_run_that_found_nothing_better_says_so(task, train):
    status, loss, scores = train(network(), task, learning_rate=3.0)
    assert scores[0] == loss == scores.min()
    assert scores[-1] < BLOW_UP * scores[0]
    assert status == "not improved"


@pytest.mark.parametrize("train", [by_fit, by_sweep])
def test_a_run_that_got_better_before_it_got_worse_is_finished(task, train):
    status, loss, scores = train(network(), task, learning_rate=0.1)
    assert loss < scores[0]
    assert status == "finished"


def test_the_exact_loss_has_the_same_words(task):
    model = RNN(1, diagonal=True, bias=False, seed=0, dtype=torch.float64)
    first = fit_expected(model, task)  # of this start the error becomes zero, in every digit or nearly
    assert first.status == "converged"
    assert first.loss < 1e-20
    with torch.no_grad():
        model.recurrent_weight.fill_(-0.5)  # 1 + W is the base of the memory, and U C its size
        model.input_weight.fill_(1.0)
        model.output_weight.fill_(1.0)
    again = fit_expected(model, task)
    assert again.loss <= 1e-30
    assert again.status == "not improved"


def test_weights_that_are_frozen_stay_in_exact_training_too(task):
    model = RNN(2, diagonal=True, bias=False, seed=0, dtype=torch.float64)
    model.recurrent_weight.requires_grad_(False)
    before = model.recurrent_weight.clone()
    found = fit_expected(model, task)
    assert torch.equal(model.recurrent_weight, before)
    # of two given modes the best amounts are a linear least-squares problem
    modes = (1 + before.numpy()) ** np.arange(12)[:, None]
    root = np.sqrt(np.arange(12, 0, -1) / 12)
    residual = np.linalg.lstsq(root[:, None] * modes, root * task.rho, rcond=None)[1]
    assert found.loss == pytest.approx(residual.item(), rel=1e-6)
    for p in model.parameters():
        p.requires_grad_(False)
    with pytest.raises(ValueError, match="model has no weights to train: all are frozen"):
        fit_expected(model, task)


@pytest.mark.parametrize(
    ("status", "losses", "expected"),
    [
        ("finished", (1.0, 999.0, 0.9), "finished"),
        ("finished", (1.0, 1001.0, 0.9), "diverged"),
        ("stopped early", (1.0, 1001.0, 1.0), "diverged"),
        ("reached", (1.0, 1001.0, 1.0), "reached"),
        ("converged", (1.0, 1.0, 1.0), "not improved"),
        # a loss that may be negative, such as a log-likelihood, and a start without any error
        ("finished", (-2.0, 1990.0, -2.0), "not improved"),
        ("finished", (-2.0, 2000.0, -2.0), "diverged"),
        ("finished", (0.0, 1.0, 0.0), "not improved"),
        ("diverged", (math.nan, math.nan, math.nan), "diverged"),
    ],
)
def test_the_rule(status, losses, expected):
    first, last, best = losses
    assert verdict(status, first, last, improved=best < first) == expected
