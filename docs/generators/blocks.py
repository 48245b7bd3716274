"""Examples end with a blank line, which tells doctest where what is printed ends; on the page they do not."""

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


def setup(app: Sphinx) -> dict[str, bool]:
    """Have it done for each page that is read."""
    app.connect("doctree-read", without_last_blanks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
