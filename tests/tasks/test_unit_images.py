"""sMNIST, psMNIST and noisy CIFAR-10: what is read at which step, and the draws of the public code."""

import hashlib

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset, random_split

from curse_of_memory.nn import LEM
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import NoisyImages, UnitImages
from curse_of_memory.tasks.public_stream import PublicStream
from curse_of_memory.tools.devices import torch_draws

SPLITS = ("train", "validation", "test")


@pytest.fixture
def small_cifar(write, formats, cifar_batches):
    """Two of the five training files and the test file."""
    for name in ("test_batch", "data_batch_1", "data_batch_4"):
        write("cifar10", name, formats.cifar_batch(*cifar_batches[name]))
    return cifar_batches


# --- the stream of the public code --------------------------------------------------------------


def test_the_permutation_is_that_of_torch_and_of_the_file():
    order = PublicStream().order(784)
    with torch_draws(5544):
        assert torch.equal(order, torch.randperm(784))
    assert order.tolist() == reference("lem/psmnist_permutation").source_pixel_index.tolist()
    joined = ",".join(map(str, order.tolist()))
    known = "7b6004e6368828a89a666ddc4a2ee1c07513244bff7c798704aaf9b03156ef70"
    assert hashlib.sha256(joined.encode()).hexdigest() == known


@pytest.mark.parametrize(("permuted", "input_size", "count", "held_out"), [
    (False, 1, 60_000, 3000), (True, 1, 60_000, 3000), (False, 96, 50_000, 2000),
])  # fmt: skip
def test_behind_the_weights_torch_divides_the_images_in_the_same_way(permuted, input_size, count, held_out):
    """The public code: permutation, LEM, `random_split`, noise, all from the global generator."""
    with torch_draws(5544):
        if permuted:
            torch.randperm(784)
        LEM(128, input_size=input_size, output_size=10)
        train, validation = random_split(TensorDataset(torch.arange(count)), [count - held_out, held_out])
        noise = torch.randn(1, 968, 96)
    stream = PublicStream()
    if permuted:
        stream.order(784)
    stream.weights(input_size)
    order = stream.order(count).tolist()
    assert order == [*train.indices, *validation.indices]
    assert torch.equal(stream.normal(1, 968, 96), noise)


# --- MNIST --------------------------------------------------------------------------------------


def test_a_step_shows_a_pixel_from_zero_to_one(small_mnist):
    pixels, labels = small_mnist["test"]
    digits = UnitImages("test")
    assert (len(digits), digits.published, digits.horizon) == (40, 40, 784)
    x, y = digits.all()
    np.testing.assert_array_equal(x[..., 0], pixels.reshape(40, 784).astype(np.float32) / np.float32(255))
    assert y.tolist() == labels.tolist()
    one, label = digits[7]
    assert torch.equal(one, x[7])
    assert label == y[7]
    assert digits.stand_in == ""


def test_step_k_shows_the_pixel_that_is_the_kth_of_the_permutation(small_mnist):
    pixels, _ = small_mnist["test"]
    order = reference("lem/psmnist_permutation").source_pixel_index
    x = UnitImages("test", permuted=True).all().inputs
    for k in (0, 1, 500, 783):
        expected = pixels.reshape(40, 784)[:, order[k]].astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(x[:, k, 0], expected)
    again = UnitImages("test", permuted=True, seed=3)
    with torch_draws(3):
        assert torch.equal(again.order, torch.randperm(784))
    assert repr(again) != repr(UnitImages("test", permuted=True)) != repr(UnitImages("test"))


