"""Attention of white inputs: every expected error has an oracle, and its law a limit."""

import numpy as np
import pytest
import torch

from curse_of_memory.tasks import AttentionApproximation
from curse_of_memory.theory.lemmas import attention_memory as memory

ALONE = memory.no_projection(1)


def maps_of(task):
    """Return what the theory takes of a task."""
    maps = memory.no_projection(task.input_size) if task.projection is None else task.projection
    return maps, task.variance


def normal_grid(edge, tile):
    grid = np.arange(-edge, edge + tile / 2, tile)
    return grid, tile * np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)


def given(task, x, past, degrees):
    """Return limit, memoryless, degree 1 … and additive error, of all channels together, for one present."""
    (present,) = memory.presents(x[None], *maps_of(task))
    (errors,), (mean,) = memory.errors_given(present, np.array([float(past)]), degrees)
    return present, errors, mean


@pytest.mark.parametrize("variance", [1.0, 0.6])
def test_two_inputs_by_quadrature(variance):
    """All errors for n = 2 as integrals over both inputs; of one past input everything is additive."""
    xi, chance = normal_grid(9, 0.05)
    x = np.sqrt(variance) * xi
    past, present = np.meshgrid(x, x, indexing="ij")
    share = 1 / (1 + np.exp(present * (present - past)))  # of the past input
    y = share * past + (1 - share) * present
    given_present = chance @ y
    left = chance @ y**2 - given_present**2
    expected = {
        "constant": chance @ y**2 @ chance,
        "limit": chance @ (y - variance * present) ** 2 @ chance,
        "memoryless": left @ chance,
    }
    h = xi, (xi**2 - 1) / np.sqrt(2)
    for p in (1, 2):
        left = left - ((chance * h[p - 1]) @ y) ** 2
        expected[f"degree {p}"] = left @ chance
    found = memory.expected_errors([2], ALONE, variance=variance, degrees=2).iloc[0]
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-7), name
    assert abs(found["additive"]) < 1e-12


@pytest.mark.parametrize("projected", [False, True])
def test_errors_given_the_present_are_those_of_regressions(projected):
    """200 000 pasts of three inputs of two channels: residuals of polynomials summed over the past."""
    draws, past = 200_000, 3
    task = AttentionApproximation(2, past + 1, projected=projected, seed=3, variance=1.3)
    rng = np.random.default_rng(0)
    x = np.sqrt(1.3) * rng.standard_normal((2, draws, past + 1, 2))
    x[1, :, 0] = x[0, :, 0]  # two pasts that share one input
    x[:, :, -1] = [0.9, -1.4]
    present, errors, mean = given(task, x[0, 0, -1], past, degrees=2)
    y, again = (task.answer(torch.from_numpy(one)).numpy()[:, -1] for one in x)
    limit, centred, more = y - present.limit, y - y.mean(0), again - again.mean(0)
    np.testing.assert_allclose(y.mean(0), mean, atol=5 * y.std() / np.sqrt(draws))

    a, b = np.moveaxis(x[0, :, :past], -1, 0)
    first, second = (a, b), (a * a, a * b, b * b)
    residual = {}
    for p, features in enumerate((first, first + second), start=1):
        columns = np.stack([np.ones(draws), *(f.sum(1) for f in features)], 1)
        residual[p] = y - columns @ np.linalg.lstsq(columns, y)[0]
    squares = [(u**2).sum(1) for u in (limit, centred, residual[1], residual[2])]
    squares.append((centred**2).sum(1) - past * (centred * more).sum(1))
    for seen, exact in zip(squares, errors, strict=True):
        assert abs(seen.mean() - exact) < 5 * seen.std() / np.sqrt(draws)
    assert np.all(np.diff(errors) < 0)


def test_without_projections_the_limit_is_the_present_over_the_root_of_the_channels():
    x = np.random.default_rng(0).standard_normal((5, 9))
    found = [p.limit for p in memory.presents(x, memory.no_projection(9), 0.5)]
    np.testing.assert_allclose(found, 0.5 * x / 3, rtol=1e-12)


