"""The picture of the tour is of what was measured."""

import numpy as np
import pytest
import xarray as xr

from curse_of_memory.papers.tour import getting_started
from curse_of_memory.theory import targets

RHO = targets.polynomial(exponent=1.1, rate=0.1)
LAGS = np.arange(20)


@pytest.fixture(scope="module")
def data():
    learnt = xr.DataArray(RHO(LAGS) + 0.01 * (LAGS == 3), {"lag": LAGS}, ["lag"])
    other = xr.DataArray(0.5**LAGS, {"lag": LAGS}, ["lag"])
    curve = xr.Dataset({"error": ("beta", [0.0, 0.1, 0.4])}, {"beta": [0.0, 0.01, 0.1]})
    return getting_started.data(RHO, learnt, other, curve, seed=3, device="cpu")


def test_every_curve_is_in_the_table(data):
    assert data.table.groupby("curve").size().to_dict() == {
        "target": 20,
        "trained RNN": 20,
        "random LSTM": 20,
        "perturbation error": 3,
    }
    target = data.table[data.table.curve == "target"]
    np.testing.assert_array_equal(target.value, RHO(LAGS))
    assert data.parameters == {"seed": 3, "device": "cpu"}
    assert data.name == "tour/getting_started"


def test_the_headline_is_the_largest_gap(data):
    assert data.headline["largest error of the learnt memory"] == pytest.approx(0.01, rel=1e-12)
    assert f"keeps {0.5**10:.0e} at lag 10" in data.message


@pytest.mark.filterwarnings("error")
def test_the_picture_has_the_target_as_a_line_and_measurements_as_marks(data):
    memory, perturbed = getting_started.plot(data).axes
    target, *measured = memory.lines
    assert (target.get_linestyle(), target.get_marker()) == ("-", "None")
    assert [line.get_linestyle() for line in measured] == ["None", "None"]
    assert memory.get_legend_handles_labels()[1] == [r"target $\rho$", "trained RNN", "random LSTM"]
    assert perturbed.get_xlabel()
    assert perturbed.get_ylabel()
