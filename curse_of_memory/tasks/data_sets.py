"""A data set with a stand-in: its published files, else data that are always at hand, in the same form."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from curse_of_memory.tasks.data_files import available
from curse_of_memory.tools import checks
from curse_of_memory.tools.data_sources import AUTO, REAL, SOURCES, STAND_IN

__all__ = ["DataSet"]

Content = TypeVar("Content")


@dataclass(frozen=True)
class DataSet(Generic[Content]):
    """A published data set, and what stands in for it where its files cannot be had.

    One more is one more such object beside the task that reads it, and the rows of its files in
    ``data_files.csv``.

    Attributes
    ----------
    name : str
        As the table of the files has it, and ``needs_data`` in the metadata of notebooks.
    title : str
        As people call it.
    stand_in : str
        What stands in for it, in a few words.
    read : callable
        From a part, ``'train'`` and so on, to its content in the published files.
    make : callable
        From a part to the content of the stand-in, in the same form; it needs no files and no network.
    """

    name: str
    title: str
    stand_in: str
    read: Callable[[str], Content]
    make: Callable[[str], Content]

    def source(self, data: str) -> str:
        """Return what is taken, ``'real'`` or ``'stand-in'``.

        Parameters
        ----------
        data : {'auto', 'real', 'stand-in'}
            What is asked for. ``'auto'`` takes the published files where they are here or can be downloaded,
            as :func:`curse_of_memory.tasks.available` tries it, and else the stand-in.

        Raises
        ------
        ValueError, FileNotFoundError
            For another word, or as `available` does.
        """
        if checks.one_of("data", data, SOURCES) != AUTO:
            return data
        return REAL if available(self.name, download=True) else STAND_IN

    def content(self, part: str, source: str) -> Content:
        """Return a part of what :meth:`source` said."""
        checks.one_of("source", source, (REAL, STAND_IN))
        return self.make(part) if source == STAND_IN else self.read(part)

    def note(self, source: str) -> str:
        """Return what stands in for what, as figures say it; an empty text for the real data."""
        return f"{self.stand_in}, in place of {self.title}" if source == STAND_IN else ""
