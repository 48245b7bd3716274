"""Training in several processes is training in one: the same batches, shared out."""

import os
import subprocess
import sys
from inspect import getsource
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch import nn

from curse_of_memory.losses import TemporallyWeightedCrossEntropy, TemporallyWeightedMSE
from curse_of_memory.nn import LSTM, RNN, S4D, SSM
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.training import fit
from curse_of_memory.training.processes import ManyProcesses, OneProcess

ROOT = Path(__file__).parents[2]
SETTINGS = {"batch_size": 8, "validation_size": 12, "validate_every": 4, "clip": 0.1, "learning_rate": 0.02}
EPOCHS = {"batch_size": 8, "validation_size": 12, "validate_every": 2, "learning_rate": 0.02}
# One step sums batch x time x width < 1e3 numbers, each rounded to 1.1e-16; two processes sum them in another
# order. AdamW amplifies that about tenfold in fifteen steps; twelve steps are made.
SAME = {"rtol": 1e-10, "atol": 1e-10}

RAGGED = {"steps": 6, "batch_size": 8, "validate_every": 2, "learning_rate": 0.02, "clip": 0.1}


def ragged():
    """Inputs with labels, of which each sequence has one to ten that count; a tenth is held out."""
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 10, 1, generator=draw, dtype=torch.float64)
    labels = torch.randint(0, 4, (40, 10), generator=draw)
    lengths = torch.randint(1, 11, (40, 1), generator=draw)
    return inputs, labels.masked_fill(torch.arange(10) >= lengths, -100)


# Two processes train, stop at a checkpoint and go on from it; each writes down what it has seen and found.
SCRIPT = f"""
import sys
from pathlib import Path
import torch
from lightning_fabric import Fabric
from curse_of_memory.losses import TemporallyWeightedCrossEntropy, TemporallyWeightedMSE
from curse_of_memory.nn import LSTM, RNN, S4D, SSM
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.training import fit

{getsource(ragged)}
folder, sizes, written, save = sys.argv[1], [], [], torch.save

class Watched(RNN):
    def _get_name(self):
        return "RNN"  # to a checkpoint it is the same model

    def forward(self, x):
        sizes.append(len(x) if self.training else -len(x))
        return super().forward(x)

def counted(state, target, **options):
    if isinstance(target, Path):  # not what processes tell each other
        written.append(str(target))
    save(state, target, **options)

torch.save = counted
fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
fabric.launch()
task = LinearFunctional(lambda t: 0.5**t, 10)
for steps in (4, 8):
    # only the first process has the weights that count, and of the second fit those of the checkpoint count
    model = Watched(3, activation="tanh", seed=fabric.global_rank + 2 * (steps > 4), dtype=torch.float64)
    found = fit(
        model, task, loss=TemporallyWeightedMSE(1), steps=steps, fabric=fabric, progress=True,
        checkpoint=folder + "/run.pt", **{SETTINGS!r}
    )
before = len(sizes)
second = RNN(3, activation="tanh", seed=fabric.global_rank, dtype=torch.float64)
data, tests, unseen = (task.sample(n, seed=k, dtype=torch.float64) for n, k in ((24, 7), (10, 8), (12, 9)))
run = fit(
    second, data, test=tests, validation=unseen, epochs=2, metric="rmse", evaluation_size=2,
    log=folder + "/run.csv", fabric=fabric, **{EPOCHS!r}
)
third = RNN(3, output_size=4, activation="tanh", seed=fabric.global_rank, dtype=torch.float64)
labelled = fit(third, ragged(), loss=TemporallyWeightedCrossEntropy(2), fabric=fabric, **{RAGGED!r})
weights = [torch.cat([p.detach().flatten() for p in one.parameters()]) for one in (model, second, third)]
in_epochs = {{"score": run.score, "test": run.test, "weights": weights[1]}}
in_labels = {{"weights": weights[2], "history": labelled.history.to_dict("list")}}
result = {{"in_labels": in_labels, "in_epochs": in_epochs, "weights": weights[0], "sizes": sizes[:before],
          "loss": found.loss, "history": found.history.to_dict("list"), "written": len(written)}}
save(result, f"{{folder}}/rank{{fabric.global_rank}}.pt")
"""


@pytest.fixture
def task():
    return LinearFunctional(lambda t: 0.5**t, 10)


