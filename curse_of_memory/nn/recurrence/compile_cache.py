"""Compiled loops that are kept on disk, and thrown away when the code they call has changed."""

from pathlib import Path
from types import ModuleType

__all__ = ["drop_stale"]


def drop_stale(file: str, *called: ModuleType) -> None:
    """Remove what numba keeps of the functions in `file` if a module they call is newer.

    Numba compares the date of `file` only, and would go on running what it compiled from the `called` modules
    as they were, after an update that leaves `file` itself as it is.

    Parameters
    ----------
    file : str
        The ``__file__`` of the module that compiles.
    called : module
        The modules whose functions are compiled into those of `file`.

    Examples
    --------
    >>> drop_stale("nothing_was_compiled_here.py")
    """
    path = Path(file)
    newest = max((Path(module.__file__).stat().st_mtime for module in called), default=0.0)
    for kept in path.parent.glob(f"__pycache__/{path.stem}.*.nb[ic]"):
        if kept.stat().st_mtime < newest:
            kept.unlink(missing_ok=True)
