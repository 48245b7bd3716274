"""The gallery: every notebook as it was committed, in a grid by paper; the ledger beside it."""

import shutil
from pathlib import Path

from curse_of_memory.gallery.catalogue import Catalogue, read_catalogue
from generators.modules import write_if_new

ROOT = Path(__file__).parents[2]
OWN = "What no paper shows"


def write(docs: Path) -> None:
    """Write the pages of the gallery, one a paper, copy the notebooks, and write the ledger."""
    folder = docs / "gallery"
    catalogue = read_catalogue()
    notebooks = {path.relative_to(ROOT / "notebooks").with_suffix("").as_posix(): path
                 for path in sorted(ROOT.glob("notebooks/*/*.ipynb"))}  # fmt: skip
    for name, path in notebooks.items():
        target = folder / f"{name}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != path.read_bytes():
            shutil.copy(path, target)
    sections = [
        (title, [n for n in notebooks if n.startswith(f"{key}/")]) for key, title in _folders(catalogue)
    ]
    page = ["# Gallery", ""]
    for title, names in sections:
        page += [f"## {title}", "", *_grid(names), *_tree(names)]
    write_if_new(folder / "index.md", "\n".join(page))


def _folders(catalogue: Catalogue) -> list[tuple[str, str]]:
    papers = [(paper.folder, f"{paper.key}: {paper.title}") for paper in catalogue.papers]
    rest = [(folder, title) for folder, title in catalogue.folders.items() if folder not in dict(papers)]
    first = [one for one in rest if one[0] == "tour"]
    return first + papers + [one for one in rest if one not in first]


def _grid(names: list[str]) -> list[str]:
    lines = ["::::{grid} 1 2 3 4", ":gutter: 3", ""]
    for name in names:
        lines += [f":::{{grid-item-card}} {name.partition('/')[2].replace('_', ' ')}", f":link: {name}",
                  ":link-type: doc", f":img-top: ../../figures/{name}.png", ":::"]  # fmt: skip
    return [*lines, "::::", ""]


def _tree(names: list[str]) -> list[str]:
    return ["```{toctree}", ":hidden:", *names, "```", ""]
