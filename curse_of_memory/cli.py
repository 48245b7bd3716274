"""The command ``curse-of-memory``: make the figures, list and check the notebooks, refresh them."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import click

from curse_of_memory import __version__
from curse_of_memory.gallery.notebooks import Notebook, find_notebooks, find_root, select
from curse_of_memory.gallery.parameters import read_presets

__all__ = ["main"]

INTERRUPTED = 130  # what shells report for Ctrl-C


class Project:
    """The clone that the command works on; found and read when first asked."""

    @cached_property
    def root(self) -> Path:
        """Its folder."""
        return find_root()

    @cached_property
    def notebooks(self) -> dict[str, Notebook]:
        """All notebooks by name."""
        return find_notebooks(self.root)

    @cached_property
    def presets(self) -> dict[str, dict]:
        """All presets by name."""
        return read_presets(self.root)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn a refused input into a one-line usage error, exit status 2."""
    try:
        yield
    except (TypeError, ValueError, FileNotFoundError) as error:
        raise click.UsageError(str(error)) from None


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
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Where to.  [default: figures/]"
)
@click.option("--force", is_flag=True, help="Make also what is up to date.")
@click.option("-p", "texts", nargs=2, multiple=True, metavar="NAME VALUE", help="Set a parameter.")
@click.pass_obj
def figures(
    project: Project,
    names: tuple[str, ...],
    preset: str,
    jobs: int | None,
    out: Path | None,
    force: bool,
    texts: tuple[tuple[str, str], ...],
) -> None:
    """Make figures: those of the notebooks or papers named, or all.

    What is up to date is skipped, so a batch that was stopped goes on where it was.
    """
    from curse_of_memory.gallery import batch

    with refusals():
        out = (out or project.root / "figures").resolve()
        chosen = select(project.notebooks, names)
        planned = batch.plan(chosen, project.notebooks, project.presets, preset, dict(texts))
    try:
        with batch.only_batch(out):
            todo = planned if force else batch.outdated(planned, out)
            outcomes = {job.notebook.name: batch.Outcome(job.notebook.name, "up to date") for job in planned}
            workers = jobs or max(1, min(os.cpu_count() or 1, len(todo)))
            for outcome in progress(batch.run(todo, out, workers), len(todo)):
                outcomes[outcome.name] = outcome
    except BlockingIOError:
        raise click.ClickException(f"another batch is writing to {out}") from None
    except KeyboardInterrupt:
        click.echo("Interrupted; finished figures are kept. Start again to go on.", err=True)
        sys.exit(INTERRUPTED)
    write_pages(project, out)
    report(list(outcomes.values()), out)
    if any(outcome.status == "failed" for outcome in outcomes.values()):
        sys.exit(1)


@main.command("list")
@click.option("-v", "--verbose", is_flag=True, help="Show the parameters too.")
@click.pass_obj
def list_(project: Project, verbose: bool) -> None:
    """List the notebooks, with how far each figure is reproduced."""
    from curse_of_memory.gallery.ledger import statuses

    with refusals():
        states = statuses(project.notebooks, project.presets, project.root / "figures")
    width = max(map(len, states), default=0)
    for name, state in states.items():
        notebook = project.notebooks[name]
        click.echo(f"{name:<{width}}  {notebook.title} ({state})")
        for p in notebook.parameters.values() if verbose else ():
            click.echo(f"    {p.name}: {p.kind} = {p.default!r}  {p.help}".rstrip())


@main.command()
@click.pass_obj
def check(project: Project) -> None:
    """Check that notebooks, parameters, presets and the ledger agree."""
    from curse_of_memory.gallery.audit import findings
    from curse_of_memory.gallery.ledger import read_inventory

    with refusals():
        found = findings(project.notebooks, project.presets, read_inventory())
    for line in found:
        click.echo(line)
    if found:
        sys.exit(1)
    click.echo(f"{len(project.notebooks)} notebooks, all in order.")


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.pass_obj
def refresh(project: Project, names: tuple[str, ...]) -> None:
    """Execute notebooks in place, so that their outputs are what the tests compare with."""
    from curse_of_memory.gallery.batch import one_line
    from curse_of_memory.gallery.refresh import refresh as execute

    with refusals():
        chosen = select(project.notebooks, names)
    failures = 0
    for notebook in chosen:
        try:
            execute(notebook)
            click.echo(f"{notebook.name}  refreshed")
        except Exception as error:
            failures += 1
            click.echo(f"{notebook.name}  failed, file unchanged: {one_line(error)}")
    if failures:
        sys.exit(1)


def progress(outcomes: Iterator, total: int) -> Iterator:
    """Show a bar over notebooks on a terminal."""
    from tqdm import tqdm

    return tqdm(outcomes, total=total, unit="notebook", file=sys.stderr, disable=None)


def write_pages(project: Project, out: Path) -> None:
    """Write the index page and the ledger for what is in `out` now."""
    from curse_of_memory.gallery.index_page import write_index
    from curse_of_memory.gallery.ledger_text import write_ledger

    try:
        write_index(project.notebooks, project.presets, out)
        write_ledger(project.notebooks, project.presets, out)
    except ValueError as error:
        raise click.ClickException(f"index.html and the ledger were not written: {error}") from None


def report(outcomes: list, out: Path) -> None:
    """Print how every notebook ended, and for failures where to look."""
    width = max((len(outcome.name) for outcome in outcomes), default=0)
    for outcome in outcomes:
        seconds = f"{outcome.seconds:8.1f} s" if outcome.seconds else ""
        click.echo(f"{outcome.name:<{width}}  {outcome.status:<10}{seconds}".rstrip())
    for outcome in outcomes:
        if outcome.status == "failed":
            click.echo(f"\n{outcome.name} failed: {outcome.error}")
            if outcome.executed:
                click.echo(f"  executed notebook: {outcome.executed}")
    click.echo(f"\n{out / 'index.html'}")
