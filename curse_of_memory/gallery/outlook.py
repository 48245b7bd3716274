"""What a batch has to do, what it would take and need: told before anything runs."""

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from curse_of_memory.gallery.batch import outdated
from curse_of_memory.gallery.catalogue import NEEDS, Catalogue
from curse_of_memory.gallery.data_choice import kept_figures
from curse_of_memory.gallery.estimates import ending_within, estimated, in_words
from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.placement import Placement
from curse_of_memory.gallery.publication import Job
from curse_of_memory.gallery.scales import PLACES

__all__ = ["Outlook", "outlook", "told"]


@dataclass(frozen=True)
class Outlook:
    """What a batch has to do.

    Attributes
    ----------
    todo : dict
        The jobs to run, by folder of figures.
    workers : int
        How many of them run at a time.
    seconds : dict
        What each notebook will take, by name; None if there is no telling. Of those, too, that are not run.
    kept : dict
        What is said of notebooks whose figures no stand-in may replace.
    left_out : list of str
        The notebooks that would end too late.
    """

    todo: dict[Path, list[Job]]
    workers: int
    seconds: dict[str, float | None]
    kept: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The notebooks to run."""
        return [job.notebook.name for jobs in self.todo.values() for job in jobs]


def outlook(
    placement: Placement,
    catalogue: Catalogue,
    figures: Path | None,
    *,
    force: bool = False,
    jobs: int | None = None,
    limit: float = math.inf,
) -> Outlook:
    """Return what a batch has to do.

    Parameters
    ----------
    placement
        All its jobs, and where their figures go.
    catalogue
        Whose costs are used.
    figures
        The folder of figures of the clone, whose clocks are asked, too; None if there is no clone.
    force
        Whether what is up to date is made, too.
    jobs
        Notebooks at a time; as many as there are cores unless given.
    limit
        The seconds within which all is to end.
    """
    kept, seconds = kept_figures(placement.jobs), {}
    # by what is asked for, not by what is left of it: sums are in another order with more threads
    asked = sum(job.notebook.name not in kept for some in placement.jobs.values() for job in some)
    workers = jobs or max(1, min(os.cpu_count() or 1, asked))
    todo: dict[Path, list[Job]] = {}
    for folder, some in placement.jobs.items():
        clocks = [folder, *(figures / place for place in PLACES.values() if figures)]
        for job in some:
            name = job.notebook.name
            seconds[name] = estimated(job, catalogue.costs.get(name, ""), clocks)
        left = some if force else outdated(some, folder)
        todo[folder] = [job for job in left if job.notebook.name not in kept]
    names = [job.notebook.name for some in todo.values() for job in some]
    within = names
    if limit < math.inf:
        within = ending_within(limit, {name: seconds[name] for name in names}, workers)
        todo = {folder: [job for job in some if job.notebook.name in within] for folder, some in todo.items()}
    return Outlook(todo, workers, seconds, kept, [name for name in names if name not in within])


def told(
    plan: Outlook,
    catalogue: Catalogue,
    notebooks: Mapping[str, Notebook],
    reasons: Mapping[str, str],
    longest: float = math.inf,
) -> Iterator[str]:
    """Yield the lines that tell an outlook: time, state and needs of every notebook, and the sum.

    `reasons` say of notebooks, by name, why they cannot be run. After `longest` seconds a notebook is ended:
    one that would take longer where the clock was read needs more time, or another machine.
    """
    needs = {item.notebook: item.needs for item in catalogue.items if item.needs}
    states = dict.fromkeys(plan.seconds, "up to date") | plan.kept
    states |= dict.fromkeys(plan.names, "to do") | dict.fromkeys(plan.left_out, "left out")
    width = max(map(len, (*plan.seconds, *reasons)), default=0)
    for name, seconds in plan.seconds.items():
        data = notebooks[name].needs_data
        needed = [f"data: {', '.join(data)}"] if data else []
        needed += [need for need in NEEDS if need == needs.get(name) and not (data and need == "data")]
        if seconds is not None and seconds > longest and name in plan.names:
            needed.append(f"ended after {in_words(longest)}: --timeout, or a GPU")
        yield f"{name:<{width}}  {in_words(seconds):>8}  {states[name]:<10}  {', '.join(needed)}".rstrip()
    for name, reason in reasons.items():
        yield f"{name:<{width}}  {'?':>8}  {reason}"
    known = [seconds for name in plan.names if (seconds := plan.seconds[name]) is not None]
    unknown = len(plan.names) - len(known)
    total = f"{len(plan.names)} to do: {in_words(sum(known))}"
    if unknown:
        total += f", and {unknown} that cannot be told"
    if plan.workers > 1 and known:
        total += f", {plan.workers} at a time about {in_words(max(sum(known) / plan.workers, *known))}"
    yield from ("", total)
