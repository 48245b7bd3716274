"""Docstrings are plain text with names and formulas in Unicode; here they become what Sphinx reads.

Names in single backticks are links where they name something public, and code where not. Bars are bars.
Indented lines are formulas, as they stand. The number of a paper on arXiv is its key in the bibliography.
The rest is read by numpydoc, which would compile its template anew for each docstring.
"""

import functools
import importlib
import inspect
import itertools
import pkgutil
import re
from pathlib import Path
from typing import Any

import numpydoc
from jinja2 import PackageLoader, Template
from jinja2.sandbox import SandboxedEnvironment
from numpy.typing import ArrayLike
from numpydoc import docscrape, docscrape_sphinx
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

from curse_of_memory.report.citations import references
from generators.public_names import assigned_at, home_of, listed, public_names, said_of

ROLE = re.compile(r"(?::(?:func|class|meth|mod|data|attr|exc|obj):)?`([~.!]?[\w.]+)`")
ARXIV = re.compile(r"\((\d{4}\.\d{5})\)|\b(\d{4}\.\d{5})\b")
RULE = re.compile(r" *=+( +=+)+ *")  # of a table
HEADING = re.compile(r"^([A-Z][\w ]{1,24}\.) {2,}(?=\S)")  # Source.    As this, with lines below it indented


def data_directive(path: str) -> list[str]:
    """Return how a constant is shown: its value, if that is short, and what the source says of it."""
    thing = pkgutil.resolve_name(path)
    value = repr(thing)
    shown = [f"   :value: {value}"] if len(value) < 70 and not value.startswith("<") else []
    said = translated(said_of(path).splitlines(), assigned_at(path), thing)
    module, _, name = path.rpartition(".")
    return [f".. py:data:: {name}", f"   :module: {module}", *shown, "", *(f"   {line}" for line in said)]


def translated(lines: list[str], name: str, thing: Any) -> list[str]:
    """Return the lines of the docstring of `thing`, which is documented as `name`."""
    lines = _listed_tables(lines)
    found: list[str] = []
    literal = doctest = False
    depth = hanging = 0  # the indentation of the last line that is text, and that of lines below a heading
    for number, line in enumerate(lines):
        bare = line.lstrip()
        indent = len(line) - len(bare)
        above = lines[number - 1].strip() if number else ""
        if not bare:
            doctest = False
        elif literal and indent > depth:
            pass
        elif doctest or bare.startswith(">>>"):
            doctest, literal = True, False
        elif not above and indent > depth and not re.match(r">>>|[-*+•] |\d+\. |\.\. |==", bare) and found:
            found += [f"{' ' * depth}.. code-block:: none", f"{' ' * (depth + 3)}:class: formula", ""]
            literal = True
        else:
            literal = False
            if hanging and indent >= hanging:
                indent, line = 0, bare
            elif heading := HEADING.match(line):
                hanging = heading.end()
                if above:
                    found.append("")
                line = f"**{heading[1]}** {line[hanging:]}"
            else:
                hanging = 0
            depth = indent
            found.append(_prose(line, name, thing))
            literal = bare.endswith("::") and not bare.startswith(".. ")
            continue
        found.append(line)
    return found


