"""CIFAR-10 by learning rate: a figure of its own name with the parameters of that of MNIST."""

import inspect

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("agg")

from curse_of_memory.papers.stable_ssm import cifar10, mnist
from curse_of_memory.tasks import available

needs_cifar10 = pytest.mark.skipif(not available("cifar10"), reason="no CIFAR-10 files on this machine")
TINY = {"width": 8, "states": 8, "batch_size": 64, "validation_images": 100, "test_images": 100}


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_both_figures_have_the_same_parameters_under_their_own_name(name):
    function = {"mnist": mnist, "cifar10": cifar10}[name].data
    assert function.figure_name == f"stable_ssm/{name}"
    assert inspect.signature(function) == inspect.signature(mnist.data)
    assert "images_of" not in inspect.signature(function).parameters


@needs_cifar10
def test_cifar10_says_what_was_found():
    found = cifar10.data(
        kinds=("exp",), learning_rates=(0.01,), steps=2, seeds=1, data="real", device="cpu", **TINY
    )
    assert found.headline["published training images found"] in range(10_000, 60_000, 10_000)
    assert np.isfinite(found.table.loss).all()
    cifar10.plot(found)


def test_without_its_files_coloured_digits_stand_in():
    found = cifar10.data(
        kinds=("exp",),
        learning_rates=(0.01,),
        row_by_row=False,
        steps=1,
        seeds=1,
        data="stand-in",
        device="cpu",
        **TINY | {"validation_images": 1000, "test_images": 10000},
    )
    assert found.stand_in == "1797 digits of scikit-learn in colours, in place of CIFAR-10"
    assert found.headline["training images of the stand-in"] == 1437
    assert np.isfinite(found.table.loss).all()
    assert "CIFAR-10" in cifar10.plot(found).get_suptitle()
