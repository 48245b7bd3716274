"""Real data or a stand-in: decided before the kernel starts, said everywhere, and nothing real is lost."""

import json
from dataclasses import replace

import pytest

from curse_of_memory import cli
from curse_of_memory.gallery.batch import plan, staleness
from curse_of_memory.gallery.data_choice import decided, kept_figures, made_of_real_data
from curse_of_memory.gallery.notebooks import find_notebooks
from curse_of_memory.gallery.origin import DataError, Origin
from curse_of_memory.gallery.state import State, write_state
from tests.gallery.conftest import MACHINE, PARAMETERS, WRITE

NAME = "stable_ssm/mnist"
NOTE = "digits of scikit-learn, in place of MNIST"
SAYS_SO = WRITE.format(name=NAME, stem="mnist").replace(
    "if output_dir:", f'if data == "stand-in":\n    result["stand_in"] = {NOTE!r}\nif output_dir:'
)


class Here:
    """A machine whose data come and go; `asked` says for what, and whether a download was allowed."""

    def __init__(self):
        self.data, self.asked = False, []
        self.machine = replace(MACHINE, has=self.has)

    def has(self, name, download):
        self.asked.append((name, download))
        return self.data


@pytest.fixture
def here(project, monkeypatch):
    here = Here()
    monkeypatch.setattr(cli, "this_machine", lambda: here.machine)
    return here


@pytest.fixture
def notebook(project):
    """The notebook of a figure of MNIST, which says of what it was made."""
    return write(project)


def write(project, *cells, needs=("mnist",)):
    parameters = PARAMETERS + 'data: str = "auto"  # what is read\n'
    path = project.write(NAME, *(cells or (SAYS_SO,)), parameters=parameters)
    content = json.loads(path.read_text())
    content["metadata"]["needs_data"] = list(needs)
    path.write_text(json.dumps(content))
    return project.read(NAME)


def planned(project, here, texts=None):
    notebooks = find_notebooks(project.root)
    jobs, reasons = plan(notebooks.values(), {"fast": {}}, "fast", texts or {}, here.machine)
    assert not reasons
    return jobs


def test_what_is_decided_is_handed_to_the_kernel_and_tells_origins_apart(project, here, notebook):
    (without,) = planned(project, here)
    here.data = True
    (real,) = planned(project, here)
    assert (without.values["data"], real.values["data"]) == ("stand-in", "real")
    assert without.origin.data == {"mnist": "stand-in"}
    assert real.origin.data == {"mnist/file": "sha256:1"}
    assert real.origin.differences(without.origin) == ["parameters (data)", "data (mnist, mnist/file)"]
    assert here.asked == 2 * [("mnist", True)]
    (forced,) = planned(project, here, {"data": "stand-in"})
    assert forced.origin.same_as(without.origin)
    here.data = False
    (insisting,) = planned(project, here, {"data": "real"})
    assert insisting.origin.same_as(real.origin)
    assert len(here.asked) == 2  # there was nothing to decide
    with pytest.raises(
        ValueError, match=f"data of {NAME} must be one of 'auto', 'real', 'stand-in'; got 'reel'"
    ):
        planned(project, here, {"data": "reel"})


def test_of_several_sets_all_must_be_there(project, here):
    notebook = write(project, needs=("mnist", "cifar10"))
    machine = replace(here.machine, has=lambda name, download: name == "mnist")
    assert decided(notebook, {}, machine, download=True) == {"data": "stand-in"}
    here.data = True
    assert decided(notebook, {"rate": 0.1}, here.machine, download=True) == {"rate": 0.1, "data": "real"}


def test_a_notebook_without_the_choice_is_left_as_it_is(project, here):
    project.write("interest/a")
    assert decided(project.read("interest/a"), {"rate": 0.1}, here.machine, download=True) == {"rate": 0.1}
    assert here.asked == []


def test_a_damaged_file_is_no_reason_for_a_stand_in(project, here, notebook):
    def damaged(name, download):
        raise ValueError("x is not the published file")

    with pytest.raises(DataError, match=f"{NAME} needs data: x is not the published file"):
        decided(notebook, {}, replace(here.machine, has=damaged), download=True)


@pytest.mark.parametrize(
    ("record", "real"),
    [
        (None, False),
        ({}, True),
        ({"stand_in": NOTE}, False),
        ({"stand_in": NOTE, "stand_in_is_real": True}, True),
        ({"title": 3}, True),
    ],
)
def test_a_figure_of_real_data_is_known_by_its_record(project, here, notebook, record, real):
    """So also in a fresh clone, where no batch has left its state; a damaged record is no licence."""
    if record is not None:
        project.record(NAME, **record)
    assert made_of_real_data(project.out, notebook) == real
    assert kept_figures({project.out: planned(project, here)}) == (
        {NAME: "kept (no data here)"} if real else {}
    )
    here.data = True
    assert kept_figures({project.out: planned(project, here)}) == {}


