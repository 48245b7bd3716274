"""The theory pages: every statement has one status, what they name exists, no theorem is missing."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from curse_of_memory.report.citations import references

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "theory"
LIST = FOLDER / "all_statements.md"
# in the order in which they stand in the site
ORDER = re.findall(r"^\w+$", (FOLDER / "index.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
PAGES = sorted(
    set(FOLDER.glob("*.md")) - {LIST, FOLDER / "index.md"},
    key=lambda page: [*ORDER, page.stem].index(page.stem),
)
STATUSES = ("proved here", "checked numerically", "counterexample", "open")
KINDS = "Theorem|Lemma|Proposition|Corollary|Definition|Equation|Appendix|Section|Figure"
NUMBER = r"[A-Z]?\.?\d+(?:\.\d+)*|[A-Z](?:\.\d+)?"
PAPER = r"\d{4}\.\d{5}|[A-Z][a-z]+ \d{4}"
HEADING = re.compile(
    rf"(?P<kind>{KINDS}) (?P<number>{NUMBER}) \((?P<paper>{PAPER})\)"
    rf"|Claim \((?P<source>{PAPER})\)|Cited \([^)]+\)|Ours"
)
DEFINED = re.compile(rf"\*\*(Definition) ({NUMBER})\*\* \(({PAPER})\)")
# what a name in backticks of a status can be
TEST = re.compile(r"tests/[\w/]+\.py(::\w+)?")
NOTEBOOK = re.compile(r"[a-z]\w*/[a-z]\w*")
CODE = re.compile(r"curse_of_memory(\.\w+)+")

# how texts of the package call the papers, and others whose theorems they cite by number
NAMES = {
    "2307.11462": ("INTEREST",),
    "2305.19190": ("IAT", "Inverse approximation"),
    "2311.14495": ("StableSSM",),
    "2309.13414": ("SSM universality", "State-space Models with Layer-wise"),
    "2009.07799": ("Curse of memory",),
    "2302.13752": ("survey",),
    "2110.04744": ("Long Expressive Memory", "LEM"),
    "2105.06548": ("Expire-Span", "Not All Memories are Created Equal"),
    "Tropp 2012": ("Tropp",),
}
NEAR = 150  # characters
CITED = re.compile(r"\b(theorem|lemma|proposition|corollary)s? ([A-Z]\.\d+|\d+(?:\.\d+)+)", re.IGNORECASE)


class Statement(NamedTuple):
    """A statement of a page: its heading, its text up to the next one, and its status with the reason."""

    page: str
    heading: str
    text: str
    status: str
    reason: str

    @property
    def place(self) -> str:
        return f"{self.page}: {self.heading}"


def sections(page: Path) -> Iterator[tuple[str, str]]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for part in re.split(r"^(?=#{2,3} )", text, flags=re.MULTILINE):
        if part.startswith("### "):
            heading, _, rest = part.partition("\n")
            yield heading[4:].strip(), rest


def statements() -> list[Statement]:
    found = []
    for page in PAGES:
        for heading, text in sections(page):
            marks = re.findall(r"\*\*Status:\*\* \*([a-z ]+)\*(.*?)(?:\n\n|\Z)", text, flags=re.DOTALL)
            assert text.count("**Status:**") == len(marks) == 1, f"{page.name}: {heading}: not one status"
            found.append(Statement(page.stem, heading, text, marks[0][0], " ".join(marks[0][1].split())))
    return found


ALL = statements()
by_place = pytest.mark.parametrize("statement", ALL, ids=lambda statement: statement.place)


def names_in(text: str) -> list[str]:
    return re.findall(r"`~?([^`]+)`", re.sub(r"\{cite\}`[^`]+`", "", text))


def test_there_are_pages_with_statements():
    assert [page.stem for page in PAGES] == ORDER
    assert len(PAGES) >= 8
    assert {statement.page for statement in ALL} == {page.stem for page in PAGES}
    assert {statement.status for statement in ALL} == set(STATUSES)


@by_place
def test_a_statement_says_whose_it_is_and_has_a_status(statement):
    assert HEADING.match(statement.heading)
    assert statement.status in STATUSES
    assert statement.reason.startswith("— ")


def exists(name: str) -> bool:
    if TEST.fullmatch(name):
        file, _, function = name.partition("::")
        path = ROOT / file
        return path.is_file() and (not function or f"\ndef {function}(" in path.read_text(encoding="utf-8"))
    if NOTEBOOK.fullmatch(name):
        return (ROOT / "notebooks" / f"{name}.ipynb").is_file()
    if CODE.fullmatch(name):
        parts = name.split(".")
        for length in range(len(parts), 0, -1):
            try:
                thing = importlib.import_module(".".join(parts[:length]))
            except ModuleNotFoundError:
                continue
            for attribute in parts[length:]:
                if not hasattr(thing, attribute):
                    return False
                thing = getattr(thing, attribute)
            return True
    return False


@by_place
def test_what_a_status_names_exists(statement):
    names = names_in(statement.reason)
    assert [name for name in names if not exists(name)] == []
    proved = "**Proof.**" in statement.text or any(CODE.fullmatch(name) for name in names)
    shown = any(TEST.fullmatch(name) or NOTEBOOK.fullmatch(name) for name in names)
    wanted = {"proved here": proved, "checked numerically": shown, "counterexample": shown, "open": True}
    assert wanted[statement.status], (
        "a proof names its code or stands on the page, all else a test or a figure"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_tests_and_notebooks_in_the_text_exist(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    names = [name for name in names_in(text) if CODE.fullmatch(name) or TEST.fullmatch(name) or "/" in name]
    assert [name for name in names if not exists(name)] == []
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert pictures
    assert [picture for picture in pictures if not (page.parent / picture).is_file()] == []
    keys = [key for group in re.findall(r"\{cite\}`([^`]+)`", text) for key in group.split(",")]
    assert set(keys) <= set(references())


def anchor(heading: str) -> str:
    """Return the anchor that MyST, as GitHub, gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower().replace(" ", "-"))


