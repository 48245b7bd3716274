"""A machine without real data and without network, and small files in the formats of the real ones."""

import functools
import gzip
import hashlib
import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pooch
import pytest
import requests

from curse_of_memory.tasks import data_files, heart_recordings
from curse_of_memory.tasks.data_files import FILES, VARIABLE, DataFile

LINES = {
    "train": " a b a \n \n = c = a <unk> b d <unk> \n" * 40,
    "valid": " a c x \n" * 30,
    "test": " d d \n b a \n" * 30,
}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Folders `data`, which the variable names, and `cache`; downloads find no network."""
    data, cache = tmp_path / "data", tmp_path / "cache"
    data.mkdir()
    monkeypatch.setenv(VARIABLE, str(data))
    monkeypatch.setattr(pooch, "os_cache", lambda project: cache / project)
    asked = []

    def no_network(url, *args, **kwargs):
        asked.append(url)
        raise requests.ConnectionError("there is no network here")

    monkeypatch.setattr(pooch, "retrieve", no_network)
    data_files._comes.cache_clear()  # what other tests have tried
    return SimpleNamespace(data=data, cache=cache / "curse_of_memory", asked=asked)


@pytest.fixture
def write(machine, monkeypatch):
    """Write a file of a data set into `data`, and make its checksum the published one."""

    def writer(name: str, key: str, content: bytes, folder: Path | None = None) -> Path:
        file = FILES[name][key]
        path = (folder or machine.data) / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        checksum = f"sha256:{hashlib.sha256(content).hexdigest()}"
        monkeypatch.setitem(FILES[name], key, DataFile(file.path, checksum, file.urls))
        return path

    return writer


def idx(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return gzip.compress(header + values.astype(np.uint8).tobytes(), mtime=0)


@functools.cache  # hundreds of tests write the same files, which take longer to pack than most take to run
def mnist_files() -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], dict[str, bytes]]:
    """Pixels and labels by part, and the four files that hold them."""
    random = np.random.default_rng(0)
    made, files = {}, {}
    for part, prefix, count in (("train", "train", 120), ("test", "t10k", 40)):
        pixels = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = random.integers(0, 10, count, dtype=np.uint8)
        files[f"{prefix}-images-idx3-ubyte.gz"] = idx(pixels)
        files[f"{prefix}-labels-idx1-ubyte.gz"] = idx(labels)
        made[part] = pixels, labels
    return made, files


@pytest.fixture
def small_mnist(write):
    """120 and 40 random images of MNIST's size; returns pixels and labels by part."""
    made, files = mnist_files()
    for name, content in files.items():
        write("mnist", name, content)
    return {part: (pixels.copy(), labels.copy()) for part, (pixels, labels) in made.items()}


def cifar_batch(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    """A pickle as the published ones are: keys in bytes, old names of numpy's functions."""
    raw = pickle.dumps({b"data": pixels, b"labels": labels.tolist()}, protocol=3)
    return raw.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


@pytest.fixture
def cifar_batches():
    """Pixels ``(20, 3072)`` and labels of the five training files and the test file."""
    random = np.random.default_rng(1)
    names = [f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]
    return {
        name: (random.integers(0, 256, (20, 3072), dtype=np.uint8), random.integers(0, 10, 20))
        for name in names
    }


@pytest.fixture
def formats():
    """The encoders of the formats."""
    return SimpleNamespace(idx=idx, cifar_batch=cifar_batch, tar=tar)


def tar(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def small_wikitext(write):
    for part, text in LINES.items():
        write("wikitext2", f"wiki.{part}.tokens.gz", gzip.compress(text.encode(), mtime=0))
    return LINES


@pytest.fixture
def small_wikitext_archive(write):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for part, text in LINES.items():
            archive.writestr(f"wikitext-2/wiki.{part}.tokens", text)
    write("wikitext2", "archive", packed.getvalue())
    return LINES


PATIENTS, WINDOWS = 7, 14
ROWS, SECONDS = 4001 + 375 * (WINDOWS - 1), 32 + 3 * (WINDOWS - 1)


@functools.cache
def heart_tables() -> dict[str, bytes]:
    """Tables as BIDMC has them, of fewer patients and seconds; one monitor has nothing in second 34."""
    draws = np.random.default_rng(2)
    tables = {}
    for patient in range(1, PATIENTS + 1):
        waves = draws.integers(0, 1000, (ROWS, 2)) / 1000
        waves[:, 0] += patient
        rates = draws.integers(60, 120, SECONDS).astype(str)
        if patient == 3:
            rates[34] = "NaN"
        lines = [f"{x:.3f},{y:.3f}" for x, y in waves]
        tables[f"bidmc_{patient:02d}_PLETH_II.csv"] = "\n".join(["PLETH,II", *lines, ""]).encode()
        lines = [f"{second},{rate},1,2,3" for second, rate in enumerate(rates)]
        first = "Time [s], HR, PULSE, RESP, SpO2"
        tables[f"bidmc_{patient:02d}_Numerics.csv"] = "\n".join([first, *lines, ""]).encode()
    return tables


@pytest.fixture
def few_patients(monkeypatch):
    """As if there were few patients, recorded for a short while; returns their tables by name."""
    for name, value in (("PATIENTS", PATIENTS), ("ROWS", ROWS), ("SECONDS", SECONDS)):
        monkeypatch.setattr(heart_recordings, name, value)
    return dict(heart_tables())


@functools.cache
def heart_archive() -> bytes:
    return tar({f"bidmc/{name}": raw for name, raw in heart_tables().items()})


@pytest.fixture
def small_bidmc(few_patients, write):
    """The archive of few patients; returns its tables by name."""
    write("bidmc", "archive", heart_archive())
    return few_patients
