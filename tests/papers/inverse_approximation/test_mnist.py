from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("agg")

from curse_of_memory.papers.inverse_approximation import mnist
from curse_of_memory.tasks import available

needs_mnist = pytest.mark.skipif(not available("mnist"), reason="no MNIST files on this machine")
tiny = partial(
    mnist.data, width=4, steps=3, batch_size=16, seeds=2, validation_images=50, test_images=40, device="cpu"
)


@pytest.fixture(scope="module", params=[pytest.param("real", marks=needs_mnist), "stand-in"])
def data(request):
    return tiny(parameterizations=["direct", "softplus"], learning_rates=[0.01, 0.1], data=request.param)


def test_all_parameterisations_start_from_the_same_network(data):
    first = data.table[(data.table.split == "validation") & (data.table.step == 0)]
    assert len(first) == 8
    for _, losses in first.groupby("seed").validation_loss:
        # W = f(f⁻¹(W)) in float32, over 28 steps
        np.testing.assert_allclose(losses, losses.iloc[0], rtol=28 * 8 * float(np.finfo(np.float32).eps))


def test_printed_table_and_paper_stand_beside_each_other(data):
    assert data.printed.index.tolist() == ["direct", "softplus"]
    if data.stand_in:  # nothing is said of the paper's numbers
        assert not [name for name in data.printed if "paper" in name]
        assert data.paper == {}
    else:
        assert data.printed.loc["softplus", "loss, paper"] == "0.8903 (0.0004)"
        assert data.paper["test loss, direct, learning rate 0.1"] == 0.9177
    test = data.table[(data.table.split == "test") & (data.table.learning_rate == 0.1)]
    mean = test[test.parameterization == "direct"].validation_loss.mean()
    assert data.headline["test loss, direct, learning rate 0.1"] == mean


def test_the_spread_is_over_the_seeds(data, expect_spread):
    test = data.table[(data.table.split == "test") & (data.table.learning_rate == 0.1)]
    losses = test[test.parameterization == "softplus"].validation_loss
    expect_spread(data, "test loss, softplus, learning rate 0.1", losses)
    assert set(data.spread) == set(data.headline)


def test_picture_is_drawn_with_and_without_direct(data):
    figure = mnist.plot(data)
    assert len(figure.axes) == 3
    assert figure.get_suptitle() == (f"Stand-in data: {data.stand_in}" if data.stand_in else "")
    one = tiny(parameterizations=["exp"], learning_rates=[0.01], data="stand-in")
    assert len(mnist.plot(one).axes) == 2


def test_the_stand_in_is_tested_whole_at_the_papers_scale():
    found = mnist.data(
        parameterizations=["exp"],
        learning_rates=[0.01],
        width=4,
        row_by_row=False,
        steps=1,
        batch_size=256,
        seeds=1,
        validation_images=5000,
        test_images=10000,
        data="stand-in",
        device="cpu",
    )
    assert found.stand_in == "1797 digits of scikit-learn, in place of MNIST"
    assert np.isfinite(found.table.accuracy[found.table.split == "test"]).all()


def test_differences_are_taken_under_the_same_seed():
    rows = [("direct", 0, 1.0), ("direct", 1, 3.0), ("exp", 1, 3.5), ("exp", 0, 2.5)]
    table = pd.DataFrame(rows, columns=["parameterization", "seed", "validation_loss"])
    found = mnist.paired_differences(table.assign(learning_rate=0.1, split="test"))
    assert found.loc[(0.1, "exp"), "mean"] == 1.0  # of 1.5 and 0.5
    assert found.loc[(0.1, "exp"), "error"] == 0.5
