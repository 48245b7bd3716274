"""Where the figures of a batch go: which folder each belongs in is told from its parameters."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.parameters import RESERVED, resolve, same_value
from curse_of_memory.gallery.publication import Job
from curse_of_memory.gallery.scales import CUSTOM_FOLDER, PLACES
from curse_of_memory.tools.data_sources import STAND_IN

__all__ = ["Placement", "all_parameters", "by_scale", "same_figure"]

# parameters that say where to compute and not what, or of which data, which the figure says itself
WHERE = (RESERVED, "device", "data")


@dataclass(frozen=True)
class Placement:
    """Where the figures of a batch go.

    Attributes
    ----------
    jobs : dict
        What is to be made, by folder of figures.
    pages : tuple of Path
        The folders with an index page and a ledger that show these figures.
    """

    jobs: dict[Path, list[Job]]
    pages: tuple[Path, ...]


def by_scale(jobs: Iterable[Job], presets: Mapping[str, Mapping[str, Mapping]], out: Path) -> Placement:
    """Return where jobs go below the folder of figures `out`: each scale has its own.

    What a job computes decides, not the name of its preset: parameters that were set to what a preset has are
    that preset.

    Parameters
    ----------
    jobs
        From `batch.plan`.
    presets
        All presets of the catalogue.
    out
        The folder of figures.
    """
    places: dict[Path, list[Job]] = {}
    for job in jobs:
        forced = (
            job.overrides.get("data") == STAND_IN
        )  # what is asked for in place of real data goes elsewhere
        for preset, folder in PLACES.items() if not forced else ():
            values = presets.get(preset, {}).get(job.notebook.name, {})
            if same_figure(job.origin.parameters, all_parameters(job.notebook, values)):
                overrides = {name: value for name, value in job.overrides.items() if name in WHERE}
                places.setdefault(out / folder, []).append(replace(job, preset=preset, overrides=overrides))
                break
        else:
            places.setdefault(out / CUSTOM_FOLDER, []).append(job)
    scales = {out / folder: number for number, folder in enumerate((*PLACES.values(), CUSTOM_FOLDER))}
    places = dict(sorted(places.items(), key=lambda place: scales[place[0]]))  # what is quick comes first
    pages = (folder if folder == out / CUSTOM_FOLDER else out for folder in places or {out: []})
    return Placement(places, tuple(dict.fromkeys(pages)))


def all_parameters(notebook: Notebook, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return all parameters of a notebook: the values that a preset sets, and the defaults of the others."""
    defaults = {name: parameter.default for name, parameter in notebook.parameters.items()}
    return defaults | resolve(notebook.name, notebook.parameters, values)


def same_figure(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Return whether two sets of parameters compute the same; where they do is no matter."""
    return first.keys() == second.keys() and all(
        same_value(value, second[name]) for name, value in first.items() if name not in WHERE
    )
