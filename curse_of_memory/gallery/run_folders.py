"""Where the notebooks of a batch keep their finished runs until the figure is published.

``<out>/.batch/runs/<notebook>``, or below the folder that the variable :data:`ROOT` names, where every folder
of figures has one of its own, so that batches do not meet. In it there is a folder for each state of things
that runs depend on: the package's files that the notebook uses, but for the modules of figures, of which the
functions count one by one; the data files; versions, device. A batch that starts again after a picture was
mended finds its runs, one that starts after a layer was mended does not.
"""

import contextlib
import hashlib
import json
import os
import platform
import shutil
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.origin import Origin
from curse_of_memory.tools.files import plain_folder, read_json, whole_file
from curse_of_memory.tools.run_notes import KEEP_IN, MADE_FROM

__all__ = ["ROOT", "RunFolder"]

ROOT = "CURSE_OF_MEMORY_RUNS"
"""The variable by which a user says where runs are kept."""

THREADS = "threads.json"
LARGEST = 1_000_000  # bytes of what is read
TABLES = ("pandas", "xarray")  # runs return them; they change no number
NOT_OF_RUNS = ("parameters", "code")  # of an origin: runs have arguments of their own, and no cells
SHOWN = 3  # changed files


class RunFolder:
    """The folder in which one notebook keeps runs.

    Parameters
    ----------
    out : Path
        The folder of the figures.
    notebook : Notebook
        The notebook.
    """

    def __init__(self, out: Path, notebook: Notebook):
        root = os.environ.get(ROOT)
        if root:
            name = f"{out.name}-{hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:12]}"
            self._base = Path(root).expanduser().absolute()
            self._folder = self._base / name / notebook.flat_name
        else:
            self._base, self._folder = out, out / ".batch" / "runs" / notebook.flat_name
        self._current: Path | None = None

    def open(self, origin: Origin, one_thread: bool) -> tuple[dict[str, str], bool, str]:
        """Make the folder for runs of this `origin`.

        Parameters
        ----------
        origin : Origin
            That of the figure.
        one_thread : bool
            Whether its kernel should have one thread. If runs were kept of one that had not, or the other way
            round, it is as it was: sums are in the same order then.

        Returns
        -------
        environment : dict
            The variable for the kernel.
        one_thread : bool
            Whether its kernel has one thread.
        remark : str
            What is to be known of runs that are there and cannot be used; empty if nothing is.

        Raises
        ------
        OSError, ValueError
            If it cannot be made.
        """
        self._base.mkdir(parents=True, exist_ok=True)
        made_from = _made_from(origin)
        text = json.dumps(made_from, indent=1, sort_keys=True)
        current = self._folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        plain_folder(self._base, current / "checkpoints")
        remark = "" if _has_runs(current) else self._others(current, made_from)
        if _has_runs(current):
            one_thread = self._threads(one_thread)
        for place, content in ((current / MADE_FROM, text), (self._folder / THREADS, json.dumps(one_thread))):
            with whole_file(place) as draft:
                draft.write_text(content, encoding="utf-8")
        self._current = current
        return {KEEP_IN: str(current)}, one_thread, remark

    def forget(self) -> None:
        """Remove everything in it."""
        shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._folder.parent.rmdir()  # if it was the last

    def forget_others(self) -> None:
        """Remove runs that were kept of other code, data or versions."""
        with contextlib.suppress(OSError):
            for folder in self._folder.iterdir():
                if folder != self._current and folder.is_dir():
                    shutil.rmtree(folder, ignore_errors=True)

    def _threads(self, default: bool) -> bool:
        try:
            known = read_json(self._folder / THREADS, LARGEST)
        except (OSError, ValueError):
            return default
        return known if isinstance(known, bool) else default

    def _others(self, current: Path, made_from: dict[str, Any]) -> str:
        """Return that there are runs of another state of things, and in what it differs."""
        others = [f for f in self._folder.iterdir() if f != current and f.is_dir() and _has_runs(f)]
        if not others:
            return ""
        latest = max(others, key=lambda folder: folder.stat().st_mtime)
        try:
            then = read_json(latest / MADE_FROM, LARGEST)
            changed = [name for name in made_from if then.get(name) != made_from[name]]
            if "package" in changed:
                files = then["package"].items() ^ made_from["package"].items()
                names = sorted({name for name, _ in files})
                changed[changed.index("package")] = ", ".join(names[:SHOWN]) + (
                    f" and {len(names) - SHOWN} more files" if len(names) > SHOWN else ""
                )
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            changed = ["its description is damaged"]
        return f"runs that were kept are not used, since something has changed: {', '.join(changed)}"


def _made_from(origin: Origin) -> dict[str, Any]:
    content = {f.name: getattr(origin, f.name) for f in fields(origin) if f.name not in NOT_OF_RUNS}
    content["package"] = {
        file: digest
        for file, digest in origin.package.items()
        if not (file.startswith("papers/") and file.endswith(".py"))
    }
    return content | {"python": platform.python_version(), **{name: version(name) for name in TABLES}}


def _has_runs(folder: Path) -> bool:
    return any(folder.glob("joblib/**/output.pkl")) or any(folder.glob("checkpoints/*.pt"))
