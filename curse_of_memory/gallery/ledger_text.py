"""The ledger in print: ``ledger.md`` in Markdown, and the same tables as ``ledger.tex`` in LaTeX.

Every paper has two tables: one line per figure, and one line per number.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from curse_of_memory.gallery.catalogue import Catalogue, Paper
from curse_of_memory.gallery.estimates import full_scale_estimate, in_words
from curse_of_memory.gallery.ledger import INCOMPLETE, STATUSES, Entry, Section, sections
from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.scaled_numbers import scaled_numbers
from curse_of_memory.gallery.scales import FULL_SCALE
from curse_of_memory.gallery.standing import FigureStanding
from curse_of_memory.report.printed_table import latex_longtable, latex_text, markdown_table, markdown_text
from curse_of_memory.report.record import NOTHING
from curse_of_memory.tools.files import is_plain_file, whole_file

__all__ = ["ledger_latex", "ledger_markdown", "write_ledger"]

FIGURES = ("figure or table", "what it shows", "notebook", "status", "preset", "device", "seconds", "made")
NUMBERS = ("figure or table", "number", "paper", "ours", "over seeds")
BOTH_SCALES = ("figure or table", "number", "paper", "full scale", "over seeds", "reduced", "over seeds")
WHOSE = "Whose the sizes of full scale are:"
REDUCED = "the same, reduced"  # the line of the smaller scale, under that of the larger
OWN = "What no paper shows; here the sentence that each figure says of itself."
SPREAD = "over seeds, smallest to largest and of how many runs"
LEGEND = (
    "Written by `curse-of-memory figures`, not by hand. The same tables in LaTeX: [ledger.tex](ledger.tex).",
    "*Preset*: `paper` is the scale of the paper, `fast` the notebook's defaults, `custom` anything else; "
    "*reduced scale* is all that is not `paper`, or has read a part of the published data only; which part, "
    "and which parameters are not those of `paper`, stands behind it. What was "
    "made at both scales has a line for each, and its numbers side by side.",
    "What full scale takes is told from the seconds of what was made, and from how the work grows; expect a "
    "factor of two.",
    "*Paper*, over numbers: what the paper says, or, where the notebook says so, the authors' public code or "
    "its log.",
    "*Over seeds*: smallest to largest over runs that differ in their seed only, and how many; a dash where "
    "there is one run, or no chance in it. `nan`: a training diverged, or there is no such number.",
)


UNSOUND = (
    f"*{INCOMPLETE.capitalize()}*: the notebook, the record or the files are not whole; what is the matter "
    "says `curse-of-memory list`."
)


def write_ledger(
    catalogue: Catalogue,
    notebooks: Mapping[str, Notebook],
    standings: Mapping[str, FigureStanding],
    out: Path,
) -> None:
    """Write ``ledger.md`` and ``ledger.tex`` into `out`."""
    full = catalogue.presets.get(FULL_SCALE, {})
    estimates = {
        name: full_scale_estimate(notebook, full.get(name, {}), catalogue.costs.get(name, ""), out)
        for name, notebook in notebooks.items()
        if not standings[name].full
    }
    ledger = sections(catalogue, notebooks, standings, estimates)
    for name, text in (("ledger.md", ledger_markdown(ledger, out)), ("ledger.tex", ledger_latex(ledger))):
        with whole_file(out / name) as draft:
            draft.write_text(text, encoding="utf-8")


def ledger_markdown(ledger: Iterable[Section], out: Path) -> str:
    """Return the ledger in Markdown; its links are relative to the folder `out`."""
    ledger = list(ledger)
    blocks = ["# Ledger", f"Every figure and table of the papers: {_tally(ledger)}", *LEGEND]
    if any(entry.status == INCOMPLETE for section in ledger for entry in section.entries):
        blocks.append(UNSOUND)
    for section in ledger:
        blocks += [f"## {_title(section.paper)}", _about(section.paper)]
        rows = [
            _linked(cells, entry, one, out)
            for entry in section.entries
            for one, cells in _figure(entry, section.paper)
        ]
        blocks.append(markdown_table(FIGURES, rows, "llllllrl"))
        if section.sizes:
            lines = (f"- `{name}`: {markdown_text(whose)}" for name, whose in section.sizes.items())
            blocks.append("\n".join([WHOSE, "", *lines]))
        heading, groups = _numbers(section)
        if rows := [tuple(map(markdown_text, row)) for group in groups for row in group]:
            blocks.append(markdown_table(heading, rows, "ll" + "r" * (len(heading) - 2)))
    return "\n\n".join(block.rstrip("\n") for block in blocks) + "\n"


def ledger_latex(ledger: Iterable[Section]) -> str:
    """Return the tables of the ledger in LaTeX; a comment in the first line names the packages they need."""
    blocks = [
        r"% needs \usepackage{amsmath,array,booktabs,longtable} and lines of 16 cm",
        r"\begingroup\footnotesize\setlength{\tabcolsep}{4pt}",
    ]
    for section in ledger:
        title = latex_text(_title(section.paper))
        rows = [[_breaking(cells) for _, cells in _figure(entry, section.paper)] for entry in section.entries]
        columns = _columns((0.14, 0.23, 0.14, 0.12, 0.06, 0.06), (0.06, 0.09))
        blocks.append(latex_longtable(FIGURES, rows, columns, f"{title}: figures and tables"))
        heading, numbers = _numbers(section)
        if groups := [[[*map(latex_text, row)] for row in group] for group in numbers]:
            wide = heading is BOTH_SCALES
            texts, sizes = (
                ((0.11, 0.27), (0.09, 0.09, 0.14, 0.09, 0.14)) if wide else ((0.14, 0.37), (0.11, 0.11, 0.2))
            )
            blocks.append(
                latex_longtable(heading, groups, _columns(texts, sizes), f"{title}: numbers; {SPREAD}")
            )
    return "\n".join([*blocks, r"\endgroup", ""])


def _tally(ledger: Iterable[Section]) -> str:
    states = Counter(entry.status for section in ledger if section.paper for entry in section.entries)
    return f"{states.total()}; {'; '.join(f'{word}: {states[word]}' for word in STATUSES if states[word])}."


def _title(paper: Paper | None) -> str:
    return paper.key if paper else "Ours"


def _figure(entry: Entry, paper: Paper | None) -> list[tuple[FigureStanding, tuple[str, ...]]]:
    """Return the lines of a figure as plain text, one of each scale; notebooks without the paper's folder."""
    item, notebook, best = entry.item, entry.notebook, entry.standing
    stand_ins = filter(None, (item.stand_in, best.record.stand_in if best.record else ""))
    shows = "; here on ".join((item.title or NOTHING, *stand_ins))
    name = notebook.name if notebook else NOTHING
    if paper:
        name = name.removeprefix(f"{paper.folder}/")
    state = _state(entry.status, best)
    if entry.left is not None:
        state = f"{state}; full scale takes about {in_words(entry.left)}"
    lines = [(best, (item.key, shows, name, state, *_made(best)))]
    if best.other and best.other.record:
        lines.append((best.other, (REDUCED, "", "", _state("", best.other), *_made(best.other))))
    return lines


