"""What the papers show and with which parameters, read from one file a paper."""

import json
import os
import shutil
from dataclasses import replace

import pytest

from curse_of_memory.gallery.catalogue import PAPERS, Catalogue, Item, Paper, read_catalogue
from curse_of_memory.gallery.notebooks import find_notebooks

WHOLE = """\
key: LEM
title: Long memory
authors: Rusch, Mishra
venue: ICLR 2022
arxiv: "2110.04744"
order: 2
figures:
  - figure: Figure 1
    shows: Error against step
    notebook: adding
    source: paper
  - figure: Figure 2
    shows: The same on images
    notebook: other/images
    needs: data
    stand_in: small images
    source: slides
presets:
  paper:
    adding: {horizon: 64, powers: [1, inf]}
    images:
sizes: {adding: "the paper's"}
"""


@pytest.fixture
def papers(tmp_path):
    """A function that writes the description of a paper, and the folder of all."""

    def write(folder, text):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "paper.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return write


def test_a_description_says_what_a_paper_shows_and_its_full_scale(papers):
    papers("lem", WHOLE)
    place = papers("tour", "paper: false\ntitle: First steps\npresets: {paper: {start: {seeds: 3}}}\n")
    assert read_catalogue(place) == Catalogue(
        folders={"lem": "Long memory", "tour": "First steps"},
        papers=(Paper("lem", "LEM", "Long memory", "Rusch, Mishra", "ICLR 2022", "2110.04744", 2),),
        items=(
            Item("LEM", "Figure 1", "Error against step", "lem/adding", "", "paper"),
            Item("LEM", "Figure 2", "The same on images", "other/images", "data", "slides", "small images"),
        ),
        presets={
            "fast": {},
            "paper": {
                "lem/adding": {"horizon": 64, "powers": [1, "inf"]},
                "lem/images": {},
                "tour/start": {"seeds": 3},
            },
        },
        sizes={"lem/adding": "the paper's"},
    )


