"""Runs that have ended are found again by all that decides them, and by nothing else; others are made."""

import errno
import functools
import hashlib
import json
import math
import random
import time

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from curse_of_memory.experiments.grid import run_grid
from curse_of_memory.nn import RNN
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.tools.run_notes import KEEP_IN, RunNotes, make_notes, read_progress
from curse_of_memory.training import fit, kept_runs, own_checkpoints, run_all, sweep
from curse_of_memory.training.kept_runs import PACKAGE
from tests.forks import two_workers

SMALL = {"steps": 12, "batch_size": 4, "validate_every": 4, "validation_size": 4, "device": "cpu"}


class Batch:
    """What a batch gives to its kernels, here for this process."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.log, self.notes = folder, folder.with_name("log"), folder.with_name("notes")
        self._monkeypatch = monkeypatch
        (folder / "checkpoints").mkdir(parents=True)
        files = [
            f for f in PACKAGE.rglob("*.py") if f.relative_to(PACKAGE).parts[0] not in ("gallery", "papers")
        ]
        self.package = {
            f.relative_to(PACKAGE).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files
        }
        self.write(package=self.package)
        make_notes(self.notes)
        monkeypatch.setenv(KEEP_IN, str(folder))
        monkeypatch.setattr(kept_runs, "SHORTEST", 0.0)
        monkeypatch.setattr(kept_runs, "WORTH", 0)
        self.again()

    def write(self, **content):
        (self.folder / "made_from.json").write_text(json.dumps(content))

    def again(self):
        """Begin as another kernel would."""
        kept_runs.kept_runs.cache_clear()
        joblib.memory._FUNCTION_HASHES.clear()  # what joblib knows of functions that this process has called
        self.own = RunNotes(self.notes)
        self._monkeypatch.setattr(kept_runs, "run_notes", lambda: self.own)

    def made(self):
        """Return the runs that were made since the last time."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.write_text("")
        return lines

    @property
    def remarks(self):
        progress = read_progress(self.notes)
        return [] if progress is None else progress.remarks

    @property
    def entries(self):
        return sorted(self.folder.glob("joblib/**/output.pkl"))


@pytest.fixture
def batch(tmp_path, monkeypatch):
    yield Batch(tmp_path / "runs", monkeypatch)
    kept_runs.kept_runs.cache_clear()


def noted(log, x):
    with open(log, "a") as file:
        file.write(f"{x!r}\n")


def doubled(x, log):
    noted(log, x)
    return {"twice": 2 * x}


def values(batch, *xs):
    return [{"x": x, "log": str(batch.log)} for x in xs]


def test_outside_of_a_batch_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.delenv(KEEP_IN, raising=False)
    kept_runs.kept_runs.cache_clear()
    log = tmp_path / "log"
    for _ in range(2):
        run_all(doubled, [{"x": 1, "log": str(log)}])
    assert log.read_text() == "1\n1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_what_has_ended_is_not_made_again_and_comes_in_order(batch):
    assert run_all(doubled, values(batch, 1, 3)) == [{"twice": 2}, {"twice": 6}]
    assert batch.made() == ["1", "3"]
    assert batch.remarks == []
    batch.again()
    assert run_all(doubled, values(batch, 3, 2, 1)) == [{"twice": 6}, {"twice": 4}, {"twice": 2}]
    assert batch.made() == ["2"]
    assert run_grid(doubled, values(batch, 1, 3)).twice.tolist() == [2, 6]
    assert batch.made() == []


def slept(x, log):
    time.sleep(x)
    return doubled(x, log)


def test_how_long_kept_runs_took_is_known_of_them(batch):
    run_all(slept, values(batch, 0.05, 0.1))
    assert batch.own.kept_seconds == 0
    batch.again()
    run_all(slept, values(batch, 0.05, 0.1, 0.02))
    assert 0.15 < batch.own.kept_seconds < 10
    assert batch.made() == ["0.05", "0.1", "0.02"]


def test_equal_values_of_another_type_are_other_runs(batch):
    xs = (1, 1.0, True, np.int64(1), np.float32(1), 0.0, -0.0)
    first = run_all(doubled, values(batch, *xs))
    assert len(batch.made()) == len(xs)
    batch.again()
    second = run_all(doubled, values(batch, *xs))
    assert batch.made() == []
    for one, other in zip(first, second, strict=True):
        assert type(one["twice"]) is type(other["twice"])
        assert math.copysign(1, one["twice"]) == math.copysign(1, other["twice"])


