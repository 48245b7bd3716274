"""The steps that LEM learns: shares, quantiles and errors are what they are called."""

from typing import Any

import numpy as np
import pytest
import torch

from curse_of_memory.nn import LEM
from curse_of_memory.papers.lem import learnt_steps as figure
from curse_of_memory.report.long_table import rows
from curse_of_memory.tasks import FitzHughNagumo, Keywords
from curse_of_memory.tasks.fitzhugh_nagumo import persistence_error

SMALL: dict[str, Any] = {
    "scales": (5, 10),
    "watched": 5,
    "span": 2.0,
    "width": 4,
    "train": 6,
    "validation": 3,
}
SMALL |= {"test": 4, "batch_size": 4, "epochs": 2, "seeds": 2, "device": "cpu"}
SMALL |= {
    "keyword_width": 12,
    "keyword_epochs": 8,
    "keyword_batch_size": 8,
    "clips_per_class": 12,
    "data": "stand-in",
}


WHEN = "before", "trained"


@pytest.fixture(scope="module")
def learnt():
    return figure.data(**SMALL)


@pytest.mark.parametrize("state", ["z", "y"])
def test_before_training_steps_are_those_of_the_formula(learnt, state):
    """dt times a logistic function of an affine one of y_{n−1} and x_n, at the initial weights."""
    series = FitzHughNagumo(25, epsilon=1 / 5).published(6, 3, 4).test.inputs
    model = LEM(4, dt=1.0, seed=0)
    official = {name: value.detach() for name, value in model.official_state_dict().items()}
    inputs, hidden, goal = (
        (official[f"{stem}.weight"], official[f"{stem}.bias"]) for stem in stems_of(official, 4)
    )
    y, z, seen = torch.zeros(4, 4), torch.zeros(4, 4), []
    for n in range(25):
        a = series[:, n] @ inputs[0].T + inputs[1]
        b = y @ hidden[0].T + hidden[1]
        of_y = (a[:, :4] + b[:, :4]).sigmoid()
        of_z = (a[:, 4:8] + b[:, 4:8]).sigmoid()
        z = (1 - of_z) * z + of_z * torch.tanh(a[:, 12:] + b[:, 8:])
        y = (1 - of_y) * y + of_y * torch.tanh(a[:, 8:12] + z @ goal[0].T + goal[1])
        seen.append({"y": of_y, "z": of_z}[state])
    values = torch.stack(seen).double().flatten().numpy()
    quantiles = rows(learnt.table, panel="quantiles", curve=f"{state}, before", seed=0)
    np.testing.assert_allclose(quantiles.y, np.quantile(values, [0.001, 0.5, 0.999]), rtol=1e-5)
    shares = rows(learnt.table, panel="steps", curve=f"{state}, before", seed=0)
    expected = np.histogram(values, figure.SHARES)[0] / len(values)
    np.testing.assert_allclose(shares.y, expected, atol=1.01 / len(values))


def stems_of(official, width):
    """Names of the maps of the input, of y and of z, by the shapes of their weights."""
    shapes = {name.removesuffix(".weight"): tuple(w.shape) for name, w in official.items() if w.ndim == 2}
    wanted = ((4 * width, 1), (3 * width, width), (width, width))
    return [next(stem for stem, shape in shapes.items() if shape == one) for one in wanted]


def test_shares_add_up_to_one(learnt):
    shares = rows(learnt.table, panel="steps").groupby(["curve", "seed"]).y.sum()
    assert len(shares) == 8
    np.testing.assert_allclose(shares, 1, rtol=1e-12)


def test_steps_on_keywords_begin_as_those_of_untrained_weights_on_the_test_clips(learnt):
    x = Keywords(clips_per_class=12, data="stand-in").splits.test.inputs
    quantiles = rows(learnt.table, panel="keyword quantiles")
    changed = []
    for seed in (0, 1):
        steps = LEM(12, dt=1.0, input_size=80, seed=seed).steps(x)
        for name in ("z", "y"):
            exact = np.quantile(getattr(steps, name).detach().double(), [0.001, 0.5, 0.999])
            before, after = (rows(quantiles, curve=f"{name}, {when}", seed=seed).y for when in WHEN)
            np.testing.assert_allclose(before, exact, rtol=1e-5)
            changed.append(not np.allclose(after, exact, rtol=1e-3))
    assert any(changed)  # not all, where the best epoch is the first
    shares = rows(learnt.table, panel="keywords").groupby(["curve", "seed"]).y.sum()
    assert len(shares) == 8
    np.testing.assert_allclose(shares, 1, rtol=1e-12)
    assert learnt.stand_in.endswith("in place of Speech Commands")


def test_errors_stand_beside_those_of_the_same_series(learnt):
    errors = rows(learnt.table, panel="error")
    assert len(rows(errors, curve="LEM")) == 4
    for scale, horizon in ((5, 25), (10, 50)):
        task = FitzHughNagumo(horizon, epsilon=1 / scale)
        sets = task.published(6, 3, 4)
        line = rows(errors, x=scale).set_index("curve").y
        assert line["persistence"] == persistence_error(sets.test)
        assert line["noise floor"] == task.noise_floor(task.published_starts(6, 3, 4)[2])
        assert learnt.headline[f"error, epsilon = 1/{scale:g}"] == line["LEM"].median()


def test_the_series_that_is_drawn_is_one_of_the_watched(learnt):
    along = rows(learnt.table, panel="along", seed=0)
    series = FitzHughNagumo(25, epsilon=1 / 5).published(6, 3, 4).test.inputs[0, :, 0]
    v = rows(along, curve="v")
    np.testing.assert_allclose(v.x, 0.4 * np.arange(25), rtol=1e-12)
    np.testing.assert_allclose(v.y, series, rtol=1e-6)
    low, half, high = (rows(along, curve=f"z, {level:g}").y.to_numpy() for level in (0.1, 0.5, 0.9))
    assert ((low > 0) & (low < half) & (half < high) & (high < 1)).all()


def test_training_changes_the_steps(learnt):
    before, after = (
        rows(learnt.table, panel="quantiles", curve=f"z, {when}").y for when in ("before", "trained")
    )
    assert not np.allclose(before, after, rtol=1e-3)


def test_the_picture_has_both_states_before_and_after(learnt):
    left, middle, right, words = figure.plot(learnt).axes
    assert len(left.lines) == len(words.lines) == 4
    assert len(right.lines) == 1 + len(figure.LINES)
    assert len(middle.lines) == 4


def test_what_is_watched_is_one_of_the_ratios():
    wrong: dict[str, Any] = SMALL | {"watched": 3}
    with pytest.raises(ValueError, match=r"watched must be one of scales, got 3"):
        figure.data(**wrong)
