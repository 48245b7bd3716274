"""Files written whole or not at all and not through links, read up to a size, and their checksums."""

import contextlib
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

__all__ = [
    *("checksum", "checksum_of_all", "is_plain_file", "plain_folder", "read_file", "read_json", "whole_file"),
]


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def checksum_of_all(path: Path) -> str:
    """Return the SHA-256 of a file's content, or of the files in a folder, by name; not of folders in it."""
    if not path.is_dir():
        return checksum(path)
    files = sorted(file for file in path.iterdir() if file.is_file())
    return hashlib.sha256("".join(file.name + checksum(file) for file in files).encode()).hexdigest()


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the place of `path` in one step.

    If the body raises, or the process dies, whatever stood at `path` is untouched. The temporary
    name starts with a dot and keeps the suffix, so that writers that look at it choose the format.
    What a writer of the same file that was killed has left there is removed.

    Raises
    ------
    OSError
        If the folder cannot be made or the file not be written; the message names `path`.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with whole_file(target) as draft:
    ...     _ = draft.write_text("done")
    >>> target.read_text()
    'done'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    draft = path.with_name(f".{path.name}.draft-{secrets.token_hex(8)}{path.suffix}")
    with _naming(path, draft):
        handle = _opened(draft)
        try:
            yield draft
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
            if handle is not None:
                os.close(handle)


def is_plain_file(path: Path) -> bool:
    """Return whether there is a file at `path` itself: no folder, no link, no pipe."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def plain_folder(base: Path, folder: Path) -> Path:
    """Return `folder` below `base`, made if need be; what is written there stays below `base`.

    Raises
    ------
    ValueError
        If a link stands on the way.
    OSError
        If it cannot be made.
    """
    way = folder.relative_to(base).parts
    for depth in range(1, len(way) + 1):
        step = base.joinpath(*way[:depth])
        if step.is_symlink():
            raise ValueError(f"{step} is a link; remove it, and what is written will stay in {base}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def read_file(path: Path, largest: int) -> str:
    """Return the text in UTF-8 of a file of at most `largest` bytes.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is larger, no text in UTF-8, or no file but a folder or a pipe.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path} is not a file")
    with path.open("rb") as handle:
        content = handle.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"{path} has more than {largest} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error}") from None


def read_json(path: Path, largest: int) -> Any:
    """Return what a JSON file of at most `largest` bytes holds; every text in it can be written again.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is larger, no JSON, nested too deeply, or has half a sign in a text, which JSON can say.
    """
    try:
        content = json.loads(read_file(path, largest))
        json.dumps(content, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None
    return content


def _opened(draft: Path) -> int | None:
    """Make an empty draft, and return a descriptor that holds its lock for as long as its writer lives."""
    while True:
        # the mode is what the umask leaves of it; the umask is the process's, and is not asked for or changed
        handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        if fcntl is None:  # there an open file cannot be moved, either
            os.close(handle)
            return None
        with contextlib.suppress(OSError):  # some file systems of networks have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if draft.exists():  # another writer may have taken it for abandoned before it was locked
            return handle
        os.close(handle)


def _remove_abandoned(path: Path) -> None:
    """Remove the drafts of `path` whose writers are gone: with them went their locks."""
    if fcntl is None:
        return
    names = re.compile(rf"\.{re.escape(path.name)}\.draft-[0-9a-f]{{16}}{re.escape(path.suffix)}")
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        drafts = [Path(entry) for entry in entries if names.fullmatch(entry.name)]
        for draft in filter(is_plain_file, drafts):
            with contextlib.suppress(OSError):  # its writer lives or has just moved it, or it is not ours
                handle = os.open(draft, os.O_RDWR)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    draft.unlink()
                finally:
                    os.close(handle)


@contextlib.contextmanager
def _naming(path: Path, draft: Path) -> Iterator[None]:
    """Let what the system reports name `path`, which a full disk does not and a draft's name hides."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(draft)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
