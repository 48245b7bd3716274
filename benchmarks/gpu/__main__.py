"""Run the parts one after the other, keep what has ended, and print a summary."""

import contextlib
import os
import signal
import sys
import tarfile
import time
from pathlib import Path

import click
import torch

from benchmarks.gpu import plan
from benchmarks.gpu.parts import Ended, Part, run

KEPT = ("figures", "benchmarks/results")  # what the parts write in the clone


@click.command()
@click.option("--device", default="cuda", show_default=True, help="cuda, or cpu: all at the tiniest size.")
@click.option("--seconds", type=float, default=540.0, show_default=True, help="For everything.")
@click.option("--since", type=float, help="When that time began, as of `date +%s`; now unless given.")
@click.option("--into", type=click.Path(path_type=Path), default=Path("build/gpu"), show_default=True)
def main(device: str, seconds: float, since: float | None, into: Path) -> None:
    """Run tests, benchmarks and notebooks on a GPU, each within its time.

    The folder INTO has a log of each part, the summary, and as one archive all files that came of it.
    """
    if device != "cpu" and not torch.cuda.is_available():
        raise click.ClickException("there is no GPU here that torch could use; --device cpu tries it all")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begun = time.time() if since is None else since
    folder = into.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    ended: list[Ended] = []
    make = {
        "tests": lambda limit: plan.tests(device, limit, max(1, min(8, (os.cpu_count() or 2) // 2))),
        "benchmarks": lambda limit: plan.benchmarks(device, limit, folder),
        "notebooks": lambda limit: plan.notebooks(device, limit, folder),
    }
    waiting = list(make)
    with contextlib.suppress(KeyboardInterrupt):
        for name, part in make.items():
            left = begun + seconds - time.time()
            ended.append(_run(part(plan.limit_of(name, seconds, left)), folder))
            waiting.remove(name)
            _keep(folder, summary(device, ended, time.time() - begun), begun)
    ended += [Ended(make[name](0.0), "not ended") for name in waiting]
    text = summary(device, ended, time.time() - begun)
    _keep(folder, text, begun)
    click.echo(text)
    sys.exit(any(one.status == "failed" or one.tally.failed for one in ended) or bool(waiting))


def _run(part: Part, folder: Path) -> Ended:
    if part.limit <= 0:
        return Ended(part, "no time left")
    click.echo(f"{part.name}: up to {part.limit:.0f} s", err=True)
    ended = run(part, folder, plan.ROOT)
    click.echo(ended.line(), err=True)
    return ended


def summary(device: str, ended: list[Ended], seconds: float) -> str:
    """Return what passed, what failed and what was not reached, with the seconds of each part."""
    where = torch.cuda.get_device_name() if device != "cpu" else "the CPU, at the tiniest size"
    lines = [f"On {where}, torch {torch.__version__}, {seconds:.0f} s in all.", ""]
    lines += [one.line() for one in ended]
    for one in ended:
        if one.status == "failed" and not one.tally.failed:
            lines.append(f"\n{one.part.name} failed as a whole: see {one.part.name}.log")
        lines += [f"\nfailed in {one.part.name}:"] * bool(one.tally.failed)
        lines += [f"  {name}" for name in one.tally.failed]
    return "\n".join(lines) + "\n"


def _keep(folder: Path, text: str, begun: float) -> None:
    """Write the summary so far, and pack the files of the clone that were written since the run began."""
    (folder / "summary.txt").write_text(text)
    with tarfile.open(folder / "files.tar.gz", "w:gz") as archive:
        for place in KEPT:
            for path in sorted((plan.ROOT / place).rglob("*")):
                with contextlib.suppress(FileNotFoundError):
                    if path.is_file() and ".batch" not in path.parts and path.stat().st_mtime >= begun:
                        archive.add(path, path.relative_to(plan.ROOT))


if __name__ == "__main__":
    main()
