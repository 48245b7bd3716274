import errno
import math
import os
import stat
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.tools import checks
from curse_of_memory.tools.files import is_plain_file, plain_folder, read_file, read_json, whole_file

steady = settings(derandomize=True, deadline=None, max_examples=50)


# --- files --------------------------------------------------------------------------------------


def test_a_file_takes_its_place_in_one_step(tmp_path):
    target = tmp_path / "new" / "folder" / "table.csv"
    with whole_file(target) as draft:
        draft.write_text("a,b\n")
        assert not target.exists()
        # writers choose the format by the suffix, and the draft must be on the same file system
        assert draft.suffix == ".csv"
        assert draft.parent == target.parent
        assert draft.name.startswith(".")
    assert target.read_text() == "a,b\n"
    assert [p.name for p in target.parent.iterdir()] == ["table.csv"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_stood_there_survives_an_error(tmp_path, error):
    target = tmp_path / "table.csv"
    target.write_text("old")

    def half_written():
        with whole_file(target) as draft:
            draft.write_text("ne")
            raise error("interrupted")

    with pytest.raises(error, match="interrupted"):
        half_written()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_an_existing_file_is_replaced_and_paths_may_be_text(tmp_path):
    target = tmp_path / "note.txt"
    for text in ("first", "second"):
        with whole_file(str(target)) as draft:
            draft.write_text(text)
        assert target.read_text() == text


def test_who_is_reading_the_old_file_reads_all_of_it(tmp_path):
    target = tmp_path / "note.txt"
    target.write_text("the old text")
    with target.open() as reader:
        with whole_file(target) as draft:
            draft.write_text("new")
        assert reader.read() == "the old text"
    assert target.read_text() == "new"


def test_a_writer_may_replace_the_draft_itself(tmp_path):
    with whole_file(tmp_path / "note.txt") as draft:
        other = tmp_path / "other"
        other.write_text("by another name")
        os.replace(other, draft)
    assert (tmp_path / "note.txt").read_text() == "by another name"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_have_the_permissions_the_umask_allows(tmp_path, monkeypatch, umask):
    before = os.umask(umask)
    change = os.umask
    try:
        # the umask is of all threads: to ask for it is to change it
        monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the umask was changed"))
        with whole_file(tmp_path / "note.txt") as draft:
            draft.write_text("text")
    finally:
        change(before)
    assert stat.S_IMODE((tmp_path / "note.txt").stat().st_mode) == 0o666 & ~umask


KILLED = """
import os, signal, sys
from curse_of_memory.tools.files import whole_file
with whole_file(sys.argv[1]) as draft:
    draft.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_drafts_of_killed_writers_go_with_the_next_write_and_no_other_file_does(tmp_path):
    target, near = tmp_path / "run.pt", tmp_path / "run.pt.pt"
    for path in (target, near):
        subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    link = tmp_path / f".run.pt.draft-{'0' * 16}.pt"
    link.symlink_to(tmp_path / "elsewhere")
    mine = tmp_path / ".run.pt.draft-mine.pt"
    mine.touch()
    with whole_file(target) as draft:
        draft.write_text("whole")
    left = {path.name for path in tmp_path.iterdir()}
    assert left - {"run.pt", link.name, mine.name} == {
        name for name in left if name.startswith(".run.pt.pt.draft-")
    }
    assert len(left) == 4


def test_writers_of_one_file_leave_each_other_alone(tmp_path):
    target = tmp_path / "note.txt"
    with whole_file(target) as first:
        first.write_text("first")
        with whole_file(target) as second:
            second.write_text("second")
        assert target.read_text() == "second"
    assert target.read_text() == "first"

    def write(number):
        for _ in range(100):
            with whole_file(target) as draft:
                draft.write_text(str(number))

    failures = []
    monitor = threading.excepthook
    threading.excepthook = failures.append
    try:
        threads = [threading.Thread(target=write, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        threading.excepthook = monitor
    assert failures == []
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_what_the_system_reports_names_the_file(tmp_path):
    target = tmp_path / "note.txt"
    full = OSError(errno.ENOSPC, "No space left on device")

    def write(path, error=None):
        with whole_file(path):
            if error:
                raise error

    with pytest.raises(OSError, match=rf"No space left on device: '{target}'"):
        write(target, full)
    target.mkdir()
    with pytest.raises(OSError, match=rf": '{target}'$"):
        write(target)
    assert list(tmp_path.iterdir()) == [target]
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=rf"'{tmp_path / 'file'}'"):
        write(tmp_path / "file" / "note.txt")
    with pytest.raises(FileNotFoundError, match="'other'"):  # not of the draft: left as it is
        write(tmp_path / "b", FileNotFoundError(errno.ENOENT, "No such file", "other"))


def test_files_are_read_up_to_a_size(tmp_path):
    plain, link, pipe = (tmp_path / name for name in ("plain", "link", "pipe"))
    plain.write_text("1234é", encoding="utf-8")
    link.symlink_to(plain)
    os.mkfifo(pipe)
    assert read_file(plain, largest=6) == read_file(link, largest=6) == "1234é"
    with pytest.raises(ValueError, match=f"{plain} has more than 5 bytes"):
        read_file(plain, largest=5)
    with pytest.raises(ValueError, match=r"has more than 5 bytes|is not a file"):
        read_file(Path("/dev/zero"), largest=5)
    for other in (pipe, tmp_path):  # a pipe would be waited for
        with pytest.raises(ValueError, match=f"{other} is not a file"):
            read_file(other, largest=5)
    with pytest.raises(FileNotFoundError, match="nothing"):
        read_file(tmp_path / "nothing", largest=5)
    plain.write_bytes(b"\xff")
    with pytest.raises(ValueError, match=f"{plain} is no text in UTF-8"):
        read_file(plain, largest=5)
    assert [is_plain_file(path) for path in (plain, link, pipe, tmp_path, tmp_path / "nothing")] == [
        *(True, False, False, False, False)
    ]


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "9" * 10_000, r'{"a": "\ud800"}', r'{"\ud800": 1}'])
def test_json_that_cannot_be_read_or_written_again_is_refused(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text('{"a": ["é", 1.5, null]}', encoding="utf-8")
    assert read_json(path, 100) == {"a": ["é", 1.5, None]}
    path.write_text(text)
    with pytest.raises(ValueError, match=r"\S") as refusal:
        read_json(path, 1_000_000)
    assert "\n" not in str(refusal.value)


def test_a_folder_below_another_is_made_but_not_through_links(tmp_path):
    base, elsewhere = tmp_path / "base", tmp_path / "elsewhere"
    assert plain_folder(base, base / "a" / "b") == base / "a" / "b"
    assert (base / "a" / "b").is_dir()
    elsewhere.mkdir()
    (base / "a" / "link").symlink_to(elsewhere)
    with pytest.raises(ValueError, match=f"{base / 'a' / 'link'} is a link"):
        plain_folder(base, base / "a" / "link" / "c")
    assert list(elsewhere.iterdir()) == []
    (tmp_path / "other").symlink_to(base)  # where a user's own folder is is the user's business
    assert plain_folder(tmp_path / "other", tmp_path / "other" / "c").is_dir()
    with pytest.raises(ValueError, match="elsewhere"):
        plain_folder(base, elsewhere)


# --- checks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1, 2.5, np.float32(0.5), np.float64(3), np.int64(4), 1e-300])
def test_numbers_come_back_as_floats(value):
    for check in (checks.real, checks.positive, checks.non_negative):
        found = check("x", value)
        assert type(found) is float
        assert found == value


@steady
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_signs_are_checked(value):
    assert checks.real("x", value) == value
    for check, allowed in ((checks.positive, value > 0), (checks.non_negative, value >= 0)):
        if allowed:
            assert check("x", value) == value
        else:
            with pytest.raises(ValueError, match=r"^x must"):
                check("x", value)


@pytest.mark.parametrize("value", [3, np.int32(3), np.uint8(3)])
def test_whole_numbers_come_back_as_ints(value):
    found = checks.positive_int("n", value)
    assert type(found) is int
    assert found == 3


def test_several_values_are_different_and_each_is_checked():
    assert checks.several("x", (1, 2), checks.positive_int) == [1, 2]
    assert checks.several("x", np.array([0.5, 1]), checks.positive) == [0.5, 1.0]
    for values, kind, message in (
        ([], ValueError, "x must not be empty"),
        (np.array([]), ValueError, "x must not be empty"),
        ([1, 1.0], ValueError, "x must hold different values, got 1.0 twice"),
        ([1, -1], ValueError, "x must be positive, got -1"),
        ("12", TypeError, "x must be a list, got '12'"),
        (3, TypeError, "x must be a list, got 3"),
        ({1: 2}, TypeError, "x must be a list"),
        (None, TypeError, "x must be a list"),
    ):
        with pytest.raises(kind, match=message):
            checks.several("x", values, checks.positive)


def test_arrays_come_back_as_float64():
    found = checks.finite_array("a", [[1, 2], [3, 4]], ndim=2)
    assert found.dtype == np.float64
    assert found.shape == (2, 2)
    assert checks.finite_array("a", 3).shape == ()


@pytest.mark.parametrize(
    ("word", "found"), [("softplsu", "softplus"), ("EXP", ""), ("tanh2", ""), ("exq", "exp"), (3, "")]
)
def test_the_nearest_word_is_named_if_it_is_near(word, found):
    hint = checks.near_match(word, ["direct", "softplus", "exp"])
    assert hint == (f" (did you mean {found!r}?)" if found else "")


def test_an_option_is_one_of_those_listed():
    assert checks.one_of("mode", "b", iter(["a", "b"])) == "b"
    with pytest.raises(ValueError, match=r"^mode must be one of 'alpha', 'beta'; got 'bet' \(did you mean"):
        checks.one_of("mode", "bet", iter(["alpha", "beta"]))
    with pytest.raises(ValueError, match="mode must be one of 'alpha'; got None"):
        checks.one_of("mode", None, ["alpha"])


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: checks.real("x", "1"), TypeError, "x must be a real number, got '1'"),
        (lambda: checks.real("x", True), TypeError, "x must be a real number, got True"),
        (lambda: checks.real("x", None), TypeError, "x must be a real number"),
        (lambda: checks.real("x", 1j), TypeError, "x must be a real number"),
        (lambda: checks.real("x", math.nan), ValueError, "x must be finite, got nan"),
        (lambda: checks.real("x", -math.inf), ValueError, "x must be finite, got -inf"),
        (lambda: checks.positive("x", 0), ValueError, "x must be positive, got 0"),
        (lambda: checks.non_negative("x", -0.1), ValueError, "x must not be negative, got -0.1"),
        (lambda: checks.positive_int("n", 0), ValueError, "n must be at least 1, got 0"),
        (lambda: checks.positive_int("n", 2.0), TypeError, "n must be a whole number, got 2.0"),
        (lambda: checks.positive_int("n", True), TypeError, "n must be a whole number, got True"),
        (lambda: checks.texts("a", "xy"), TypeError, "a must be a sequence of texts, got one text"),
        (lambda: checks.texts("a", b"xy"), TypeError, "a must be a sequence of texts, got b'xy'"),
        (lambda: checks.texts("a", ["x", 2]), TypeError, "a must be texts, and number 1 is 2"),
        (lambda: checks.finite_array("a", []), ValueError, "a must not be empty"),
        (lambda: checks.finite_array("a", [1, math.inf]), ValueError, "a must be finite"),
        (lambda: checks.finite_array("a", [[1.0]], ndim=1), ValueError, r"1 dimension\(s\), got shape"),
        (lambda: checks.finite_array("a", ["x"]), TypeError, "a must be an array of real numbers, got list"),
        (lambda: checks.finite_array("a", [[1], [2, 3]]), TypeError, "a must be an array of real numbers"),
        (lambda: checks.finite_array("a", [1j]), TypeError, "a must be an array of real numbers"),
    ],
)
def test_bad_input_is_refused_by_name(call, kind, message):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(kind, match=message):
            call()


def test_a_number_may_be_infinity_where_it_is_said():
    assert checks.real("x", math.inf, endless=True) == math.inf
    assert type(checks.positive("x", np.float64("inf"), endless=True)) is float
    assert checks.positive("x", 2, endless=True) == 2.0
    for value in (-math.inf, math.nan, 10**400):
        with pytest.raises(ValueError, match="x must be finite"):
            checks.real("x", value, endless=True)


class Sized(Protocol):
    @property
    def size(self) -> int: ...


class Drawer(Sized, Protocol):
    def draw(self) -> float: ...


class Hat:
    size = 3

    def draw(self) -> float:
        return 0.5


class Wrapped:
    """Looks up everything elsewhere, as wrappers do."""

    def __getattr__(self, name):
        return getattr(Hat(), name)


class NotCallable:
    size = 3
    draw = 0.5


class WithoutSize:
    size = None

    def draw(self) -> float:
        return 0.5


@pytest.mark.parametrize("value", [Hat(), Wrapped()])
def test_what_fulfils_a_protocol_comes_back(value):
    assert checks.fulfils(value, Drawer)
    assert checks.fulfilling("hat", value, Drawer, "a drawer") is value


@pytest.mark.parametrize("value", [Hat, NotCallable(), WithoutSize(), object(), None, "hat"])
def test_what_does_not_fulfil_a_protocol_is_refused_by_name(value):
    assert not checks.fulfils(value, Drawer)
    message = r"^hat must be a drawer with size and draw\(\), got .*; take a bag$"
    with pytest.raises(TypeError, match=message):
        checks.fulfilling("hat", value, Drawer, "a drawer", instead="take a bag")


def test_complex_arrays_are_refused():
    with pytest.raises(TypeError, match="a must be an array of real numbers"):
        checks.finite_array("a", np.array([1j]))
