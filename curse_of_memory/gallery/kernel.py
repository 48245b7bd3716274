"""Kernels of this Python that run notebooks; all are killed when a batch is interrupted."""

import contextlib
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop

from curse_of_memory.gallery.fork_server import ForkServer
from curse_of_memory.gallery.forked_kernels import ONE_THREAD, ForkingManager

__all__ = [
    "KernelLife",
    "OneThreadKernel",
    "ThisPythonKernel",
    "kernel_class",
    "no_kernel_left_behind",
    "run_apart",
]

START_SECONDS = 10.0  # a kernel's process is there long before
LAST_LINES, LAST_BYTES = 3, 20_000  # of what a dead kernel said
FOR_WANT_OF_MEMORY = ("std::bad_alloc", "MemoryError", "allocate memory", "out of memory", "Out of memory")


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
            _kill_group(getattr(manager.provisioner, "pgid", None))


def _kill_group(group: int | None) -> None:
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


class _Process(Protocol):
    """A process that was started, or forked."""

    def poll(self) -> int | None: ...


class KernelLife:
    """The process of one kernel: it is killed when its time is over, and how it died can be told.

    Parameters
    ----------
    said : Path
        The file that takes what the process itself writes on stderr.
    """

    def __init__(self, said: Path):
        self.said = said
        self.process: _Process | None = None
        self.group: int | None = None
        self.out_of_time = False

    @contextlib.contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """Kill the kernel, with the processes that it started, after so many seconds in this context."""
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end(self) -> None:
        self.out_of_time = True
        _kill_group(self.group)

    def last_lines(self) -> list[str]:
        """Return the last lines that the process itself wrote on stderr."""
        try:
            with self.said.open("rb") as file:
                file.seek(max(0, self.said.stat().st_size - LAST_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return []
        return [line.rstrip() for line in text.splitlines() if line.strip()]

    def death(self) -> str | None:
        """Return how the process died; None if it lives, or ended as it should."""
        status = None if self.process is None else self.process.poll()
        lines = self.last_lines()
        wanting = any(word in line for word in FOR_WANT_OF_MEMORY for line in lines)
        if status in (None, 0) or (self.process is None):
            return None
        if status == -signal.SIGKILL:
            how = "was killed (SIGKILL), as the system does with what takes too much memory"
        elif status < 0:
            how = f"died of {signal.Signals(-status).name}"
        else:
            how = f"ended with status {status}"
        out_of_memory = wanting and status != -signal.SIGKILL
        return f"its kernel {how}" + (", for want of memory" if out_of_memory else "")


class ThisPythonKernel(ForkingManager, AsyncKernelManager):
    """A kernel that runs the interpreter that is running now.

    The notebooks say ``python3``, which Jupyter resolves by searching folders of the user and of
    the machine first where it likes; another environment's kernel there would run other code.
    """

    extra_environment: dict[str, str] = {}  # noqa: RUF012  (traitlets owns the class body)
    life: KernelLife | None = None

    @property
    def kernel_spec(self) -> KernelSpec:
        """The native kernel of this interpreter."""
        # frozen modules off and a quiet log: or every kernel speaks up on the terminal, of its
        # debugger, of talking to this machine unencrypted, and of being interrupted
        argv = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher"]
        argv += ["-f", "{connection_file}", "--log-level=CRITICAL"]
        if self.life is not None:  # what the process says when it dies is no output of a cell
            argv.append("--IPKernelApp.capture_fd_output=False")
        return KernelSpec(argv=argv, display_name="Python 3 (ipykernel)", language="python")

    async def _async_start_kernel(self, **options: Any) -> None:
        environment = {**options.pop("env", os.environ), **self.extra_environment}
        with contextlib.ExitStack() as stack:
            stack.enter_context(_kernels.start(self))
            if self.life is not None:
                with contextlib.suppress(OSError):  # on a full disk it goes where ours does
                    options["stderr"] = stack.enter_context(self.life.said.open("wb"))
            await super()._async_start_kernel(env=environment, **options)
            if self.life is not None:
                self.life.process = getattr(self.provisioner, "process", None)
                self.life.group = getattr(self.provisioner, "pgid", None)

    start_kernel = _async_start_kernel

    async def _async_interrupt_kernel(self) -> None:
        # every shutdown begins with an interrupt, on which an idle kernel may print a traceback; it
        # goes by the shutdown request that follows, or is killed
        if not self.shutting_down:
            await super()._async_interrupt_kernel()

    interrupt_kernel = _async_interrupt_kernel


class OneThreadKernel(ThisPythonKernel):
    """A kernel of this Python with one computing thread, for kernels side by side and one order of sums."""

    extra_environment = ONE_THREAD


def kernel_class(
    one_thread: bool, environment: Mapping[str, str], life: KernelLife, forked_from: ForkServer | None = None
) -> type[ThisPythonKernel]:
    """Return the class of the kernel of one notebook.

    Parameters
    ----------
    one_thread : bool
        Whether it computes with one thread.
    environment : mapping
        Variables to set for it.
    life : KernelLife
        Of its process.
    forked_from : ForkServer, optional
        Who is asked for a kernel with one thread.
    """
    threads = ONE_THREAD if one_thread else {}

    class OwnKernel(ThisPythonKernel):
        extra_environment = {**threads, **environment}  # noqa: RUF012  (as above)

    OwnKernel.life, OwnKernel.server = life, forked_from
    return OwnKernel


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
