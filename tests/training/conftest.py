"""A real cluster for tests of runs on one."""

import pytest

from curse_of_memory.tools.named_cluster import SCHEDULER
from tests.forks import two_workers


@pytest.fixture(scope="package")
def cluster():
    """A real scheduler with two processes for workers, which it starts again when they die."""
    with two_workers() as cluster:
        yield cluster


@pytest.fixture
def address(cluster, monkeypatch):
    """The address of the cluster, named by the environment, without a client."""
    monkeypatch.setenv(SCHEDULER, cluster.scheduler_address)
    return cluster.scheduler_address
