"""What `make gpu` does, as far as a machine without a GPU can tell: environment, plan, all of it on a CPU."""

import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from benchmarks.gpu import environment, parts, plan
from benchmarks.gpu.parts import Part, Tally

ROOT = Path(__file__).parents[1]


def python(code: str, limit: float, name: str = "part") -> Part:
    return Part(name, [sys.executable, "-u", "-c", code], limit, parts.of_rows)


def test_a_part_that_ends_says_how(tmp_path):
    good = parts.run(python("print('done 1.0 s a')", 60), tmp_path)
    assert (good.status, good.tally) == ("passed", Tally(1))
    bad = parts.run(python("print('failed 1.0 s a: so'); exit(3)", 60), tmp_path)
    assert (bad.status, bad.tally) == ("failed", Tally(0, ["a: so"]))
    assert (tmp_path / "part.log").read_text() == "failed 1.0 s a: so\n"


def test_a_part_out_of_time_keeps_what_it_said_and_leaves_no_process(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "GRACE", 0.5)
    code = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("done 1.0 s a")
print(child.pid)
time.sleep(60)
"""
    start = time.monotonic()
    found = parts.run(python(code, 3.0), tmp_path)
    assert (found.status, found.tally.passed) == ("out of time", 1)
    assert time.monotonic() - start < 30
    child = Path("/proc", (tmp_path / "part.log").read_text().split()[-1], "stat")
    while child.exists() and child.read_text().split()[2] != "Z":  # it was told to, and needs a moment
        assert time.monotonic() - start < 30
        time.sleep(0.05)


def test_no_part_takes_the_time_of_the_others():
    assert list(plan.SHARES) == ["tests", "benchmarks", "notebooks"]
    left = 540.0
    for name in plan.SHARES:
        limit = plan.limit_of(name, 540.0, left)
        assert limit >= 150
        left -= limit
    assert left == plan.RESERVE
    assert plan.limit_of("notebooks", 540.0, 10.0) == 0


def test_the_plan_for_a_gpu_takes_everything_of_it(tmp_path):
    assert plan.tests("cuda", 100, 4).command[-1] == "tests"
    assert "-m cuda --continue" in " ".join(plan.tests("cuda:1", 100, 4).command)
    assert "--small" not in plan.benchmarks("cuda", 100, tmp_path).command
    assert plan.notebooks("cuda", 100, tmp_path).command[-2:] == ["--up-to", "100s"]


# --- the environment --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "usual", "own", "there", "expected"),
    [
        ("cuda", True, True, True, "usual"),
        ("cuda", False, True, True, "over"),
        ("cuda", False, False, False, environment.NO_GPU),
        ("cuda", False, False, True, environment.NO_GPU),  # torch as published does not see it either
        ("cpu", False, False, False, "built"),
    ],
)
def test_a_torch_that_sees_the_gpu_is_never_replaced(
    monkeypatch, tmp_path, device, usual, own, there, expected
):
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").touch()
    sees = {str(venv / "bin" / "python"): usual, sys.executable: own}
    monkeypatch.setattr(environment, "sees_a_gpu", lambda one: sees[one])
    monkeypatch.setattr(environment, "has_a_gpu", lambda: there)
    monkeypatch.setattr(environment, "over", lambda parent, where: f"over {where.name}")
    built = tmp_path / "built"
    build = [sys.executable, "-c", f"open({str(built)!r}, 'w')"]
    if expected == environment.NO_GPU:
        with pytest.raises(SystemExit) as caught:
            environment.chosen(device, venv, build)
        assert caught.value.code == environment.NO_GPU
        assert "\n" not in environment.NO_GPU
    else:
        found = environment.chosen(device, venv, build)
        assert found == ("over venv-gpu" if expected == "over" else str(venv / "bin" / "python"))
    assert built.exists() == (expected == "built" or (expected == environment.NO_GPU and there))


def test_torch_and_what_is_new_enough_stay():
    locked, oldest = ((ROOT / f"requirements{kind}.lock").read_text() for kind in ("", "-oldest"))
    names = {line.partition("==")[0] for line in environment.missing(locked, oldest, {})}
    assert "torch" not in names
    assert {"numpy", "papermill", "pytest"} <= names
    there = {line.partition("==")[0].upper(): line.partition("==")[2] for line in locked.split()}
    assert environment.missing(locked, oldest, there) == []
    assert environment.missing(locked, oldest, there | {"NUMPY": "1.26.4"}) == [
        line for line in locked.split() if line.startswith("numpy==")
    ]


@pytest.mark.slow
def test_an_environment_lies_over_one_with_torch(tmp_path, capfd):
    found = environment.over(sys.executable, tmp_path / "venv")
    assert found == str(tmp_path / "venv" / "bin" / "python")
    said = "import torch, curse_of_memory; print(torch.__file__, curse_of_memory.__file__)"
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    there = subprocess.check_output([found, "-c", said], text=True, cwd=tmp_path, env=alone).split()
    known = subprocess.check_output([sys.executable, "-c", said], text=True, cwd=ROOT).split()
    assert there == known


# --- all of it --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_all_of_it_runs_on_a_cpu_at_the_tiniest_size(tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--seconds", "900"]
    done = subprocess.run([*command, "--into", str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in plan.SHARES:
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(name)]
        assert line.split()[1] == "passed", line
        assert " 0 failed, 0 not reached" in line
        assert " 0 passed" not in line
    assert (tmp_path / "summary.txt").read_text().strip() == done.stdout.strip()
    assert "tell nothing" in (tmp_path / "cpu.md").read_text()
    assert (tmp_path / "figures" / "theory" / "reparameterizations.png").exists()
    with tarfile.open(tmp_path / "files.tar.gz") as archive:  # nothing of it went into the clone
        assert [name for name in archive.getnames() if name.startswith("benchmarks")] == []


def test_the_target_of_make_is_this():
    text = (ROOT / "Makefile").read_text()
    assert "benchmarks/gpu/environment.py --device $(DEVICE)" in text
    assert "-m benchmarks.gpu --device $(DEVICE)" in text
