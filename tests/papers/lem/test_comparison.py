"""Comparisons of LEM with models of as many weights: sizes, selection, what is told."""

import numpy as np
import pandas as pd
import pytest
import torch

from curse_of_memory.nn import LEM
from curse_of_memory.papers.lem._comparison import (
    ACCURACY,
    Quantity,
    Settings,
    compared,
    run,
    selected,
    trained,
)
from curse_of_memory.papers.lem._comparison_report import looks_of, printed, reduced, told
from curse_of_memory.papers.lem._equal_weights import number_of_weights
from curse_of_memory.papers.lem._models import MODELS, made
from curse_of_memory.tasks import Batch
from curse_of_memory.tasks.sampling import Splits

SIZES = {"train": 60, "validation": 30, "test": 30}


def signs(classes: bool) -> Splits:
    """Return noise around two levels, and the sign of the smaller, as a class or as a number."""
    draws, parts = np.random.default_rng(0), []
    for size in SIZES.values():
        level = draws.choice([-1.0, 1.0], size)
        both = np.stack([level, 2 * draws.choice([-1.0, 1.0], size)], -1)
        x = both[:, None] + 0.3 * draws.standard_normal((size, 12, 2))
        target = torch.from_numpy(level > 0).long() if classes else torch.from_numpy(level)[:, None].float()
        parts.append(Batch(torch.from_numpy(x).float(), target))
    return Splits(*parts)


SETTINGS: Settings = {
    "width": 6,
    "dt": 0.5,
    "memory": 12,
    "batch_size": 10,
    "epochs": 12,
    "learning_rate": 0.03,
}


@pytest.mark.parametrize("name", MODELS)
def test_models_have_nearly_as_many_weights_as_lem_and_answer_sequences(name):
    wanted = number_of_weights(LEM(32, input_size=6, output_size=5, seed=0))
    model = made(name, 32, dt=0.1, memory=50, seed=0, input_size=6, output_size=5)
    assert abs(number_of_weights(model) - wanted) < 0.06 * wanted
    assert model(torch.zeros(2, 7, 6)).shape == (2, 7, 5)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_every_model_learns_a_sign_and_is_selected_by_its_best_validation(name, classes):
    splits = signs(classes)
    quantity = ACCURACY if classes else Quantity("error", "rmse", shown="{:.3f}")
    table = run(name, 3, splits, 2 if classes else 1, quantity, **SETTINGS)
    assert table.epoch.tolist() == list(range(13))
    assert (table.status == "finished").all()
    best = (table.validation * (-1 if classes else 1)).idxmin()
    assert table.test.last_valid_index() == best
    end = table.test[best]
    assert end > 0.9 if classes else end < 0.5  # guessing has 0.5, and the constant 0 has 1


@pytest.mark.slow
def test_the_readout_starts_as_that_of_torch_where_the_public_code_leaves_it(monkeypatch):
    """Kaiming normal has the deviation √(2/h) and no bound; torch's own is bounded by 1/√h."""
    starts = []

    def spy(network, *data, **settings):
        starts.append(network.readout.weight.detach().clone())
        raise InterruptedError

    monkeypatch.setattr("curse_of_memory.papers.lem._comparison.fit", spy)
    for kaiming in (True, False):
        wide: Settings = {**SETTINGS, "width": 64, "kaiming": kaiming}
        with pytest.raises(InterruptedError):
            run("LEM", 0, signs(True), 2, ACCURACY, **wide)
    assert starts[0].abs().max() > 1 / 8 >= starts[1].abs().max()


@pytest.mark.parametrize("name", ["LEM", "GRU"])
def test_inputs_are_dropped_in_training_alone_and_which_is_named_by_the_seed(name):
    common = {"output_size": 2, "quantity": ACCURACY, **SETTINGS, "epochs": 1}

    def weights_of(dropout, seed=3, draws=0):
        torch.manual_seed(draws)
        network, result = trained(name, seed, signs(True), **common, input_dropout=dropout)
        answers = network(signs(True).validation.inputs)
        classes = (answers if answers.ndim == 2 else answers[:, -1]).argmax(1)
        share = (classes == signs(True).validation.targets).double().mean().item()
        assert share == result.history.validation_accuracy.max()  # without dropout
        return torch.cat([p.detach().flatten() for p in network.parameters()])

    first = weights_of(0.4)
    assert torch.equal(first, weights_of(0.4, draws=1))
    assert not torch.allclose(first, weights_of(0.0), atol=1e-3)


