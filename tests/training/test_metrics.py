"""Weights selected by a metric, test values at that point, evaluation in chunks, and the log."""

import csv
import math
import weakref
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from curse_of_memory.losses import TemporallyWeightedCrossEntropy
from curse_of_memory.nn import GRU, RNN
from curse_of_memory.training import fit, sweep
from curse_of_memory.training.metrics import evaluated, metric_of
from curse_of_memory.training.processes import ManyProcesses, OneProcess

HERE = OneProcess(torch.device("cpu"))


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def regression(count, seed=0):
    x = noise(count, 6, 1, seed=seed)
    return x, x.cumsum(1) / 3


def classes(count, seed=0):
    x = noise(count, 6, 1, seed=seed)
    return x, (x.sum((1, 2)) > 0).long()


class Classifier(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        self.inner = GRU(4, output_size=2, seed=seed)

    def forward(self, x):
        return self.inner(x)[:, -1]


SETTINGS = {"epochs": 6, "batch_size": 8, "learning_rate": 0.02, "device": "cpu"}


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 1, 3, 7, 50])
def test_metrics_do_not_depend_on_the_chunks(size):
    answers, targets = noise(7, 5, 3), noise(7, 5, 3, seed=1)
    labels = torch.randint(3, (7, 5), generator=torch.Generator().manual_seed(0))
    labels[0], labels[3, 2:] = -100, -100
    pair = torch.arange(7), targets

    def answer(places):
        return answers[places]

    rmse = metric_of("rmse", nn.MSELoss())
    found = evaluated(answer, pair, [rmse, metric_of("loss", nn.MSELoss())], HERE, size)
    square = np.square(answers.double().numpy() - targets.double().numpy()).mean()
    assert found == pytest.approx([math.sqrt(square), square], rel=1e-6)
    accuracy = metric_of("accuracy", nn.CrossEntropyLoss())
    (share,) = evaluated(answer, (pair[0], labels), [accuracy], HERE, size)
    counts = labels.numpy() != -100
    right = (answers.argmax(-1).numpy() == labels.numpy()) & counts
    assert share == pytest.approx(right.sum() / counts.sum(), rel=1e-14)
    assert answers.equal(noise(7, 5, 3))


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.5])], ids=["alike", "weighted"])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_a_loss_that_ignores_labels_does_not_depend_on_the_chunks(size, weights):
    """Chunks with few labels count for as much as they have."""
    answers = noise(7, 5, 3)
    labels = torch.randint(3, (7, 5), generator=torch.Generator().manual_seed(0))
    labels[0, 1:], labels[3, 2:] = -100, -100
    places = torch.arange(7)

    def flat(logits, targets):
        return theirs(logits.mT, targets)

    theirs = nn.CrossEntropyLoss(weights)
    for criterion, whole in (
        (TemporallyWeightedCrossEntropy(2, class_weight=weights), None),
        (TemporallyWeightedCrossEntropy(2, class_weight=weights, clock="batch"), None),
        (TemporallyWeightedCrossEntropy(2, class_weight=weights, form="on_logits"), None),
        (TemporallyWeightedCrossEntropy(class_weight=weights), flat(answers, labels)),
    ):
        (found,) = evaluated(
            lambda at: answers[at], (places, labels), [metric_of("loss", criterion)], HERE, size
        )
        expected = criterion(answers, labels) if whole is None else whole
        assert found == pytest.approx(expected.item(), rel=1e-6)
    # of torch's own, with classes in the second place
    metric = metric_of("loss", theirs)
    (found,) = evaluated(lambda at: answers[at].mT, (places, labels), [metric], HERE, size)
    assert found == pytest.approx(flat(answers, labels).item(), rel=1e-6)


def among(processes, heard):
    """Return the first of some processes, which hears these numbers in turn, as means over all."""
    numbers = iter(heard)
    fabric = SimpleNamespace(
        device=torch.device("cpu"),
        world_size=processes,
        global_rank=0,
        is_global_zero=True,
        all_reduce=lambda value, reduce_op: torch.tensor(next(numbers), dtype=torch.float64),
    )
    return ManyProcesses(fabric)


