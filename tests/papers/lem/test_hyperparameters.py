"""The table of settings: weights as published, what is kept against closed forms, and presets."""

import math

import numpy as np
import pytest
import torch

from curse_of_memory.gallery.catalogue import read_catalogue
from curse_of_memory.nn import LEM, LSTM
from curse_of_memory.papers.lem import hyperparameters as figure
from curse_of_memory.papers.lem._equal_weights import number_of_weights
from curse_of_memory.report.reference_numbers import reference

SETTINGS = reference("lem/settings").set_index("task")


@pytest.fixture(scope="module")
def found():
    """Of networks that are narrower where they are large or run for long; all else is as published."""
    kept = figure.kept

    def narrower(inputs, width, dt, steps, seed):
        return kept(inputs, min(width, 256 if steps < 500 else 32), dt, steps, seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figure, "kept", narrower)
        return figure.data(seed=3, device="cpu")


@pytest.mark.parametrize(
    ("task", "count"),
    [
        ("FitzHugh-Nagumo", 1233),
        ("EigenWorms", 5285),
        ("adding, T = 2000", 67713),
        ("sMNIST", 68362),
        ("Google12", 109068),
        ("noisy CIFAR-10", 117002),
        # 4 · 256 · (256 + 256) + 4 · 256, an embedding of 10 000 words, tied, and the biases of the answers
        ("Penn Treebank words", 525312 + 2560000 + 10000),
        ("Penn Treebank characters", 5017600 + 50 * 200 + (1024 + 1) * 50),
    ],
)
def test_numbers_of_weights_are_those_of_the_public_models(task, count):
    row = SETTINGS.loc[task]
    assert figure.weights(row.figure, row.inputs, row.width, row.outputs) == count


def test_with_a_readout_they_are_those_of_an_lstm():
    lstm = LSTM(32, input_size=6, output_size=5, seed=0)
    assert figure.weights("eigenworms", 6, 32, 5) == number_of_weights(lstm)


def test_without_recurrent_weights_what_is_kept_is_a_product_of_half_open_gates(monkeypatch):
    """Then y_n = (1 − Δt σ̂(0)) y_{n−1} + …, whatever z is: its goal does not read the old y."""

    class Still(LEM):
        def __init__(self, *sizes, **options):
            super().__init__(*sizes, **options)
            with torch.no_grad():
                for p in self.parameters():
                    p.zero_()

    monkeypatch.setattr(figure, "LEM", Still)
    for dt, steps in ((0.2, 30), (0.01, 2000)):
        # ten times the rounding of so many products
        assert figure.kept(2, 5, dt, steps, 0) == pytest.approx((1 - dt / 2) ** steps, rel=1e-15 * 10 * steps)


def test_what_is_kept_is_a_difference_of_two_runs():
    layer = LEM(6, dt=0.3, input_size=2, output_size=None, pooling="last", seed=5, dtype=torch.float64)
    x = torch.from_numpy(np.random.default_rng(5).standard_normal((1, 12, 2)))
    start, h = torch.zeros(1, 12, dtype=torch.float64), 1e-6
    start[0, :6] = h
    with torch.no_grad():
        ends = [layer.run(x, sign * start).y.sum().item() for sign in (1, -1)]
    # central differences are off by h² of a third derivative, and by the rounding of y over h
    assert figure.kept(2, 6, 0.3, 12, 5) == pytest.approx(abs(ends[0] - ends[1]) / (2 * h) / 6, rel=1e-6)


def test_the_table_says_what_the_message_does(found):
    spans = found.table.drop_duplicates("task").set_index("task").Ndt
    assert (spans.idxmin(), spans.idxmax()) == ("EigenWorms", "FitzHugh-Nagumo")
    assert spans["EigenWorms"] == pytest.approx(17984 * 0.00017)
    assert f"from {spans.min():.3g} (EigenWorms) to 1000 (FitzHugh-Nagumo)" in found.message
    long = found.table.loc[found.table.Ndt > 10]
    rates = -np.log(long.kept) / long.Ndt
    assert 0 < rates.min() < rates.max() < 0.5  # recurrent weights keep more than half open gates
    assert f"to e^(−{rates.max():.2f} N Δt)" in found.message
    assert set(found.headline) == {
        f"{what}, {task}" for what in ("N Δt", "weights") for task in SETTINGS.index
    }


def test_full_scale_has_these_settings():
    """What the presets of the figures say, as far as they stand there, is what the table says."""
    presets = read_catalogue().presets["paper"]
    compared = 0
    for _, row in SETTINGS.iterrows():
        preset = presets.get(f"lem/{row.figure}", {})
        names = {"width": row.width, "dt": row.time_step, "learning_rate": row.learning_rate}
        names |= {"batch_size": row.batch_size, "epochs": row.epochs}
        for name, value in names.items():
            if name in preset and not (isinstance(value, float) and math.isnan(value)):
                assert preset[name] == value, (row.figure, name)
                compared += 1
    assert compared > 5


def test_the_picture_shows_every_task(found):
    drawn = figure.plot(found)
    labels = {text.get_text() for legend in drawn.legends for text in legend.get_texts()}
    assert set(SETTINGS.index) <= labels
    with pytest.raises(ValueError, match="networks must be at least 1"):
        figure.data(networks=0)
