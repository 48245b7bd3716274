"""Files of real data: where they are looked for, and how they are known by their checksums.

A file is taken from the folder that the variable CURSE_OF_MEMORY_DATA names (``~`` is the home); else from
the cache; else it is downloaded from its public address into the cache. Wherever it comes from, its
checksum is compared first. A download goes to a temporary name and takes its place only when it is whole
and its checksum is right.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from curse_of_memory.tools import checks
from curse_of_memory.tools.extras import require

__all__ = ["FILES", "VARIABLE", "DataFile", "available", "cache_folder", "fetch", "files_read", "find"]

VARIABLE = "CURSE_OF_MEMORY_DATA"


@dataclass(frozen=True)
class DataFile:
    """One file: `path` in a folder of data, `checksum` as ``"algorithm:hex"``, `urls` to download it from."""

    path: str
    checksum: str
    urls: tuple[str, ...] = ()


def _idx_files(folder: str, sources: tuple[str, ...], checksums: dict[str, str]) -> dict[str, DataFile]:
    return {
        name: DataFile(f"{folder}/{name}", f"sha256:{value}", tuple(f"{source}/{name}" for source in sources))
        for name, value in checksums.items()
    }


def _extracted(folder: str, checksums: dict[str, str]) -> dict[str, DataFile]:
    """Return the members of an archive, which have no address of their own."""
    return {name: DataFile(f"{folder}/{name}", value) for name, value in checksums.items()}


# Data sets by name, files by what they are called there.
FILES: dict[str, dict[str, DataFile]] = {
    "mnist": _idx_files(
        "mnist",
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ),
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashion_mnist": _idx_files(
        "fashion_mnist",
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
        ),
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
    # md5 for the members of the archive: these are the published ones
    "cifar10": _extracted(
        "cifar-10-batches-py",
        {
            "data_batch_1": "sha256:54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd",
            "data_batch_2": "md5:d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "md5:54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "md5:634d18415352ddfa80567beed471001a",
            "data_batch_5": "md5:482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "sha256:f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831",
        },
    )
    | {
        "archive": DataFile(
            "cifar-10-python.tar.gz",
            "sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
        )
    },
    "wikitext2": _extracted(
        "wikitext-2",
        {
            "wiki.train.tokens.gz": "sha256:0c202e0b5d919429261b7291d9b5998f0db680c0a6700c0ff2a886d0abe055d4",
            "wiki.valid.tokens.gz": "sha256:3ac34ae2b6509075d52302c50a04a8a1970739ffe1a904f2cd374fefbea3cbf2",
            "wiki.test.tokens.gz": "sha256:a2b26b5d2619cc1f6cd34c8e116a451aed09af51479346aadfbf508ceb8b192e",
        },
    )
    | {
        "archive": DataFile(
            "wikitext-2-v1.zip",
            "sha256:92675f1d63015c1c8b51f1656a52d5bdbc33aafa60cc47a218a66e7ee817488c",
            (
                "https://wikitext.smerity.com/wikitext-2-v1.zip",
                "https://s3.amazonaws.com/research.metamind.io/wikitext/wikitext-2-v1.zip",
            ),
        )
    },
}

# What has to be there for every split of a data set: its files, or its archive. A part of the training set is
# enough for CIFAR-10.
_OPTIONAL = ("data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5")

# Of the sets with an archive, the parts that are read on their own, by what the names of their files share.
_PARTS = {"cifar10": ("data_batch", "test_batch"), "wikitext2": ("train", "valid", "test")}


def cache_folder() -> Path:
    """Return where downloads are kept: pooch's folder of the operating system for this package."""
    require("data", "pooch")
    import pooch

    return Path(pooch.os_cache("curse_of_memory"))


def find(file: DataFile) -> Path | None:
    """Return the local path of `file` after verifying its checksum; None if absent from folder and cache.

    Raises
    ------
    ValueError
        If a file of that name has another checksum.
    FileNotFoundError
        If the variable CURSE_OF_MEMORY_DATA names no folder.
    """
    path = _lying(file)
    if path is not None:
        algorithm, _, expected = file.checksum.partition(":")
        with path.open("rb") as content:
            found = hashlib.file_digest(content, algorithm).hexdigest()
        if found != expected:
            raise ValueError(
                f"{path} is not the published file: expected {algorithm} {expected}, got {found}. "
                "It may be damaged: remove it, and the next call looks further."
            )
    return path


