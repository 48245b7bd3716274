"""Runs go to the cluster that the environment names, and come back as if they had stayed."""

import os
import signal
import time
from pathlib import Path

import joblib
import pytest

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.tools.named_cluster import SCHEDULER, reached
from curse_of_memory.training.runs import run_all
from tests.training.test_runs import FOUR, RUNS, trained

pytestmark = pytest.mark.slow


def process(i):
    return os.getpid()


def dies_once(i, note):
    """The second run kills its worker when it runs for the first time, in the middle of the others."""
    time.sleep(0.2)
    if i == 1 and not Path(note).exists():
        Path(note).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * i


def nested(i):
    return os.getpid(), run_all(process, FOUR)


def test_runs_take_place_there_with_the_same_results(address):
    assert os.getpid() not in run_all(process, FOUR)
    assert run_all(trained, RUNS) == [trained(**run) for run in RUNS]
    table = run_grid(lambda i: {"pid": os.getpid()}, product_of(i=range(4)))
    assert os.getpid() not in set(table.pid)


def test_a_worker_that_is_killed_in_the_middle_costs_nothing(address, tmp_path):
    note = tmp_path / "killed"
    assert run_all(dies_once, [run | {"note": str(note)} for run in FOUR]) == [0, 10, 20, 30]
    assert note.exists()


def test_what_joblib_was_told_comes_first(address):
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert set(run_all(process, FOUR)) == {os.getpid()}
    with joblib.parallel_config(n_jobs=2):
        assert os.getpid() not in run_all(process, FOUR)


def test_a_run_on_the_cluster_makes_its_own_runs_itself(address, monkeypatch):
    for pid, inner in run_all(nested, FOUR[:2]):
        assert set(inner) == {pid}


def test_a_scheduler_that_is_not_there_is_named(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("curse_of_memory.tools.named_cluster.ANSWERS_WITHIN", 0.5)
    for address in ("tcp://127.0.0.1:9", "nonsense://x", "127.0.0.1:99999"):
        with (
            pytest.raises(ConnectionError, match=f"^no Dask scheduler answers at {address}: "),
            reached(address),
        ):
            pass
    monkeypatch.setenv(SCHEDULER, "tcp://127.0.0.1:9")
    with pytest.raises(ConnectionError, match="no Dask scheduler answers"):
        run_all(process, FOUR)
