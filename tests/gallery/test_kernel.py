"""Kernels that are being started when a batch is interrupted are killed, too, and no more are started."""

import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from curse_of_memory.gallery import kernel


class Manager:
    """Of a kernel whose process is there a while after its start began."""

    provisioner = None


def stand_in() -> Any:
    """What stands in for the manager of a kernel."""
    return Manager()


def test_what_is_being_started_is_waited_for_and_killed(monkeypatch):
    monkeypatch.setattr(kernel, "START_SECONDS", 600.0)  # a loaded machine may take longer than a user waits
    kernels, manager = kernel._Kernels(), stand_in()
    begun, there = threading.Event(), threading.Event()
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)

    def start():
        with kernels.start(manager):
            begun.set()
            there.wait()
            manager.provisioner = SimpleNamespace(pgid=process.pid)

    starter, killer = threading.Thread(target=start), threading.Thread(target=kernels.kill)
    starter.start()
    begun.wait()
    killer.start()
    killer.join(0.1)
    assert killer.is_alive()
    assert process.poll() is None
    there.set()
    killer.join()
    starter.join()
    assert process.wait() == -9
    with (
        pytest.raises(RuntimeError, match="no kernel is started any more"),
        kernels.start(stand_in()),
    ):
        pytest.fail("the next notebook's kernel was started")


def test_the_next_batch_of_the_process_starts_kernels_again(monkeypatch):
    kernels = kernel._Kernels()
    monkeypatch.setattr(kernel, "_kernels", kernels)
    with pytest.raises(KeyboardInterrupt), kernel.no_kernel_left_behind():
        raise KeyboardInterrupt
    assert kernels.closed
    with kernel.no_kernel_left_behind(), kernels.start(stand_in()):
        pass
    assert not kernels.closed
