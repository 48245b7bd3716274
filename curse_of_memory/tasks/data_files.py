"""Files of real data: where they are looked for, and how they are known by their checksums.

A file is taken from the folder that the variable CURSE_OF_MEMORY_DATA names (``~`` is the home); else from
the cache; else it is downloaded from its public address into the cache. Wherever it comes from, its
checksum is compared first. A download goes to a temporary name and takes its place only when it is whole
and its checksum is right; it ends where a server is silent for too long.
"""

import csv
import functools
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curse_of_memory.tools import checks
from curse_of_memory.tools.extras import require
from curse_of_memory.tools.files import checksum

__all__ = [
    "FILES",
    "VARIABLE",
    "DataFile",
    "available",
    "cache_folder",
    "fetch",
    "fetch_form",
    "files_read",
    "find",
    "lying_folder",
]

VARIABLE = "CURSE_OF_MEMORY_DATA"

CONNECT_SECONDS, SILENT_SECONDS = 5.0, 10.0  # the longest wait for a connection, and for more of a file
DOWNLOAD_SECONDS = 1800.0  # the longest download of one file


@dataclass(frozen=True)
class DataFile:
    """One file: `path` in a folder of data, `checksum` as ``"algorithm:hex"``, `urls` to download it from.

    Of a file whose published checksum is not known this is empty; its reader has to know it by its content.
    """

    path: str
    checksum: str
    urls: tuple[str, ...] = ()


def _table() -> dict[str, dict[str, DataFile]]:
    """Return what :data:`FILES` is, from the table beside this module."""
    files: dict[str, dict[str, DataFile]] = {}
    with Path(__file__).with_name("data_files.csv").open(newline="", encoding="utf-8") as table:
        for row in csv.DictReader(table):
            file = DataFile(row["path"], row["checksum"], tuple(row["urls"].split()))
            files.setdefault(row["data_set"], {})[row["file"]] = file
    return files


FILES = _table()
"""Data sets by name, and their files by what they are called there.

Members of a published archive have no address of their own; where their MD5 is published, that is their
checksum. An archive without an address is somebody's own: it is taken where it lies, else the single files.
"""

# What has to be there for every split of a data set: its files, or its archive. A part of the training set is
# enough for CIFAR-10, and some of the clips of Speech Commands.
_OPTIONAL = (
    *("data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"),
    *("whole", "testing_list", "validation_list"),
)

# Of the sets with an archive, the parts that are read on their own, by what the names of their files share.
_OF_TEXTS = ("train", "valid", "test")
_PARTS = {"cifar10": ("data_batch", "test_batch"), "wikitext2": _OF_TEXTS}
_PARTS |= {"ptb_words": _OF_TEXTS, "ptb_characters": _OF_TEXTS}
_PARTS |= {"speech_commands": ("per_class",)}

# Of the sets that come in several forms, each of them enough, the files of each form; the best form first.
_FORMS: dict[str, tuple[tuple[str, ...], ...]] = {
    "eigenworms": (
        ("EigenWorms_TRAIN.ts", "EigenWorms_TEST.ts"),
        ("EigenWorms_TRAIN.arff", "EigenWorms_TEST.arff"),
        ("Worms_TRAIN.tsv", "Worms_TEST.tsv"),
    ),
    "enwik8": (("enwik8",), ("enwik8.zip",), ("enwik8.first4000000.gz",)),
}


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
        If a file of that name has another checksum, or what has its name is no file.
    FileNotFoundError
        If the variable CURSE_OF_MEMORY_DATA names no folder.
    """
    path = _lying(file)
    if path is not None and file.checksum:
        algorithm, _, expected = file.checksum.partition(":")
        with path.open("rb") as content:
            actual = hashlib.file_digest(content, algorithm).hexdigest()
        if actual != expected:
            raise ValueError(
                f"{path} is not the published file: expected {algorithm} {expected}, got {actual}. "
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
        If a file of that name has another checksum, or what has its name is no file.
    FileNotFoundError
        If the variable CURSE_OF_MEMORY_DATA names no folder, or the file is nowhere; the message says in one
        line where it was looked for, and what to do.
    """
    path = find(file)
    if path is not None:
        return path
    cache, folder, failures = cache_folder(), _named_folder(), []
    for url in file.urls:
        try:
            return _downloaded(url, file, cache / file.path)
        except (OSError, ValueError) as error:  # of the network or the disk; another checksum
            failures.append(f"{url}: {_reason(error)}")
    names = " or ".join(repr(f.path) for f in (*instead, file))
    named = f"{folder} ({VARIABLE})" if folder else f"the folder of {VARIABLE}, which is not set,"
    no_download = f"no download ({'; '.join(failures)})" if failures else "no address to download it from"
    raise FileNotFoundError(
        f"no {names} in {named} or in {cache}, and {no_download}: download it "
        f"elsewhere, put it into a folder as {file.path!r}, and let {VARIABLE} name that folder"
    )


