"""What was compiled is found again by its content, wherever it is, and nothing stops an import."""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import curse_of_memory
from curse_of_memory.nn.recurrence.compiled import compile_cache

PACKAGE = Path(curse_of_memory.__file__).parent
CALLER = """
from curse_of_memory.nn.recurrence.compiled.compile_cache import compiled
from curse_of_memory.nn.recurrence.compiled.vector_math import tanh


@compiled(nogil=True)
def twice(x):
    return 2 * tanh(x)
"""
RUN = """
from curse_of_memory.nn.recurrence.linear.caller import twice
print(twice(100.0), sum(twice.stats.cache_hits.values()))
"""


def make_room(root):
    """Make a package of this name with the room of compiled loops, a small loop of its own, no more."""
    for name in (
        "tools/files.py",
        "nn/recurrence/compiled/_numba_private.py",
        "nn/recurrence/compiled/compile_cache.py",
        "nn/recurrence/compiled/turns.py",
        "nn/recurrence/compiled/vector_math.py",
    ):
        target = root / "curse_of_memory" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / name, target)
    room = target.parent
    for folder in (*(room, *room.parents)[:4], root / "curse_of_memory" / "tools"):
        (folder / "__init__.py").touch()
    other = room.parent / "linear"
    other.mkdir()
    (other / "__init__.py").touch()
    (other / "caller.py").write_text(CALLER)
    return room


@pytest.fixture
def room(tmp_path):
    """A room in which nothing has been compiled."""
    return make_room(tmp_path)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A room in which everything has been compiled once, and what that process said."""
    room = make_room(tmp_path_factory.mktemp("first"))
    return room, start(room, RUN).communicate()


@pytest.fixture
def warm(tmp_path, first):
    """A copy of that room: what was compiled is found in it, too."""
    room, (out, _) = first
    assert out == "2.0 0\n"
    shutil.copytree(room.parents[3], tmp_path, dirs_exist_ok=True)
    return tmp_path / room.relative_to(room.parents[3])


def start(room, code, *arguments, **environment):
    """Start a process of its own."""
    root = room.parents[3]
    fixed = {"PYTHONPATH": str(root), "HOME": str(root / "home"), "PATH": os.environ["PATH"]}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        env=fixed | environment,
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(room, **environment):
    """Return what a process of its own computes, and whether it found that compiled."""
    process = start(room, RUN, **environment)
    out, err = process.communicate()
    assert process.returncode == 0, err
    value, hits = out.split()
    return float(value), hits == "1"


def halve_tanh(room):
    """Halve the tanh that the loop calls, in a file with a date long before anything was compiled."""
    path = room / "vector_math.py"
    text = path.read_text()
    halved = text.replace(
        "return math.copysign(e / (2.0 + e), x)", "return math.copysign(e / (2.0 + e), x) / 2"
    )
    assert halved != text
    path.write_text(halved)
    os.utime(path, (1e9, 1e9))


@pytest.mark.slow
def test_a_change_in_what_a_loop_calls_is_seen_whatever_the_dates(warm, first):
    halve_tanh(warm)
    # these are other loops, of which none has been compiled: that is announced again
    assert start(warm, RUN).communicate() == ("1.0 0\n", first[1][1])
    assert len({path.parent for path in (warm / "__pycache__").rglob("*.compiled")}) == 2


@pytest.mark.slow
def test_a_change_is_seen_in_a_chosen_folder_too(room, tmp_path):
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    assert run(room, **environment) == (2.0, False)
    halve_tanh(room)
    assert run(room, **environment) == (1.0, False)
    assert len({path.parent for path in (tmp_path / "kept").rglob("*.compiled")}) == 2


@pytest.mark.slow
def test_what_is_damaged_is_compiled_and_written_again(warm):
    files = sorted(warm.rglob("*.compiled"))
    assert any(path.name.startswith("caller.twice-") for path in files)
    whole = {path: path.read_bytes() for path in files}
    for number, (path, content) in enumerate(whole.items()):
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes([content[:middle], flipped, b""][number % 3])
    assert run(warm) == (2.0, False)
    for path in whole:
        data = path.read_bytes()
        assert len(data) > 1000
        assert hashlib.sha256(data[compile_cache.CHECKSUM :]).digest() == data[: compile_cache.CHECKSUM]
    assert run(warm) == (2.0, True)


@pytest.mark.slow
def test_where_nothing_can_be_written_loops_run_all_the_same(room):
    # a file where a folder should be: root may write everywhere, but not there
    (room / "__pycache__").touch()
    (room.parents[3] / "home").touch()
    assert run(room) == (2.0, False)
    assert not list(room.parents[3].rglob("*.compiled"))
    # a home of one's own is the next best place
    (room.parents[3] / "home").unlink()
    assert run(room) == (2.0, False)
    assert list((room.parents[3] / "home" / ".cache" / "curse_of_memory").rglob("caller.twice-*"))


TOGETHER = """
import sys, time
from pathlib import Path
from curse_of_memory.nn.recurrence.linear.caller import twice
Path(f"ready-{sys.argv[1]}").touch()
while len(list(Path().glob("ready-*"))) < 3:
    time.sleep(0.01)
