"""Stable reparameterisation: one envelope, and trained networks inside the bounds of their own kernel."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from curse_of_memory.experiments.error_bounds import within_bounds
from curse_of_memory.nn import RNN
from curse_of_memory.papers.inverse_approximation import stable_reparameterization as iat
from curse_of_memory.report.reference_numbers import reference


@pytest.fixture(scope="module")
def stable():
    return iat.data(widths=(1, 2, 3), horizon=300, draws=8, budget=4)


def errors(table, parameterization, column):
    chosen = table[(table.kind == "best fit") & (table.parameterization == parameterization)]
    return chosen.pivot(index="beta", columns="m", values=column)


@pytest.mark.parametrize("parameterization", ["exp", "softplus"])
def test_stable_curves_keep_one_envelope(stable, parameterization):
    """Certified: no wider fit is ever twice as bad as a narrower one, and at rest wider is better."""
    lower, upper = (errors(stable.table, parameterization, side) for side in ("lower", "upper"))
    for narrow, wide in ((1, 2), (1, 3), (2, 3)):
        assert (upper[wide] < 2 * lower[narrow]).all()
    assert lower.loc[0.0].is_monotonic_decreasing


def test_direct_and_relu_curves_do_not(stable):
    """A direct rate that changes its sign grows; one of relu ends at zero, and its mode forgets nothing."""
    for name, factor in (("direct", 1e6), ("relu", 3)):
        lower, upper = (errors(stable.table, name, side) for side in ("lower", "upper"))
        assert (lower[3] / upper[1]).max() > factor
        assert lower.loc[0.0].is_monotonic_decreasing


def test_crossings_march_to_zero_for_direct_and_relu_only(stable):
    found = {
        name: [beta for label, beta in stable.headline.items() if label.startswith(f"{name}: E_")]
        for name in ("direct", "relu", "exp", "softplus")
    }
    assert len(found["direct"]) == 2
    assert found["direct"][1] < found["direct"][0] / 2
    # up to there no rate has changed its sign, and the two are one map
    assert found["relu"] == pytest.approx(found["direct"], rel=1e-6)
    for name in ("exp", "softplus"):
        # where they cross at all, it is on the common envelope: an order of magnitude later
        assert min(found[name]) > 5 * max(found["direct"][1:])


def test_trained_networks_lie_within_the_bounds_of_their_own_kernel(stable):
    trained = stable.table[stable.table.kind == "trained"]
    known = trained[np.isfinite(trained.worst)]
    assert len(known) == len(trained) == 4 * 3 * 4
    assert within_bounds(known).all()
    assert (known.random <= known.worst * (1 + 1e-9)).all()
    # and the bounds say something
    assert (known[known.beta < 0.01].upper < 1.5 * known[known.beta < 0.01].lower).all()


def test_trained_networks_are_the_best_fits(stable):
    rest = stable.table[stable.table.beta == 0]
    best, trained = (
        rest[rest.kind == kind].set_index(["parameterization", "m"]) for kind in ("best fit", "trained")
    )
    # Gauss-Newton stops at a relative change of 1e-12 of the squared error; 1e-6 in the error
    assert np.abs(trained.worst - best.lower.reindex(trained.index)).max() < 1e-6


def test_bounds_that_are_left_are_noticed():
    inside = {"lower": 1.0, "upper": 2.0, "random": 0.9, "worst": 1.5}
    rows = [inside, inside | {"worst": 0.99}, inside | {"worst": 2.01}, inside | {"random": 2.01}]
    assert within_bounds(pd.DataFrame(rows)).tolist() == [True, False, False, False]


def test_the_kernel_of_a_network_is_its_sum():
    model = RNN.from_exponential_sum(rates=[0.3, 1.2], coefficients=[2.0, -0.5], parameterization="exp")
    found = iat._kernel(model)
    assert found.rates == pytest.approx([0.3, 1.2], rel=1e-14)
    assert found.coefficients == pytest.approx([2.0, -0.5], rel=1e-14)


def test_lru_logs_of_the_authors_keep_an_envelope_too():
    logs = reference("inverse_approximation/lru_logs")
    assert sorted(set(logs.m)) == [8, 16, 32, 64]
    rest = logs[logs.beta == 0].set_index("m").error
    assert rest.is_monotonic_decreasing
    assert (logs.error < 1e4).all()


def test_axes_say_what_they_are(stable):
    figure = iat.plot(stable)
    assert len(figure.axes) == 4
    for axis in figure.axes:
        assert "beta" in axis.get_xlabel()
        assert axis.get_xscale() == axis.get_yscale() == "log"


def test_errors_near_the_largest_float_are_drawn_without_a_word(stable):
    """As they are at full scale, where a direct W grows for 4000 steps; warnings are errors here."""
    table = stable.table.copy()
    table.loc[(table.parameterization == "direct") & (table.beta > 0.1), ["lower", "upper"]] = 1e305
    drawn = iat.plot(replace(stable, table=table))
    drawn.draw_without_rendering()
    assert drawn.axes[0].get_ylim() == iat.plot(stable).axes[0].get_ylim()


def test_another_parameterization_is_drawn():
    data = iat.data(widths=(1, 2), parameterizations=("best",), horizon=50, draws=2, budget=1)
    assert data.paper == {}
    iat.plot(data)


def test_one_width_has_no_envelope():
    with pytest.raises(ValueError, match="widths must be at least two different"):
        iat.data(widths=(2,))
    with pytest.raises(ValueError, match="widths must hold different values, got 2 twice"):
        iat.data(widths=(2, 2))
