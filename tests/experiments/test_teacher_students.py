"""Students of a teacher filter: what is learnt, and what the error is a share of."""

import numpy as np
import pandas as pd
import pytest
import torch

from curse_of_memory.experiments.teacher_students import (
    FromRest,
    errors_by_seed,
    filter_of,
    medians,
    perturbed_students,
)
from curse_of_memory.nn.recurrent.gates import ElmanRNN

SMALL = {"activation": "tanh", "diagonal": False, "steps": 60, "batch_size": 32, "learning_rate": 0.02}
SMALL |= {"draws": 3, "samples": 64, "device": "cpu"}


@pytest.fixture(scope="module")
def task():
    return filter_of(ElmanRNN(8, seed=0, dtype=torch.float64), 15)


@pytest.fixture(scope="module")
def students(task):
    return perturbed_students(task, [2, 4], range(2), **SMALL)


def test_a_filter_from_rest_answers_nothing_to_nothing():
    teacher = ElmanRNN(8, seed=0, dtype=torch.float64)
    x = torch.randn(3, 10, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert (teacher(torch.zeros_like(x)) != 0).all()
    # one sequence and a batch of three may be summed in another order
    assert FromRest(teacher)(torch.zeros_like(x)).abs().max() < 1e-15
    drift = teacher(torch.zeros(1, 10, 1, dtype=torch.float64))
    assert torch.allclose(FromRest(teacher)(x), teacher(x) - drift, rtol=0, atol=1e-15)


def test_the_target_has_variance_one(task):
    y = task.sample(2000, seed=1, dtype=torch.float64).targets
    # 2000 independent sequences of variance about one each: 5 standard errors of a variance
    assert y.var().item() == pytest.approx(1, abs=5 * np.sqrt(2 / 2000))


def test_every_width_and_start_is_trained_and_perturbed(students):
    runs = students.groupby(["m", "seed"]).error
    assert sorted(runs.groups) == [(2, 0), (2, 1), (4, 0), (4, 1)]
    assert runs.apply(lambda error: error.is_monotonic_increasing).all()
    # an untrained answer of zero has error one
    assert (students[students.beta == 0].error < 0.5).all()
    assert (students[students.beta > 1].error > 0.5).all()


def test_students_of_one_seed_are_tried_on_sequences_that_are_drawn_once(task, students, monkeypatch):
    asked = []
    draw = type(task).sample

    def counted(self, size, **named):
        asked.append((size, named["seed"], named["dtype"]))
        return draw(self, size, **named)

    monkeypatch.setattr(type(task), "sample", counted)
    again = perturbed_students(task, [2, 4], range(2), **SMALL)
    pd.testing.assert_frame_equal(again, students)
    in_double = [one for one in asked if one[2] == torch.float64]
    assert len(in_double) == len(set(in_double)) == 2


def test_medians_are_by_width_at_one_radius():
    rows = [(4, s, b, 10 * s + b) for s in range(3) for b in (0.0, 1.0)] + [(2, 0, 1.0, 7.0)]
    found = medians(pd.DataFrame(rows, columns=["m", "seed", "beta", "error"]), 1.0)
    assert found.to_dict() == {2: 7.0, 4: 11.0}
    assert list(found.index) == [2, 4]


def test_errors_by_seed_are_those_that_medians_are_of(students):
    found = errors_by_seed(students, 0.032)
    assert found.shape == (2, 2)
    one = students[(students.m == 4) & (students.seed == 1) & (students.beta == 0.032)]
    assert found[4][1] == one.error.item()
    pd.testing.assert_series_equal(found.median(), medians(students, 0.032), check_names=False)
