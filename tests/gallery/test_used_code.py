"""Which code of the package a figure depends on: never less than a run uses, and no more than need be."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import curse_of_memory as com
from curse_of_memory.gallery.batch import staleness
from curse_of_memory.gallery.notebooks import PACKAGE, code_of, find_notebooks, find_root
from curse_of_memory.gallery.origin import origin
from curse_of_memory.gallery.state import State, write_state
from curse_of_memory.gallery.used_code import PackageCode
from tests.gallery.conftest import MACHINE

ROOT = find_root(PACKAGE)
NOTEBOOKS = find_notebooks(ROOT)

TOY = {
    "__init__.py": '''
"""A package whose names are loaded late."""
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toy.far import hidden
__version__ = "1"
_HOMES = {"nn": "toy.nn", "plateau": "toy.theory.plateau:plateau", "Net": "toy.nn:Net"}
__all__ = ["__version__", *_HOMES]

def __getattr__(name):
    home, _, member = _HOMES[name].partition(":")
    return getattr(import_module(home), member) if member else import_module(home)

def __dir__():
    return sorted(_HOMES)
''',
    "checks.py": "",
    "nn/__init__.py": '''
"""Layers."""
from toy.nn.rnn import RNN as Net
from .tcn import TCN
__all__ = ["Net", "TCN"]
''',
    "nn/rnn.py": "from toy import checks\nclass RNN: pass",
    "nn/tcn.py": "class TCN:\n    def run(self):\n        from ..far import late\n        late.go()",
    "nn/aside.py": "",
    "far/__init__.py": '"""Nothing."""',
    "far/late.py": "def go(): pass",
    "far/hidden.py": "",
    "theory/__init__.py": "from . import bias\nTABLE = bias.table()",
    "theory/bias.py": "def table(): pass",
    "theory/plateau.py": "import math\ndef plateau(): pass",
    "stars/__init__.py": "from toy.stars.one import *\nfrom .two import other",
    "stars/one.py": "def shine(): pass",
    "stars/two.py": "def other(): pass",
    "chain/__init__.py": "from toy.nn import Net\nfrom toy import stars",
    "typed.py": """
import typing
if typing.TYPE_CHECKING:
    from toy.far import hidden
else:
    from toy.far import late
""",
    "dynamic.py": "import importlib\ndef load(name):\n    return importlib.import_module(name)",
    "named.py": "from importlib import import_module\nlate = import_module('toy.far.late')",
    "late.py": "def __getattr__(name):\n    return __import__('toy.' + name)",
    "held.py": "import toy as held",
    "files.py": "from importlib.resources import files\ntext = files('toy')",
    "tables.py": "def reference(name): pass",
    "drawn.py": "from toy.tables import reference\nprinted = reference('a/first')",
    "other.py": "from toy.tables import reference\ndef printed(name):\n    return reference(name)",
    "short/__init__.py": """
from importlib import import_module
_HOMES = {"Net": "deep"}
def __getattr__(name):
    return getattr(import_module(f"toy.short.{_HOMES[name]}"), name)