def test_processes_with_unequal_numbers_of_labels_find_the_metric_of_all():
    labels = torch.tensor([[0, 0, 1], [1, -100, -100]])
    answers = nn.functional.one_hot(torch.tensor([[0, 1, 1], [1, 1, 1]]), 2).float()
    accuracy = metric_of("accuracy", TemporallyWeightedCrossEntropy())
    parts = [
        (
            [accuracy.mean(answers[i : i + 1], labels[i : i + 1]).item()],
            [accuracy.count(labels[i : i + 1])],
        )
        for i in range(2)
    ]
    calls = [2.0, sum(m[0] * c[0] for m, c in parts) / 2]  # what the others hear: means over both
    assert accuracy.over(*parts[0], among(2, calls)) == 3 / 4


@pytest.mark.parametrize("seed", range(20))
def test_shares_of_one_that_are_all_one_come_to_one(seed):
    counts = np.random.default_rng(seed).integers(1, 50, 97).tolist()
    accuracy = metric_of("accuracy", nn.CrossEntropyLoss())
    assert accuracy.over([1.0] * 97, counts, HERE) == 1
    wrong = [1.0] * 96 + [0.0]
    assert accuracy.over(wrong, counts, HERE) == (sum(counts) - counts[-1]) / sum(counts)


@pytest.mark.parametrize("seed", range(20))
def test_so_they_do_over_several_processes(seed):
    """All that is right is 1, however many labels each process has; so is each set's own share."""
    counts = np.random.default_rng(seed).integers(1, 50, 7).tolist()
    heard = [sum(counts) / 7] * 2  # means over all processes, of what counts and of what is right
    accuracy = metric_of("accuracy", nn.CrossEntropyLoss())
    assert accuracy.over([1.0], counts[:1], among(7, heard)) == 1


def test_probabilities_are_labels_by_their_largest():
    accuracy = metric_of("accuracy", nn.CrossEntropyLoss())
    probable = torch.tensor([[0.2, 0.8], [0.6, 0.4]])
    assert accuracy.mean(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), probable).item() == 0.5
    assert accuracy.count(probable) == 2


# --- selection ----------------------------------------------------------------------------------


def test_the_first_of_the_largest_accuracies_is_selected_with_its_test_value():
    data, unseen, tests = classes(64), classes(24, seed=1), classes(40, seed=2)
    model = Classifier()
    result = fit(
        model, data, loss=nn.CrossEntropyLoss(), validation=unseen, test=tests, metric="accuracy", **SETTINGS
    )
    table = result.history
    columns = "step epoch training_loss validation_loss learning_rate validation_accuracy test_accuracy"
    assert table.columns.tolist() == columns.split()
    best = table.validation_accuracy.idxmax()  # the first
    assert table.validation_accuracy[best] > table.validation_accuracy[0]
    assert result.score == table.validation_accuracy.max()
    assert result.loss == table.validation_loss[best]
    # tests are made at improvements alone
    improved = table.validation_accuracy > table.validation_accuracy.cummax().shift(fill_value=-1)
    assert table.test_accuracy.notna().tolist() == improved.tolist()
    assert result.test == table.test_accuracy[best]
    with torch.no_grad():
        model.eval()
        for value, (x, y) in ((result.score, unseen), (result.test, tests)):
            assert value == (model(x).argmax(-1) == y).double().mean().item()


def test_a_function_selects_by_its_least_value():
    def lateness(answers, targets):
        return (answers - targets)[:, -1].abs().mean()

    data, unseen = regression(32), regression(16, seed=1)
    model = GRU(4, seed=0)
    result = fit(model, data, validation=unseen, metric=lateness, test=regression(9, seed=2), **SETTINGS)
    assert result.score == result.history.validation_lateness.min()
    assert result.test == result.history.test_lateness.dropna().iloc[-1]
    with torch.no_grad():
        assert result.score == lateness(model(unseen[0]), unseen[1]).item()


def test_the_root_of_the_loss_selects_as_the_loss_does():
    data, unseen = regression(32), regression(16, seed=1)
    by_loss, by_root = (
        fit(GRU(4, seed=0), data, validation=unseen, metric=metric, test=regression(9), **SETTINGS)
        for metric in ("loss", "rmse")
    )
    assert by_root.score == pytest.approx(math.sqrt(by_loss.score), rel=1e-6)
    assert by_root.test == pytest.approx(math.sqrt(by_loss.test), rel=1e-6)
    assert by_loss.score == by_loss.loss
    assert "test_loss" in by_loss.history


def test_patience_counts_by_the_metric():
    constant = fit(
        Classifier(),
        classes(32),
        loss=nn.CrossEntropyLoss(),
        metric=lambda answers, targets: 0 * answers.sum() + 1,
        patience=2,
        **SETTINGS,
    )
    assert constant.steps == 2 * 4  # the loss falls, the metric stands still
    assert constant.status == "not improved"


