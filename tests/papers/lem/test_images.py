"""What the figures of sMNIST, psMNIST, noisy CIFAR-10 share: sizes, numbers, words, runs that go on."""

import hashlib
import json
import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch

mpl.use("agg")

from curse_of_memory.papers.lem import _comparison, _images, noisy_cifar10, psmnist, smnist
from curse_of_memory.papers.lem._comparison import ACCURACY, run, selected
from curse_of_memory.papers.lem._comparison_report import reduced
from curse_of_memory.papers.lem._equal_weights import number_of_weights
from curse_of_memory.papers.lem._models import MODELS, made
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import NoisyImages, UnitImages
from curse_of_memory.tools.run_notes import KEEP_IN
from curse_of_memory.training import fit, kept_runs, own_checkpoints
from tests.papers.lem.image_figures import TINY, presets

FIGURES = {"smnist": smnist, "psmnist": psmnist, "noisy_cifar10": noisy_cifar10}
DATA = {"smnist": "mnist", "psmnist": "mnist", "noisy_cifar10": "cifar10"}


@pytest.fixture(scope="module", params=FIGURES)
def made_of_stand_ins(request):
    small = {"horizon": 40} if request.param == "noisy_cifar10" else {"averaged": 7}
    return request.param, FIGURES[request.param].data(data="stand-in", **small, **TINY)


def test_stand_ins_are_beside_chance_alone_and_said_to_be_stand_ins(made_of_stand_ins):
    name, data = made_of_stand_ins
    assert "stand-in" in data.title
    assert "Reduced scale, sizes of the public code in brackets: 20 images for training (" in data.message
    assert data.paper == {}
    assert data.printed.model.tolist() == ["LEM", "GRU", "chance"]
    assert selected(data.table)[["model", "seed"]].values.tolist() == [
        ["LEM", 0], ["LEM", 1], ["GRU", 0], ["GRU", 1],
    ]  # fmt: skip
    figure = FIGURES[name].plot(data)
    above = figure.get_suptitle()
    assert "Reduced scale" in above
    assert "Stand-in data" in above
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["LEM", "GRU", "chance"]


def test_the_presets_are_the_recipes_of_the_public_code():
    steps = {"smnist": 0.21, "psmnist": 0.31, "noisy_cifar10": 0.44}
    rates = {"smnist": 0.0018, "psmnist": 0.0073, "noisy_cifar10": 0.00322}
    norms = {"smnist": 1.0, "psmnist": 1.1}
    for name in FIGURES:
        preset = presets()[name]
        assert reduced(preset, _images.OFFICIAL[name], _images.WORDS) == ""
        assert (preset["dt"], preset["learning_rate"]) == (steps[name], rates[name])
        assert preset["falls"] == [100]
        assert preset.get("clip") == norms.get(name)
        assert "clip" not in presets()["noisy_cifar10"]
    smaller = presets()["noisy_cifar10"] | {"train_images": 9600}
    said = reduced(smaller, _images.OFFICIAL["noisy_cifar10"], _images.WORDS)
    assert said.endswith("in brackets: 9600 images for training (48 000)")


@pytest.mark.parametrize(("name", "channels", "weights"), [
    ("smnist", 1, 68_362), ("psmnist", 1, 68_362), ("noisy_cifar10", 96, 117_002),
])  # fmt: skip
def test_at_full_scale_models_have_the_published_number_of_weights_or_nearly(name, channels, weights):
    """4h(m + h) + 8h of the cell and o(h + 1) of the readout."""
    preset = presets()[name]
    sizes: dict[str, Any] = {
        "dt": preset["dt"],
        "memory": 784,
        "seed": 0,
        "input_size": channels,
        "output_size": 10,
    }
    counts = {model: number_of_weights(made(model, preset["width"], **sizes)) for model in MODELS}
    assert counts["LEM"] == counts["LSTM"] == counts["chrono LSTM"] == weights
    assert all(abs(count / weights - 1) < 0.01 for count in counts.values())


