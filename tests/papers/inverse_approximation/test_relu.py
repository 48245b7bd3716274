"""ReLU networks, and the helper that trains and perturbs networks for three figures."""

import numpy as np
import pandas as pd
import pytest

from curse_of_memory.experiments.perturbed_networks import BETAS, direct_over_softplus, perturbed_networks
from curse_of_memory.measure import perturbation_curve
from curse_of_memory.nn import RNN
from curse_of_memory.papers.inverse_approximation import relu as iat
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets
from curse_of_memory.training import fit


@pytest.fixture(scope="module")
def relu():
    return iat.data(widths=(2, 4), horizon=60, steps=100, draws=10, samples=64, seeds=2)


def test_every_network_is_in_the_table(relu):
    runs = relu.table.groupby(["parameterization", "m", "seed"])
    assert set(runs.groups) == {(p, m, s) for p in ("direct", "softplus") for m in (2, 4) for s in (0, 1)}
    assert all(np.array_equal(run.beta, BETAS) for _, run in runs)


def test_a_perturbed_direct_weight_is_worse_and_curves_never_fall(relu):
    for _, run in relu.table.groupby(["parameterization", "m", "seed"]):
        assert run.error.is_monotonic_increasing
    far = relu.table[relu.table.beta == BETAS[-1]].pivot(
        index=["m", "seed"], columns="parameterization", values="error"
    )
    assert (far.direct > 1e6 * far.softplus).all()


def test_the_spread_is_over_the_seeds(relu, expect_spread):
    errors = relu.table.set_index(["beta", "parameterization", "m", "seed"]).error
    rest = [errors[0.0, "direct", 4, seed] for seed in (0, 1)]
    expect_spread(relu, "E_4(0), direct, median of the seeds", rest)
    ratios = [
        np.sqrt(np.prod([errors[0.128, "direct", m, s] / errors[0.128, "softplus", m, s] for m in (2, 4)]))
        for s in (0, 1)
    ]
    expect_spread(relu, "relu, E(direct) / E(softplus) at β = 0.128", ratios)
    assert set(relu.spread) == set(relu.headline)


def test_so_it_is_in_the_authors_logs():
    logs = reference("inverse_approximation/activations")
    logs = logs[(logs.activation == "relu") & np.isclose(logs.beta, 0.064)]
    errors = logs.pivot(index="m", columns="parameterization", values="error")
    assert sorted(errors.index) == [8, 16, 32, 64]
    assert (errors.direct > 100 * errors.softplus).all()


def test_networks_are_those_of_fit_and_perturbation_curve():
    """The plain twin of the batched helper: one network, trained and perturbed by itself."""
    settings = {"steps": 20, "batch_size": 8, "learning_rate": 0.02}
    table = perturbed_networks(
        ["relu"], [3], [0, 1], horizon=20, draws=4, samples=16, device="cpu", **settings
    )
    model = RNN(3, activation="relu", parameterization="softplus", seed=1)
    task = LinearFunctional(targets.named("iat-code-polynomial"), 20)
    fit(
        model, task, validation_size=16, validate_every=25, decay_patience=3, seed=1, device="cpu", **settings
    )
    curve = perturbation_curve(model.double(), task, BETAS, draws=4, samples=16, seed=1, device="cpu")
    ours = table[(table.parameterization == "softplus") & (table.seed == 1)].error
    # twenty steps amplify the rounding of sums in another order, 6e-8, by far less than 1e4
    assert ours.to_numpy() == pytest.approx(curve.error.values, rel=6e-4)


def test_ratios_are_geometric_means_and_unreadable_ones_are_left_out():
    rows = [
        (p, m, 0, beta, error)
        for m, errors in ((2, (8.0, 2.0)), (4, (3.0, 3.0)))
        for p, error in zip(("direct", "softplus"), errors, strict=True)
        for beta in (0.032, 0.128)
    ]
    table = pd.DataFrame(rows, columns=["parameterization", "m", "seed", "beta", "error"])
    table["activation"] = "relu"
    table.loc[(table.beta == 0.128) & (table.m == 2), "error"] = np.nan
    ours, theirs, by_seed = direct_over_softplus(table)
    assert ours == {"relu, E(direct) / E(softplus) at β = 0.032": pytest.approx(2.0)}
    assert set(theirs) == set(by_seed) == set(ours)


def test_axes_say_what_they_are(relu):
    figure = iat.plot(relu)
    for axis in figure.axes:
        assert "beta" in axis.get_xlabel()
        assert axis.get_xscale() == axis.get_yscale() == "log"
        assert len(axis.lines) >= 6  # two of ours, four of the authors


def test_seeds_are_checked():
    with pytest.raises(ValueError, match="seeds must be at least 1"):
        iat.data(seeds=0)
