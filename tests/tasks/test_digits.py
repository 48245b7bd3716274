"""The images that stand in: those of scikit-learn, once each, in the forms of MNIST and CIFAR-10."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from curse_of_memory.tasks.digits import coloured_digits, grey_digits


def test_every_image_is_in_one_of_two_parts_with_its_label():
    ink, labels = load_digits(return_X_y=True)
    original = sorted((tuple(image.astype(int)), label) for image, label in zip(ink, labels, strict=True))
    found = []
    for part, count in (("train", 1437), ("test", 360)):
        pixels, own = grey_digits(part)
        assert (pixels.shape, pixels.dtype) == ((count, 784, 1), np.uint8)
        assert own.dtype == np.int64
        square = pixels.reshape(-1, 28, 28).astype(float)
        middle = square[:, 2:26, 2:26].reshape(-1, 8, 3, 8, 3)
        assert square.sum() == middle.sum()  # the margin is black
        assert (middle == middle[:, :, :1, :, :1]).all()
        small = np.rint(middle[:, :, 0, :, 0] * 16 / 255).astype(int).reshape(count, 64)
        found += [(tuple(image), label) for image, label in zip(small, own, strict=True)]
        assert len(np.unique(own)) == 10
    assert sorted(found) == original


@pytest.mark.parametrize("part", ["train", "test"])
def test_colours_are_two_for_each_image_and_the_digits_those_in_grey(part):
    grey, labels = grey_digits(part)
    pixels, own = coloured_digits(part)
    assert (pixels.shape, pixels.dtype) == ((len(grey), 1024, 3), np.uint8)
    assert own.tolist() == labels.tolist()
    ink = grey.reshape(-1, 28, 28)[:, 2:26:3, 2:26:3].repeat(4, 1).repeat(4, 2).reshape(len(grey), 1024) / 255
    dark, bright = pixels.min(1), pixels.max(1)
    assert dark.max() < 96
    has_black_and_white = (ink.min(1) == 0) & (ink.max(1) == 1)
    assert has_black_and_white.mean() > 0.9
    dark, bright, ink, pixels = (x[has_black_and_white] for x in (dark, bright, ink, pixels))
    assert bright.min() >= 160
    mixed = dark[:, None] * (1 - ink[..., None]) + bright[:, None] * ink[..., None]
    assert np.abs(pixels - mixed).max() < 1.01  # two roundings, of the ink in grey and of the colour
    assert len(np.unique(bright, axis=0)) > 0.99 * len(bright)
