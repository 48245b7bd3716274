from pathlib import Path

import pytest

from curse_of_memory.gallery.notebooks import find_notebooks, find_root, select


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


def test_outside_any_project_the_package_says_where_it_lives(tmp_path):
    assert (find_root(tmp_path) / "curse_of_memory" / "cli.py").is_file()


def test_without_any_project_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "curse_of_memory.gallery.notebooks.__file__", str(tmp_path / "a" / "b" / "notebooks.py")
    )
    with pytest.raises(FileNotFoundError, match="inside a clone"):
        find_root(tmp_path)


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


def test_what_is_no_notebook_is_refused_by_name(project):
    path = Path(project.write("interest/broken"))
    path.write_text("{not json")
    with pytest.raises(ValueError, match="interest/broken is not a notebook"):
        find_notebooks(project.root)
    path.write_text('{"nbformat": 3, "worksheets": []}')
    with pytest.raises(ValueError, match="format version 4"):
        find_notebooks(project.root)


def test_title_is_the_first_heading_else_the_stem(project):
    project.write("a", title="Memory & bias")
    project.write("b", title="")
    assert project.read("a").title == "Memory & bias"
    assert project.read("b").title == "b"
