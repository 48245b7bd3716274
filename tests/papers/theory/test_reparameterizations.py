import math

import numpy as np
import pytest

from curse_of_memory.papers.theory import reparameterizations

SMALL = {"points": 41, "largest_beta": 1.0}


def test_the_curves_are_the_formulas_of_the_paper():
    table = reparameterizations.data(names=["direct", "best", "exp"], **SMALL).table
    curves = {key: c for key, c in table[table.kind == "closed form"].groupby(["name", "panel"])}
    best, direct, exp = curves["best", "ratio"], curves["direct", "f"], curves["exp", "g"]
    np.testing.assert_allclose(best.value, 2 * np.abs(best["at"]), rtol=1e-14, atol=1e-15)
    assert (np.asarray(direct["at"]) < 0).all()
    np.testing.assert_allclose(exp.value, np.expm1(exp["at"]), rtol=1e-15)
    assert np.isinf(curves["direct", "g"].value.iloc[1:]).all()


def test_what_the_spec_prints_is_met():
    data = reparameterizations.data(names=["best"], **SMALL)
    assert data.headline == pytest.approx(data.paper, rel=4e-4)


def test_the_caption_sorts_theorem_from_search():
    message = reparameterizations.data(names=["softplus", "direct"], **SMALL).message
    assert "finite for softplus and infinite for direct" in message
    assert "numerically" in message


def test_every_panel_is_drawn_and_labelled():
    figure = reparameterizations.plot(reparameterizations.data(**SMALL))
    assert len(figure.axes) == 3
    assert all(axis.get_xlabel() and axis.get_ylabel() and axis.lines for axis in figure.axes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["bset"]}, "did you mean 'best'"),
        ({"names": ["lru"]}, "continuous-time"),
        ({"largest_weight": 0.0}, "largest_weight must be positive"),
        ({"largest_beta": math.nan}, "largest_beta must be finite"),
        ({"points": 0}, "points must be at least 1"),
    ],
)
def test_bad_parameters_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        reparameterizations.data(**arguments)
