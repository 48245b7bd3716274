"""Kernels of this Python that run notebooks; all are killed when a batch is interrupted."""

import contextlib
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop

__all__ = ["OneThreadKernel", "ThisPythonKernel", "no_kernel_left_behind", "run_apart"]

START_SECONDS = 10.0  # a kernel's process is there long before


class _Kernels:
    """The running kernels, and the number being started; after `kill` no more are started."""

    def __init__(self):
        self.running: weakref.WeakSet[ThisPythonKernel] = weakref.WeakSet()
        self.starting = 0
        self.closed = False
        self.changed = threading.Condition()

    @contextlib.contextmanager
    def start(self, manager: "ThisPythonKernel") -> Iterator[None]:
        with self.changed:
            if self.closed:
                raise RuntimeError("interrupted: no kernel is started any more")
            self.starting += 1
            self.running.add(manager)
        try:
            yield
        finally:
            with self.changed:
                self.starting -= 1
                self.changed.notify_all()

    def kill(self) -> None:
        with self.changed:
            self.closed = True  # the threads that wait for kernels would go on with the next notebook
            self.changed.wait_for(lambda: self.starting == 0, timeout=START_SECONDS)
            managers = list(self.running)
        for manager in managers:
            group = getattr(manager.provisioner, "pgid", None)
            if group and group != os.getpgrp():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)


_kernels = _Kernels()


@contextlib.contextmanager
def no_kernel_left_behind() -> Iterator[None]:
    """Kill all kernels, with the processes that they started, if the body raises an exception."""
    _kernels.closed = False
    try:
        yield
    except BaseException:
        _kernels.kill()
        raise


class ThisPythonKernel(AsyncKernelManager):
    """A kernel that runs the interpreter that is running now.

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
        with _kernels.start(self):
            await super()._async_start_kernel(env=environment, **options)

    start_kernel = _async_start_kernel

    async def _async_interrupt_kernel(self) -> None:
        # every shutdown begins with an interrupt, on which an idle kernel may print a traceback; it
        # goes by the shutdown request that follows, or is killed
        if not self.shutting_down:
            await super()._async_interrupt_kernel()

    interrupt_kernel = _async_interrupt_kernel


class OneThreadKernel(ThisPythonKernel):
    """A kernel of this Python with one computing thread, for kernels side by side and one order of sums."""

    extra_environment = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def run_apart(function: Callable, *arguments: Any) -> Any:
    """Return ``function(*arguments)``, called in a new thread.

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
