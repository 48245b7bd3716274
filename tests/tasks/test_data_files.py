"""Files are found, downloaded, and refused: with files and a server made on the spot."""

import contextlib
import hashlib
import http.server
import io
import os
import socket
import sys
import threading
import time

import pooch
import pytest
import requests

from curse_of_memory.tasks import available, data_files, image_files
from curse_of_memory.tasks.data_files import (
    FILES,
    VARIABLE,
    DataFile,
    fetch,
    fetch_form,
    files_read,
    find,
    lying_folder,
)

FORMS = data_files._FORMS
CONTENT = b"these are the published bytes\n" * 100
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE = DataFile(
    "set/file.gz", f"sha256:{SHA256}", ("https://first.example/file.gz", "https://second.example/f")
)


def put(folder, content=CONTENT, path=FILE.path):
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return place


def test_the_named_folder_comes_before_the_cache(machine):
    assert find(FILE) is None
    cached = put(machine.cache)
    assert find(FILE) == cached
    local = put(machine.data)
    assert find(FILE) == fetch(FILE) == local
    assert machine.asked == []


def test_without_the_variable_there_is_the_cache(machine, monkeypatch):
    put(machine.data)
    monkeypatch.delenv(VARIABLE)
    assert find(FILE) is None
    cached = put(machine.cache)
    assert find(FILE) == cached


def test_other_checksums_are_those_they_say_they_are(machine):
    place = put(machine.data)
    md5 = hashlib.md5(CONTENT).hexdigest()
    assert find(DataFile(FILE.path, f"md5:{md5}")) == place
    with pytest.raises(ValueError, match=f"expected md5 {md5[::-1]}, got {md5}"):
        find(DataFile(FILE.path, f"md5:{md5[::-1]}"))


@pytest.mark.parametrize("where", ["data", "cache"])
@pytest.mark.parametrize("use", [find, fetch])
def test_a_damaged_file_is_refused_by_name_with_both_checksums(machine, where, use):
    damaged = CONTENT[:-1] + b"?"
    place = put(getattr(machine, where), damaged)
    with pytest.raises(ValueError, match="is not the published file") as refusal:
        use(FILE)
    message = str(refusal.value)
    assert str(place) in message
    assert SHA256 in message
    assert hashlib.sha256(damaged).hexdigest() in message
    assert machine.asked == []
    assert place.read_bytes() == damaged  # nobody's file is removed


def test_a_missing_file_says_where_it_was_looked_for_and_what_to_do(machine):
    instead = DataFile("set/member", "md5:0")
    with pytest.raises(FileNotFoundError) as refusal:
        fetch(FILE, instead)
    message = str(refusal.value)
    for part in (str(machine.data), VARIABLE, str(machine.cache), *FILE.urls, "no connection"):
        assert part in message
    assert "no 'set/member' or 'set/file.gz'" in message
    assert "put it into a folder as 'set/file.gz'" in message
    assert "\n" not in message
    assert machine.asked == list(FILE.urls)


def test_the_variable_that_is_not_set_is_said_to_be_so(machine, monkeypatch):
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(FileNotFoundError, match=f"{VARIABLE}, which is not set"):
        fetch(FILE)


def test_the_home_may_be_said_by_its_sign(machine, monkeypatch):
    place = put(machine.data)
    monkeypatch.setenv("HOME", str(machine.data.parent))
    monkeypatch.setenv(VARIABLE, "~/data")
    assert find(FILE) == fetch(FILE) == place


@pytest.mark.parametrize("named", ["nowhere", "~/nowhere", "~nobody_at_all/data", "data/set/file.gz"])
@pytest.mark.parametrize(
    "use", [find, fetch, lambda file: available("mnist"), lambda file: files_read("mnist")]
)
def test_a_variable_that_names_no_folder_is_refused_in_one_line(machine, monkeypatch, named, use):
    """Else the cache would be taken, or another set downloaded, where the user has named one."""
    put(machine.data)
    put(machine.cache)
    monkeypatch.chdir(machine.data.parent)
    monkeypatch.setenv(VARIABLE, named)
    with pytest.raises(FileNotFoundError, match=rf"{VARIABLE} must name a folder, got '{named}'") as refusal:
        use(FILE)
    assert "\n" not in str(refusal.value)