def test_papers_come_in_their_order_and_folders_without_a_description_are_none(papers):
    for folder, order in (("a", 3), ("b", 1), ("c", 1), ("d", 2)):
        place = papers(folder, WHOLE.replace("LEM", folder).replace("order: 2", f"order: {order}"))
    (place / "e").mkdir()
    assert [paper.folder for paper in read_catalogue(place).papers] == ["b", "c", "d", "a"]
    assert [item.paper for item in read_catalogue(place).items] == ["b", "b", "c", "c", "d", "d", "a", "a"]
    assert read_catalogue(place / "nowhere") == Catalogue()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("key: LEM", "key: 3", "key must be a text, got 3"),
        ("key: LEM\n", "", "key is missing"),
        ("key: LEM", "key: ''", "key is missing"),
        ('"2110.04744"', "2110.04744", "arxiv must be a text, got 2110.04744"),
        ("order: 2", "order: first", "order must be a whole number, got 'first'"),
        ("order: 2", "order: true", "order must be a whole number, got True"),
        ("authors", "autors", r"unknown field 'autors' \(did you mean 'authors'\?\)"),
        ("order: 2", "order: 2\nzzz: 2", "unknown field 'zzz'; there are key, title"),
        ("order: 2", "order: 2\npaper: 3", "paper must be true or false, got 3"),
        ("order: 2", "order: 2\npaper: false", "unknown field 'key'"),
        ("    source: slides\n", "", r"figures, entry 2 \(Figure 2\): source is missing"),
        ("needs: data", "needs: disk", r"entry 2 \(Figure 2\): needs must be one of data, GPU; got 'disk'"),
        (
            "needs: data",
            "need: data",
            r"entry 2 .*: unknown field 'need' \(did you mean 'needs'\?\)",
        ),
        ("needs: data", "needs: [data]", r"entry 2 \(Figure 2\): needs must be a text"),
        ("figure: Figure 2", "figure: Figure 1", "figures: 'Figure 1' stands there twice"),
        (
            "  - figure: Figure 1\n    shows",
            "  - 3\n  - shows",
            "entry 1: expected a mapping, got 3",
        ),
        ("figure: Figure 1", "figure: 1", "figures, entry 1: figure must be a text, got 1"),
        ("  paper:\n", "  paper: [1]\n  other:\n", r"presets, paper: expected a mapping, got \[1\]"),
        ("    images:\n", "    images: 3\n", "presets, paper, images: expected a mapping, got 3"),
        ("    images:\n", "    images: {1: 2}\n", "presets, paper, images: expected a mapping"),
        ("    images:\n", "    other/images:\n", "presets, paper: other/images must be a notebook of this"),
        ("    images:\n", "    adding:\n", "the key 'adding' stands twice"),
        ("    images:\n", "    images: {x: 1, x: 2}\n", "the key 'x' stands twice"),
        ("    images:\n", "    images: &x {}\n    more: *x\n", "aliases are not read"),
        ("    images:\n", "    images: {x: !!python/none }\n", "values of the type"),
        ("    images:\n", "    images: {x: 1e999}\n", "too large"),
        ("    images:\n", "    images: {x: !!map 1}\n", "expected a mapping, but found a scalar at line 21"),
        ("    images:\n", "    images: {x: !!map [1]}\n", "expected a mapping, but found a sequence at line"),
        ("{adding: ", "{other/adding: ", "sizes: other/adding must be a notebook of this folder"),
        ('adding: "the paper\'s"', "adding: 3", "sizes, adding: expected a text, got 3"),
        ("the paper's", " ", "sizes, adding must be one line that can be printed, got ' '"),
        ("Long memory", r'"\uD800"', "half a sign of Unicode is not read at line 2"),
        ("Long memory", r'"\UFFFFFFFF"', "an escape names no sign of Unicode"),
        ("Long memory", r'"\U00110000"', "an escape names no sign of Unicode"),
        ("Long memory", r'"one\ntwo"', "title must be one line that can be printed"),
        ("Figure 1", r'"\e[31mred"', "entry 1: figure must be one line that can be printed"),
        ("key: LEM", "key: \ufeffLEM", "key must be one line that can be printed"),
        ("key: LEM", 'key: "  "', "key is missing"),
        ("  paper:\n", '  "":\n  paper:\n', "presets: expected a mapping from words, got ''"),
        ("  paper:\n", "  fast:\n", "presets, fast: these are the defaults of the notebooks"),
        (WHOLE, WHOLE.encode("utf-16"), "no text in UTF-8"),
        (WHOLE, WHOLE.replace("Long", "L\0ng"), "special characters are not allowed"),
        (WHOLE, WHOLE.replace("title: L", "title:\tL"), "cannot start any token at line 2, column 7"),
        (WHOLE, "- 1", "expected a mapping"),
        (WHOLE, "1: {}", "expected a mapping"),
        (WHOLE, "", "key is missing"),
        (WHOLE, "a: [", "while parsing"),
        (WHOLE, "[" * 5000, "nested too deeply"),
        (WHOLE, b"\xff\xfe", "no text in UTF-8"),
        (WHOLE, " " * 2_000_000, "more than 1000000 bytes"),
    ],
)
def test_a_description_that_is_not_in_order_says_where_and_harms_no_other(papers, old, new, message):
    good = read_catalogue(papers("good", WHOLE.replace("LEM", "GOOD")))
    assert WHOLE.count(old) == 1
    place = papers("bad", new if isinstance(new, bytes) else WHOLE.replace(old, new))
    found = read_catalogue(place)
    assert replace(found, troubles={}) == good
    with pytest.raises(ValueError, match=rf"^{place.name}/bad/paper\.yaml: .*{message}"):
        raise ValueError(found.troubles["bad"])
    assert "\n" not in found.troubles["bad"]
    assert len(found.troubles["bad"]) < 400


def test_a_key_is_that_of_one_paper(papers):
    papers("a", WHOLE)
    assert read_catalogue(papers("b", WHOLE)).troubles == {
        "b": f"{papers('b', WHOLE).name}/b/paper.yaml: key 'LEM' is that of a, too"
    }


@pytest.mark.parametrize("change", [lambda t: "\ufeff" + t, lambda t: t.replace("\n", "\r\n")])
def test_the_marks_that_editors_leave_are_no_content(papers, change):
    assert read_catalogue(papers("lem", change(WHOLE))) == read_catalogue(papers("lem", WHOLE))


