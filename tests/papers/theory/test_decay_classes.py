"""The classes of decays against families whose class is known, under noise of every kind."""

import numpy as np
import pytest

from curse_of_memory.papers.theory import decay_classes as figure

CURVES = 10


@pytest.fixture(scope="module")
def data():
    return figure.data(curves=CURVES, seed=1000)


def test_confident_answers_are_right_in_every_cell(data):
    """At most 5 % of the answers of a confidence of 0.9 may be wrong, in a cell by chance one more curve."""
    confusion = data.table[data.table.panel == "confusion"]
    wrong = confusion[(confusion.answer != confusion.decays) & (confusion.surest >= figure.SURE)]
    for _, cell in wrong.groupby(["family", "noise"]):
        assert cell.curves.sum() <= 1 + 0.05 * CURVES
    assert data.headline["of them wrong"] <= 0.01 * data.headline["answers of confidence >= 0.9"]
    # and it is not for want of confidence
    assert data.headline["answers of confidence >= 0.9"] > 0.3 * CURVES * len(figure.FAMILIES) * 8


def test_answers_of_any_confidence_are_right_more_often_than_it_says(data):
    bins = data.table[data.table.panel == "calibration"]
    rate, low = bins.right / bins.curves, bins.low
    # a standard error of a share of n answers is at most 1/(2 √n)
    assert (rate >= low - 2 / (2 * np.sqrt(bins.curves))).all()


def test_without_noise_and_under_little_every_class_is_right(data):
    share = figure.outcomes(data.table)
    for noise in ("none", "times 1e-6", "times 1 %"):
        assert share.loc[:, (noise, "right")].to_numpy().min() >= 1 - 1 / CURVES
    # 30 % of noise, or a floor of 1e-4, cost a few
    for noise in ("times 10 %", "times 30 %", "plus 1e-4"):
        assert share.loc[:, (noise, "right")].to_numpy().mean() > 0.95


def test_every_curve_is_counted_once(data):
    confusion = data.table[data.table.panel == "confusion"]
    assert (confusion.groupby(["family", "noise"]).curves.sum() == CURVES).all()
    np.testing.assert_allclose(np.asarray(figure.outcomes(data.table).T.groupby("noise").sum()), 1.0)
    told = confusion[confusion.answer != "unknown"].curves.sum()
    bins = data.table[data.table.panel == "calibration"]
    assert bins.curves.sum() == told
    assert bins.right.sum() == confusion[confusion.answer == confusion.decays].curves.sum()


def test_a_seed_names_the_curves():
    one = figure.noisy_memory("polynomial", "times 10 %", 50, seed=3)
    np.testing.assert_array_equal(one, figure.noisy_memory("polynomial", "times 10 %", 50, seed=3))
    assert (one != figure.noisy_memory("polynomial", "times 10 %", 50, seed=4)).any()


def test_the_plot_has_a_bar_for_each_outcome(data):
    drawn = figure.plot(data)
    assert len(drawn.axes) == 2
    assert len(drawn.axes[0].patches) == 3 * len(figure.FAMILIES) * len(figure.NOISES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"families": ["gaussian"]}, "families must be one of .*did you mean 'Gaussian'"),
        ({"noises": ["plus 2 %"]}, "noises must be one of"),
        ({"curves": 0}, "curves must be at least 1"),
        ({"families": []}, "families must not be empty"),
    ],
)
def test_bad_input_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        figure.data(**options)
