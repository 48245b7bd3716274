"""What is in an extra is not needed without it, and a line says so where it is."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from curse_of_memory.tools.extras import require

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# what packages are imported as, and what comes with them alone
IMPORTED_AS = {
    "pyyaml": ["yaml"],
    "scikit-learn": ["sklearn"],
    "lightning-fabric": ["lightning_fabric"],
    "distributed": ["distributed", "dask"],
    "transformers": ["transformers", "tokenizers"],
}

# A process in which some packages are not installed.
HIDE = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.partition(".")[0] in sys.argv[1].split(",")
        return None if hidden else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""

MEASURE = """
import importlib, pkgutil
import curse_of_memory as com
for room in ("theory", "losses", "nn", "tasks", "measure", "training", "protocols", "tools"):
    module = importlib.import_module(f"curse_of_memory.{room}")
    for inner in pkgutil.walk_packages(getattr(module, "__path__", []), f"{module.__name__}."):
        importlib.import_module(inner.name)
for name in set(com.__all__) - {"papers"}:
    getattr(com, name)

task = com.tasks.LinearFunctional(com.targets.polynomial(exponent=1.1, rate=0.1), horizon=20)
model = com.nn.RNN(2, activation="tanh", seed=0)
com.fit(model, task, steps=2, batch_size=4, validation_size=4)
linear = com.nn.RNN(2, diagonal=True, parameterization="softplus", seed=0)
com.fit_expected(linear, task, loss=com.losses.TemporallyWeightedMSE(power=2))
com.memory_report({"RNN": model}, horizon=20)
com.gradient_norms(model, horizon=20)
com.perturbation_curve(linear, task, betas=[0.0, 0.01])
print("measured")
"""


def modules(extra):
    """Return what the packages of an extra are imported as."""
    names = [re.split(r"[<>=]", line)[0] for line in PROJECT["optional-dependencies"][extra]]
    return {module for name in names for module in IMPORTED_AS.get(name, [name])}


def run(code, hidden, *more):
    call = [sys.executable, "-W", "error", "-c", HIDE + code, ",".join(sorted(hidden)), *more]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(call, capture_output=True, text=True, env=environment, check=False)


JIEBA = """
import pathlib, tempfile
from curse_of_memory.tasks.vocabularies import JiebaVocabulary

with tempfile.TemporaryDirectory() as folder:
    pathlib.Path(folder, "vocab.txt").write_text("[PAD]\\n[UNK]\\n[CLS]\\n[SEP]\\n")
    JiebaVocabulary(folder)
"""
# what needs torch, too, each with what it misses, and the extra
LATE = [
    (
        "import os; os.environ.pop('CURSE_OF_MEMORY_DATA', None)\n"
        "import curse_of_memory; curse_of_memory.tasks.WikiText2('train')",
        "pooch",
        "data",
    ),
    (
        "import curse_of_memory; curse_of_memory.tasks.SequentialImages('mnist', data='stand-in')",
        "sklearn",
        "figures",
    ),
    (JIEBA, "jieba", "chinese"),
    (JIEBA, "tokenizers", "models"),
]
# goes on where MEASURE ends, with one package hidden at a time, none of which has been imported
EACH = """
import json
for code, missing in json.loads(sys.argv[2]):
    assert missing not in sys.modules
    sys.argv[1] = missing
    try:
        exec(code, {})
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
"""
DATA_ALONE = "from curse_of_memory.report.figure import Findings; print(Findings.__name__)"


@pytest.fixture(scope="module")
def said():
    """What one process without any extra says, by line: to import torch takes longer than all it does."""
    extras = set(PROJECT["optional-dependencies"]) - {"test"}
    assert {"figures", "data", "models", "cluster"} <= extras
    cases = [(DATA_ALONE, "matplotlib"), *((code, missing) for code, missing, _ in LATE)]
    done = run(MEASURE + EACH, set().union(*(modules(extra) for extra in extras)), json.dumps(cases))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_theory_layers_training_and_measurements_need_no_extra(said):
    assert said[0] == "measured"


@pytest.mark.slow
def test_data_of_a_figure_need_no_pictures(said):
    assert said[1] == "Findings"


@pytest.mark.slow
def test_what_is_made_with_an_extra_says_which(said):
    for line, (_, missing, extra) in zip(said[2:], LATE, strict=True):
        assert missing in modules(extra)
        assert line == asks_for(missing, extra)


def asks_for(missing, extra):
    return f"ModuleNotFoundError: {missing} is not installed: pip install 'curse-of-memory[{extra}]'"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "missing", "extra"),
    [
        ("import curse_of_memory.papers.interest", "matplotlib", "figures"),
        ("import curse_of_memory.report.plotting", "matplotlib", "figures"),
        ("import curse_of_memory.experiments.grid", "matplotlib", "figures"),
        ("import curse_of_memory.gallery.notebooks", "papermill", "figures"),
    ],
)
def test_what_needs_an_extra_says_which_before_anything_else_is_imported(code, missing, extra):
    assert missing in modules(extra)
    done = run(code, {missing})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == asks_for(missing, extra)


def test_a_package_that_cannot_even_be_looked_for_is_not_there(monkeypatch):
    """Such as one with a placeholder in its place, or a finder that refuses it."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "papermill", ModuleType("papermill"))  # without a __spec__
    for module in ("matplotlib", "papermill"):
        with pytest.raises(ModuleNotFoundError, match=rf"^{module} is not installed: pip install"):
            require("figures", module)


@pytest.mark.slow
def test_the_command_says_it_in_one_line():
    code = "from curse_of_memory.__main__ import main; main()"
    done = run(code, {"click"})
    assert done.returncode == 1
    assert done.stderr == "Error: click is not installed: pip install 'curse-of-memory[figures]'\n"
