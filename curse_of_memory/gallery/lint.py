"""Checks that notebooks, their modules, papers and presets agree, and that nbval can test the notebooks.

nbval compares a notebook with the outputs it is committed with, and passes silently where there are none.
What would make it pass or fail for the wrong reason is complained of here.
"""

import ast
import contextlib
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from curse_of_memory.gallery.catalogue import Catalogue
from curse_of_memory.gallery.estimates import check_cost
from curse_of_memory.gallery.notebooks import PACKAGE, Notebook, source
from curse_of_memory.gallery.parameters import COMMON, same_value
from curse_of_memory.gallery.scales import FULL_SCALE
from curse_of_memory.gallery.standing import FigureStanding

__all__ = ["lint", "lint_scales"]

MAX_BYTES = 1_500_000

UNCOMPARED_TAGS = {"nbval-ignore-output", "nbval-skip"}
PICTURES = {"image/png", "image/jpeg"}  # nbval compares all other outputs

# folders that exist on one machine and not on the next
MACHINE_PATH = re.compile(r"(?<![\w./~-])(/(home|Users|root|tmp|var|opt|usr|mnt|media)/|~/|[A-Za-z]:\\)")
ABSOLUTE = re.compile(r"(/\w|~/|[A-Za-z]:[\\/])")


def lint(notebooks: Mapping[str, Notebook], catalogue: Catalogue) -> list[str]:
    """Return the complaints, one line each; none if all is in order.

    Parameters
    ----------
    notebooks : mapping
        All of the project, by name.
    catalogue : Catalogue
        The papers; presets are complained of if it was held against the notebooks.
    """
    complaints = [*catalogue.troubles.values(), *(n.trouble for n in notebooks.values() if n.trouble)]
    for notebook in notebooks.values():
        if notebook.folder not in catalogue.folders and notebook.folder not in catalogue.troubles:
            place = f"papers/{notebook.folder or '<folder>'}/paper.yaml"
            complaints.append(f"{notebook.name} has no folder of a paper: {place} is missing")
        if not notebook.trouble:
            said = (*_module(notebook, catalogue), *_parameters(notebook), *_committed(notebook))
            complaints += [f"{notebook.name}: {text}" for text in said]
    complaints += [
        f"papers/{module}.py has no notebook of its name"
        for module in sorted(catalogue.modules - notebooks.keys())
    ]
    for one, next_one in pairwise(catalogue.papers):
        if one.order == next_one.order:
            complaints.append(f"papers {one.folder} and {next_one.folder} are both of order {one.order}")
    complaints += _costs(catalogue, notebooks)
    complaints += _sizes(catalogue, notebooks)
    complaints += [
        f"paper.yaml of {item.paper}: {item.key} names {item.notebook}, which is no notebook"
        for item in catalogue.items
        if item.notebook and item.notebook not in notebooks
    ]
    return list(dict.fromkeys(complaints))


def lint_scales(figures: Mapping[str, FigureStanding]) -> list[str]:
    """Return the complaints about figures at full scale, one line each: they are spoilt, or of another scale.

    `figures` are from `ledger.standings`.
    """
    complaints = []
    for name, best in figures.items():
        for one in (best, best.other):
            if one and one.folder and one.trouble:
                complaints.append(one.trouble)
            elif one and one.folder and one.preset != FULL_SCALE:
                what = ", ".join(one.reduced)
                complaints.append(
                    f"{one.folder}{name} was made with another {what} than its paper's preset has"
                )
    return complaints


def _module(notebook: Notebook, catalogue: Catalogue) -> Iterator[str]:
    """Yield complaints about the module of the notebook's figure, which has the notebook's name."""
    if notebook.name not in catalogue.modules:
        yield f"there is no module papers/{notebook.name}.py, which computes its figure"
    elif f"{PACKAGE.name}.papers.{notebook.name.replace('/', '.')}" not in _imports(notebook):
        yield f"it does not import the module of its figure, papers/{notebook.name}.py"


def _imports(notebook: Notebook) -> set[str]:
    """Return the full names of all that the code of a notebook imports: modules, and names in them."""
    imported: set[str] = set()
    for cell in notebook.code_cells:
        with contextlib.suppress(SyntaxError):  # which is another complaint
            for node in ast.walk(ast.parse(source(cell))):
                if isinstance(node, ast.Import):
                    imported |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    imported |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return imported


