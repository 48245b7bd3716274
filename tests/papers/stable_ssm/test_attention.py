"""Attention as a target: what is measured is what is expected, and models have their order."""

import matplotlib as mpl
import numpy as np
import pytest
import torch
from scipy.stats import norm

mpl.use("agg")

from curse_of_memory.nn import CausalSelfAttention
from curse_of_memory.papers.stable_ssm import attention as figure
from curse_of_memory.tasks import AttentionApproximation
from curse_of_memory.theory.lemmas import attention_memory
from curse_of_memory.theory.lemmas.attention_memory import expected_errors, no_projection


def test_two_pasts_of_one_present_measure_what_takes_memory():
    exact = expected_errors([5], no_projection(1)).memoryless[0]
    runs = [figure._between_pasts(1, 5, False, i, torch.device("cpu")) for i in range(20)]
    assert abs(np.mean(runs) - exact) < 5 * np.std(runs) / np.sqrt(20)


def test_the_best_linear_predictor_of_two_inputs():
    xi = np.linspace(-9, 9, 361)
    chance = 0.05 * norm.pdf(xi)
    past, present = np.meshgrid(xi, xi, indexing="ij")
    y = (past - present) / (1 + np.exp(present * (present - past))) + present
    slopes = [chance @ (y * x) @ chance for x in (past, present)]
    exact = chance @ y**2 @ chance - np.square(slopes).sum()
    draws = 50_000
    x, y = AttentionApproximation(1, 2).sample(draws, seed=0, dtype=torch.float64)
    squares = (figure._linear(x, y) - y).square()
    assert squares[:, 0].max() < 1e-20
    assert abs(squares[:, 1].mean() - exact) < 5 * squares[:, 1].std() / np.sqrt(draws)


@pytest.mark.parametrize(("heads", "projected"), [(1, False), (1, True), (3, True)])
def test_our_attention_layer_can_be_the_target(heads, projected):
    task = AttentionApproximation(6, 40, heads=heads, projected=projected, seed=1)
    layer = CausalSelfAttention(6, heads, dtype=torch.float64)
    identity = np.eye(7, 6)  # the last row is the bias
    maps = np.stack([identity] * 3) if task.projection is None else task.projection
    with torch.no_grad():
        layer.project.weight.copy_(torch.from_numpy(np.concatenate(maps[:, :-1], axis=1).T))
        layer.project.bias.copy_(torch.from_numpy(maps[:, -1].ravel()))
        layer.out.weight.copy_(torch.eye(6))
        layer.out.bias.zero_()
        x, y = task.sample(4, seed=0, dtype=torch.float64)
        torch.testing.assert_close(layer(x), y, rtol=1e-12, atol=1e-12)


@pytest.fixture(scope="module", autouse=True)
def _few_points():
    """Of what is only drawn: expected errors on the three tasks, those of many channels being means."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figure, "REACH", [*figure.PAIRED, 1000, 100_000])
        patch.setattr(attention_memory, "PRESENTS", 16)
        yield


@pytest.fixture(scope="module")
def data():
    return figure.data(
        parameterizations=("direct",), layers=(1, 2), steps=200, samples=512, seeds=2, device="cpu"
    )


def test_a_layer_learns_degree_one_two_do_better_and_attention_learns_it(data):
    left = figure.left_by_models(data.table)
    degree_one = data.headline["left of it, degree 1, theory"]
    assert left.index.tolist() == [0, 1]
    assert np.all(np.abs(left["direct", 1] / degree_one - 1) < 0.2)
    assert np.all(left["direct", 2] < 0.8 * left["direct", 1])
    assert np.all(left[figure.ATTENTION, 1] < 0.1)


def test_measured_baselines_are_the_expected_ones(data):
    """Means over 512 · 32 dependent steps, to a few per cent."""
    training = data.table[data.table.panel == "training"].groupby("predictor").error.mean()
    expected = data.table[data.table.panel == "theory"].groupby("predictor").error.mean()
    assert training["limit"] == pytest.approx(expected["limit"], rel=0.1)
    assert expected["degree 1"] < training["linear"] < expected["memoryless"]


def test_numbers_over_seeds_have_their_range_and_no_paper(data):
    assert data.paper == {}
    assert set(data.spread) == {label for label in data.headline if "layer" in label}
    for label, spread in data.spread.items():
        assert spread.runs == 2
        assert spread.low <= data.headline[label] <= spread.high
    assert "share that takes memory at step 64, 64 channels, projected" in data.headline


def test_pictures_are_drawn(data):
    tasks, by_step, by_depth = figure.plot(data).axes
    assert tasks.get_xscale() == tasks.get_yscale() == by_step.get_yscale() == "log"
    assert by_step.get_ylim() == by_depth.get_ylim()
    assert [t.get_text() for t in by_depth.get_xticklabels()] == ["1 layer", "2 layers", "attention"]


def test_other_tasks_and_a_single_seed(monkeypatch):
    monkeypatch.setattr(figure, "CASES", {"few": (2, True)})
    few = figure.data(
        channels=2, projected=True, parameterizations=("best",), layers=(1,), width=2, states=2, horizon=5,
        steps=2, batch_size=2, samples=3, seeds=1, seed=4, device="cpu",
    )  # fmt: skip
    assert few.spread == {}
    assert few.table.seed.dropna().unique().tolist() == [4]
    figure.plot(few)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="seeds must be at least 1"):
        figure.data(seeds=0)
