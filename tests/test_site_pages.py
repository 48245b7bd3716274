"""What the pages of the site are made of: docstrings and Markdown as they are read, links, the ledger."""

import re
import sys
from pathlib import Path

import pytest
from PIL import Image

import curse_of_memory as com

sys.path.append(str(Path(__file__).parents[1] / "docs"))

from generators.blocks import is_prose
from generators.docstrings import data_directive, translated
from generators.gallery import write
from generators.ledger import ledger
from generators.links import broken_links
from generators.mentions import NOTEBOOKS, linked
from generators.pictures import own_width
from generators.references import in_letters

ROOT = Path(__file__).parents[1]


def read(text: str) -> str:
    return "\n".join(translated(text.splitlines(), "curse_of_memory.fit", com.fit))


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("|ρ(t)| of ``a|b``", r"\|ρ(t)\| of ``a|b``"),  # bars in text are bars
        ("see `FitResult`", "see :py:obj:`FitResult <curse_of_memory.training.FitResult>`"),
        ("of `model`, and `no_such_thing`", "of ``model``, and ``no_such_thing``"),  # an argument; nothing
        ("`model`²", "``model``\\ ²"),
        ("IAT (2305.19190)", "IAT :cite:p:`wang2024inverse`"),
        ("IAT, 2305.19190, 0000.00000", "IAT, :cite:p:`wang2024inverse`, 0000.00000"),
        ("A:\n\n    y = |x|\n\nb", "A:\n\n.. code-block:: none\n   :class: formula\n\n    y = |x|\n\nb"),
        ("Source.   A\n          b", "**Source.** A\nb"),
        (">>> abs(`x`)\n|1|\n\n|2|", ">>> abs(`x`)\n|1|\n\n\\|2\\|"),
        ("A::\n\n    |x|", "A::\n\n    |x|"),
    ],
)
def test_docstrings_are_read_as_they_are_meant(text, there):
    assert read(text) == there


def test_tables_of_docstrings_may_hold_links():
    table = "==  ==========\na   of\n==  ==========\n1   `FitResult`\n    more\n==  =========="
    rows = [line.strip() for line in read(table).splitlines()]
    link = ":py:obj:`FitResult <curse_of_memory.training.FitResult>`"
    assert rows[:2] == [".. list-table::", ":header-rows: 1"]
    assert rows[3:8] == ["* - a", "- of", "* - 1", f"- {link}", "more"]


def test_constants_are_shown_with_what_their_source_says():
    lines = data_directive("curse_of_memory.nn.seats.seat.SUBMODULE")
    assert lines[:2] == [".. py:data:: SUBMODULE", "   :module: curse_of_memory.nn.seats.seat"]
    assert lines[-1] == "   What the law of each attention is called in it."


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("as in 2305.19190", "as in {cite:p}`wang2024inverse`"),
        ("`com.fit`", "{py:obj}`com.fit <curse_of_memory.fit>`"),
        ("`interest/memory_bias`", "{doc}`interest/memory_bias </gallery/interest/memory_bias>`"),
        ("`com.fit(model, task)`", "{py:obj}`com.fit(model, task) <curse_of_memory.fit>`"),
        ("`SequenceMap`", "{py:obj}`SequenceMap <curse_of_memory.SequenceMap>`"),  # the only one of this name
        ("`com.no_such_thing` and `x`", "`com.no_such_thing` and `x`"),
        ("`run` and `power`", "`run` and `power`"),  # any method, any argument
    ],
)
def test_pages_cite_and_link_by_themselves(text, there):
    assert linked(text) == there


@pytest.mark.parametrize(
    "text",
    ["# Of 2305.19190", "```pycon\n>>> `com.fit`  # 2305.19190\n```", "$$2305.19190$$", "[a](2305.19190)"],
)
def test_headings_code_and_formulas_stay(text):
    assert linked(text) == text


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*/*.md"), *ROOT.glob("figures/*.md")])
def test_no_line_of_a_page_is_a_comment(page):
    """A line that begins with a per cent sign is one in MyST, and is not shown."""
    assert not re.search(r"^\s*%", page.read_text(encoding="utf-8"), re.M)


def test_printed_sentences_are_told_from_tables():
    assert is_prose("p = 1 is best.\n  All others are not.")
    assert not is_prose("p   loss\n0   1.0")


def test_titles_of_references_have_no_tex():
    assert in_letters(r"Comments on $C_P$ and $L_\infty$-norms") == "Comments on {CP} and {L∞}-norms"


def test_a_picture_is_as_wide_as_its_dots_say(tmp_path):
    for dots, width in ((200, 300), (100, 600), (None, 600)):
        picture = Image.new("L", (600, 10))
        if dots:
            picture.save(tmp_path / "a.png", dpi=(dots, dots))
        else:
            picture.save(tmp_path / "a.png")
        assert own_width(tmp_path / "a.png") == width


def test_broken_links_and_other_hosts_are_named(tmp_path):
    page = '<p id="here"></p><a href="#here"></a><a href="b.html#there">b</a><a href="https://x.org">x</a>'
    (tmp_path / "a.html").write_text(page)
    (tmp_path / "b.html").write_text('<p id="there"></p>')
    assert list(broken_links(tmp_path)) == []
    wrong = '<a href="c.html"></a><a href="b.html#nowhere"></a><script src="https://x.org/y.js"></script>'
    (tmp_path / "d.html").write_text(wrong)
    assert list(broken_links(tmp_path)) == [
        "d.html: nothing is at c.html",
        "d.html: there is no such place as b.html#nowhere",
        "d.html: script loads https://x.org/y.js from another host",
    ]


def test_the_ledger_links_pages_and_folds_long_tables():
    row = "| [a](full_scale/interest/copying.png) | [b](../notebooks/interest/copying.ipynb) |\n"
    numbers = "| figure or table | number |\n|---|---|\n" + 20 * "| a | 1 |\n"
    page = ledger(f"# Ledger\n\n| figure or table | notebook |\n|---|---|\n{row}\n{numbers}")
    assert "[a](interest/copying.ipynb) | [b](interest/copying.ipynb)" in page
    assert "::::{dropdown} Numbers: 20 lines" in page


@pytest.mark.slow
def test_the_gallery_has_a_card_and_a_page_for_every_notebook(tmp_path):
    write(tmp_path)
    names = [path.relative_to(NOTEBOOKS).with_suffix("").as_posix() for path in NOTEBOOKS.glob("*/*.ipynb")]
    page = (tmp_path / "gallery" / "index.md").read_text()
    assert [name for name in names if f":link: /gallery/{name}\n" not in page] == []
    assert all((tmp_path / "gallery" / f"{name}.ipynb").exists() for name in names)
    trees = [path.read_text() for path in tmp_path.glob("gallery/*/index.md")]
    missed = [name for name in names if not any(f"<{name.partition('/')[2]}>" in tree for tree in trees)]
    assert missed == []
