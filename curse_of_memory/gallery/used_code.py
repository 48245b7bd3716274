"""The modules of this package that a notebook uses, directly or through others, and the data files they read.

They are told from the texts of notebook and modules; nothing is imported. The answer holds all that a run
uses, and may hold more: an import counts wherever it stands, also in a function that is never called.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from curse_of_memory.gallery.notebooks import PACKAGE
from curse_of_memory.gallery.origin import checksum

__all__ = ["PackageCode"]

DESCRIPTION = "paper.yaml"  # which the gallery reads
APART = ("gallery", "cli.py", "__main__.py")  # what no figure uses, as the contracts of imports guarantee
TABLES = "reference"  # the function that reads a table of published numbers, and the folders of these tables
IMPORTERS = ("import_module", "__import__")
READERS = ("importlib.resources", "pkgutil.get_data")
PLAIN = ("__all__", "__doc__", "__file__", "__name__", "__path__", "__version__")  # what lies in any module

Place = tuple[str, tuple[str, ...]]  # a module, and a name in it, with the attributes that are taken of it


class PackageCode:
    """The modules and data files of a package, and which of them a piece of code uses.

    - A module that is imported counts whole, with all that it imports itself. So does an ``__init__`` that
      computes anything, also that of a parent.
    - An ``__init__`` that only passes names on (imports, ``__all__``, a table of names that are loaded late)
      counts as a text; of what it imports only that counts of which a name is used.
    - Where it cannot be told which name of such a package is used, all count; where it cannot be told which
      module is imported, the whole package.
    - Imports for type checkers alone do not count.
    - Of the tables of published numbers those count that are read by name; where a name is computed, all.

    Parameters
    ----------
    package : Path
        The folder of the package.

    Examples
    --------
    >>> used = PackageCode().used_by("import curse_of_memory as com; com.plateau_time(1.0)")
    >>> "theory/plateau/times.py" in used, "tasks/copying.py" in used
    (True, False)
    """

    def __init__(self, package: Path = PACKAGE):
        self.package = package
        self._texts: dict[str, _Text] = {}
        self._direct: dict[str, frozenset[str]] = {}
        self._checksums: dict[Path, str] = {}

    def used_by(self, code: str) -> dict[str, str]:
        """Return the checksums of the files that `code` uses, by their path in the package."""
        modules, tables = self.modules_used_by(code), set(_read("", code).tables)
        for module in modules:
            tables |= self._text(module).tables
        files = {self._files[module] for module in modules} | self._data_of(modules, tables)
        for path in files - self._checksums.keys():
            self._checksums[path] = checksum(path)
        return {path.relative_to(self.package).as_posix(): self._checksums[path] for path in sorted(files)}

    def modules_used_by(self, code: str) -> set[str]:
        """Return the full names of the modules that `code` uses."""
        waiting, used = set(self._uses(_read("", code))), set()
        while waiting:
            module = waiting.pop()
            used.add(module)
            if module not in self._direct:
                text = self._text(module)
                parents = [parent for parent in _parents(module) if parent in self._files]
                self._direct[module] = frozenset(parents if text.passes_on else [*parents, *self._uses(text)])
            waiting |= self._direct[module] - used
        return used

    def passes_on(self, module: str) -> bool:
        """Return whether a module is an ``__init__`` that only passes names on."""
        return self._text(module).passes_on

    @cached_property
    def _files(self) -> dict[str, Path]:
        """The file of every module, by its full name."""
        files = {}
        for path in sorted(self.package.rglob("*.py")):
            parts = path.relative_to(self.package).with_suffix("").parts
            if path.relative_to(self.package).parts[0] not in APART:
                parts = parts[:-1] if parts[-1] == "__init__" else parts
                files[".".join((self.package.name, *parts))] = path
        return files

    @cached_property
    def _data(self) -> list[Path]:
        """The files of the package that are no code."""
        return [
            path
            for path in sorted(self.package.rglob("*"))
            if path.is_file()
            and path.suffix not in (".py", ".pyc")
            and path.name != DESCRIPTION
            and not path.name.startswith(".")
            and path.relative_to(self.package).parts[0] not in APART
        ]

    def _data_of(self, modules: Iterable[str], tables: set[str]) -> set[Path]:
        """Return the data files that modules read: the tables of these names, and files beside a module."""
        folders = [self._files[module].parent for module in modules if self._text(module).reads_files]
        read = {path for path in self._data if path.parent.name == TABLES and _is_one_of(path, tables)}
        beside = {path for path in self._data if any(map(path.is_relative_to, folders))}
        return read | {path for path in beside if path.parent.name != TABLES}

    def _text(self, module: str) -> "_Text":
        if module not in self._texts:
            path = self._files[module]
            self._texts[module] = _read(module, path.read_text(encoding="utf-8"), path.name == "__init__.py")
        return self._texts[module]

    def _uses(self, text: "_Text") -> set[str]:
        """Return the modules that a text uses directly."""
        if text.anything:
            return set(self._files)
        used = set()
        for module, names in text.imports:
            used |= self._followed(module, names, whole=False)
        for name, *attributes in text.uses:
            for module, names in text.bound.get(name, ()):
                used |= self._followed(module, (*names, *attributes), whole=True)
        return used

    def _followed(
        self, module: str, names: tuple[str, ...], *, whole: bool, seen: frozenset[Place] = frozenset()
    ) -> set[str]:
        """Return the modules that ``module.a.b`` uses, where `names` are ``(a, b)``.

        If that is a package, all that lies in it counts if it is used as a `whole`.
        """
        if module not in self._files or (module, names) in seen:
            return set()
        text, seen = self._text(module), seen | {(module, names)}
        targets: list[Place] = []
        if names:
            first, rest = names[0], names[1:]
            targets = [(target, (*way, *rest)) for target, way in text.bound.get(first, ())]
            targets += [(target, names) for target in text.stars]
            if (submodule := f"{module}.{first}") in self._files:
                targets.append((submodule, rest))
            if not targets and first not in text.own and first not in PLAIN:  # no telling what it is
                if text.passes_on:
                    return self._followed(module, (), whole=True, seen=seen)
                if "__getattr__" in text.own:
                    return set(self._files)
        elif whole:  # no telling which name of it is used, which may be that of a module in it, too
            targets = [place for places in text.bound.values() for place in places] if text.passes_on else []
            targets += [(inner, ()) for inner in self._files if inner.startswith(f"{module}.")]
        used = {module}
        for target, way in targets:
            used |= self._followed(target, way, whole=whole, seen=seen)
        return used


@dataclass
class _Text:
    """The imports and uses in one text.

    `imports` are modules, with the name taken of them; `bound` is what a name can stand for; `uses` are the
    names that occur, with their attributes; `own` are those that are defined at the top level.
    """

    imports: set[Place] = field(default_factory=set)
    bound: dict[str, list[Place]] = field(default_factory=dict)
    stars: set[str] = field(default_factory=set)
    uses: set[tuple[str, ...]] = field(default_factory=set)
    own: set[str] = field(default_factory=set)
    tables: set[str] = field(default_factory=set)
    unnamed: set[str] = field(default_factory=set)  # names by which tables are read that are not told
    told: set[int] = field(default_factory=set)  # the functions of calls that are written down
    passes_on: bool = False
    anything: bool = False  # it may import any module
    reads_files: bool = False


def _read(module: str, code: str, is_package: bool = False) -> _Text:
    """Return the imports and uses in the text of a module."""
    text = _Text()
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        text.anything = True
        return text
    for node in _running(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            _note_import(node, _origin(node, module, is_package), text)
        elif isinstance(node, ast.Call):
            _note_call(node, text)
        elif isinstance(node, ast.Name | ast.Attribute) and id(node) not in text.told:
            _note_use(_dotted(node), text)
    if text.unnamed & text.bound.keys():
        text.tables.add("*")
    for statement in tree.body:
        text.own |= set(_defined(statement))
    if is_package:
        text.passes_on = all(map(_passes_on, tree.body))
        if text.passes_on and "__getattr__" in text.own:
            for statement in tree.body:
                for name, (home, member) in _late_names(statement):
                    text.bound.setdefault(name, []).append((home, member))
    return text


def _running(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the nodes of code that can run; of ``a.b.c`` the whole only, not ``a.b`` and ``a``."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and _dotted(node.test)[-1:] == ("TYPE_CHECKING",):
            waiting += node.orelse
        elif isinstance(node, ast.Attribute):
            while isinstance(node, ast.Attribute):
                node = node.value
            if not isinstance(node, ast.Name):
                waiting.append(node)
        else:
            waiting += ast.iter_child_nodes(node)


def _note_import(node: ast.Import | ast.ImportFrom, origin: str, text: _Text) -> None:
    for alias in node.names:
        name, full = alias.asname or alias.name, f"{origin}.{alias.name}".strip(".")
        if isinstance(node, ast.Import):
            text.imports.add((alias.name, ()))
            top = alias.name if alias.asname else alias.name.partition(".")[0]
            text.bound.setdefault(alias.asname or top, []).append((top, ()))
        elif alias.name == "*":  # every name of it, as if it was used by one
            text.stars.add(origin)
            text.bound[full] = [(origin, ())]
            text.uses.add((full,))
        else:
            text.imports.add((origin, (alias.name,)))
            text.bound.setdefault(name, []).append((origin, (alias.name,)))
        text.reads_files |= full.startswith(READERS)
        text.anything |= full == "importlib.import_module" and name != alias.name
        if alias.name == TABLES and name != TABLES:
            text.tables.add("*")


def _note_call(node: ast.Call, text: _Text) -> None:
    """Write down a module or a table that is loaded by a literal name; all else `_note_use` will meet."""
    called, first = _dotted(node.func)[-1:], node.args[0] if node.args else None
    if not (isinstance(first, ast.Constant) and isinstance(name := first.value, str)):
        return
    if called and called[0] in IMPORTERS and not name.startswith("."):
        text.uses.add((f"={name}",))
        text.bound[f"={name}"] = [(name, ())]
        text.told.add(id(node.func))
    elif called == (TABLES,):
        text.tables.add(name)
        text.uses.add(_dotted(node.func))
        text.told.add(id(node.func))


def _note_use(names: tuple[str, ...], text: _Text) -> None:
    if names:
        text.uses.add(names)
        text.reads_files |= "__file__" in names
        text.anything |= names[-1] in IMPORTERS or names in (("eval",), ("exec",), ("sys", "modules"))
        if names[-1] == TABLES:
            text.unnamed.add(names[0])


def _origin(node: ast.Import | ast.ImportFrom, module: str, is_package: bool) -> str:
    """Return the full name of the module from which names are imported; empty for ``import module``."""
    if isinstance(node, ast.Import):
        return ""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    parts = parts[: len(parts) - node.level + is_package]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _dotted(node: ast.AST) -> tuple[str, ...]:
    """Return the names of a chain such as ``a.b.c``; empty for anything else."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return (node.id, *reversed(attributes)) if isinstance(node, ast.Name) else ()


