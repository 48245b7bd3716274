"""The adding problem: its sequences, and what answers can reach, against what they do reach."""

import math

import numpy as np
import pytest
import torch

from curse_of_memory.tasks import Adding

EPS = float(np.finfo(float).eps)
LENGTHS = pytest.mark.parametrize("horizon", [2, 3, 7, 10])


@LENGTHS
def test_sequences_are_those_of_the_definition(horizon):
    x, y = Adding(horizon).sample(200, seed=0, dtype=torch.float64)
    assert x.shape == (200, horizon, 2)
    assert y.shape == (200, 1)
    for (values, markers), target in zip(x.mT.tolist(), y[:, 0].tolist(), strict=True):
        assert all(0 <= value < 1 for value in values)
        assert sorted(markers) == [0] * (horizon - 2) + [1, 1]
        first = markers.index(1)
        second = markers.index(1, first + 1)
        assert first < horizon // 2 <= second
        assert target == values[first] + values[second]


def test_the_example_of_the_docstring():
    values, markers = (
        [float(n) for n in Adding.__doc__.split(name)[1].split("target")[0].split("\n")[0].split()]
        for name in ("    values ", "    markers ")
    )
    target = float(Adding.__doc__.split("target ")[1].split()[0])
    assert np.dot(values, markers) == pytest.approx(target)
    assert (sum(markers[:3]), sum(markers[3:])) == (1, 1)


def test_values_and_positions_are_uniform_and_independent():
    N, T = 20_000, 7
    x, _ = Adding(T).sample(N, seed=1, dtype=torch.float64)
    values, markers = x[..., 0].numpy(), x[..., 1].numpy()
    # means and second moments of U(0, 1); five standard errors
    assert np.abs(values.mean(0) - 1 / 2).max() < 5 * math.sqrt(1 / 12 / N)
    assert np.abs((values**2).mean(0) - 1 / 3).max() < 5 * math.sqrt(4 / 45 / N)
    off = np.corrcoef(values.T) - np.eye(T)
    assert np.abs(off).max() < 5 / math.sqrt(N)
    pairs = markers[:, :3].T @ markers[:, 3:] / N
    assert np.abs(pairs - 1 / 12).max() < 5 * math.sqrt(1 / 12 / N)


# --- what can be had ----------------------------------------------------------------------------


def squared_errors(answers, y):
    """Mean square, and five of its standard errors."""
    squares = (answers - y).ravel() ** 2
    return squares.mean(), 5 * squares.std() / math.sqrt(len(squares))


@LENGTHS
def test_the_best_constant_is_one_and_its_error_a_sixth(horizon):
    task = Adding(horizon)
    _, y = (t.numpy() for t in task.sample(50_000, seed=2, dtype=torch.float64))
    error, off = squared_errors(np.ones_like(y), y)
    assert task.guessing_loss == pytest.approx(1 / 6, rel=EPS)
    assert abs(error - task.guessing_loss) < off
    assert abs(y.mean() - 1) < 5 * y.std() / math.sqrt(len(y))


@LENGTHS
def test_the_best_affine_answer_is_a_least_squares_fit(horizon):
    """Fitted on one draw, tested on another: the fit is off by some 2 T / N of the variance."""
    task = Adding(horizon)
    (x, y), (x_new, y_new) = (
        (t.numpy() for t in task.sample(50_000, seed=seed, dtype=torch.float64)) for seed in (3, 4)
    )
    design, new = (np.concatenate([t.reshape(len(t), -1), np.ones((len(t), 1))], 1) for t in (x, x_new))
    weights = np.linalg.lstsq(design, y, rcond=1e-10)[0]
    error, off = squared_errors(new @ weights, y_new)
    assert abs(error - task.linear_loss) < off + 8 * horizon / len(y)
    # its weights are the probabilities of being the marked value
    m, n = horizon // 2, horizon - horizon // 2
    expected = np.repeat([1 / m, 1 / n], [m, n])
    np.testing.assert_allclose(weights[:-1:2, 0], expected, atol=5 * math.sqrt(2 / len(y)))


def test_a_linear_answer_is_as_bad_as_none_for_long_sequences():
    assert Adding(2).linear_loss == pytest.approx(0, abs=EPS)
    for horizon in (10, 1000):
        assert Adding(horizon).linear_loss == pytest.approx(1 / 6 - 1 / (3 * horizon), rel=4 * EPS)


@pytest.mark.parametrize("horizon", [2, 3, 7, 10])
@pytest.mark.parametrize("share", [0, 0.2, 0.5, 0.9, 1])
def test_who_remembers_the_last_steps_errs_by_what_was_before(horizon, share):
    """The conditional mean: marked values that are seen, and 1/2 for each that is not."""
    task, steps = Adding(horizon), round(share * horizon)
    x, y = (t.numpy() for t in task.sample(50_000, seed=5, dtype=torch.float64))
    seen = x[:, horizon - steps :]
    answers = (seen[..., 0] * seen[..., 1]).sum(1) + (2 - seen[..., 1].sum(1)) / 2
    error, off = squared_errors(answers, y[:, 0])
    assert abs(error - task.loss_within(steps)) <= off + 4 * EPS
    assert task.loss_within(0) == task.guessing_loss
    assert task.loss_within(horizon + 3) == task.loss_within(horizon) == 0


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: Adding(1), ValueError, "horizon must be at least 2, got 1"),
        (lambda: Adding(4.0), TypeError, "horizon must be a whole number"),
        (lambda: Adding(4).loss_within(-1), ValueError, "steps must not be negative"),
        (lambda: Adding(4).sample(0, seed=0), ValueError, "size must be at least 1"),
    ],
)
def test_bad_input_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
