import numpy as np
import pytest

from curse_of_memory.theory.sums.modes import Pairs, RealRates
from curse_of_memory.theory.sums.samples import Samples
from curse_of_memory.theory.sums.variable_projection import Projection

EPS = np.finfo(float).eps
LAGS = np.arange(40)
ROOT_WEIGHT = np.sqrt((40 - LAGS) / 40)
VALUES = (1 + 0.1 * LAGS) ** -1.1 + 0.3 * np.cos(0.4 * LAGS)


@pytest.mark.parametrize(
    ("family", "theta"),
    [
        (RealRates, np.log([0.01, 0.1, 0.5])),
        (Pairs, np.log([0.2, 1.01, 0.5])),  # an oscillation and a real rate
        (Pairs, np.log([0.5, 0.02, 0.1, 0.002])),  # four real rates
        (Pairs, np.log([0.4, 0.04 * (1 + 1e-9), 0.3])),  # rates that are about to meet
        (Pairs, np.log([0.4, 0.04 * (1 + 1e-2), 0.3, 2.0])),
    ],
)
def test_the_jacobian_is_the_derivative(family, theta):
    problem = Projection(family(LAGS), Samples(VALUES, ROOT_WEIGHT))
    jacobian = problem.jacobian(theta)
    h = 1e-5
    for i, unit in enumerate(np.eye(theta.size)):
        slope = (problem.residual(theta + h * unit) - problem.residual(theta - h * unit)) / (2 * h)
        # central differences: h² of a third derivative of order one, and rounding over h, which the
        # conditioning of the basis, up to 1e3 here, amplifies
        np.testing.assert_allclose(jacobian[:, i], slope, rtol=0, atol=8 * h**2 + 1e3 * EPS / h)


@pytest.mark.parametrize("theta", [np.log([0.2, 1.01, 0.5]), np.log([0.5, 0.02, 0.1, 0.002])])
def test_pairs_span_their_exponentials(theta):
    family = Pairs(LAGS)
    basis = family.basis(theta)
    for rate in family.rates(theta):
        for wave in (np.exp(-rate * LAGS).real, np.exp(-rate * LAGS).imag):
            rest = wave - basis @ np.linalg.lstsq(basis, wave)[0]
            assert np.linalg.norm(rest) < 1e-12 * np.linalg.norm(np.exp(-rate * LAGS))


@pytest.mark.parametrize("rates", [[0.1 + 1j, 0.1 - 1j, 2.0], [0.01, 3.0], [1e-6, 20.0, 0.3 + 3j, 0.3 - 3j]])
def test_parameters_of_pairs_give_back_their_rates(rates):
    again = Pairs(np.arange(10)).rates(Pairs.parameters(np.array(rates, dtype=complex)))
    np.testing.assert_allclose(np.sort_complex(again), np.sort_complex(np.array(rates)), rtol=1e-9)


def test_fast_and_slow_rates_overflow_nowhere():
    basis = Pairs(np.arange(10_000)).basis(np.log([30.0, 1e-3, 1e-6, 4.0]))
    assert np.isfinite(basis).all()
    assert np.abs(basis).max() < 10


def test_values_without_weight_are_refused():
    with pytest.raises(ValueError, match="values must not be zero at every lag with weight"):
        Samples(np.array([0.0, 1.0, 1.0]), np.array([1.0, 0.0, 0.0]))
