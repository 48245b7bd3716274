"""MNIST by learning rate: what starts growing stays at guessing; the table stands beside the paper's."""

import math

import matplotlib as mpl
import pytest
import torch

mpl.use("agg")

from curse_of_memory.nn import S4D
from curse_of_memory.papers.stable_ssm import _images, mnist
from curse_of_memory.papers.stable_ssm._by_rate import KINDS
from curse_of_memory.papers.stable_ssm._maps import GROWING
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import SequentialImages, available

needs_mnist = pytest.mark.skipif(not available("mnist"), reason="no MNIST files on this machine")
TINY = {"width": 8, "states": 8, "batch_size": 64, "validation_images": 100, "test_images": 100}


@pytest.fixture(scope="module", params=[pytest.param("real", marks=needs_mnist), "stand-in"])
def data(request):
    return mnist.data(
        kinds=(GROWING, "direct", "best"),
        learning_rates=(5e-2, 1.0),
        steps=40,
        seeds=2,
        data=request.param,
        device="cpu",
        **TINY,
    )


def test_a_growing_start_stays_at_guessing_where_a_decaying_one_learns(data):
    loss = data.table.pivot(index=["learning_rate", "seed"], columns="kind", values="loss")
    assert not (loss[GROWING] < 2.0).any()
    assert (loss.loc[0.05, ["direct", "best"]] < 1.9).all(axis=None)


def test_the_stable_map_ends_at_a_learning_rate_that_direct_does_not_bear(data):
    loss = data.table[data.table.learning_rate == 1.0].pivot(index="seed", columns="kind", values="loss")
    assert loss.best.notna().all()
    assert loss.direct.isna().all()


@pytest.mark.parametrize("row_by_row", [True, False])
def test_all_kinds_start_from_the_same_network_but_for_the_sign(row_by_row):
    images = SequentialImages("mnist", "test", row_by_row=row_by_row, size=10, data="stand-in")
    steps = {}
    for kind in KINDS:
        layer = _images._classifier(kind, images, 4, 6, seed=1).blocks[0].mixing
        assert isinstance(layer, S4D)
        assert layer.log_step is not None
        z, _ = layer.multipliers()
        steps[kind] = (layer.dt * layer.log_step.exp()).detach(), z.detach().abs().log()
    duration, decay = steps["direct"]
    assert ((duration > 1e-3 * 784 / images.horizon) & (duration < 1e-1 * 784 / images.horizon)).all()
    rtol, atol = 1e-5, 5e-7  # float32 through a map and its inverse, and log of almost one
    torch.testing.assert_close(decay, (-duration / 2)[:, None].expand_as(decay), rtol=rtol, atol=atol)
    for kind in ("softplus", "exp", "best"):
        torch.testing.assert_close(steps[kind][1], decay, rtol=rtol, atol=atol)
    torch.testing.assert_close(steps[GROWING][1], -decay, rtol=rtol, atol=atol)


def test_printed_table_and_paper_stand_beside_each_other(data):
    if data.stand_in:  # nothing is said of the paper's numbers
        assert not [name for name in data.printed if "paper" in name]
        assert data.paper == {}
        assert data.headline["training images of the stand-in"] == 1437
    else:
        assert data.printed.loc["0.05", "best, paper"] == "0.0891"
        assert data.printed.loc["0.05", "direct, paper"] == "NaN"
        assert data.paper["test loss, best, learning rate 0.05"] == 0.089073
        assert data.headline["published training images found"] == 60000
    assert "test loss, direct, learning rate 0.05" not in data.paper
    of = (data.table.kind == "best") & (data.table.learning_rate == 0.05)
    assert data.headline["test loss, best, learning rate 0.05"] == data.table.loss[of].mean()


def test_the_spread_is_over_the_seeds_and_none_where_one_diverged(data, expect_spread):
    losses = data.table.set_index(["kind", "learning_rate", "seed"]).loss
    for kind, rate in (("best", 0.05), ("best", 1.0), ("direct", 0.05)):
        runs = [losses[kind, rate, seed] for seed in (0, 1)]
        expect_spread(data, f"test loss, {kind}, learning rate {rate:g}", runs)
    (count,) = set(data.headline) - set(data.spread)
    assert "training images" in count
    gone = data.table.assign(loss=data.table.loss.where(data.table.seed == 0))
    spread = _images._findings(gone, _images.quoted_losses("mnist")).spread[
        "test loss, best, learning rate 0.05"
    ]
    assert isinstance(spread.low, float)
    assert math.isnan(spread.low)
    assert spread.runs == 2


def test_picture_is_drawn_with_the_paper_where_data_are_its_own(data):
    (axis,) = mnist.plot(data).axes
    assert axis.get_xscale() == "log"
    figure = mnist.plot(data)
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert ("paper" in said) == (not data.stand_in)
    assert figure.get_suptitle() == (f"Stand-in data: {data.stand_in}" if data.stand_in else "")


@needs_mnist
def test_rates_that_the_paper_has_not_have_a_dash():
    other = mnist.data(
        kinds=("exp",), learning_rates=(0.03,), steps=1, seeds=1, data="real", device="cpu", **TINY
    )
    assert other.printed is not None
    assert other.printed.loc["0.03", "exp, paper"] == "—"
    assert other.paper == {}


def test_table_2_is_whole():
    quoted = reference("stable_ssm/table2").pivot(
        index="learning_rate", columns="parameterization", values="loss"
    )
    assert quoted.shape == (7, 4)
    assert (
        quoted.best.dropna()
        <= quoted[["softplus", "exp"]].min(axis=1).reindex(quoted.best.dropna().index).fillna(math.inf)
    ).all()
