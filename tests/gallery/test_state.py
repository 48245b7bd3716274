import json
import os

import pytest

from curse_of_memory.gallery.batch import plan, staleness
from curse_of_memory.gallery.notebooks import code_of, find_notebooks
from curse_of_memory.gallery.origin import Machine, Origin, origin
from curse_of_memory.gallery.publication import Job, is_current
from curse_of_memory.gallery.state import State, read_state, write_state
from curse_of_memory.gallery.used_code import PackageCode
from tests.gallery.conftest import MACHINE, PARAMETERS


def made_from(notebook, values=None, package=None, machine=MACHINE):
    return origin(notebook, values or {}, package or {}, machine)


def test_an_origin_follows_code_parameters_and_package(project):
    project.write("a", "x = 1")
    notebook = project.read("a")
    first = made_from(notebook)
    assert first.same_as(made_from(notebook, {"horizon": 8}))  # the default, said aloud
    assert first.differences(made_from(notebook, {"horizon": 9, "rate": 1.0})) == [
        "parameters (horizon, rate)"
    ]
    assert first.differences(made_from(notebook, package={"a.py": "1"})) == ["code of the package (a.py)"]
    files = {f"{name}.py": "1" for name in "abcdef"}
    assert made_from(notebook, package=files).differences(made_from(notebook, package={"f.py": "1"})) == [
        "code of the package (a.py, b.py, c.py, and 2 more)"
    ]
    project.write("a", "x = 1", title="Other words")
    assert first.same_as(made_from(project.read("a")))
    project.write("a", "x = 2")
    assert first.differences(made_from(project.read("a"))) == ["code of the notebook"]


def test_an_origin_follows_device_data_and_versions(project, monkeypatch):
    path = project.write("a", "x = 1")
    content = json.loads(path.read_text())
    content["metadata"]["needs_data"] = ["cifar10"]
    path.write_text(json.dumps(content))
    notebook = project.read("a")
    first = made_from(notebook)
    assert first.data == {"cifar10/file": "sha256:1"}
    more = Machine(lambda name: "cpu", lambda name: {f"{name}/file": "sha256:1", f"{name}/other": "sha256:2"})
    assert first.differences(made_from(notebook, machine=more)) == ["data (cifar10/other)"]
    other = Machine(lambda name: "cpu", lambda name: {f"{name}/file": "sha256:3"})
    assert first.differences(made_from(notebook, machine=other)) == ["data (cifar10/file)"]
    gpu = Machine(lambda name: {"auto": "A GPU", "cpu": "cpu"}[name], MACHINE.data)
    assert first.differences(made_from(notebook, machine=gpu)) == ["device (cpu, now A GPU)"]
    forced = made_from(notebook, {"device": "cpu"})
    assert forced.same_as(made_from(notebook, {"device": "cpu"}, machine=gpu))
    torch = first.versions["torch"]
    monkeypatch.setattr(
        "curse_of_memory.tools.versions.version", lambda name: "0.1" if name == "torch" else "1"
    )
    now = made_from(notebook)
    assert f"torch {torch}, now 0.1" in first.differences(now)[0]
    assert not first.same_as(now)


def test_an_origin_follows_what_lies_in_files_and_folders_that_are_named(project, tmp_path, monkeypatch):
    """They are named from the folder of the command; a kernel runs in that of its notebook."""
    path = project.write("a", "x = 1", parameters=PARAMETERS + 'weights: str = ""  # of a model\n')
    content = json.loads(path.read_text())
    content["metadata"]["paths"] = ["weights"]
    path.write_text(json.dumps(content))
    notebooks = find_notebooks(project.root)
    (tmp_path / "here" / "tiny" / "deeper").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")

    def job(text):
        (job,), reasons = plan(notebooks.values(), {"fast": {}}, "fast", {"weights": text}, MACHINE)
        assert not reasons
        return job

    folder = tmp_path / "here" / "tiny"
    (folder / "model.bin").write_text("1")
    first = job("tiny")
    assert first.values["weights"] == first.overrides["weights"] == str(folder)
    assert first.origin.same_as(job(f"{folder}/").origin)
    (folder / "deeper" / "notes.txt").write_text("of no account")
    assert first.origin.same_as(job("tiny").origin)
    (folder / "model.bin").write_text("2")
    assert first.origin.differences(job("tiny").origin) == ["data (weights)"]
    (folder / "model.bin").write_text("1")
    (folder / "words.txt").write_text("")
    assert first.origin.differences(job("tiny").origin) == ["data (weights)"]
    file = job("tiny/model.bin").origin.data["weights"]  # sha256sum of "1"
    assert file == "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    assert job("").origin.data == {}
    jobs, reasons = plan(notebooks.values(), {"fast": {}}, "fast", {"weights": "tinny"}, MACHINE)
    assert jobs == []
    assert reasons["a"].startswith("a: weights must name a file or a folder, and there is none at '/")


ORIGIN = Origin({"horizon": 8}, "c", {"a.py": "p"}, {}, "cpu", {"numpy": "2.0"})
FILES = {"a.png": "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"}  # sha256sum of "1"


@pytest.fixture
def figure(project):
    """A figure of one file, with its state."""
    project.write("interest/a")
    figure = project.out / "interest" / "a.png"
    figure.parent.mkdir(parents=True)
    figure.write_text("1")
    write_state(project.out, project.read("interest/a"), State(ORIGIN, "fast", {}, FILES))
    return figure


