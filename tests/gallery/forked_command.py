"""The command ``curse-of-memory`` of a small project, in a forked process; see ``tests/forks.py``."""

import contextlib
import os
import signal
import socket
from pathlib import Path
from types import SimpleNamespace

from curse_of_memory.cli import main
from curse_of_memory.gallery import catalogue, forked_kernels


def command(arguments: list[str], server_at: int) -> None:
    os.set_inheritable(server_at, False)
    server = SimpleNamespace(control=socket.socket(fileno=server_at))
    setattr(forked_kernels, "fork_server", lambda jobs, workers: contextlib.nullcontext(server))  # noqa: B010
    # as a terminal starts it: whoever runs the tests may have told us to ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
    catalogue.PAPERS = Path("papers").resolve()
    main(arguments)


if __name__ == "__main__":
    command(*globals()["given"])  # by who runs this file