def test_fluctuations_given_the_present_are_of_one_over_n():
    """n E|y − limit|² → e^{|θ|²} tr V (1 + θθᵀ) Vᵀ; the next term is smaller by about e^{2|θ|²}/n."""
    task = AttentionApproximation(3, 1, projected=True, seed=2)
    assert task.projection is not None
    (Q, q), (K, _), (V, _) = ((m[:-1], m[-1]) for m in task.projection)
    x = np.array([1.0, -0.5, 2.0])
    theta = K @ (x @ Q + q) / np.sqrt(3)
    law = np.exp(theta @ theta) * np.trace(V.T @ (np.eye(3) + np.outer(theta, theta)) @ V)
    n = 10**7
    _, errors, _ = given(task, x, n - 1, degrees=1)
    assert n * errors[0] == pytest.approx(law, rel=1e-5)


def test_where_its_mean_is_finite_the_error_falls_like_one_over_n():
    """For θ ~ N(0, s²) the mean of e^{θ²}(1 + θ²) is (1 − 2s²)^{−1/2} + s² (1 − 2s²)^{−3/2}."""
    s = 0.3
    found = memory.expected_errors([10**9], ALONE, variance=s).limit[0]
    gap = 1 - 2 * s**2
    assert 1e9 * found == pytest.approx(s * (gap**-0.5 + s**2 * gap**-1.5), rel=1e-4)


@pytest.mark.parametrize("s", [0.8, 1.0, 1.25])
def test_else_single_inputs_decide_and_it_falls_more_slowly(s):
    """The slope at n = 10¹⁶, of √(log n) n^{−γ}, whose next factor is 1 + O(1/log n): 1/37² in the slope."""
    n = np.array([10**16, 10**17])
    error = memory.expected_errors(n.tolist(), ALONE, variance=s).limit
    slope = np.diff(np.log(error / np.sqrt(np.log(n))))[0] / np.log(10)
    assert slope == pytest.approx(-(np.sqrt(1 + 4 / s**2) - 1) / 2, abs=0.01)


def one_rival(log_n):
    """Return the logarithm of n E[(z − a)²/(1 + n e^{a²/2 − az})²]."""
    grid = np.arange(-30, 30, 0.02)
    z, a = grid[:, None], grid
    exponent = log_n - (z**2 + a**2) / 2 - 2 * np.logaddexp(0, log_n + a**2 / 2 - a * z)
    top = exponent.max()
    return top + np.log(((z - a) ** 2 * np.exp(exponent - top)).sum() * 0.02**2 / (2 * np.pi))


def test_the_golden_law_is_what_one_rival_of_all_others_does():
    gaps = [one_rival(k * np.log(10)) - np.log(memory.golden_law(10.0**k)) for k in (20, 40, 80)]
    np.testing.assert_allclose(np.abs(gaps[1:]), np.abs(gaps[:-1]) / 2, rtol=0.1)  # of order 1/log n
    assert abs(gaps[-1]) < 0.005
    n = 10**16
    error = memory.expected_errors([n], ALONE).limit[0]
    # the exponent of two rivals at once, by the same reckoning, is 1 − √3
    assert abs(np.log(error) - one_rival(np.log(n))) < n ** (1 - np.sqrt(3)) / n ** ((1 - np.sqrt(5)) / 2)


def test_polynomials_of_high_degree_do_what_functions_do():
    found = memory.expected_errors([2, 3, 8, 64], ALONE, degrees=60)
    errors = found.drop(columns=["step", "constant"]).to_numpy()
    assert np.all(np.diff(errors[:, :8]) < 0)  # beyond, gains are rounding
    np.testing.assert_allclose(
        found["degree 60"], found["additive"], rtol=0, atol=1e-4 * found.memoryless.max()
    )


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="variance must be at most 2"):
        memory.expected_errors([2], ALONE, variance=3.0)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        memory.expected_errors([0], ALONE)
    with pytest.raises(ValueError, match=r"maps must have shape \(3, channels \+ 1, channels\)"):
        memory.expected_errors([2], np.zeros((3, 2, 2)))