def test_a_figure_of_files_of_ones_own_alone_is_made_anew_without_the_published_ones(project, here, notebook):
    """It says of no stand-in, for nothing stands in; the published data were not there when it was made."""
    content = notebook.content
    content["metadata"]["paths"] = ["file"]
    for data, file, real in [("stand-in", "a.tsv", False), ("stand-in", "", True), ("real", "a.tsv", True)]:
        project.record(NAME, parameters={"file": file})
        made = Origin({"data": data}, "c", {}, {}, "cpu", {})
        write_state(project.out, notebook, State(made, "fast", {}, {"mnist.json": "0"}))
        assert made_of_real_data(project.out, notebook) == real


@pytest.mark.slow
def test_stand_ins_and_real_data_take_turns_as_data_come_and_go(project, here, notebook):
    project.presets(f"paper: {{{NAME}: {{horizon: 64}}}}")
    into = ("--out", project.out)  # one folder, whatever is asked for

    # into an empty folder the stand-in is drawn, and called one
    assert project.statuses(*into) == {NAME: "done"}
    files = project.files()
    assert f"here on {NOTE}" in files["ledger.md"]
    for page in ("ledger.md", "ledger.tex", "index.html"):
        assert "shown on a stand-in at reduced scale" in files[page]
    assert project.statuses(*into) == {NAME: "up to date"}
    assert "(shown on a stand-in at reduced scale; fast" in project.run("list").stdout
    assert project.statuses("--preset", "paper", *into) == {NAME: "done"}
    assert project.files()[f"{NAME}.csv"] == "csv 64 0.5"

    # real data replace it
    here.data = True
    assert "stale: parameters (data), data (mnist, mnist/file)" in project.run("list").stdout
    assert project.statuses(*into) == {NAME: "done"}
    real = project.files()
    assert "reproduced at reduced scale" in of_table_2(real["ledger.md"])
    assert "here on" not in of_table_2(real["ledger.md"])
    assert project.statuses(*into) == {NAME: "up to date"}

    # and are not replaced when they go, whatever else changes
    here.data = False
    for asked in ([], ["--force"], ["--preset", "paper", "--force"], ["-p", "horizon", "9"]):
        outcome = project.run("figures", "--jobs", "1", *asked, *into)
        assert outcome.exit_code == 0
        assert outcome.stdout.splitlines()[0] == f"{NAME}  kept (no data here)"
        assert project.files() == real
    outcome = project.run("figures", "-p", "data", "stand-in", *into)
    assert outcome.stdout.splitlines()[0] == f"{NAME}  kept (of real data)"
    assert outcome.exit_code == 0
    assert "kept (no data here)" in project.run("figures", "--dry-run", *into).stdout
    assert project.files() == real
    assert "stale" not in project.run("list").stdout
    write(project, "# other code", SAYS_SO)
    assert "stale: code of the notebook" in project.run("list").stdout
    assert project.statuses(*into) == {NAME: "kept"}
    assert project.files() == real

    # elsewhere there is nothing to lose
    other = project.root / "other"
    assert project.statuses("--out", other) == {NAME: "done"}
    assert NOTE in (other / "ledger.md").read_text()
    assert project.files() == real


def of_table_2(ledger):
    """Return the line of the figure in the ledger."""
    (line,) = [line for line in ledger.splitlines() if f"notebooks/{NAME}.ipynb" in line]
    return line


@pytest.mark.slow
def test_a_stand_in_at_full_scale_does_not_stand_before_real_data(project, here, notebook):
    project.presets(f"paper: {{{NAME}: {{horizon: 64}}}}")
    here.data = True
    assert project.statuses() == {NAME: "done"}
    real = project.files()
    here.data = False
    for asked, folder in ((["--preset", "paper"], "full_scale"), (["-p", "data", "stand-in"], "custom")):
        assert project.statuses(*asked) == {NAME: "done"}
        assert NOTE in project.files()[f"{folder}/{NAME}.json"]
    after = project.files()
    assert {file: after[file] for file in real} == real  # pages included
    here.data = True
    assert project.statuses("--preset", "paper") == {NAME: "done"}
    assert "stand_in" not in project.files()[f"full_scale/{NAME}.json"]
    line, reduced = project.files()["ledger.md"].split(f"notebooks/{NAME}.ipynb")[1].splitlines()[:2]
    assert "| reproduced |" in line
    assert "the same, reduced" in reduced


def test_outputs_of_a_stand_in_are_not_committed(project, here, notebook):
    before = notebook.path.read_bytes()
    outcome = project.run("refresh", NAME)
    assert outcome.exit_code == 1
    assert (
        "file unchanged: ValueError: its outputs are those of real data, and these are not here"
        in outcome.stdout
    )
    assert notebook.path.read_bytes() == before


def test_listing_downloads_nothing(project, here, notebook):
    (job,) = planned(project, here)
    here.asked.clear()
    project.record(NAME, stand_in=NOTE)
    write_state(project.out, notebook, State(job.origin, "fast", {}, {"mnist.json": "0"}))
    found = staleness(find_notebooks(project.root), {"fast": {}}, project.out, here.machine)
    assert found == {NAME: ["its files were changed or removed"]}
    assert here.asked == [("mnist", False)]
