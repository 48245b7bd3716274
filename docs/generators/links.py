"""Every link within the site leads somewhere, and a page asks nothing of another host."""

import functools
import html
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.util import logging

TAG = re.compile(r"<([a-z0-9]+)\s([^<>]*)>")
ATTRIBUTE = re.compile(r'(?:^|\s)(href|src|id|name)="([^"]+)"')
OWN_FILES = ("script", "img", "link", "source", "iframe")  # what a page loads by itself


class _Page:
    """What a page links to, with the tags that do, and the places in it that can be linked to."""

    def __init__(self, path: Path):
        self.links: dict[tuple[str, str], None] = {}
        self.places = {""}  # the page itself
        for tag, attributes in TAG.findall(path.read_text(encoding="utf-8")):
            for name, value in ATTRIBUTE.findall(attributes):
                if name in ("href", "src"):
                    self.links[tag, html.unescape(value)] = None
                else:
                    self.places.add(html.unescape(value))


def broken_links(site: Path) -> Iterator[str]:
    """Yield what is wrong with the links of the HTML pages in the folder `site`, a line each."""
    read = functools.cache(_Page)
    for path in sorted(site.rglob("*.html")):
        page = path.relative_to(site)
        if page.parts[0] == "_static":  # of the theme
            continue
        for tag, link in read(path).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if tag in OWN_FILES and parts.scheme != "data" and "canonical" not in link:
                    yield f"{page}: {tag} loads {link} from another host"
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                yield f"{page}: nothing is at {link}"
            elif target.suffix == ".html" and unquote(parts.fragment) not in read(target).places:
                yield f"{page}: there is no such place as {link}"


def _check(app: Sphinx, failure: Exception | None) -> None:
    if failure is None and app.builder.format == "html":
        for line in broken_links(app.outdir):
            logging.getLogger(__name__).warning(line, type="links")


def setup(app: Sphinx) -> dict[str, bool]:
    """Check links when all pages are written."""
    app.connect("build-finished", _check, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
