"""Figure 3: random teachers, whom students approximate stably, and how the teachers forget."""

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from curse_of_memory.nn.recurrent.gates import ElmanRNN
from curse_of_memory.papers.inverse_approximation import teachers as iat

small = partial(iat.data, teacher_width=32, widths=(2, 6), horizon=25, batch_size=64, learning_rate=0.02)
small = partial(small, draws=5, samples=64, seeds=2, device="cpu")


@pytest.fixture(scope="module")
def teachers():
    return small(gains=(0.577, 1.8), steps=200)


def facts(data):
    return data.table[data.table.panel == "teacher"].set_index("gain")


def test_the_teacher_that_survives_forgets_exponentially(teachers):
    """Theorem 3.9: what is approximated stably has e^{βt} M(t) → 0."""
    found = facts(teachers)
    assert found.survives.to_dict() == {0.577: True, 1.8: False}
    assert found.kind[0.577] == "exponential"
    assert found.kind[1.8] != "exponential"
    # the law is fitted over many half-lives: what is left of the slower transient is a few per cent
    assert found.rate[0.577] == pytest.approx(found.predicted[0.577], rel=0.1)


def test_students_of_the_survivor_share_one_envelope(teachers):
    curves = teachers.table[(teachers.table.panel == "students") & (teachers.table.gain == 0.577)]
    wide, narrow = (curves[curves.m == m].groupby("beta").error.median() for m in (6, 2))
    near = wide.index <= 0.032
    assert (wide[near] < 1.1 * narrow[near]).all()


def test_the_gain_is_the_spectral_radius():
    W = iat.random_teacher(400, 0.9, seed=0).get_parameter("network.weight_hh_l0").detach()
    # the circular law; at 400 rows the largest eigenvalue is off by a few times 400^{-1/2}
    assert torch.linalg.eigvals(W).abs().max().item() == pytest.approx(0.9, abs=2 * 0.9 / math.sqrt(400))


def test_the_gain_of_torch_changes_nothing():
    scaled = iat.random_teacher(8, 3**-0.5, seed=3).state_dict()
    for name, weight in ElmanRNN(8, seed=3, dtype=torch.float64).state_dict().items():
        assert torch.allclose(scaled[name], weight, rtol=4e-16, atol=0)


@pytest.mark.parametrize(
    ("narrow", "wide", "stable"), [(0.3, 0.2, True), (0.3, 0.26, False), (0.1, 0.2, False), (0.1, 0.1, True)]
)
def test_surviving_needs_a_small_error_that_does_not_grow_with_the_width(narrow, wide, stable):
    rows = [(4, narrow), (8, 9.0), (16, wide)]
    curves = pd.DataFrame(
        [(m, 0, beta, error if beta == 0.032 else 5.0) for m, error in rows for beta in (0.0, 0.032)],
        columns=["m", "seed", "beta", "error"],
    )
    assert iat.survives(curves) is stable


def test_the_message_counts(teachers):
    assert "Of 2 teachers 1 are approximated stably" in teachers.message
    assert "1 of these 1 forget exponentially" in teachers.message
    assert teachers.headline["approximated stably, gain 1.8"] == "no"


def test_the_spread_is_over_the_students(teachers, expect_spread):
    students = teachers.table[(teachers.table.panel == "students") & (teachers.table.gain == 1.8)]
    for m, beta in ((2, 0.0), (6, 0.032)):
        errors = students[(students.m == m) & (students.beta == beta)].error
        expect_spread(teachers, f"E_{m}({beta:g}) over the variance, gain 1.8", errors)
    assert set(teachers.spread) == {label for label in teachers.headline if label.startswith("E_")}


def test_axes_say_what_they_are(teachers):
    figure = iat.plot(teachers)
    assert len(figure.axes) == 3
    *students, memory = figure.axes
    assert all("beta" in axis.get_xlabel() and axis.get_xscale() == "log" for axis in students)
    assert (memory.get_xscale(), memory.get_yscale()) == ("linear", "log")
    assert "fitted" in " ".join(memory.get_legend_handles_labels()[1])


def test_no_survivor_is_drawn_and_said():
    data = small(gains=(1.8,), steps=5)
    assert data.message.endswith("0 of these 0 forget exponentially.")
    iat.plot(data)


def test_bad_arguments():
    with pytest.raises(ValueError, match="widths must be at least two different"):
        iat.data(widths=(4,))
    with pytest.raises(ValueError, match="seeds"):
        iat.data(seeds=0)
    with pytest.raises(ValueError, match="gain"):
        iat.random_teacher(4, np.nan, 0)
