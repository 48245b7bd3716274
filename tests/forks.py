"""Kernels, commands and workers of the tests, forked from processes that have loaded what they import."""

import atexit
import contextlib
import functools
from pathlib import Path

import pytest

from curse_of_memory.gallery.fork_server import ForkedProcess, ForkServer, can_fork
from curse_of_memory.gallery.forked_kernels import ForkingManager, kernel_server

COMMAND = Path(__file__).parent / "gallery" / "forked_command.py"
SERVER_AT = 100  # the descriptor by which a command asks for its kernels


@functools.cache
def server() -> ForkServer:
    """Return the server of the tests in this process; it ends with them."""
    made = kernel_server("curse_of_memory.cli", "curse_of_memory.gallery.execution", "nbclient", "papermill")
    atexit.register(made.close)
    return made


def shared_server(jobs: int, workers: int):
    """Stand in for the server of a batch, so that a test need not start one."""
    return contextlib.nullcontext(server() if jobs else None)


@contextlib.contextmanager
def two_workers():
    """A real scheduler with two processes for workers, which are replaced when they die.

    They are forked from one process that has loaded what runs import.
    """
    distributed, dask = pytest.importorskip("distributed"), pytest.importorskip("dask")
    with contextlib.ExitStack() as stack:
        if can_fork():
            stack.enter_context(dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}))
            forking = distributed.utils.get_mp_context()
            forking.set_forkserver_preload(["distributed", "curse_of_memory.training"])
        yield stack.enter_context(
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
            )
        )


class ForkedManager(ForkingManager):
    """Of kernels for the notebooks' tests."""

    @functools.cached_property
    def server(self) -> ForkServer:
        return server()


class ForkedCommand(ForkedProcess):
    """The command ``curse-of-memory`` in a process of its own, as a terminal starts it.

    Its kernels are forked, too.
    """

    def __init__(self, folder: Path, *arguments: object, env: dict[str, str]):
        given = {"given": ([str(argument) for argument in arguments], SERVER_AT)}
        self._said = folder.with_suffix(".stdout"), folder.with_suffix(".stderr")
        with self._said[0].open("w") as stdout, self._said[1].open("w") as stderr:
            super().__init__(
                server().control,
                "runpy:run_path",
                str(COMMAND),
                given,
                "__main__",
                env=env,
                cwd=str(folder),
                streams={1: stdout, 2: stderr, SERVER_AT: server().control},
            )

    def communicate(self) -> tuple[str, str]:
        """Return what it has written on stdout and stderr, when it has ended."""
        self.wait()
        stdout, stderr = (file.read_text() for file in self._said)
        return stdout, stderr
