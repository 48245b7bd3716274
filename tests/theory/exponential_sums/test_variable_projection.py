import functools

import numpy as np
import pytest

from curse_of_memory.theory import targets
from curse_of_memory.theory.exponential_sums import starts
from curse_of_memory.theory.exponential_sums.cascades import Cascade
from curse_of_memory.theory.exponential_sums.modes import Pairs, RealRates, Signed
from curse_of_memory.theory.exponential_sums.real_search import best_real_rates
from curse_of_memory.theory.exponential_sums.samples import Samples
from curse_of_memory.theory.exponential_sums.variable_projection import Projection

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
        (Cascade, np.log([0.3, 0.3 * (1 + 1e-7), 0.02, 1.5])),  # two rates that coincide, almost
        (Cascade, np.log([2.0, 2.0, 2.0])),
        (functools.partial(Signed, alternating=1), np.log([0.2, 1.01, 0.5])),
        (functools.partial(Signed, alternating=2), np.log([0.2, 0.5, 0.02])),
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
        for wave in (np.real(np.exp(-rate * LAGS)), np.imag(np.exp(-rate * LAGS))):
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


@pytest.mark.parametrize("size", [12, 100, 128, 129, 1000])
def test_a_cascade_spans_exponentials_and_where_rates_coincide_their_limits(size):
    lags = np.arange(size)
    basis = Cascade(lags).basis(np.log([0.05, 0.4, 0.4, 0.4]))
    expected = [np.exp(-0.05 * lags)] + [lags**k * np.exp(-0.4 * lags) for k in range(3)]
    for wave in expected:
        rest = wave - basis @ np.linalg.lstsq(basis, wave)[0]
        assert np.linalg.norm(rest) < 1e-12 * np.linalg.norm(wave)


@pytest.mark.parametrize("size", [300, 1000, 20_000])
def test_condensed_lags_keep_all_products(size):
    """Gram matrices and products with the values, of slow, fast, coinciding and very different rates."""
    draws = np.random.default_rng(size)
    values, root = draws.standard_normal(size), np.exp(-draws.uniform(0, 3) * np.arange(size) / size)
    plain, few = Samples(values, root), Samples(values, root, condensed=True)
    assert few.lags.size < 140
    for rates in (
        [1e-7, 0.3 / size, 10 / size],
        [0.1, 0.101, 0.102, 0.103],
        [3.0, 3.0, 3.0, 3.0],
        [1e-3, 30],
    ):
        theta = np.log(rates)
        A, B = (one.weighed(Cascade(one.lags).basis(theta)) for one in (plain, few))
        # the last lag decides the sizes of the columns
        sizes = np.linalg.norm(A, axis=0)
        A, B = A / sizes, B / np.linalg.norm(B, axis=0)
        np.testing.assert_allclose(B.T @ B, A.T @ A, rtol=0, atol=1e-12)
        np.testing.assert_allclose(B.T @ few.y, A.T @ plain.y, rtol=0, atol=1e-12)


def test_a_search_ends_at_the_same_digits_whatever_lies_beside_it_in_memory():
    """Late memories make it long and badly conditioned; in between, other arrays come and go."""
    values, ends = targets.named("iat-code-shift")(np.arange(64.0)), set()
    for size in (10, 1000, 30_000):
        filled = [np.full(size + 7 * k, float(k)) for k in range(50)]
        del filled[::2]
        search = best_real_rates(Samples(values, np.ones(64)), starts.directions(values), 5, 1e-14)
        ends.add(b"".join(one.rates.tobytes() for one in search))
    assert len(ends) == 1
