"""A real cluster for tests of runs on one."""

import pytest

from curse_of_memory.tools.named_cluster import SCHEDULER


@pytest.fixture(scope="package")
def cluster():
    """A real scheduler with two processes for workers, which it starts again when they die."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
    ) as cluster:
        yield cluster


@pytest.fixture
def address(cluster, monkeypatch):
    """The address of the cluster, named by the environment, without a client."""
    monkeypatch.setenv(SCHEDULER, cluster.scheduler_address)
    return cluster.scheduler_address
