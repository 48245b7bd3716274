"""The same runs give the same results wherever they take place."""

import joblib
import pytest
import torch

from curse_of_memory.nn import RNN
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.training import fit
from curse_of_memory.training.runs import run_all


def trained(seed, activation="tanh"):
    """Train a small network; a function that any process can run."""
    model = RNN(2, seed=seed, activation=activation, dtype=torch.float64)
    task = LinearFunctional(lambda t: 0.5**t, horizon=8)
    result = fit(
        model, task, steps=5, batch_size=4, validate_every=5, validation_size=4, seed=seed, device="cpu"
    )
    return result.loss, torch.cat([p.detach().flatten() for p in model.parameters()]).tolist()


RUNS = [{"seed": s, "activation": a} for s in range(2) for a in ("tanh", "linear")]


@pytest.fixture(scope="module")
def here():
    return [trained(**run) for run in RUNS]


def test_results_come_in_the_order_of_the_arguments(here):
    assert run_all(trained, RUNS) == here


def test_a_dask_cluster_gives_the_same_results(here):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(2)
        with joblib.parallel_config(backend="dask"):
            assert run_all(trained, RUNS) == here
        assert len(client.scheduler_info()["workers"]) == 2


def test_threads_give_the_same_results(here):
    with joblib.parallel_config(backend="threading"):
        assert run_all(trained, RUNS, jobs=2) == here


def test_what_a_run_raises_comes_through():
    with pytest.raises(ValueError, match="activation must be one of"):
        run_all(trained, [{"seed": 0, "activation": "tan"}])


@pytest.mark.parametrize(
    ("arguments", "jobs", "message"),
    [([3], None, "arguments must be mappings"), ([], 0, "jobs must be at least 1"), ([], -2, "jobs must be")],
)
def test_bad_input_is_refused(arguments, jobs, message):
    with pytest.raises((TypeError, ValueError), match=message):
        run_all(trained, arguments, jobs=jobs)
