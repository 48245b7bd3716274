"""Formulas are set by MathJax, from the files of a package: pages need no network."""

import importlib.util
import shutil
from pathlib import Path

from sphinx.application import Sphinx

# of all that MathJax has: TeX in, HTML out
WANTED = ("tex-chtml.js", "input/tex/extensions", "output/chtml/fonts")


def copy_mathjax(app: Sphinx, failure: Exception | None) -> None:
    """Copy what pages read of MathJax into the site."""
    if failure or app.builder.format != "html":
        return
    place = importlib.util.find_spec("sphinx-mathjax-offline")
    if place is None or place.origin is None:
        raise ModuleNotFoundError("sphinx-mathjax-offline is not installed; it is in the extra 'docs'")
    for name in WANTED:
        source = Path(place.origin).parent / "static" / "mathjax" / name
        target = app.outdir / "_static" / "mathjax" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)


def setup(app: Sphinx) -> dict[str, bool]:
    """Say where MathJax is, and have it copied."""
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
