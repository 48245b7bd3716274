"""How many exponentials: lower bound, best fits and training, each against the others."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from curse_of_memory.papers.theory import how_many_exponentials as paper
from curse_of_memory.theory.hankel import hankel_singular_values


@pytest.fixture(scope="module")
def found():
    return paper.data(horizon=40, widths=(1, 2, 3), evaluations=20)


def test_bound_fits_and_training_stand_in_order(found):
    table = found.table
    assert len(table) == 12
    assert (table.lower_bound <= table["any"]).all()
    assert (table["any"] <= table.real).all()
    assert (table.limit <= table.real).all()
    # what is exact is exact up to rounding in either
    assert (table["any"] <= table.trained * (1 + 1e-6) + 1e-14).all()
    within = table[~table.alternates]
    assert (within.real <= within.trained * (1 + 1e-6) + 1e-14).all()


def test_three_exponentials_take_three(found):
    errors = found.table[found.table.target == "three exponentials"].set_index("m")
    assert errors.real[2] > 1e-3
    assert errors.real[3] < 1e-13
    assert errors.lower_bound[3] == 0


def test_the_polynomial_memory_is_proved_best_to_two_per_cent(found):
    errors = found.table[found.table.target == "polynomial"]
    assert (errors["any"] < 1.02 * errors.lower_bound).all()


def test_sigma_is_the_hankel_singular_value_after_the_last(found):
    sizes = hankel_singular_values(paper.TARGETS["polynomial"](np.arange(40)))
    rows = found.table[found.table.target == "polynomial"]
    np.testing.assert_allclose(rows.sigma, sizes[1:4] / sizes[0], rtol=1e-12)


def test_the_caption_says_what_is_theorem_and_what_measurement(found):
    for words in ("a theorem", "upper bounds", "better ones are not excluded", "measurements"):
        assert words in found.message
    ratio = (found.table["any"] / found.table.lower_bound)[found.table.target == "Airy"].max()
    assert f"for Airy's up to {ratio:.2f} and" in found.message


def test_every_panel_says_what_it_shows(found):
    figure = paper.plot(found)
    assert [axis.get_title(loc="left") for axis in figure.axes] == list(paper.LABELS.values())
    assert all(axis.get_xlabel() for axis in figure.axes[2:])
    assert all(axis.get_ylabel() for axis in figure.axes[::2])
    plt.close(figure)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": (0, 1)}, "widths must be at least 1"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"horizon": 8, "widths": (5,)}, "terms must be at most half the 8"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        paper.data(**arguments)
