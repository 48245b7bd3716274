"""The figure of the FitzHugh-Nagumo neuron: the stream of the public code, selection, and lines beside it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from curse_of_memory.nn import LEM
from curse_of_memory.papers.lem import _neuron
from curse_of_memory.papers.lem import fitzhugh_nagumo as figure
from curse_of_memory.papers.lem._equal_weights import number_of_weights
from curse_of_memory.tasks import Batch, FitzHughNagumo
from curse_of_memory.tasks.sampling import Splits

SMALL: dict[str, Any] = {"width": 4, "horizon": 40, "train": 6, "validation": 3, "test": 8, "last_batch": 5}
SMALL |= {"batch_size": 4, "epochs": 3, "seeds": 2, "baseline_seeds": 1, "device": "cpu"}
RECIPE: dict[str, Any] = {
    "width": 16,
    "dt": 1.0,
    "batch_size": 32,
    "learning_rate": 0.00904,
    "last_batch": 128,
}


@pytest.fixture(scope="module")
def neuron():
    return figure.data(**SMALL)


def test_with_the_stream_of_the_public_code_its_first_epochs_are_found():
    """By a run of the recipe elsewhere, in torch alone; the official log is within 2 % of them."""
    published = FitzHughNagumo().published(128, 128, 1)
    table = _neuron.run(_neuron.PUBLIC, 1234, published, epochs=5, device="cpu", **RECIPE)
    known = [0.27123, 0.27176, 0.21671, 0.19314, 0.14257]
    np.testing.assert_allclose(table.validation[1:], known, rtol=2e-3)
    log = figure._log().validation[:5]
    np.testing.assert_allclose(table.validation[1:], log, rtol=0.03)


def test_the_public_order_is_that_of_three_loaders_that_draw_from_the_global_generator():
    index = torch.arange(7)
    train = Batch(index[:, None, None].float(), index[:, None, None].float())
    before = torch.get_rng_state()
    model, loader = _neuron.public_start(3, 0.5, train, batch_size=3, epochs=3, seed=8)
    assert torch.equal(torch.get_rng_state(), before)
    ours = []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)  # pyright: ignore[reportAttributeAccessIssue]  (our own sampler)
        ours.append([x.flatten().int().tolist() for x, _ in loader])
    torch.manual_seed(8)
    twin = LEM(3, dt=0.5)
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, other)
    live = [
        DataLoader(TensorDataset(index), batch_size=3, shuffle=shuffled) for shuffled in (True, False, False)
    ]
    for order in ours:
        seen, _, _ = [[part.tolist() for (part,) in one] for one in live]
        assert order == seen


def test_baselines_have_nearly_as_many_weights():
    weights = {name: number_of_weights(_neuron.make(name, 16, 1.0, 0)) for name in _neuron.MODELS}
    assert weights["LEM"] == weights["LSTM"] == weights["chrono LSTM"] == 1233
    assert all(abs(count / 1233 - 1) < 0.04 for count in weights.values())
    gru = 3 * 18 * (18 + 1) + 6 * 18 + 18 + 1, 3 * 19 * (19 + 1) + 6 * 19 + 19 + 1
    assert weights["GRU"] == min(gru, key=lambda count: abs(count - 1233))


def test_errors_are_those_of_the_weights_of_the_best_epoch():
    published = FitzHughNagumo(40).published(6, 3, 300)
    settings = {"width": 4, "dt": 1.0, "batch_size": 4, "learning_rate": 0.01, "last_batch": 5}
    table = _neuron.run("LEM", 3, published, epochs=4, device="cpu", **settings)
    assert table.epoch.tolist() == [0, 1, 2, 3, 4]
    best = table.validation.idxmin()
    assert table.test_last.notna().tolist() == (table.index == best).tolist()
    # the validation series as test series have the error by which the weights were selected
    again = Splits(published.train, published.validation, published.validation)
    table = _neuron.run("LEM", 3, again, epochs=4, device="cpu", **(settings | {"last_batch": 3}))
    assert table.test_all[best] == pytest.approx(table.validation[best], rel=1e-6)
    assert table.test_last[best] == table.test_all[best]


def test_errors_are_root_mean_squares_over_all_series():
    x, y = torch.randn(300, 7, 1), torch.randn(300, 7, 1)
    expected = np.sqrt(np.mean((2 * x.double().numpy() - y.double().numpy()) ** 2))

    class Twice(torch.nn.Linear):
        def forward(self, x):
            assert len(x) <= 128
            return 2 * x

    assert _neuron.root_mean_square(Twice(1, 1), Batch(x, y)) == pytest.approx(expected, rel=1e-6)


def test_every_run_is_in_the_table_and_the_medians_are_of_all_of_one_kind(neuron):
    bests = figure._bests(neuron.table)
    counts = bests.groupby("model").size()
    assert counts.to_dict()["LEM"] == 2
    assert set(counts.drop("LEM")) == {1}
    assert set(counts.index) == {*_neuron.MODELS, _neuron.PUBLIC}
    lem = bests[bests.model.isin(["LEM", _neuron.PUBLIC])]
    assert neuron.headline["LEM: RMSE of all test series"] == np.median(lem.test_all)
    spread = neuron.spread["LEM: RMSE of the last test series"]
    assert (spread.low, spread.high, spread.runs) == (lem.test_last.min(), lem.test_last.max(), 3)


def test_numbers_of_the_log_are_its_own(neuron):
    assert neuron.paper["LEM: best RMSE of the validation series"] == pytest.approx(0.0022839, abs=5e-8)
    assert neuron.paper["LEM: epoch of the best validation"] == 379
    assert neuron.paper["LEM: RMSE of the last test series"] == 0.0023766


def test_lines_are_on_the_same_series(neuron):
    task = FitzHughNagumo(40)
    sets = task.published(6, 3, 8)
    line = neuron.table[neuron.table.epoch.isna()].set_index("model")
    x, y = (part[-5:, :, 0].double().numpy() for part in sets.test)
    assert line.test_last["persistence"] == pytest.approx(np.sqrt(np.mean((x - y) ** 2)), rel=1e-6)
    assert line.test_all["noise floor"] == task.noise_floor(task.published_starts(6, 3, 8)[2])
    assert (line.loc["AR(10)", list(figure.SETS)] < line.loc["persistence", list(figure.SETS)]).all()


def test_the_picture_has_a_curve_for_each_model_and_all_runs(neuron):
    drawn = figure.plot(neuron)
    left, right = drawn.axes
    labels = {text.get_text() for text in drawn.legends[0].get_texts()}
    assert {*_neuron.MODELS, _neuron.PUBLIC, figure.LOG} <= labels
    points = sum(
        np.size(line.get_xdata()) for line in right.lines if line.get_marker() not in ("None", "", None)
    )
    assert points == 2 * (2 + 1 + len(_neuron.MODELS) - 1)
    assert left.get_xscale() == left.get_yscale() == right.get_yscale() == "log"