def test_current_means_same_origin_and_untouched_files(project, figure):
    notebook = project.read("interest/a")

    def current(**changes):
        return is_current(project.out, Job(notebook, {}, "fast", {}, Origin(**{**vars(ORIGIN), **changes})))

    assert current()
    for changes in (
        *({"code": "d"}, {"package": {"a.py": "q"}}, {"package": {"b.py": "p"}}, {"package": {}}),
        *({"device": "A GPU"}, {"data": {"x": "1"}}, {"versions": {"numpy": "2.1"}}),
    ):
        assert not current(**changes)
    write_state(project.out, notebook, State(ORIGIN, "fast", {}, FILES, published=False))
    assert not current()
    write_state(project.out, notebook, State(ORIGIN, "fast", {}, FILES))
    figure.write_text("2")
    assert not current()
    figure.unlink()
    assert not current()
    (figure.parent / "b").write_text("1")
    figure.symlink_to(figure.parent / "b")
    assert not current()


def states():
    """Return texts that are no state, by what is the matter with them."""
    whole = json.loads(
        json.dumps(vars(State(ORIGIN, "fast", {}, FILES)) | {"origin": vars(ORIGIN), "leaving": []})
    )
    for field in whole:
        yield f"without {field}", json.dumps({k: v for k, v in whole.items() if k != field})
        for value in (None, 3, "x", [], ["x"], {}, {"x": 1}, {"x": {"y": "z"}}, True):
            if type(value) is not type(whole[field]) or field in ("origin", "files"):
                yield f"{field} = {value}", json.dumps(whole | {field: value})
    for field in whole["origin"]:
        for value in (None, 3, ["x"], {"x": {"y": "z"}}):
            yield (
                f"origin {field} = {value}",
                json.dumps(whole | {"origin": whole["origin"] | {field: value}}),
            )
    yield "list", "[]"
    yield "half", json.dumps(whole)[:40]
    yield "empty", ""
    yield "more", json.dumps(whole | {"more": 1})
    yield "deep list", "[" * 100_000 + "]" * 100_000
    yield "deep", '{"origin":' * 5_000 + "1" + "}" * 5_000
    yield (
        "deep parameter",
        json.dumps(whole).replace('"overrides": {}', '"overrides": {"x": ' + "[" * 400 + "]" * 400 + "}"),
    )
    yield "digits", json.dumps(whole).replace("true", "9" * 10_000)
    yield "huge", json.dumps(whole) + " " * 2_000_000
    yield "half a sign", json.dumps(whole | {"preset": "\ud800"})
    yield "not UTF-8", b"\xff\xfe"
    yield "version 1", json.dumps({"fingerprint": "f", "files": FILES})


def test_what_is_no_state_counts_as_never_made(project, figure):
    notebook = project.read("interest/a")
    place = project.out / ".batch" / "state" / "interest" / "a.json"
    whole = place.read_text()
    for what, text in states():
        place.write_bytes(text if isinstance(text, bytes) else text.encode())
        assert read_state(project.out, notebook) is None, what
    for make in (os.mkfifo, os.mkdir, lambda p: os.symlink("/dev/zero", p), lambda p: os.symlink(p, p)):
        place.unlink() if not place.is_dir() else place.rmdir()
        make(place)
        assert read_state(project.out, notebook) is None
    place.unlink()
    place.write_text(whole)
    state = read_state(project.out, notebook)
    assert state is not None
    assert state.files == FILES


def test_a_state_is_not_written_through_a_link(project, figure, tmp_path):
    states = project.out / ".batch" / "state"
    states.rename(tmp_path / "elsewhere")
    states.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="state is a link"):
        write_state(project.out, project.read("interest/a"), State(ORIGIN, "fast", {}, FILES))


def test_staleness_is_told_by_what_the_figure_was_made_with(project):
    """The preset of then and the parameters set over it, whichever preset is the default now."""
    project.write("a")
    notebook = project.read("a")
    presets = {"fast": {}, "paper": {"a": {"horizon": 64}}}
    (project.out).mkdir()
    (project.out / "a.png").write_text("1")
    code = PackageCode().used_by(code_of(notebook))
    made = origin(notebook, {"horizon": 64, "rate": 0.25}, code, MACHINE)
    write_state(project.out, notebook, State(made, "paper", {"rate": 0.25}, FILES))

    def stale(presets, machine=MACHINE):
        return staleness(find_notebooks(project.root), presets, project.out, machine).get("a")

    assert stale(presets) is None
    assert stale(presets | {"paper": {"a": {"horizon": 65}}}) == ["parameters (horizon)"]
    assert stale({"fast": {}}) == ["preset must be one of 'fast'; got 'paper'"]
    assert stale(presets, Machine(lambda name: "A GPU", MACHINE.data)) == ["device (cpu, now A GPU)"]
    (project.out / "a.png").write_text("2")
    assert stale(presets) == ["its files were changed or removed"]
    (project.out / "a.png").write_text("1")
    project.write("a", parameters="seed: int = 0  # x\ndevice: str = 'auto'  # x\noutput_dir: str = ''  # x")
    assert stale(presets) == ["unknown parameter 'horizon' for a; it has seed, device"]
    project.write("a").write_text("{")
    assert stale(presets) is None  # it is broken, which is another matter
