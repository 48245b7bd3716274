"""Batches with real kernels."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curse_of_memory.gallery import batch
from tests.forks import two_workers

# the test waits for events, not for a time; what nobody ends, ends here, and says that it was forgotten
WAIT = """\
import os, subprocess, sys, time
from pathlib import Path
if output_dir:
    forgotten = "import time; from pathlib import Path; time.sleep(600); Path(r'{started}.forgotten').touch()"
    nothing = subprocess.DEVNULL
    child = subprocess.Popen([sys.executable, "-c", forgotten], stdout=nothing, stderr=nothing)
    (Path(output_dir) / "{stem}.csv").write_text("half a fig")
    draft = Path(r"{started}.draft")
    draft.write_text(f"{{os.getpid()}} {{child.pid}}")
    draft.rename(r"{started}")
    while not Path(r"{go}").exists() and child.poll() is None:
        time.sleep(0.05)
    child.kill()
"""


def wait_until_ended(pid):
    """Wait, however long a loaded machine takes, until a process has ended; a zombie has."""
    while True:
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
        if not state or state.startswith("Z"):
            return
        time.sleep(0.05)


@pytest.mark.slow
def test_a_batch_makes_figures_and_then_only_what_is_left(project):
    project.write("interest/memory_bias")
    project.presets("paper: {interest/memory_bias: {horizon: 64}}")
    name = "interest/memory_bias"

    assert project.statuses() == {name: "done"}
    files = project.files()
    assert sorted(files) == [
        "index.html",
        "interest/memory_bias.csv",
        "interest/memory_bias.json",
        "interest/memory_bias.pdf",
        "interest/memory_bias.png",
        "ledger.md",
        "ledger.tex",
    ]
    assert files["interest/memory_bias.csv"] == "csv 8 0.5"
    assert "reproduced at reduced scale: horizon | fast | cpu | 0.1 |" in files["ledger.md"]
    assert "| Memory-bias figure | value | 1.25 | 1.5 | 1.25 to 1.75 (2) |" in files["ledger.md"]
    executed = project.out / ".batch" / "executed" / f"{name}.ipynb"
    assert "output_dir" in executed.read_text()
    assert not (project.out / ".batch" / "staging").exists()

    assert project.statuses() == {name: "up to date"}
    assert project.files() == files

    # a file that is gone, or being told to: each is a reason to run again
    (project.out / "interest" / "memory_bias.pdf").unlink()
    assert project.statuses() == {name: "done"}
    assert project.statuses("--force") == {name: "done"}
    assert project.files() == files


@pytest.mark.slow
def test_a_failure_harms_nothing_and_is_reported(project):
    project.write("interest/good")
    project.write("interest/bad")
    project.write("interest/mute", "print(horizon)")
    for name in ("good", "bad"):
        project.record(f"interest/{name}", message="Before.")
        (project.out / "interest" / f"{name}.png").write_text("before")
    before = project.files()
    # one notebook only fails
    project.write("interest/bad", 'raise RuntimeError("first line\\nlast line")')

    outcome = project.run("figures", "--jobs", "2")
    assert outcome.exit_code == 1
    assert "interest/bad failed: RuntimeError: last line" in outcome.stdout
    assert "interest/mute failed: ValueError: wrote no .json" in outcome.stdout
    failed = project.out / ".batch" / "executed" / "interest" / "bad.failed.ipynb"
    assert str(failed) in outcome.stdout
    assert "last line" in failed.read_text()

    after = project.files()
    bad = {file for file in before if file.startswith("interest/bad")}
    assert {file: after[file] for file in bad} == {file: before[file] for file in bad}
    assert after["interest/good.png"] == "png 8 0.5"
    assert "What is seen." in after["index.html"]
    assert "Before." in after["index.html"]

    project.write("interest/bad")
    assert project.statuses("interest/bad", "interest/good") == {
        "interest/bad": "done",
        "interest/good": "up to date",
    }
    assert not failed.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["interst"], "unknown notebook or paper 'interst' (did you mean 'interest'?)"),
        (["--preset", "papr"], "did you mean 'paper'"),
        (["-p", "horizn", "3"], "unknown parameter 'horizn' for interest/a (did you mean 'horizon'?)"),
        (["-p", "extra", "3"], "unknown parameter 'extra' for interest/a"),
        (["interest/a", "-p", "horizon", "3.5"], "interest/a: horizon must be int, got 3.5"),
        (["-p", "fail", "1"], "interest/a: fail must be bool, got 1"),
        (["-p", "output_dir", "x"], "see --out"),
        (["--jobs", "0"], "--jobs"),
    ],
)
def test_bad_requests_are_refused_before_anything_runs(project, arguments, message):
    project.write("interest/a")
    project.write("interest/b", parameters="extra: int = 0  # x\nhorizon: float = 1.0\nfail: bool = True")
    project.presets("paper: {interest/a: {}}")
    outcome = project.run("figures", *arguments)
    assert outcome.exit_code == 2
    assert message in outcome.stderr
    assert not project.out.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("presets", "message", "harmed"),
    [
        ("fast: {interest/b: {horizon: 3}}", "presets, fast: these are the defaults", "ab"),
        ("paper: {interest/c: {horizon: 3}}", "unknown notebook 'interest/c'", "ab"),
        ("paper: {interest/a: {horizn: 3}}", "unknown parameter 'horizn'", "a"),
        ("paper: {interest/a: {horizon: three}}", "horizon must be int, got 'three'", "a"),
    ],
)
def test_bad_presets_stop_their_own_and_no_others(project, presets, message, harmed):
    """`list`, `check` and `figures` say the same of them."""
    for name in ("interest/a", "interest/b", "lem/c"):
        project.write(name)
    project.presets(presets)
    outcome = project.run("list")
    assert outcome.exit_code == 1
    assert message in outcome.stderr
    broken = [line.split()[0] for line in outcome.stdout.splitlines() if line.endswith("(incomplete)")]
    assert broken == [f"interest/{name}" for name in harmed]
    assert message in project.run("check").stdout.splitlines()[0]
    assert project.run("list", "lem").output == "lem/c  A title (not yet)\n"
    ended = {f"interest/{name}": "failed" if name in harmed else "done" for name in "ab"}
    assert project.statuses("--preset", "paper" if "paper" in presets and harmed == "a" else "fast") == {
        **ended,
        "lem/c": "done",
    }


@pytest.mark.slow
def test_kernels_are_of_this_python_wherever_the_batch_is_started(project, tmp_path, monkeypatch):
    decoy = tmp_path / "jupyter" / "kernels" / "python3"
    decoy.mkdir(parents=True)
    spec = {"argv": ["/nonexistent/python", "{connection_file}"], "display_name": "x", "language": "python"}
    (decoy / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    look = "import os, sys\nrate = [sys.executable, os.getcwd(), os.environ.get('OMP_NUM_THREADS')]"
    write = project.write
    for name in ("interest/a", "getting_started"):
        path = write(name)
        book = json.loads(path.read_text())
        book["cells"].insert(2, {**book["cells"][2], "id": "look", "source": look})
        path.write_text(json.dumps(book))
    out = tmp_path / "folder with {braces}"

    assert set(project.statuses("--out", out, "--jobs", "2").values()) == {"done"}
    for name, folder in (("interest/a", "notebooks/interest"), ("getting_started", "notebooks")):
        result = json.loads((out / f"{name}.json").read_text())
        assert result["parameters"]["rate"] == [sys.executable, str(project.root / folder), "1"]

    assert set(project.statuses("getting_started", "--out", out, "--force").values()) == {"done"}
    result = json.loads((out / "getting_started.json").read_text())
    assert result["parameters"]["rate"][2] is None  # alone, a kernel may use all cores


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_batch_that_was_stopped_goes_on(project, tmp_path, how):
    started, go = tmp_path / "started", tmp_path / "go"
    project.write("interest/first")
    path = project.write("interest/second")
    book = json.loads(path.read_text())
    wait = WAIT.format(stem="second", started=started, go=go)
    book["cells"].insert(2, {**book["cells"][2], "id": "wait", "source": wait})
    path.write_text(json.dumps(book))

    process = project.start("figures", "--jobs", "1")
    while not started.exists():  # it is there whole, or not yet
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(how)
    _, said = process.communicate()
    kernel, child = map(int, started.read_text().split())
    wait_until_ended(kernel)
    assert not Path(f"{started}.forgotten").exists()

    assert {file.partition(".")[0] for file in project.files()} == {"interest/first"}
    if how is signal.SIGKILL:
        os.kill(child, signal.SIGKILL)  # nobody is left who could
    else:
        wait_until_ended(child)
        assert not Path(f"{started}.forgotten").exists()
        assert process.returncode == 128 + how
        assert said.splitlines()[-1] == "Interrupted; finished figures are kept. Start again to go on."
        assert not (project.out / ".batch" / "staging").exists()

    go.touch()
    assert project.statuses() == {"interest/first": "up to date", "interest/second": "done"}
    assert len(project.files()) == 11
    assert project.files()["interest/second.csv"] == "csv 8 0.5"
    assert not (project.out / ".batch" / "staging").exists()


RUNS_ELSEWHERE = """\
import os, signal, time
from pathlib import Path
from curse_of_memory.training import run_all

