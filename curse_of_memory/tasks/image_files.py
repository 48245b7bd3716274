"""The published formats of MNIST (idx) and of CIFAR-10 (pickles), read as arrays."""

import io
import pickle
from pathlib import Path

import numpy as np

from curse_of_memory.tasks.archives import named_member_of, opened_tar, unpacked
from curse_of_memory.tasks.data_files import FILES, fetch, find

__all__ = ["ArraysOnly", "read_images"]


def read_images(name: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the published images of a `part`, ``'train'`` or ``'test'``, of the data set `name`.

    Parameters
    ----------
    name : {'mnist', 'fashion_mnist', 'cifar10'}
        The data set.
    part : {'train', 'test'}
        Which of its published parts; of the training set of CIFAR-10 what there is of it.

    Returns
    -------
    pixels, labels : ndarray
        ``(image, pixel, channel)`` in uint8, row by row, and ``(image,)`` in int64.

    Raises
    ------
    ValueError, FileNotFoundError
        As :func:`curse_of_memory.tasks.data_files.fetch` does.
    """
    if name == "cifar10":
        return _read_cifar(part)
    prefix = "train" if part == "train" else "t10k"
    pixels, labels = (
        _read_idx(fetch(FILES[name][f"{prefix}-{content}-ubyte.gz"]))
        for content in ("images-idx3", "labels-idx1")
    )
    return pixels.reshape(len(pixels), -1, 1), labels.astype(np.int64)


def _read_idx(path: Path) -> np.ndarray:
    """Return the array in a gzipped idx file of bytes: 0 0 8 and the rank, big-endian sizes, values."""
    raw = unpacked(path)
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", count=rank, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def _read_cifar(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Read what there is of the extracted files; if there is none, the archive."""
    files = FILES["cifar10"]
    names = ["test_batch"] if part == "test" else [f"data_batch_{k}" for k in range(1, 6)]
    raw = [path.read_bytes() for name in names if (path := find(files[name])) is not None]
    if not raw:
        with opened_tar(fetch(files["archive"], files[names[0]])) as members:
            raw = [named_member_of(members, files[name].path) for name in names]
    batches = [ArraysOnly(io.BytesIO(file), encoding="bytes").load() for file in raw]
    pixels = np.concatenate([batch[b"data"] for batch in batches])
    labels = np.concatenate([np.asarray(batch[b"labels"], dtype=np.int64) for batch in batches])
    return pixels.reshape(len(pixels), 3, -1).transpose(0, 2, 1), labels


def _dtype(name: str, align: int, copied: int) -> np.dtype:
    """Return the dtype that an old pickle names; its flags are whole numbers, not booleans."""
    return np.dtype(name, align=bool(align), copy=bool(copied))


class ArraysOnly(pickle.Unpickler):
    """Reads arrays, numbers, texts, lists and dictionaries; nothing in a file can call anything else."""

    def find_class(self, module: str, name: str):
        """Return what a file may call, and refuse everything else."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"a file of arrays has no use for {module}.{name}")
        return _ALLOWED[module, name]


_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
}
