"""Optional packages: an error in one line that names the extra to install where one is missing."""

from importlib.util import find_spec

__all__ = ["require"]


def require(extra: str, *modules: str) -> None:
    """Raise an error that names the `extra` to install, unless all `modules` are there; nothing is imported.

    Parameters
    ----------
    extra : str
        A name in ``[project.optional-dependencies]`` of pyproject.toml.
    *modules : str
        Top-level modules of the packages that are in it.

    Raises
    ------
    ModuleNotFoundError
        If one of the modules is not installed.

    Examples
    --------
    >>> require("figures", "no_such_module")
    Traceback (most recent call last):
    ModuleNotFoundError: no_such_module is not installed: pip install 'curse-of-memory[figures]'
    """
    for module in modules:
        if not _is_there(module):
            message = f"{module} is not installed: pip install 'curse-of-memory[{extra}]'"
            raise ModuleNotFoundError(message, name=module)


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # what stands in its place, or in the way, says no by an error
        return False