NO_FILES = {
    "folder": (lambda place: place.mkdir(), "a folder"),
    "link to nothing": (lambda place: place.symlink_to("nowhere"), "a link that leads nowhere"),
    "link to itself": (lambda place: place.symlink_to(place.name), "a link that leads nowhere"),
    "pipe": (os.mkfifo, "neither file nor folder"),
}


@pytest.mark.parametrize("what", NO_FILES)
@pytest.mark.parametrize("where", ["data", "cache"])
def test_what_stands_in_the_place_of_a_file_and_is_none_is_refused_by_name(machine, what, where):
    """Else the file would be taken for absent, and another one read or a stand-in taken."""
    make, told = NO_FILES[what]
    place = getattr(machine, where) / FILES["mnist"]["t10k-labels-idx1-ubyte.gz"].path
    part = getattr(machine, where) / FILES["cifar10"]["data_batch_2"].path
    for path in (place, part):
        path.parent.mkdir(parents=True)
        make(path)
    for use, path in (
        (lambda: find(FILES["mnist"]["t10k-labels-idx1-ubyte.gz"]), place),
        (lambda: fetch(FILES["mnist"]["t10k-labels-idx1-ubyte.gz"]), place),
        (lambda: files_read("cifar10"), part),
        (lambda: image_files.read_images("cifar10", "train"), part),
    ):
        with pytest.raises(ValueError, match=f"must be a file, but is {told}: remove it") as refusal:
            use()
        assert str(refusal.value).startswith(str(path))
        assert "\n" not in str(refusal.value)


@pytest.fixture
def nobody(machine, tmp_path_factory):
    """Tests that are run by somebody who may read everything are run by somebody who may not."""
    user, base = os.geteuid(), tmp_path_factory.getbasetemp()
    if user:
        yield
        return
    own = [folder for folder in (machine.data, *machine.data.parents) if base.parent in folder.parents]
    modes = {folder: folder.stat().st_mode for folder in (*own, base.parent)}
    for folder, mode in modes.items():
        folder.chmod(mode | 0o055)
    os.seteuid(65534)
    try:
        if not os.access(machine.data, os.R_OK, effective_ids=True):
            pytest.skip("nobody else may read temporary files here")
        yield
    finally:
        os.seteuid(user)
        for folder, mode in modes.items():
            folder.chmod(mode)


@pytest.fixture(params=["file", "folder"])
def closed(request, machine):
    """A file, or the folder in which it is, that may not be read."""
    place = put(machine.data)
    closed = place if request.param == "file" else place.parent
    closed.chmod(0)
    yield closed
    closed.chmod(0o755)


def test_what_may_not_be_read_is_not_taken_for_absent(machine, closed, nobody):
    with pytest.raises(PermissionError, match=str(closed)):
        fetch(FILE)
    assert machine.asked == []


@pytest.mark.parametrize("what", NO_FILES)
def test_what_stands_in_the_place_of_a_folder_and_is_none_is_refused_by_name(machine, what):
    make, told = NO_FILES[what]
    make(machine.data / "some")
    if what == "folder":
        assert lying_folder("some") == machine.data / "some"
        return
    with pytest.raises(ValueError, match=f"must be a folder, but is {told}"):
        lying_folder("some")


# --- downloads, from this machine to itself -----------------------------------------------------


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/slow":
            self.send_response(200)
            self.send_header("Content-Length", str(2 * len(CONTENT)))
            self.end_headers()
            with contextlib.suppress(OSError):  # until nobody listens any more
                for _ in range(200):
                    self.wfile.write(CONTENT[:1024])
                    time.sleep(0.05)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        wrong = CONTENT.replace(b"published", b"penguined")
        self.wfile.write({"/whole": CONTENT, "/wrong": wrong, "/cut": CONTENT[:1000]}[self.path])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(machine, monkeypatch):
    """An address on this machine that serves the file whole, wrong, cut off in the middle, or not at all."""
    monkeypatch.undo()  # the network is asked in earnest
    monkeypatch.setenv(VARIABLE, str(machine.data))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(data_files, "cache_folder", lambda: machine.cache)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as running:
        thread = threading.Thread(target=running.serve_forever, args=[0.01])
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def at(server, *paths):
    return DataFile(FILE.path, FILE.checksum, tuple(f"{server}/{path}" for path in paths))