def available(name: str, *, download: bool = False) -> bool:
    """Return whether the files of a data set are on this machine.

    Parameters
    ----------
    name : str
        The data set, one of :data:`FILES`. Of CIFAR-10, a part of the training set and the test set are
        enough; of Speech Commands a hundred clips of each class.
    download : bool
        Whether what is missing is downloaded. That is tried once in a process for each set; where it fails,
        one line on the standard error says what is missing and what to do.

    Raises
    ------
    ValueError
        For another name, what has the name of a file and is none, or a download that finds a file with
        another checksum in its place.
    FileNotFoundError
        If the variable CURSE_OF_MEMORY_DATA names no folder.

    Examples
    --------
    >>> available("minst")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: name must be one of 'mnist', 'fashion_mnist', ...; got 'minst' (did you mean 'mnist'?)
    """
    files = FILES[checks.one_of("name", name, FILES)]
    checks.flag("download", download)
    if name in _FORMS:
        return bool(_lying_form(name)) or (download and _comes(name))
    if "archive" in files and _lying(files["archive"]) is not None:
        return True
    needed = [file for key, file in files.items() if key != "archive" and key not in _OPTIONAL]
    return all(_lying(file) is not None for file in needed) or (download and _comes(name))


@functools.cache
def _comes(name: str) -> bool:
    """Return whether a data set that is not here could be downloaded; it is tried once, a failure is said."""
    files = FILES[name]
    archive, members = files.get("archive"), [file for key, file in files.items() if key != "archive"]
    try:
        if name in _FORMS:
            fetch_form(name)
            return True
        for file in [archive] if archive is not None and archive.urls else members:
            fetch(file)
    except (FileNotFoundError, ModuleNotFoundError) as error:
        print(error, file=sys.stderr)
        return False
    return True


def fetch_form(name: str) -> dict[str, Path]:
    """Return the local paths of the best form of a data set that is here whole, by the names of its files.

    Parameters
    ----------
    name : {'eigenworms', 'enwik8'}
        A data set that comes in several forms, each of them enough.

    Raises
    ------
    ValueError
        For another name, or if a file has another checksum or is none.
    FileNotFoundError
        If the variable CURSE_OF_MEMORY_DATA names no folder, or no form is here whole; as :func:`fetch`.
    """
    forms, files = _FORMS[checks.one_of("name", name, _FORMS)], FILES[name]
    # downloaded is the last one that has addresses
    last = ([form for form in forms if all(files[key].urls for key in form)] or forms)[-1]
    form = _lying_form(name) or last
    # of each other form the first file that is not here, of which the rest may be
    lacking = [next((key for key in other if _lying(files[key]) is None), other[0]) for other in forms]
    instead = [files[key] for key, other in zip(lacking, forms, strict=True) if form == last != other]
    return {key: fetch(files[key], *instead) for key in form}


def _lying_form(name: str) -> tuple[str, ...]:
    """Return the best form of a data set that is here whole, whatever is in its files; empty if none is."""
    for form in _FORMS[name]:
        if all(_lying(FILES[name][key]) is not None for key in form):
            return form
    return ()


