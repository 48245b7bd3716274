"""Convolutions by one layer: bounds, best fits and trained layers, each against the others."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from curse_of_memory.papers.ssm_universality import convolution as paper
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory.hankel import weighted_lower_bound

BOTH = (paper.SSM_MARK, paper.S4D_MARK)


@pytest.fixture(scope="module")
def data():
    return paper.data(widths=(1, 2, 4, 8), trained_widths=(2, 8), seeds=1, horizon=48)


@pytest.fixture(scope="module")
def errors(data):
    return data.table.groupby(["kind", "kernel", "width"]).error.min()


def test_every_kind_has_its_widths_and_seeds(data):
    counts = data.table.groupby(["kernel", "kind"]).size().unstack("kind")
    assert (counts[[paper.REAL, paper.PAIRS, paper.FLOOR]] == 4).all(axis=None)
    assert (counts[list(BOTH)] == 2).all(axis=None)
    assert set(counts.index) == set(paper.TARGETS)


def test_nothing_is_below_the_bound(errors):
    floor = errors[paper.FLOOR]
    for kind in (paper.REAL, paper.PAIRS, *BOTH):
        assert (errors[kind] >= floor[errors[kind].index]).all()
    assert (errors[paper.PAIRS] <= errors[paper.REAL] * (1 + 1e-9) + 1e-15).all()


def test_the_bound_is_that_of_the_library_and_not_zero(errors):
    rho = paper.TARGETS["delayed"](np.arange(48.0))
    found = errors[paper.FLOOR]["delayed"]
    for m in (2, 4):
        # the fit's own bound stops where it is as good as met, at 0.99 of the error
        assert 0.9 * weighted_lower_bound(rho, m).bound <= found[m]
    assert found[8] > 1e-3


def test_a_sum_of_two_exponentials_takes_two_states(errors):
    assert errors[paper.FLOOR]["exponential", 1] > 0.1
    assert errors[paper.REAL]["exponential", 2] < 1e-13
    assert errors[paper.SSM_MARK]["exponential", 2] < 1e-6
    # and a conjugate pair is no two real rates
    assert errors[paper.S4D_MARK]["exponential", 2] > 0.01


def test_the_polynomial_kernel_is_proved_best(errors):
    assert (errors[paper.PAIRS]["polynomial"] < 1.02 * errors[paper.FLOOR]["polynomial"]).all()
    assert (errors[paper.REAL]["polynomial"] < 1.02 * errors[paper.FLOOR]["polynomial"]).all()


@pytest.mark.parametrize("kernel", ["Airy", "delayed"])
def test_what_oscillates_or_is_delayed_wants_pairs(data, kernel):
    found = paper.medians(data.table).loc[kernel, 8]
    assert 10 * found[paper.PAIRS] < found[paper.REAL]
    assert 3 * found[paper.S4D_MARK] < found[paper.SSM_MARK]


def test_the_spread_is_over_the_trainings(data, expect_spread):
    """With a second training, four times as wrong; of the one that there is there is no spread."""
    assert data.spread == {}
    trained = data.table[data.table.kind.isin(BOTH)]
    found = paper._findings(pd.concat([data.table, trained.assign(seed=1, error=4 * trained.error)]))
    labels = [f"{name}, m = 8, {kind}" for name, kind in itertools.product(paper.TARGETS, BOTH)]
    for label in labels:
        expect_spread(found, label, [data.headline[label], 4 * data.headline[label]])
    assert set(found.spread) == set(labels)


@pytest.mark.parametrize("kind", BOTH)
def test_the_error_of_a_layer_is_that_of_its_answers(kind):
    """For an impulse the answer is the memory itself, by the scan and not by the closed form."""
    task = LinearFunctional(paper.TARGETS["polynomial"], 32)
    model = paper.layers(4, 0)[kind]
    error = paper._error_of_trained(model, task, descent=50, evaluations=10)
    impulse = torch.zeros(1, 32, 1, dtype=torch.float64)
    impulse[0, 0] = 1.0
    answers = model(impulse)[0, :, 0].detach().numpy()
    assert error == pytest.approx(np.linalg.norm(answers - task.rho) / np.linalg.norm(task.rho), rel=1e-9)
    assert error < 0.3


def test_layers_of_one_seed_are_the_same_and_of_two_are_not():
    weights = [
        torch.cat([p.flatten() for p in paper.layers(4, seed)[kind].parameters()])
        for kind, seed in itertools.product(BOTH, (0, 0, 1))
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": (0,)}, "widths must be at least 1"),
        ({"trained_widths": (3,)}, "trained_widths must be even"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"horizon": 8, "widths": (5,)}, "terms must be at most half the 8"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        paper.data(**arguments)


def test_every_panel_says_what_it_shows(data):
    figure = paper.plot(data)
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "exponential, $e^{-t/20}-0.6e^{-0.3t}$",
        "polynomial, $(1+t/10)^{-1.1}$",
        r"Airy, $\mathrm{Ai}(t-6)$",
        "delayed, $e^{-(t-16)^{2}/18}$",
    ]
    assert all(axis.get_xlabel() for axis in figure.axes[2:])
    plt.close(figure)