def files_below(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_download_is_kept_in_the_cache(machine, server):
    place = fetch(at(server, "whole"))
    assert place == machine.cache / FILE.path
    assert place.read_bytes() == CONTENT
    assert find(FILE) == place
    assert files_below(machine.cache) == [place]
    assert files_below(machine.data) == []


@pytest.mark.parametrize("way", ["wrong", "cut", "missing"])
def test_nothing_is_left_of_a_download_that_failed(machine, server, way):
    with pytest.raises(FileNotFoundError) as refusal:
        fetch(at(server, way))
    assert f"{server}/{way}: " in str(refusal.value)
    if way == "wrong":
        assert SHA256 in str(refusal.value)
    assert files_below(machine.cache) == []


@pytest.mark.parametrize("way", ["wrong", "cut", "missing"])
def test_the_next_address_is_asked_when_one_fails(server, way):
    assert fetch(at(server, way, "whole")).read_bytes() == CONTENT


@pytest.fixture
def silent():
    """An address on this machine that takes a connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_that_never_answers_is_not_waited_for(machine, server, silent, monkeypatch):
    monkeypatch.setattr(data_files, "SILENT_SECONDS", 0.2)
    start = time.monotonic()
    with pytest.raises(FileNotFoundError, match=rf"{silent}/file: no answer in time"):
        fetch(at(silent, "file"))
    assert time.monotonic() - start < 10
    assert files_below(machine.cache) == []


def test_a_download_has_a_time_limit(machine, server, monkeypatch):
    monkeypatch.setattr(data_files, "DOWNLOAD_SECONDS", 0.2)
    with pytest.raises(FileNotFoundError, match=r"/slow: not whole after 0\.2 s"):
        fetch(at(server, "slow"))
    assert files_below(machine.cache) == []


def test_where_there_is_no_terminal_a_download_is_silent(server, capfd):
    fetch(at(server, "missing", "whole"))
    assert capfd.readouterr() == ("", "")


def test_a_terminal_sees_a_bar(server, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    fetch(at(server, "whole"))
    assert FILE.path in screen.getvalue()
    assert f"/{len(CONTENT) / 1000:.2f}k" in screen.getvalue()


def test_an_interrupted_download_leaves_nothing(machine, server, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(requests.Response, "iter_content", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(at(server, "whole"))
    assert files_below(machine.cache) == []


# --- what is there ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMS)
def test_of_a_set_in_several_forms_one_is_enough_and_all_of_it(machine, name):
    for form in FORMS[name]:
        places = []
        for key in form:
            assert not available(name)
            places.append(put(machine.data, path=FILES[name][key].path))
        assert available(name)
        for place in places:
            place.unlink()
    assert sorted(key for form in FORMS[name] for key in form) == sorted(FILES[name])


def test_what_has_no_address_is_said_to_have_none(machine, capfd):
    assert not available("eigenworms", download=True)
    assert "and no address to download it from: download it elsewhere" in capfd.readouterr().err
    with pytest.raises(ValueError, match="name must be one of 'eigenworms', 'enwik8'; got 'mnist'"):
        fetch_form("mnist")


def test_available_asks_for_all_files(machine):
    for name, files in FILES.items():
        assert not available(name)
        if name in FORMS:
            continue
        for file in files.values():
            if "archive" not in files:
                assert not available(name)
                put(machine.data, path=file.path)
        if "archive" in files:
            archive = put(machine.cache, path=files["archive"].path)
        assert available(name)
        if "archive" in files:
            archive.unlink()  # another set may be in it, too
    assert machine.asked == []


def test_a_download_is_tried_once_in_a_process_and_its_failure_said_in_one_line(machine, capfd):
    for name, first in (("mnist", "train-images-idx3-ubyte.gz"), ("cifar10", "archive")):
        file = FILES[name][first]
        machine.asked.clear()
        assert not available(name, download=True)
        assert machine.asked == list(file.urls)  # where one file cannot be had, the others are not asked for
        said = capfd.readouterr().err
        assert said.count("\n") == 1
        for part in (repr(file.path), str(machine.data), VARIABLE):
            assert part in said
        assert not available(name, download=True)
        assert capfd.readouterr().err == ""
        assert machine.asked == list(file.urls)
    for file in FILES["mnist"].values():  # files that come later are seen
        put(machine.data, path=file.path)
    assert available("mnist", download=True)


def test_what_can_be_downloaded_is_there(machine, monkeypatch):
    def retrieve(url, checksum, fname, path, downloader):
        return str(put(path, path=fname))

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert not available("wikitext2")
    assert available("wikitext2", download=True)
    assert available("wikitext2")


def test_without_what_downloads_the_folder_is_enough(machine, monkeypatch, capfd):
    def missing(extra, *modules):
        raise ModuleNotFoundError("pooch is not installed")

    monkeypatch.setattr(data_files, "require", missing)
    assert not available("mnist", download=True)
    assert capfd.readouterr().err == "pooch is not installed\n"
    for file in FILES["mnist"].values():
        put(machine.data, path=file.path)
    assert available("mnist")


def test_members_of_an_archive_are_enough(machine):
    put(machine.data, path=FILES["cifar10"]["data_batch_1"].path)
    assert not available("cifar10")
    put(machine.data, path=FILES["cifar10"]["test_batch"].path)
    assert available("cifar10")
    for part in ("train", "valid", "test"):
        assert not available("wikitext2")
        put(machine.data, path=FILES["wikitext2"][f"wiki.{part}.tokens.gz"].path)
    assert available("wikitext2")


def test_unknown_data_sets_are_refused():
    with pytest.raises(ValueError, match="did you mean 'fashion_mnist'"):
        available("fashion-mnist")


def test_every_file_can_be_had():
    """Each has a checksum of the length of its kind, and a public address: its own, or its archive's.

    An archive of somebody's own has those of its members. Not so sets in several forms: of some no checksum
    is known, and nobody serves single files of these.
    """
    lengths = {"sha256": 64, "md5": 32}
    for name, files in FILES.items():
        if name in FORMS:
            continue
        single = [file for key, file in files.items() if key != "archive"]
        for file in files.values():
            algorithm, _, value = file.checksum.partition(":")
            assert len(value) == lengths[algorithm]
            assert set(value) <= set("0123456789abcdef")
            assert file.urls or files["archive"].urls or (file not in single and all(f.urls for f in single))
        assert len({file.checksum for file in files.values()}) == len(files)


def test_an_archive_without_an_address_is_read_where_it_lies_and_never_asked_for(machine, capfd):
    files = FILES["bidmc"]
    first = next(file for key, file in files.items() if key != "archive")
    assert set(files_read("bidmc")) == {file.path for key, file in files.items() if key != "archive"}
    assert not available("bidmc", download=True)
    assert machine.asked == list(first.urls)
    assert repr(first.path) in capfd.readouterr().err
    put(machine.data, path=files["archive"].path)
    assert available("bidmc")
    assert files_read("bidmc") == {files["archive"].path: files["archive"].checksum}


def test_the_files_that_are_read_are_those_that_lie_here_or_the_archive(machine):
    files = FILES["cifar10"]

    def read():
        found = files_read("cifar10")
        assert all(found[file.path] == file.checksum for file in files.values() if file.path in found)
        return [key for key, file in files.items() if file.path in found]

    assert read() == ["archive"]
    put(machine.cache, path=files["archive"].path)  # a download changes nothing
    assert read() == ["archive"]
    put(machine.data, path=files["data_batch_1"].path)
    assert read() == ["data_batch_1", "archive"]  # of the test set there is nothing else
    put(machine.data, path=files["test_batch"].path)
    assert read() == ["data_batch_1", "test_batch"]
    put(machine.data, path=files["data_batch_4"].path)
    assert read() == ["data_batch_1", "data_batch_4", "test_batch"]
    assert set(files_read("mnist")) == {file.path for file in FILES["mnist"].values()}
    assert list(files_read("wikitext2")) == [FILES["wikitext2"]["archive"].path]
    with pytest.raises(ValueError, match="did you mean 'fashion_mnist'"):
        files_read("fashion-mnist")


def test_the_files_that_are_read_are_those_of_the_readers(
    machine, small_wikitext, write, cifar_batches, formats
):
    """What the readers of the sets ask for is what is said to be read."""
    for key in ("data_batch_2", "data_batch_5", "test_batch"):
        write("cifar10", key, formats.cifar_batch(*cifar_batches[key]))
    asked = []
    for part in ("train", "test"):
        pixels, _ = image_files.read_images("cifar10", part)
        asked.append(len(pixels))
    assert asked == [40, 20]
    names = [path.rpartition("/")[2] for path in files_read("cifar10")]
    assert names == ["data_batch_2", "data_batch_5", "test_batch"]
    assert len(files_read("wikitext2")) == 3
