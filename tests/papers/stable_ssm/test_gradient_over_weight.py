"""Gradient over weight: the bound of one mode is attained, and in training it is smallest for "best"."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch

mpl.use("agg")

from curse_of_memory.nn import SSM
from curse_of_memory.papers.stable_ssm import gradient_over_weight as figure
from curse_of_memory.papers.stable_ssm._ratios import typical_ratios
from curse_of_memory.theory.reparameterization import get


@pytest.fixture(scope="module")
def data():
    return figure.data(steps=60, batch_size=32, width=8, seeds=3, device="cpu")


@pytest.mark.parametrize("time", [1.5, 20.0])
@pytest.mark.parametrize("name", ["direct", "relu", "softplus", "exp", "tanh", "best"])
def test_the_bound_of_one_mode_is_attained(name, time):
    """Σ_s |∂K_s/∂w| = |f'|/f², but for e^{−60} and the rounding of 60 · time terms of one sign."""
    f = get(name)
    w = float(f.inverse(1 - 1 / time if f.time == "discrete" else -1 / time))
    expected = float(f.gradient_over_weight(w))
    assert figure.reach_gradient(name, w, time) == pytest.approx(expected, rel=60 * time * 1e-15)


def test_the_bound_over_the_weight_is_constant_for_best_only(data):
    theory = data.table[data.table.panel == "theory"].groupby("parameterization").ratio
    np.testing.assert_allclose(theory.min()["best"], 2.0, rtol=1e-12)
    np.testing.assert_allclose(theory.max()["best"], 2.0, rtol=1e-12)
    assert (theory.max() / theory.min()).drop("best").min() > 2
    # τ³ for relu
    relu = data.table[(data.table.panel == "theory") & (data.table.parameterization == "relu")]
    np.testing.assert_allclose(relu.ratio, relu.time**3, rtol=1e-12)


def test_best_has_the_smallest_ratio_under_every_seed_and_relu_the_largest(data):
    typical = typical_ratios(data.table)
    assert len(typical) == 3
    assert (typical.best < typical.drop(columns="best").min(axis=1)).all()
    assert (typical.relu > 5 * typical.drop(columns="relu").max(axis=1)).all()


def test_the_spread_is_over_the_trainings(data, expect_spread):
    rows = data.table[(data.table.panel == "training") & (data.table.parameterization == "best")]
    typical = np.exp(np.log(rows.ratio).groupby(rows.seed).mean())
    expect_spread(data, "typical max |gradient|/|weight|, best", typical)
    assert set(data.spread) == {label for label in data.headline if label.startswith("typical")}


def test_all_maps_start_from_the_same_eigenvalues():
    rates = [
        SSM(8, parameterization=name, seed=1, dtype=torch.float64).multipliers()[0].detach()
        for name in ("relu", "exp", "best")
    ]
    for z in rates[1:]:
        torch.testing.assert_close(z, rates[0], rtol=1e-12, atol=0)


def test_typical_is_the_geometric_mean_over_a_training():
    rows = [("exp", 0, 1.0), ("exp", 0, 100.0), ("best", 0, 2.0), ("best", 0, 0.0)]
    table = pd.DataFrame(rows, columns=["parameterization", "seed", "ratio"]).assign(panel="training")
    found = typical_ratios(table)
    assert found.loc[0, "exp"] == pytest.approx(10.0)
    assert found.loc[0, "best"] == pytest.approx(2.0)  # a gradient of zero has no logarithm


def test_pictures_are_drawn(data):
    left, right = figure.plot(data).axes
    assert left.get_yscale() == right.get_yscale() == right.get_xscale() == "log"
    few = figure.data(
        parameterizations=("direct",), width=2, horizon=5, steps=2, batch_size=2, seeds=1, device="cpu"
    )
    figure.plot(few)