def process(i, note):
    time.sleep(0.2)
    if i == 1 and not Path(note).exists():
        Path(note).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()

rate = [os.getpid(), *run_all(process, [dict(i=i, note=r"{note}") for i in range(4)])] if output_dir else []
"""


@pytest.mark.slow
def test_the_runs_of_a_notebook_go_to_the_cluster_that_is_named(project, tmp_path, monkeypatch):
    """One of two workers is killed in the middle."""
    monkeypatch.delenv("CURSE_OF_MEMORY_DASK", raising=False)
    note = tmp_path / "killed"
    path = project.write("interest/a")
    book = json.loads(path.read_text())
    book["cells"].insert(2, {**book["cells"][2], "id": "runs", "source": RUNS_ELSEWHERE.format(note=note)})
    path.write_text(json.dumps(book))
    with two_workers() as cluster:
        outcome = project.run("figures", "--jobs", "1", "--dask", cluster.scheduler_address)
    assert outcome.exit_code == 0, outcome.output
    assert note.exists()
    kernel, *workers = json.loads((project.out / "interest" / "a.json").read_text())["parameters"]["rate"]
    assert len(workers) == 4
    assert kernel not in workers
    assert os.getpid() not in workers
    assert "CURSE_OF_MEMORY_DASK" not in os.environ


def test_a_cluster_that_is_not_there_is_refused_before_anything_runs(project, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("curse_of_memory.tools.named_cluster.ANSWERS_WITHIN", 0.5)
    project.write("interest/a")
    outcome = project.run("figures", "--dask", "tcp://127.0.0.1:9")
    assert outcome.exit_code == 2
    assert "Error: no Dask scheduler answers at tcp://127.0.0.1:9" in outcome.stderr
    assert not project.out.exists()


def test_two_batches_do_not_write_to_one_folder(project):
    project.write("interest/a")
    with batch.only_batch([project.out], {}):
        outcome = project.run("figures")
    assert outcome.exit_code == 1
    assert "another batch is writing to" in outcome.stderr
