"""Run the benchmarks, print the table, and write it to ``benchmarks/results``."""

from pathlib import Path

import click
import torch
from threadpoolctl import threadpool_limits

from benchmarks.all_rows import ROWS
from benchmarks.table import report
from curse_of_memory.tools.files import whole_file

RESULTS = Path(__file__).parent / "results"


@click.command()
@click.argument("words", nargs=-1)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--quick", is_flag=True, help="A second for each row, in place of eight.")
@click.option("--threads", type=int, help="Threads of torch; all cores unless given.")
@click.option("--write/--no-write", default=True, show_default=True, help="Keep the table as a file.")
def main(words: tuple[str, ...], device: str, quick: bool, threads: int | None, write: bool) -> None:
    """Run the rows whose names hold one of WORDS ("growth" for that), or all of them."""
    if threads:
        torch.set_num_threads(threads)
    rows = [row for row in ROWS if not words or any(word in row.name for word in words)]
    lengths = not words or "growth" in words
    if not rows and not lengths:
        raise click.BadParameter(f"no row has one of {', '.join(words)} in its name", param_hint="WORDS")
    with threadpool_limits(torch.get_num_threads()):  # numpy's and scipy's products, too
        text = report(rows, device, 1.0 if quick else 8.0, lengths)
    click.echo(text)
    if write and not words:
        RESULTS.mkdir(exist_ok=True)
        with whole_file(RESULTS / f"{device.replace(':', '')}.md") as path:
            path.write_text(text)


if __name__ == "__main__":
    main()