def test_test_data_change_nothing_else():
    data = regression(32)
    models = [GRU(4, seed=0) for _ in range(2)]
    plain, tested = (
        fit(model, data, test=test, **SETTINGS)
        for model, test in zip(models, (None, regression(9)), strict=True)
    )
    pd.testing.assert_frame_equal(tested.history.drop(columns="test_loss"), plain.history, check_exact=True)
    assert math.isnan(plain.test)


def test_evaluation_in_chunks_has_the_same_values_and_no_larger_batch():
    sizes = []

    class Watched(GRU):
        def forward(self, x):
            if not self.training:
                sizes.append(len(x))
            return super().forward(x)

    data, unseen, tests = regression(32), regression(17, seed=1), regression(23, seed=2)
    whole = fit(GRU(4, seed=0), data, validation=unseen, test=tests, metric="rmse", **SETTINGS)
    chunks = fit(
        Watched(4, seed=0), data, validation=unseen, test=tests, metric="rmse", evaluation_size=5, **SETTINGS
    )
    assert max(sizes) == 5
    assert sizes.count(3) == len(chunks.history.test_rmse.dropna())  # 23 = 4 · 5 + 3
    for column in ("validation_loss", "validation_rmse", "test_rmse"):
        np.testing.assert_allclose(chunks.history[column], whole.history[column], rtol=1e-6)


class Counted(Dataset):
    """Sequences that say how many of them were alive at most since they were last asked for that."""

    def __init__(self, pair):
        self.pair, self.alive, self.most = pair, weakref.WeakSet(), 0

    def __len__(self):
        return len(self.pair[0])

    def __getitem__(self, index):
        x = self.pair[0][index].clone()
        self.alive.add(x)
        self.most = max(self.most, len(self.alive))
        return x, self.pair[1][index]


def test_a_data_set_that_is_evaluated_in_chunks_is_never_in_memory_as_a_whole():
    data, unseen, tests = regression(32), regression(17, seed=1), regression(23, seed=2)
    common = SETTINGS | {"metric": "rmse", "validation_size": 11}
    whole = fit(GRU(4, seed=0), data, validation=unseen, test=tests, **common)
    read = [Counted(pair) for pair in (data, unseen, tests)]
    # eight of a batch of the training, five when evaluated
    chunks = fit(GRU(4, seed=0), read[0], validation=read[1], test=read[2], evaluation_size=5, **common)
    assert [one.most for one in read] == [8, 5, 5]
    for column in ("training_loss", "validation_loss", "validation_rmse", "test_rmse"):
        np.testing.assert_allclose(chunks.history[column], whole.history[column], rtol=1e-6)


def test_a_run_goes_on_with_its_best_metric(tmp_path):
    options = SETTINGS | {"loss": nn.CrossEntropyLoss(), "metric": "accuracy", "test": classes(40, seed=2)}
    whole = fit(Classifier(), classes(64), **options)
    kept = options | {"checkpoint": tmp_path / "run.pt"}
    fit(Classifier(), classes(64), **(kept | {"epochs": 3}))
    again = fit(Classifier(1), classes(64), **kept)
    pd.testing.assert_frame_equal(again.history, whole.history, check_exact=True)
    assert (again.score, again.test, again.loss) == (whole.score, whole.test, whole.loss)
    with pytest.raises(ValueError, match=r"belongs to a run with other metric$"):
        fit(Classifier(), classes(64), **(kept | {"metric": "loss"}))