def test_the_tables_of_published_numbers_agree_with_the_logs():
    """The log's last line is the test value; the README rounds it."""
    results = reference("lem/image_results")
    logged = results[results.source == _images.LOG].set_index(["experiment", "model"]).test_accuracy_percent
    rounded = results[results.source == _images.README].set_index(["experiment", "model"])
    assert set(logged.index) < set(rounded.index)
    off = (logged - rounded.test_accuracy_percent.reindex(logged.index)).abs()
    assert (off <= 0.05 + 1e-9).all()
    logs = reference("lem/image_logs")
    lem = logs[logs.model == "LEM"].set_index(["experiment", "epoch"]).valid_accuracy_percent
    best = {name: (lem[name].max(), int(lem[name].idxmax()), len(lem[name])) for name in FIGURES}
    assert best == {
        "smnist": (99.43, 117, 120), "psmnist": (96.77, 119, 120), "noisy_cifar10": (63.15, 103, 120),
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["psmnist", "noisy_cifar10"])
def test_a_run_killed_within_an_epoch_goes_on_to_the_identical_result(name, tmp_path):
    if name == "psmnist":
        parts = [
            UnitImages(s, permuted=True, averaged=7, size=24, data="stand-in") for s in ("train", "test")
        ]
    else:
        parts = [NoisyImages(s, horizon=40, size=24, data="stand-in") for s in ("train", "test")]
    train, unseen = parts
    stop_at = 11  # of 6 updates in each of 3 epochs: the last but one of the second
    file = tmp_path / "run.pt"
    options: dict[str, Any] = {"loss": torch.nn.CrossEntropyLoss(), "validation": unseen, "test": unseen}
    options |= {"epochs": 3, "batch_size": 4, "metric": "accuracy", "schedule": [1], "evaluation_size": 7}
    options |= {"clip": 1.1 if name == "psmnist" else math.inf, "device": "cpu", "seed": 5}

    def model():
        sizes: dict[str, Any] = {"input_size": train.input_size, "output_size": 10, "pooling": "last"}
        return made("LEM", 4, dt=0.4, memory=40, seed=1, **sizes)

    class Killed(Exception):  # noqa: N818  (a kill is no error)
        pass

    class Ends(torch.nn.CrossEntropyLoss):
        """Ends the process, as far as a test can, at one update."""

        calls = 0

        def forward(self, answers, targets):
            self.calls += answers.requires_grad
            if self.calls == stop_at:
                raise Killed
            return super().forward(answers, targets)

        def __repr__(self):
            return "CrossEntropyLoss()"

    whole_model, again_model = model(), model()
    whole = fit(whole_model, train, **options)
    killed: dict[str, Any] = options | {"loss": Ends()}
    with pytest.raises(Killed):
        fit(model(), train, **killed, checkpoint=file, checkpoint_every=2)
    assert file.exists()
    again = fit(again_model, train, **options, checkpoint=file, checkpoint_every=2)
    pd.testing.assert_frame_equal(again.history, whole.history, check_exact=True)
    for one, other in zip(whole_model.parameters(), again_model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert np.isfinite(whole.history.training_loss[1:]).all()


@pytest.mark.slow
def test_in_a_batch_a_run_killed_within_an_epoch_goes_on_from_there(tmp_path, monkeypatch):
    parts = [
        NoisyImages(split, horizon=40, size=size, data="stand-in")
        for split, size in (("train", 24), ("validation", 8), ("test", 8))
    ]
    settings: dict[str, Any] = {"width": 4, "dt": 0.4, "memory": 40, "batch_size": 4, "epochs": 3}
    settings |= {"learning_rate": 0.01, "device": "cpu"}

    def trained() -> pd.DataFrame:
        return run("LEM", 0, (parts[0], parts[1], parts[2]), 10, ACCURACY, **settings)

    whole = trained()
    files = {file.relative_to(kept_runs.PACKAGE).as_posix(): file for file in kept_runs.PACKAGE.rglob("*.py")}
    package = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    (tmp_path / "made_from.json").write_text(json.dumps({"package": package}))
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setenv(KEEP_IN, str(tmp_path))
    monkeypatch.setattr(own_checkpoints, "WRITE_EVERY", 0.0)
    monkeypatch.setattr(_comparison, "CHECKPOINT_EVERY", 2)
    updates, dies_at = [], [11]  # of 18: the last but one of the second epoch
    error = torch.nn.functional.cross_entropy

    def counted(answers, *arguments, **options):
        if answers.requires_grad:
            updates.append(1)
            if len(updates) == dies_at[0]:
                raise KeyboardInterrupt
        return error(answers, *arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", counted)
    kept_runs.kept_runs.cache_clear()
    try:
        with pytest.raises(KeyboardInterrupt):
            trained()
        dies_at[0] = 0
        updates.clear()
        kept_runs.kept_runs.cache_clear()
        pd.testing.assert_frame_equal(trained(), whole, check_exact=True)
        assert len(updates) == 18 - 10
    finally:
        kept_runs.kept_runs.cache_clear()
