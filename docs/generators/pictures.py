"""Pictures lead to themselves: a click or a touch opens the whole picture, however small it is on the page.

Figures of several panels do not get larger than a telephone is wide. There they keep a width at which their
letters can be read, and scroll in their own place (``site.css``).
"""

from pathlib import Path

from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx

DOTS = 100  # per inch of a picture, on the page; the files of figures have twice as many


def with_own_width(app: Sphinx, page: nodes.document, name: str) -> None:
    """Say of every picture how wide it is; Sphinx links such pictures to their files."""
    for picture in page.findall(nodes.image):
        file = Path(app.srcdir, picture["uri"])
        if "sd-card-img-top" in picture["classes"] or "width" in picture or file.suffix != ".png":
            continue
        picture["width"] = f"{own_width(file)}px"


def own_width(file: Path) -> int:
    """Return how wide a picture is on the page if there is room, in pixels."""
    with Image.open(file) as picture:
        dots, _ = picture.info.get("dpi", (DOTS, DOTS))
        return round(picture.width * DOTS / dots)


def setup(app: Sphinx) -> dict[str, bool]:
    """Have it done when the outputs of notebooks have become pictures."""
    app.connect("doctree-resolved", with_own_width)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
