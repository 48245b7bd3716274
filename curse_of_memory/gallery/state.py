"""What a figure was made from: fingerprints, so that a batch does only what is left to do."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curse_of_memory import __version__
from curse_of_memory.files import whole_file
from curse_of_memory.gallery.notebooks import Notebook, code_of

__all__ = ["checksum", "fingerprint", "is_current", "package_checksum", "recorded_files", "write_state"]

PACKAGE = Path(__file__).resolve().parents[1]


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def package_checksum(package: Path = PACKAGE) -> str:
    """Return one SHA-256 over the version and the files a figure can depend on.

    The gallery and the command line are left out: no notebook uses them, which the import
    contracts of the project guarantee, so a change there makes no figure stale.
    """
    digest = hashlib.sha256(__version__.encode())
    for path in sorted(package.rglob("*")):
        relative = path.relative_to(package)
        computed = "__pycache__" in relative.parts or path.name.startswith(".")
        if path.is_file() and not computed and relative.parts[0] not in ("gallery", "cli.py"):
            digest.update(f"{relative.as_posix()}\0{checksum(path)}\0".encode())
    return digest.hexdigest()


def fingerprint(notebook: Notebook, values: Mapping[str, Any], package: str) -> str:
    """Return the SHA-256 of everything that decides a notebook's figure.

    Parameters
    ----------
    notebook : Notebook
        Its code counts, its text and outputs do not.
    values : mapping
        The parameters that are set; the others have the defaults that stand in the code.
    package : str
        From `package_checksum`.
    """
    defaults = {name: parameter.default for name, parameter in notebook.parameters.items()}
    parameters = json.dumps({**defaults, **values}, sort_keys=True)
    text = "\0".join((code_of(notebook), parameters, package))
    return hashlib.sha256(text.encode()).hexdigest()


def state_path(out: Path, name: str) -> Path:
    """Return where the state of one notebook is kept."""
    return out / ".batch" / "state" / f"{name}.json"


def recorded_files(out: Path, name: str) -> dict[str, str]:
    """Return the files that the last success published, with their checksums."""
    return _read(state_path(out, name)).get("files", {})


def is_current(out: Path, notebook: Notebook, wanted: str) -> bool:
    """Return whether the figure was made with fingerprint `wanted` and its files still stand."""
    state = _read(state_path(out, notebook.name))
    folder = out / notebook.folder
    return (
        state.get("fingerprint") == wanted
        and bool(state.get("files"))
        and all(
            (folder / file).is_file() and checksum(folder / file) == digest
            for file, digest in state["files"].items()
        )
    )


def write_state(out: Path, notebook: Notebook, made_from: str, files: list[str]) -> None:
    """Record that `files` were published, made from fingerprint `made_from`."""
    digests = {file: checksum(out / notebook.folder / file) for file in sorted(files)}
    with whole_file(state_path(out, notebook.name)) as draft:
        draft.write_text(json.dumps({"fingerprint": made_from, "files": digests}, indent=1) + "\n")


def _read(path: Path) -> dict[str, Any]:
    """Return the state file's content; what cannot be read counts as never made."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}
