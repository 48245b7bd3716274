"""The command ``curse-of-memory``: make the figures, list and check the notebooks, refresh them."""

import math
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curse_of_memory.gallery.catalogue import Catalogue, read_catalogue
from curse_of_memory.gallery.notebooks import Notebook, find_clone, find_notebooks, find_root, select
from curse_of_memory.tools.versions import __version__

if TYPE_CHECKING:  # slow to import, and there are commands that need none of it
    from curse_of_memory.gallery.batch import Outcome
    from curse_of_memory.gallery.origin import Machine
    from curse_of_memory.gallery.publication import Job
    from curse_of_memory.gallery.standing import FigureStanding

__all__ = ["main"]

COMPILES = "nn/recurrence/compiled/__init__.py"  # the file whose users compile
TIMEOUTS, LONGEST = {"fast": "30min"}, "48h"  # of a notebook, by preset, and of the others
ENDED_BY = 128  # what shells add to the number of the signal that ended a command


class Project:
    """The notebooks and papers of the clone, or those in the package; read when first asked for."""

    @cached_property
    def root(self) -> Path:
        """The folder with the notebooks."""
        return find_root()

    @cached_property
    def notebooks(self) -> dict[str, Notebook]:
        """All notebooks by name; those of a paper with an invalid ``paper.yaml`` are marked as broken."""
        return self.catalogue.mark_broken(self._files)

    @cached_property
    def _files(self) -> dict[str, Notebook]:
        return find_notebooks(self.root)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The papers, with their figures and presets."""
        return read_catalogue().held_against(self._files)

    def standings(self, out: Path) -> dict[str, "FigureStanding"]:
        """Return the standing of every notebook's figure in `out`, the best there is."""
        from curse_of_memory.gallery.ledger import standings

        return standings(self.notebooks, self.catalogue.presets, out)

    def out(self, given: Path | None) -> Path | None:
        """Return the folder of the figures: the given one, else that of the clone, else None."""
        if given is None and (clone := find_clone()):
            return clone / "figures"
        return given and given.resolve()


@contextmanager
def refusals() -> Iterator[None]:
    """Turn errors into one line and an exit status: 2 for what we refuse, 1 for what the system does."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # one of ours
            raise click.UsageError(str(error)) from None
        raise click.ClickException(said_by_system(error)) from None
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from None


def said_by_system(error: OSError) -> str:
    """Return the system's message, after the name of the file."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


class Stopped(KeyboardInterrupt):
    """A signal asked the command to stop; the argument is its number."""


