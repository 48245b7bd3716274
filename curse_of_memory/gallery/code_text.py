"""What a piece of code imports, and which names it uses, read from its text without running it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["TABLES", "CodeText", "ImportedName", "read_code"]

TABLES = "reference"  # the function that reads a table of published numbers, and the folders of these tables
IMPORTERS = ("import_module", "__import__")
READERS = ("importlib.resources", "pkgutil.get_data")
EXECUTORS = ("eval", "exec", "globals", "locals")
LOADERS = (
    *("importlib.machinery", "importlib.util.spec_from_file_location", "pkgutil.resolve_name"),
    *("pydoc.locate", "runpy", "sys.modules", *(f"builtins.{name}" for name in EXECUTORS)),
)

LOADED = ("modules", "get")  # of sys: a module by its name, if it was imported before

ImportedName = tuple[
    str, tuple[str, ...]
]  # a module, and a name in it, with the attributes that are taken of it


@dataclass
class CodeText:
    """What one text imports, and which names it uses.

    Attributes
    ----------
    imports : set of ImportedName
        Modules that are imported, and names that are imported from them.
    bound : dict of str to list of ImportedName
        What a name can stand for, by the imports.
    stars : set of str
        Modules of which all names are imported.
    uses : set of tuple of str
        The names that occur, each with the attributes that are taken of it.
    own : set of str
        The names that are defined at the top level.
    tables : set of str
        Names of tables of published numbers that are read; a star if a name is computed.
    passes_on : bool
        Whether it is an ``__init__`` that computes nothing.
    anything : bool
        Whether it may import any module.
    reads_files : bool
        Whether it may read files beside it.
    reads_elsewhere : bool
        Whether it may read files in other folders of the package.
    """

    imports: set[ImportedName] = field(default_factory=set)
    bound: dict[str, list[ImportedName]] = field(default_factory=dict)
    stars: set[str] = field(default_factory=set)
    uses: set[tuple[str, ...]] = field(default_factory=set)
    own: set[str] = field(default_factory=set)
    tables: set[str] = field(default_factory=set)
    passes_on: bool = False
    anything: bool = False
    reads_files: bool = False
    reads_elsewhere: bool = False


def read_code(module: str, code: str, is_package: bool = False) -> CodeText:
    """Return what a text imports and uses.

    Parameters
    ----------
    module : str
        The full name of its module, from which relative imports start; empty for a notebook.
    code : str
        The text; one that is no Python may import any module.
    is_package : bool
        Whether it is that of an ``__init__``.
    """
    text = CodeText()
    told: set[int] = set()  # functions whose calls are written down
    computed: set[str] = set()  # names by which tables may be read whose names are computed
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        text.anything = True
        return text
    nodes = list(_running(tree))
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            _note_import(node, _origin(node, module, is_package), text)
        elif isinstance(node, ast.Call):
            if _note_call(node, text):
                told.add(id(node.func))
        elif isinstance(node, ast.Name | ast.Attribute) and id(node) not in told and (names := _dotted(node)):
            _note_use(names, text)
            computed |= {names[0]} if names[-1] == TABLES else set()
        elif isinstance(node, ast.ClassDef):  # what is imported in a class is an attribute of it
            for inner in node.body:
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    text.uses |= {((a.asname or a.name).partition(".")[0],) for a in inner.names}
    for statement in tree.body:
        text.own |= set(_defined(statement))
    for name, *attributes in text.uses:
        for home, way in text.bound.get(name, ()):
            _note_thing(".".join((home, *way, *attributes)), text)
    if computed & text.bound.keys() or (computed and text.stars):
        text.tables.add("*")
    if TABLES in text.own:  # the function itself, of which is known what it reads
        text.reads_files = text.reads_elsewhere = False
    elif (text.reads_files or text.reads_elsewhere) and any(map(_names_tables, nodes)):
        text.tables.add("*")
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


def _note_import(node: ast.Import | ast.ImportFrom, origin: str, text: CodeText) -> None:
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
        text.reads_elsewhere |= full.startswith(READERS)
        text.anything |= alias.name in IMPORTERS and name != alias.name
        if alias.name == TABLES and name != TABLES:
            text.tables.add("*")


def _note_call(node: ast.Call, text: CodeText) -> bool:
    """Write down a module or a table that is loaded by a literal name; return whether this is such a call."""
    called, first = _dotted(node.func)[-1:], node.args[0] if node.args else None
    loaded = _dotted(node.func)[-2:] == LOADED
    if called == (TABLES,) and isinstance(node.func, ast.Attribute) and not isinstance(first, ast.Constant):
        text.tables.add("*")  # of whatever module it is
    if not (isinstance(first, ast.Constant) and isinstance(name := first.value, str)):
        return False
    if loaded or (called and called[0] in IMPORTERS and not name.startswith(".")):
        text.uses.add((f"={name}",))
        text.bound[f"={name}"] = [(name, ())]
        return True
    elif called == (TABLES,):
        text.tables.add(name)
        text.uses.add(_dotted(node.func))
        return True
    return False


def _note_thing(full: str, text: CodeText) -> None:
    """Write down what the full name of a thing that is used says: that it loads code, or reads files."""
    text.reads_elsewhere |= full.startswith(READERS)
    text.anything |= full == "importlib" or full.startswith(LOADERS)


def _names_tables(node: ast.AST) -> bool:
    """Return whether a node is a text in which the folders of tables occur as part of a path."""
    return (
        isinstance(node, ast.Constant) and isinstance(text := node.value, str) and TABLES in text.split("/")
    )


def _note_use(names: tuple[str, ...], text: CodeText) -> None:
    text.uses.add(names)
    text.reads_files |= names == ("__file__",)
    text.reads_elsewhere |= "__file__" in names[1:]
    text.anything |= names[-1] in IMPORTERS or (len(names) == 1 and names[0] in EXECUTORS)


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


def _late_names(statement: ast.stmt) -> Iterator[tuple[str, ImportedName]]:
    """Yield the names of a table such as ``{"fit": "package.training:fit"}``, and to where each leads."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or not isinstance(statement.value, ast.Dict):
        return
    for key, value in zip(statement.value.keys, statement.value.values, strict=True):
        if not (isinstance(key, ast.Constant) and isinstance(value, ast.Constant)):
            return
        home, _, member = str(value.value).partition(":")
        yield str(key.value), (home, (member,) if member else ())
