"""A batch that is killed in the middle of a notebook takes its runs up where they were."""

import contextlib
import io
import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from curse_of_memory.gallery import watching
from curse_of_memory.gallery.batch import Outcome
from curse_of_memory.gallery.origin import origin
from curse_of_memory.gallery.run_folders import ROOT, RunFolder
from curse_of_memory.gallery.watching import Watch
from curse_of_memory.tools import run_notes
from curse_of_memory.tools.run_notes import KEEP_IN, NOTES, RunNotes, make_notes, read_progress
from tests.gallery.conftest import COMPUTE, MACHINE, PARAMETERS
from tests.gallery.test_batch import wait_until_ended

NAME = "interest/trained"

# a run says when it begins, when it has trained, and when it ends
TRAIN = """\
import os, time
from curse_of_memory.nn import RNN
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.training import fit, own_checkpoints, run_all

own_checkpoints.WRITE_EVERY = 0.0

def note(what):
    with open({log!r}, "a") as file:
        file.write(f"{{os.getpid()}} {{what}}\\n")

def trained(seed, steps):
    note(f"begins {{seed}}")
    model = RNN(3, activation="tanh", seed=seed)
    task = LinearFunctional(lambda t: 0.5**t, horizon=8)
    settings = dict(batch_size=4, validate_every=2, validation_size=4, device="cpu")

    def watch(model):
        time.sleep(0.02)
        return {{"norm": float(model.W.norm()) if hasattr(model, "W") else 0.0}}

    history = fit(model, task, steps=steps, seed=seed, watch=watch, **settings).history
    note(f"trained {{seed}}")
    time.sleep(0.1)
    note(f"ends {{seed}}")
    return {{"seed": seed, "loss": history.validation_loss.tolist()}}

results = run_all(trained, [{{"seed": s, "steps": 20}} for s in range(horizon)])
note("all")
"""

SAVE = """\
import json
from pathlib import Path
stem = Path(output_dir) / "trained"
for suffix in ("png", "pdf"):
    stem.with_suffix(f".{suffix}").write_text(suffix)
stem.with_suffix(".csv").write_text(json.dumps(results))
record = dict(
    name="interest/trained", title="A title", message="What is seen.", parameters=dict(horizon=horizon),
    versions=dict(numpy="2.0"), device="cpu", seconds=0.1, headline=dict(value=1.5), spread={}, paper={},
    source="Figure 1", created="2025-01-02T03:04:05+00:00",
)
stem.with_suffix(".json").write_text(json.dumps(record))
"""


@pytest.fixture
def training(project, tmp_path):
    """A project with a notebook that trains, and the file in which its runs say where they are."""
    project.log = tmp_path / "log"
    project.write(NAME, TRAIN.format(log=str(project.log)), SAVE, parameters=PARAMETERS)
    return project


