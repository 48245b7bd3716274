"""A batch that is killed in the middle of a notebook takes its runs up where they were."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.gallery.conftest import PARAMETERS
from tests.gallery.test_batch import COMMAND, wait_until_ended

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
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "figures", "--jobs", "1", *map(str, arguments)],
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


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

    lines, words = 0, ""
    for moment in range(10):
        lines += 1 + moment % 3
        words += kill_when(training, start(training), lines)
        lines = len(training.log.read_text().splitlines())
    process = start(training)
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    ended = said(training.log, "ends")
    assert len(ended) <= len(set(ended)) + 10  # one may be killed between its last word and its keeping
    assert {f"{p.suffix}": p.read_bytes() for p in (whole / "interest").iterdir()} == {
        f"{p.suffix}": p.read_bytes() for p in (training.out / "interest").iterdir()
    }
    assert "kept before" in words + stderr
    assert not (training.out / ".batch" / "runs").exists()
