"""Packed files of real data, tar, zip and gzip: what is wrong with one is said in one line that names it."""

import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curse_of_memory.tools import checks

__all__ = ["member_of", "named_member_of", "opened_tar", "text_of", "unpacked", "zipped"]

DAMAGE = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError)


@contextmanager
def _read_whole(path: Path, what: str) -> Iterator[None]:
    """Let what packers report of damage name the file, which should be a whole archive or whatever it is."""
    try:
        yield
    except DAMAGE as error:
        reason = checks.first_line(error)
        raise ValueError(f"{path} must be a whole {what}, but cannot be read: {reason}") from None


@contextmanager
def opened_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar archive, however it is packed, for as long as it is read.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ValueError
        If it is none, or not all of it, also where that shows later.
    """
    with _read_whole(path, "archive"), tarfile.open(path) as archive:
        yield archive


def named_member_of(archive: tarfile.TarFile, name: str) -> bytes:
    """Return the content of the file that is called `name` in an opened archive.

    Parameters
    ----------
    archive : tarfile.TarFile
    name : str

    Raises
    ------
    ValueError
        If there is no such file in it.
    """
    try:
        member = archive.getmember(name)
    except KeyError:
        raise ValueError(f"{archive.name} must have the file {name!r} in it, and has none") from None
    return member_of(archive, member)


def member_of(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return the content of a member of an opened archive.

    Parameters
    ----------
    archive : tarfile.TarFile
    member : tarfile.TarInfo

    Raises
    ------
    ValueError
        If it is no file, such as a folder or a link.
    """
    file = archive.extractfile(member) if member.isfile() else None
    if file is None:
        raise ValueError(f"{member.name!r} in {archive.name} must be a file, and is none")
    return file.read()


def zipped(path: Path, name: str) -> bytes:
    """Return the content of the file that is called `name` in a zip archive.

    Parameters
    ----------
    path : Path
    name : str

    Raises
    ------
    ValueError
        If it is no archive, or not all of it, or has no such file.
    """
    with _read_whole(path, "archive"), zipfile.ZipFile(path) as archive:
        try:
            return archive.read(name)
        except KeyError:
            raise ValueError(f"{path} must have the file {name!r} in it, and has none") from None


def unpacked(path: Path) -> bytes:
    """Return the content of a gzip file.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ValueError
        If it is none, or not all of it.
    """
    with _read_whole(path, "gzip file"):
        packed = path.read_bytes()
        if not packed:  # of which gzip makes nothing without a word
            raise EOFError("it is empty")
        return gzip.decompress(packed)


def text_of(content: bytes, name: str) -> str:
    """Return the text of a file in UTF-8.

    Parameters
    ----------
    content : bytes
        Of the file.
    name : str
        What it is called in error messages.

    Raises
    ------
    ValueError
        If it is no such text.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{name}, line {line}: expected text in UTF-8") from None
