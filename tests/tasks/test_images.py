import io
import math
import pickle

import numpy as np
import pytest
import torch

from curse_of_memory.tasks import SequentialImages, available
from curse_of_memory.tasks.data_files import FILES
from curse_of_memory.tasks.image_files import ArraysOnly
from curse_of_memory.tasks.images import DATA_SETS

EPS = float(np.finfo(float).eps)


def needs(name):
    reason = f"the files of {name} are not here: CURSE_OF_MEMORY_DATA names no folder that has them"
    return pytest.param(name, marks=pytest.mark.skipif(not available(name), reason=reason))


REAL = [needs(name) for name in DATA_SETS]
MNIST_TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


# --- with small files made on the spot ----------------------------------------------------------


def test_pixels_are_read_in_order_and_normalised(small_mnist):
    pixels, labels = small_mnist["test"]
    task = SequentialImages("mnist", "test")
    assert (len(task), task.published, task.horizon, task.input_size) == (40, 40, 784, 1)
    (batch,) = task.batches(100, dtype=torch.float64)
    assert batch.inputs.shape == (40, 784, 1)
    exact = (pixels.reshape(40, 784, 1) / 255 - 0.1307) / 0.3081
    np.testing.assert_allclose(batch.inputs, exact, rtol=8 * EPS, atol=8 * EPS)
    assert batch.targets.dtype == torch.int64
    assert batch.targets.tolist() == labels.tolist()


def test_training_and_validation_share_no_image(small_mnist):
    pixels, labels = small_mnist["train"]
    train, held_out = SequentialImages("mnist"), SequentialImages("mnist", "validation")
    assert (len(train), len(held_out), train.published) == (110, 10, 120)
    rows = torch.cat([train.images, held_out.images])[..., 0].numpy()
    place = {row.tobytes(): k for k, row in enumerate(pixels.reshape(120, 784))}
    found = [place[row.tobytes()] for row in rows]
    assert sorted(found) == list(range(120))
    assert torch.cat([train.labels, held_out.labels]).tolist() == labels[found].tolist()
    again, other = SequentialImages("mnist"), SequentialImages("mnist", split_seed=1)
    assert torch.equal(train.images, again.images)
    assert not torch.equal(train.images, other.images)
    assert repr(train) == repr(again) != repr(other)


def test_one_permutation_for_all_images(small_mnist):
    plain, permuted = SequentialImages("mnist"), SequentialImages("mnist", permuted=3)
    order = np.random.default_rng(3).permutation(784)
    assert torch.equal(permuted.images, plain.images[:, order])
    assert torch.equal(permuted.labels, plain.labels)
    test = SequentialImages("mnist", "test", permuted=3)
    assert torch.equal(test.images, SequentialImages("mnist", "test").images[:, order])
    assert not torch.equal(SequentialImages("mnist", permuted=0).images, plain.images)


def test_rows_are_rows(small_mnist):
    pixels, _ = small_mnist["test"]
    task = SequentialImages("mnist", "test", row_by_row=True)
    assert (task.horizon, task.input_size) == (28, 28)
    np.testing.assert_array_equal(task.images, pixels)
    x = task.sample(5, seed=0, dtype=torch.float64).inputs
    flat = SequentialImages("mnist", "test").sample(5, seed=0, dtype=torch.float64).inputs
    assert torch.equal(x.flatten(1), flat.flatten(1))


def test_smaller_choices_are_balanced_and_nested(write, formats):
    labels = np.repeat(np.arange(10), [40, 3, 40, 40, 40, 40, 40, 40, 40, 37])
    pixels = np.arange(360)[:, None, None] % 251 * np.ones((1, 28, 28))
    pixels[:, 0, 0] = np.arange(360) // 251
    for prefix in ("train", "t10k"):
        write("mnist", f"{prefix}-images-idx3-ubyte.gz", formats.idx(pixels))
        write("mnist", f"{prefix}-labels-idx1-ubyte.gz", formats.idx(labels))
    for split in ("train", "test"):
        larger = SequentialImages("mnist", split, size=100)
        counts = larger.labels.bincount(minlength=10)
        assert counts[1] <= 3
        others = counts[torch.arange(10) != 1]
        assert others.max() - others.min() <= 1
        smaller = SequentialImages("mnist", split, size=20)
        assert smaller.labels.bincount().tolist() == [2] * 10
        assert torch.equal(smaller.images, larger.images[:20])
        assert torch.equal(SequentialImages("mnist", split, size=100).images, larger.images)
        everything = SequentialImages("mnist", split)
        assert repr(everything) != repr(larger)
        all_of_them = SequentialImages("mnist", split, size=len(everything))
        assert torch.equal(all_of_them.labels.bincount(), everything.labels.bincount())
    with pytest.raises(ValueError, match="size must be at most 330, the images of the split, got 331"):
        SequentialImages("mnist", size=331)


