"""Language models: gradients stay within their bound, best has the smallest ratio, and starts are shared."""

import math

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch

mpl.use("agg")

from curse_of_memory.experiments.language_models import word_s4d
from curse_of_memory.nn import S4D
from curse_of_memory.papers.stable_ssm import language_model as figure
from curse_of_memory.papers.stable_ssm._ratios import typical_ratios
from curse_of_memory.tasks import available

SMALL = {"vocabulary": 12, "width": 8, "states": 8, "layers": 2, "sequence_length": 30, "device": "cpu"}


@pytest.fixture(scope="module")
def data(text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figure, "WikiText2", text)
        return figure.data(steps=20, batch_size=8, data="real", **SMALL)


def test_every_training_is_in_the_table(data):
    training = data.table[data.table.panel == "training"]
    runs = training.groupby(["parameterization", "learning_rate", "seed"])
    assert len(runs) == 5 * 2 * 3
    assert (runs.step.max() == 20).all()
    assert np.isfinite(training[["ratio", "loss"]]).all(axis=None)


def test_no_gradient_is_above_its_bound(data):
    training, weights = (data.table[data.table.panel == panel] for panel in ("training", "weights"))
    slack = 1 + 1e-4  # float32 sums of some thousand terms
    assert training.of_bound.between(0, slack).all()
    assert training.of_bound.max() > 1e-3  # they are of the same size
    assert (weights.gradient <= slack * weights.reach).all()
    assert data.headline["a gradient over its bound, at most"] == training.of_bound.max()


def test_best_has_the_smallest_ratio_under_every_seed_and_relu_the_largest(data):
    for rate in (0.001, 0.01):
        typical = typical_ratios(data.table[data.table.learning_rate == rate])
        assert len(typical) == 3
        assert (typical.best < typical.drop(columns="best").min(axis=1)).all()
        assert (typical.relu > 5 * typical.drop(columns="relu").max(axis=1)).all()


def layers_of(model: torch.nn.Module) -> list[S4D]:
    return [module for module in model.modules() if isinstance(module, S4D)]


def test_all_maps_start_from_the_same_modes_and_weights():
    models = {
        name: word_s4d(9, 4, 2, 3, states=6, parameterization=name)
        for name in ("relu", "softplus", "exp", "tanh", "best")
    }
    first = models.pop("relu")
    for model in models.values():
        assert layers_of(first)
        for one, other in zip(layers_of(first), layers_of(model), strict=True):
            # a weight w is rounded to float32, and so are f(w) and e^{f(w)}
            torch.testing.assert_close(one.multipliers()[0], other.multipliers()[0], rtol=1e-5, atol=0)
        for name, weight in model.state_dict().items():
            if "recurrent_weight" not in name:
                assert torch.equal(weight, first.state_dict()[name])


def test_losses_are_compared_under_one_seed(data):
    ends = figure.losses_at_the_end(data.table)
    assert ends.shape == (6, 5)
    gaps = ends.loc[0.01, "relu"] - ends.loc[0.01, "best"]
    label = "loss per word minus that of best (nats), relu, learning rate 0.01"
    assert data.headline[label] == pytest.approx(gaps.mean())
    spread = data.spread[label]
    assert (spread.low, spread.high, spread.runs) == (gaps.min(), gaps.max(), 3)


def test_the_papers_differences_are_those_of_its_losses():
    found = figure.quoted_differences("best")
    expected = {"exp": -0.25, "softplus": -0.05, "relu": 0.15, "tanh": 0.35}
    assert found.loc[0.001].to_dict() == pytest.approx(expected)
    assert set(found.index.get_level_values("learning_rate")) == {0.001}
    assert figure.quoted_differences("inverse").empty


def test_paper_stands_beside_ours(data):
    assert data.paper["typical max |gradient|/|weight|, best, learning rate 0.01"] == "0.0025"
    assert data.paper["loss per word (nats), best, learning rate 0.01"] == 3.1
    assert data.paper["loss per word minus that of best (nats), tanh, learning rate 0.001"] == 0.35
    assert set(data.paper) <= set(data.headline)


def test_words_alone_cost_their_entropy(data):
    unigram = data.headline["loss per word (nats), word frequencies alone"]
    share = 1 / np.arange(1, 13)
    entropy = -(share / share.sum() * np.log(share / share.sum())).sum()
    # 4000 words, whose logarithms scatter by less than one nat
    assert unigram == pytest.approx(entropy, abs=5 / math.sqrt(4000))


def test_pictures_name_their_axes(data, monkeypatch, text):
    ratios, weights, losses = figure.plot(data).axes
    assert ratios.get_yscale() == weights.get_xscale() == weights.get_yscale() == "log"
    assert "step" in ratios.get_xlabel()
    assert "nats" in losses.get_ylabel()
    monkeypatch.setattr(figure, "WikiText2", text)
    few = figure.data(
        parameterizations=("direct", "lru"),
        learning_rates=(0.02,),
        steps=2,
        seeds=1,
        batch_size=2,
        data="real",
        **SMALL,
    )
    assert few.paper == {}
    figure.plot(few)


REAL = pytest.param(
    "real", marks=pytest.mark.skipif(not available("wikitext2"), reason="the files of wikitext2 are not here")
)


@pytest.mark.parametrize("source", [REAL, "stand-in"])
def test_on_whole_texts(source):
    data = figure.data(
        parameterizations=("relu", "best"),
        learning_rates=(0.01,),
        steps=20,
        seeds=1,
        data=source,
        device="cpu",
    )
    assert bool(data.paper) == (source == "real")
    picture = figure.plot(data)
    assert picture.get_suptitle() == (f"Stand-in data: {data.stand_in}" if data.stand_in else "")
    drawn = [text.get_text() for axis in picture.axes if axis.legend_ for text in axis.legend_.get_texts()]
    assert ("paper, read off" in drawn) == (source == "real")
    typical = typical_ratios(data.table)
    assert (typical.relu > 5 * typical.best).all()
    assert isinstance(data.table, pd.DataFrame)
    ends = figure.losses_at_the_end(data.table)
    first = data.table[data.table.panel == "training"].groupby("parameterization").loss.first()
    assert (ends.loc[0.01, ["relu", "best"]] < first[["relu", "best"]]).all(axis=None)


def test_one_parameterisation_is_nothing_to_compare():
    with pytest.raises(ValueError, match="parameterizations must be two or more, to compare; got"):
        figure.data(parameterizations=["best"])
