"""Copying under weights: what is trained, what is noted, and what the authors' logs say."""

import math

import numpy as np
import pandas as pd
import pytest

from curse_of_memory.papers.interest import copying
from curse_of_memory.papers.interest._copying_runs import MODELS, ON_LOGITS, copying_runs
from curse_of_memory.tasks.copying import Copying


@pytest.fixture(scope="module")
def found(tiny_copying):
    return copying.data(**tiny_copying)


def test_every_validation_of_every_run_is_in_the_table(found):
    sizes = found.table.groupby(["model", "p", "seed"]).size()
    assert len(sizes) == len(MODELS) * 2 * 2
    assert sizes.eq(3).all()  # steps 0, 5 and 10
    assert found.table.step.unique().tolist() == [0, 5, 10]


def test_losses_are_those_that_were_trained(found):
    """Without weights they are the plain cross-entropy, wherever the weight would stand; with weights not."""
    plain = found.table[found.table.p == 0]
    # the same float32 numbers, but for the order of a sum of 32 · 8 terms
    assert np.abs(plain.loss / plain.cross_entropy - 1).max() < 256 * np.finfo(np.float32).eps
    weighted = found.table[(found.table.p == 10) & (found.table.step == 10)]
    assert (np.abs(weighted.loss / weighted.cross_entropy - 1) > 1e-3).all()


def test_the_weight_is_on_the_logits_of_that_row_only(found):
    """Weights next to zero leave chance, ln 10: most of the steps are at p = 10."""
    last = copying.last_rows(found.table)
    start = found.table[(found.table.step == 0) & (found.table.p == 10)].set_index(["model", "seed"]).loss
    pairs = start.unstack("seed")
    assert not np.allclose(pairs.loc["TCN"], pairs.loc[ON_LOGITS], rtol=1e-3)
    assert (last.loc[ON_LOGITS, 10].loss > 0.3 * math.log(10)).all()


def test_accuracies_over_all_positions_contain_those_of_the_recall(found):
    task = Copying(2, 4)
    blanks = (found.table.everywhere * task.horizon - found.table.recall * task.memory_length).to_numpy()
    assert (blanks > -1e-9).all()
    assert (blanks < task.horizon - task.memory_length + 1e-9).all()


def test_digits_are_recalled_once_there_has_been_training():
    """And sooner with the weight where the digits are."""
    task = Copying(1, 2)
    sizes = {"width": 8, "levels": 2, "kernel_size": 3}
    settings = {"steps": 80, "batch_size": 32, "learning_rate": 0.01, "validate_every": 10, "device": "cpu"}
    runs = copying_runs(["SSM"], task, (0, 10), (0, 1), **sizes, **settings, validation_size=64)
    recall = runs.groupby(["p", "step"]).recall.mean()
    assert recall[10.0, 80] > 0.9
    assert recall[10.0].mean() > recall[0.0].mean()


def test_the_logs_are_those_of_24_runs():
    logs = copying.authors_runs()
    assert set(logs.groupby(["memory_length", "p"]).size()) == {50}
    assert len(logs) == 24 * 50


def test_the_logs_show_no_advantage_of_a_larger_power():
    logs = copying.authors_runs()
    first = logs[logs.everywhere >= 0.999].groupby(["memory_length", "p"]).epoch.min()
    assert first.xs(0, level="p").tolist() == [12, 10, 20, 17]
    assert first.xs(1, level="p").to_dict() == {10: 22, 20: 20}
    assert first.xs(2, level="p").to_dict() == {10: 37, 20: 36}
    assert 10 not in first.index.get_level_values("p")


def test_times_are_first_times_and_never_is_infinite():
    table = pd.DataFrame({"run": [0, 0, 0, 1, 1], "step": [0, 5, 10, 0, 5], "good": [0, 1, 1, 0, 0]})
    assert copying._when(table, table.good == 1, "step", ["run"]).tolist() == [5, math.inf]
    assert copying._ratio(10.0, 5.0) == 2
    assert copying._ratio(math.inf, 5.0) == copying._ratio(5.0, math.inf) == copying.NEVER


def test_the_printed_table_has_our_models_and_the_authors_runs(found):
    printed = found.printed
    assert printed.shape == (len(MODELS) + 4, 2)
    assert printed.loc["authors' TCN, 20 digits (epochs)"].tolist() == ["100 % (10)", "98.3 % (never)"]
    assert (
        found.paper["TCN, weight on the logits: accuracy over all positions at the end, %, p = 10"]
        == 99.13795
    )
    assert set(found.paper) <= set(found.headline)


def test_the_spread_is_over_the_runs(found, expect_spread):
    ends = found.table[(found.table.step == 10) & (found.table.model == "TCN")]
    for p in (0, 10):
        label = f"TCN: accuracy over all positions at the end, %, p = {p}"
        expect_spread(found, label, 100 * ends[ends.p == p].everywhere)


TIME = "SSM: time to recall half the digits, p = 10 over p = 0"


@pytest.mark.parametrize(
    ("times", "ratios"),
    [
        ({0: (4, 8, 8), 10: (1, 8, 2)}, (0.25, 1.0, 0.25)),
        ({0: (4, 8, 8), 10: (1, 2, math.inf)}, (0.25, 0.25, math.inf)),
    ],
)
def test_times_are_compared_run_by_run(times, ratios, runs_that_learn, expect_spread):
    expect_spread(copying._findings(runs_that_learn(times)), TIME, ratios)


@pytest.mark.parametrize(
    ("times", "ratio"),
    [({0: (4, 8, math.inf), 10: (1, 2, 2)}, 0.25), ({0: (4, 8, 8), 10: (1, math.inf, math.inf)}, "never")],
)
def test_without_a_ratio_of_every_run_or_of_all_there_is_no_spread(times, ratio, runs_that_learn):
    found = copying._findings(runs_that_learn(times))
    assert found.headline[TIME] == ratio
    assert TIME not in found.spread


@pytest.mark.filterwarnings("error")
def test_the_picture_names_its_axes(found):
    figure = copying.plot(found)
    assert len(figure.axes) == 5
    assert all(axis.get_xlabel() and axis.lines for axis in figure.axes)
    assert figure.axes[0].get_ylabel()


def test_seeds_are_counted():
    with pytest.raises(ValueError, match="seeds"):
        copying.data(seeds=0)