def test_batches_go_through_every_image_once(small_mnist):
    task = SequentialImages("mnist")
    for seed in (None, 0):
        batches = list(task.batches(32, seed=seed))
        assert [len(batch.targets) for batch in batches] == [32, 32, 32, 14]
        seen = torch.cat([batch.inputs for batch in batches])
        whole = next(task.batches(110)).inputs
        assert torch.equal(seen.flatten(1).sum(1).sort().values, whole.flatten(1).sum(1).sort().values)
        assert torch.equal(seen, whole) == (seed is None)
    first, again, other = (next(task.batches(110, seed=seed)).targets for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_samples_are_different_images(small_mnist):
    task = SequentialImages("mnist")
    x, y = task.sample(110, seed=0)
    assert torch.equal(y.bincount(), task.labels.bincount())
    assert len({row.numpy().tobytes() for row in x}) == 110
    with pytest.raises(ValueError, match="at most the 110 images of the task, got 111"):
        task.sample(111, seed=0)


# --- CIFAR-10 -----------------------------------------------------------------------------------


def check_cifar(task, expected):
    pixels = np.concatenate([one for one, _ in expected]).reshape(-1, 3, 1024).transpose(0, 2, 1)
    labels = np.concatenate([one for _, one in expected])
    assert task.published == len(labels)
    rows = np.arange(len(labels))
    if task.split != "test":
        rows = np.random.default_rng(0).permutation(len(labels))[len(labels) // 10 :]
    np.testing.assert_array_equal(task.images, pixels[rows])
    assert task.labels.tolist() == labels[rows].tolist()


def test_cifar_from_the_files_that_are_there(write, formats, cifar_batches):
    """The folder of extracted files, of which all or only some of the training set may be there."""
    for name in ("test_batch", "data_batch_1", "data_batch_4"):
        write("cifar10", name, formats.cifar_batch(*cifar_batches[name]))
    check_cifar(SequentialImages("cifar10", "test"), [cifar_batches["test_batch"]])
    train = SequentialImages("cifar10")
    check_cifar(train, [cifar_batches["data_batch_1"], cifar_batches["data_batch_4"]])
    assert "images=36 of 40" in repr(train)
    assert len(SequentialImages("cifar10", "validation")) == 4


def test_cifar_from_the_archive(write, formats, cifar_batches):
    members = {
        FILES["cifar10"][name].path: formats.cifar_batch(*batch) for name, batch in cifar_batches.items()
    }
    write("cifar10", "archive", formats.tar(members))
    check_cifar(SequentialImages("cifar10", "test"), [cifar_batches["test_batch"]])
    training = [batch for name, batch in cifar_batches.items() if name != "test_batch"]
    check_cifar(SequentialImages("cifar10"), training)


def test_colours_stay_beside_each_other_and_are_normalised_each(write, formats, cifar_batches):
    write("cifar10", "test_batch", formats.cifar_batch(*cifar_batches["test_batch"]))
    planes = cifar_batches["test_batch"][0].reshape(20, 3, 32, 32) / 255
    mean, std = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2470, 0.2435, 0.2616])
    exact = (planes.transpose(0, 2, 3, 1) - mean) / std
    by_pixel, by_row = (
        next(SequentialImages("cifar10", "test", row_by_row=rows).batches(20, dtype=torch.float64)).inputs
        for rows in (False, True)
    )
    np.testing.assert_allclose(by_pixel, exact.reshape(20, 1024, 3), rtol=8 * EPS, atol=8 * EPS)
    np.testing.assert_allclose(by_row, exact.reshape(20, 32, 96), rtol=8 * EPS, atol=8 * EPS)


