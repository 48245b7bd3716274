"""In Markdown as in docstrings numbers on arXiv are citations; names of notebooks and code are links."""

import functools
import re
from pathlib import Path

from sphinx.application import Sphinx

from generators.docstrings import ARXIV, cited, shown_at
from generators.public_names import public_names

# what is left as it stands: headings, fences, formulas, roles, code, links, addresses
LEFT = re.compile(
    r"^\#.*?$ | ^(?P<fence>`{3,}|:{3,}|\$\$).*?^(?P=fence)[ \t]*$ | \$\$.*?\$\$ | \{[\w:.-]+\}`[^`]*`"
    r" | ``.+?`` | `[^`\n]+` | \$[^$\n]+\$ | \[[^\]\n]*\]\([^)]*\) | \]\([^)]*\) | <[^>\n]*>",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PAGES = ("index", "start/", "guides/", "theory/", "api/")
# by their form these are names of code, and of no argument or column
NAMED_AS_CODE = re.compile(r"\w*([A-Z][a-z]|[a-z\d]_[a-z])\w*")


def linked(text: str) -> str:
    """Return a page in Markdown with its citations and links."""
    pieces, end = [], 0
    for left in LEFT.finditer(text):
        pieces += [_cited(text[end : left.start()]), _named(left[0])]
        end = left.end()
    return "".join([*pieces, _cited(text[end:])])


def _cited(text: str) -> str:
    return ARXIV.sub(lambda number: cited(number, "{{cite:p}}`{}`"), text)


def _named(code: str) -> str:
    """Return code as a link if it names a notebook or something public, whole or as the only one of its name.

    ``com.`` is the package; what is in brackets after a name is shown.
    """
    if re.fullmatch(r"`\w+/\w+`", code) and (NOTEBOOKS / f"{code[1:-1]}.ipynb").is_file():
        return f"{{doc}}`{code[1:-1]} </gallery/{code[1:-1]}>`"
    name = re.fullmatch(r"`([\w.]+)(\([^`<>]*\))?`", code)
    if name is None:
        return code
    shown = name[1] if name[2] in (None, "()") else name[1] + name[2]
    path = re.sub(r"^com\.", "curse_of_memory.", name[1])
    home = _homes().get(path) or (_only_homes().get(path) if NAMED_AS_CODE.fullmatch(path) else None)
    return f"{{py:obj}}`{shown} <{shown_at()[home]}>`" if home else code


@functools.cache
def _homes() -> dict[str, str]:
    return {public.path: public.home for public in public_names()}


@functools.cache
def _only_homes() -> dict[str, str]:
    """Return where the public names are defined that name one thing alone, without their modules."""
    homes: dict[str, set[str]] = {}
    for public in public_names():
        homes.setdefault(public.name, set()).add(public.home)
    return {name: next(iter(found)) for name, found in homes.items() if len(found) == 1}


def _read(app: Sphinx, page: str, text: list[str]) -> None:
    if page.startswith(PAGES):
        text[0] = linked(text[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Change pages as they are read."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
