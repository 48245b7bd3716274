"""Loss and accuracy on the path of training, ours and as logged."""

import math

import pytest
import torch

from curse_of_memory.papers.interest import copying_path as path
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks.copying import Copying


@pytest.fixture(scope="module")
def followed(tiny_copying):
    return path.data(**tiny_copying)


def test_the_path_holds_every_third_epoch_of_the_logs(followed):
    logged = followed.table[followed.table.model == path.AUTHORS]
    assert logged.groupby("p").size().to_dict() == {0: 17, 10: 17}
    logs = reference("interest/copying_logs")
    fourth = logs[(logs.memory_length == 20) & (logs.p == 10) & (logs.epoch == 4)]
    assert logged[(logged.p == 10) & (logged.step == 4)].loss.item() == fourth.loss.item()


def test_guessing_is_on_the_dashed_line():
    """A model that knows the time and no digit has the loss and accuracy at which that line begins."""
    task = Copying(2, 4)
    y = task.sample(4000, seed=1).targets
    logits = torch.full((*y.shape, task.output_size), -50.0)
    logits[:, :-2, 0] = 50.0
    logits[:, -2:, 1:9] = 50.0
    loss = torch.nn.functional.cross_entropy(logits.mT, y)
    assert loss.item() == pytest.approx(task.guessing_loss, rel=1e-5)


def test_the_spread_on_the_path_is_over_the_runs_that_got_there(runs_that_learn, expect_spread):
    table = runs_that_learn({0: (1, 8, math.inf), 10: (1, 1, 1)})
    found = path._findings(table, Copying(2, 4))
    label = "TCN: its loss once half the digits are recalled, p = {}".format
    expect_spread(found, label(0), (1.0, 18.0))
    expect_spread(found, label(10), (1.0, 11.0, 21.0))


@pytest.mark.filterwarnings("error")
def test_the_picture_names_its_axes(followed):
    figure = path.plot(followed)
    assert len(figure.axes) == 3
    assert all(axis.get_xlabel() and axis.lines for axis in figure.axes)
    assert figure.axes[0].get_ylabel()


def test_seeds_are_counted():
    with pytest.raises(ValueError, match="seeds"):
        path.data(seeds=0)
