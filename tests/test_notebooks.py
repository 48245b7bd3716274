"""The notebooks as committed: in order, thin, and agreeing with the functions they call."""

import importlib
import inspect
import json
import pkgutil
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from curse_of_memory import papers
from curse_of_memory.cli import main
from curse_of_memory.gallery.notebooks import code_of, find_notebooks
from notebooks import conftest as notebooks_conftest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = find_notebooks(ROOT)
MODULES = [
    importlib.import_module(m.name) for m in pkgutil.walk_packages(papers.__path__, "curse_of_memory.papers.")
]
FUNCTIONS = {
    function.figure_name: function
    for module in MODULES
    for _, function in inspect.getmembers(module, lambda thing: hasattr(thing, "figure_name"))
}


def test_every_figure_function_has_a_notebook_and_every_notebook_a_function():
    assert set(NOTEBOOKS) - {"tour/getting_started"} == set(FUNCTIONS)


def test_check_finds_nothing(monkeypatch):
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters_are_the_arguments_of_the_function_with_its_defaults(name):
    def plain(value):
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return float(value) if value == "inf" else value

    arguments = inspect.signature(FUNCTIONS[name]).parameters
    declared = {k: p.default for k, p in NOTEBOOKS[name].parameters.items() if k != "output_dir"}
    assert {k: plain(v) for k, v in declared.items()} == {k: plain(a.default) for k, a in arguments.items()}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_notebooks_name_the_data_they_read(name):
    """By what their modules import; a figure that reads others would not be made anew when these change."""
    module = inspect.getmodule(inspect.unwrap(FUNCTIONS[name]))
    assert module is not None
    code = inspect.getsource(module)
    sets = {
        "Characters": {"enwik8", "pg19"},
        "EigenWorms": {"eigenworms"},
        "HeartRate": {"bidmc"},
        "Instructions": {"light"},
        "Keywords": {"speech_commands"},
        "NoisyImages": {"cifar10"},
        "PennTreebank": {"ptb_words", "ptb_characters"},
        "SequentialImages": {"mnist", "cifar10", "fashion_mnist"},
        "Summaries": {"csl"},
        "UnitImages": {"mnist"},
        "WikiText2": {"wikitext2"},
    }
    reads = re.findall(rf"\b({'|'.join(sets)})\(", code)
    assert bool(NOTEBOOKS[name].needs_data) == bool(reads)
    assert set(NOTEBOOKS[name].needs_data) <= set().union(*(sets[task] for task in reads))


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if NOTEBOOKS[name].needs_data])
def test_notebooks_of_real_data_run_on_a_stand_in_where_there_are_none(name):
    """The batch and the tests choose for them by the parameter, which is handed on."""
    assert NOTEBOOKS[name].parameters["data"].default == "auto"
    code = code_of(NOTEBOOKS[name])
    assert 'data: str = "auto"' in code
    assert "    data=data,\n" in code


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_committed_figures_are_of_the_committed_notebook(name):
    """The four files are there, and were made with parameters that the notebook has."""
    stem = ROOT / "figures" / name
    for kind in ("png", "pdf", "csv", "json"):
        assert stem.with_suffix(f".{kind}").stat().st_size > 100
    record = json.loads(stem.with_suffix(".json").read_text())
    assert record["name"] == name
    assert set(record["parameters"]) == set(NOTEBOOKS[name].parameters) - {"output_dir", "data"}
    # what is committed was made of real data, if need be of others
    assert record.get("stand_in", "") == "" or record["stand_in_is_real"]


@pytest.fixture
def cell():
    """A function that makes a cell of a notebook as nbval has it, from its source and tags."""

    def made(source, *tags):
        return SimpleNamespace(
            cell=SimpleNamespace(source=source, metadata={"tags": [*tags]}), options={"check": True}
        )

    return made


def test_long_notebooks_are_tiny_and_not_compared_unless_whole_ones_are_asked_for(cell, monkeypatch):
    first, last = cell("steps: int = 300", "parameters"), cell("print(steps)")
    for one in (first, last):
        notebooks_conftest.shrinks(one, {"steps": 10, "tasks": ["corridor 20"]})
        assert one.options["check"] is False
    namespace: dict[str, object] = {}
    exec(first.cell.source, namespace)
    assert (namespace["steps"], namespace["tasks"]) == (10, ["corridor 20"])
    assert last.cell.source == "print(steps)"
    monkeypatch.delenv("NOTEBOOKS", raising=False)
    sizes = notebooks_conftest.tiny_sizes()
    assert "interest/marked_symbols" in sizes
    assert sizes.keys() <= NOTEBOOKS.keys()
    monkeypatch.setenv("NOTEBOOKS", "whole")
    assert notebooks_conftest.tiny_sizes() == {}
    monkeypatch.setenv("NOTEBOOKS", "all")
    with pytest.raises(pytest.UsageError, match="NOTEBOOKS must be 'whole' or not set, got 'all'"):
        notebooks_conftest.tiny_sizes()
