"""The Lorenz-96 functional against its energy balance, its linear limit and the order of its integrator."""

import numpy as np
import pytest
import torch

from curse_of_memory.tasks.lorenz96 import Lorenz96


def white(size, horizon, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((size, horizon, 1)))


def test_the_quadratic_part_does_no_work():
    """Σ z dz/dt = −Σ z² + F Σ z + z_0 x, whatever z (rounding: 8 terms of size 10)."""
    task = Lorenz96(5, forcing=0.7)
    z, x = 2 * np.random.default_rng(0).standard_normal((8, 50)), np.linspace(-1, 1, 50)
    power = (z * task.velocity(z, x)).sum(0)
    assert np.abs(power - (-(z**2).sum(0) + 0.7 * z.sum(0) + z[0] * x)).max() < 1e-12


def test_velocity_is_the_equation_site_by_site():
    z = np.random.default_rng(1).standard_normal(5)
    expected = [(z[(i + 1) % 5] - z[i - 2]) * z[i - 1] - z[i] + 0.5 + 3.0 * (i == 0) for i in range(5)]
    found = Lorenz96(2, sites=5, observed=1).velocity(z[:, None], np.array([3.0]))[:, 0]
    assert np.abs(found - expected).max() < 1e-14


def test_rest_stays_at_rest():
    assert not Lorenz96(20).answer(torch.zeros(2, 20, 1, dtype=torch.float64)).any()


@pytest.mark.parametrize("observed", [0, 2, 4, 7])
def test_small_inputs_see_the_linear_memory(observed):
    """y = ε (ρ ∗ x) + O(ε²): the relative gap is proportional to ε."""
    task = Lorenz96(40, observed=observed, substeps=8)
    x = white(4, 40)
    linear = np.array([np.convolve(task.linear_memory(), one)[:40] for one in x[..., 0].numpy()])
    gaps = []
    for size in (1e-3, 5e-4):
        y = task.answer(size * x)[..., 0].numpy()
        gaps.append(np.abs(y / size - linear).max() / np.abs(linear).max())
    assert gaps[0] < 1e-2
    if observed:  # the driven site has no term of second order in itself
        assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.05)


def test_steps_are_of_order_four():
    """Twice as many substeps make the error 2⁴ times smaller; less, the next order, by a few tenths."""
    x = white(8, 20)
    exact, coarse, fine = (Lorenz96(20, substeps=n).answer(3 * x) for n in (32, 2, 4))
    assert (coarse - exact).abs().max() / (fine - exact).abs().max() == pytest.approx(16, rel=0.25)


@pytest.mark.parametrize(("forcing", "decays"), [(0.87, True), (0.91, False)])
def test_memory_decays_below_eight_ninths(forcing, decays):
    """The fastest wave of 24 sites grows at −1 + F (cos 75° − cos 150°), of sign change at F = 0.889."""
    memory = np.abs(Lorenz96(8000, sites=24, forcing=forcing).linear_memory())
    assert (memory[-500:].max() < memory[2000:2500].max()) == decays


def test_samples_are_seeded_batches():
    task = Lorenz96(12, variance=4.0)
    x, y = task.sample(3, seed=1, dtype=torch.float32)
    assert x.shape == y.shape == (3, 12, 1)
    assert x.dtype == y.dtype == torch.float32
    assert torch.equal(task.sample(3, seed=1, dtype=torch.float32).targets, y)
    assert not torch.equal(task.sample(3, seed=2, dtype=torch.float32).targets, y)
    assert torch.equal(task.answer(x)[:2], task.answer(x[:2]))


def test_the_repr_tells_tasks_apart():
    assert repr(Lorenz96(12)) != repr(Lorenz96(12, observed=3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sites": 3}, "sites must be at least 4, got 3"),
        ({"observed": 8}, "observed must be one of the sites 0 to 7, got 8"),
        ({"dt": 0.0}, "dt must be positive"),
        ({"substeps": 0}, "substeps must be at least 1"),
        ({"variance": -1.0}, "variance must be positive"),
    ],
)
def test_bad_input_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Lorenz96(10, **options)
