"""A figure is published whole, and never seen as whole when it is not."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from curse_of_memory.gallery import batch, publication
from curse_of_memory.gallery.notebooks import find_notebooks
from curse_of_memory.gallery.publication import is_current, publish, recover
from curse_of_memory.gallery.state import read_state
from tests.gallery.conftest import MACHINE


@pytest.fixture
def job(project):
    project.write("interest/a")
    notebook = project.read("interest/a")
    presets = project.catalogue().presets
    ((planned,), _) = batch.plan([notebook], presets, "fast", {}, MACHINE)
    return planned


def stage(folder, project, *suffixes, **changes):
    folder.mkdir(exist_ok=True)
    for suffix in suffixes:
        (folder / f"a.{suffix}").write_text(suffix)
    if "json" in suffixes:
        (folder / "a.json").write_text(project.record("interest/a", **changes).read_text())
        (project.out / "interest" / "a.json").unlink()


@pytest.mark.parametrize(
    ("suffixes", "changes", "message"),
    [
        (["json", "png", "pdf"], {}, r"wrote no \.csv"),
        (["json", "csv", "png"], {}, r"wrote no \.pdf"),
        (["json", "csv", "md"], {}, r"wrote no \.tex"),
        (["csv", "png", "pdf"], {}, r"wrote no \.json"),
        (["json", "csv", "png", "pdf", "txt"], {}, r"wrote a\.txt, which is none of"),
        (["json", "csv", "png", "pdf"], {"name": "interest/b"}, "says it is of 'interest/b'"),
        (
            ["json", "csv", "png", "pdf"],
            {"headline": {"x": [1]}},
            "'x' of 'headline' in a.json .* wrong type",
        ),
        (["json", "csv", "png", "pdf"], {"headline": [1]}, "'headline' in a.json .* wrong type"),
    ],
)
def test_incomplete_figures_are_not_published(project, job, tmp_path, suffixes, changes, message):
    stage(tmp_path / "staging", project, *suffixes, **changes)
    with pytest.raises(ValueError, match=message):
        publish(job, tmp_path / "staging", project.out)
    assert project.files() == {}


def test_a_figure_that_becomes_a_table_leaves_no_picture(project, job, tmp_path):
    staging = tmp_path / "staging"
    stage(staging, project, "json", "csv", "png", "pdf")
    publish(job, staging, project.out)
    stage(staging, project, "json", "csv", "md", "tex")
    publish(job, staging, project.out)
    assert [Path(file).suffix for file in project.files()] == [".csv", ".json", ".md", ".tex"]
    assert is_current(project.out, job)


@pytest.mark.parametrize("what", ["link", "folder"])
def test_what_only_has_the_name_of_a_picture_is_not_published(project, job, tmp_path, what):
    staging, secret = tmp_path / "staging", tmp_path / "secret"
    secret.write_text("of somebody else")
    stage(staging, project, "json", "csv", "pdf")
    if what == "link":
        (staging / "a.png").symlink_to(secret)
    else:
        (staging / "a.png").mkdir()
    with pytest.raises(ValueError, match=r"wrote a\.png, which is no file, but a link or a folder"):
        publish(job, staging, project.out)
    assert project.files() == {}


def test_nothing_is_written_through_links(project, job, tmp_path):
    """Neither through a folder that is one, nor through a file: the link itself gives way."""
    elsewhere, precious = tmp_path / "elsewhere", tmp_path / "precious.png"
    elsewhere.mkdir()
    precious.write_text("precious")
    stage(tmp_path / "staging", project, "json", "csv", "png", "pdf")
    (project.out / "interest").rmdir()
    (project.out / "interest").symlink_to(elsewhere)
    with pytest.raises(ValueError, match="interest is a link"):
        publish(job, tmp_path / "staging", project.out)
    (project.out / "interest").unlink()
    (project.out / "interest").mkdir()
    (project.out / "interest" / "a.png").symlink_to(precious)
    publish(job, tmp_path / "staging", project.out)
    assert precious.read_text() == "precious"
    assert list(elsewhere.iterdir()) == []
    assert project.files()["interest/a.png"] == "png"
    assert is_current(project.out, job)


def test_a_folder_in_the_way_is_named_before_anything_moves(project, job, tmp_path):
    stage(tmp_path / "staging", project, "json", "csv", "png", "pdf")
    (project.out / "interest" / "a.pdf").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"a\.pdf is a folder; remove it"):
        publish(job, tmp_path / "staging", project.out)
    assert project.files() == {}


def test_a_state_that_names_files_of_others_deletes_nothing(project, job, tmp_path):
    """As one that came with a folder of figures from elsewhere might."""
    victims = [tmp_path / "victim", project.root / "pyproject.toml", project.out / "interest" / "b.png"]
    staging = tmp_path / "staging"
    stage(staging, project, "json", "csv", "png", "pdf")
    publish(job, staging, project.out)
    for victim in victims:
        victim.write_text("precious")
    place = project.out / ".batch" / "state" / "interest" / "a.json"
    whole = json.loads(place.read_text())
    names = [*map(str, victims), "../../pyproject.toml", "../../../victim", "b.png", "", ".", ".."]
    for name in names:
        for changed in (
            {"files": whole["files"] | {name: "0"}},
            {"leaving": [name]},
            {"files": whole["files"] | {name: "0"}, "published": False},
            {"leaving": [name], "published": False},
        ):
            place.write_text(json.dumps(whole | changed))
            assert read_state(project.out, job.notebook) is None
            recover(project.out, {"interest/a": job.notebook})
            stage(staging, project, "json", "csv", "md", "tex")
            (project.out / "interest" / "a.png").touch()
            publish(job, staging, project.out)
            assert [victim.read_text() for victim in victims] == ["precious"] * 3


class KillError(BaseException):
    """Ends the process, as far as the code can see."""


def kill_at(monkeypatch, step):
    """Let the process die before the step-th change on the disk."""
    left = iter(range(step))

    def dying(change):
        def wrapper(*arguments, **options):
            if next(left, None) is None:
                raise KillError
            return change(*arguments, **options)

        return wrapper

    monkeypatch.setattr(os, "replace", dying(os.replace))
    monkeypatch.setattr(Path, "unlink", dying(Path.unlink))
    monkeypatch.setattr(publication.shutil, "rmtree", dying(publication.shutil.rmtree))


def test_wherever_a_batch_is_killed_old_and_new_are_never_mixed_unseen(project, job, tmp_path, monkeypatch):
    """A figure becomes a table with other numbers: all see the old, the new, or that it is incomplete.

    The next batch brings it to its end.
    """
    staging, new = tmp_path / "staging", replace(job, values={"horizon": 9})
    notebooks = find_notebooks(project.root)
    seen = set()
    for step in range(100):
        stage(staging, project, "json", "csv", "png", "pdf")
        publish(job, staging, project.out)
        before = project.files()
        stage(staging, project, "json", "csv", "md", "tex", message="Another.")
        (staging / "a.csv").write_text("new")
        after = {f"interest/{path.name}": path.read_text() for path in staging.iterdir()}
        (project.out / "interest" / "a.json").write_text(
            before["interest/a.json"]
        )  # where `stage` had its own
        with monkeypatch.context() as patch:
            kill_at(patch, step)
            try:
                publish(new, staging, project.out)
                killed = False
            except KillError:
                killed = True
        files, standing = project.files(), project.standings()["interest/a"]
        if standing.trouble:
            assert "stopped while it published" in standing.trouble
            outcome = project.run("list")
            assert outcome.exit_code == 1
            assert "interest/a  A title (incomplete)" in outcome.stdout
            seen.add("incomplete")
        elif files == before:
            seen.add("old")
        else:
            assert files == after
            seen.add("new")
        recover(project.out, notebooks)
        assert not project.standings()["interest/a"].trouble
        assert project.files() == (before if files == before and not standing.trouble else after)
        if not killed:
            break
    assert seen == {"old", "incomplete", "new"}
    assert not (project.out / ".batch" / "publishing").exists()


def test_what_cannot_be_brought_to_its_end_stays_marked(project, job, tmp_path):
    stage(tmp_path / "staging", project, "json", "csv", "png", "pdf")
    publish(job, tmp_path / "staging", project.out)
    place = project.out / ".batch" / "state" / "interest" / "a.json"
    state = json.loads(place.read_text())
    place.write_text(json.dumps(state | {"published": False}))
    (project.out / "interest" / "a.png").write_text("of another run")
    recover(project.out, find_notebooks(project.root))
    standing = project.standings()["interest/a"]
    assert "stopped while it published" in standing.trouble
    assert standing.record is None
    assert not is_current(project.out, job)