def files_read(name: str) -> dict[str, str]:
    """Return which files of a data set are read on this machine, with the checksums they must have.

    These are the files of the set; where it has an archive, those of its members that lie here, or for a part
    of which none does the archive, whether it is here or would be downloaded. So a download changes nothing
    in the answer, and a file that comes or goes does. Of a set in several forms they are those of the best
    form that is here; a file without published checksum has its own.

    Parameters
    ----------
    name : str
        The data set, one of :data:`FILES`.

    Raises
    ------
    ValueError
        For another name, or what has the name of a file and is none.
    FileNotFoundError
        If the variable CURSE_OF_MEMORY_DATA names no folder.
    """
    files = FILES[checks.one_of("name", name, FILES)]
    _named_folder()  # a variable that leads nowhere is refused also where nothing is looked for
    members = [file for key, file in files.items() if key != "archive"]
    archive = files.get("archive")
    if archive is not None and not archive.urls:
        members = members if _lying(archive) is None else [archive]
    elif archive is not None:
        lying = [file for file in members if _lying(file) is not None]
        parts = [{f.path for f in members if key in f.path} for key in _PARTS[name]]
        missing = any(not part & {file.path for file in lying} for part in parts)
        members = [*lying, archive] if missing else lying
    if name in _FORMS:
        members = [files[key] for key in _lying_form(name) or _FORMS[name][-1]]
    return {file.path: file.checksum or _own_checksum(file) for file in members}


def _own_checksum(file: DataFile) -> str:
    """Return the checksum of a file that lies here, of which none is published."""
    path = _lying(file)
    return f"sha256:{checksum(path)}" if path is not None else ""


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


def lying_folder(name: str) -> Path | None:
    """Return where a folder of that name lies in the folder of data or in the cache; None if in neither.

    Raises
    ------
    ValueError
        If something of that name is no folder, such as a link that leads nowhere.
    FileNotFoundError
        If the variable CURSE_OF_MEMORY_DATA names no folder.
    """
    path = next(_places(name), None)
    if path is not None and not path.is_dir():
        raise ValueError(f"{path} must be a folder, but is {_kind(path)}: remove it, or put one in its place")
    return path


def _lying(file: DataFile) -> Path | None:
    """Return the local path of a file of that name, whatever is in it.

    Raises
    ------
    ValueError
        If something of that name is no file: it was meant to be one, and nothing is read in its place.
    """
    path = next(_places(file.path), None)
    if path is not None and not path.is_file():
        raise ValueError(f"{path} must be a file, but is {_kind(path)}: remove it, or put one in its place")
    return path


def _kind(path: Path) -> str:
    """Return what is at a place, for whom it is not what it should be."""
    if path.is_dir():
        return "a folder"
    if path.is_file():
        return "a file"
    return "a link that leads nowhere" if path.is_symlink() else "neither file nor folder"


def _places(path: str) -> Iterator[Path]:
    """Yield where something lies: in the folder that the variable names, and in the cache."""
    return filter(_is_there, _candidates(path))


def _is_there(place: Path) -> bool:
    """Return whether there is anything at a place; what may not be looked at is an error, and not absent."""
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _candidates(path: str) -> Iterator[Path]:
    """Yield where something may lie."""
    named = _named_folder()
    if named is not None:
        yield named / path
    with suppress(ModuleNotFoundError):  # then nothing was ever downloaded
        yield cache_folder() / path


def _downloaded(url: str, file: DataFile, place: Path) -> Path:
    """Return `place`, to which the file was downloaded; on a terminal a bar shows how far it is.

    Raises
    ------
    OSError, ValueError
        If it cannot be had in time, or has another checksum.
    """
    import pooch
    from tqdm import tqdm

    class Bar(tqdm):
        def update(self, n: float | None = 1) -> bool | None:
            if time.monotonic() - started > DOWNLOAD_SECONDS:
                raise TimeoutError(f"not whole after {DOWNLOAD_SECONDS:g} s")
            return super().update(n)

    logger = pooch.get_logger()
    started, level = time.monotonic(), logger.level
    logger.setLevel("WARNING")  # the bar says all that it would
    try:
        # of the length a server says; nothing is drawn where there is no terminal
        with Bar(total=1, desc=file.path, unit="B", unit_scale=True, disable=None, leave=False) as bar:
            options: Any = {"progressbar": bar, "timeout": (CONNECT_SECONDS, SILENT_SECONDS)}
            downloader: Any = pooch.HTTPDownloader(**options)  # its types know no bar of one's own
            there = pooch.retrieve(
                url, file.checksum, fname=place.name, path=place.parent, downloader=downloader
            )
    finally:
        logger.setLevel(level)
    return Path(there)


def _reason(error: Exception) -> str:
    """Return in a few words why a download failed."""
    import requests  # with which pooch downloads

    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):  # its message shows objects and their addresses
        return "no connection"
    return checks.first_line(error)
