"""Have the generated pages written before Sphinx looks for pages."""

from sphinx.application import Sphinx
from sphinx.config import Config

from generators import gallery, ledger, modules


def write_pages(app: Sphinx, config: Config) -> None:
    """Write the gallery, the ledger and the pages of modules."""
    gallery.write(app.srcdir)
    ledger.write(app.srcdir)
    modules.write(app.srcdir)


def setup(app: Sphinx) -> dict[str, bool]:
    """Write pages as soon as the settings are read."""
    app.connect("config-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
