"""Small projects with notebooks that run in a second."""

import json
import os
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner, Result

from curse_of_memory.cli import main
from curse_of_memory.gallery import catalogue, forked_kernels
from curse_of_memory.gallery.catalogue import Catalogue, read_catalogue
from curse_of_memory.gallery.core_yaml import read_yaml
from curse_of_memory.gallery.fork_server import can_fork
from curse_of_memory.gallery.ledger import standings
from curse_of_memory.gallery.notebooks import PACKAGE, Notebook, find_notebooks, read_notebook
from curse_of_memory.gallery.origin import Machine
from curse_of_memory.gallery.standing import FigureStanding
from tests.forks import ForkedCommand, shared_server

# one without torch, GPU and data
MACHINE = Machine(device=lambda name: "cpu", data=lambda name: {f"{name}/file": "sha256:1"})

PARAMETERS = """\
seed: int = 0  # seed of the draws
device: str = "auto"  # where to compute
output_dir: str = ""  # set by the batch
horizon: int = 8  # number of steps
rate: float = 0.5  # decay rate
fail: bool = False  # whether to fail
"""

COMPUTE = 'print("horizon", horizon)'

WRITE = """\
import json
from pathlib import Path
if fail:
    raise ValueError("first line\\nlast line")
stem = {stem!r}
result = dict(
    name={name!r}, title="A title", message="What is seen.",
    parameters=dict(horizon=horizon, rate=rate, seed=seed), versions=dict(numpy="2.0"), device="cpu",
    seconds=0.1, headline=dict(value=1.5), spread=dict(value=dict(low=1.25, high=1.75, runs=2)),
    paper=dict(value=1.25), source="Figure 1", created="2025-01-02T03:04:05+00:00",
)
if output_dir:
    for suffix in ("png", "pdf", "csv"):
        (Path(output_dir) / f"{{stem}}.{{suffix}}").write_text(f"{{suffix}} {{horizon}} {{rate}}")
    (Path(output_dir) / f"{{stem}}.json").write_text(json.dumps(result))
"""


class Project:
    """A folder with notebooks, and the command run in it."""

    def __init__(self, root: Path):
        self.root = root
        self.out = root / "figures"
        self.papers = root / "papers"
        (root / "notebooks").mkdir(parents=True)
        (root / "pyproject.toml").write_text('[project]\nname = "curse-of-memory"\n')
        (root / "curse_of_memory").symlink_to(PACKAGE)
        for described in (PACKAGE / "papers").glob("*/paper.yaml"):  # the true papers, without presets
            own = self.papers / described.parent.name / described.name
            own.parent.mkdir(parents=True)
            own.write_text(described.read_text().partition("presets:")[0])

    def write(self, name: str, *cells: str, parameters: str = PARAMETERS, title: str = "A title") -> Path:
        """Write a notebook whose code cells are `cells`, or ones that write a figure."""
        stem = name.rpartition("/")[2]
        cells = cells or (COMPUTE, WRITE.format(name=name, stem=stem))
        v4 = nbformat.v4
        book = v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
        book.cells = [
            v4.new_markdown_cell(f"# {title}\n\nSome text."),
            v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            *(v4.new_code_cell(cell) for cell in cells),
        ]
        path = self.root / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(book, path)
        return path

    def read(self, name: str) -> Notebook:
        return read_notebook(self.root / "notebooks" / f"{name}.ipynb", name)

    def standings(self, presets: dict | None = None) -> dict[str, FigureStanding]:
        return standings(find_notebooks(self.root), presets or {}, self.out)

    def catalogue(self) -> Catalogue:
        return read_catalogue(self.papers)

    def presets(self, text: str) -> None:
        """Write presets, from preset to notebook to parameter, into the descriptions of the papers."""
        by_folder: dict[str, dict] = {path.name: {} for path in self.papers.iterdir()}
        for preset, notebooks in read_yaml(text).items():
            for name, values in notebooks.items():
                folder, _, stem = name.partition("/")
                by_folder[folder].setdefault(preset, {})[stem] = values
        for folder, presets in by_folder.items():
            place = self.papers / folder / "paper.yaml"
            described = place.read_text().partition("presets:")[0]
            place.write_text(f"{described}presets: {json.dumps(presets)}\n")

    def record(self, name: str, /, **changes) -> Path:
        """Put a record where a batch would have put it."""
        content = {
            "name": name,
            "title": "A title",
            "message": "What is seen.",
            "parameters": {"seed": 0, "horizon": 8, "rate": 0.5},
            "versions": {"numpy": "2.0"},
            "device": "cpu",
            "seconds": 0.1,
            "headline": {"value": 1.5},
            "spread": {},
            "paper": {},
            "source": "Figure 1",
            "created": "2025-01-02T03:04:05+00:00",
        }
        path = self.out / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content | changes))
        return path

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    def start(self, *arguments: object) -> ForkedCommand:
        """Start the command in a process of its own."""
        return ForkedCommand(self.root, *arguments, env=dict(os.environ))

    def statuses(self, *arguments: str) -> dict[str, str]:
        """Run ``figures`` and return what its summary says of every notebook."""
        outcome = self.run("figures", *arguments)
        assert outcome.exception is None or isinstance(outcome.exception, SystemExit), outcome.exception
        lines = [line.split(maxsplit=1) for line in outcome.stdout.partition("\n\n")[0].splitlines()]
        known = ("up to date", "done", "failed", "not run", "kept")
        return {name: next(word for word in known if rest.startswith(word)) for name, rest in lines}

    def files(self) -> dict[str, str]:
        """Return what a reader sees in the output folder, by relative path."""
        return {
            path.relative_to(self.out).as_posix(): path.read_text()
            for path in sorted(self.out.rglob("*"))
            if path.is_file() and ".batch" not in path.parts
        }


@pytest.fixture
def project(tmp_path, monkeypatch):
    made = Project(tmp_path / "project")
    monkeypatch.chdir(made.root)
    monkeypatch.setattr(catalogue, "PAPERS", made.papers)
    if can_fork():
        monkeypatch.setattr(forked_kernels, "fork_server", shared_server)
    return made
