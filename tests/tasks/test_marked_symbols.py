"""Marked symbols: what is asked, by hand and by the numbers of chance."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from curse_of_memory.tasks import MarkedSymbols


def test_labels_are_the_marked_symbols_in_their_order():
    task = MarkedSymbols(9, marked=4, symbols=5)
    rows, labels = task.sample(50, seed=3)
    assert rows.shape == (50, 13)
    for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
        source, before = row[:9], row[9:]
        assert [word - 5 for word in source if word >= 7] == label
        assert before == [0, *label[:-1]]
        assert all(2 <= word < task.vocabulary for word in source)


def test_symbols_and_places_are_uniform():
    task = MarkedSymbols(6, marked=2, symbols=4)
    rows, _ = task.sample(20_000, seed=0)
    source = rows[:, :6]
    # shares of 20 000 and 120 000 draws, five standard errors
    marked = (source >= 6).double().mean(0)
    assert (marked - 1 / 3).abs().max() < 5 * math.sqrt(2 / 9 / 20_000)
    counts = np.bincount((source.flatten().numpy() - 2) % 4, minlength=4) / 120_000
    assert abs(counts - 1 / 4).max() < 5 * math.sqrt(3 / 16 / 120_000)


@pytest.mark.parametrize(("marked", "symbols"), [(1, 3), (2, 3), (3, 4), (4, 2)])
def test_knowing_the_symbols_but_not_their_order_is_the_mean_over_all_targets(marked, symbols):
    costs = [
        -math.log(target.count(word) / marked)
        for target in product(range(symbols), repeat=marked)
        for word in target
    ]
    task = MarkedSymbols(5, marked=marked, symbols=symbols)
    assert task.unordered == pytest.approx(sum(costs) / len(costs), abs=1e-14)
    assert task.guessing == math.log(symbols)


def test_of_many_marked_symbols_it_is_near_the_logarithm_of_all():
    """With c − 1 binomial of mean (K − 1)/S, ln(c/K) is ln(1/S) up to a few parts in its variance."""
    task = MarkedSymbols(3000, marked=3000, symbols=5)
    assert task.unordered == pytest.approx(math.log(5), abs=2 * 5 / 3000)
    assert MarkedSymbols(3000, marked=2000, symbols=1).unordered == pytest.approx(0, abs=1e-12)


def test_accuracy_is_told_by_step():
    task = MarkedSymbols(3, marked=2, symbols=2)
    labels = torch.tensor([[2, 3], [3, 3]])
    answers = torch.nn.functional.one_hot(torch.tensor([[2, 2], [3, 3]]), 6).double()
    assert task.accuracy(answers, labels).tolist() == [1.0, 0.5]


def test_more_marks_than_symbols_are_refused():
    with pytest.raises(ValueError, match="marked must be at most length = 4, got 5"):
        MarkedSymbols(4, marked=5)