@pytest.mark.parametrize(
    "place", [{"backend": "threading", "n_jobs": 2}, pytest.param({"n_jobs": 2}, marks=pytest.mark.slow)]
)
def test_runs_of_other_places_are_kept_too(batch, place):
    with joblib.parallel_config(**place):
        run_all(doubled, values(batch, *range(4)))
    assert len(batch.made()) == 4
    assert run_all(doubled, values(batch, *range(4))) == [{"twice": 2 * x} for x in range(4)]
    assert batch.made() == []


@pytest.mark.slow
def test_runs_that_took_place_on_a_cluster_are_kept_and_not_sent_again(batch, address):
    assert run_all(doubled, values(batch, *range(4))) == [{"twice": 2 * x} for x in range(4)]
    assert sorted(batch.made()) == ["0", "1", "2", "3"]
    batch.again()
    assert run_all(doubled, values(batch, *range(5))) == [{"twice": 2 * x} for x in range(5)]
    assert batch.made() == ["4"]


def test_results_are_copies_whatever_was_done_to_the_first_ones(batch):
    def table(log):
        noted(log, "made")
        model = nn.Linear(1, 1)
        nn.init.constant_(model.weight, 0.5)
        return {"table": pd.DataFrame({"a": [1.0, math.nan]}), "model": model, "list": [1]}

    runs = [{"log": str(batch.log)}]
    torch.manual_seed(0)
    state = torch.get_rng_state()

    def without_draws(log):
        kept = torch.get_rng_state()
        try:
            return table(log)
        finally:
            torch.set_rng_state(kept)

    (first,) = run_all(without_draws, runs)
    assert torch.equal(torch.get_rng_state(), state)
    first["table"].loc[0, "a"] = 7.0
    first["list"].append(2)
    with torch.no_grad():
        first["model"].weight.zero_()
    for _ in range(2):
        (again,) = run_all(without_draws, runs)
        assert again["list"] == [1]
        assert again["model"].weight.item() == 0.5
        pd.testing.assert_frame_equal(again["table"], pd.DataFrame({"a": [1.0, math.nan]}))
        again["list"].append(3)
    assert batch.made() == ["'made'"]


# --- what is not kept, and why ------------------------------------------------------------------


class Counter:
    def __init__(self):
        self.calls = 0

    def __call__(self, log):
        self.calls += 1
        noted(log, self.calls)
        return self.calls

    def method(self, log):
        return self(log)


def draws(log):
    noted(log, "draws")
    return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002


def returns_a_generator(log):
    noted(log, "made")
    return (i for i in range(3))


def counting():
    count = 0

    def count_up(log):
        nonlocal count
        count += 1
        noted(log, count)
        return count

    return count_up


MISFITS = {
    "a callable with a state": (Counter, "they change their arguments, or the function itself"),
    "a method of such": (lambda: Counter().method, "they change their arguments, or the function itself"),
    "a partial of such": (
        lambda: functools.partial(Counter()),
        "they change their arguments, or the function",
    ),
    "a closure that counts": (counting, "they change their arguments, or the function itself"),
    "draws from global generators": (lambda: draws, "they draw from, or set, a global random generator"),
    "a generator": (lambda: returns_a_generator, "the result cannot be pickled"),
}


@pytest.mark.parametrize("what", MISFITS)
def test_what_cannot_be_found_again_for_certain_is_made_again_and_said_so(batch, what):
    make, words = MISFITS[what]
    function = make()
    for _ in range(2):
        run_all(function, [{"log": str(batch.log)}])
    assert len(batch.made()) == 2
    assert len(batch.remarks) == 1
    assert words in batch.remarks[0]


class Roller:
    """Something to call that draws from Python's generator."""

    def __call__(self, log):
        noted(log, random.random())


@pytest.mark.slow
def test_what_runs_beside_the_threads_of_a_cluster_is_kept_unless_it_could_draw_itself(batch):
    """Those threads draw from Python's generator all the time: its state says nothing of the run."""
    distributed = pytest.importorskip("distributed")

    def waits(log):
        time.sleep(1.5)
        with open(log, "a") as file:
            file.write("waited\n")

    def draws_here(log):
        with open(log, "a") as file:
            file.write(f"drew {random.random()}\n")

    given = [{"log": str(batch.log)}]
    with two_workers() as cluster, distributed.Client(cluster), joblib.parallel_config(backend="dask"):
        for _ in range(2):
            run_all(waits, given)
        assert batch.made() == ["waited"]
        assert batch.remarks == []
        for function in (draws_here, functools.partial(draws_here), Roller()):
            for _ in range(2):
                run_all(function, given)
            assert len(batch.made()) == 2
    assert len(batch.remarks) == 3
    assert all("they draw from, or set, a global random generator" in said for said in batch.remarks)


