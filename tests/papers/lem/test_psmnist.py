"""The figure of psMNIST: published numbers stand beside real images, with their sources."""

import matplotlib as mpl
import pytest

mpl.use("agg")

from curse_of_memory.papers.lem import psmnist
from curse_of_memory.tasks import available
from tests.papers.lem.image_figures import TINY


@pytest.mark.skipif(not available("mnist"), reason="no MNIST files on this machine")
def test_real_images_stand_beside_numbers_with_their_sources():
    data = psmnist.data(data="real", averaged=7, **TINY)
    assert "stand-in" not in data.title
    assert data.paper == {"LEM: test accuracy (%)": 96.6}
    assert data.printed is not None
    shown = data.printed.set_index("model").test
    assert shown["UnICORNN (log of the public code)"] == "98.40 %"
    figure = psmnist.plot(data)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "UnICORNN at full scale, README" in legend
    assert not [label for label in legend if label.startswith("log of")]
