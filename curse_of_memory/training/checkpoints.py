"""Checkpoint files: written whole, free of code, bound to the settings of their run, with a checksum.

A checkpoint is what `torch.save` writes, and after it 89 bytes: a mark, the number of the format, and the
SHA-256 of all before. What does not end so is never parsed.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from curse_of_memory.tools.files import whole_file

__all__ = ["Checkpoint", "identity", "weights_of"]

FORMAT = 3  # a change of what is stored is another number
MARK = b"curse_of_memory "  # then the format in eight digits, and 64 of the checksum
TRAILER = len(MARK) + 8 + 64 + 1
AT_ONCE = 2**20  # bytes


class Checkpoint:
    """The checkpoint file of a run, or none.

    Parameters
    ----------
    path : path or None
        None keeps nothing, and finds nothing. A ``~`` is the home of the user.
    kind : str
        The kind of run, such as ``"a fit"``: a file of another kind is refused.
    settings : mapping
        Plain numbers and texts that tell this run from others: a file with other ones is refused.
    """

    def __init__(self, path: str | Path | None, kind: str, settings: Mapping):
        if path is not None and not isinstance(path, str | os.PathLike):
            raise TypeError(f"checkpoint must be a path, got {type(path).__name__}")
        self._path = None if path is None else Path(path).expanduser()
        self._kind, self._settings = kind, dict(settings)

    def __bool__(self) -> bool:
        return self._path is not None

    def due(self, *, at_end: bool = False) -> bool:
        """Return whether to write now, at a validation, or once more `at_end` of the run."""
        return self._path is not None and not at_end

    def write(self, state: Mapping) -> None:
        """Write `state`, which holds numbers, texts and tensors alone, whole or not at all."""
        if self._path is None:
            return
        whole = {"kind": self._kind, "settings": self._settings, "state": dict(state)}
        try:
            with whole_file(self._path) as draft:
                torch.save(whole, draft)
                code = _checksum(draft, draft.stat().st_size)
                with draft.open("ab") as file:
                    file.write(MARK + b"%08d" % FORMAT + code + b"\n")
        except OSError as error:
            if error.errno is None:
                raise
            said = f"checkpoint cannot be written: {error.strerror}"
            raise OSError(error.errno, said, str(self._path)) from error

    def read(self, device: torch.device) -> dict | None:
        """Return the state in the file, with its tensors on `device`; None where there is no file.

        Raises
        ------
        ValueError
            Where the file is damaged, foreign, of another version, or of another run; in one line.
        """
        if self._path is None or not os.path.lexists(self._path):
            return None
        self._verify(self._path)
        try:
            with self._path.open("rb") as file:
                whole = torch.load(file, weights_only=True, map_location=device)
            kind, settings, state = (whole[name] for name in ("kind", "settings", "state"))
        except Exception as error:  # whatever torch makes of a file that was written with a right checksum
            raise self._refused(f"cannot be read ({type(error).__name__})") from None
        if kind != self._kind:
            raise self._refused(f"is of {kind}, not of {self._kind}")
        if settings != self._settings:
            names = {**self._settings, **settings}
            other = [name for name in names if settings.get(name) != self._settings.get(name)]
            raise self._refused(f"belongs to a run with other {', '.join(other)}")
        return state

    def take_up(self, name: str, part, state) -> None:
        """Load `state` into `part`, such as a model or an optimizer; refuse the file if it does not fit."""
        try:
            part.load_state_dict(state)
        except Exception:  # of many kinds: a part says in its own words what it misses
            raise self._refused(f"holds a {name} that does not fit") from None

    def _verify(self, path: Path) -> None:
        if path.exists() and not path.is_file():
            raise self._refused("is a folder or a device, not a file")
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                file.seek(max(0, size - TRAILER))
                end = file.read()
            if not end.startswith(MARK) or not end[len(MARK) : len(MARK) + 8].isdigit():
                raise self._refused("is no whole checkpoint of ours: cut short, foreign, or old")
            written = int(end[len(MARK) : len(MARK) + 8])
            if written > FORMAT:
                raise self._refused(f"was written by a newer version: its format is {written}, not {FORMAT}")
            if written < FORMAT or end[len(MARK) + 8 :] != _checksum(path, size - TRAILER) + b"\n":
                raise self._refused("is damaged: it is not what was written")
        except OSError as error:
            raise self._refused(f"cannot be read: {error.strerror}") from None

    def _refused(self, why: str) -> ValueError:
        return ValueError(f"checkpoint {self._path} {why}")


def _checksum(path: Path, size: int) -> bytes:
    """Return the SHA-256 of the first `size` bytes of a file, in hexadecimal digits."""
    code, left = hashlib.sha256(), size
    with path.open("rb") as file:
        while left and (piece := file.read(min(left, AT_ONCE))):
            code.update(piece)
            left -= len(piece)
    return code.hexdigest().encode()


def identity(thing: object) -> str:
    """Return the repr of a model, loss or task without addresses, or its class where that is no repr.

    The same in every process: addresses are left out.
    """
    kind = type(thing)
    if kind.__repr__ is object.__repr__:
        return kind.__qualname__
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(thing))


def weights_of(model: nn.Module) -> dict[str, str]:
    """Return shape and dtype of all tensors of `model`, and which of them are not trained, as texts."""
    trained = {name for name, p in model.named_parameters(remove_duplicate=False) if p.requires_grad}
    return {
        name: f"{tuple(tensor.shape)} {tensor.dtype}" + ("" if name in trained else " fixed")
        for name, tensor in model.state_dict().items()
        if isinstance(tensor, torch.Tensor)
    }
