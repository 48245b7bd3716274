"""The wheel, installed where there is no clone: it makes figures, in a folder with blanks in its name."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """An interpreter of an environment that has the wheel, and from ours the packages that it asks for."""
    home = tmp_path_factory.mktemp("clean") / "an environment"
    venv.create(home, symlinks=os.name != "nt")  # a copied interpreter may not find its library
    own = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(own)
    # a folder named in a .pth is searched last, and its own .pth, which lead to the clone, are not read
    others = dict.fromkeys(sysconfig.get_path(where) for where in ("purelib", "platlib"))
    (own / "others.pth").write_text("".join(f"{folder}\n" for folder in others))
    return home / "bin" / "python"


def run(python, *arguments, cwd):
    ours = ("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "CURSE_OF_MEMORY_DATA")
    inherited = {k: v for k, v in os.environ.items() if k not in ours}
    return subprocess.run(
        [python, *arguments], cwd=cwd, env=inherited, check=True, capture_output=True, text=True
    ).stdout


def files_in(folder):
    """Return the files of a folder of the clone that git does not ignore, which a build leaves out."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


def test_the_wheel_has_all_that_is_read_and_nothing_of_the_tests(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"curse_of_memory"}
    assert files_in("curse_of_memory") <= set(names)
    shipped = [name for name in names if name.endswith(".ipynb")]
    assert len(shipped) == len([name for name in files_in("notebooks") if name.endswith(".ipynb")])
    assert not [name for name in names if "conftest" in name or "__pycache__" in name]


def test_the_package_of_the_wheel_is_imported_without_torch(python, tmp_path):
    asked = "import sys, curse_of_memory as com; print('torch' in sys.modules, com.__file__)"
    torch, _, place = run(python, "-c", asked, cwd=tmp_path).strip().partition(" ")
    assert torch == "False"
    assert Path(place).is_relative_to(python.parents[1])


def test_a_figure_is_made_from_the_wheel(python, tmp_path):
    folder = tmp_path / "my own figures"
    run(python, "-m", "curse_of_memory", "figures", "interest/memory_bias", "--out", folder, cwd=tmp_path)
    made = {path.suffix for path in (folder / "interest").glob("memory_bias.*")}
    assert {".png", ".pdf", ".csv", ".json"} <= made
    kept = (ROOT / "figures" / "interest" / "memory_bias.csv").read_text()
    assert (folder / "interest" / "memory_bias.csv").read_text() == kept
