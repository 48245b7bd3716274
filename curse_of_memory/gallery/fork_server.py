"""A process that has loaded what many need, and the processes that are forked from it.

The server has no other thread when it forks, and ends with the process that started it; what it forks ends
with the process that asked for it. (A server of ``multiprocessing`` forks what runs the main script of who
asks for it and outlives him if he is killed, and the whole process can have but one.)
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

__all__ = ["ForkServer", "ForkedProcess", "can_fork", "serve"]

UNKNOWN = 255  # the exit status of a process whose server was killed
SERVE = "from curse_of_memory.gallery.fork_server import serve; serve({control}, {modules})"


class _Stream(Protocol):
    def fileno(self) -> int: ...


def can_fork() -> bool:
    """Return whether processes are forked safely on this platform."""
    return sys.platform == "linux"


class ForkServer:
    """A process of this Python that has imported modules, and forks others on request.

    Parameters
    ----------
    modules : iterable of str
        What it imports; of those that are not installed none.
    environment : mapping
        Its variables, which should say that there is one computing thread.
    """

    def __init__(self, modules: Iterable[str], environment: Mapping[str, str]):
        self.control, theirs = socket.socketpair()
        with theirs:
            serving = SERVE.format(control=theirs.fileno(), modules=list(modules))
            # no module of the folder where it is started; frozen modules are what debuggers complain of
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-Xfrozen_modules=off", "-c", serving],
                env=dict(environment),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def close(self) -> None:
        """End the server."""
        self.control.close()
        self._process.kill()
        self._process.wait()


class ForkedProcess:
    """A process forked from a server, with as much of :class:`subprocess.Popen` as is asked of it.

    It leads a process group of its own. When the process that asked for it ends, however that ends, it ends.

    Parameters
    ----------
    control : socket.socket
        The way to a server.
    function : str
        What it calls: ``package.module:function``.
    *arguments
        Of the function, in what JSON can say.
    env, cwd
        Its variables and its folder.
    streams : mapping
        What has a descriptor that it gets, too, under some number: 1 and 2 are else those of the server.

    Raises
    ------
    OSError
        If the server has ended.
    """

    stdin = stdout = stderr = None

    def __init__(
        self,
        control: socket.socket,
        function: str,
        *arguments: Any,
        env: Mapping[str, str],
        cwd: str,
        streams: Mapping[int, _Stream] | None = None,
    ):
        streams = streams or {}
        self.returncode: int | None = None
        self._heard, self._lock = b"", threading.Lock()
        self._line, theirs = socket.socketpair()
        try:
            with theirs:
                given = [theirs.fileno(), *(stream.fileno() for stream in streams.values())]
                socket.send_fds(control, [b"f"], given)
            request = dict(function=function, arguments=arguments, env=dict(env), cwd=cwd, streams=[*streams])
            self._line.sendall(json.dumps(request).encode() + b"\n")
            word, number = self._hear()
            if word != b"pid":
                raise ChildProcessError(f"a forked process ended at once, with status {number}")
        except BaseException:
            self._line.close()
            raise
        self.pid = number

    def _hear(self) -> tuple[bytes, int]:
        while b"\n" not in self._heard:
            more = self._line.recv(64)
            if not more:
                return b"status", UNKNOWN
            self._heard += more
        line, _, self._heard = self._heard.partition(b"\n")
        word, _, number = line.partition(b" ")
        return word, int(number)

    def poll(self) -> int | None:
        """Return the exit status, minus the number of a signal that killed it; None while it runs."""
        with self._lock:
            if self.returncode is None and _is_readable(self._line):
                self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status when the process has ended.

        Raises
        ------
        subprocess.TimeoutExpired
            If it has not within `timeout` seconds.
        """
        with self._lock:
            if self.returncode is None:
                if timeout is not None and not _is_readable(self._line, timeout):
                    raise subprocess.TimeoutExpired("a forked process", timeout)
                self._end()
        assert self.returncode is not None
        return self.returncode

    def _end(self) -> None:
        _, self.returncode = self._hear()
        self._line.close()

    def send_signal(self, signum: int) -> None:
        """Send a signal to the process, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def terminate(self) -> None:
        """Ask the process to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process."""
        self.send_signal(signal.SIGKILL)


def _is_readable(line: socket.socket, timeout: float = 0.0) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(line, selectors.EVENT_READ)
        return bool(selector.select(timeout))


def serve(control: int, modules: Sequence[str]) -> None:
    """Import `modules`, then fork a process for each request, until nobody is left who could ask.

    Parameters
    ----------
    control : int
        The descriptor of the socket on which requests come: one byte, with the descriptors of the new
        process's own line, and of its streams.
    modules : sequence of str
        Their names.
    """
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is never looked at again stays shared with all that are forked
    asked = _next_process(socket.socket(fileno=control))
    if asked is not None:
        status = 1
        try:
            status = _status(*asked)
        finally:  # as every interpreter ends, but that it takes down none of all the modules
            threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]  (multiprocessing calls it)
            atexit._run_exitfuncs()
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            os._exit(status)


def _next_process(control: socket.socket) -> tuple[socket.socket, list[int]] | None:
    """Fork on request; return in each new process its line and streams, and None in the server at the end."""
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    former = signal.signal(signal.SIGCHLD, lambda *_: None)
    lines: dict[int, socket.socket] = {}
    with woken, waker, control, selectors.DefaultSelector() as selector:
        for source in (woken, control):
            selector.register(source, selectors.EVENT_READ)
        while True:
            sources = [key.fileobj for key, _ in selector.select()]
            if woken in sources:
                woken.recv(4096)
                _tell_who_ended(lines)
            if control in sources:
                request, descriptors, _, _ = socket.recv_fds(control, 1, 8)
                if not request:
                    return None
                for descriptor in descriptors:
                    os.set_inheritable(descriptor, False)
                line, *streams = descriptors
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, former)
                    for other in lines.values():
                        other.close()
                    return socket.socket(fileno=line), streams
                lines[pid] = socket.socket(fileno=line)
                for stream in streams:
                    os.close(stream)


def _tell_who_ended(lines: dict[int, socket.socket]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            with lines.pop(pid) as line, contextlib.suppress(OSError):  # he may have ended who asked for it
                line.sendall(b"status %d\n" % os.waitstatus_to_exitcode(status))


def _status(line: socket.socket, streams: list[int]) -> int:
    """Do what is asked for; return the exit status."""
    try:
        _work(line, streams)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def _work(line: socket.socket, streams: list[int]) -> None:
    """Do in a new process what is asked for on its `line`."""
    os.setsid()  # a signal to its group reaches nobody else
    with line.makefile("rb") as reader:
        request = json.loads(reader.readline())
    for number, stream in zip(request["streams"], streams, strict=True):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    line.sendall(b"pid %d\n" % os.getpid())
    threading.Thread(target=_end_with_who_asked, args=(line,), daemon=True).start()
    module, _, name = request["function"].partition(":")
    getattr(importlib.import_module(module), name)(*request["arguments"])


def _end_with_who_asked(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.recv(1)  # nobody writes: it returns when the other end is closed
    os._exit(1)
