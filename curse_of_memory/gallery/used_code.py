"""The modules of this package that a notebook uses, directly or through others, and the data files they read.

They are told from the texts of notebook and modules; nothing is imported. The answer holds all that a run
uses, and may hold more: an import counts wherever it stands, also in a function that is never called.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from curse_of_memory.gallery.catalogue import DESCRIPTION
from curse_of_memory.gallery.code_text import TABLES, CodeText, ImportedName, read_code
from curse_of_memory.gallery.notebooks import PACKAGE
from curse_of_memory.tools.files import checksum

__all__ = ["PackageCode"]

APART = ("gallery", "cli.py", "__main__.py")  # what no figure uses, as the contracts of imports guarantee
PLAIN = ("__all__", "__doc__", "__file__", "__name__", "__path__", "__version__")  # what lies in any module


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
        self._texts: dict[str, CodeText] = {}
        self._direct: dict[str, frozenset[str]] = {}
        self._checksums: dict[Path, str] = {}

    def used_by(self, code: str) -> dict[str, str]:
        """Return the checksums of the files that `code` uses, by their path in the package."""
        modules = self.modules_used_by(code)
        texts = [read_code("", code), *map(self._text, modules)]
        tables = {table for text in texts for table in text.tables}
        anywhere = any(text.reads_elsewhere for text in texts)
        files = {self._files[module] for module in modules} | self._data_of(modules, tables, anywhere)
        for path in files - self._checksums.keys():
            self._checksums[path] = checksum(path)
        return {path.relative_to(self.package).as_posix(): self._checksums[path] for path in sorted(files)}

    def modules_used_by(self, code: str) -> set[str]:
        """Return the full names of the modules that `code` uses."""
        waiting, used = set(self._uses(read_code("", code))), set()
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
        for path in self._committed:
            if path.suffix == ".py":
                parts = path.relative_to(self.package).with_suffix("").parts
                parts = parts[:-1] if parts[-1] == "__init__" else parts
                files[".".join((self.package.name, *parts))] = path
        return files

    @cached_property
    def _data(self) -> list[Path]:
        """The files of the package that are no code."""
        return [path for path in self._committed if path.suffix != ".py" and path.name != DESCRIPTION]

    @cached_property
    def _committed(self) -> list[Path]:
        """The files of the package that figures can use, without what Python and our engine keep compiled."""
        return [
            path
            for path in sorted(self.package.rglob("*"))
            if (parts := path.relative_to(self.package).parts)[0] not in APART
            and not any(part == "__pycache__" or part.startswith(".") for part in parts)
            and path.is_file()
        ]

    def _data_of(self, modules: Iterable[str], tables: set[str], anywhere: bool) -> set[Path]:
        """Return the data files that modules read: the tables of these names, and files beside a module.

        If one may read `anywhere` in the package, all files but tables are beside it.
        """
        folders = [self._files[module].parent for module in modules if self._text(module).reads_files]
        folders += [self.package] if anywhere else []
        read = {path for path in self._data if path.parent.name == TABLES and _is_one_of(path, tables)}
        beside = {path for path in self._data if any(map(path.is_relative_to, folders))}
        return read | {path for path in beside if path.parent.name != TABLES}

    def _text(self, module: str) -> CodeText:
        if module not in self._texts:
            path = self._files[module]
            code = path.read_text(encoding="utf-8", errors="surrogateescape")  # then it is no Python to us
            self._texts[module] = read_code(module, code, path.name == "__init__.py")
        return self._texts[module]

    def _uses(self, text: CodeText) -> set[str]:
        """Return the modules that a text uses directly."""
        if text.anything:
            return set(self._files)
        used = set()
        for module, names in text.imports:
            used |= self._followed(module, names, whole=False)
        for name, *attributes in text.uses:
            for module, names in text.bound.get(name, ()):
                used |= self._followed(module, (*names, *attributes), whole=True)
            for module in text.stars:
                used |= self._followed(module, (name, *attributes), whole=True)
        return used

    def _followed(
        self, module: str, names: tuple[str, ...], *, whole: bool, seen: frozenset[ImportedName] = frozenset()
    ) -> set[str]:
        """Return the modules that ``module.a.b`` uses, where `names` are ``(a, b)``.

        If that is a package, all that lies in it counts if it is used as a `whole`.
        """
        if (module, names) in seen:
            return set()
        if module not in self._files:  # another's, or a folder without an __init__
            inside = {inner for inner in self._files if inner.startswith(f"{module}.")}
            submodule = ".".join((module, *names[:1]))
            if names and submodule in inside:
                return self._followed(submodule, names[1:], whole=whole, seen=seen | {(module, names)})
            return inside if names or whole else set()
        text, seen = self._text(module), seen | {(module, names)}
        targets: list[ImportedName] = []
        if names:
            first, rest = names[0], names[1:]
            homes = [home for home, _ in text.bound.get(first, ())] if text.passes_on else []
            if "__getattr__" in text.own and not all(home in self._files for home in homes):
                return self._followed(module, (), whole=True, seen=seen)  # it makes full names of these
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
            targets = [place for places in text.bound.values() for place in places]
            targets = targets if text.passes_on else [place for place in targets if self._is_package(*place)]
            targets += [(inner, ()) for inner in self._files if inner.startswith(f"{module}.")]
        used = {module}
        for target, way in targets:
            used |= self._followed(target, way, whole=whole, seen=seen)
        return used

    def _is_package(self, module: str, names: tuple[str, ...]) -> bool:
        """Return whether what is imported is a package that only passes names on."""
        full = ".".join((module, *names))
        return full in self._files and self.passes_on(full)


def _parents(module: str) -> Iterator[str]:
    """Yield the packages in which a module lies."""
    while "." in module:
        module = module.rpartition(".")[0]
        yield module


def _is_one_of(path: Path, tables: set[str]) -> bool:
    """Return whether a file is a table of one of these names, ``paper/table``; a star is every name."""
    return "*" in tables or f"{path.parent.parent.name}/{path.stem}" in tables
