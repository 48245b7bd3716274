"""The gallery: every notebook as it was committed, by paper, and under it the same at full scale."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from curse_of_memory.gallery.catalogue import Catalogue, Paper, read_catalogue
from curse_of_memory.gallery.notebooks import Notebook, find_notebooks
from generators.modules import write_if_new

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "figures"
FIRST = "tour"
WIDTH = 480  # pixels of a small picture
SUPERSCRIPTS = str.maketrans("0123456789pns-+", "⁰¹²³⁴⁵⁶⁷⁸⁹ᵖⁿˢ⁻⁺")


def write(docs: Path) -> None:
    """Write the notebooks, a page for each paper with what it shows, and one for all."""
    folder = docs / "gallery"
    catalogue = read_catalogue()
    notebooks = find_notebooks(ROOT)
    names = list(notebooks)
    titles = {name: _plain(notebook.title) for name, notebook in notebooks.items()}
    for name, notebook in notebooks.items():
        _write_notebook(notebook, folder)
        _write_small(name, folder)
    pages = ["ledger", "audit"]
    whole = [
        "# Gallery",
        "",
        "Every notebook, as it was run last, by paper. What of a paper is reproduced, at which",
        "scale and with which numbers, the [ledger](ledger.md) says; where paper and code differ, the [audit]"
        "(audit.md).",
        "",
    ]
    for place, title, about in _folders(catalogue):
        shown = [name for name in names if name.startswith(f"{place}/")]
        grid = _grid(shown, titles)
        whole += [f"## {title}", "", *grid]
        heading = [f"# {title}", "", about, "", *grid]
        write_if_new(folder / place / "index.md", "\n".join([*heading, *_tree(shown, titles, f"{place}/")]))
        pages.append(f"{place}/index")
    write_if_new(folder / "index.md", "\n".join([*whole, *_tree(pages, {}, "")]))


def _folders(catalogue: Catalogue) -> Iterator[tuple[str, str, str]]:
    """Yield folder, title and a sentence: the first steps, the papers, and what is ours."""
    papers = {paper.folder: paper for paper in catalogue.papers}
    own = [folder for folder in catalogue.folders if folder not in papers]
    for folder in sorted(
        (*own, *papers), key=lambda one: (one != FIRST, one not in papers, *_order(papers.get(one)))
    ):
        paper = papers.get(folder)
        yield folder, paper.key if paper else catalogue.folders[folder], _about(paper) if paper else ""


def _order(paper: Paper | None) -> tuple[int]:
    return (paper.order if paper else 0,)


def _about(paper: Paper) -> str:
    return f"*{paper.title}*. {paper.authors}. {paper.venue}, arXiv [{paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})."


def _write_notebook(notebook: Notebook, folder: Path) -> None:
    """Write a notebook, with the figure at full scale if there is one."""
    content, name = _without_tex_in_tables(notebook.content), notebook.name
    full = FIGURES / "full_scale" / f"{name}.png"
    if full.exists():
        message = json.loads(full.with_suffix(".json").read_text(encoding="utf-8"))["message"]
        text = f"## At full scale\n\n{message}\n\n![At full scale](../../../figures/full_scale/{name}.png)"
        cell = {"cell_type": "markdown", "id": "full-scale", "metadata": {}, "source": text}
        content = {**content, "cells": [*content["cells"], cell]}
    target = folder / f"{name}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_if_new(target, json.dumps(content, ensure_ascii=False, indent=1))


def _without_tex_in_tables(content: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook whose tables have no TeX, which a page shows as it is written."""
    content = copy.deepcopy(content)
    for cell in content["cells"]:
        for output in cell.get("outputs", ()):
            if "text/html" in output.get("data", {}):
                table = "".join(output["data"]["text/html"])
                output["data"]["text/html"] = re.sub(r"\$[^$<]+\$", lambda tex: _plain(tex[0]), table)
    return content


def _plain(title: str) -> str:
    """Return a title without TeX, as links and the margin show it."""
    title = title.replace(r"\Delta ", "Δ")
    raised = re.sub(r"\^\{?([\dpns+-]+)\}?", lambda power: power[1].translate(SUPERSCRIPTS), title)
    return re.sub(r"[$\\{}`]", "", raised)


def _write_small(name: str, folder: Path) -> None:
    """Write a small picture of a figure, if there is none that is newer than the figure."""
    picture, small = FIGURES / f"{name}.png", folder / f"{name}.png"
    if picture.exists() and (not small.exists() or small.stat().st_mtime < picture.stat().st_mtime):
        with Image.open(picture) as image:
            image.thumbnail((WIDTH, WIDTH))
            image.convert("P", palette=Image.Palette.ADAPTIVE).save(small, optimize=True)


def _grid(names: list[str], titles: dict[str, str]) -> list[str]:
    lines = ["::::{grid} 1 2 3 3", ":gutter: 3", ":class-container: gallery", ""]
    for name in names:
        lines += [":::{grid-item-card}", f":link: /gallery/{name}", ":link-type: doc"]
        if (FIGURES / f"{name}.png").exists():
            lines += [f":img-top: /gallery/{name}.png", f":img-alt: {titles[name]}"]
        lines += [f"{titles[name]}", ":::"]
    return [*lines, "::::", ""]


def _tree(pages: list[str], titles: dict[str, str], folder: str) -> list[str]:
    entries = [f"{titles[page]} <{page.removeprefix(folder)}>" if page in titles else page for page in pages]
    return ["```{toctree}", ":hidden:", *entries, "```", ""]
