"""Processes that are forked are as those that are started, and end with who asked for them."""

import json
import os
import signal
import subprocess
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from curse_of_memory.gallery import forked_kernels
from curse_of_memory.gallery.fork_server import UNKNOWN, ForkedProcess, ForkServer, can_fork
from curse_of_memory.gallery.forked_kernels import ONE_THREAD, fork_server, has_one_thread
from curse_of_memory.gallery.kernel import ThisPythonKernel
from tests import forks
from tests.gallery.test_batch import wait_until_ended

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not can_fork(), reason="processes are not forked here")]


@pytest.fixture(scope="module")
def server():
    made = ForkServer(["json", "no_such_module"], os.environ)
    yield made
    made.close()


@pytest.fixture
def fork(server, tmp_path):
    """A process that runs the lines of a script."""

    def forked(script, **settings):
        path = tmp_path / "script.py"
        path.write_text(script)
        settings = {"env": {"A": "1"}, "cwd": str(tmp_path), **settings}
        return ForkedProcess(server.control, "runpy:run_path", str(path), **settings)

    return forked


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("", 0),
        ("import sys; sys.exit()", 0),
        ("import sys; sys.exit(3)", 3),
        ("import sys; sys.exit('said')", 1),
        ("raise ValueError('said')", 1),
        ("import os, signal; print('said'); os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import os; os._exit(4)", 4),
    ],
)
def test_how_a_process_ends_is_told_as_of_one_that_was_started(fork, tmp_path, script, status):
    with (tmp_path / "said").open("w") as stderr:
        process = fork(script, streams={2: stderr})
    assert process.wait() == process.poll() == status
    assert ("said" in (tmp_path / "said").read_text()) == ("'said'" in script and status == 1)
    process.kill()  # does nobody harm any more


def test_a_process_has_its_own_variables_folder_group_and_last_words(fork, tmp_path):
    tell = """\
import atexit, os, sys, threading, time
def late():
    time.sleep(0.2)
    print("late")
threading.Thread(target=late).start()
atexit.register(print, "last")
print(os.environ["A"], len(os.environ), os.getcwd(), os.getpgrp() == os.getpid(), sys.stdin.read() == "")
"""
    with (tmp_path / "said").open("w") as stdout:
        process = fork(tell, streams={1: stdout})
    assert os.getpgid(process.pid) in (process.pid, 0)
    assert process.wait(timeout=600) == 0
    assert (tmp_path / "said").read_text().splitlines() == [f"1 1 {tmp_path} True True", "late", "last"]


WAIT = "import time; time.sleep(600)"


def test_signals_reach_it(fork):
    process = fork(WAIT)
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.05)
    process.terminate()
    assert process.wait() == -signal.SIGTERM


def test_it_ends_when_who_asked_for_it_is_killed(server, fork, tmp_path):
    ask = f"""\
import socket, time
from pathlib import Path
from curse_of_memory.gallery.fork_server import ForkedProcess
control = socket.socket(fileno=100)
other = ForkedProcess(control, "time:sleep", 600, env={{}}, cwd=".")
Path("draft").write_text(str(other.pid))
Path("draft").rename("there")
{WAIT}
"""
    process = fork(ask, streams={100: server.control})
    while not (there := tmp_path / "there").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    wait_until_ended(int(there.read_text()))


def test_a_server_that_was_killed_forks_nothing_and_its_kernels_are_started(tmp_path):
    made = ForkServer([], os.environ)
    process = ForkedProcess(made.control, "time:sleep", 600, env={}, cwd=str(tmp_path))
    made._process.kill()
    made._process.wait()
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == UNKNOWN
    with pytest.raises(OSError, match=r"Broken pipe|reset"):
        ForkedProcess(made.control, "time:sleep", 600, env={}, cwd=str(tmp_path))
    made.close()


def test_what_is_forked_has_one_thread_and_its_server_has_one(tmp_path):
    """The threads of a library would not be there in what is forked while they hold a lock."""
    loaded = forks.server()
    with (tmp_path / "said").open("w") as stdout:
        process = ForkedProcess(
            loaded.control,
            "builtins:exec",
            "import sys, torch; print('torch._dynamo' in sys.modules, torch.get_num_threads())",
            env=dict(os.environ),
            cwd=str(tmp_path),
            streams={1: stdout},
        )
    assert process.wait() == 0
    assert (tmp_path / "said").read_text() == "True 1\n"
    assert len(list(Path(f"/proc/{loaded._process.pid}/task").iterdir())) == 1


@pytest.mark.parametrize("numbers", [(1, 2), (2, 1), (0, 2)])
def test_one_notebook_at_a_time_or_alone_has_a_kernel_that_is_started(numbers):
    with fork_server(*numbers) as made:
        assert made is None


def test_no_kernel_with_several_threads_is_forked():
    assert has_one_thread(ONE_THREAD)
    assert has_one_thread({"OMP_NUM_THREADS": "1"})
    assert not has_one_thread({})
    assert not has_one_thread({"OMP_NUM_THREADS": "2"})
    assert not has_one_thread({**ONE_THREAD, "MKL_NUM_THREADS": "2"})


PARENT = "import os\nrate = os.getppid()"


@pytest.fixture
def parents(project, monkeypatch):
    """What makes two figures, and returns the processes that are the parents of the kernels."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("interest/a", "interest/b"):
        path = project.write(name)
        book = json.loads(path.read_text())
        book["cells"].insert(2, {**book["cells"][2], "id": "parent", "source": PARENT})
        path.write_text(json.dumps(book))

    def of_kernels():
        assert set(project.statuses("--jobs", "2").values()) == {"done"}
        records = [project.out / "interest" / f"{name}.json" for name in "ab"]
        return {json.loads(record.read_text())["parameters"]["rate"] for record in records}

    return of_kernels


def test_the_kernels_of_a_batch_are_forked_from_one_process(parents, monkeypatch):
    monkeypatch.setattr(forked_kernels, "fork_server", fork_server)
    monkeypatch.setattr(forked_kernels, "PRELOADED", ["ipykernel.kernelapp"])
    (parent,) = parents()
    assert parent != os.getpid()
    with pytest.raises(ProcessLookupError):
        os.kill(parent, 0)


def test_a_batch_whose_server_is_killed_starts_its_kernels(parents, monkeypatch):
    killed = ForkServer([], os.environ)
    killed._process.kill()
    monkeypatch.setattr(forked_kernels, "fork_server", lambda jobs, workers: nullcontext(killed))
    assert parents() == {os.getpid()}
    killed.close()


def test_kernels_take_no_ports_and_have_no_name_of_anothers():
    first, second = ThisPythonKernel(), ThisPythonKernel()
    assert first.transport == second.transport == "ipc"
    assert first.ip != second.ip
    assert first.ip.startswith("@")  # no file's name
