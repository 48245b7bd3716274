"""Streams of the trainings: what is asked in a row can be known from that row."""

import numpy as np
import pytest
import torch

from curse_of_memory.papers.expire_span._stream_trainings import in_rows
from curse_of_memory.tasks.labelled_streams import Corridor, LabelledStream, ObjectCollision

LONG = Corridor(longest=60, shortest=60)  # every answer is 61 steps old


@pytest.mark.parametrize("rows", [1, 4, 7])
def test_what_is_asked_in_a_row_stands_in_it(rows):
    stream = in_rows(LONG, 900, rows, (0, 2))
    labels = stream.labels.view(rows, -1)
    length = -(-900 // rows)
    assert labels.shape[1] == 61 + length
    row, place = np.nonzero(labels.numpy() >= 0)
    assert torch.equal(stream.inputs.view(rows, -1)[row, place - 61], labels[row, place])
    # one door in every 62 steps, of those that may be asked in all rows together
    assert abs(len(row) - rows * length / 62) <= 1
    assert (place >= 61).all()
    assert torch.equal(stream.asked, stream.ages >= 0)


def test_no_question_is_lost_or_asked_twice():
    """The steps in which a row asks follow on those of the row before."""
    task = ObjectCollision(4, colours=2, form="vectors")
    stream = in_rows(task, 600, 3, (1, 2))
    inputs = stream.inputs.view(3, -1, task.input_size)
    asking = inputs[:, -200:].flatten(0, 1)
    before = inputs.shape[1] - 200
    whole = task.stream(before + 600, seed=(1, 2))
    assert torch.equal(asking, whole.inputs[before:])
    assert torch.equal(stream.labels.view(3, -1)[:, -200:].flatten(), whole.labels[before:])
    assert (stream.labels.view(3, -1)[:, :before] < 0).all()


def test_a_stream_in_which_nothing_is_asked_is_refused():
    with pytest.raises(ValueError, match="tried_steps must be enough for a question, got 40 steps") as caught:
        in_rows(LONG, 40, 4, (0, 2))
    assert "\n" not in str(caught.value)
    assert isinstance(in_rows(LONG, 62, 4, (0, 2)), LabelledStream)
