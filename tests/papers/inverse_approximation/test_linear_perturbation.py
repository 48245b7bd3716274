"""Linear RNNs perturbed: one envelope for exponential memory, crossings for polynomial memory."""

import numpy as np
import pytest

from curse_of_memory.papers.inverse_approximation import linear_perturbation
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.theory.stability import crossing


@pytest.fixture(scope="module")
def linear():
    return linear_perturbation.data(widths=(1, 2, 3), horizon=300, draws=50)


def curves(table, target, kind):
    chosen = table[(table.target == target) & (table.kind == kind)]
    return chosen.pivot(index="beta", columns="m", values="error")


def test_exponential_memory_has_one_envelope(linear):
    best = curves(linear.table, "exponential", "best fit")
    inside = best[(best.index > 0) & (best.index < 0.1)]
    assert (inside.max(axis=1) / inside.min(axis=1)).max() < 1.5
    assert best.loc[0.0].max() < 1e-12  # one mode is exact: rounding is all that is left


def test_polynomial_memory_wider_is_better_at_rest_and_worse_when_shaken(linear):
    best = curves(linear.table, "polynomial", "best fit")
    assert best.loc[0.0].is_monotonic_decreasing
    assert best.iloc[-1].is_monotonic_increasing
    marches = list(linear.headline.values())
    assert len(marches) == 2
    assert marches[0] > marches[1] > 0


def test_trained_models_are_the_best_fits(linear):
    for target in ("exponential", "polynomial"):
        best, trained = (curves(linear.table, target, kind).loc[0.0] for kind in ("best fit", "trained"))
        # Gauss-Newton stops at a relative change of 1e-12 of the squared error; 1e-6 in the error
        assert np.abs(best - trained).max() < 1e-6


def test_curves_never_fall(linear):
    for _, curve in linear.table.groupby(["target", "m", "kind"]):
        assert curve.sort_values("beta").error.is_monotonic_increasing


def test_authors_digitised_crossings_march_left_too():
    printed = reference("inverse_approximation/figure1")
    polynomial = printed[printed.target == "polynomial"].pivot(index="beta", columns="m", values="error")
    found = []
    for narrow, wide in ((2, 4), (4, 6), (6, 8), (8, 14)):
        both = polynomial[[narrow, wide]].dropna()
        found.append(crossing(both.index.to_numpy(), np.asarray(both[narrow]), np.asarray(both[wide])))
    dots = reference("inverse_approximation/figure1_crossings").beta.to_numpy()
    assert (np.diff(found) < 0).all()
    # read off the picture directly, against interpolated between values a factor of two apart
    assert np.abs(np.log(found / dots)).max() < np.log(1.3)


def test_axes_say_what_they_are():
    figure = linear_perturbation.plot(linear_perturbation.data(widths=(1, 2), horizon=30, draws=2))
    for axis in figure.axes:
        assert "beta" in axis.get_xlabel()
        assert axis.get_xscale() == axis.get_yscale() == "log"
