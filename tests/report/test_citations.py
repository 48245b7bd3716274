"""Citations: every source that the package names has an entry, and figures name their papers."""

import ast
import re
from pathlib import Path

import pytest

import curse_of_memory as com
from curse_of_memory.gallery.catalogue import read_catalogue
from curse_of_memory.gallery.notebooks import find_notebooks, find_root
from curse_of_memory.report.citations import REFERENCES, cite, named_in, references

PACKAGE = Path(com.__file__).parent
ARXIV = re.compile(r"(?<![\d.])\d{4}\.\d{5}(?!\d)")
NAME = r"[A-Z][\w\-]+"
AUTHORS_WITH_YEAR = re.compile(rf"\b({NAME}(?:,? (?:and|&|et al\.|{NAME}))*) \(?((?:18|19|20)\d\d)\b(?!\.\d)")
NO_AUTHORS = {"Glover 1985", "September 2020"}  # a doctest, a date


def docstrings():
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (
                text := ast.get_docstring(node)
            ):
                yield f"{path.relative_to(PACKAGE)}:{getattr(node, 'name', '')}", text


def test_every_entry_is_read_and_has_what_names_it():
    text = REFERENCES.read_text(encoding="utf-8")
    assert len(references()) == text.count("\n@") + 1 > 40
    assert all(all(r.surnames) and re.fullmatch(r"\d{4}", r.year) for r in references().values())
    numbers = [r.arxiv for r in references().values() if r.arxiv]
    assert len(set(numbers)) == len(numbers)
    assert "\\" not in re.sub(r"\\(infty|&)", "", text)  # names are in letters, not in commands of TeX


def test_every_arxiv_number_of_the_package_has_an_entry():
    known = {r.arxiv for r in references().values()}
    texts = [p.read_text(encoding="utf-8") for s in ("*.py", "*.yaml") for p in PACKAGE.rglob(s)]
    assert {number for text in texts for number in ARXIV.findall(text)} <= known


def test_every_author_with_a_year_in_a_docstring_has_an_entry():
    missing = [
        f"{where}: {' '.join(found)}"
        for where, text in docstrings()
        for found in AUTHORS_WITH_YEAR.findall(" ".join(text.split()))
        if " ".join(found) not in NO_AUTHORS and not named_in(" ".join(found))
    ]
    assert missing == []


def test_papers_have_the_titles_and_authors_of_their_entries():
    known = {r.arxiv: r.bibtex.replace("{", "").replace("}", "").lower() for r in references().values()}
    papers = [paper for paper in read_catalogue().papers if paper.arxiv]
    assert len(papers) == 8
    for paper in papers:
        assert f"title = {paper.title.lower()}," in known[paper.arxiv]
        (names,) = re.findall(r"author = (.*),", known[paper.arxiv])
        authors = names.split(" and ")
        assert [author.partition(",")[0] for author in authors] == paper.authors.lower().split(", ")


@pytest.mark.parametrize("name", sorted(find_notebooks(find_root())))
def test_figures_cite_the_paper_they_are_of(name):
    pytest.importorskip("matplotlib")
    own = [p.arxiv for p in read_catalogue().papers if p.folder == name.partition("/")[0] and p.arxiv]
    assert all(f"eprint = {{{number}}}" in cite(name) for number in own)


def test_what_is_cited_is_what_was_used():
    keys = lambda *things: re.findall(r"^@\w+\{(.*),$", cite(*things), re.MULTILINE)  # noqa: E731
    assert keys() == ["curse_of_memory"]
    assert (
        keys("2110.04744")
        == keys("rusch2022lem")
        == keys(com.nn.LEM(3))
        == ["curse_of_memory", "rusch2022lem"]
    )
    assert keys(com.nn.LEM) == keys(com.nn.LEM, "2110.04744")
    assert keys(com.balanced_truncation)[1:] == ["moore1981principal"]
    assert {"sukhbaatar2021expire", "xiao2024sinks", "zhang2023h2o"} <= set(keys("expire_span/eviction"))


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Wang & Li (2024)", ["wang2024stablessm"]),
        ("Wang, Li & Li, 2024", ["wang2024inverse"]),
        ("Wang and Xue (2023)", ["wang2023universal"]),
        ("Merity 2017", ["merity2017pointer"]),  # not what appeared in 2018
        ("Merity 2018", ["merity2018awd"]),
        ("Gu et al. 2021", ["gu2021lssl"]),
        ("Xiao 2023", ["xiao2024sinks"]),  # by its preprint
        ("Jiang & Wang 2023", []),
        ("Hua et al. 1990", []),  # of two authors
        ("Zhang and Lin 2004", []),
        ("Enns 1985, Glover 1984", ["glover1984hankel"]),
        ("Adamyan, Arov and Krein (Math. USSR Sb. 15, 1971)", ["adamyan1971schmidt"]),
        ("Oseledets, SIAM J. Sci. Comput. 33 (2011)", ["oseledets2011tensor"]),
    ],
)
def test_names_and_years_are_those_of_all_authors(text, keys):
    assert [reference.key for reference in named_in(text)] == keys


def test_a_method_and_a_result_cite_what_their_class_or_module_does():
    assert "adamyan1971schmidt" in cite(com.states_needed([1.0, 0.5, 0.25]))
    assert cite(com.nn.SSM.kernel) == cite(com.nn.SSM)
    assert "li2021curse" not in cite(com.nn.TCN)


@pytest.mark.parametrize("thing", ["interest/nothing", "nobody/memory_bias", "2110.99999", "", "LEM"])
def test_unknown_names_are_refused(thing):
    with pytest.raises(ValueError, match="figure") as caught:
        cite(thing)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("thing", [3, None, len, Path, re])
def test_things_of_others_are_refused(thing):
    with pytest.raises(TypeError, match="things must be"):
        cite(thing)
