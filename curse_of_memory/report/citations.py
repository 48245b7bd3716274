"""BibTeX of what was used: of the sources that a figure, a function or a layer names.

Entries stand in ``references.bib`` beside this module. A text names one by its arXiv number, or by the
surname of its first author and, within a few words, its year or that of its preprint: "Glover 1984",
"Adamyan, Arov & Krein (Math. USSR Sb. 15, 1971)". Authors named with "&" or "and" are to be its authors, all
of them and in their order; "et al." is of three and more.
"""

import ast
import inspect
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType

from curse_of_memory.report.figure import FigureData
from curse_of_memory.tools import checks
from curse_of_memory.tools.versions import __version__

__all__ = ["REFERENCES", "Reference", "cite", "named_in", "references"]

REFERENCES = Path(__file__).with_name("references.bib")
"""The file of all entries."""

SOFTWARE = f"""@software{{curse_of_memory,
  title = {{curse_of_memory}},
  author = {{{{The curse\\_of\\_memory developers}}}},
  version = {{{__version__}}}
}}"""
BETWEEN = 45  # characters at most between a surname and its year: "Adamyan, Arov & Krein 1971"
_WORDS = rf"(?:(?!\b(?:18|19|20)\d\d\b)[^;:]){{0,{BETWEEN}}}"  # and no other year
_NAME = r"[^\W\d_a-z][\w’-]+"
_NOT_FIRST = r"(?<!\w & )(?<!\w and )"
PAPERS = Path(__file__).parents[1] / "papers"


@dataclass(frozen=True)
class Reference:
    """An entry of the file of references.

    Attributes
    ----------
    key : str
        By which LaTeX cites it.
    surnames : tuple of str
        Of all authors.
    year : str
    preprint : str
        The year of its preprint, or nothing: where another entry of the same first author is of that year,
        this is not named by it.
    arxiv : str
        Its number there, or nothing.
    bibtex : str
        The entry, whole.
    """

    key: str
    surnames: tuple[str, ...]
    year: str
    preprint: str
    arxiv: str
    bibtex: str

    def is_named_in(self, text: str) -> bool:
        """Return whether a text names this entry.

        >>> glover = references()["glover1984hankel"]
        >>> glover.is_named_in("does not exceed (Enns 1984, Glover 1984)"), glover.is_named_in("Glover 1985")
        (True, False)
        """
        if self.arxiv and re.search(rf"(?<![\d.]){re.escape(self.arxiv)}(?!\d)", text):
            return True
        years = "|".join(filter(None, (self.year, self.preprint)))
        by_name = rf"{_NOT_FIRST}\b{re.escape(self.surnames[0])}\b({_WORDS}?)\b(?:{years})\b"
        return any(self._fits(found[1]) for found in re.finditer(by_name, " ".join(text.split())))

    def _fits(self, between: str) -> bool:
        """Return whether what stands between the first author and the year names the others, or nobody."""
        if re.match(r",? et al\b", between):
            return len(self.surnames) > 2
        others = re.match(rf"((?:, {_NAME})*),? (?:and|&) ({_NAME})", between)
        if others is None:
            return True
        return [*re.findall(_NAME, others[1]), others[2]] == list(self.surnames[1:])


