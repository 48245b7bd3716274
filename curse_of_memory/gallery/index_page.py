"""The index page: one card a figure, by paper, as a static page that needs nothing from elsewhere."""

import csv
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from curse_of_memory import __version__
from curse_of_memory.files import whole_file
from curse_of_memory.gallery.ledger import Paper, read_inventory, read_papers, statuses
from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.results import Result, find_result

__all__ = ["Card", "index_html", "write_index"]

PREVIEW_ROWS = 6  # of the data, where a table has no picture


@dataclass(frozen=True)
class Card:
    """What the page says about one figure; paths are relative to the page."""

    result: Result
    status: str
    picture: str
    wide: bool
    preview: list[list[str]]
    links: list[tuple[str, str]]


def index_html(notebooks: Mapping[str, Notebook], full_scale: Mapping[str, Mapping], out: Path) -> str:
    """Return the page for the figures that are in `out`."""
    from jinja2 import Environment, PackageLoader

    papers = read_papers()
    sections: list[tuple[Paper | None, list[Card]]] = [(paper, []) for paper in papers] + [(None, [])]
    by_folder = {paper.folder: cards for paper, cards in sections if paper}
    states = statuses(notebooks, full_scale, out)
    results = []
    places = [item.notebook for item in read_inventory()]
    in_order = sorted(notebooks, key=lambda name: places.index(name) if name in places else len(places))
    for name in in_order:
        notebook = notebooks[name]
        if result := find_result(out, notebook):
            results.append(result)
            card = _card(notebook, result, states[name], out)
            by_folder.get(notebook.folder, sections[-1][1]).append(card)
    newest = max(results, key=lambda result: result.created, default=None)
    page = Environment(
        loader=PackageLoader("curse_of_memory.gallery", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return page.get_template("index.html.j2").render(
        sections=[(paper, cards) for paper, cards in sections if cards],
        count=len(results),
        # of the figures, not of this moment: the page changes only when a figure does
        made=newest.created[:10] if newest else "",
        versions=newest.versions if newest else {},
        version=__version__,
    )


def write_index(notebooks: Mapping[str, Notebook], full_scale: Mapping[str, Mapping], out: Path) -> None:
    """Write ``index.html`` into `out`."""
    with whole_file(out / "index.html") as draft:
        draft.write_text(index_html(notebooks, full_scale, out), encoding="utf-8")


def _card(notebook: Notebook, result: Result, state: str, out: Path) -> Card:
    def there(suffix: str) -> str:
        return f"{notebook.name}.{suffix}" if (out / f"{notebook.name}.{suffix}").is_file() else ""

    links = [
        (suffix.upper(), there(suffix)) for suffix in ("pdf", "md", "tex", "csv", "json") if there(suffix)
    ]
    # only a page inside the project can point to the notebook without naming this machine's folders
    root = notebook.path.parents[notebook.name.count("/") + 1].resolve()
    if out.resolve().is_relative_to(root):
        links.append(("Notebook", Path(os.path.relpath(notebook.path.resolve(), out.resolve())).as_posix()))
    picture = there("png")
    return Card(
        result=result,
        status=state,
        picture=picture,
        wide=bool(picture) and _is_wide(out / picture),
        preview=[] if picture else _preview(out / f"{notebook.name}.csv"),
        links=links,
    )


def _is_wide(png: Path) -> bool:
    """Return whether a picture is more than twice as wide as it is high, by its header."""
    with png.open("rb") as handle:
        header = handle.read(24)
    if len(header) < 24 or not header.startswith(b"\x89PNG"):
        return False
    width, height = struct.unpack(">II", header[16:24])
    return width > 2 * height


def _preview(path: Path) -> list[list[str]]:
    """Return the header and the first rows of a table's data."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as handle:
        return list(islice(csv.reader(handle), PREVIEW_ROWS + 1))
