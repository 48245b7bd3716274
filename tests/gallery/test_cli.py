import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from curse_of_memory import cli
from curse_of_memory.cli import stoppable
from curse_of_memory.gallery import catalogue, execution, notebooks
from curse_of_memory.gallery.catalogue import read_catalogue
from curse_of_memory.gallery.origin import Machine, origin
from curse_of_memory.gallery.state import State, write_state
from tests.gallery.conftest import MACHINE

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_command_answers_before_anything_heavy_is_imported():
    code = (
        "import sys, curse_of_memory.cli;"
        "print(sorted({'torch', 'papermill', 'nbformat', 'jinja2', 'pandas'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


@pytest.mark.slow
@pytest.mark.parametrize("module", ["curse_of_memory", "curse_of_memory.cli"])
def test_the_command_is_there_as_a_module_too(module):
    call = [sys.executable, "-m", module, "figures", "nothing/there"]
    said = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "Usage: curse-of-memory figures" in said.stderr
    assert "unknown notebook or paper 'nothing/there'" in said.stderr


def test_list_names_titles_and_statuses(project):
    project.write("interest/memory_bias", title="Bias")
    project.write("other", title="Other")
    project.presets("paper: {interest/memory_bias: {horizon: 64}}")
    project.record("interest/memory_bias")
    assert project.run("list").stdout.splitlines() == [
        "interest/memory_bias  Bias (reproduced at reduced scale; fast · cpu · 0.1 s · 2025-01-02)",
        "other                 Other (not yet)",
    ]
    assert "    horizon: int = 8  number of steps" in project.run("list", "-v").stdout.splitlines()


def test_check_lists_complaints_and_fails(project):
    project.write("interest/a", "print(1)")
    outcome = project.run("check")
    assert outcome.exit_code == 1
    assert "interest/a: the cells were not run once each from the top" in outcome.stdout
    # what the papers show is checked too, and this project has none of their notebooks
    said = "paper.yaml of INTEREST: Memory-bias figure names interest/memory_bias, which is no notebook"
    assert said in outcome.stdout


def test_a_spoilt_record_is_named_and_the_others_are_listed(project):
    project.write("interest/a")
    project.write("interest/b")
    project.record("interest/a").write_text("{")
    project.record("interest/b")
    outcome = project.run("list")
    assert outcome.exit_code == 1
    assert outcome.stdout.splitlines() == [
        "interest/a  A title (incomplete)",
        "interest/b  A title (ours; paper · cpu · 0.1 s · 2025-01-02)",
    ]
    assert outcome.stderr.startswith("Error: a.json of interest/a is not JSON")


@pytest.mark.slow
def test_a_broken_notebook_is_named_and_the_others_go_on(project):
    project.write("interest/broken").write_text("{")
    project.write("interest/mute", parameters="x = 1")
    project.write("interest/whole")
    project.presets("paper: {interest/broken: {horizon: 3}}")
    outcome = project.run("list", "-v")
    assert outcome.exit_code == 1
    assert "interest/whole   A title (not yet)" in outcome.stdout
    assert "interest/broken  broken (incomplete)" in outcome.stdout
    assert [line.partition(" ")[2] for line in outcome.stderr.splitlines()] == [
        "interest/broken is not a notebook: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)",
        "interest/mute, parameters cell: 'x = 1' is not of the form 'name: type = literal # help'",
    ]
    outcome = project.run("check")
    assert outcome.exit_code == 1
    said = [line for line in outcome.stdout.splitlines() if "interest/broken" in line]
    assert said == [
        "interest/broken is not a notebook: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)"
    ]
    assert "interest/whole: the cells were not run" in outcome.stdout

    outcome = project.run("figures", "--jobs", "1")
    assert outcome.exit_code == 1
    assert "interest/broken failed: interest/broken is not a notebook" in outcome.stdout
    assert "interest/mute failed: interest/mute, parameters cell" in outcome.stdout
    assert project.statuses() | {"interest/whole": "done"} == {
        "interest/broken": "failed",
        "interest/mute": "failed",
        "interest/whole": "done",
    }
    assert "Incomplete, and not shown: interest/broken, interest/mute." in project.files()["index.html"]
    assert "interest/whole.png" in project.files()
    assert project.run("refresh", "interest/broken").exit_code == 1


def test_data_that_have_no_folder_stop_the_notebooks_that_need_them_only(project, monkeypatch, tmp_path):
    for name, needs in (("needing", ["mnist"]), ("misspelt", ["minst"]), ("whole", [])):
        path = project.write(f"interest/{name}")
        content = json.loads(path.read_text())
        content["metadata"]["needs_data"] = needs
        path.write_text(json.dumps(content))
    monkeypatch.setenv("CURSE_OF_MEMORY_DATA", "~/no/such/folder")
    monkeypatch.setattr(execution, "run", lambda jobs, out, conditions, watch: (outcome for outcome in ()))
    outcome = project.run("figures", "interest")
    assert outcome.exit_code == 1
    assert (
        "interest/needing failed: interest/needing needs the data 'mnist': the variable CURSE_OF"
        in outcome.stdout
    )
    assert "did you mean 'mnist'?" in outcome.stdout
    assert "interest/whole     not run" in outcome.stdout


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A foreign project, and a package that lies in no clone; returns the folder of the foreign notebook."""
    foreign = tmp_path / "foreign"
    (foreign / "notebooks").mkdir(parents=True)
    (foreign / "pyproject.toml").write_text('[project]\nname = "foreign"\n')
    (foreign / "notebooks" / "theirs.ipynb").write_text("theirs")
    package = tmp_path / "site-packages" / "curse_of_memory"
    monkeypatch.setattr(notebooks, "PACKAGE", package)
    monkeypatch.setattr(notebooks, "SHIPPED", package / "gallery" / "shipped")
    monkeypatch.chdir(foreign)
    return foreign


def test_foreign_projects_are_left_alone(outside, project):
    os.chdir(outside)
    for command in ("refresh", "figures", "list", "check"):
        outcome = project.run(command)
        assert outcome.exit_code == 2
        assert len(outcome.stderr.strip().splitlines()[-1]) < 300
    assert "clone of the project only" in project.run("refresh").stderr
    assert sorted(path.name for path in outside.rglob("*")) == ["notebooks", "pyproject.toml", "theirs.ipynb"]
    assert (outside / "notebooks" / "theirs.ipynb").read_text() == "theirs"


@pytest.mark.slow
def test_an_installed_package_lists_and_makes_what_came_with_it(outside, project):
    os.chdir(outside)
    project.write("interest/a")
    shutil.copytree(project.root / "notebooks", notebooks.SHIPPED / "notebooks")
    assert project.run("list").stdout == "interest/a  A title (not yet)\n"
    outcome = project.run("figures")
    assert outcome.exit_code == 2
    assert outcome.stderr.splitlines()[-1].endswith("say where to: --out FOLDER")
    assert "clone of the project only" in project.run("refresh").stderr
    project.out = outside / "made"
    assert project.statuses("--out", project.out) == {"interest/a": "done"}
    assert "interest/a.png" in project.files()
    listed = project.run("list", "--out", project.out).stdout
    assert listed == "interest/a  A title (ours; paper · cpu · 0.1 s · 2025-01-02)\n"
    assert ".ipynb" not in project.files()["index.html"]


def test_the_wheel_has_the_notebooks_and_papers_where_they_are_looked_for():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    shipped = notebooks.SHIPPED.relative_to(notebooks.PACKAGE.parent)
    assert set(wheel["only-include"]) == {notebooks.PACKAGE.name, "notebooks"}
    assert wheel["sources"] == {"notebooks": f"{shipped.as_posix()}/notebooks"}
    assert catalogue.PAPERS.is_relative_to(notebooks.PACKAGE)
    assert read_catalogue().papers


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_end_a_command_with_one_line_and_the_status_shells_know(capsys, name):
    number, cleared = getattr(signal, name), []
    usual = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
    former = signal.signal(number, usual)  # these tests may run under nohup, which ignores two of them

    def command():
        with stoppable("Stopped."):
            try:
                os.kill(os.getpid(), number)
                time.sleep(5)
            finally:
                os.kill(os.getpid(), number)  # a second one does not interrupt the clearing up
                cleared.append(True)

    try:
        with pytest.raises(SystemExit) as end:
            command()
        assert signal.getsignal(number) == usual
    finally:
        signal.signal(number, former)
    assert end.value.code == 128 + number
    assert cleared
    assert capsys.readouterr().err == "Stopped.\n"


def test_what_is_told_to_be_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stoppable("Stopped."):
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("where", ["file", "file/below", "figures/.batch", "figures/.batch/lock", "link"])
def test_a_folder_that_cannot_be_written_is_named_in_one_line(project, tmp_path, where):
    """Something stands where a folder or a file of the batch should be, which stops root, too."""
    project.write("interest/a")
    out = project.out
    if where.startswith("file"):
        (tmp_path / "file").touch()
        out = tmp_path / where
    elif where == "link":
        out.mkdir()
        (out / ".batch").symlink_to(tmp_path)
    elif where.endswith("lock"):
        (out / ".batch" / "lock").mkdir(parents=True)
    else:
        out.mkdir()
        (out / ".batch").touch()
    outcome = project.run("figures", "--out", out)
    assert outcome.exit_code in (1, 2)
    assert isinstance(outcome.exception, SystemExit)
    (line,) = [line for line in outcome.stderr.splitlines() if line.startswith("Error")]
    assert str(tmp_path) in line
    assert outcome.stdout == ""


@pytest.mark.slow
def test_when_the_pages_cannot_be_written_the_outcomes_are_told(project, monkeypatch):
    project.write("interest/a", "raise ValueError")
    (project.out / "index.html").mkdir(parents=True)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device", "ledger.md")

    monkeypatch.setattr("curse_of_memory.gallery.ledger_text.write_ledger", full)
    outcome = project.run("figures", "--jobs", "1")
    assert outcome.exit_code == 1
    assert outcome.stdout.startswith("interest/a  failed")
    said = [line for line in outcome.stderr.splitlines() if not line.startswith("interest/a")]
    assert said == [
        f"Error: index.html was not written: {project.out / 'index.html'}: Is a directory",
        "Error: the ledger was not written: ledger.md: No space left on device",
    ]


@pytest.mark.slow
def test_a_disk_that_fills_up_ends_one_figure_and_not_the_batch(project, monkeypatch):
    project.write("interest/a", "1")
    project.write("interest/b", "1")

    def full(job, staging, out):
        raise OSError(errno.ENOSPC, "No space left on device", str(staging))

    monkeypatch.setattr("curse_of_memory.gallery.kernel.run_apart", lambda *arguments: None)
    monkeypatch.setattr(execution, "publish", full)
    outcome = project.run("figures", "--jobs", "1")
    assert outcome.exit_code == 1
    assert project.statuses() == {"interest/a": "failed", "interest/b": "failed"}
    assert "interest/a failed: OSError: [Errno 28] No space left on device" in outcome.stdout


def test_list_says_in_what_a_figure_is_stale(project, monkeypatch):
    project.write("interest/a")
    notebook = project.read("interest/a")
    project.record("interest/a")
    made = origin(notebook, {}, {"nn/tcn.py": "1", "theory/bias.py": "2"}, MACHINE)
    write_state(project.out, notebook, State(made, "fast", {}, {"a.json": "0"}))
    monkeypatch.setattr(cli, "this_machine", lambda: Machine(lambda name: "A GPU", MACHINE.data))
    outcome = project.run("list")
    assert outcome.exit_code == 0
    assert outcome.stdout == (
        "interest/a  A title (ours; paper · cpu · 0.1 s · 2025-01-02; "
        "stale: code of the package (nn/tcn.py, theory/bias.py), "
        "device (cpu, now A GPU))\n"
    )


def test_version(project):
    assert project.run("--version").stdout.startswith("curse-of-memory, version ")


def test_the_first_compilation_is_announced_where_a_notebook_compiles(project, monkeypatch):
    project.write("interest/a", "from curse_of_memory.nn import RNN")
    project.write("interest/b")
    monkeypatch.setattr(execution, "run", lambda jobs, out, conditions, watch: (outcome for outcome in ()))
    monkeypatch.setattr("curse_of_memory.nn.recurrence.compiled.nothing_compiled", lambda: True)
    said = "curse_of_memory compiles its loops, once on this machine: half a minute.\n"
    assert project.run("figures").stderr.startswith(said)
    assert said not in project.run("figures", "interest/b").stderr
    monkeypatch.setattr("curse_of_memory.nn.recurrence.compiled.nothing_compiled", lambda: False)
    assert said not in project.run("figures").stderr
