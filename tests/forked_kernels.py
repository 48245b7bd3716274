"""Kernels for the notebooks' tests, forked from a process that has loaded what every notebook imports.

Each is a process of its own that knows nothing of another's notebook. To import torch, sympy, matplotlib and
this package once for each of some forty kernels would take a tenth of the time of all tests.
"""

import multiprocessing
import os
import sys
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from unittest import mock

from jupyter_client.manager import KernelManager
from jupyter_client.provisioning import local_provisioner

PRELOADED = [
    "IPython",
    "curse_of_memory.experiments",
    "curse_of_memory.measure",
    "curse_of_memory.nn",
    "curse_of_memory.papers",
    "curse_of_memory.report.figure",
    "curse_of_memory.report.plotting",
    "curse_of_memory.tasks",
    "curse_of_memory.training",
    "ipykernel.kernelapp",
    "matplotlib.pyplot",
    "torch._dynamo",  # torch's optimizers load it
]
# what a kernel says before matplotlib is loaded
INLINE = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}


class ForkedKernel:
    """A kernel's process, with as much of the interface of ``subprocess.Popen`` as its manager asks for."""

    stdin = stdout = stderr = None

    def __init__(self, command: list[str], *, cwd: str, env: dict[str, str], **_: object):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        with mock.patch.dict(os.environ, INLINE):
            forkserver.ensure_running()
        here, there = context.Pipe(duplex=False)
        arguments = command[command.index("-f") :]
        # a daemon: it ends with the process that asks for it, however that ends
        self._process = context.Process(target=_run, args=(arguments, cwd, env, there), daemon=True)
        self._process.start()
        self.pid = here.recv()

    def poll(self) -> int | None:
        """Return the exit status, None while the kernel runs."""
        return self._process.exitcode

    def wait(self) -> int | None:
        """Return the exit status when the kernel has ended."""
        self._process.join()
        return self._process.exitcode

    def send_signal(self, signum: int) -> None:
        """Send a signal to the kernel."""
        os.kill(self.pid, signum)

    def terminate(self) -> None:
        """Ask the kernel to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End the kernel."""
        self._process.kill()


def _run(arguments: list[str], cwd: str, env: dict[str, str], ready: Connection) -> None:
    os.setsid()  # a signal to its group reaches nobody else
    ready.send(os.getpid())
    os.environ.clear()
    os.environ.update(env | INLINE)
    os.chdir(cwd)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    import pandas as pd
    from ipykernel.kernelapp import launch_new_instance

    pd.set_option("display.max_columns", 20)  # what pandas itself takes where a kernel imports it

    # it ends with the process that it was forked from, which ends with the tests
    sys.argv = ["kernel", *arguments, f"--IPKernelApp.parent_handle={os.getppid()}"]
    launch_new_instance()


class ForkingManager(KernelManager):
    """Starts kernels by a fork."""

    async def _async_launch_kernel(self, kernel_cmd: list[str], **options: object) -> None:
        with mock.patch.object(local_provisioner, "launch_kernel", ForkedKernel):
            await super()._async_launch_kernel(kernel_cmd, **options)
