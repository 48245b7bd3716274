"""The figure of heart rates: both divisions, errors in beats a minute, lines, and whose numbers are where."""

import functools
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from curse_of_memory.papers.lem import heart_rate as figure
from curse_of_memory.papers.lem._comparison_report import reduced
from curse_of_memory.report.long_table import rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import HeartRate, available, heart_rate
from curse_of_memory.tasks.heart_windows import constant_error, nearest_error, patient_mean_error

SMALL: dict[str, Any] = {"models": ("LEM", "LSTM"), "samples": 80, "averaged": 8, "train": 12}
SMALL |= {"validation": 6, "test": 6, "width": 2, "batch_size": 6, "epochs": 1, "falls": (1,), "seeds": 2}
SMALL |= {"device": "cpu"}
SOURCES = [
    pytest.param("real", marks=pytest.mark.skipif(not available("bidmc"), reason="no files of bidmc here")),
    "stand-in",
]


@pytest.fixture(scope="module", autouse=True)
def _read_once():
    """Recordings are read, and made, once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("read_recordings", "made_recordings"):
            patch.setattr(heart_rate, name, functools.cache(getattr(heart_rate, name)))
        yield


@pytest.fixture(scope="module")
def hearts():
    return figure.data(data="stand-in", **SMALL)


@pytest.fixture
def asked(monkeypatch):
    """What is trained on, in turn; every training says 0.5 and then 0.25 at its best validation."""
    asked = []

    def compared(splits, *, models, seeds, **settings):
        asked.append((splits, settings))
        numbers = [(model, seed, epoch) for model in models for seed in range(seeds) for epoch in (0, 1)]
        table = pd.DataFrame(numbers, columns=["model", "seed", "epoch"])
        table["validation"] = table["test"] = 0.5 / (1 + table.epoch)
        return table.assign(weights=7, status="finished")

    monkeypatch.setattr(figure, "compared", compared)
    return asked


def test_every_training_is_in_the_table_with_either_division(hearts):
    for division in ("official", "patients"):
        own = rows(hearts.table, division=division)
        begun = own.loc[own.epoch == 0]
        assert begun[["model", "seed"]].values.tolist() == [[m, s] for m in ("LEM", "LSTM") for s in (0, 1)]
        assert own.epoch.max() == 1
    spread = hearts.spread["patients apart: LEM: test error (bpm)"]
    assert spread.runs == 2
    assert hearts.headline["patients apart: LEM: test error (bpm)"] == pytest.approx(
        (spread.low + spread.high) / 2
    )
    names = ["LEM", "LSTM", "one constant", "mean of the patient", "nearest training window"]
    assert hearts.printed.model.tolist() == [*names, "LEM", "LSTM", "one constant"]
    assert hearts.printed.weights[0] == str(4 * 2 * (2 + 2) + 8 * 2 + 3)  # 4h(m + h) + 8h and the readout


@pytest.mark.parametrize("normalised", [True, False])
def test_errors_are_in_beats_a_minute_whatever_models_are_shown(normalised, asked):
    data = figure.data(data="stand-in", **SMALL, normalised=normalised)
    task = HeartRate(samples=80, averaged=8, normalised=normalised, data="stand-in")
    for division, (splits, settings) in zip(("official", "patients"), asked, strict=True):
        raw = task.divided(division).splits(12, 6, 6)
        mean, scale = (raw.train.targets.mean(), raw.train.targets.std()) if normalised else (0.0, 1.0)
        for shown, of in zip(splits, raw, strict=True):
            assert torch.equal(shown.inputs, of.inputs)
            torch.testing.assert_close(shown.targets * scale + mean, of.targets)
        own = rows(data.table, division=division)
        np.testing.assert_allclose(own.validation[own.epoch == 1], 0.25 * float(scale), rtol=1e-6)
        assert data.headline[f"{figure.TITLES[division]}: LEM: test error (bpm)"] == pytest.approx(
            0.25 * float(scale)
        )
        assert settings["memory"] == 10
    assert asked[0][0].train.inputs.shape == (12, 10, 2)


@pytest.mark.parametrize("source", SOURCES)
def test_what_reads_no_wave_is_of_all_test_windows(source, asked):
    data = figure.data(data=source, **SMALL)
    task = HeartRate(samples=80, data=source)
    known = data.table.loc[data.table.seed.isna()].set_index(["division", "model"]).test
    exact = [error(task.windows) for error in (constant_error, patient_mean_error, nearest_error)]
    assert known["official"].tolist() == exact
    assert known["patients"].tolist() == 3 * [constant_error(task.divided("patients").windows)]
    if source == "real":
        assert [round(error, 2) for error in exact] == [12.98, 2.70, 1.86]


@pytest.mark.parametrize("source", SOURCES)
def test_published_numbers_stand_beside_the_official_division_of_real_data_alone(source, asked):
    data = figure.data(data=source, **SMALL)
    drawn = figure.plot(data)
    labels = {text.get_text() for text in drawn.legends[0].get_texts()}
    published = {figure.LOG, f"{figure.LOG} (full scale)"}
    assert data.printed is not None
    beside = dict(zip(data.printed.model, data.printed.division, strict=True))
    assert "in brackets: 12 training windows (5565), 10 steps (4000), " in drawn.get_suptitle()
    lines = [sum(line.get_linestyle() == "-" for line in axis.lines) for axis in drawn.axes[1:]]
    if source == "real":
        assert data.paper == {"official division: LEM: test error (bpm)": 0.8539}
        assert published <= labels
        assert beside[figure.LOG] == beside[figure.README] == "official division"
        assert lines[0] == lines[1] + 1
    else:
        assert data.paper == {}
        assert data.title == "Heart rate from pulse waves (stand-in data)"
        assert "in place of the BIDMC recordings" in drawn.get_suptitle()
        assert not published & labels
        assert not {figure.LOG, figure.README} & set(beside)
        assert lines[0] == lines[1]


def test_at_the_official_sizes_nothing_is_reduced():
    assert reduced(figure.OFFICIAL, figure.OFFICIAL, figure.WORDS) == ""
    smaller = figure.OFFICIAL | {"width": 16}
    assert reduced(smaller, figure.OFFICIAL, figure.WORDS).endswith("in brackets: 16 units (128)")


def test_the_log_is_that_of_the_public_code():
    log = reference("lem/heart_rate_log").set_index("epoch").valid_rmse
    assert log.index.tolist() == list(range(1, 501))
    assert (log[1], log.min(), log.idxmin(), log[500]) == (48.6654, 0.8681, 389, 1.8705)
    assert figure.PUBLISHED[figure.LOG] == 0.8539


def test_the_picture_has_all_trainings_of_both_divisions(hearts):
    drawn = figure.plot(hearts)
    labels = {text.get_text() for text in drawn.legends[0].get_texts()}
    assert labels == {"LEM", "LSTM", "one constant", "mean of the patient", "nearest training window"}
    for axis in drawn.axes[1:]:
        marks = sum(np.size(line.get_xdata()) for line in axis.lines if str(line.get_marker()) in "Dos^")
        assert marks == 4
