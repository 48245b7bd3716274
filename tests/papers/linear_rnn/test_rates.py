"""How many exponentials a memory needs: bounds, certificates and fits in their order."""

import numpy as np
import pytest

from curse_of_memory.papers.linear_rnn import rates as rates_figure


@pytest.fixture(scope="module")
def rates():
    return rates_figure.data(orders=(1, 2), omegas=(1, 2), tolerances=(0.1, 0.01), largest=16, free=3)


def test_lower_bounds_are_below_what_they_bound(rates):
    bounded = rates.table.dropna(subset="lower")
    assert len(bounded)
    assert (bounded.lower <= bounded.value).all()


def test_free_exponents_need_the_fewest_terms(rates):
    curves = rates.table[(rates.table.panel == "curse") & (rates.table.target == "ω = 1")]
    needed = {
        method: curve[curve.value <= 0.05].terms.min()
        for method, curve in curves[curves.terms >= 1].groupby("method")
    }
    assert needed["free"] < needed["geometric"] <= needed["equispaced"] < needed["truncation"]


def test_certified_sums_keep_their_tolerance(rates):
    geometric = rates.table[rates.table.method == "geometric"]
    assert np.all(geometric.value.to_numpy() <= np.tile([0.1, 0.01], 2))


def test_the_slowest_rate_of_polynomial_memory_falls(rates):
    slowest = rates.table[rates.table.panel == "abscissa"].pivot(
        index="terms", columns="target", values="value"
    )
    assert (slowest["e⁻ᵗ/(1 + t)"] > 1).all()
    assert (slowest["ω = 1"].diff().dropna() < 0).all()
    assert slowest["ω = 1"].iloc[-1] < 0.2


def test_axes_say_what_they_are(rates):
    figure = rates_figure.plot(rates)
    for axis in figure.axes:
        assert axis.get_xlabel()
        assert axis.get_ylabel()
        assert axis.lines


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="omegas must be positive"):
        rates_figure.data(omegas=(0,))
    with pytest.raises(ValueError, match="largest must be at least 1"):
        rates_figure.data(largest=0)
