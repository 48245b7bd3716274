"""Blocks of code: without the blank line that ends an example for doctest.

Lines of sentences that notebooks print are wrapped, so that none ends beyond the page.
"""

import re

from docutils import nodes
from sphinx.application import Sphinx


def without_last_blanks(app: Sphinx, page: nodes.document) -> None:
    """Take blank lines from the ends of the blocks of code of a page."""
    for block in [*page.findall(nodes.literal_block), *page.findall(nodes.doctest_block)]:
        shown = block.astext().rstrip()
        if block.rawsource == block.astext() and shown:  # else it has markup of its own inside
            block.rawsource = shown
            block.children = []
            block += nodes.Text(shown)


def with_sentences(app: Sphinx, page: nodes.document, name: str) -> None:
    """Mark what notebooks print and what is no table: its lines need not be as long as they are printed."""
    for block in page.findall(nodes.literal_block):
        if "output" in block["classes"] and is_prose(block.astext()):
            block["classes"].append("prose")


def is_prose(text: str) -> bool:
    """Return whether no line of a text has columns: two blanks one after the other, but at its start."""
    return not re.search(r"\S {2,}\S", text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Have both done for each page."""
    app.connect("doctree-read", without_last_blanks)
    app.connect("doctree-resolved", with_sentences)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