def listed() -> str:
    """Return the table of all statements, as the page that lists them has it."""
    lines = ["| statement | page | status |", "| --- | --- | --- |"]
    for statement in ALL:
        page, heading = statement.page, statement.heading
        link = f"[{heading}]({page}.md#{anchor(heading)})"
        lines.append(f"| {link} | {page.replace('_', ' ')} | {statement.status} |")
    return "\n".join(lines) + "\n"


def test_the_list_has_every_statement():
    """If not: replace the table in the page by what `listed` returns."""
    assert listed() in LIST.read_text(encoding="utf-8")


def numbered() -> set[tuple[str, str, str]]:
    found = set()
    for statement in ALL:
        if (match := HEADING.match(statement.heading)) and match["kind"]:
            found.add((match["kind"].lower(), match["number"], match["paper"]))
    for page in PAGES:
        for kind, number, paper in DEFINED.findall(page.read_text(encoding="utf-8")):
            found.add((kind.lower(), number, paper))
    return found


def texts() -> Iterator[tuple[Path, str]]:
    """Yield the docstrings and comments, the other strings, and the Markdown of what we ship."""
    for path in sorted((ROOT / "curse_of_memory").rglob("*.py")):
        yield path, path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        yield path, path.read_text(encoding="utf-8")


def named_papers(text: str, at: int) -> set[str]:
    """Return the paper that is named nearest to a place, or all that the text names if none is near."""
    away = {}
    for paper, names in NAMES.items():
        pattern = "|".join(map(re.escape, (paper, *names)))
        places = [match.start() for match in re.finditer(rf"\b(?:{pattern})\b", text)]
        if places:
            away[paper] = min(abs(place - at) for place in places)
    nearest = min(away, key=lambda paper: away[paper], default="")
    return {nearest} if nearest and away[nearest] <= NEAR else set(away)


def test_every_theorem_that_code_or_notebooks_cite_is_on_a_page():
    known = numbered()
    cited, missing = 0, []
    for path, text in texts():
        for match in CITED.finditer(text):
            cited += 1
            papers = named_papers(text, match.start()) or set(NAMES)
            if not any((match[1].lower(), match[2], paper) in known for paper in papers):
                missing.append(f"{path.relative_to(ROOT)}: {match[0]} of {papers}")
    assert missing == []
    assert cited > 30


def proofs() -> Iterator[str]:
    """Yield the functions and classes whose docstrings have a proof."""
    for path in sorted((ROOT / "curse_of_memory").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and "Proof." in (
                ast.get_docstring(node) or ""
            ):
                yield node.name


def test_every_proof_of_a_docstring_is_that_of_a_statement():
    named = {name.rpartition(".")[2] for statement in ALL for name in names_in(statement.reason)}
    assert set(proofs()) - named == set()


def test_docstrings_call_a_theorem_by_number_and_paper():
    """The search above would see nothing if docstrings named theorems in another way."""
    module = ast.parse((ROOT / "curse_of_memory/theory/lemmas/lyapunov.py").read_text(encoding="utf-8"))
    line = ast.get_docstring(module) or ""
    (match,) = CITED.finditer(line)
    assert (match[1], match[2], named_papers(line, match.start())) == ("Lemma", "A.8", {"2305.19190"})
