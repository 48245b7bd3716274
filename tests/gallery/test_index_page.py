import re
import struct
from html.parser import HTMLParser

import pytest

from curse_of_memory.gallery.index_page import index_html, write_index
from curse_of_memory.gallery.notebooks import find_notebooks


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data.strip())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def html_of(project):
    return index_html(project.catalogue(), find_notebooks(project.root), project.standings(), project.out)


@pytest.fixture
def page(project):
    for name in ("interest/memory_bias", "lem/adding", "getting_started"):
        project.write(name)
    project.record(
        "interest/memory_bias",
        title="Bias <b>",
        message='A "message" <script>alert(1)</script>',
        headline={"<i>label</i>": 0.03076923},
        paper={"<i>label</i>": 0.0307692},
        created="2025-03-01T00:00:00+00:00",
        versions={"torch": "2.13.0"},
    )
    project.record("lem/adding")
    for suffix in ("png", "pdf", "csv"):
        (project.out / "interest" / f"memory_bias.{suffix}").write_text("x")
    (project.out / "lem" / "adding.csv").write_text("h,error\n" + "1,0.5\n" * 20)
    write_index(project.catalogue(), find_notebooks(project.root), project.standings(), project.out)
    return Page((project.out / "index.html").read_text())


def test_text_of_records_is_escaped(page):
    assert page.all("script") == [{}]  # the own one of the page
    assert not {name for _, attributes in page.tags for name in attributes if name.startswith("on")}
    assert not page.all("b")
    assert not page.all("i")
    (picture,) = page.all("img")
    assert picture["alt"] == 'A "message" <script>alert(1)</script>'
    assert "Bias <b>" in page.text


def test_every_link_of_the_page_leads_somewhere(page, project):
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for ledger in ("ledger.md", "ledger.tex"):
        (project.out / ledger).touch()
    targets = [a["href"] for a in page.all("a")] + [image["src"] for image in page.all("img")]
    for target in targets:
        if target.startswith("#"):
            assert target[1:] in ids
        elif not target.startswith("https://arxiv.org/abs/"):
            assert (project.out / target).is_file(), target
    assert "../notebooks/interest/memory_bias.ipynb" in targets


def test_page_is_complete_in_itself(page, project):
    html = (project.out / "index.html").read_text()
    assert not page.all("link")
    assert not re.search(r"@import|url\(|src=.https?:", html)
    assert {image["loading"] for image in page.all("img")} == {"lazy"}
    assert "prefers-color-scheme: dark" in html


def test_sections_are_papers_with_numbers_and_versions(page):
    assert [a["id"] for a in page.all("section")] == ["interest", "lem"]
    assert "arXiv 2307.11462" in page.text
    assert "0.03077" in page.text
    assert any("newest figure of 2025-03-01" in text for text in page.text)
    assert "torch 2.13.0" in page.text


def numbers(project, **content):
    """Return the tables of numbers on a page with one figure, and its texts."""
    project.write("getting_started")
    project.record("getting_started", **content)
    html = html_of(project)
    tables = re.findall(r"<table>.*?</table>", html, flags=re.DOTALL)
    rows = [re.findall(r"<tr>(.*?)</tr>", table) for table in tables]
    return [[re.findall(r">([^<>]+)<", row) for row in table] for table in rows], Page(html)


def test_columns_are_those_that_the_figure_has(project):
    (table,), _ = numbers(project, headline={"a": 0.5})
    assert table == [["number", "ours"], ["a", "0.5"]]
    (table,), page = numbers(
        project,
        headline={"a": 0.5, "b": 2},
        spread={"a": {"low": 0.25, "high": 1.0, "runs": 4}},
        paper={"b": 3},
    )
    assert table == [
        ["number", "ours", "over seeds", "paper"],
        ["a", "0.5", "0.25 to 1 (4)", "—"],
        ["b", "2", "—", "3"],
    ]
    assert len(page.all("col")) == 4


@pytest.mark.parametrize(("count", "shown"), [(10, 10), (11, 8)])
def test_many_numbers_are_folded_away(project, count, shown):
    headline = {f"n{number}": number for number in range(count)}
    (first, *rest), page = numbers(project, headline=headline)
    assert [row[0] for row in first[1:]] == [f"n{number}" for number in range(shown)]
    assert [row[0] for table in rest for row in table] == [f"n{number}" for number in range(shown, count)]
    assert len(page.all("details")) == len(rest) == (count > shown)
    assert ("3 more numbers" in page.text) == (count > shown)