# --- the log ------------------------------------------------------------------------------------


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_log_grows_with_the_history_and_goes_on_after_a_kill(tmp_path):
    log, seen = tmp_path / "logs" / "run.csv", []

    class Killed(GRU):
        killed = False

        def _get_name(self):
            return "GRU"

        def forward(self, x):
            if self.training:
                seen.append(len(log.read_text().splitlines()) - 1)
                if self.killed and len(seen) == 14:  # after the validation at 12
                    raise KeyboardInterrupt
            return super().forward(x)

    options = SETTINGS | {"validate_every": 2, "log": log, "watch": lambda model: {"one": 1.0}}
    options |= {"checkpoint": tmp_path / "run.pt"}
    dying = Killed(4, seed=0)
    dying.killed = True
    with pytest.raises(KeyboardInterrupt):
        fit(dying, regression(36), **options)
    assert seen == [1 + step // 2 for step in range(14)]  # a line is there before the next step is made
    follower = log.open()  # whoever follows the file goes on seeing it
    with log.open("a") as file:
        file.write("13,a line of a step that is made again\n")
    result = fit(Killed(4, seed=1), regression(36), **options)
    table = pd.read_csv(log)
    pd.testing.assert_frame_equal(table, result.history, check_exact=False, rtol=1e-15)
    assert len(rows_of(log)) == len(result.history)
    assert follower.read() == log.read_text()
    follower.close()


def test_a_file_that_is_no_log_is_left_alone(tmp_path):
    path = tmp_path / "notes.csv"
    path.write_text("day,weather\n1,rain\n")
    with pytest.raises(ValueError, match=f"log {path} is another file, which would be lost"):
        fit(GRU(2, seed=0), regression(20), log=path, **SETTINGS)
    assert path.read_text() == "day,weather\n1,rain\n"


def test_a_folder_is_no_log_and_neither_is_the_checkpoint(tmp_path):
    with pytest.raises(ValueError, match=f"log {tmp_path} is a folder or a device, not a file"):
        fit(GRU(2, seed=0), regression(20), log=tmp_path, **SETTINGS)
    path = tmp_path / "run"
    with pytest.raises(ValueError, match="log must be another file than checkpoint"):
        fit(GRU(2, seed=0), regression(20), log=path, checkpoint=tmp_path / "." / "run", **SETTINGS)
    assert not path.exists()


@pytest.mark.parametrize("left", ["", "st", "step", "step,training_lo", "step,training_loss\n0,na"])
def test_what_a_kill_has_left_of_a_log_is_no_other_file(tmp_path, left):
    path = tmp_path / "run.csv"
    path.write_text(left)
    history = fit(GRU(2, seed=0), regression(20), log=path, **SETTINGS).history
    pd.testing.assert_frame_equal(pd.read_csv(path), history, check_exact=False, rtol=1e-15)


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["validation", "test"])
def test_labels_none_of_which_counts_have_no_accuracy(role):
    x, labels = classes(20)
    ignored = torch.full((20,), -100)
    data = {"validation": (x, labels), role: (x, ignored)}
    with pytest.raises(ValueError, match=r"metric '(loss|accuracy)' must have something to count"):
        fit(Classifier(), (x, labels), loss=nn.CrossEntropyLoss(), metric="accuracy", **(SETTINGS | data))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "acuracy"}, "metric must be one of .*did you mean 'accuracy'"),
        ({"metric": 3}, "metric must be one of 'loss', 'accuracy', 'rmse' or a function, got 3"),
        ({"metric": "accuracy"}, r"metric 'accuracy' must have answers \(..., class\) .* got \(4, 6, 1\)"),
        ({"metric": lambda a, b: 1.0}, "metric must return one number as a tensor, got float"),
        ({"metric": lambda a, b: a}, "metric must return one number as a tensor, got shape"),
        ({"test": "x"}, "test must be a task .*, got str"),
        ({"log": 3}, "log must be a path, got int"),
    ],
)
def test_bad_input_is_refused_in_one_line(options, message):
    with pytest.raises((TypeError, ValueError), match=message) as refusal:
        fit(GRU(2, seed=0), regression(40), **(SETTINGS | options))
    assert "\n" not in str(refusal.value)


def test_answers_of_another_shape_have_no_rmse():
    x, y = regression(40)
    with pytest.raises(ValueError, match=r"metric 'rmse' must have answers and targets of one shape"):
        fit(
            GRU(2, output_size=2, seed=0),
            (x, y),
            loss=lambda a, b: (a - b).square().mean(),
            metric="rmse",
            **SETTINGS,
        )


def test_processes_refuse_what_they_cannot_share():
    fabric = SimpleNamespace(device="cpu", world_size=2, global_rank=0, is_global_zero=True)
    sizes = {"batch_size": 4, "validation_size": 4}
    with pytest.raises(
        ValueError, match=r"batch_size at the end of an epoch must be a multiple of 2 .* got 3"
    ):
        fit(RNN(2, seed=0), regression(7), validation=regression(4), epochs=1, fabric=fabric, **sizes)


@pytest.mark.parametrize("schedule", ["constant", [2]])
def test_a_sweep_says_that_it_has_no_such_schedule(schedule):
    with pytest.raises(ValueError, match="schedule must be one of 'plateau', 'cosine'"):
        sweep([RNN(2, seed=0)], None, schedule=schedule)
