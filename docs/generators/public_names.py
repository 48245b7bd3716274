"""The public names of the package: where they are reached, and which of them are one thing."""

import ast
import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import curse_of_memory
from curse_of_memory import _HOMES

__all__ = [
    "PublicName",
    "assigned_at",
    "foreign_bases",
    "home_of",
    "listed",
    "public_modules",
    "public_names",
    "said_of",
]


@dataclass(frozen=True)
class PublicName:
    """A name in some ``__all__``.

    Attributes
    ----------
    module, name : str
        Where it is reached.
    thing : object
        What it names.
    """

    module: str
    name: str
    thing: Any

    @property
    def path(self) -> str:
        """The whole name."""
        return f"{self.module}.{self.name}"

    @functools.cached_property
    def home(self) -> str:
        """Where the thing is defined; one and the same for all names of one thing."""
        return home_of(self.thing) or assigned_at(self.path)


def home_of(thing: Any) -> str:
    """Return where a module, class or function is defined; empty for anything else."""
    if inspect.ismodule(thing):
        return thing.__name__
    if inspect.isclass(thing) or inspect.isroutine(thing):
        return f"{thing.__module__}.{thing.__qualname__}"
    return ""


def foreign_bases(path: str) -> str:
    """Return the names of the bases of a class that are of other packages, whose members are not shown."""
    bases = pkgutil.resolve_name(path).__mro__
    return ", ".join(base.__name__ for base in bases if not base.__module__.startswith("curse_of_memory"))


def said_of(path: str) -> str:
    """Return what the source says of a constant: the text below it, or the comment beside or above it."""
    module, _, name = assigned_at(path).rpartition(".")
    body, lines = _source(module)
    number = next((n for n, statement in enumerate(body) if name in _assigned(statement)), None)
    if number is None:
        return ""
    below = body[number + 1] if number + 1 < len(body) else None
    if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
        return inspect.cleandoc(str(below.value.value))
    line = body[number].lineno - 1
    beside = re.search(r"  # (?!noqa|pyright)(.+)$", lines[line])
    above = re.fullmatch(r"# (.+)", lines[line - 1])
    comment = beside or above
    return comment[1] if comment else ""


def assigned_at(path: str) -> str:
    """Return the whole name of a constant in the module that it is not imported into."""
    module, _, name = path.rpartition(".")
    if module == curse_of_memory.__name__ and ":" in _HOMES.get(name, ""):
        return assigned_at(_HOMES[name].replace(":", "."))
    for statement in _source(module)[0]:
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                if name == (alias.asname or alias.name):
                    return assigned_at(f"{statement.module}.{alias.name}")
    return path


@functools.cache
def _source(module: str) -> tuple[list[ast.stmt], list[str]]:
    source = inspect.getsource(importlib.import_module(module))
    return ast.parse(source).body, source.splitlines()


def _assigned(statement: ast.stmt) -> set[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    if isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def public_modules() -> list[ModuleType]:
    """Return the package and all modules in it that have no underscore."""
    names = [m.name for m in pkgutil.walk_packages(curse_of_memory.__path__, "curse_of_memory.")]
    public = [name for name in names if not any(part.startswith("_") for part in name.split("."))]
    return [curse_of_memory, *map(importlib.import_module, public)]


@functools.cache
def public_names() -> list[PublicName]:
    """Return every name in an ``__all__`` of a public module."""
    return [
        PublicName(module.__name__, name, getattr(module, name))
        for module in public_modules()
        for name in getattr(module, "__all__", ())
    ]


def listed(folder: Path) -> Iterator[str]:
    """Yield the whole names that the pages in `folder` list by hand."""
    for page in sorted(folder.glob("*.md")):
        for table in re.findall(
            r"^\.\. autosummary::\n((?:   .*\n|\n)*)", page.read_text(encoding="utf-8"), re.M
        ):
            for name in re.findall(r"^   ([\w.]+)$", table, re.M):
                yield f"{curse_of_memory.__name__}.{name}"