def _costs(catalogue: Catalogue, notebooks: Mapping[str, Notebook]) -> Iterator[str]:
    """Yield complaints about costs: of unknown notebooks, no formulas of parameters, or missing ones."""
    for name, formula in catalogue.costs.items():
        if name not in notebooks:
            yield f"paper.yaml gives the cost of {name}, which is no notebook"
        elif not notebooks[name].trouble:
            try:
                check_cost(formula, notebooks[name].parameters)
            except ValueError as error:
                yield f"{name}: {error}"
    for name, values in catalogue.presets.get(FULL_SCALE, {}).items():
        if name not in notebooks or notebooks[name].trouble or name in catalogue.costs:
            continue
        defaults = {key: parameter.default for key, parameter in notebooks[name].parameters.items()}
        if any(not same_value(defaults.get(key), value) for key, value in values.items()):
            yield f"{name} has a full scale and no cost in paper.yaml"


def _sizes(catalogue: Catalogue, notebooks: Mapping[str, Notebook]) -> Iterator[str]:
    """Yield complaints about whose the sizes of full scale are: said of unknown notebooks, or not said."""
    papers = {paper.folder for paper in catalogue.papers}
    for name in catalogue.sizes:
        if name not in notebooks:
            yield f"paper.yaml says whose the sizes of {name} are, which is no notebook"
    for name in catalogue.presets.get(FULL_SCALE, {}):
        if name not in notebooks or notebooks[name].trouble or name in catalogue.sizes:
            continue
        if name.partition("/")[0] in papers:
            yield f"{name} has a full scale, and paper.yaml does not say whose its sizes are"


def _parameters(notebook: Notebook) -> Iterator[str]:
    declared = notebook.parameters
    for name, (type_name, default) in COMMON.items():
        if name not in declared:
            yield f"the parameter {name!r} is missing"
        elif declared[name].type != type_name:
            yield f"the parameter {name!r} must be of type {type_name}, not {declared[name].type}"
        elif default is not None and declared[name].default != default:
            yield f"the parameter {name!r} must be {default!r} by default"
    if notebook.needs_data and "data" not in declared:
        yield "the parameter 'data' is missing, which chooses between real data and their stand-in"
    for name in notebook.paths:
        if name not in declared or (declared[name].type, declared[name].default) != ("str", ""):
            yield f"the parameter {name!r}, one of its paths, must be a str, and empty by default"
    yield from (f"the parameter {name!r} has no help comment" for name, p in declared.items() if not p.help)


def _committed(notebook: Notebook) -> Iterator[str]:
    """Yield complaints about the notebook as a committed file."""
    metadata = notebook.content.get("metadata", {})
    if metadata.get("kernelspec", {}).get("name") != "python3":
        yield "the kernelspec must be python3"
    if notebook.title == notebook.stem:
        yield "there is no title: the first heading of level one in a text cell"
    cells = notebook.code_cells
    injected = any("injected-parameters" in cell.get("metadata", {}).get("tags", []) for cell in cells)
    if injected or "papermill" in metadata:
        yield "it is an output of papermill; run 'curse-of-memory refresh'"
    if (size := notebook.path.stat().st_size) > MAX_BYTES:
        yield f"it has {size / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.1f}"

    counts = [cell.get("execution_count") for cell in cells if source(cell).strip()]
    if counts != list(range(1, len(counts) + 1)):
        yield "the cells were not run once each from the top; run 'curse-of-memory refresh'"
    if not any(_compared(cell) for cell in cells):
        yield "nothing in its outputs can be compared; print a number"
    for number, cell in enumerate(cells, start=1):
        yield from (f"code cell {number} {text}" for text in (*_code(source(cell)), *_outputs(cell)))


def _compared(cell: Mapping) -> bool:
    """Return whether nbval compares an output of the cell."""
    if UNCOMPARED_TAGS & set(cell.get("metadata", {}).get("tags", [])):
        return False
    return any(
        output.get("name") == "stdout" or (output.get("data") and not PICTURES & output["data"].keys())
        for output in cell.get("outputs", [])
    )


def _code(code: str) -> Iterator[str]:
    lines = [line.partition("#")[0].rstrip() for line in code.splitlines()]
    if any(line.endswith(";") for line in lines):
        yield "has a trailing ';', which hides the output from Jupyter and not from nbval"
    if "sys.path" in code:
        yield "uses sys.path; the package is installed"
    try:
        tree = ast.parse(code)
    except SyntaxError:
        yield "is not plain Python"
        return
    texts = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    if path := next((text for text in texts if ABSOLUTE.match(text)), None):
        yield f"has an absolute path, {path!r}"


def _outputs(cell: Mapping) -> Iterator[str]:
    for output in cell.get("outputs", []):
        if output["output_type"] == "error":
            yield f"ends with an error, {output.get('ename')}"
        elif output.get("name") == "stderr":
            yield "writes to stderr"
        data = output.get("data", {})
        texts = [output.get("text", ""), *(data[kind] for kind in data if kind.startswith("text/"))]
        shown = "\n".join(text if isinstance(text, str) else "".join(text) for text in texts)
        if MACHINE_PATH.search(shown) or sys.prefix in shown or str(Path.home()) + "/" in shown:
            yield "shows an absolute path"