def _defined(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement at the top level defines itself, where code runs."""
    if isinstance(statement, ast.If) and _dotted(statement.test)[-1:] == ("TYPE_CHECKING",):
        for inner in statement.orelse:
            yield from _defined(inner)
    elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def _passes_on(statement: ast.stmt) -> bool:
    """Return whether a statement of an ``__init__`` computes nothing: an import, a text, a table of names."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return True
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.If):
        return _dotted(statement.test)[-1:] == ("TYPE_CHECKING",) and all(map(_passes_on, statement.orelse))
    if isinstance(statement, ast.FunctionDef):
        return statement.name in ("__getattr__", "__dir__")
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        names = list(_defined(statement))
        plain = isinstance(statement.value, ast.Constant) or any(_late_names(statement))
        return plain or names == ["__all__"]
    return False


def _late_names(statement: ast.stmt) -> Iterator[tuple[str, Place]]:
    """Yield the names of a table such as ``{"fit": "package.training:fit"}``, and to where each leads."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or not isinstance(statement.value, ast.Dict):
        return
    for key, value in zip(statement.value.keys, statement.value.values, strict=True):
        if not (isinstance(key, ast.Constant) and isinstance(value, ast.Constant)):
            return
        home, _, member = str(value.value).partition(":")
        yield str(key.value), (home, (member,) if member else ())


def _parents(module: str) -> Iterator[str]:
    """Yield the packages in which a module lies."""
    while "." in module:
        module = module.rpartition(".")[0]
        yield module


def _is_one_of(path: Path, tables: set[str]) -> bool:
    """Return whether a file is a table of one of these names, ``paper/table``; a star is every name."""
    return "*" in tables or f"{path.parent.parent.name}/{path.stem}" in tables
