"""The first steps of many searches: derivatives, descent, and where it ends."""

import numpy as np
import pytest

from curse_of_memory.theory import bias
from curse_of_memory.theory.exponential_sums import starts
from curse_of_memory.theory.exponential_sums.cascades import Cascade
from curse_of_memory.theory.exponential_sums.first_steps import _descent, first_steps
from curse_of_memory.theory.exponential_sums.fits import fit_exponential_sums
from curse_of_memory.theory.exponential_sums.samples import Samples
from curse_of_memory.theory.exponential_sums.variable_projection import Projection

WEAKEST = 1e-13
T = np.arange(60.0)
VALUES = {"polynomial": (1 + 0.3 * T) ** -1.2, "late": T**2 * np.exp(-0.3 * T), "turning": np.cos(0.4 * T)}


def begun(m: int, k: int = 5) -> np.ndarray:
    """Random logarithms of rates, largest first; in the first row all of them coincide."""
    thetas = np.random.default_rng(m).normal(-2, 1, (k, m))
    thetas[0] = thetas[0, 0]
    return -np.sort(-thetas)


@pytest.mark.parametrize("lags", [np.arange(60), np.array([0, 1, 2, 3, 5, 9, 30, 200, 1000])])
@pytest.mark.parametrize("m", [1, 2, 4])
def test_many_bases_are_those_of_each(lags, m):
    family, thetas = Cascade(lags), begun(m)
    bases, slopes = family.many(thetas)
    for theta, basis, by_each in zip(thetas, bases, slopes, strict=True):
        assert basis == pytest.approx(family.basis(theta), rel=1e-12)
        for i, (columns, slope) in enumerate(family.slopes(theta)):
            assert by_each[:, i, columns] == pytest.approx(slope, rel=1e-12, abs=1e-15)
            assert not by_each[:, i, : columns.start].any()


@pytest.mark.parametrize("weights", ["plain", "condensed"])
@pytest.mark.parametrize("what", VALUES)
def test_residuals_and_their_derivatives_are_those_of_the_projection(what, weights):
    values = VALUES[what] if weights == "plain" else np.tile(VALUES[what], 10) * 0.99 ** np.arange(600)
    samples = Samples(values, np.ones(values.size), condensed=weights == "condensed")
    family, thetas = Cascade(samples.lags), begun(3)
    projection = Projection(family, samples, weakest=WEAKEST)
    squares, g, H = _descent(family, samples, thetas, WEAKEST)
    for k, theta in enumerate(thetas):
        r, J = projection.residual(theta), projection.jacobian(theta)
        # bases whose rates coincide or nearly do are conditioned to some 1e4
        assert squares[k] == pytest.approx(r @ r, rel=1e-9)
        assert g[k] == pytest.approx(J.T @ r, rel=1e-8, abs=1e-10)
        assert H[k] == pytest.approx(J.T @ J, rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("what", VALUES)
def test_no_start_ends_higher_and_the_best_is_the_minimum_of_minpack(what):
    samples = Samples(VALUES[what], np.ones(T.size))
    family = Cascade(samples.lags)
    projection = Projection(family, samples, weakest=WEAKEST)
    thetas = np.log(np.stack(starts.ladders(T.size, 3)))
    before = np.sqrt(_descent(family, samples, -np.sort(-thetas), WEAKEST)[0])
    found, after = first_steps(family, samples, thetas, 30, WEAKEST)
    assert (after <= before).all()
    assert after == pytest.approx([projection.error(theta) for theta in found], rel=1e-6, abs=1e-12)
    searched = min(projection.search(theta, 400)[1] for theta in thetas)
    assert after.min() <= searched * (1 + 1e-3) + 1e-10  # where nothing is left, normal equations end sooner


def test_where_nothing_moves_the_starts_are_the_ends():
    samples = Samples(np.eye(1, 9).ravel(), np.ones(9))  # met by any mode that is gone after one step
    thetas = np.full((2, 1), np.log(40.0))
    found, errors = first_steps(Cascade(samples.lags), samples, thetas, 10, WEAKEST)
    assert found == pytest.approx(thetas)
    assert errors == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("weight", [None, bias.power(0)])
@pytest.mark.parametrize("multiplier", [0.5, 0.9, 0.999])
def test_one_exponential_is_met_by_one_and_others_are_left_out(multiplier, weight):
    """Where a search ends above rounding errors, more terms would be fitted to what is left of it."""
    for fit in fit_exponential_sums(multiplier ** np.arange(1000.0), 4, weight):
        assert fit.error < 1e-14
        assert fit.rates[0] == pytest.approx(-np.log(multiplier), rel=1e-12)
        assert not fit.coefficients[1:].any()