def test_a_run_that_changes_its_arguments_is_made_again(batch):
    def train(model, log):
        noted(log, "trained")
        with torch.no_grad():
            model.weight.add_(1.0)

    for _ in range(2):
        model = nn.Linear(1, 1)
        nn.init.zeros_(model.weight)
        nn.init.zeros_(model.bias)
        run_all(train, [{"model": model, "log": str(batch.log)}])
        assert model.weight.item() == 1.0
    assert len(batch.made()) == 2


def test_an_error_is_not_kept(batch):
    def fails(x, log):
        noted(log, x)
        raise ValueError("no")

    for _ in range(2):
        assert isinstance(run_all(fails, values(batch, 1), errors="keep")[0], ValueError)
    assert batch.made() == ["1", "1"]


def test_an_argument_without_a_fingerprint_is_named(batch):
    def run(x, log):
        return 1

    run_all(run, values(batch, (i for i in range(2))))
    assert len(batch.remarks) == 1
    assert "are not kept: argument 'x' is or has" in batch.remarks[0]
    assert batch.remarks[0].endswith("which cannot be pickled")


def test_short_runs_are_not_kept(batch, monkeypatch):
    monkeypatch.setattr(kept_runs, "SHORTEST", 10.0)
    run_all(doubled, values(batch, 1))
    assert batch.entries == []


# --- other code, and damage ---------------------------------------------------------------------


def test_another_text_of_a_function_is_another_function(batch):
    def build(text):
        names = {"noted": noted}
        exec(f"def run(x, log):\n    noted(log, x)\n    return {text}", names)
        return names["run"]

    for text in ("x + 1", "x + 1.0", "x + 1", "helper(x)"):
        function = build(text)
        function.__globals__["helper"] = lambda x: x * 2
        run_all(function, values(batch, 1))
    assert batch.made() == ["1", "1", "1"]
    function.__globals__["helper"] = lambda x: x * 3
    assert run_all(function, values(batch, 1)) == [3]


def test_a_package_that_changes_in_the_middle_costs_no_run_that_had_ended(batch, monkeypatch):
    changed = PACKAGE / "nn" / "recurrent" / "rnn.py"
    true_stat = kept_runs._stat
    run_all(doubled, values(batch, 1))
    monkeypatch.setattr(kept_runs, "_stat", lambda path: () if path == changed else true_stat(path))
    run_all(doubled, values(batch, 2))
    assert batch.remarks == [
        "nn/recurrent/rnn.py of the package has changed since the batch began: "
        "runs that end from now on are not kept"
    ]
    assert len(batch.entries) == 1
    monkeypatch.setattr(kept_runs, "_stat", true_stat)  # as it was
    batch.again()
    batch.made()
    run_all(doubled, values(batch, 1, 2))
    assert batch.made() == ["2"]


def test_a_kernel_that_has_another_package_than_the_batch_keeps_nothing(batch):
    batch.write(package=batch.package | {"nn/recurrent/rnn.py": "another"})
    batch.again()
    for _ in range(2):
        run_all(doubled, values(batch, 1))
    assert batch.made() == ["1", "1"]
    assert len(batch.remarks) == 1