""",
    "short/deep.py": "class Net: pass",
    "bare/module.py": "def go(): pass",
    "reads/__init__.py": "",
    "reads/root.py": "import toy\nfrom pathlib import Path\ntext = Path(toy.__file__).with_name('notes.txt')",
    "reads/resource.py": "import importlib\ntext = importlib.resources.files('toy') / 'notes.txt'",
    "reads/loaded.py": "import pkgutil\ntext = pkgutil.get_data('toy', 'notes.txt')",
    "papers/a/figure.py": "from pathlib import Path\ntext = Path(__file__) / '../reference' / 'first.csv'",
    "papers/a/reference/first.csv": "1",
    "papers/a/reference/second.csv": "1",
    "notes.txt": "1",
    "__pycache__/files.cpython-311.pyc": "1",
    "nn/__pycache__/compiled/cells.compiled": "1",
    "nn/__pycache__/left.py": "1",
    ".hidden/notes.txt": "1",
    ".notes.txt.draft": "1",
    "gallery/__init__.py": "",
    "cli.py": "",
}
CODE = {file for file in TOY if file.endswith(".py") and not file.startswith(("gallery", "cli", "nn/__py"))}
TABLES = {"papers/a/reference/first.csv", "papers/a/reference/second.csv"}
ANYTHING = CODE | TABLES | {"notes.txt"}
TOP = "__init__.py"
RNN = {TOP, "nn/__init__.py", "nn/rnn.py", "checks.py"}
TCN = {TOP, "nn/__init__.py", "nn/tcn.py", "far/__init__.py", "far/late.py"}
PLATEAU = {TOP, "theory/__init__.py", "theory/bias.py", "theory/plateau.py"}
LATE = {TOP, "far/__init__.py", "far/late.py"}
STARS = {TOP, "stars/__init__.py", "stars/one.py", "stars/two.py"}


@pytest.fixture
def toy(tmp_path):
    """A package in which every kind of import occurs."""
    package = tmp_path / "toy"
    for file, text in TOY.items():
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).write_text(text)
    return package


@pytest.mark.parametrize(
    ("code", "used"),
    [
        ("import math, numpy.linalg\nfrom pathlib import Path", set()),
        # a module, by all its names
        ("import toy.nn.rnn", RNN),
        ("import toy.nn.rnn as layer", RNN),
        ("from toy.nn import rnn", RNN),
        ("from toy.nn.rnn import RNN", RNN),
        ("from toy.nn.rnn import RNN as Layer", RNN),
        ("from toy.nn.rnn import *", RNN),
        ("def late():\n    if True:\n        from toy.nn.rnn import RNN", RNN),
        ("try:\n    import toy.nn.rnn\nexcept ImportError:\n    pass", RNN),
        ("from toy.nn import aside", {TOP, "nn/__init__.py", "nn/aside.py"}),
        # through an __init__ that passes names on, only to where the name is from
        ("from toy.nn import Net", RNN),
        ("from toy.nn import TCN", TCN),
        ("from toy.nn import Net, TCN", RNN | TCN),
        ("import toy.nn\ntoy.nn.Net()", RNN),
        ("import toy.nn as layers\nlayers.TCN.run()", TCN),
        ("from toy import nn\nnn.Net()", RNN),
        ("from toy import nn", {TOP, "nn/__init__.py"}),
        ("from toy.chain import Net", RNN | {"chain/__init__.py"}),
        ("from toy.chain import stars\nstars.other()", STARS | {"chain/__init__.py"}),
        ("from toy.stars import shine", STARS - {"stars/two.py"}),
        ("from toy.stars import *", STARS),
        # names that are loaded late
        ("import toy\ntoy.plateau(1)", PLATEAU),
        ("import toy as com\ncom.plateau(1)", PLATEAU),
        ("from toy import plateau", PLATEAU),
        ("import toy as com\ncom.Net()", RNN),
        ("import toy as com\ncom.nn.Net.of(1)", RNN),
        ("import toy as com\nprint(com.__version__)", {TOP}),
        ("import toy as com\nimport toy.nn.rnn", RNN),
        # an __init__ that computes counts whole, also that of a parent
        ("from toy.theory import bias", PLATEAU - {"theory/plateau.py"}),
        ("import toy.theory.plateau", PLATEAU),
        # for type checkers alone
        ("from toy import typed", LATE | {"typed.py"}),
        # by a text, or by none
        ("from toy import named", LATE | {"named.py"}),
        ("import importlib\nimportlib.import_module('toy.far.late').go()", LATE),
        ("__import__('toy.far.late')", LATE),
        # no telling what: everything that it may be
        ("import toy.dynamic", ANYTHING),
        ("from importlib import import_module as load\nload('toy.far.late')", ANYTHING),
        ("import toy as com\ngetattr(com, name)", ANYTHING),
        ("import toy as com\nuse(com)", ANYTHING),
        ("import toy as com\ncom.unheard_of()", ANYTHING),
        ("import toy as com\ncom.__dict__['nn']", ANYTHING),
        ("from toy.held import held\nheld.plateau()", PLATEAU | {"held.py"}),
        ("import toy.held\ntoy.held.held.plateau()", PLATEAU | {"held.py"}),
        ("from toy import nn\nnn.unheard_of()", RNN | TCN | {"nn/aside.py"}),
        ("import toy.late as late\nlate.unheard_of()", ANYTHING),
        ("from toy import nn\nuse(nn)", RNN | TCN | {"nn/aside.py"}),
        ("from toy import far\nuse(far)", LATE | {"far/hidden.py"}),
        ("from toy.nn import *", RNN | TCN | {"nn/aside.py"}),
        ("eval('toy')", ANYTHING),
        ("%matplotlib inline", ANYTHING),
        ("import importlib\ngetattr(importlib, name)('toy.far.late')", ANYTHING),
        ("from importlib import __import__ as load\nload('toy.far.late')", ANYTHING),
        ("import sys as system\nsystem.modules['toy.far.late']", ANYTHING),
        ("import sys\nsys.modules.get(name)", ANYTHING),
        ("import sys\nsys.modules.get('toy.far.late')", LATE),
        ("from runpy import run_module\nrun_module('toy.far.late')", ANYTHING),
        ("import pkgutil\npkgutil.resolve_name('toy.far.late:go')", ANYTHING),
        ("import builtins\nbuiltins.exec('toy')", ANYTHING),
        ("import toy as com\nglobals()['com'].plateau()", ANYTHING),
        ("x = " + "-" * 100_000 + "1", ANYTHING),
        # through a name that stands for another module
        ("from toy.held import *\nheld.plateau()", ANYTHING),
        ("import toy.held as one\nother = one\nother.held.plateau()", ANYTHING),
        ("class Layers:\n    from toy import nn\nLayers.nn.Net()", RNN | TCN | {"nn/aside.py"}),
        # an __init__ that writes down only the end of a name; a folder without an __init__
        ("from toy.short import Net", {TOP, "short/__init__.py", "short/deep.py"}),
        ("import toy.bare.module", {TOP, "bare/module.py"}),
        ("import toy.bare as bare\nbare.module.go()", {TOP, "bare/module.py"}),
        ("from toy.bare import module", {TOP, "bare/module.py"}),
        # data
        ("import toy.files", {TOP, "files.py", "notes.txt"}),
        ("import toy.drawn", {TOP, "drawn.py", "tables.py", "papers/a/reference/first.csv"}),
        ("import toy.other", {TOP, "other.py", "tables.py"} | TABLES),
        ("from toy.tables import reference as table\ntable('a/first')", {TOP, "tables.py"} | TABLES),
        ("from toy import tables\ntables.reference('a/second')", {TOP, "tables.py", max(TABLES)}),
        ("from toy import tables\nlist(map(tables.reference, names))", {TOP, "tables.py"} | TABLES),
        ("import toy.tables\nprint(figure.reference)", {TOP, "tables.py"}),
        ("from toy.tables import *\nreference(name)", {TOP, "tables.py"} | TABLES),
        ("from toy import tables\nsame = tables\nsame.reference(name)", {TOP, "tables.py"} | TABLES),
        ("from toy.reads import root", {TOP, "reads/__init__.py", "reads/root.py", "notes.txt"}),
        ("import toy.reads.resource", {TOP, "reads/__init__.py", "reads/resource.py", "notes.txt"}),
        ("import toy.reads.loaded", {TOP, "reads/__init__.py", "reads/loaded.py", "notes.txt"}),
        ("import importlib.resources as data\ndata.files('toy')", {"notes.txt"}),
        ("import toy\nprint(toy.__file__)", {TOP, "notes.txt"}),
        ("import toy.papers.a.figure", {TOP, "papers/a/figure.py"} | TABLES),
    ],
)
def test_a_change_is_seen_where_it_is_used_and_nowhere_else(toy, code, used):
    """By changing all that is not used, which must not show, then all that is, of which each must."""
    before = PackageCode(toy).used_by(code)
    assert set(before) == used
    change(toy, TOY.keys() - used)
    assert PackageCode(toy).used_by(code) == before
    change(toy, used)
    after = PackageCode(toy).used_by(code)
    assert {file for file in TOY if after.get(file) != before.get(file)} == used == set(after)


def change(toy, files):
    """Add a line to files that changes nothing of what they use."""
    for file in files:
        (toy / file).write_text(f"{TOY[file]}\n# changed")


def test_a_module_that_is_no_python_may_use_anything(toy):
    (toy / "nn" / "rnn.py").write_text("class RNN(")
    assert set(PackageCode(toy).used_by("import toy.nn.rnn")) >= CODE


def test_a_module_in_another_encoding_may_use_anything(toy):
    (toy / "nn" / "rnn.py").write_bytes("# coding: latin-1\nname = 'é'".encode("latin-1"))
    assert set(PackageCode(toy).used_by("import toy.nn.rnn")) >= CODE


def test_what_is_added_or_goes_is_seen(toy):
    before = PackageCode(toy).used_by("from toy.theory import plateau")
    (toy / "theory" / "bias.py").unlink()
    assert PackageCode(toy).used_by("from toy.theory import plateau") != before


# --- this package -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ours():
    """The code of this package, which takes a second or two to read."""
    return PackageCode()


def test_a_docstring_of_a_task_makes_the_figures_of_the_task_stale(project, monkeypatch, tmp_path):
    """And no others, once it has another word."""
    books = {name: NOTEBOOKS[name] for name in ("theory/lemmas", "interest/copying")}
    copy = tmp_path / PACKAGE.name
    for path in PACKAGE.rglob("*.py"):
        place = copy / path.relative_to(PACKAGE)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(path.read_text())
    whole = PackageCode(copy)
    for notebook in books.values():
        made = origin(notebook, {}, whole.used_by(code_of(notebook)), MACHINE)
        write_state(project.out, notebook, State(made, "fast", {}, {f"{notebook.stem}.json": "0"}))
    monkeypatch.setattr("curse_of_memory.gallery.batch.is_current", lambda out, job: True)
    monkeypatch.setattr("curse_of_memory.gallery.batch.PackageCode", lambda: whole)
    assert staleness(books, {"fast": {}}, project.out, MACHINE) == {}
    file = copy / "tasks" / "copying.py"
    text = file.read_text()
    assert text.startswith('"""')
    file.write_text(text.replace('"""', '"""Another word. ', 1))
    monkeypatch.setattr("curse_of_memory.gallery.batch.PackageCode", lambda: PackageCode(copy))
    stale = staleness(books, {"fast": {}}, project.out, MACHINE)
    assert stale == {"interest/copying": ["code of the package (tasks/copying.py)"]}