def fetch(file: DataFile, *instead: DataFile) -> Path:
    """Return the local path of `file`, downloaded into the cache if it is absent from folder and cache.

    Parameters
    ----------
    file : DataFile
        What is wanted.
    instead : DataFile
        What would have done as well and was not found; for the error message.

    Raises
    ------
    ValueError
        If a file of that name has another checksum.
    FileNotFoundError
        If the variable CURSE_OF_MEMORY_DATA names no folder, or the file is nowhere; the message says where
        it was looked for, and what to do.
    """
    path = find(file)
    if path is not None:
        return path
    place = cache_folder() / file.path
    import pooch  # which the folder asks for

    failures = []
    for url in file.urls:
        try:
            return Path(pooch.retrieve(url, file.checksum, fname=place.name, path=place.parent))
        except (OSError, ValueError) as error:  # of the network or the disk; another checksum
            failures.append(f"  {url}: {_first_line(error)}")
    folder = _named_folder()
    names = " or ".join(repr(f.path) for f in (*instead, file))
    raise FileNotFoundError(
        "\n".join(
            [
                f"no {names}. It was looked for in",
                f"  {folder} (the variable {VARIABLE})"
                if folder
                else f"  the folder of the variable {VARIABLE}, which is not set",
                f"  {cache_folder()} (the cache)",
                *failures,
                f"Download it on a machine that can, put it into a folder as {file.path!r}, and set "
                f"{VARIABLE} to that folder.",
            ]
        )
    )


def available(name: str) -> bool:
    """Return whether the files of a data set are on this machine, so that nothing has to be downloaded.

    Parameters
    ----------
    name : {'mnist', 'fashion_mnist', 'cifar10', 'wikitext2'}
        The data set. Of CIFAR-10, a part of the training set and the test set are enough.

    Raises
    ------
    ValueError
        For another name.
    FileNotFoundError
        If the variable CURSE_OF_MEMORY_DATA names no folder.

    Examples
    --------
    >>> available("minst")
    Traceback (most recent call last):
        ...
    ValueError: name must be one of 'mnist', 'fashion_mnist', 'cifar10', 'wikitext2'; got 'minst' (did you \
mean 'mnist'?)
    """
    files = FILES[checks.one_of("name", name, FILES)]
    if "archive" in files and _lying(files["archive"]) is not None:
        return True
    needed = [file for key, file in files.items() if key != "archive" and key not in _OPTIONAL]
    return all(_lying(file) is not None for file in needed)


def files_read(name: str) -> dict[str, str]:
    """Return which files of a data set are read on this machine, with the checksums they must have.

    These are the files of the set; where it has an archive, those of its members that lie here, or for a part
    of which none does the archive, whether it is here or would be downloaded. So a download changes nothing
    in the answer, and a file that comes or goes does.

    Parameters
    ----------
    name : {'mnist', 'fashion_mnist', 'cifar10', 'wikitext2'}
        The data set.

    Raises
    ------
    ValueError
        For another name.
    FileNotFoundError
        If the variable CURSE_OF_MEMORY_DATA names no folder.
    """
    files = FILES[checks.one_of("name", name, FILES)]
    _named_folder()  # a variable that leads nowhere is refused also where nothing is looked for
    members = [file for key, file in files.items() if key != "archive"]
    if "archive" in files:
        lying = [file for file in members if _lying(file) is not None]
        parts = [{f.path for f in members if key in f.path} for key in _PARTS[name]]
        missing = any(not part & {file.path for file in lying} for part in parts)
        members = [*lying, files["archive"]] if missing else lying
    return {file.path: file.checksum for file in members}


def _named_folder() -> Path | None:
    """Return the folder that the variable names, None where it is not set.

    Raises
    ------
    FileNotFoundError
        If it is no folder.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    try:
        folder = Path(named).expanduser().absolute()
    except RuntimeError:  # the home of a user that there is not
        folder = Path(named)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"the variable {VARIABLE} must name a folder, got {named!r}: no folder {folder}"
        )
    return folder


def _lying(file: DataFile) -> Path | None:
    """Return the local path of a file of that name, whatever is in it."""
    named = _named_folder()
    if named is not None and (path := named / file.path).is_file():
        return path
    path = cache_folder() / file.path
    return path if path.is_file() else None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