@pytest.mark.parametrize(("name", "shown"), [(b"a\nb", r"a\nb"), (b"a\xffb", r"a\udcffb")])
def test_names_that_cannot_be_printed_are_named_with_escapes(project, name, shown):
    project.write("interest/a")
    odd = os.path.join(os.fsencode(project.papers), name)
    os.mkdir(odd)
    with open(os.path.join(odd, b"paper.yaml"), "w") as file:
        file.write("paper: false\ntitle: odd\n")
    source = project.root / "notebooks" / "interest" / "a.ipynb"
    shutil.copy(source, os.path.join(os.fsencode(project.root), b"notebooks", name + b".ipynb"))
    troubles = [
        f"{shown} has a name that cannot be printed",
        f"papers/{shown}/paper.yaml: the folder has a name that cannot be printed",
    ]
    outcome = project.run("list")
    assert outcome.exit_code == 1
    assert outcome.stderr.splitlines() == [f"Error: {trouble}" for trouble in troubles]
    assert "interest/a" in outcome.stdout
    assert set(troubles) < set(project.run("check").stdout.splitlines())


def test_hidden_folders_and_shared_ones_are_no_papers(papers):
    for folder in (".git", "__pycache__", "_shared"):
        place = papers(folder, "title: 3\n")
    assert read_catalogue(place) == Catalogue()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_description_that_is_no_file_says_so(papers, make):
    place = papers("lem", WHOLE)
    (place / "lem" / "paper.yaml").unlink()
    make(place / "lem" / "paper.yaml")
    assert "is not a file" in read_catalogue(place).troubles["lem"]


def test_the_papers_of_this_package_are_sound():
    found = read_catalogue()
    assert not found.troubles
    assert {item.paper for item in found.items} == {paper.key for paper in found.papers}
    assert len({(item.paper, item.key) for item in found.items}) == len(found.items)
    assert len({paper.order for paper in found.papers}) == len(found.papers)
    assert {paper.folder for paper in found.papers} < set(found.folders)
    for folder in found.folders:
        assert (PAPERS / folder).is_dir()


@pytest.mark.slow
def test_a_bad_description_stops_its_own_notebooks_and_no_others(project):
    """Of `list`, `check` and `figures`: the others go on as if nothing was."""
    for name in ("interest/a", "lem/b"):
        project.write(name)
    (project.papers / "interest" / "paper.yaml").write_text("title: 3\n")
    trouble = "papers/interest/paper.yaml: title must be a text, got 3"
    outcome = project.run("list")
    assert outcome.exit_code == 1
    assert outcome.stdout.splitlines() == [
        "interest/a  A title (incomplete)",
        "lem/b       A title (not yet)",
    ]
    assert outcome.stderr == f"Error: {trouble}\n"
    assert project.run("check").stdout.splitlines()[0] == trouble
    assert project.statuses() == {"interest/a": "failed", "lem/b": "done"}
    assert "lem/b.csv" in project.files()
    assert "## LEM\n" in project.files()["ledger.md"]


def test_a_bad_description_of_a_paper_without_notebooks_is_named(project):
    project.write("interest/a")
    (project.papers / "lem" / "paper.yaml").write_text("title: 3\n")
    outcome = project.run("list")
    assert outcome.exit_code == 1
    assert outcome.stdout == "interest/a  A title (not yet)\n"
    assert outcome.stderr == "Error: papers/lem/paper.yaml: title must be a text, got 3\n"


def test_a_preset_that_a_notebook_cannot_take_spoils_its_own_line_only(project):
    project.write("interest/a")
    project.write("interest/b")
    for name in ("interest/a", "interest/b"):
        project.record(name)
    project.presets("paper: {interest/a: {horizn: 3}}")
    outcome = project.run("list")
    assert outcome.exit_code == 1
    assert outcome.stdout.splitlines() == [
        "interest/a  A title (incomplete)",
        "interest/b  A title (ours; paper · cpu · 0.1 s · 2025-01-02)",
    ]
    assert "unknown parameter 'horizn' for interest/a (did you mean 'horizon'?)" in outcome.stderr


def test_presets_of_one_paper_are_in_one_file(project):
    """So that a paper is one folder: nothing else has to be edited where one is added."""
    project.write("lem/adding")
    text = WHOLE.replace("order: 2\n", "order: 7\n").replace("    images:\n", "")
    (project.papers / "lem" / "paper.yaml").write_text(text.replace(", powers: [1, inf]", ""))
    planned = project.catalogue().presets["paper"]["lem/adding"]
    assert planned == {"horizon": 64}
    project.record("lem/adding", parameters={"horizon": 64, "rate": 0.5})
    assert project.standings(project.catalogue().presets)["lem/adding"].preset == "paper"
    assert list(find_notebooks(project.root)) == ["lem/adding"]
    assert json.loads((project.out / "lem" / "adding.json").read_text())["name"] == "lem/adding"
