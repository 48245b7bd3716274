"""Files of pairs of texts, an abstract and its title in two columns of each line, with tabs between them."""

from pathlib import Path
from typing import NamedTuple

from curse_of_memory.tasks.archives import text_of
from curse_of_memory.tools import checks

__all__ = ["Pair", "pairs_of", "read_pairs"]


class Pair(NamedTuple):
    """An abstract and its title."""

    abstract: str
    title: str


def pairs_of(
    content: bytes, name: str, *, abstract_column: int, title_column: int, columns: int | None = None
) -> list[Pair]:
    r"""Return the pairs of all lines, each text as it stands in its column.

    Parameters
    ----------
    content : bytes
        Of a file in UTF-8, without a line of headings; a break after the last line is no line.
    name : str
        What the file is called in error messages.
    abstract_column, title_column : int
        Columns of the two texts, counted from 0.
    columns : int, optional
        How many columns each line must have; as many as the first one has, unless given.

    Raises
    ------
    ValueError, TypeError
        If it is no such text, has no line, a line of another number of columns, or an empty abstract or
        title or one with a NUL; says which line. For what is no number of a column, twice the same one, or
        fewer `columns`.

    Examples
    --------
    >>> pairs_of(b"Copying\tA model that copies.\n", "a.tsv", abstract_column=1, title_column=0)
    [Pair(abstract='A model that copies.', title='Copying')]
    """
    least = _columns_that_must_be(abstract_column, title_column)
    if columns is not None:
        checks.whole_number("columns", columns, least)
    lines = text_of(content, name).removeprefix("\ufeff").split("\n")
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise ValueError(f"{name} must have pairs of texts, got none")
    pairs = []
    for number, line in enumerate(lines, 1):
        cells = line.removesuffix("\r").split("\t")
        if number == 1 and columns is None and len(cells) >= least:
            columns = len(cells)
        if len(cells) != columns:
            expected = f"{columns}" if columns else f"at least {least}"
            asked = (
                ""
                if columns
                else f" (abstract_column {abstract_column}, title_column {title_column}, from 0)"
            )
            raise ValueError(
                f"{name}, line {number}: expected {expected} columns with tabs between them, "
                f"got {len(cells)}{asked}"
            )
        pair = Pair(cells[abstract_column], cells[title_column])
        for what, text in pair._asdict().items():
            if not text.strip():
                raise ValueError(f"{name}, line {number}: expected a text as {what}, got an empty one")
            if "\0" in text:  # as every other letter is of ASCII in UTF-16
                raise ValueError(
                    f"{name}, line {number}: expected a text as {what}, got one with a NUL in it"
                )
        pairs.append(pair)
    return pairs


def read_pairs(path: str | Path, *, abstract_column: int, title_column: int) -> list[Pair]:
    """Return the pairs of somebody's own file.

    Parameters
    ----------
    path : str or Path
        A file as :func:`pairs_of` reads it.
    abstract_column, title_column : int
        Columns of the two texts, counted from 0.

    Raises
    ------
    ValueError, TypeError
        For what is no path or no number of a column, twice the same column, or as :func:`pairs_of` does.
    FileNotFoundError
        If there is no such file.
    """
    if not isinstance(path, str | Path):
        raise TypeError(f"path must name a file, got {checks.shown(path)}")
    _columns_that_must_be(abstract_column, title_column)
    place = Path(path).expanduser()
    if not place.is_file():
        raise FileNotFoundError(f"path must name a file, got {checks.shown(str(path))}")
    return pairs_of(
        place.read_bytes(), str(place), abstract_column=abstract_column, title_column=title_column
    )


def _columns_that_must_be(abstract_column: int, title_column: int) -> int:
    """Return how many columns a line has at least that has these two."""
    for name, column in (("abstract_column", abstract_column), ("title_column", title_column)):
        checks.whole_number(name, column, least=0)
    if abstract_column == title_column:
        raise ValueError(f"title_column must be another one than abstract_column, got {title_column} twice")
    return 1 + max(abstract_column, title_column)
