"""The index page: one static HTML file with a card for every figure, by paper."""

import csv
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from curse_of_memory.gallery.catalogue import Catalogue, Paper
from curse_of_memory.gallery.figure_files import SUFFIXES
from curse_of_memory.gallery.ledger import statuses
from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.scaled_numbers import ScaledNumber, scaled_numbers
from curse_of_memory.gallery.standing import FigureStanding
from curse_of_memory.report.record import Record
from curse_of_memory.tools.files import is_plain_file, whole_file
from curse_of_memory.tools.versions import __version__

__all__ = ["Card", "index_html", "write_index"]

PREVIEW_ROWS, LONGEST_LINE = 6, 10_000  # of the data, where a table has no picture
LARGE, MANY_PANELS = 1800, 2200  # pixels, from which letters are too small at a half, at 0.6 of the page
MANY_NUMBERS, FIRST_NUMBERS = 10, 8  # where there are many, all but the first are folded away


@dataclass(frozen=True)
class Card:
    """What the page says about one figure; paths are relative to the page.

    `layout` is from :func:`_layout`; `more_numbers` are those that a reader unfolds; `columns` are
    the headings of the numbers, with the names of their fields. Where this is full scale, and the figure is
    there reduced, too, `reduced` is the record of that, and `reduced_links` are its files.
    """

    record: Record
    status: str
    preset: str
    picture: str
    layout: str
    preview: list[list[str]]
    numbers: list[ScaledNumber]
    more_numbers: list[ScaledNumber]
    columns: list[tuple[str, str]]
    links: list[tuple[str, str]]
    reduced: Record | None
    reduced_preset: str
    reduced_links: list[tuple[str, str]]


def index_html(
    catalogue: Catalogue,
    notebooks: Mapping[str, Notebook],
    standings: Mapping[str, FigureStanding],
    out: Path,
) -> str:
    """Return the HTML of the page for the figures in `out`; incomplete ones are only named."""
    from jinja2 import Environment, PackageLoader

    sections: list[tuple[Paper | None, list[Card]]] = [(paper, []) for paper in (*catalogue.papers, None)]
    by_folder = {paper.folder: cards for paper, cards in sections if paper}
    states = statuses(standings, catalogue.items)
    records = []
    places = [item.notebook for item in catalogue.items]
    in_order = sorted(notebooks, key=lambda name: places.index(name) if name in places else len(places))
    for name in in_order:
        notebook = notebooks[name]
        if record := standings[name].record:
            records += [one.record for one in standings[name].scales() if one.record]
            card = _card(notebook, record, states[name], standings[name], out)
            by_folder.get(notebook.folder, sections[-1][1]).append(card)
    newest = max(records, key=lambda record: record.created, default=None)
    page = Environment(
        loader=PackageLoader("curse_of_memory.gallery", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return page.get_template("index.html.j2").render(
        sections=[(paper, _without_gaps(cards)) for paper, cards in sections if cards],
        with_notebooks=any(
            label == "Notebook" for _, cards in sections for one in cards for label, _ in one.links
        ),
        count=sum(len(cards) for _, cards in sections),
        incomplete=[name for name in in_order if standings[name].troubles],
        # of the figures, not of this moment: the page changes only when a figure does
        made=newest.created[:10] if newest else "",
        versions=newest.versions if newest else {},
        version=__version__,
    )


def write_index(
    catalogue: Catalogue,
    notebooks: Mapping[str, Notebook],
    standings: Mapping[str, FigureStanding],
    out: Path,
) -> None:
    """Write ``index.html`` into `out`."""
    with whole_file(out / "index.html") as draft:
        draft.write_text(index_html(catalogue, notebooks, standings, out), encoding="utf-8")


def _card(notebook: Notebook, record: Record, state: str, figure: FigureStanding, out: Path) -> Card:
    def there(suffix: str, folder: str = figure.folder) -> str:
        name = f"{folder}{notebook.name}.{suffix}"
        return name if is_plain_file(out / name) else ""

    links = [(suffix.upper(), there(suffix)) for suffix in SUFFIXES if suffix != "png" and there(suffix)]
    if target := notebook.link_from(out):
        links.append(("Notebook", target))
    picture = there("png")
    rows = scaled_numbers(figure)
    first = FIRST_NUMBERS if len(rows) > MANY_NUMBERS else len(rows)
    other = figure.other if figure.other and figure.other.record else None
    smaller = [(suffix, there(suffix, other.folder)) for suffix in SUFFIXES] if other else []
    return Card(
        record=record,
        status=state,
        preset=figure.preset,
        picture=picture,
        layout=_layout(out / picture) if picture else "",
        preview=[] if picture else _preview(out / there("csv")) if there("csv") else [],
        numbers=rows[:first],
        more_numbers=rows[first:],
        columns=_columns(figure, record),
        links=links,
        reduced=other.record if other else None,
        reduced_preset=other.preset if other else "",
        reduced_links=[(suffix.upper(), target) for suffix, target in smaller if target],
    )


def _columns(figure: FigureStanding, record: Record) -> list[tuple[str, str]]:
    """Return the headings of the numbers that a figure has, each with its field of a `ScaledNumber`."""
    at = "full" if figure.full else "reduced"
    both = len(list(figure.scales())) > 1
    columns = [("full scale" if both else "ours", at)]
    if record.spread:
        columns.append(("over seeds", f"{at}_over_seeds"))
    if both:
        columns.append(("reduced", "reduced"))
    return [*columns, ("paper", "paper")] if record.paper else columns


def _layout(png: Path) -> str:
    """Return where a card has its picture, by the size of the picture.

    ``wide``: above the text, in a card as wide as the page. ``beside``: beside the text, in such a card.
    Empty: above the text, in a card of half the width.
    """
    with png.open("rb") as handle:
        header = handle.read(24)
    if len(header) < 24 or not header.startswith(b"\x89PNG"):
        return ""
    width, height = struct.unpack(">II", header[16:24])
    if width > min(2 * height, MANY_PANELS):
        return "wide"
    return "beside" if width > LARGE else ""


def _without_gaps(cards: list[Card]) -> list[Card]:
    """Return the cards; if the number of narrow ones is odd, the last of them is made as wide as the page."""
    narrow = [number for number, card in enumerate(cards) if not card.layout]
    if len(narrow) % 2 == 0:
        return cards
    last = narrow[-1]
    return [*cards[:last], replace(cards[last], layout="beside"), *cards[last + 1 :]]


def _preview(path: Path) -> list[list[str]]:
    """Return the header and the first rows of a CSV file; nothing if it cannot be read."""
    if not is_plain_file(path):
        return []
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            return list(islice(csv.reader(iter(lambda: handle.readline(LONGEST_LINE), "")), PREVIEW_ROWS + 1))
    except (OSError, ValueError, csv.Error):
        return []
