"""The site: built without a warning, nothing asked of the network, and nothing left out."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.append(str(DOCS))

from generators.numbers import number  # noqa: E402
from generators.public_names import listed, public_names  # noqa: E402

NAN = float("nan")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    call = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-j", "2", "-E", "-d"]
    done = subprocess.run(
        [*call, folder / "read", DOCS, folder / "html"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_has_every_notebook(site):
    """Links within it are checked where it is built."""
    pages = {path.relative_to(site / "gallery").with_suffix("") for path in site.glob("gallery/*/*.html")}
    notebooks = {
        path.relative_to(ROOT / "notebooks").with_suffix("") for path in ROOT.glob("notebooks/*/*.ipynb")
    }
    assert len(notebooks) > 70
    assert notebooks <= pages
    guide = (site / "guides" / "how_many_states.html").read_text()
    assert "<pre>" in guide
    assert not re.search(r"\n\s*\n(?:</span>)?</pre>", guide)  # no blank line ends a block of code
    gallery = (site / "gallery" / "index.html").read_text()
    assert [name for name in notebooks if f'href="{name}.html"' not in gallery] == []


@pytest.mark.slow
def test_every_public_name_is_on_a_page(site):
    from sphinx.util.inventory import InventoryFile

    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="").data
    there = {name for role, names in inventory.items() if role.startswith("py:") for name in names}
    homes = {public.home for public in public_names() if public.path in there}
    assert [public.path for public in public_names() if public.home not in homes] == []


class Words(HTMLParser):
    """What a page says outside of code and formulas, and which of its pictures lead to themselves."""

    def __init__(self, page):
        super().__init__()
        self.said, self.whole, self.inside = "", [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        code = tag in ("code", "pre", "script", "style") or "math" in (attrs.get("class") or "").split()
        if tag == "img" and (attrs.get("style") or "").startswith("width"):
            self.whole.append(self.inside[-1][2] == attrs["src"])
        elif tag not in ("img", "br", "hr", "input", "meta", "link", "col", "source", "wbr"):
            self.inside.append((tag, code, attrs.get("href")))

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if not any(code for _, code, _ in self.inside):
            self.said += data


@pytest.mark.slow
def test_formulas_are_shown_as_formulas_and_pictures_open_whole(site):
    pages = {page.relative_to(site).as_posix(): Words(page.read_text()) for page in site.rglob("*.html")}
    assert [name for name, page in pages.items() if re.search(r"\$|\\[A-Za-z]{2}", page.said)] == []
    assert all(all(page.whole) for page in pages.values())
    assert sum(map(bool, (page.whole for page in pages.values()))) > 80


@pytest.mark.slow
def test_where_the_site_is_built_notebooks_of_the_index_page_open_in_it(site):
    assert (site / "_static" / "file.png").exists()  # by which the index page knows that it is
    index = (ROOT / "figures" / "index.html").read_text()
    names = re.findall(r'href="(?:\.\./notebooks/|full_scale/)?([\w/]+)\.(?:ipynb|md)"', index)
    assert len(names) > 70
    assert [name for name in names if not (site / "gallery" / f"{name}.html").exists()] == []


def test_pages_of_the_api_list_public_names_each_once_and_modules_whole():
    names = list(listed(DOCS / "api"))
    by_path = {public.path: public for public in public_names()}
    assert [name for name in names if name not in by_path] == []
    homes = [by_path[name].home for name in names]
    assert {home for home in homes if homes.count(home) > 1} == set()
    modules = {by_path[name].module for name in names}
    missed = [p.path for p in public_names() if p.module in modules and p.home not in homes]
    assert missed == [], "list them on a page in docs/api"


def test_notebooks_in_backticks_are_links_and_links_are_left_as_they_stand():
    from generators.mentions import linked

    left = "[2305.19190, lemma A.8](theory/stable_matrices.md), `no/notebook`"
    assert linked(f"`theory/lemmas`, {left}") == f"{{doc}}`theory/lemmas </gallery/theory/lemmas>`, {left}"


def test_papers_are_in_the_bibliography():
    from curse_of_memory.gallery.catalogue import read_catalogue
    from curse_of_memory.report.citations import references

    numbers = {reference.arxiv for reference in references().values()}
    assert {paper.arxiv for paper in read_catalogue().papers} <= numbers


def test_pages_lead_to_papers_and_to_nowhere_else_outside():
    pages = [path for path in DOCS.rglob("*.md") if not {"_build", "gallery"} & set(path.parts)]
    assert len(pages) > 10
    hosts = {host for path in pages for host in re.findall(r"https?://([^/\s)`]+)", path.read_text())}
    assert hosts <= {"arxiv.org", "doi.org"}


RECORD = {
    "headline": {
        "a": 1.23456,
        "rate (low)": 2.0,
        "braces {x}": 3,
        "no": None,
        "nan": NAN,
        "yes": True,
        "word": "x",
    },
    "spread": {"a": {"low": 1.0, "high": 2.0}, "b": {"low": NAN}},
}


@pytest.mark.parametrize(
    ("label", "told"),
    [("a", "1.23"), ("a (low)", "1"), ("a (high)", "2"), ("rate (low)", "2"), ("braces {x}", "3")],
)
def test_numbers_are_those_of_the_record(label, told, tmp_path):
    (tmp_path / "figure.json").write_text(json.dumps(RECORD))
    assert number(f"figure: {label}", tmp_path) == told


@pytest.mark.parametrize("label", ["", "b", "c (low)", "b (low)", "b (high)", "no", "nan", "yes", "word"])
def test_what_is_no_number_of_the_record_is_refused(label, tmp_path):
    (tmp_path / "figure.json").write_text(json.dumps(RECORD))
    with pytest.raises(ValueError, match="figure"):
        number(f"figure: {label}", tmp_path)
    (tmp_path / "figure.json").write_text("{}")
    with pytest.raises(ValueError, match="has no number"):
        number(f"figure: {label}", tmp_path)
