import json
import os

import pytest

from curse_of_memory.gallery import notebooks as module
from curse_of_memory.gallery.notebooks import (
    PACKAGE,
    find_clone,
    find_notebooks,
    find_root,
    read_notebook,
    select,
)


@pytest.fixture
def notebooks(project):
    for name in ("getting_started", "interest/memory_bias", "interest/head_tail_ratio", "other/one"):
        project.write(name)
    hidden = project.root / "notebooks" / "interest" / ".ipynb_checkpoints"
    hidden.mkdir()
    (hidden / "memory_bias-checkpoint.ipynb").write_text("{}")
    return find_notebooks(project.root)


def test_names_are_paths_below_notebooks_and_checkpoints_are_none(notebooks):
    assert list(notebooks) == [
        "getting_started",
        "interest/head_tail_ratio",
        "interest/memory_bias",
        "other/one",
    ]
    assert (notebooks["other/one"].folder, notebooks["other/one"].stem) == ("other", "one")
    assert notebooks["getting_started"].folder == ""


def test_root_is_found_from_below(project):
    below = project.root / "notebooks" / "interest"
    below.mkdir()
    assert find_root(below) == project.root.resolve()


def test_outside_any_clone_there_is_that_of_the_package(tmp_path):
    assert find_root(tmp_path) == find_clone(tmp_path) == PACKAGE.parent


@pytest.mark.parametrize(
    "pyproject",
    [None, "", "[project]", 'project = "curse-of-memory"', '[project]\nname = "other"', "= = =", b"\xff"],
)
def test_other_projects_are_no_clones(project, monkeypatch, pyproject):
    """A folder with notebooks/ and pyproject.toml may be anybody's."""
    monkeypatch.setattr(module, "PACKAGE", project.root / "nowhere" / "curse_of_memory")
    place = project.root / "pyproject.toml"
    place.unlink()
    if pyproject is not None:
        place.write_bytes(pyproject if isinstance(pyproject, bytes) else pyproject.encode())
    assert find_clone(project.root) is None


def test_a_clone_whose_package_is_not_the_one_that_runs_is_refused(project):
    (project.root / "curse_of_memory").unlink()
    with pytest.raises(ValueError, match=r"is a clone of curse-of-memory, but the package that runs is"):
        find_root(project.root / "notebooks")


def test_a_package_without_notebooks_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PACKAGE", tmp_path / "curse_of_memory")
    monkeypatch.setattr(module, "SHIPPED", tmp_path / "shipped")
    with pytest.raises(FileNotFoundError, match="inside a clone"):
        find_root(tmp_path)
    (tmp_path / "shipped" / "notebooks").mkdir(parents=True)
    assert find_root(tmp_path) == tmp_path / "shipped"


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ([], ["getting_started", "interest/head_tail_ratio", "interest/memory_bias", "other/one"]),
        (["interest"], ["interest/head_tail_ratio", "interest/memory_bias"]),
        (["interest/"], ["interest/head_tail_ratio", "interest/memory_bias"]),
        (["notebooks/interest/memory_bias.ipynb"], ["interest/memory_bias"]),
        (["interest/memory_bias", "interest"], ["interest/memory_bias", "interest/head_tail_ratio"]),
    ],
)
def test_selection(notebooks, given, chosen):
    assert [notebook.name for notebook in select(notebooks, given)] == chosen


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("interst", "interest"),
        ("memory_bais", "memory_bias"),
        ("interest/memry_bias", "interest/memory_bias"),
    ],
)
def test_unknown_names_are_refused_with_the_near_one(notebooks, given, near):
    with pytest.raises(ValueError, match=f"unknown notebook or paper '{given}'.*{near}"):
        select(notebooks, [given])


def broken():
    """Return contents that are no notebook, by what is the matter with them."""
    cell = {"cell_type": "code", "source": "seed: int = 0", "metadata": {"tags": ["parameters"]}}
    whole = {"nbformat": 4, "metadata": {}, "cells": [cell]}
    yield "{not json"
    yield b"\xff\xfe"
    yield ""
    yield "[" * 100_000
    yield "9" * 10_000
    for change in ({"nbformat": 3}, {"metadata": None}, {"metadata": {"needs_data": "mnist"}}, {"cells": {}}):
        yield json.dumps(whole | change)
    for change in ({"kernelspec": []}, {"needs_data": [1]}, {"paths": "weights"}):
        yield json.dumps(whole | {"metadata": change})
    yield json.dumps({key: value for key, value in whole.items() if key != "cells"})
    for change in (
        *(
            {"source": None},
            {"source": [1]},
            {"cell_type": None},
            {"metadata": None},
            {"metadata": {"tags": 1}},
        ),
        *({"outputs": [{"output_type": 3}]}, {"outputs": [{"output_type": "stream", "text": 3}]}),
        *(
            {"outputs": [{"output_type": "stream", "name": []}]},
            {"outputs": [{"output_type": "x", "data": []}]},
        ),
        {"outputs": [{"output_type": "x", "data": {"text/plain": {}}}]},
        *({"metadata": {"tags": [1]}}, {"outputs": 1}, {"outputs": [1]}, {"outputs": [{}]}),
        *({"source": "seed = 0"}, {"source": "seed: int = " + "(" * 500}, {"source": "x: int = '\\0"}),
        *({"metadata": {}}, {"source": "x: int = " + "-" * 5000 + "1"}),
    ):
        yield json.dumps(whole | {"cells": [cell | change]})
    yield json.dumps(whole | {"cells": [3]})
    yield json.dumps(whole | {"metadata": {"title": "half a sign \ud800"}})
    yield json.dumps(whole | {"cells": [cell, cell]})


def test_what_is_no_notebook_says_so_and_harms_no_other(project):
    project.write("interest/whole")
    path = project.write("interest/broken")
    for content in broken():
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(ValueError, match=r"interest/broken"):
            read_notebook(path, "interest/broken")
        found = find_notebooks(project.root)
        assert "interest/broken" in found["interest/broken"].trouble, content
        assert "\n" not in found["interest/broken"].trouble
        assert not found["interest/whole"].trouble
        assert found["interest/broken"].title == "broken"
    path.unlink()
    for make in (os.mkfifo, os.mkdir, lambda place: os.symlink("nowhere", place)):
        make(path)
        assert find_notebooks(project.root)["interest/broken"].trouble
        path.rmdir() if path.is_dir() else path.unlink()


def test_title_is_the_first_heading_else_the_stem(project):
    project.write("a", title="Memory & bias")
    project.write("b", title="")
    assert project.read("a").title == "Memory & bias"
    assert project.read("b").title == "b"