def test_a_pickle_can_call_nothing_but_arrays():
    class Harmful:
        def __reduce__(self):
            return (print, ("run by a data file",))

    for harmful in (Harmful(), {b"data": Harmful()}):
        with pytest.raises(pickle.UnpicklingError, match=r"no use for \w+\.print"):
            ArraysOnly(io.BytesIO(pickle.dumps(harmful, protocol=3)), encoding="bytes").load()


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: SequentialImages("minst"), ValueError, "did you mean 'mnist'"),
        (lambda: SequentialImages("mnist", "valid"), ValueError, "'validation'"),
        (lambda: SequentialImages("mnist", permuted=True), TypeError, "permuted must be a whole number"),
        (lambda: SequentialImages("mnist", size=0), ValueError, "size must be at least 1"),
        (lambda: SequentialImages("mnist").sample(0, seed=0), ValueError, "size must be at least 1"),
        (lambda: next(SequentialImages("mnist").batches(0)), ValueError, "size must be at least 1"),
    ],
)
def test_bad_input_is_refused(call, kind, message, small_mnist):
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize("name", DATA_SETS)
def test_missing_files_are_explained(name, machine):
    with pytest.raises(FileNotFoundError, match="download it elsewhere") as refusal:
        SequentialImages(name)
    assert str(machine.data) in str(refusal.value)
    assert len(machine.asked) >= 1
    if name == "cifar10":
        assert "'cifar-10-batches-py/data_batch_1' or 'cifar-10-python.tar.gz'" in str(refusal.value)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"])
def test_damaged_files_are_refused(name, machine, small_mnist):
    path = machine.data / "mnist" / name
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is not the published file"):
        SequentialImages("mnist")
    assert len(SequentialImages("mnist", "test")) == 40


def test_a_damaged_archive_is_refused_before_it_is_opened(machine):
    (machine.data / FILES["cifar10"]["archive"].path).write_bytes(b"not an archive")
    with pytest.raises(ValueError, match=r"cifar-10-python\.tar\.gz is not the published file"):
        SequentialImages("cifar10")


# --- the real files -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_the_real_images(name):
    train, held_out, test = (SequentialImages(name, split) for split in ("train", "validation", "test"))
    whole = len(train) + len(held_out)
    assert len(test) == test.published == 10_000
    assert whole == train.published
    assert len(held_out) == (5000 if whole > 10_000 else 1000)
    if name != "cifar10":
        assert whole == 60_000
        assert test.images.shape[1:] == (784, 1)
    else:
        assert whole % 10_000 == 0
        assert test.images.shape[1:] == (1024, 3)

    # published mean and deviation of the training set; of a part of it, as well as so many images tell them
    images = [part for task in (train, held_out) for part in task.images.split(5000)]
    mean, std = torch.tensor(DATA_SETS[name].mean), torch.tensor(DATA_SETS[name].std)
    complete = whole == (50_000 if name == "cifar10" else 60_000)
    first = torch.cat([(part / 255).mean(1) for part in images])
    second = torch.cat([((part / 255 - mean) ** 2).mean(1) for part in images])
    spread = 0 if complete else 5 * first.std(0) / math.sqrt(whole)
    assert ((first.mean(0) - mean).abs() < 1e-4 + spread).all()
    spread = 0 if complete else 5 * second.std(0) / (2 * std * math.sqrt(whole))
    assert ((second.mean(0).sqrt() - std).abs() < 1e-4 + spread).all()


@pytest.mark.parametrize("name", REAL)
def test_labels_belong_to_their_images(name):
    """Published counts of the test set; and the nearest class mean finds far more than the chance of 10 %."""
    train, test = SequentialImages(name, size=5000), SequentialImages(name, "test")
    assert test.labels.bincount().tolist() == (MNIST_TEST_COUNTS if name == "mnist" else [1000] * 10)
    x, y = next(train.batches(5000, dtype=torch.float64))
    means = torch.stack([x[y == one].mean(0).flatten() for one in range(10)])
    z, truth = next(test.batches(2000, dtype=torch.float64))
    found = torch.cdist(z.flatten(1), means).argmin(1)
    share = (found == truth).double().mean().item()
    assert share > {"mnist": 0.75, "fashion_mnist": 0.6, "cifar10": 0.2}[name]


@pytest.mark.parametrize("name", REAL)
def test_neighbours_in_the_sequence_are_neighbours_in_the_image(name):
    """Pixels in a row are nearly equal, and so are pixels one row apart; a permutation undoes both."""
    plain, permuted = (
        SequentialImages(name, "test", size=500, permuted=seed).images.double() for seed in (None, 0)
    )
    width = DATA_SETS[name].width
    for step in (1, width):
        near, far = ((x[:, step:] - x[:, :-step]).abs().mean() for x in (plain, permuted))
        assert near < 0.6 * far