print(twice(100.0), sum(twice.stats.cache_hits.values()))
"""


@pytest.mark.slow
def test_of_cold_processes_at_once_one_compiles_and_the_others_find_it(room):
    processes = [start(room, TOGETHER, number) for number in range(3)]
    said = [process.communicate() for process in processes]
    assert sorted(out for out, _ in said) == ["2.0 0\n", "2.0 1\n", "2.0 1\n"], said
    assert {err for _, err in said} <= {"", f"{compile_cache.FIRST_TIME}\n"}
    assert not list(room.rglob("*.lock"))


@pytest.mark.slow
def test_the_first_compilation_of_all_is_announced_once(warm, first):
    assert first[1] == ("2.0 0\n", f"{compile_cache.FIRST_TIME}\n")  # of two loops one
    assert start(warm, RUN).communicate() == ("2.0 1\n", "")


HOLD = """
import sys, time
from pathlib import Path
from curse_of_memory.nn.recurrence.compiled.turns import wait_for_turn
for lock in sys.argv[1:]:
    assert wait_for_turn(Path(lock)) is not None
print("held", flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def held(room):
    """Let another process have its turn at all that has been compiled here, of which nothing is left."""
    locks = []
    for path in room.rglob("*.compiled"):
        path.unlink()
        locks.append(f"{path}.lock")
    holder = start(room, HOLD, *locks)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        yield holder
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.slow
def test_a_process_that_died_in_its_turn_stops_no_other(warm):
    with held(warm) as holder:
        waiting = start(warm, RUN)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(timeout=5)
        assert not list(warm.rglob("*.compiled"))
        holder.kill()
        assert waiting.communicate()[0].split() == ["2.0", "0"]
    assert run(warm) == (2.0, True)


@pytest.mark.slow
def test_a_process_that_hangs_in_its_turn_stops_no_other(room):
    turns = room / "turns.py"
    text = turns.read_text()
    turns.write_text(text.replace("LONGEST = 300.0", "LONGEST = 0.2"))
    assert turns.read_text() != text
    assert run(room) == (2.0, False)
    with held(room):
        assert run(room) == (2.0, False)


def test_the_latest_few_of_earlier_versions_stay(tmp_path):
    own = tmp_path / "compiled-own"
    for age in range(6):
        (tmp_path / f"compiled-{age}").mkdir()
        os.utime(tmp_path / f"compiled-{age}", (1e9 - age, 1e9 - age))
    (tmp_path / "loops.py").touch()
    compile_cache._drop_earlier(own)
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"compiled-0", "compiled-1", "compiled-2", "loops.py"}


def test_only_this_room_compiles_and_only_here_is_what_numba_does_not_promise():
    room = PACKAGE / "nn" / "recurrence"
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        assert room in path.parents or "compile_cache" not in text
        if path.name != "compile_cache.py":
            assert not re.search(r"njit|numba\.jit|cache=True", text), path
        if path.name != "_numba_private.py":
            assert not re.search(r"numba\.(core|config)|_nrt", text), path
        if path.name != "_torch_private.py":
            assert not re.search(r"torch\._C|jit\.is_tracing|layer\._parameters", text), path