def _state(status: str, figure: FigureStanding) -> str:
    return ": ".join(filter(None, (status, ", ".join(filter(None, (*figure.reduced, figure.data_part))))))


def _made(figure: FigureStanding) -> tuple[str, ...]:
    record = figure.record
    if record is None:
        return 4 * (NOTHING,)
    return figure.preset, record.device, f"{record.seconds:.1f}", record.created[:10]


def _numbers(section: Section) -> tuple[tuple[str, ...], list[list[tuple[str, ...]]]]:
    """Return the heading and the lines of the numbers as plain text, grouped by notebook.

    A notebook may make several figures. Both scales have columns where a figure was made at both.
    """
    keys: dict[str, list[str]] = {}
    figures: dict[str, FigureStanding] = {}
    for entry in section.entries:
        if entry.record and scaled_numbers(entry.standing):
            keys.setdefault(entry.record.name, []).append(entry.item.key)
            figures[entry.record.name] = entry.standing
    wide = any(len(list(figure.scales())) > 1 for figure in figures.values())
    groups = []
    for name, figure in figures.items():
        rows = [
            (row.label, row.paper, row.full, row.full_over_seeds, row.reduced, row.reduced_over_seeds)
            for row in scaled_numbers(figure)
        ]
        if not wide:  # of each figure there is one scale only
            ours = slice(2, 4) if figure.full else slice(4, 6)
            rows = [(*row[:2], *row[ours]) for row in rows]
        first = [", ".join(keys[name])] + [""] * (len(rows) - 1)
        groups.append([(key, *row) for key, row in zip(first, rows, strict=True)])
    return BOTH_SCALES if wide else NUMBERS, groups


def _linked(cells: tuple[str, ...], entry: Entry, figure: FigureStanding, out: Path) -> tuple[str, ...]:
    """Return the cells in Markdown, with links to the figure and to its notebook if these exist."""
    key, shows, name, *rest = map(markdown_text, cells)
    if notebook := entry.notebook:
        files = (f"{figure.folder}{notebook.name}.{suffix}" for suffix in ("png", "md", "csv"))
        target = next((file for file in files if is_plain_file(out / file)), "") if figure.record else ""
        key, name = _link(key, target), _link(name, notebook.link_from(out)) if name else name
    return key, shows, name, *rest


def _link(text: str, target: str) -> str:
    return f"[{text}]({quote(target)})" if target else text


def _about(paper: Paper | None) -> str:
    if paper is None:
        return OWN
    link = f"[{paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})"
    return f"{paper.title}. {paper.authors}. {paper.venue}, arXiv {link}."


def _breaking(figure: tuple[str, ...]) -> list[str]:
    """Return a figure's cells in LaTeX; lines may break in the name of the notebook, which has no space."""
    key, shows, name, *rest = map(latex_text, figure)
    return [key, shows, name.replace("/", r"/\allowbreak{}").replace(r"\_", r"\_\allowbreak{}"), *rest]


def _columns(texts: Iterable[float], numbers: Iterable[float]) -> str:
    """Return a LaTeX column declaration; widths are fractions of the line, texts left, numbers right."""
    sides = [("right", width) for width in texts] + [("left", width) for width in numbers]
    columns = (rf">{{\ragged{side}\arraybackslash}}p{{{width}\linewidth}}" for side, width in sides)
    return f"@{{}}{''.join(columns)}@{{}}"
