import itertools
import math

import numpy as np
import pytest
import torch

from curse_of_memory.losses import TemporallyWeightedCrossEntropy, TemporallyWeightedMSE
from curse_of_memory.tasks import Copying

EPS = float(np.finfo(float).eps)


def by_hand(digits, blank, symbols):
    """One sequence, step by step."""
    m = len(digits)
    shown, asked = [], []
    for step in range(blank + 2 * m):
        if step < m:
            shown.append(digits[step])
        else:
            shown.append(symbols + 1 if step >= m + blank - 1 else 0)
        asked.append(digits[step - m - blank] if step >= m + blank else 0)
    return shown, asked


@pytest.mark.parametrize(("m", "blank", "symbols"), [(3, 4, 8), (1, 1, 1), (5, 1, 2), (2, 30, 8)])
def test_sequences_are_those_of_the_definition(m, blank, symbols):
    task = Copying(m, blank, symbols=symbols, encoding="raw")
    x, y = task.sample(50, seed=0, dtype=torch.float64)
    assert x.shape == y.shape == (50, blank + 2 * m, 1)
    for shown, asked in zip(x[..., 0].tolist(), y[..., 0].tolist(), strict=True):
        assert (shown, asked) == by_hand(shown[:m], blank, symbols)
        assert all(1 <= digit <= symbols for digit in shown[:m])


def test_the_example_of_the_docstring():
    text = Copying.__doc__
    shown = [int(n) for n in text.split("inputs   ")[1].split("\n")[0].split()]
    asked = [int(n) for n in text.split("targets  ")[1].split("\n")[0].split()]
    assert (shown, asked) == by_hand([2, 7, 1], 4, symbols=8)


@pytest.mark.parametrize(
    ("encoding", "targets", "sizes"),
    [
        ("one_hot", "classes", (10, 10)),
        ("one_hot", "digits", (10, 1)),
        ("raw", "classes", (1, 10)),
        ("raw", "digits", (1, 1)),
    ],
)
def test_encodings_say_the_same(encoding, targets, sizes):
    task = Copying(4, 6, encoding=encoding, targets=targets)
    assert (task.input_size, task.output_size) == sizes
    x, y = task.sample(20, seed=3)
    plain = Copying(4, 6, encoding="raw", targets="digits").sample(20, seed=3)
    shown = x.argmax(-1, keepdim=True) if encoding == "one_hot" else x
    asked = y[..., None] if targets == "classes" else y
    assert torch.equal(shown.float(), plain.inputs)
    assert torch.equal(asked.float(), plain.targets)
    if encoding == "one_hot":
        assert torch.equal(x.sum(-1), torch.ones(20, 14))
    assert y.dtype == (torch.int64 if targets == "classes" else torch.get_default_dtype())


def test_targets_follow_the_encoding_unless_given():
    assert Copying(1, 1).targets == "classes"
    assert Copying(1, 1, encoding="raw").targets == "digits"


def test_digits_are_uniform_and_independent():
    N, m, K = 20_000, 3, 4
    digits = Copying(m, 1, symbols=K, encoding="raw").sample(N, seed=1).inputs[:, :m, 0].long() - 1
    for a, b in itertools.combinations(range(m), 2):
        share = torch.bincount(K * digits[:, a] + digits[:, b], minlength=K**2) / N
        # a share p of N draws has standard deviation sqrt(p (1 − p) / N)
        assert (share - 1 / K**2).abs().max() < 5 * math.sqrt(1 / K**2 / N)


# --- what can be had without memory -------------------------------------------------------------


@pytest.mark.parametrize(("m", "printed"), [(10, 99.02), (20, 98.08), (100, 91.67), (150, 88.46)])
def test_the_trivial_baselines_of_the_copying_logs(m, printed):
    """Blank length 1000, sequences of 1020, 1040, 1200 and 1300 steps; per cent, two decimals."""
    task = Copying(m, 1000)
    assert round(100 * task.always_blank.everywhere, 2) == printed
    assert task.horizon == {10: 1020, 20: 1040, 100: 1200, 150: 1300}[m]


@pytest.mark.parametrize("targets", ["classes", "digits"])
def test_always_blank_is_what_silence_scores(targets):
    task = Copying(7, 30, targets=targets)
    _, y = task.sample(9, seed=0)
    assert task.accuracy(torch.zeros(9, task.horizon, task.output_size), y) == task.always_blank


def test_guessing_is_the_mean_over_all_sequences():
    """Every sequence of m digits once; the guess is always the digit 1, or the mean digit."""
    m, K, blank = 2, 3, 4
    every = list(itertools.product(range(1, K + 1), repeat=m))
    asked = torch.tensor([by_hand(digits, blank, K)[1] for digits in every])
    classes = Copying(m, blank, symbols=K)
    recall = torch.arange(classes.horizon) >= m + blank
    ones = torch.nn.functional.one_hot(recall.long(), K + 2).expand(len(every), -1, -1).double()
    found = classes.accuracy(ones, asked)
    np.testing.assert_allclose(found, classes.guessing, rtol=8 * EPS)

    log_p = torch.full((len(every), classes.horizon, K + 2), -math.inf, dtype=torch.float64)
    log_p[:, ~recall, 0] = 0
    log_p[:, recall, 1 : K + 1] = -math.log(K)
    loss = TemporallyWeightedCrossEntropy()(log_p, asked).item()
    assert math.isclose(loss, classes.guessing_loss, rel_tol=16 * EPS)

    digits = Copying(m, blank, symbols=K, targets="digits")
    mean = torch.where(recall, (K + 1) / 2, 0.0).double()[:, None].expand(len(every), -1, -1)
    loss = TemporallyWeightedMSE()(mean, asked[..., None].double()).item()
    assert math.isclose(loss, digits.guessing_loss, rel_tol=16 * EPS)


def test_accuracy_counts_positions():
    task = Copying(2, 3, encoding="raw")
    y = torch.tensor([[0, 0, 0, 0, 0, 5, 6], [0, 0, 0, 0, 0, 1, 2]])[..., None].float()
    said = y.clone()
    said[0, 5], said[1, 0], said[1, 6] = 7, 3, 2.4  # one digit wrong, one blank wrong, one rounded right
    assert task.accuracy(said, y) == (3 / 4, 12 / 14)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: Copying(0, 10), ValueError, "memory_length must be at least 1"),
        (lambda: Copying(10, 0), ValueError, "blank must be at least 1"),
        (lambda: Copying(10, 1, symbols=0), ValueError, "symbols must be at least 1"),
        (lambda: Copying(10, 1, encoding="onehot"), ValueError, "did you mean 'one_hot'"),
        (lambda: Copying(10, 1, targets="class"), ValueError, "did you mean 'classes'"),
        (lambda: Copying(2, 3).accuracy(torch.zeros(1, 7, 9), torch.zeros(1, 7)), ValueError, "7, 10"),
        (lambda: Copying(2, 3).accuracy(torch.zeros(1, 7, 10), torch.zeros(7)), ValueError, r"\(1, 7\)"),
    ],
)
def test_bad_input_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
