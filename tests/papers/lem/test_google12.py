"""Keywords by LEM and others: who is trained, what is known without it, how many clips there are."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from curse_of_memory.papers.lem import google12 as figure
from curse_of_memory.papers.lem._comparison import selected
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import Batch, Keywords
from curse_of_memory.tasks.sampling import Splits

SMALL: dict[str, Any] = {
    "width": 8,
    "batch_size": 10,
    "epochs": 2,
    "falls": (1,),
    "clips_per_class": 6,
    "models": ("LEM", "LSTM"),
    "seeds": 2,
    "other_seeds": 1,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def heard():
    return figure.data(**SMALL, data="stand-in")


def test_every_epoch_of_every_training_is_in_the_table(heard):
    runs = heard.table.dropna(subset="seed").groupby(["model", "seed"]).epoch.apply(list)
    assert list(runs.index) == [("LEM", 0.0), ("LEM", 1.0), ("LSTM", 0.0)]
    assert runs.apply(lambda epochs: epochs == [0, 1, 2]).all()


def test_accuracies_are_shares_of_the_clips_of_a_part(heard):
    task = Keywords(clips_per_class=6, data="stand-in")
    trained = heard.table.dropna(subset="seed")
    for name, part in (("validation", task.splits.validation), ("test", task.splits.test)):
        counts = trained[name].dropna() * len(part.targets)
        np.testing.assert_allclose(counts, counts.round(), atol=1e-5)
    assert heard.headline["clips for test"] == len(task.splits.test.targets)
    ends = selected(heard.table)
    own = 100 * ends.loc[ends.model == "LEM"].test
    assert heard.headline["LEM: test accuracy (%)"] == pytest.approx(own.median())


def test_numbers_of_the_public_code_stand_beside_no_stand_in(heard):
    known = heard.table.loc[heard.table.seed.isna()]
    assert known.model.tolist() == ["one of twelve"]
    assert known.test.tolist() == [1 / 12]
    assert heard.paper == {}
    assert heard.printed.model.tolist() == ["LEM", "LSTM", "one of twelve"]
    drawn = figure.plot(heard)
    assert "Stand-in data: formant sweeps" in drawn.get_suptitle()
    assert heard.data_part == ""


def test_fewer_clips_than_all_are_called_a_reduced_scale(heard):
    real = dataclasses.replace(heard, stand_in="")
    clips = sum(heard.headline[f"clips for {part}"] for part in ("training", "validation", "test"))
    above = figure.plot(real).get_suptitle()
    assert above.startswith(f"Reduced scale, sizes of the public code in brackets: {clips} clips (105 829), ")
    assert "reduced scale" in heard.message


class Whole:
    """What the whole collection is to the figure: mostly unknown clips, in the official division."""

    split, stand_in, part, horizon, output_size = "official", "", "", 126, 12

    def __init__(self, *_, **__):
        draws = torch.Generator().manual_seed(0)
        targets = torch.tensor([0, 0, 0, 2, 11])
        parts = [Batch(torch.randn(5, 126, 80, generator=draws), targets) for _ in range(3)]
        self.splits = Splits(*parts)


def test_of_all_clips_the_log_and_the_readme_of_the_public_code_stand_beside_ours(monkeypatch):
    monkeypatch.setattr(figure, "Keywords", Whole)
    data = figure.data(**SMALL | {"models": ("LEM",), "seeds": 1, "batch_size": 5}, split="official")
    known = data.table.loc[data.table.seed.isna()].set_index("model").test
    assert known.to_dict() == pytest.approx(
        {"one of twelve": 1 / 12, "largest class alone": 0.6, "README of the public code": 0.957}
    )
    assert data.paper == {"LEM: test accuracy (%)": 95.7}
    left, _ = figure.plot(data).axes
    logged = next(line for line in left.lines if line.get_label() == "log of the public code")
    assert len(np.asarray(logged.get_xdata())) == 60
    assert max(np.asarray(logged.get_ydata())) == pytest.approx(95.9)


def test_the_log_is_whole():
    log = reference("lem/google12_log")
    assert log.epoch.tolist() == list(range(1, 61))
    best = log.valid_accuracy_percent.idxmax()
    assert (log.epoch[best], log.valid_accuracy_percent[best]) == (59, 95.9)