@pytest.mark.parametrize("permuted", [False, True])
def test_one_in_twenty_is_held_out_behind_the_weights(small_mnist, permuted):
    pixels, labels = small_mnist["train"]
    with torch_draws(5544):
        if permuted:
            torch.randperm(784)
        LEM(128, output_size=10)
        parts = random_split(TensorDataset(torch.arange(120)), [114, 6])
    order = reference("lem/psmnist_permutation").source_pixel_index if permuted else np.arange(784)
    for split, part in zip(SPLITS, parts, strict=False):
        digits = UnitImages(split, permuted=permuted)
        assert digits.published == 120
        rows = list(part.indices)
        assert digits.labels.tolist() == labels[rows].tolist()
        seen = (digits.all().inputs[..., 0] * 255).round().numpy()
        np.testing.assert_array_equal(seen, pixels.reshape(120, 784)[rows][:, order])


def test_means_of_squares_are_read_in_place_of_their_pixels(small_mnist):
    pixels, _ = small_mnist["test"]
    digits = UnitImages("test", averaged=4)
    assert digits.horizon == 49
    means = pixels.reshape(40, 7, 4, 7, 4).mean((2, 4)).reshape(40, 49) / 255
    np.testing.assert_allclose(digits.all().inputs[..., 0], means, rtol=1e-5)
    np.testing.assert_array_equal(digits[3][0], digits.all().inputs[3])
    shuffled = UnitImages("test", averaged=4, permuted=True)
    with torch_draws(5544):
        order = torch.randperm(49)
    np.testing.assert_allclose(shuffled.all().inputs[..., 0], means[:, order], rtol=1e-5)
    with pytest.raises(ValueError, match="averaged must divide the 28 pixels of a row, got 3"):
        UnitImages("test", averaged=3)


# --- CIFAR-10 with noise ------------------------------------------------------------------------


def planes(batches, *names):
    """Pixels as published, ``(image, colour, row, pixel)``, from 0 to 1."""
    raw = np.concatenate([batches[name][0] for name in names]).reshape(-1, 3, 32, 32)
    return raw.astype(np.float32) / np.float32(255)


def test_a_row_is_its_reds_its_greens_and_its_blues(small_cifar):
    images = NoisyImages("test")
    colours = planes(small_cifar, "test_batch")
    assert (len(images), images.horizon, images.input_size) == (20, 1000, 96)
    for k in (0, 11):
        x, y = images[k]
        assert (x.shape, x.dtype) == ((1000, 96), torch.float32)
        for row in (0, 31):
            np.testing.assert_array_equal(x[row], colours[k, :, row].reshape(96))
        assert y == small_cifar["test_batch"][1][k]


def test_of_some_training_files_one_image_in_25_is_held_out(small_cifar):
    colours = planes(small_cifar, "data_batch_1", "data_batch_4")
    with torch_draws(5544):
        LEM(128, input_size=96, output_size=10)
        parts = random_split(TensorDataset(torch.arange(40)), [39, 1])
    for split, part in zip(SPLITS, parts, strict=False):
        images = NoisyImages(split, horizon=40)
        assert (images.published, len(images)) == (40, len(part))
        for k, row in enumerate(part.indices):
            seen = images[k][0][:32].reshape(32, 3, 32).permute(1, 0, 2)
            np.testing.assert_array_equal(seen, colours[row])


def test_the_fixed_noise_is_one_sample_drawn_behind_weights_and_division(small_cifar):
    with torch_draws(5544):
        LEM(128, input_size=96, output_size=10)
        torch.randperm(50_000)
        noise = torch.randn(1, 968, 96)[0]
    for split in SPLITS:
        images = NoisyImages(split)
        for k in (0, len(images) - 1):
            assert torch.equal(images[k][0][32:], noise)
    short = NoisyImages("test", horizon=132)
    assert torch.equal(short[5][0][32:], noise[:100])
    other = NoisyImages("test", horizon=132, seed=1)
    assert not torch.equal(other[5][0][32:], noise[:100])