def _listed_tables(lines: list[str]) -> list[str]:
    """Return the lines with tables between rules of ``===`` as lists of cells, which may grow."""
    found: list[str] = []
    rest = iter(lines)
    for line in rest:
        if not RULE.fullmatch(line):
            found.append(line)
            continue
        starts = [column.start() for column in re.finditer("=+", line)]
        lines_of_table = list(itertools.takewhile(str.strip, rest))  # a blank line ends it
        rules = sum(RULE.fullmatch(row) is not None for row in lines_of_table)
        margin = " " * starts[0]
        found += [f"{margin}.. list-table::", f"{margin}   :header-rows: {rules - 1}", ""]
        for row in lines_of_table:
            if RULE.fullmatch(row):
                continue
            cells = [row[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
            if not cells[0]:  # the row goes on
                found += [f"{margin}       {cell}" for cell in cells if cell]
                continue
            marks = ["* -", *(len(cells) - 1) * ["  -"]]
            found += [f"{margin}   {mark} {cell}".rstrip() for mark, cell in zip(marks, cells, strict=True)]
        found.append("")
    return found


def _prose(line: str, name: str, thing: Any) -> str:
    """Return a line of text: links, bars and numbers of papers, but not in what stands as code."""
    pieces = re.split(r"(``.+?``)", line)
    for number in range(0, len(pieces), 2):
        text = pieces[number].replace("|", r"\|")
        text = ROLE.sub(lambda role: _apart(_link(role[1], name, thing), role), text)
        pieces[number] = ARXIV.sub(lambda number: cited(number, ":cite:p:`{}`"), text)
    return "".join(pieces)


def _apart(markup: str, role: re.Match[str]) -> str:
    """Return markup with nothing that shows before and after it where letters are, as in `m`²."""
    before, after = role.string[: role.start()][-1:], role.string[role.end() :][:1]
    return f"{chr(92) + ' ' if before.isalnum() else ''}{markup}{chr(92) + ' ' if after.isalnum() else ''}"


def cited(number: re.Match[str], markup: str) -> str:
    """Return the citation of a number on arXiv in a `markup`; the number if it is not in the bibliography."""
    key = keys_by_number().get(number[1] or number[2])
    return markup.format(key) if key else number[0]


@functools.cache
def keys_by_number() -> dict[str, str]:
    """Return the keys of the bibliography by the numbers on arXiv."""
    return {reference.arxiv: key for key, reference in references().items() if reference.arxiv}


def _link(target: str, name: str, thing: Any) -> str:
    shown = target.lstrip("~.!")
    path = "" if target.startswith("!") else _path(shown, name, thing)
    return f":py:obj:`{shown} <{path}>`" if path else f"``{shown}``"


def _path(target: str, name: str, thing: Any) -> str:
    """Return where the site has what `target` names in a docstring; empty if it has it nowhere."""
    first, *rest = target.split(".")
    if callable(thing) and not inspect.isclass(thing) and first in _parameters(thing):
        return ""
    for holder, where in _holders(name, thing):
        if hasattr(holder, first):
            path = f"{where}.{first}" if where else shown_at().get(home_of(getattr(holder, first)), "")
            return ".".join((path, *rest)) if path else ""
    return target if target.startswith("curse_of_memory") else ""


def _holders(name: str, thing: Any) -> list[tuple[Any, str]]:
    """Return in what a name of a docstring is looked for: the class, as it is shown, and then the module."""
    holders: list[tuple[Any, str]] = []
    if inspect.isclass(thing):
        holders.append((thing, name))
    module = importlib.import_module(thing.__name__ if inspect.ismodule(thing) else _module(name, thing))
    parent = name.rpartition(".")[0]
    owner = getattr(module, parent.rpartition(".")[2], None)
    if not inspect.isclass(thing) and inspect.isclass(owner):
        holders.append((owner, parent))
    return [*holders, (module, "")]


def _module(name: str, thing: Any) -> str:
    module = getattr(thing, "__module__", None)
    return module if isinstance(module, str) and module.startswith("curse_of_memory") else "curse_of_memory"


def _parameters(thing: Any) -> set[str]:
    try:
        return set(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        return set()


@functools.cache
def shown_at() -> dict[str, str]:
    """Return under which name each public thing is on the site: that of a page, else the first."""
    names = public_names()
    by_path = {public.path: public for public in names}
    found = {
        by_path[path].home: path for path in listed(Path(__file__).parents[1] / "api") if path in by_path
    }
    for public in names:
        found.setdefault(public.home, public.path)
    return found


def _translate(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = translated(lines, name, thing)


def short_signature(signature: str) -> str:
    """Return a signature with the name of what may become an array, in place of all that this is."""
    for mode in ("smart", "fully-qualified"):
        signature = signature.replace(stringify_annotation(ArrayLike, mode), "numpy.typing.ArrayLike")
    return signature


def _shorten(app: Sphinx, what: str, name: str, thing: Any, options: Any, *said: str | None) -> tuple | None:
    """Shorten the arguments and what is returned."""
    return tuple(one and short_signature(one) for one in said)


@functools.cache
def template() -> Template:
    """Return how numpydoc lays out a docstring."""
    return SandboxedEnvironment(loader=PackageLoader("numpydoc")).get_template("numpydoc_docstring.rst")


def read(
    thing: Any,
    what: str | None = None,
    text: str | None = None,
    config: dict[str, Any] | None = None,
    builder: Any = None,
) -> docscrape.NumpyDocString:
    """Return what numpydoc reads in a docstring, to be laid out by the one template."""
    return docscrape.get_doc_object(
        thing,
        what,
        text,
        (config or {}) | {"template": template()},
        class_doc=docscrape_sphinx.SphinxClassDoc,
        func_doc=docscrape_sphinx.SphinxFunctionDoc,
        obj_doc=docscrape_sphinx.SphinxObjDoc,
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Read docstrings before numpydoc does."""
    numpydoc.setup(app, read)
    app.connect("autodoc-process-docstring", _translate, priority=400)
    app.connect("autodoc-process-signature", _shorten, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