@contextmanager
def stoppable(said: str) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP end the body in the same way: it clears up, and `said` is printed.

    The exit status is the one by which shells know the signal.
    """
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    former = {number: signal.getsignal(number) for number in numbers}
    # who started us may have told us to ignore one (nohup), or want to know of it
    ours = [n for n, handler in former.items() if handler in (signal.SIG_DFL, signal.default_int_handler)]

    def stop(number: int, frame: object) -> None:
        for other in ours:  # once is enough; a second one would interrupt the clearing up
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(number)

    with suppress(ValueError):  # signals are the main thread's business
        for number in ours:
            signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt as reason:
        click.echo(said, err=True)
        sys.exit(ENDED_BY + (reason.args[0] if isinstance(reason, Stopped) else signal.SIGINT))
    finally:
        with suppress(ValueError):
            for number in ours:
                signal.signal(number, former[number])


def this_machine() -> "Machine":
    """Return the functions that name devices and data files; they import torch when they are first called."""
    from curse_of_memory.gallery.origin import Machine

    def device(name: str) -> str:
        from curse_of_memory.tools.devices import device_name

        return device_name(name)

    def data(name: str) -> Mapping[str, str]:
        from curse_of_memory.tasks.data_files import files_read

        return files_read(name)

    def has(name: str, download: bool) -> bool:
        from curse_of_memory.tasks.data_files import available

        return available(name, download=download)

    return Machine(device, data, has)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="curse-of-memory")
@click.pass_context
def main(context: click.Context) -> None:
    """How long does a sequence model remember, and can it learn to?"""
    context.obj = Project()


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--preset", default="fast", show_default=True, help="fast: seconds a notebook; paper: full scale."
)
@click.option("--jobs", type=click.IntRange(min=1), help="Notebooks at a time.  [default: CPU cores]")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to.  [default: figures/ of the clone]",
)
@click.option("--force", is_flag=True, help="Make also what is up to date, and all runs anew.")
@click.option("--keep-runs", is_flag=True, help="Keep finished runs also when their figure is published.")
@click.option(
    "--timeout",
    metavar="TIME",
    help="Longest time of a notebook, as 90s, 20min or 2h.  [default: 30min; full scale: 48h]",
)
@click.option("-p", "texts", nargs=2, multiple=True, metavar="NAME VALUE", help="Set a parameter.")
@click.option("--dask", metavar="ADDRESS", help="Send the runs of all notebooks to this Dask scheduler.")
@click.option("--dry-run", is_flag=True, help="Make nothing; say what it would take, and need.")
@click.option("--up-to", metavar="TIME", help="Make what ends within this time by its estimate: 20min, 2h.")
@click.pass_obj
def figures(
    project: Project,
    names: tuple[str, ...],
    preset: str,
    jobs: int | None,
    out: Path | None,
    force: bool,
    keep_runs: bool,
    timeout: str | None,
    texts: tuple[tuple[str, str], ...],
    dask: str | None,
    dry_run: bool,
    up_to: str | None,
) -> None:
    """Make figures: those of the notebooks or papers named, or all.

    What is up to date is skipped, and what a notebook had finished of its runs is not made again, so a batch
    that was stopped goes on where it was. CURSE_OF_MEMORY_RUNS says in which folder finished runs are kept
    until their figure is published; by default in .batch/ of the figures. In a clone full scale goes to
    figures/full_scale, and what has the parameters of no preset to figures/custom, without --out.
    """
    from curse_of_memory.gallery import batch, execution
    from curse_of_memory.gallery.estimates import read_duration
    from curse_of_memory.gallery.outlook import Outlook, outlook, told
    from curse_of_memory.gallery.placement import Placement, by_scale
    from curse_of_memory.gallery.run_folders import RunFolder
    from curse_of_memory.gallery.watching import Watch

    with refusals():
        limit = math.inf if up_to is None else read_duration(up_to)
        given, out = out, project.out(out)
        if out is None:
            raise ValueError("outside a clone there is no folder of figures; say where to: --out FOLDER")
        longest = read_duration(timeout or TIMEOUTS.get(preset, LONGEST))
        chosen = select(project.notebooks, names)
        planned, reasons = batch.plan(
            chosen,
            project.catalogue.presets,
            preset,
            dict(texts),
            this_machine(),
            download=not dry_run,
        )
        placement = Placement({out: planned}, (out,))
        if given is None:
            placement = by_scale(planned, project.catalogue.presets, out)

    def looked_ahead() -> Outlook:
        figures = project.out(None)
        return outlook(placement, project.catalogue, figures, force=force, jobs=jobs, limit=limit)

    if dry_run:
        for line in told(looked_ahead(), project.catalogue, project.notebooks, reasons, longest):
            click.echo(line)
        return
    outcomes = {notebook.name: batch.Outcome(notebook.name, "not run") for notebook in chosen}
    outcomes |= {name: batch.Outcome(name, "failed", error=reason) for name, reason in reasons.items()}
    troubles, begun = [], False
    with stoppable("Interrupted; finished figures are kept. Start again to go on."), runs_sent_to(dask):
        try:
            with batch.only_batch(placement.jobs, project.notebooks) as release:
                begun = True
                plan = looked_ahead()
                outcomes |= {name: batch.Outcome(name, said) for name, said in plan.kept.items()}
                outcomes |= {name: batch.Outcome(name, "left out") for name in plan.left_out}
                for folder, some in placement.jobs.items():
                    for job in some:
                        if job.notebook.name in (*plan.kept, *plan.left_out, *plan.names):
                            continue
                        outcomes[job.notebook.name] = batch.Outcome(job.notebook.name, "up to date")
                        if not keep_runs:  # a batch may have been killed between publishing and tidying up
                            RunFolder(folder, job.notebook).forget()
                announce_compilation(job for some in plan.todo.values() for job in some)
                conditions = execution.Conditions(plan.workers, longest, anew=force, keep_runs=keep_runs)
                watch = Watch(len(plan.names), sys.stderr)
                for folder, some in plan.todo.items():
                    with closing(execution.run(some, folder, conditions, watch)) as running:
                        for outcome in watch.over(running):
                            outcomes[outcome.name] = outcome
                    release(folder)  # for others, while the next scale takes its hours
                for page in placement.pages:
                    with batch.settled(page, project.notebooks):
                        troubles += write_pages(project, page)
        except BlockingIOError as error:
            raise click.ClickException(f"another batch is writing to {error.filename}") from None
        except (OSError, ValueError) as error:
            troubles.append(said_by_system(error) if isinstance(error, OSError) else str(error))
    if begun:
        report(outcomes.values(), placement.pages)
    for trouble in troubles:
        click.echo(f"Error: {trouble}", err=True)
    if troubles or any(outcome.status in ("failed", "not run") for outcome in outcomes.values()):
        sys.exit(1)


@main.command("list")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-v", "--verbose", is_flag=True, help="Show the parameters too.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Of which figures.  [default: figures/]"
)
@click.pass_obj
def list_(project: Project, names: tuple[str, ...], verbose: bool, out: Path | None) -> None:
    """List notebooks, with the status of each figure, and why it is stale: those named, of papers, or all."""
    from curse_of_memory.gallery.batch import staleness
    from curse_of_memory.gallery.ledger import statuses
    from curse_of_memory.gallery.scales import PLACES

    with refusals():
        chosen = {notebook.name: notebook for notebook in select(project.notebooks, names)}
        out = project.out(out) or Path(os.devnull)  # where there are no figures
        standing_of = {name: one for name, one in project.standings(out).items() if name in chosen}
        stale = [
            staleness(chosen, project.catalogue.presets, out / folder, this_machine())
            for folder in PLACES.values()
        ]
    width = max(map(len, standing_of), default=0)
    for name, state in statuses(standing_of, project.catalogue.items).items():
        notebook, standing = chosen[name], standing_of[name]
        said = [state, *(one.made() for one in standing.scales())]
        for reasons, folder in zip(stale, PLACES.values(), strict=True):
            if name in reasons:
                said.append(f"stale{f' in {folder}' if folder else ''}: {', '.join(reasons[name])}")
        click.echo(f"{name:<{width}}  {notebook.title} ({'; '.join(said)})")
        for p in notebook.parameters.values() if verbose and not notebook.trouble else ():
            click.echo(f"    {p.name}: {p.type} = {p.default!r}  {p.help}".rstrip())
    troubles = troubles_of(project, standing_of)
    if names:  # those of the others are not asked for
        troubles = [trouble for standing in standing_of.values() for trouble in standing.troubles]
    if troubles:
        for trouble in troubles:
            click.echo(f"Error: {trouble}", err=True)
        sys.exit(1)


@main.command()
@click.pass_obj
def check(project: Project) -> None:
    """Check that notebooks, modules, papers and presets agree, and figures at full scale with these."""
    from curse_of_memory.gallery.lint import lint, lint_scales

    with refusals():
        complaints = lint(project.notebooks, project.catalogue)
        if out := project.out(None):
            complaints += lint_scales(project.standings(out))
    for line in complaints:
        click.echo(line)
    if complaints:
        sys.exit(1)
    click.echo(f"{len(project.notebooks)} notebooks, all in order.")


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.pass_obj
def refresh(project: Project, names: tuple[str, ...]) -> None:
    """Execute notebooks in place, to renew the outputs with which the tests compare."""
    from curse_of_memory.gallery.data_choice import decided
    from curse_of_memory.gallery.execution import one_line
    from curse_of_memory.gallery.refresh import refresh as execute
    from curse_of_memory.tools.data_sources import STAND_IN

    with refusals():
        if find_clone() is None:
            raise ValueError("notebooks are refreshed in a clone of the project only, and this is none")
        chosen = select(project.notebooks, names)
    failures = 0
    with stoppable("Interrupted; the notebook that was running is unchanged."):
        for notebook in chosen:
            try:
                if notebook.trouble:
                    raise ValueError(notebook.trouble)
                if decided(notebook, {}, this_machine(), download=True).get("data") == STAND_IN:
                    raise ValueError("its outputs are those of real data, and these are not here")
                execute(notebook)
                click.echo(f"{notebook.name}  refreshed")
            except Exception as error:
                failures += 1
                click.echo(f"{notebook.name}  failed, file unchanged: {one_line(error)}")
    if failures:
        sys.exit(1)


def announce_compilation(jobs: Iterable["Job"]) -> None:
    """Say so if a notebook will be the first on this machine to use the loops of the package."""
    if any(COMPILES in job.origin.package for job in jobs):
        from curse_of_memory.nn.recurrence.compiled import FIRST_TIME, nothing_compiled

        if nothing_compiled():
            click.echo(FIRST_TIME, err=True)


@contextmanager
def runs_sent_to(scheduler: str | None) -> Iterator[None]:
    """Let kernels that start in the body send their runs to the cluster of a scheduler, if one is named."""
    if scheduler is None:
        yield
        return
    from curse_of_memory.tools.named_cluster import SCHEDULER, reached

    with refusals(), reached(scheduler):  # there is somebody, before anything starts
        pass
    former = os.environ.get(SCHEDULER)
    os.environ[SCHEDULER] = scheduler
    try:
        yield
    finally:
        os.environ.pop(SCHEDULER)
        if former is not None:
            os.environ[SCHEDULER] = former


def write_pages(project: Project, out: Path) -> list[str]:
    """Write the index page and the ledger of the figures in `out`; return what is wrong, a line each."""
    from curse_of_memory.gallery.index_page import write_index
    from curse_of_memory.gallery.ledger_text import write_ledger

    standing_of = project.standings(out)
    troubles = troubles_of(project, standing_of)
    for write in (write_index, write_ledger):
        try:
            write(project.catalogue, project.notebooks, standing_of, out)
        except (OSError, ValueError) as error:
            said = said_by_system(error) if isinstance(error, OSError) else str(error)
            troubles.append(
                f"{'index.html' if write is write_index else 'the ledger'} was not written: {said}"
            )
    return troubles


def troubles_of(project: Project, standing_of: Mapping[str, "FigureStanding"]) -> list[str]:
    """Return what is wrong with notebooks, figures and papers, a line each."""
    troubles = [trouble for standing in standing_of.values() for trouble in standing.troubles]
    return list(dict.fromkeys([*troubles, *project.catalogue.troubles.values()]))


def report(outcomes: Iterable["Outcome"], pages: Iterable[Path]) -> None:
    """Print how every notebook ended, of failures the error and the executed notebook, and where to look."""
    outcomes = list(outcomes)
    width = max((len(outcome.name) for outcome in outcomes), default=0)
    for outcome in outcomes:
        seconds = f"{outcome.seconds:8.1f} s" if outcome.seconds else ""
        click.echo(f"{outcome.name:<{width}}  {outcome.status:<10}{seconds}".rstrip())
    for outcome in outcomes:
        if outcome.status == "failed":
            click.echo(f"\n{outcome.name} failed: {outcome.error}")
            for line in outcome.said:
                click.echo(f"  {line}")
            if outcome.executed:
                click.echo(f"  executed notebook: {outcome.executed}")
    click.echo("\n" + "\n".join(str(page / "index.html") for page in pages))


if __name__ == "__main__":
    main(prog_name="curse-of-memory")
