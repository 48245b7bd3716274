"""The law of the house: one name for a figure's notebook, module and test, and each figure on its own."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIGURES = sorted(
    path.relative_to(ROOT / "notebooks").with_suffix("").as_posix()
    for path in ROOT.glob("notebooks/*/*.ipynb")
)
MODULES = sorted(path for path in ROOT.glob("curse_of_memory/papers/*/*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_a_module_with_data_and_plot_and_a_test_of_its_name(name):
    module = importlib.import_module(f"curse_of_memory.papers.{name.replace('/', '.')}")
    assert callable(module.data)
    assert callable(module.plot)
    assert {"data", "plot"} <= set(module.__all__)
    paper, figure = name.split("/")
    assert (ROOT / "tests" / "papers" / paper / f"test_{figure}.py").exists()


def test_every_other_module_of_a_paper_is_private():
    names = {f"{path.parent.name}/{path.stem}" for path in MODULES if not path.stem.startswith("_")}
    assert names == set(FIGURES)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_module_imports_a_figure(path):
    figures = {f"curse_of_memory.papers.{name.replace('/', '.')}" for name in FIGURES}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            imported = {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
            assert not figures & imported
        elif isinstance(node, ast.Import):
            assert not figures & {name.name for name in node.names}