def test_a_card_says_how_it_was_made(project):
    _, page = numbers(project, device="A GPU", seconds=71.26)
    assert "ours · preset paper · A GPU · 71.3 s · 2025-01-02" in page.text


def layouts(project, *sizes):
    """Return how the cards of figures with pictures of these sizes are set, in order."""
    for number, size in enumerate(sizes):
        project.write(f"interest/f{number}")
        header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", *size)
        project.record(f"interest/f{number}").with_suffix(".png").write_bytes(header)
    page = Page(html_of(project))
    return [card.get("class", "") for card in page.all("article")]


def test_pictures_with_many_panels_have_room(project):
    sizes = [(1240, 760), (1880, 840), (2500, 1600), (2080, 1880), (1640, 840)]
    assert layouts(project, *sizes) == ["", "wide", "wide", "beside", ""]


def test_no_card_leaves_a_gap_beside_it(project):
    small, wide = (1240, 760), (2500, 800)
    assert layouts(project, small, small, wide, small, wide) == ["", "", "wide", "beside", "wide"]


def test_a_table_shows_its_first_rows(page):
    assert page.text.count("0.5") == 6


def test_the_page_changes_only_when_a_figure_does(page, project):
    before = html_of(project)
    assert html_of(project) == before
    project.record("lem/adding", message="Another.")
    assert html_of(project) != before


def test_a_page_elsewhere_does_not_name_the_folders_of_this_machine(project, tmp_path):
    project.write("getting_started")
    project.out = tmp_path / "elsewhere"
    project.record("getting_started")
    html = html_of(project)
    assert "getting_started.json" in html
    assert ".ipynb" not in html


def test_an_empty_gallery_says_what_to_do(project):
    assert "curse-of-memory figures" in index_html(project.catalogue(), {}, {}, project.out)


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)> {{ 7*7 }} $\\input{x}$ &amp;'


def test_nothing_in_a_record_or_a_table_becomes_a_tag(project):
    project.write("lem/adding", title=HOSTILE)
    project.record(
        "lem/adding",
        **{field: HOSTILE for field in ("title", "message", "device", "source", "created")},
        headline={HOSTILE: HOSTILE},
        paper={HOSTILE: 1},
        versions={HOSTILE: HOSTILE},
        spread={HOSTILE: {"low": HOSTILE, "high": 1, "runs": HOSTILE}},
        parameters={HOSTILE: HOSTILE},
    )
    (project.out / "lem" / "adding.csv").write_text(f"{HOSTILE}\n{HOSTILE}\n")
    page = Page(html_of(project))
    assert page.all("script") == [{}]  # the own one of the page
    assert not page.all("img")
    assert not {name for _, attributes in page.tags for name in attributes if name.startswith("on")}
    assert page.text.count(HOSTILE.strip()) >= 5


def test_what_is_incomplete_is_named_and_not_shown(project):
    for name in ("lem/adding", "lem/broken", "lem/spoilt"):
        project.write(name)
        project.record(name, title=name)
    (project.root / "notebooks" / "lem" / "broken.ipynb").write_text("{")
    (project.out / "lem" / "spoilt.json").write_text("{")
    html = html_of(project)
    assert [card["id"] for card in Page(html).all("article")] == ["lem/adding"]
    assert "Incomplete, and not shown: lem/broken, lem/spoilt." in html


@pytest.mark.parametrize(
    "content", [b"\xff\xfe,1\n", b"a" * 1_000_000, b'"' + b"a\n" * 1_000_000, b"a\0b\n", b""]
)
def test_a_table_that_is_none_is_not_shown(project, content):
    project.write("lem/adding")
    project.record("lem/adding")
    (project.out / "lem" / "adding.csv").write_bytes(content)
    assert len(html_of(project)) < 100_000
    (project.out / "lem" / "adding.csv").unlink()
    (project.out / "lem" / "adding.csv").symlink_to("/etc/passwd")
    assert 'preview"' not in index_html(
        project.catalogue(), find_notebooks(project.root), project.standings(), project.out
    )
