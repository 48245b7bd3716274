"""Run the benchmarks, print the table, and write it to ``benchmarks/results``."""

import math
import sys
from functools import partial
from pathlib import Path

import click
import torch
from threadpoolctl import threadpool_limits

from benchmarks.all_rows import ROWS
from benchmarks.table import Table
from curse_of_memory.tools.files import whole_file

RESULTS = Path(__file__).parent / "results"
OF_ALL = 8  # a row is left after this part of the time for all of them


@click.command()
@click.argument("words", nargs=-1)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--quick", is_flag=True, help="A second for each row, in place of eight.")
@click.option("--small", is_flag=True, help="All work as small as in tests: a try-out that measures nothing.")
@click.option("--up-to", type=float, help="Seconds for all; rows that are not reached are named.")
@click.option("--threads", type=int, help="Threads of torch; all cores unless given.")
@click.option("--write/--no-write", default=True, show_default=True, help="Keep the table as a file.")
@click.option("--into", type=click.Path(path_type=Path), default=RESULTS, help="Keep it in this folder.")
def main(
    words: tuple[str, ...],
    device: str,
    quick: bool,
    small: bool,
    up_to: float | None,
    threads: int | None,
    write: bool,
    into: Path,
) -> None:
    """Run the rows whose names hold one of WORDS ("growth" for that), or all of them.

    The table of all rows is kept, row by row, so that one that is stopped has what it had; the exit status
    says whether a row failed.
    """
    if threads:
        torch.set_num_threads(threads)
    rows = [row for row in ROWS if not words or any(word in row.name for word in words)]
    lengths = not words or "growth" in words
    if not rows and not lengths:
        raise click.BadParameter(f"no row has one of {', '.join(words)} in its name", param_hint="WORDS")
    if small and into == RESULTS and write:
        raise click.UsageError("--small measures nothing that is worth keeping; use --no-write or --into")
    limit = math.inf if up_to is None else up_to
    with threadpool_limits(torch.get_num_threads()):  # numpy's and scipy's products, too
        budget = 0.01 if small else 1.0 if quick else 8.0
        table = Table(device, budget, small=small, limit=limit, longest=limit / OF_ALL)
        works = [partial(table.add, row) for row in rows]
        if lengths and not small:
            works += [table.add_growth, table.add_growth_by_memories]
        for work in works:
            click.echo(work(), err=True)
            if write and (not words or into != RESULTS):
                into.mkdir(parents=True, exist_ok=True)
                with whole_file(into / f"{device.replace(':', '')}.md") as path:
                    path.write_text(table.text())
    click.echo(table.text())
    sys.exit(bool(table.failed))


if __name__ == "__main__":
    main()