@pytest.mark.slow
def test_trainings_differ_by_their_seeds_alone():
    common = {"output_size": 2, "quantity": ACCURACY, **SETTINGS}
    table = compared(signs(True), seeds=2, other_seeds=1, seed=5, models=("LEM", "GRU"), **common)
    ends = selected(table)
    assert ends[["model", "seed"]].values.tolist() == [["LEM", 5], ["LEM", 6], ["GRU", 5]]
    again = compared(signs(True), seeds=1, seed=6, models=("LEM",), **common)
    twin = table.loc[(table.model == "LEM") & (table.seed == 6)].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, twin)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (["LEM", "LTSM"], r"models must be one of .*; got 'LTSM' .did you mean 'LSTM'"),
        (["LEM", "LEM"], "models must hold different values, got 'LEM' twice"),
        ([], "models must not be empty"),
        ("LEM", "models must be a list, got 'LEM'"),
    ],
)
def test_unknown_models_are_refused_before_any_is_trained(models, message):
    with pytest.raises((ValueError, TypeError), match=message):
        compared(signs(True), models=models, output_size=2, quantity=ACCURACY, seeds=1, seed=0, **SETTINGS)


@pytest.mark.parametrize("dropout", [1.0, -0.1, np.nan])
def test_inputs_of_which_all_would_be_dropped_are_refused(dropout):
    settings: Settings = {**SETTINGS, "input_dropout": dropout}
    with pytest.raises(ValueError, match="input_dropout must be "):
        compared(signs(True), output_size=2, quantity=ACCURACY, seeds=1, seed=0, **settings)


def test_what_is_told_are_medians_and_ranges_of_the_selected_epochs():
    rows = [
        (s, e, v, t) for s in range(3) for e, v, t in [(0, 0.1, 0.2), (1, 0.5, 0.1 * s), (2, 0.4, np.nan)]
    ]
    table = pd.DataFrame(rows, columns=["seed", "epoch", "validation", "test"])
    table = table.assign(model="LEM", weights=7, status="finished")
    headline, by_seed, words = told(table, ACCURACY)
    np.testing.assert_allclose(headline["LEM: test accuracy (%)"], 10)
    np.testing.assert_allclose(by_seed["LEM: test accuracy (%)"], [0, 10, 20])
    assert "median and range of 3 trainings: LEM 10.0 (0.0 to 20.0)." in words
    text = printed(table, ACCURACY, {"chance": 0.125})
    assert text.test.tolist() == ["10.0 %", "12.5 %"]
    assert text["test, range"].tolist() == ["0.0 % to 20.0 %", ""]


def test_every_model_has_a_mark_of_its_own_and_variants_are_those_of_lem():
    looks = looks_of([*reversed(MODELS), "LEM, another step", "LSTM"])
    assert list(looks) == [*MODELS, "LEM, another step"]
    assert len({look.mark for look in looks.values()}) == len({look.color for look in looks.values()}) == 6
    assert list(looks_of(["GRU", "LEM"])) == ["LEM", "GRU"]


def test_what_is_smaller_is_said_beside_the_official_size():
    official, said = {"width": 128, "clips": 57_000}, {"width": "{} units", "clips": "{} clips"}
    assert reduced({"width": 128, "clips": 57_000, "other": 1}, official, said) == ""
    assert reduced({"width": 16, "clips": 12_000}, official, said).endswith(
        ": 16 units (128), 12 000 clips (57 000)"
    )


@pytest.mark.parametrize(
    ("seeds", "others", "said"), [(3, 3, "3 trainings"), (5, 3, "3 to 5 trainings"), (1, 1, "1 training")]
)
def test_of_how_many_trainings_a_median_is(seeds, others, said):
    table = pd.DataFrame(
        [
            {"model": model, "seed": seed, "epoch": 1, "test": 0.5}
            for model, count in (("LEM", seeds), ("GRU", others))
            for seed in range(count)
        ]
    )
    assert f"range of {said}: LEM 50.0" in told(table, ACCURACY)[2]
