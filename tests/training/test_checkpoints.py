"""A checkpoint brings back the very run, or is refused in one line that names the file."""

import io
import math
import pickle
import random

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from curse_of_memory.nn import RNN
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.training import checkpoints, fit, sweep
from tests.devices import DEVICES

SMALL = {"steps": 12, "batch_size": 4, "validate_every": 4, "validation_size": 4, "device": "cpu"}


@pytest.fixture
def task():
    return LinearFunctional(lambda t: 0.5**t, 8)


def network(width=3):
    return RNN(width, activation="tanh", seed=0)


def by_fit(task, path, **options):
    return fit(network(), task, checkpoint=path, **(SMALL | options))


def by_sweep(task, path, **options):
    return sweep([network()], task, checkpoint=path, **(SMALL | options))


BOTH = pytest.mark.parametrize("train", [by_fit, by_sweep])


def refusal(train, task, path):
    """Return the one line that names the file, and see that the file is left as it is."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ValueError, match=r"^checkpoint ") as found:
        train(task, path)
    words = str(found.value)
    assert words.startswith(f"checkpoint {path} ")
    assert "\n" not in words
    assert "weights_only" not in words
    assert before is None or path.read_bytes() == before
    return words


# --- what is refused ----------------------------------------------------------------------------


class Ran:
    """What a stranger's pickle would do to whoever loads it."""

    calls = 0

    def __reduce__(self):
        return Ran.run, ()

    @staticmethod
    def run():
        Ran.calls += 1


def archive(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


FOREIGN = {
    "nothing": b"",
    "a text": b"loss: 0.1\n",
    "zeros": bytes(500),
    "a pickle": pickle.dumps({"step": 3}),
    "a stranger's pickle": pickle.dumps(Ran()),
    "weights": archive(network().state_dict()),
    "a stranger's archive": archive({"settings": Ran()}),
    "an old checkpoint": archive({"settings": {"seed": 0}, "step": 10}),
}


@BOTH
@pytest.mark.parametrize("what", FOREIGN)
def test_a_foreign_file_is_refused(task, tmp_path, train, what):
    path = tmp_path / "run.pt"
    path.write_bytes(FOREIGN[what])
    assert "is no whole checkpoint of ours" in refusal(train, task, path)
    assert Ran.calls == 0


@BOTH
def test_a_stranger_who_knows_the_format_runs_nothing(task, tmp_path, train):
    path = tmp_path / "run.pt"
    path.write_bytes(FOREIGN["a stranger's archive"])
    code = checkpoints._checksum(path, path.stat().st_size)
    with path.open("ab") as file:
        file.write(checkpoints.MARK + b"%08d" % checkpoints.FORMAT + code + b"\n")
    assert "cannot be read" in refusal(train, task, path)
    assert Ran.calls == 0


@BOTH
def test_every_damage_is_seen(task, tmp_path, train):
    path = tmp_path / "run.pt"
    train(task, path)
    whole = path.read_bytes()
    draw = np.random.default_rng(0)
    for length in [*draw.integers(0, len(whole), 10).tolist(), len(whole) - 1]:
        path.write_bytes(whole[:length])
        refusal(train, task, path)
    for _ in range(60):  # two bytes, anywhere
        spoiled = bytearray(whole)
        for place in draw.choice(len(whole), 2, replace=False):
            spoiled[place] ^= int(draw.integers(1, 256))
        path.write_bytes(spoiled)
        refusal(train, task, path)
    path.write_bytes(whole + b" ")
    refusal(train, task, path)
    path.write_bytes(whole)
    train(task, path)


@BOTH
def test_a_newer_format_is_refused_by_its_number(task, tmp_path, train, monkeypatch):
    path = tmp_path / "run.pt"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "FORMAT", 7)
        train(task, path)
    assert "was written by a newer version: its format is 7" in refusal(train, task, path)


@BOTH
def test_what_is_no_file_is_refused(task, tmp_path, train):
    folder = tmp_path / "folder.pt"
    folder.mkdir()
    assert "is a folder or a device" in refusal(train, task, folder)
    link = tmp_path / "link.pt"
    link.symlink_to(tmp_path / "nowhere.pt")
    assert "cannot be read: No such file" in refusal(train, task, link)
    (tmp_path / "file").write_text("here")
    with pytest.raises(OSError, match="file"):
        train(task, tmp_path / "file" / "run.pt")