def test_names_that_are_loaded_late_are_read_as_they_are(ours):
    code = ours
    everything = code.modules_used_by("import curse_of_memory as com; print(com)")
    for name, home in com._HOMES.items():
        module, _, member = home.partition(":")
        used = code.modules_used_by(f"import curse_of_memory as com; com.{name}")
        assert module in used
        assert used < everything
        if member:
            assert code.modules_used_by(f"from {module} import {member}") == used
    assert code.passes_on("curse_of_memory")
    assert code.passes_on("curse_of_memory.nn")


# runs a notebook, and says of every module and name that code of ours imported where it is from
TRACE = """\
import builtins, importlib, json, sys, types

import matplotlib

matplotlib.use("agg")
package, place, passing = sys.argv[1], sys.argv[2], set(json.loads(sys.argv[3]))
inside = lambda name: isinstance(name, str) and (name == package or name.startswith(package + "."))
used, true_import = {}, builtins.__import__


def home(value):
    return value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)


def note(importer, name):
    if inside(name) and name not in passing and importer not in passing:
        used.setdefault(name, importer)


def traced(name, globals=None, locals=None, fromlist=(), level=0):
    module = true_import(name, globals, locals, fromlist, level)
    importer = (globals or {}).get("__name__")
    if importer == "__main__" or inside(importer):
        note(importer, module.__name__ if fromlist else name)
        for member in fromlist or ():
            note(importer, home(getattr(module, member, None)))
    return module


def traced_late(name, package=None):  # as the names of the package itself are
    note("__main__", name)
    return true_late(name, package)


code = open(place).read()
builtins.__import__ = traced
true_late, importlib.import_module = importlib.import_module, traced_late
exec(compile(code, place, "exec"), {"__name__": "__main__"})
builtins.__import__ = true_import
sys.stderr.write("\\n" + json.dumps(used))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["theory/reparameterizations", "tour/getting_started"])
def test_nothing_that_a_run_imports_is_missing(tmp_path, name, ours):
    """Save what a package imports only to pass it on, of which no name is used."""
    code, package = code_of(NOTEBOOKS[name]), ours
    place = tmp_path / "notebook.py"
    place.write_text(code)
    passing = [module for module in package._files if package.passes_on(module)]
    call = [sys.executable, "-c", TRACE, PACKAGE.name, str(place), json.dumps(passing)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    imported = json.loads(done.stderr.splitlines()[-1])
    assert len(imported) > 10
    missing = {
        module: importer
        for module, importer in imported.items()
        if module not in package.modules_used_by(code)
        and (importer == "__main__" or importer in package.modules_used_by(code))
    }
    assert not missing


def test_every_name_that_a_module_holds_is_from_a_module_that_it_uses(ours):
    """One step of the way from a notebook, for every module of the package."""
    package = ours
    for name in sorted(package._files):
        module = __import__(name, fromlist=["*"])
        if package.passes_on(name):
            continue
        used = package.modules_used_by(f"import {name}")
        for key, value in vars(module).items():
            home = value.__name__ if isinstance(value, type(sys)) else getattr(value, "__module__", None)
            # what lies in a package is an attribute of it as soon as anybody has imported it
            inner = home == f"{name}.{key}"
            if isinstance(home, str) and home in package._files and not inner and key != "__builtins__":
                assert home in used, (name, key, home)


def test_paths_are_those_in_the_package(ours):
    used = ours.used_by(code_of(NOTEBOOKS["interest/copying"]))
    assert all((PACKAGE / file).is_file() for file in used)
    assert not any(Path(file).parts[0] in ("gallery", "cli.py") for file in used)
    assert 0.1 < len(used) / len(list(PACKAGE.rglob("*.py"))) < 0.6