@cache
def references() -> dict[str, Reference]:
    """Return all entries of ``references.bib`` by their keys."""
    entries = re.findall(r"^@\w+\{.*?^\}$", REFERENCES.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    made = [_read(entry) for entry in entries]
    own = {(reference.surnames[0], reference.year) for reference in made}
    made = [replace(r, preprint="") if (r.surnames[0], r.preprint) in own else r for r in made]
    return {reference.key: reference for reference in made}


def _read(entry: str) -> Reference:
    fields = dict(re.findall(r"^  (\w+) = \{(.*)\},?$", entry, re.MULTILINE))
    key = entry[entry.index("{") + 1 : entry.index(",")]
    surnames = tuple(author.partition(",")[0] for author in fields["author"].split(" and "))
    arxiv = fields.get("eprint", "")
    return Reference(key, surnames, fields["year"], arxiv and f"20{arxiv[:2]}", arxiv, entry)


def named_in(text: str) -> list[Reference]:
    """Return the references that a text names, in the order of ``references.bib``."""
    return [reference for reference in references().values() if reference.is_named_in(text)]


def cite(*things: object) -> str:
    r"""Return the BibTeX of this software and of the sources that things name.

    Parameters
    ----------
    *things : str, FigureData, function, class or module
        The name of a figure (``"interest/memory_bias"``) or its data, whose sources are those that its module
        and its line `source` name; anything of this package with a docstring, or else with a module whose
        docstring names one; an arXiv number; or a key of ``references.bib``.

    Returns
    -------
    str
        Entries, each once, ready for a ``.bib`` file: the software first.

    Raises
    ------
    ValueError
        For a name that is none of these.
    TypeError
        For what has neither name nor docstring.

    Examples
    --------
    >>> import curse_of_memory as com
    >>> print(com.cite("interest/memory_bias").split("\n\n")[1])
    @article{wang2023interest,
      title = {Improve Long-term Memory Learning Through Rescaling the Error Temporally},
      author = {Wang, Shida and Yan, Zhanglu},
      year = {2023},
      eprint = {2307.11462},
      archiveprefix = {arXiv}
    }
    >>> com.cite(com.balanced_truncation).count("@")  # the software, and Moore 1981
    2
    """
    used = {reference.key: reference for thing in things for reference in _sources(thing)}
    return "\n\n".join([SOFTWARE, *(reference.bibtex for reference in used.values())])


def _sources(thing: object) -> list[Reference]:
    if isinstance(thing, str):
        return _by_name(thing)
    if isinstance(thing, FigureData):
        return _of_figure(thing.name)
    owner = thing if isinstance(thing, (ModuleType, type)) or inspect.isroutine(thing) else type(thing)
    name = owner.__name__ if isinstance(owner, ModuleType) else owner.__module__ or ""
    if name.partition(".")[0] != __name__.partition(".")[0]:
        raise TypeError(
            f"things must be names, or things of curse_of_memory, whose docstrings name sources,"
            f" got {checks.shown(thing)}"
        )
    # what a docstring does not say, that of its class or else of its module does
    module = inspect.getmodule(owner)
    home = getattr(module, getattr(owner, "__qualname__", "").partition(".")[0], None)
    texts = [inspect.getdoc(one) or "" for one in (owner, home, module) if one is not None]
    return next((sources for text in texts if (sources := named_in(text))), [])


def _by_name(name: str) -> list[Reference]:
    known = references()
    own = [reference for reference in known.values() if name and name in (reference.key, reference.arxiv)]
    if own or re.fullmatch(r"[a-z0-9_]+/[a-z0-9_]+", name):
        return own or _of_figure(name)
    raise ValueError(
        "things must be figures such as 'interest/memory_bias', arXiv numbers or keys of references.bib,"
        f" got {checks.shown(name)}"
    )


def _of_figure(name: str) -> list[Reference]:
    """Return what the module of a figure names, in its docstring and where it says its source.

    The module is read and not run: that would take what draws pictures, and the figure's whole machinery.
    """
    path = PAPERS / f"{name}.py"
    if not path.is_file():
        raise ValueError(f"there is no figure {name!r}; `curse-of-memory list` names all")
    module = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(module) if isinstance(node, ast.Call)]
    said = [text for call in calls if getattr(call.func, "id", "") == "figure_data" for text in _texts(call)]
    return named_in(" ".join([ast.get_docstring(module) or "", *said]))


def _texts(node: ast.AST) -> list[str]:
    constants = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant)]
    return [value for value in constants if isinstance(value, str)]
