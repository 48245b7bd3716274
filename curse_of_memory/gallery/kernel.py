"""How a notebook is run: with a kernel of this Python, in a thread that can be left behind."""

import contextlib
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop

__all__ = ["OneThreadKernel", "ThisPythonKernel", "kill_kernels", "run_apart"]

_running: "weakref.WeakSet[ThisPythonKernel]" = weakref.WeakSet()


class ThisPythonKernel(AsyncKernelManager):
    """Start kernels with the interpreter that is running now.

    The notebooks say ``python3``, which Jupyter resolves by searching folders of the user and of
    the machine first where it likes; another environment's kernel there would run other code.
    """

    extra_environment: dict[str, str] = {}  # noqa: RUF012  (traitlets owns the class body)

    @property
    def kernel_spec(self) -> KernelSpec:
        """The native kernel of this interpreter."""
        # frozen modules off and a quiet log: or every kernel speaks up on the terminal, of its
        # debugger, of talking to this machine unencrypted, and of being interrupted
        argv = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher"]
        argv += ["-f", "{connection_file}", "--log-level=CRITICAL"]
        return KernelSpec(argv=argv, display_name="Python 3 (ipykernel)", language="python")

    async def _async_start_kernel(self, **options: Any) -> None:
        environment = {**options.pop("env", os.environ), **self.extra_environment}
        await super()._async_start_kernel(env=environment, **options)
        _running.add(self)

    start_kernel = _async_start_kernel

    async def _async_interrupt_kernel(self) -> None:
        # every shutdown begins with an interrupt, on which an idle kernel may print a traceback; it
        # goes by the shutdown request that follows, or is killed
        if not self.shutting_down:
            await super()._async_interrupt_kernel()

    interrupt_kernel = _async_interrupt_kernel


class OneThreadKernel(ThisPythonKernel):
    """As above, with one computing thread: for kernels side by side, and for sums in one order everywhere."""

    extra_environment = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def run_apart(function: Callable, *arguments: Any) -> Any:
    """Return ``function(*arguments)``, computed in a thread of its own.

    The Jupyter client drives an event loop. In its own thread that loop never meets one that is
    running already, as in a notebook, and can be closed, which the client does not; and Ctrl-C
    interrupts the waiting here, not the loop in the middle of a message.
    """
    future: Future = Future()

    def call() -> None:
        try:
            try:
                result = function(*arguments)
            finally:
                ensure_event_loop().close()
        except BaseException as error:  # whatever it is, it belongs to the caller
            future.set_exception(error)
        else:
            future.set_result(result)

    # a daemon: after Ctrl-C nothing is waited for
    threading.Thread(target=call, daemon=True).start()
    return future.result()


def kill_kernels() -> None:
    """Kill the running kernels, with the processes they started, at once."""
    for manager in list(_running):
        group = getattr(manager.provisioner, "pgid", None)
        if group and group != os.getpgrp():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
