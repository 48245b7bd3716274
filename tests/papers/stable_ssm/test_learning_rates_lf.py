"""Learning rates on a linear functional, and the table and picture by learning rate."""

import math

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("agg")

from curse_of_memory.papers.stable_ssm import learning_rates_lf as figure
from curse_of_memory.papers.stable_ssm._by_rate import KINDS, loss_cells, rate_text, sound
from curse_of_memory.papers.stable_ssm._maps import GROWING
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets

STABLE = ["softplus", "exp", "best"]


@pytest.fixture(scope="module")
def data():
    return figure.data(learning_rates=(5e-3, 5e-1, 5e0), width=8, steps=300, seeds=2, device="cpu")


def test_only_direct_diverges_and_at_the_largest_learning_rate_it_does(data):
    status = data.table.set_index("kind").status
    assert (status.loc[STABLE] == "finished").all()
    fast = data.table[(data.table.learning_rate == 5) & data.table.kind.isin([GROWING, "direct"])]
    assert (fast.status == "diverged").all()
    assert fast.loss.isna().all()


def test_stable_maps_bear_larger_learning_rates(data):
    largest = sound(data.table, 0.05 * figure.zero_model_loss(100))
    assert (largest[STABLE] == 0.5).all()
    assert not (largest[[GROWING, "direct"]] > 0.005).any()


def test_all_kinds_start_from_the_same_model_but_for_the_sign():
    for seed in (0, 1):
        rates = {
            kind: -np.log1p(figure._model(kind, 6, seed).recurrence().detach().numpy()) for kind in KINDS
        }
        low, high = np.array(figure.CLOCK) / 2
        assert ((rates["direct"] > low) & (rates["direct"] < high)).all()
        for kind in STABLE:
            np.testing.assert_allclose(rates[kind], rates["direct"], rtol=1e-10)
        np.testing.assert_allclose(rates[GROWING], -rates["direct"], rtol=1e-10)
        readouts = [figure._model(kind, 6, seed).output_weight.detach().numpy() for kind in KINDS]
        assert all((c == readouts[0]).all() for c in readouts)


def test_answering_zero_costs_the_mean_square_of_the_targets():
    """Within five standard errors of the mean over 20 000 sequences."""
    y = LinearFunctional(targets.named("iat-code-polynomial"), 30).sample(20_000, seed=0).targets
    squares = y.double().square().mean((1, 2)).numpy()
    error = squares.std() / math.sqrt(squares.size)
    assert figure.zero_model_loss(30) == pytest.approx(squares.mean(), abs=5 * error)


def table(rows):
    return pd.DataFrame(rows, columns=["kind", "learning_rate", "seed", "loss"])


def test_cells_are_means_with_deviations_or_say_who_diverged():
    rows = [("exp", 0.1, 0, 1.0), ("exp", 0.1, 1, 3.0), ("exp", 1, 0, math.nan), ("exp", 1, 1, 2.0)]
    cells = loss_cells(table(rows))
    assert cells.index.tolist() == ["0.1", "1"]
    assert cells.index.name == "learning rate"
    assert cells.exp.tolist() == ["2 (1)", "diverged (1 of 2)"]
    assert loss_cells(table([("best", 5, 0, 0.25)])).best.tolist() == ["0.25"]


def test_the_largest_sound_learning_rate_is_that_of_the_worst_run():
    rows = [("exp", 0.1, 0, 1.0), ("exp", 0.1, 1, 1.5), ("exp", 1, 0, math.nan), ("exp", 1, 1, 0.5)]
    rows += [("best", 0.1, 0, 9.0), ("best", 1, 0, math.inf)]
    found = sound(table(rows), 2.0)
    assert found.to_dict()["exp"] == 0.1
    assert math.isnan(found.to_dict()["best"])
    assert [rate_text(rate) for rate in found] == ["0.1", "none"]


def test_the_spread_is_over_the_largest_rates_of_each_seed(expect_spread):
    rows = [("exp", 0.1, 0, 0.001), ("exp", 0.1, 1, 0.001), ("exp", 1, 0, 0.5), ("exp", 1, 1, 0.002)]
    rows += [("best", rate, seed, loss) for rate, seed, loss in ((0.1, 0, 0.5), (0.1, 1, 0.001))]
    found = figure._findings(table(rows).assign(status="finished"), zero=1.0)
    label = "largest learning rate with less than 1% left, {}".format
    expect_spread(found, label("exp"), [0.1, 1.0])
    # one seed bears no rate at all
    for none in (found.headline[label("best")], found.spread[label("best")].low):
        assert isinstance(none, float)
        assert math.isnan(none)


def test_every_kind_has_a_spread(data):
    assert set(data.spread) == set(data.headline)
    assert all(spread.runs == 2 for spread in data.spread.values())


def test_printed_table_and_picture(data):
    assert data.printed.columns.tolist() == list(KINDS)
    assert data.printed.loc["5", "direct"] == "diverged (2 of 2)"
    (axis,) = figure.plot(data).axes
    assert axis.get_xscale() == axis.get_yscale() == "log"
    gone = figure.data(
        kinds=("direct",), learning_rates=(50.0,), width=2, horizon=50, steps=5, seeds=1, device="cpu"
    )
    figure.plot(gone)  # nothing but divergence
