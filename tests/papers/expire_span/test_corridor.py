"""Episodes of a corridor, what a training says of them, and what no training can know."""

import numpy as np
import pytest
import torch

from curse_of_memory.papers.expire_span import _corridor as corridor
from curse_of_memory.theory.expiry import reach


def test_episodes_have_one_colour_and_one_question_after_their_delay():
    found = corridor.episodes(300, 3, 8, np.random.default_rng(0))
    colour, asked = found.tokens < corridor.COLOURS, found.tokens == corridor.ASKED
    assert (colour.sum(1) == 1).all()
    assert (asked.sum(1) == 1).all()
    row = torch.arange(300)
    begins = colour.int().argmax(1)
    assert torch.equal(found.tokens[row, begins], found.colours)
    assert torch.equal(asked.int().argmax(1), found.asked)
    assert (found.asked - begins).unique().tolist() == [3, 4, 5, 6, 7, 8]
    assert begins.unique().tolist() == [0, 1, 2, 3, 4, 5]
    assert int(found.tokens.max()) == corridor.TOKENS - 1


def small(**options):
    given = {"width": 8, "ramp": 3, "start": 4.0, "max_span": 30, "updates": 4}
    return given | {"learning_rate": 0.01, "device": "cpu"} | options


@pytest.mark.parametrize("layers", [1, 2])
def test_spans_start_where_they_are_said_to_and_bound_what_is_seen(layers):
    model, spans = corridor.trained(5, 5, seed=0, layers=layers, **small(updates=1, learning_rate=1e-9))
    assert spans["span"].iloc[0] == pytest.approx(4.0)
    seen = reach([4.01] * layers, 3)  # to the step that a rounding makes of 4.0, at most
    tokens = torch.randint(3, 7, (1, seen + 3), generator=torch.Generator().manual_seed(0))
    other = tokens.clone()
    other[0, 0] = 0
    with torch.no_grad():
        change = (model(tokens) - model(other)).abs().amax(-1)[0]
    assert change[seen - layers] > 0
    assert not change[seen + 1 :].any()


def test_a_training_depends_on_its_seed_alone():
    one, again, other = (
        corridor.training("3 to 5", 1, seed, delays=[2, 3, 5], **small()) for seed in (1, 1, 2)
    )
    assert one.equals(again)
    assert not one.equals(other)
    assert one.x[one.kind == "error"].tolist() == [3, 5]  # 2 is no delay of the task
    assert one.x[one.kind == "span"].tolist() == [0, 1, 2, 3]


def test_unseen_colours_are_guessed():
    found = corridor.training("12", 1, 0, delays=[12], **small(updates=15))
    errors = found.y[found.kind == "error"].to_numpy()
    assert abs(errors - 0.5).max() < 5 * 0.5 / np.sqrt(corridor.TRIED)
