"""The data of the FitzHugh-Nagumo neuron: the public recipe, the equation, and plain predictors."""

import itertools

import numpy as np
import pytest
import scipy.integrate
import torch

from curse_of_memory.tasks import Batch, FitzHughNagumo
from curse_of_memory.tasks.fitzhugh_nagumo import autoregression_error, persistence_error


def recipe(count, seed=1234):
    """The public recipe, written down from its facts, with numpy's global generator."""
    np.random.seed(seed)  # noqa: NPY002
    series = []
    for _ in range(count):
        start = np.random.uniform(-1, 1, 1)[0]  # noqa: NPY002

        def velocity(t, state):
            v, w = state
            return [v - v**3 / 3 - w + 0.5, 1 / 50 * (v + 0.7 - 0.8 * w)]

        times = np.linspace(0, 400, 1001)
        series.append(scipy.integrate.solve_ivp(velocity, [0, 400], [start, 0.0], t_eval=times).y[0])
    return np.array(series)


def test_published_series_are_those_of_the_recipe_bit_for_bit():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    sets = FitzHughNagumo().published(3, 2, 4, dtype=torch.float64)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    whole = recipe(9)
    for batch, rows in zip(sets, (slice(0, 3), slice(3, 5), slice(5, 9)), strict=True):
        assert np.array_equal(batch.inputs[..., 0].numpy(), whole[rows, :-1])
        assert np.array_equal(batch.targets[..., 0].numpy(), whole[rows, 1:])
    assert FitzHughNagumo().published(1, 1, 1).train.inputs.dtype == torch.float32


def test_other_numbers_of_series_are_other_parts_of_one_stream():
    task = FitzHughNagumo(20, dt=0.4)
    first, other = task.published(3, 1, 1), task.published(1, 2, 2)
    assert torch.equal(first.train.inputs[1:], other.validation.inputs)
    assert not torch.equal(first.train.inputs, task.published(3, 1, 1, seed=1).train.inputs)


@pytest.mark.parametrize("epsilon", [1 / 5, 1 / 50])
def test_series_solve_the_equation_up_to_the_tolerances_of_the_generator(epsilon):
    task = FitzHughNagumo(100, epsilon=epsilon)
    starts = np.array([-0.5, 0.8])

    def velocity(t, state):
        v, w = state
        return v - v**3 / 3 - w + 0.5, epsilon * (v + 0.7 - 0.8 * w)

    for start, series in zip(starts, task.trajectories(starts), strict=True):
        times = 0.4 * np.arange(101)
        exact = scipy.integrate.solve_ivp(
            velocity, (0, 40), (start, 0), t_eval=times, method="Radau", rtol=1e-9, atol=1e-9
        )
        assert 1e-5 < np.abs(series - exact.y.T).max() < 0.05


def test_the_noise_floor_is_the_distance_to_single_exact_steps():
    task, starts = FitzHughNagumo(30), np.array([0.3, -0.9])

    def velocity(t, state):
        v, w = state
        return v - v**3 / 3 - w + 0.5, (v + 0.7 - 0.8 * w) / 50

    off = []
    for series in task.trajectories(starts):
        for now, later in itertools.pairwise(series):
            exact = scipy.integrate.solve_ivp(velocity, (0, 0.4), now, method="LSODA", rtol=1e-11, atol=1e-12)
            off.append(exact.y[0, -1] - later[0])
    assert task.noise_floor(starts) == pytest.approx(np.sqrt(np.mean(np.square(off))), rel=1e-5)


def test_plain_predictors_have_the_errors_that_are_known_of_the_data():
    sets = FitzHughNagumo().published(64, 1, 128)
    # known of 128 and 1024 series to three digits; of fewer they differ by some percent
    assert persistence_error(sets.test) == pytest.approx(0.0785, rel=0.03)
    assert autoregression_error(sets.train, sets.test, 2) == pytest.approx(0.0304, rel=0.05)
    assert autoregression_error(sets.train, sets.test, 10) == pytest.approx(0.0274, rel=0.05)


def test_an_autoregression_finds_the_coefficients_of_its_own_kind():
    generator = np.random.default_rng(0)
    x = generator.standard_normal((4, 50))
    y = 0.5 * x - 0.25 * np.pad(x, ((0, 0), (2, 0)))[:, :-2]
    batch = Batch(*(torch.from_numpy(part[..., None]) for part in (x, y)))
    assert autoregression_error(batch, batch, 3) < 1e-14
    # without the third input, what it contributes is left
    assert autoregression_error(batch, batch, 2) == pytest.approx(0.25 * x[:, :-2].std(), rel=0.1)
    assert persistence_error(batch) == pytest.approx(np.sqrt(np.mean((y - x) ** 2)), rel=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": 0}, "train must be at least 1"),
        ({"test": 1.5}, "test must be a whole number"),
        ({"seed": -1}, "seed must not be negative"),
        ({"seed": 2**32}, r"seed must be below 2\^32"),
    ],
)
def test_bad_numbers_of_series_are_refused(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        FitzHughNagumo(3).published(**options)


def test_starts_of_another_shape_are_refused():
    for method in (FitzHughNagumo(3).trajectories, FitzHughNagumo(3).noise_floor):
        with pytest.raises(ValueError, match=r"starts must have 1 dimension\(s\), got shape \(2, 2\)"):
            method(np.zeros((2, 2)))