class Quiet(nn.Module):
    """A model whose repr says nothing of its weights."""

    def __init__(self, width, dtype=torch.float32, frozen=False):
        super().__init__()
        self.network = RNN(width, activation="tanh", seed=0, dtype=dtype)
        self.network.output_weight.requires_grad_(not frozen)
        self.register_buffer("seen", torch.zeros(width))

    def forward(self, x):
        return self.network(x)

    def __repr__(self):
        return "Quiet()"


@pytest.mark.parametrize("other", [{"width": 4}, {"dtype": torch.float64}, {"frozen": True}])
def test_a_model_of_other_tensors_is_another_model(task, tmp_path, other):
    path = tmp_path / "run.pt"
    fit(Quiet(3), task, checkpoint=path, **SMALL)
    model = Quiet(**({"width": 3} | other))
    start = [p.clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=rf"^checkpoint {path} belongs to a run with other shapes$"):
        fit(model, task, checkpoint=path, **SMALL)
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), start, strict=True))


def test_functions_are_the_same_in_every_process():
    def loss(y_hat, y):
        return (y_hat - y).abs().mean()

    assert checkpoints.identity(loss).endswith("loss>")
    assert " at 0x" not in checkpoints.identity(loss) + checkpoints.identity([print, loss])


def test_the_draft_of_a_killed_write_is_gone_after_the_next(task, tmp_path):
    path = tmp_path / "run.pt"
    (tmp_path / ".run.pt.draft-0123456789abcdef.pt").write_bytes(bytes(10**6))
    by_fit(task, path)
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


# --- what comes back ----------------------------------------------------------------------------


class Drawing(nn.Module):
    """Draws from every global generator while it trains, and dies at a given call."""

    def __init__(self, dies_at=math.inf):
        super().__init__()
        self.network, self.dropout = RNN(4, activation="tanh", seed=0), nn.Dropout(0.5)
        self.calls, self.dies_at = 0, dies_at

    def forward(self, x):
        if not self.training:
            return self.network(x)
        self.calls += 1
        if self.calls == self.dies_at:
            raise KeyboardInterrupt
        noise = np.random.standard_normal() + random.gauss(0, 1)  # noqa: NPY002 - the global one is meant
        return self.network(self.dropout(x) + 0.1 * noise)

    def __repr__(self):
        return "Drawing()"


def seed_all(number):
    torch.manual_seed(number)
    np.random.seed(number)  # noqa: NPY002
    random.seed(number)


def next_draws():
    return torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()  # noqa: NPY002


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dies_at", [2, 6, 10])
def test_a_run_with_dropout_goes_on_along_the_trajectory_of_one_never_killed(task, tmp_path, dies_at, device):
    path, options = tmp_path / "run.pt", SMALL | {"learning_rate": 0.05, "device": device}
    seed_all(1)
    whole = Drawing()
    uninterrupted = fit(whole, task, **options)
    after = next_draws()
    seed_all(1)
    with pytest.raises(KeyboardInterrupt):
        fit(Drawing(dies_at), task, checkpoint=path, **options)
    seed_all(2)  # another process has other generators
    model = Drawing()
    resumed = fit(model, task, checkpoint=path, **options)
    assert model.calls == 12 - (dies_at - 1) // 4 * 4
    pd.testing.assert_frame_equal(resumed.history, uninterrupted.history, check_exact=True)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), whole.parameters(), strict=True))
    assert next_draws() == after
    # the draws count: another state is another trajectory
    seed_all(3)
    assert fit(Drawing(), task, **options).loss != uninterrupted.loss


def test_generators_nobody_draws_from_are_left_alone(task, tmp_path):
    path = tmp_path / "run.pt"
    seed_all(1)
    by_fit(task, path, steps=8)
    seed_all(2)
    expected = next_draws()
    seed_all(2)
    by_fit(task, path)
    assert next_draws() == expected


@BOTH
def test_a_tilde_is_the_home_of_the_user(train, task, tmp_path, monkeypatch):
    home, here = tmp_path / "home", tmp_path / "here"
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    train(task, "~/runs/one.pt")
    assert (home / "runs" / "one.pt").is_file()
    assert not list(here.iterdir())


@BOTH
def test_a_checkpoint_that_cannot_be_written_is_said_to_be_one(train, task, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"^[^\n]*checkpoint cannot be written: [^\n]*file/one\.pt'$"):
        train(task, tmp_path / "file" / "one.pt")
