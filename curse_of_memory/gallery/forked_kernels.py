"""Kernels forked from a process that has loaded what every notebook imports.

Each is a process of its own that knows nothing of another's notebook. To import torch, sympy, matplotlib and
this package once for each of some forty kernels would take a quarter of the time of a batch.
"""

import contextlib
import os
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from typing import IO, Any, cast

from jupyter_client.manager import KernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import default

from curse_of_memory.gallery.fork_server import ForkedProcess, ForkServer, can_fork
from curse_of_memory.tools.run_notes import NOTES

__all__ = ["ONE_THREAD", "ForkingManager", "fork_server", "has_one_thread", "kernel_server", "run_kernel"]

ONE_THREAD: dict[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)
"""The variables that let a process compute with one thread."""

PRELOADED = (
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
)
# what a kernel says before matplotlib is loaded
INLINE = "module://matplotlib_inline.backend_inline"


def has_one_thread(environment: Mapping[str, str]) -> bool:
    """Return whether a process with these variables computes with one thread."""
    first = "OMP_NUM_THREADS"  # which all libraries heed that have nothing else to go by
    return environment.get(first) == "1" and all(environment.get(name, "1") == "1" for name in ONE_THREAD)


def kernel_server(*also: str) -> ForkServer:
    """Return a server for kernels with one computing thread, which has imported some modules `also`."""
    return ForkServer((*PRELOADED, *also), {"MPLBACKEND": INLINE, **os.environ, **ONE_THREAD})


@contextlib.contextmanager
def fork_server(jobs: int, workers: int) -> Iterator[ForkServer | None]:
    """Give the body a server for the kernels of a batch; None where they are better started one by one.

    Parameters
    ----------
    jobs, workers : int
        How many notebooks there are, and how many at a time. A kernel that runs alone may use all cores, and
        what has several threads is not forked.
    """
    if jobs < 2 or workers < 2 or not can_fork():
        yield None
        return
    server = kernel_server()
    try:
        yield server
    finally:
        server.close()


class ForkingManager(KernelManager):
    """Asks a server for its kernel, if the kernel has one computing thread; else starts it.

    On Linux they talk through sockets with names of their own, not through ports: one that is free when it is
    chosen may be another process's before the kernel has it.
    """

    server: ForkServer | None = None

    @default("transport")
    def _transport_default(self) -> str:
        return "ipc" if sys.platform == "linux" else "tcp"

    def _ip_default(self) -> str:
        # names that begin with @ are no files, and gone with the processes that have them
        return f"@kernel-{uuid.uuid4()}" if self.transport == "ipc" else super()._ip_default()

    async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
        env = options["env"] if options.get("env") is not None else dict(os.environ)
        provisioner = self.provisioner
        if self.server is not None and has_one_thread(env) and isinstance(provisioner, LocalProvisioner):
            cwd, stderr = options.get("cwd") or os.getcwd(), options.get("stderr")
            with contextlib.suppress(OSError):  # the server may have been killed
                process = _forked(self.server, kernel_cmd, env, cwd, stderr)
                provisioner.process = cast(subprocess.Popen, process)  # of which it has what is asked for
                provisioner.pid = provisioner.pgid = process.pid
                provisioner.cwd = cwd
                return
        await super()._async_launch_kernel(kernel_cmd, **options)


def _forked(
    server: ForkServer, command: list[str], env: Mapping[str, str], cwd: str, stderr: IO | None
) -> ForkedProcess:
    return ForkedProcess(
        server.control,
        "curse_of_memory.gallery.forked_kernels:run_kernel",
        command[command.index("-f") :],
        os.getpid(),
        env=env,
        cwd=cwd,
        streams={} if stderr is None else {2: stderr},
    )


def run_kernel(arguments: list[str], asked_by: int) -> None:
    """Be a kernel, in a process that has just been forked.

    Parameters
    ----------
    arguments : list of str
        Those of a kernel's command line.
    asked_by : int
        The process that has asked for it: what that tells its children is told to this one.
    """
    import numpy as np
    import pandas as pd
    from ipykernel.kernelapp import launch_new_instance

    parent = os.getppid()
    pid, _, notes = os.environ.get(NOTES, "").partition(":")
    if pid == str(asked_by):
        os.environ[NOTES] = f"{parent}:{notes}"
    # what these modules do where a kernel imports them itself
    pd.set_option("display.max_columns", 20)
    os.environ.setdefault("MPLBACKEND", INLINE)
    np.random.seed()  # noqa: NPY002  (the global generator, of which all that are forked have one state)
    random.seed()
    sys.argv = ["kernel", *arguments, f"--IPKernelApp.parent_handle={parent}"]
    launch_new_instance()
