"""The figure of EigenWorms: steps, lines, and published numbers that stand beside EigenWorms alone."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from curse_of_memory.papers.lem import eigenworms as figure
from curse_of_memory.papers.lem._equal_weights import number_of_weights
from curse_of_memory.papers.lem._models import MODELS, made
from curse_of_memory.tasks import Batch
from curse_of_memory.tasks.eigenworms import STEPS, EigenWorms
from curse_of_memory.tasks.sampling import Splits

SMALL: dict[str, Any] = {"horizon": 20, "width": 2, "batch_size": 40, "epochs": 1, "seeds": 2}
SMALL |= {"baseline_seeds": 1, "device": "cpu"}


class Whole:
    """EigenWorms as far as the figure asks: few and short series that count as all of them."""

    stand_in, stand_in_is_real, output_size = "", False, 5

    def __init__(self, division="official", *, horizon=None, data="real"):
        self.division, self.horizon = division, horizon
        draws = torch.Generator().manual_seed(0)
        x, y = torch.randn(15, 12, 6, generator=draws), torch.arange(15) % 5
        self.splits = Splits(*(Batch(x[k : k + 5], y[k : k + 5]) for k in (0, 5, 10)))

    def largest_class(self):
        return 0.2


@pytest.fixture(scope="module")
def worms():
    return figure.data(data="stand-in", **SMALL)


def test_every_training_is_in_the_table_and_the_largest_class_beside_it(worms):
    ends = worms.table.loc[worms.table.epoch == 0].groupby("model").seed.apply(list).to_dict()
    assert ends == {"LEM": [0, 1], figure.OFFICIAL_STEP: [0, 1]} | {name: [0] for name in MODELS[1:]}
    lines = worms.table.loc[worms.table.epoch.isna()]
    task = EigenWorms(data="stand-in")
    assert lines.model.tolist() == [figure.LARGEST]
    assert lines.test.tolist() == [task.largest_class()]
    assert worms.printed is not None
    assert worms.printed.model.tolist() == [*MODELS, figure.OFFICIAL_STEP, figure.LARGEST]
    assert worms.printed.weights[0] == str(4 * 2 * (1 + 2) + 8 * 2 + 5 * 3)  # 4h(m + h) + 8h and the readout
    spread = worms.spread["LEM: test accuracy (%)"]
    assert spread.runs == 2
    assert worms.headline["LEM: test accuracy (%)"] == pytest.approx((spread.low + spread.high) / 2)


def test_of_the_official_size_lem_has_as_many_weights_as_the_public_code():
    """4h(m + h) + 8h of the cell and o(h + 1) of the readout, for h 32, m 6, o 5."""
    model = made("LEM", 32, dt=0.00017, memory=9, seed=0, input_size=6, output_size=5, pooling="last")
    assert number_of_weights(model) == 5285


def test_a_stand_in_is_said_everywhere_and_published_numbers_are_not(worms):
    assert worms.title == "EigenWorms (stand-in data)"
    assert worms.message.startswith("Stand-in data, crawling worms of a generator, in place of EigenWorms.")
    assert not worms.stand_in_is_real
    assert worms.paper == {}
    drawn = figure.plot(worms)
    assert "in place of EigenWorms" in drawn.get_suptitle()
    labels = {text.get_text() for text in drawn.legends[0].get_texts()}
    assert labels == {*MODELS, figure.OFFICIAL_STEP, figure.LARGEST}


@pytest.fixture
def asked(monkeypatch):
    """What is asked for is noted, and every training of LEM says 50 %, every other 20 %."""
    asked = []

    def compared(splits, *, models=MODELS, **settings):
        asked.append(settings | {"models": list(models)})
        rows = [
            {"model": name, "seed": k, "epoch": e, "validation": 0.5, "test": 0.5 if name == "LEM" else 0.2}
            for name in models
            for k in range(2)
            for e in range(51)
        ]
        return pd.DataFrame(rows).assign(weights=7, status="finished")

    monkeypatch.setattr(figure, "EigenWorms", Whole)
    monkeypatch.setattr(figure, "compared", compared)
    return asked


def test_shorter_series_take_the_same_time_and_the_whole_ones_the_official_step(asked):
    figure.data(**SMALL)
    every, official = asked
    assert every["dt"] * 20 == pytest.approx(0.00017 * 17_984)
    assert (official["dt"], official["models"]) == (0.00017, ["LEM"])
    assert every["models"] == list(MODELS)
    asked.clear()
    figure.data(**SMALL | dict[str, Any](horizon=STEPS))
    (only,) = asked
    assert only["dt"] == 0.00017


@pytest.mark.parametrize("division", ["official", "archive"])
def test_published_numbers_stand_beside_the_official_test_series_alone(asked, division):
    found = figure.data(**SMALL | {"horizon": STEPS, "division": division})
    assert found.printed is not None
    drawn = figure.plot(found)
    labels = {text.get_text() for text in drawn.legends[0].get_texts()}
    logs = {"log of LEM", "log of UnICORNN"}
    if division == "archive":
        assert found.paper == {}
        assert found.printed.model.tolist() == [*MODELS, figure.LARGEST]
        assert not labels & (logs | set(figure.PUBLISHED))
        return
    assert found.paper == {"LEM: test accuracy (%)": pytest.approx(92.3)}
    assert found.printed.test.tolist()[-4:] == ["20.0 %", "92.3 %", "97.4 %", "94.9 %"]
    assert labels >= logs | set(figure.PUBLISHED)
    curves = {line.get_label(): line for line in drawn.axes[0].lines}
    assert [len(np.asarray(curves[log].get_xdata())) for log in sorted(logs)] == [50, 50]
    lines = [line for line in drawn.axes[1].lines if line.get_label() in figure.PUBLISHED]
    heights = {float(np.asarray(line.get_ydata())[0]) for line in lines}
    assert heights == {100 * value for value in figure.PUBLISHED.values()}


def test_the_log_is_of_39_series_and_first_at_its_best_after_8_epochs():
    logs = figure._logs(250)
    lem = logs.loc[logs.log == "LEM"].set_index("epoch").validation
    counts = 39 * lem
    np.testing.assert_allclose(counts, counts.round(), atol=1e-3)
    assert (len(lem), lem.idxmax()) == (50, 8)
    assert lem.max() == pytest.approx(36 / 39, abs=1e-6)
    assert logs.loc[logs.log == "UnICORNN", "epoch"].max() == 250
    assert figure._logs(20).epoch.max() == 20


def test_a_time_step_that_is_too_large_for_short_series_is_refused_by_its_own_number():
    with pytest.raises(ValueError, match=r"dt must be at most 0\.00111, 1 for 17984 steps, got 0\.002"):
        figure.data(data="stand-in", dt=0.002, **SMALL)
