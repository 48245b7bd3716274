"""A grid of settings becomes one long table, in the order of the settings wherever the runs take place."""

import threading
import time

import joblib
import numpy as np
import pandas as pd
import pytest
import torch

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.nn import RNN
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.training import fit

GRID = {"width": [3, 2], "learning_rate": [0.1, 0.01], "seed": range(2)}


def trained(width, learning_rate, seed, steps):
    """Train a small network; one run of a grid."""
    model = RNN(width, activation="tanh", seed=seed, dtype=torch.float64)
    task = LinearFunctional(lambda t: 0.5**t, horizon=8)
    sizes = {"batch_size": 4, "validate_every": steps, "validation_size": 4}
    result = fit(model, task, steps=steps, learning_rate=learning_rate, seed=seed, device="cpu", **sizes)
    return {"loss": result.loss, "status": result.status}


def test_every_combination_comes_once_and_the_last_name_varies_fastest():
    settings = product_of(**GRID)
    expected = [(m, rate, seed) for m in (3, 2) for rate in (0.1, 0.01) for seed in (0, 1)]
    assert [tuple(setting.values()) for setting in settings] == expected
    assert all(list(setting) == ["width", "learning_rate", "seed"] for setting in settings)


def test_the_table_has_settings_then_results_and_what_each_run_returned():
    table = run_grid(trained, product_of(**GRID), common={"steps": 3})
    assert list(table) == ["width", "learning_rate", "seed", "loss", "status"]
    assert len(table) == 8
    for row in table.to_dict("records"):
        alone = trained(row["width"], row["learning_rate"], row["seed"], steps=3)
        assert alone == {"loss": row["loss"], "status": row["status"]}  # bit for bit


def test_runs_keep_the_order_of_the_settings_when_the_last_ends_first():
    ended, last_ended = [], threading.Event()

    def run(i):
        if i == 0:
            assert last_ended.wait(60)
        ended.append(i)
        if i == 1:
            last_ended.set()
        return {"square": i**2}

    with joblib.parallel_config(backend="threading", n_jobs=2):
        table = run_grid(run, product_of(i=[0, 1]))
    assert ended == [1, 0]
    assert table.to_dict("list") == {"i": [0, 1], "square": [0, 1]}


def test_processes_give_the_same_table_in_the_same_order():
    def run(i, seed):
        time.sleep(0.02 * (2 - i))
        return {"draw": np.random.default_rng([i, seed]).standard_normal()}

    settings = product_of(i=[2, 0, 1], seed=[4, 5])
    here = run_grid(run, settings)
    with joblib.parallel_config(n_jobs=2):
        pd.testing.assert_frame_equal(run_grid(run, settings), here, check_exact=True)


def test_runs_with_several_rows_repeat_their_settings():
    def run(length, seed):
        return pd.DataFrame({"step": range(length), "loss": [0.5 * seed] * length}, index=[7] * length)

    table = run_grid(run, [{"length": 2, "seed": 5}, {"length": 1, "seed": 6}])
    expected = {"length": [2, 2, 1], "seed": [5, 5, 6], "step": [0, 1, 0], "loss": [2.5, 2.5, 3.0]}
    pd.testing.assert_frame_equal(table, pd.DataFrame(expected))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_fails_is_named_by_its_settings(jobs):
    def run(rate, seed):
        if (rate, seed) == (0.5, 1):
            raise ArithmeticError("the loss is not known")
        return {"loss": rate}

    with joblib.parallel_config(n_jobs=jobs), pytest.raises(ArithmeticError, match="not known") as failed:
        run_grid(run, product_of(rate=[0.1, 0.5], seed=[0, 1]))
    (note,) = failed.value.__notes__
    assert "rate=0.5, seed=1" in note


@pytest.mark.parametrize(
    ("settings", "common", "error", "message"),
    [
        ([], None, ValueError, "settings must have at least one run"),
        ([{"i": 1}, {"j": 1}], None, ValueError, r"settings must all be of \['i'\], got \['j'\]"),
        ([{"i": 1}], {"i": 2}, ValueError, r"common must not name what the settings name, got \['i'\]"),
        ([{"square": 1}], None, ValueError, r"results must not be named as settings are, got \['square'\]"),
        ({"i": 1}, None, TypeError, r"settings must be a list of mappings, got \{'i': 1\}"),
        ([1], None, TypeError, "settings must be mappings from names to values, got 1"),
        (["ab"], None, TypeError, "settings must be mappings from names to values, got 'ab'"),
        ([{"i": 1}], [1], TypeError, r"common must be mappings from names to values, got \[1\]"),
        ([{"i": 1}], {"draws": iter([1])}, TypeError, "common must hold what every run can read, .* 'draws'"),
        ([{"nothing": 1}], None, TypeError, "function must return a mapping or a table, got NoneType"),
    ],
)
def test_bad_grids_are_refused(settings, common, error, message):
    def run(**known):
        return None if "nothing" in known else {"square": 1}

    with pytest.raises(error, match=message):
        run_grid(run, settings, common)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([], ValueError, "rate must have at least one value"),
        ("exp", TypeError, "rate must be a list of values, got 'exp'"),
        (0.5, TypeError, "rate must be a list of values, got 0.5"),
        (np.array(0.5), TypeError, "rate must be a list of values, got"),
    ],
)
def test_bad_settings_are_refused(values, error, message):
    with pytest.raises(error, match=message):
        product_of(rate=values)
