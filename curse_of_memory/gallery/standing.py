"""The standing of a figure: its record, the preset with which it was made, and what is wrong with it.

A figure may be there twice: reduced in the folder of figures, and at full scale in ``full_scale/`` there.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curse_of_memory.gallery.figure_files import find_record
from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.parameters import COMMON, Parameter, resolve, same_value
from curse_of_memory.gallery.scales import CUSTOM, DEFAULTS, FULL_SCALE, FULL_SCALE_FOLDER
from curse_of_memory.gallery.state import read_state
from curse_of_memory.report.record import Record

__all__ = ["FigureStanding", "best_standing", "preset_used", "standing"]


@dataclass(frozen=True)
class FigureStanding:
    """The record and scale of one notebook's figure, or what is wrong with it.

    Attributes
    ----------
    record : Record or None
        Its record; None if there is none, or something is wrong.
    preset : str
        From :func:`preset_used`.
    reduced : tuple of str
        The names of the parameters whose values are not those of full scale.
    trouble : str
        What is wrong with the notebook, the record or the files, in one line; empty if nothing is.
    folder : str
        Where its files are: ``full_scale/``, or empty for the folder of figures itself.
    other : FigureStanding or None
        That of the same figure at the other scale, if it is there, too.
    """

    record: Record | None = None
    preset: str = ""
    reduced: tuple[str, ...] = ()
    trouble: str = ""
    folder: str = ""
    other: "FigureStanding | None" = None

    @property
    def troubles(self) -> list[str]:
        """What is wrong at either scale, a line each."""
        return [one.trouble for one in (self, self.other) if one and one.trouble]

    @property
    def full(self) -> bool:
        """Whether it stands for full scale: it has the paper's parameters, or its folder says so."""
        return self.preset == FULL_SCALE or bool(self.folder)

    @property
    def data_part(self) -> str:
        """How much of the published data was read, if less than full scale asks for; else empty."""
        return self.record.data_part if self.record else ""

    def made(self) -> str:
        """Return with which preset, where, how fast and when it was made; empty without a record."""
        if self.record is None:
            return ""
        record = self.record
        made = (self.preset, record.device, f"{record.seconds:.1f} s", record.created[:10])
        return " · ".join(made)

    def scales(self) -> Iterator["FigureStanding"]:
        """Yield this standing, and that of the other scale, where they have a record."""
        yield from (one for one in (self, self.other) if one and one.record)


def best_standing(
    out: Path, notebook: Notebook, presets: Mapping[str, Mapping[str, Mapping]]
) -> FigureStanding:
    """Return the standing of a notebook's figure at full scale if `out` has it, else of the reduced one.

    The standing at the other scale is its `other`. Real data and a stand-in do not stand beside each other:
    of the two the figure of real data is the better one, and alone.
    """
    reduced = standing(out, notebook, presets)
    if notebook.trouble:
        return reduced
    full = standing(out / FULL_SCALE_FOLDER, notebook, presets)
    full = replace(full, folder=f"{FULL_SCALE_FOLDER}/")
    if full.record and reduced.record and bool(full.record.stand_in) != bool(reduced.record.stand_in):
        return reduced if full.record.stand_in else full
    if full.record:
        return replace(full, other=reduced if reduced.record or reduced.trouble else None)
    if full.trouble:
        return replace(reduced, other=replace(full, trouble=f"at full scale, {full.trouble}"))
    return reduced


def standing(out: Path, notebook: Notebook, presets: Mapping[str, Mapping[str, Mapping]]) -> FigureStanding:
    """Return the standing of a notebook's figure in `out`."""
    if notebook.trouble:
        return FigureStanding(trouble=notebook.trouble)
    state = read_state(out, notebook)
    if state and not state.published:
        files = "its files are partly of this figure and partly of the one before; make the figures again"
        return FigureStanding(
            trouble=f"{notebook.name}: a batch was stopped while it published the figure: {files}"
        )
    try:
        record = find_record(out, notebook)
        preset = preset_used(notebook, record, presets)
        reduced = _other_than(FULL_SCALE, notebook, record, presets) if record else ()
    except (TypeError, ValueError) as error:  # the record, or a preset that sets what cannot be set
        return FigureStanding(trouble=str(error))
    return FigureStanding(record, preset, reduced)


def preset_used(
    notebook: Notebook, record: Record | None, presets: Mapping[str, Mapping[str, Mapping]]
) -> str:
    """Return the preset whose values are those that the record of a figure has.

    Where several presets agree, as they do where there is nothing to scale, it is ``paper``; where none has
    these values, ``custom``; and where there is no record, an empty text.

    Raises
    ------
    TypeError, ValueError
        If a preset sets what the notebook has not, or a value of another type.
    """
    if record is None:
        return ""
    for preset in dict.fromkeys((FULL_SCALE, DEFAULTS, *presets)):
        if not _other_than(preset, notebook, record, presets):
            return preset
    return CUSTOM


def _other_than(
    preset: str, notebook: Notebook, record: Record, presets: Mapping[str, Mapping[str, Mapping]]
) -> tuple[str, ...]:
    """Return the names of the parameters whose values in a record are not those of a preset."""
    values = presets.get(preset, {}).get(notebook.name, {})
    declared = notebook.parameters
    # what no preset sets need not be among what the figure was computed from, and what every notebook
    # has says nothing about scale
    wanted = {k: p.default for k, p in declared.items() if k in record.parameters and k not in COMMON}
    wanted |= resolve(notebook.name, declared, values)
    return tuple(
        key for key, value in wanted.items() if not _used(declared[key], record.parameters.get(key), value)
    )


def _used(parameter: Parameter, reported: Any, value: Any) -> bool:
    """Return whether the reported value is `value`; infinity, which JSON lacks, may be reported as a word."""
    with contextlib.suppress(TypeError):
        reported = parameter.accept(reported)
    return same_value(reported, value)