DAMAGES = {
    "nothing": lambda whole: b"",
    "cut": lambda whole: whole[: len(whole) // 2],
    "garbage": lambda whole: b"\x80garbage" * 20,
    "zeros": lambda whole: bytes(len(whole)),
    "a flipped byte": lambda whole: whole[:-60] + bytes([whole[-60] ^ 1]) + whole[-59:],
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_entry_is_made_again_with_one_line_said(batch, how, recwarn, capsys):
    run_all(doubled, values(batch, 1, 2))
    damaged = batch.entries[0]
    damaged.write_bytes(DAMAGES[how](damaged.read_bytes()))
    batch.again()
    batch.made()
    assert run_all(doubled, values(batch, 1, 2)) == [{"twice": 2}, {"twice": 4}]
    assert len(batch.made()) == 1
    (line,) = batch.remarks
    assert line.startswith("a kept run is damaged, and is made again (")
    batch.again()
    run_all(doubled, values(batch, 1, 2))
    assert batch.made() == []
    assert not recwarn.list
    assert capsys.readouterr() == ("", "")


def test_an_entry_of_another_version_is_made_again(batch, monkeypatch):
    monkeypatch.setattr(kept_runs, "FORMAT", 0)
    run_all(doubled, values(batch, 1))
    monkeypatch.undo()
    monkeypatch.setenv(KEEP_IN, str(batch.folder))
    monkeypatch.setattr(kept_runs, "SHORTEST", 0.0)
    batch.again()
    run_all(doubled, values(batch, 1))
    assert batch.made() == ["1", "1"]
    assert batch.remarks == ["a kept run is damaged, and is made again (it is of another version)"]


def test_a_full_disk_costs_one_line_and_no_run(batch, monkeypatch, recwarn):
    run_all(doubled, values(batch, 0))
    batch.made()

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("joblib.numpy_pickle.dump", full)
    assert run_all(doubled, values(batch, 0, 1, 2)) == [{"twice": 0}, {"twice": 2}, {"twice": 4}]
    assert batch.made() == ["1", "2"]
    assert batch.remarks == ["no room for runs, they are not kept: [Errno 28] No space left on device"]
    assert not recwarn.list
    assert not list(batch.folder.glob("joblib/**/output.pkl.*"))


def test_a_folder_that_cannot_be_used_costs_one_line_and_no_run(batch):
    batch.folder.rename(batch.folder.with_name("elsewhere"))
    batch.folder.write_text("a file")
    batch.again()
    assert run_all(doubled, values(batch, 1)) == [{"twice": 2}]
    assert len(batch.remarks) == 1
    assert batch.remarks[0].startswith("runs are not kept: ")


def test_progress_is_noted_with_what_was_kept_before(batch):
    run_all(doubled, values(batch, 1, 2))
    progress = read_progress(batch.notes)
    assert progress is not None
    assert (progress.done, progress.runs, progress.before) == (2, 2, 0)
    batch.again()
    run_all(doubled, values(batch, 1, 2, 3))
    progress = read_progress(batch.notes)
    assert progress is not None
    assert (progress.done, progress.runs, progress.before) == (3, 3, 2)


# --- checkpoints that nobody has asked for ------------------------------------------------------


class Counts(nn.Module):
    """A loss that knows how often it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def forward(self, answers, targets):
        self.asked += 1
        return (answers - targets).square().mean()


class Calls:
    """The calls of the squared error, the last of which kills the training."""

    count, last = 0, math.inf

    def __init__(self):
        self.error = torch.nn.functional.mse_loss

    def __call__(self, *arguments, **options):
        self.count += 1
        if self.count >= self.last:
            raise KeyboardInterrupt
        return self.error(*arguments, **options)


@pytest.fixture
def at_once(monkeypatch):
    """Checkpoints are written at every validation, and what calls the squared error is counted."""
    monkeypatch.setattr(own_checkpoints, "WRITE_EVERY", 0.0)
    calls = Calls()
    monkeypatch.setattr(torch.nn.functional, "mse_loss", calls)
    return calls


def fitted(seed=0, loss=None, model=None, **options):
    model = RNN(3, activation="tanh", seed=0) if model is None else model
    task = LinearFunctional(lambda t: 0.5**t, 8)
    result = fit(model, task, loss=nn.MSELoss() if loss is None else loss, seed=seed, **(SMALL | options))
    return result.history, [w.detach().clone() for w in model.parameters()], result.loss


def same(first, second):
    weights = all(torch.equal(a, b) for a, b in zip(first[1], second[1], strict=True))
    return first[0].equals(second[0]) and weights and first[2] == second[2]


@pytest.mark.parametrize("dies_at", [3, 8, 14])
def test_a_fit_that_was_killed_goes_on_and_ends_in_the_same_numbers(batch, at_once, dies_at):
    whole = fitted(checkpoint=batch.folder / "asked for.pt")  # which leaves none of the batch's own
    assert list(batch.folder.glob("checkpoints/*")) == []
    calls, at_once.count, at_once.last = at_once.count, 0, dies_at
    with pytest.raises(KeyboardInterrupt):
        fitted()
    at_once.count, at_once.last = 0, math.inf
    batch.again()
    assert same(fitted(), whole)
    assert at_once.count == calls - 5 * ((dies_at - 2) // 5)  # it goes on at a validation, after four steps
    at_once.count = 0
    batch.again()
    assert same(fitted(), whole)
    assert at_once.count == 1  # it had ended
    assert not same(fitted(seed=1), whole)
    assert not same(fitted(model=RNN(3, activation="tanh", seed=1)), whole)
    assert len(fitted(steps=8)[0]) < len(whole[0])


def test_a_sweep_that_was_killed_goes_on_and_ends_in_the_same_numbers(batch, at_once, monkeypatch):
    task = LinearFunctional(lambda t: 0.5**t, 8)

    def swept(dies_at=math.inf):
        models = [RNN(3, activation="tanh", seed=s) for s in range(2)]
        drawn = []
        true_sample = LinearFunctional.sample

        def sample(self, size, **options):
            drawn.append(size)
            if len(drawn) >= dies_at:
                raise KeyboardInterrupt
            return true_sample(self, size, **options)

        with monkeypatch.context() as patch:
            patch.setattr(LinearFunctional, "sample", sample)
            return sweep(models, task, learning_rate=[0.01, 0.02], **SMALL), len(drawn)

    whole, draws = swept()
    for path in batch.folder.glob("checkpoints/*"):
        path.unlink()
    with pytest.raises(KeyboardInterrupt):
        swept(10)
    batch.again()
    resumed, after = swept()
    assert after < draws
    assert resumed.drop_attrs().identical(whole.drop_attrs())


KEEPS_A_STATE = {
    "a loss": lambda: {"loss": Counts()},
    "watch": lambda: {"watch": Watching()},
    "global generators": lambda: {"model": nn.Sequential(RNN(3, activation="tanh", seed=0), Noisy())},
    "a model": lambda: {"model": nn.Sequential(RNN(3, activation="tanh", seed=0), Counting())},
}


class Watching:
    def __init__(self):
        self.seen = 0

    def __call__(self, model):
        self.seen += 1
        return {"seen": self.seen}


class Noisy(nn.Module):
    def forward(self, x):
        return x + (torch.randn(1) if self.training else 0)


class Counting(nn.Module):
    seen = 0

    def forward(self, x):
        self.seen += 1
        return x


@pytest.mark.parametrize("what", KEEPS_A_STATE)
def test_what_keeps_a_state_has_no_checkpoint(batch, at_once, what):
    fitted(**KEEPS_A_STATE[what]())
    assert list(batch.folder.glob("checkpoints/*")) == []


def test_a_short_fit_writes_nothing(batch):
    fitted()
    assert list(batch.folder.glob("checkpoints/*")) == []


def test_a_damaged_checkpoint_is_said_and_the_fit_begins_anew(batch, at_once):
    whole = fitted()
    (path,) = batch.folder.glob("checkpoints/*")
    path.write_bytes(path.read_bytes()[:100])
    batch.again()
    assert same(fitted(), whole)
    (line,) = batch.remarks
    assert line.startswith("a training begins anew: checkpoint ")


def test_a_checkpoint_that_has_no_room_costs_one_line(batch, at_once, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("torch.save", full)
    fitted()
    assert batch.remarks == ["no room for checkpoints, they are not kept: No space left on device"]


def test_the_checkpoints_of_a_run_go_when_it_is_kept(batch, at_once):
    def run(seed):
        return fitted(seed)[2]

    run_all(run, [{"seed": 0}, {"seed": 1}])
    assert len(batch.entries) == 2
    assert list(batch.folder.glob("checkpoints/*")) == []


def test_the_code_of_papers_counts_by_value(batch):
    """Their modules are not in the batch's list; what they use of the package is."""
    from curse_of_memory.papers.interest import linear_functionals

    kept = kept_runs.kept_runs()
    assert kept is not None
    assert kept.covers("curse_of_memory.nn.recurrent.rnn")
    assert not kept.covers(linear_functionals.__name__)
    assert len(kept.fingerprints().of(linear_functionals._exact)) == 64


def test_every_function_that_figures_run_has_a_fingerprint(batch):
    """Else their runs would be lost when a batch is killed."""
    import ast
    import importlib

    kept = kept_runs.kept_runs()
    assert kept is not None
    found = 0
    for path in sorted((PACKAGE / "papers").glob("*/*.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        names = {
            call.args[0].id
            for call in calls
            if isinstance(call.func, ast.Name)
            and call.func.id in ("run_grid", "run_all")
            and isinstance(call.args[0], ast.Name)
        }
        module = (
            importlib.import_module(f"curse_of_memory.papers.{path.parent.name}.{path.stem}")
            if names
            else None
        )
        for name in names:
            assert len(kept.fingerprints().of(getattr(module, name))) == 64, (path, name)
            found += 1
    assert found > 20