def alone(task, steps, **options):
    model = RNN(3, activation="tanh", seed=0, dtype=torch.float64)
    loss = TemporallyWeightedMSE(1)
    found = fit(model, task, loss=loss, steps=steps, device="cpu", **(SETTINGS | options))
    return found, torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    pytest.importorskip("lightning_fabric")
    folder = tmp_path_factory.mktemp("processes")
    (folder / "script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(folder / "script.py"), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    ranks = [torch.load(folder / f"rank{r}.pt", weights_only=True) for r in range(2)]
    return SimpleNamespace(folder=folder, ranks=ranks, shown=done.stderr)


@pytest.mark.slow
def test_two_processes_find_what_one_finds(task, together):
    found, weights = alone(task, 8)
    for rank in together.ranks:
        torch.testing.assert_close(rank["weights"], weights, **SAME)
        assert rank["loss"] == pytest.approx(found.loss, rel=1e-10)
        for column in ("step", "training_loss", "validation_loss", "learning_rate"):
            expected = found.history[column].tolist()
            assert rank["history"][column] == pytest.approx(expected, rel=1e-10, nan_ok=True)
    assert torch.equal(together.ranks[0]["weights"], together.ranks[1]["weights"])


def test_labels_count_alike_in_whichever_process(together):
    """Those of a batch are not shared evenly: the mean is one over all of them."""
    model = RNN(3, output_size=4, activation="tanh", seed=0, dtype=torch.float64)
    found = fit(model, ragged(), loss=TemporallyWeightedCrossEntropy(2), device="cpu", **RAGGED)
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    for rank in together.ranks:
        torch.testing.assert_close(rank["in_labels"]["weights"], weights, **SAME)
        for column in ("training_loss", "validation_loss"):
            expected = found.history[column].tolist()
            assert rank["in_labels"]["history"][column] == pytest.approx(expected, rel=1e-10, nan_ok=True)


def test_each_takes_its_share_of_every_batch(together):
    # four steps between two validations, in both calls; before them the model is tried on four sequences
    for rank in together.ranks:
        assert [size for size in rank["sizes"] if size != -4] == 2 * [-6, *[4] * 4, -6]


def test_epochs_and_metrics_are_those_of_one_process(task, together):
    data, tests, unseen = (
        task.sample(size, seed=seed, dtype=torch.float64) for size, seed in ((24, 7), (10, 8), (12, 9))
    )
    model = RNN(3, activation="tanh", seed=0, dtype=torch.float64)
    options = EPOCHS | {"epochs": 2, "metric": "rmse", "device": "cpu"}
    found = fit(model, data, test=tests, validation=unseen, **options)
    for rank in together.ranks:
        seen = rank["in_epochs"]
        assert (seen["score"], seen["test"]) == pytest.approx((found.score, found.test), rel=1e-10)
        torch.testing.assert_close(
            seen["weights"], torch.cat([p.detach().flatten() for p in model.parameters()])
        )
    log = pd.read_csv(together.folder / "run.csv")
    assert log.step.tolist() == found.history.step.tolist() == [0, 2, 4, 6]


def test_only_the_first_writes_and_shows_progress(together):
    assert [rank["written"] for rank in together.ranks] == [3, 0]
    begun = [line.split("|")[-1] for line in together.shown.splitlines() if line.endswith("?it/s]")]
    assert begun == [" 0/4 [00:00<?, ?it/s]", " 4/8 [00:00<?, ?it/s]"]  # one bar for each call


def test_one_process_goes_on_where_two_have_stopped(task, together):
    found, weights = alone(task, 12)
    resumed, same = alone(task, 12, checkpoint=together.folder / "run.pt")
    torch.testing.assert_close(same, weights, **SAME)
    assert resumed.loss == pytest.approx(found.loss, rel=1e-10)
    assert resumed.history.step.tolist() == found.history.step.tolist() == [0, 4, 8, 12]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_precision_of_a_fabric_is_honoured(task, precision):
    fabric = pytest.importorskip("lightning_fabric").Fabric(accelerator="cpu", devices=1, precision=precision)
    seen = set()

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.readout = nn.Linear(1, 1)

        def forward(self, x):
            seen.add((self.training, self.readout(x).dtype))
            return self.readout(x)

    model = Watched()
    fit(model, task, steps=2, fabric=fabric, **SETTINGS)
    dtype = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}[precision]
    seen -= {(False, torch.float32)}  # the model is tried as it is
    assert seen == {(True, dtype), (False, dtype)} - {(False, torch.float32)}
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("layer", [RNN, SSM, S4D, LSTM])
def test_layers_train_with_short_weights(task, layer):
    fabric = pytest.importorskip("lightning_fabric").Fabric(
        accelerator="cpu", devices=1, precision="bf16-true"
    )
    model = layer(1 if layer is S4D else 4, seed=0)
    found = fit(model, task, steps=2, fabric=fabric, **SETTINGS)
    assert found.status == "finished"
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_the_shares_are_the_whole():
    batch = torch.arange(6), torch.arange(6, 12)
    shares = []
    for rank in range(3):
        fabric = SimpleNamespace(device="cpu", world_size=3, global_rank=rank, is_global_zero=not rank)
        shares.append(ManyProcesses(fabric, batch_size=6).share(batch))
    for whole, parts in zip(batch, zip(*shares, strict=True), strict=True):
        assert torch.equal(torch.cat(parts), whole)
    assert OneProcess(torch.device("cpu")).share(batch) is batch


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 9}, "batch_size must be a multiple of 2 processes, got 9"),
        ({"validation_size": 7}, "validation_size must be a multiple of 2 processes, got 7"),
        ({"device": "cpu"}, "device must be left to the fabric, got 'cpu'"),
    ],
)
def test_bad_input_is_refused(task, options, message):
    fabric = SimpleNamespace(device="cpu", world_size=2, global_rank=0, is_global_zero=True)
    with pytest.raises(ValueError, match=message):
        fit(RNN(2, seed=0), task, steps=1, fabric=fabric, **(SETTINGS | options))