def said(log, what):
    """Return what the lines of a log that begin with a word say, without the process."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.split(maxsplit=1)[1] for line in lines if line.split()[1] == what]


def start(project, *arguments):
    return project.start("figures", "--jobs", "1", *arguments)


def kill_when(project, process, lines):
    """Kill a batch, and its kernel, as soon as the log has so many lines; return what it said."""
    while True:
        text = project.log.read_text() if project.log.exists() else ""
        if text.count("\n") >= lines or process.poll() is not None:
            break
        time.sleep(0.002)
    process.kill()
    _, stderr = process.communicate()
    if text:
        kernel = int(text.splitlines()[-1].split()[0])
        with contextlib.suppress(ProcessLookupError):
            os.kill(kernel, signal.SIGKILL)
        wait_until_ended(kernel)
    return stderr


@pytest.mark.slow
def test_a_batch_that_is_killed_ten_times_makes_every_run_once_and_the_same_figure(training):
    whole = training.root / "whole"
    process = start(training, "--out", whole)
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    begun = said(training.log, "begins")
    assert begun == [f"begins {i}" for i in range(8)]
    training.log.unlink()

    lines, words, unsaid = 0, "", []
    for moment in range(10):
        lines += 1 + moment % 3
        words += kill_when(training, start(training), lines)
        log = training.log.read_text().splitlines()
        lines = len(log)
        if log[-1].split()[1] == "ends":  # it may have been killed between its last word and its keeping
            unsaid.append(log[-1].split(maxsplit=1)[1])
    process = start(training)
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    ended = said(training.log, "ends")
    assert set(ended) == {f"ends {i}" for i in range(8)}
    repeated = [run for run in set(ended) if ended.count(run) > 1 + unsaid.count(run)]
    assert not repeated, (repeated, unsaid)
    assert len(unsaid) < 8  # most were killed elsewhere
    assert {f"{p.suffix}": p.read_bytes() for p in (whole / "interest").iterdir()} == {
        f"{p.suffix}": p.read_bytes() for p in (training.out / "interest").iterdir()
    }
    assert "kept before" in words + stderr
    assert not (training.out / ".batch" / "runs").exists()


def text_of(process):
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    return stdout, stderr


@pytest.mark.slow
def test_a_failed_notebook_keeps_its_runs_and_a_mended_one_finds_them(training, monkeypatch):
    """What fails is mostly the picture; its mending is no reason to train anew."""
    training.write(NAME, TRAIN.format(log=str(training.log)), "1 / 0", parameters=PARAMETERS)
    outcome = training.run("figures", "-p", "horizon", "2", "--out", training.out)
    assert outcome.exit_code == 1
    assert said(training.log, "ends") == ["ends 0", "ends 1"]
    training.write(NAME, TRAIN.format(log=str(training.log)), SAVE, parameters=PARAMETERS)
    outcome = training.run("figures", "-p", "horizon", "3", "--keep-runs", "--out", training.out)
    assert outcome.exit_code == 0, outcome.output
    assert said(training.log, "ends") == ["ends 0", "ends 1", "ends 2"]
    assert "interest/trained: done" in outcome.stderr

    runs = training.out / ".batch" / "runs"
    assert list(runs.glob("*/*/joblib/**/output.pkl"))  # they were to stay
    made_from = next(runs.glob("*/*/made_from.json"))
    content = json.loads(made_from.read_text())
    assert content["package"]
    assert not [file for file in content["package"] if file.startswith("papers/") and file.endswith(".py")]
    outcome = training.run("figures", "-p", "horizon", "2", "--force", "--out", training.out)
    assert outcome.exit_code == 0, outcome.output
    assert said(training.log, "ends")[3:] == ["ends 0", "ends 1"]
    assert not runs.exists()


BAD_ALLOC = "terminate called after throwing an instance of 'std::bad_alloc'"
DIES = {
    "by a signal": ("os.kill(os.getpid(), signal.SIGKILL)", "was killed (SIGKILL), as the system does", []),
    "for want of memory": (
        f'os.write(2, b"one\\n{BAD_ALLOC}\\n"); os.abort()',
        "died of SIGABRT, for want of memory",
        [BAD_ALLOC],
    ),
    "by itself": ("os.write(2, b'last words\\n'); os._exit(3)", "ended with status 3", ["last words"]),
}


@pytest.mark.slow
def test_how_a_kernel_died_is_told_and_the_other_notebooks_go_on(project):
    for number, (code, _, _) in enumerate(DIES.values()):
        project.write(f"interest/dies_{number}", f"import os, signal\n{code}")
    project.write("interest/lives")
    project.write("interest/memory", "raise MemoryError")
    project.write("interest/endless", "import time\nwhile True: time.sleep(1)")
    outcome = project.run("figures", "--jobs", "2", "--timeout", "10s", "--out", project.out)
    assert outcome.exit_code == 1
    lines = [line.strip() for line in outcome.stdout.splitlines()]
    for number, (_, how, words) in enumerate(DIES.values()):
        at = lines.index(
            next(
                line
                for line in lines
                if line.startswith(f"interest/dies_{number} failed: DeadKernelError: its")
            )
        )
        assert how in lines[at]
        assert [word for word in words if word not in lines[at + 1 : at + 4]] == []
    assert "interest/memory failed: MemoryError: it ran out of memory" in lines
    said = "interest/endless failed: it took longer than 10 s (--timeout); its finished runs are kept"
    assert said in lines
    assert "interest/lives.png" in project.files()


def test_a_time_limit_must_be_one(project):
    project.write("interest/a")
    outcome = project.run("figures", "--timeout", "soon")
    assert outcome.exit_code == 2
    assert "a duration must be like 90s, 20min, 2h or 1d, got 'soon'" in outcome.stderr


# --- the folder of runs -------------------------------------------------------------------------


def opened(project, out, **changes):
    notebook = project.read("interest/a")
    made = replace(origin(notebook, {}, {"nn/rnn.py": "1", "papers/interest/a.py": "2"}, MACHINE), **changes)
    folder = RunFolder(out, notebook)
    variables, one_thread, remark = folder.open(made, one_thread=changes == {})
    return folder, Path(variables[KEEP_IN]), one_thread, remark


def put_run(folder):
    entry = folder / "joblib" / "x" / "output.pkl"
    entry.parent.mkdir(parents=True)
    entry.touch()


def test_runs_of_other_code_lie_elsewhere_and_are_said_not_to_be_used(project):
    project.write("interest/a")
    _, place, one_thread, remark = opened(project, project.out)
    assert place.is_relative_to(project.out / ".batch" / "runs" / "interest%2Fa")
    assert (one_thread, remark) == (True, "")
    put_run(place)
    # the module of a figure counts function by function, the parameters run by run, the cells not at all
    others = {
        "parameters": {"seed": 3},
        "code": "x",
        "package": {"nn/rnn.py": "1", "papers/interest/a.py": "3"},
    }
    for name, value in others.items():
        _, same, one_thread, remark = opened(project, project.out, **{name: value})
        assert same == place
        assert one_thread  # as when its runs were made
        assert remark == ""
    _, other, one_thread, remark = opened(project, project.out, package={"nn/rnn.py": "9"}, device="a GPU")
    assert other != place
    assert not one_thread
    said = "runs that were kept are not used, since something has changed: nn/rnn.py, device"
    assert remark == said
    put_run(other)
    newest, _, _, _ = opened(project, project.out, package={"nn/rnn.py": "9"}, device="a GPU")
    newest.forget_others()
    assert other.exists()
    assert not place.exists()
    newest.forget()
    assert not (project.out / ".batch" / "runs").exists()


def test_the_user_says_where_runs_are_kept_and_two_folders_of_figures_do_not_meet(
    project, tmp_path, monkeypatch
):
    project.write("interest/a")
    monkeypatch.setenv(ROOT, str(tmp_path / "large disk"))
    first, one, *_ = opened(project, tmp_path / "one" / "figures")
    _, two, *_ = opened(project, tmp_path / "two" / "figures")
    assert one.is_relative_to(tmp_path / "large disk")
    assert two.is_relative_to(tmp_path / "large disk")
    first.forget()
    assert not one.exists()
    assert two.exists()


@pytest.mark.slow
def test_a_folder_of_runs_that_cannot_be_made_costs_one_line(project, tmp_path, monkeypatch):
    project.write(NAME, COMPUTE, SAVE.replace("results", "[]"), parameters=PARAMETERS)
    (tmp_path / "file").touch()
    monkeypatch.setenv(ROOT, str(tmp_path / "file" / "below"))
    outcome = project.run("figures", "--out", project.out)
    assert outcome.exit_code == 0, outcome.output
    (line,) = [line for line in outcome.stderr.splitlines() if "not kept" in line]
    assert line.startswith(f"{NAME}: runs are not kept: ")


# --- what a person sees -------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def noting(tmp_path, monkeypatch, name):
    """Return the notes of a kernel, and the file in which a batch reads them."""
    path = tmp_path / f"{name}.notes"
    make_notes(path)
    return RunNotes(path), path


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_how_far_a_notebook_is_is_shown(tmp_path, monkeypatch, stream):
    monkeypatch.setattr(watching, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(watching, "LINE_EVERY", 0.0)
    monkeypatch.setattr(run_notes, "WRITE_EVERY", 0.0)
    told = stream()
    watch = Watch(2, told)
    notes, path = noting(tmp_path, monkeypatch, "a")

    def outcomes():
        watch.begin("interest/a", path)
        with notes.series(3):
            for step in range(3):
                notes.at(1, 4)
                notes.ended(before=step == 0)
                if step == 1:
                    notes.say("a kept run is damaged")
                wait_for(told, "run 2 of 3 (1 kept before)" if step == 0 else "")
                time.sleep(0.1)
        watch.left("interest/a")
        yield Outcome("interest/a", "done", 2.0)
        yield Outcome("interest/b", "failed", 3.0)

    assert [outcome.name for outcome in watch.over(outcomes())] == ["interest/a", "interest/b"]
    text = told.getvalue()
    assert text.count("interest/a: a kept run is damaged\n") == 1
    assert "interest/a run 2 of 3" in text or "interest/a: run 2 of 3" in text
    if stream is Terminal:
        assert "2/2" in text
    else:
        assert text.splitlines()[-2:] == [
            "interest/a: done, 2 s (1 of 2)",
            "interest/b: failed, 3 s (2 of 2)",
        ]


def wait_for(told, words):
    until = time.monotonic() + 30
    while words not in told.getvalue() and time.monotonic() < until:
        time.sleep(0.01)


def test_a_thousand_short_runs_are_a_few_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "LOOK_EVERY", 0.01)
    told = io.StringIO()
    watch = Watch(1, told)
    notes, path = noting(tmp_path, monkeypatch, "a")

    def outcomes():
        watch.begin("interest/a", path)
        with notes.series(1000):
            for _ in range(1000):
                time.sleep(0.0005)
                notes.ended()
        watch.left("interest/a")
        yield Outcome("interest/a", "done", 1.0)

    list(watch.over(outcomes()))
    assert 1 <= len(told.getvalue().splitlines()) <= 3


def test_only_the_kernel_itself_writes_notes(tmp_path, monkeypatch):
    variables = make_notes(tmp_path / "notes")
    monkeypatch.setenv(NOTES, variables[NOTES])  # this process is not a child of itself
    run_notes.run_notes.cache_clear()
    assert run_notes.run_notes() is None
    monkeypatch.setenv(NOTES, variables[NOTES].replace(str(os.getpid()), str(os.getppid()), 1))
    run_notes.run_notes.cache_clear()
    assert run_notes.run_notes() is not None
    run_notes.run_notes.cache_clear()


def test_notes_that_are_half_written_are_none(tmp_path):
    path = tmp_path / "notes"
    make_notes(path)
    assert read_progress(path) is None
    path.write_bytes(b'{"done": 1, "ru')
    assert read_progress(path) is None
    path.write_bytes(b'{"undone": 1}')
    assert read_progress(path) is None
    assert read_progress(tmp_path / "nothing") is None