def test_fresh_noise_is_of_each_image_alone(small_cifar):
    drawn = []
    for split in SPLITS:
        images = NoisyImages(split, noise="fresh", horizon=64)
        for k in range(min(10, len(images))):
            x = images[k][0]
            assert torch.equal(x, images[k][0])
            assert torch.equal(x[:32], NoisyImages(split, horizon=64)[k][0][:32])
            drawn.append(x[32:].flatten().numpy())
    between = np.corrcoef(np.stack(drawn))[~np.eye(len(drawn), dtype=bool)]
    assert np.abs(between).max() < 5 / np.sqrt(32 * 96)
    values = np.concatenate(drawn)
    assert abs(values.mean()) < 5 / np.sqrt(len(values))
    assert abs(values.std() - 1) < 5 / np.sqrt(2 * len(values))
    # the same image in a smaller choice has the same noise
    whole = NoisyImages("test", noise="fresh", horizon=64)
    few = NoisyImages("test", noise="fresh", horizon=64, size=5)
    all_of_them = {whole[k][0].numpy().tobytes() for k in range(len(whole))}
    assert {few[k][0].numpy().tobytes() for k in range(5)} < all_of_them


def test_noise_takes_no_room_for_each_image(small_cifar):
    images = NoisyImages("train")
    kept = sum(value.nbytes for value in vars(images).values() if hasattr(value, "nbytes"))
    assert kept < 968 * 96 * 4 + len(images) * (32 * 96 + 100)


# --- both ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [UnitImages, NoisyImages])
def test_stand_ins_have_the_same_form(make, machine):
    share = {UnitImages: 20, NoisyImages: 25}[make]
    parts = [make(split, data="stand-in") for split in SPLITS]
    assert [len(part) for part in parts] == [1437 - 1437 // share, 1437 // share, 360]
    for part in parts:
        assert part[0][0].shape == (part.horizon, part.input_size)
        assert part.stand_in
        assert "stand-in" in repr(part)
    few = make("train", size=100, data="stand-in")
    assert few.labels.bincount().tolist() == [10] * 10
    assert len(make("test", size=5000, data="stand-in")) == 360
    assert machine.asked == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: UnitImages("valid"), "'validation'"),
        (lambda: UnitImages("test", size=41), "size must be at most 40, the images of the split, got 41"),
        (lambda: NoisyImages("test", noise="new"), "noise must be one of 'fixed', 'fresh'"),
        (lambda: NoisyImages("test", horizon=32), "horizon must be at least 33 steps, 32 rows and noise"),
        (lambda: NoisyImages("test", size=21), "size must be at most 20"),
    ],
)
def test_bad_input_is_refused(call, message, small_mnist, small_cifar):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_image_is_asked_for_by_one_number(small_mnist, small_cifar):
    """Of a slice of 784 images and more the permutation of the pixels would be taken for one of images."""
    for images in (UnitImages("test", permuted=True), NoisyImages("test", horizon=40)):
        count = len(images)
        (last, label), (same, _) = images[-1], images[torch.tensor(count - 1)]
        assert torch.equal(last, images[count - 1][0])
        assert torch.equal(last, same)
        assert label == images[np.int64(count - 1)][1]
        assert len(list(images)) == count
        for index in (slice(0, 3), "a", [1, 2], 1.0, None):
            with pytest.raises(TypeError, match="index must be a whole number, got "):
                images[index]
        for index in (count, -count - 1):
            with pytest.raises(IndexError, match=f"index must be from -{count} to {count - 1}, got {index}"):
                images[index]
    for shape in ((0,), (3, -1), (2.5,)):
        with pytest.raises((ValueError, TypeError), match="shape must be"):
            PublicStream().normal(*shape)


def test_a_split_without_images_is_refused(write, formats, cifar_batches):
    """Of the twenty images of one file none is held out."""
    for name in ("test_batch", "data_batch_3"):
        write("cifar10", name, formats.cifar_batch(*cifar_batches[name]))
    assert len(NoisyImages("train", horizon=40)) == 20
    with pytest.raises(ValueError, match="the split must have images, got none of 20"):
        NoisyImages("validation", horizon=40)
