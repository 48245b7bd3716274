"""Print the Python to run on a GPU with, and build its environment: ``python benchmarks/gpu/environment.py``.

A machine with a GPU often has a torch for it, which must stay. Then the environment lies over that Python:
it sees its packages, keeps those that are new enough, and adds the locked version of what is missing.
Elsewhere it is the one of all other targets, since torch as it is published is for CUDA.

Only the standard library is here: nothing else is there yet. Where no registry can be reached, wheels in a
folder will do: ``PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER make gpu``.
"""

import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NO_GPU = "make gpu: there is no GPU here that torch could use; DEVICE=cpu make gpu tries it all"
SEES = "import torch; raise SystemExit(not torch.cuda.is_available())"
TORCH = re.compile(r"torch|nvidia-.*|cuda-.*|triton")
ASKED = """
import json, site, sysconfig
from importlib.metadata import distributions
there = {d.metadata["Name"]: d.version for d in distributions()}
print(json.dumps([sorted({sysconfig.get_path("purelib"), *site.getsitepackages()}), there]))
"""


def canonical(name: str) -> str:
    """Return the one form of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version.

    Examples
    --------
    >>> release("2.13.0+cu130"), release("2.9") < release("2.13.0")
    ((2, 13, 0), True)
    """
    return tuple(int(number) for number in re.findall(r"\d+", version.split("+")[0])[:3])


def missing(locked: str, oldest: str, there: dict[str, str]) -> list[str]:
    """Return the locked requirements that a Python lacks, or has too old; never torch.

    Parameters
    ----------
    locked, oldest : str
        Texts of the two locks.
    there : dict
        Versions by name.

    Examples
    --------
    >>> missing("torch==2.13.0 numpy==2.4.6 tqdm==4.70.1", "numpy==2.0.0 tqdm==4.66", {"numpy": "2.5.2"})
    ['tqdm==4.70.1']
    >>> missing("torch==2.13.0 numpy==2.4.6", "numpy==2.0.0", {"numpy": "1.26.4"})
    ['numpy==2.4.6']
    """
    bounds = {canonical(n): v for n, _, v in (line.partition("==") for line in oldest.split())}
    versions = {canonical(name): version for name, version in there.items()}
    wanted = []
    for line in locked.split():
        name, has = canonical(line.partition("==")[0]), versions.get(canonical(line.partition("==")[0]))
        enough = min(release(bounds.get(name, "0")), release(line.partition("==")[2]))
        if not TORCH.fullmatch(name) and not (has and release(has) >= enough):
            wanted.append(line)
    return wanted


def sees_a_gpu(python: str) -> bool:
    """Return whether the torch of a Python sees one."""
    return subprocess.run([python, "-c", SEES], capture_output=True).returncode == 0


def has_a_gpu() -> bool:
    """Return whether there seems to be one, whatever torch there is."""
    if glob.glob("/dev/nvidia[0-9]*"):
        return True
    found = shutil.which("nvidia-smi")
    return bool(found) and subprocess.run([found, "-L"], capture_output=True).returncode == 0


def over(parent: str, venv: Path) -> str:
    """Build an environment over a Python, which may be that of an environment itself; return its Python."""
    folders, there = json.loads(subprocess.check_output([parent, "-c", ASKED], text=True))
    python = str(venv / "bin" / "python")
    if not os.path.exists(python):
        subprocess.run([parent, "-m", "venv", str(venv)], check=True, stdout=sys.stderr)
    own = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    ).strip()
    Path(own, "of_parent.pth").write_text("".join(f"{folder}\n" for folder in folders))  # after its own
    locked, oldest = ((ROOT / f"requirements{kind}.lock").read_text() for kind in ("", "-oldest"))
    wanted = missing(locked, oldest, there)
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps"]
    if wanted and subprocess.run([*install, *wanted], stdout=sys.stderr).returncode:
        folder = os.environ.get("PIP_FIND_LINKS", "")
        wheels = [w for w in glob.glob(f"{folder}/*.whl") if not TORCH.match(canonical(Path(w).name))]
        if not folder or not wheels or subprocess.run([*install, *wheels], stdout=sys.stderr).returncode:
            print("make gpu: some packages could not be installed; what needs them fails", file=sys.stderr)
    # the package itself is found where it is: building it would need a registry
    Path(own, "of_clone.pth").write_text(f"{ROOT}\n")
    return python


def chosen(device: str, venv: Path, build: list[str]) -> str:
    """Return the Python to run with.

    Parameters
    ----------
    device : str
        cpu or cuda.
    venv : Path
        The environment of the other targets.
    build : list of str
        The command that builds it.

    Raises
    ------
    SystemExit
        If there is no GPU.
    """
    usual = str(venv / "bin" / "python")
    if device != "cpu":
        if os.path.exists(usual) and sees_a_gpu(usual):
            return usual
        if sees_a_gpu(sys.executable):
            return over(sys.executable, venv.with_name(f"{venv.name}-gpu"))
        if not has_a_gpu():
            raise SystemExit(NO_GPU)
    subprocess.run(build, check=True, stdout=sys.stderr)
    if device != "cpu" and not sees_a_gpu(usual):
        raise SystemExit(NO_GPU)
    return usual


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print the Python to run on a GPU with.")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--venv", type=Path, default=Path(".venv"))
    parser.add_argument("build", nargs=argparse.REMAINDER, help="the command that builds the environment")
    asked = parser.parse_args()
    print(chosen(asked.device, asked.venv.absolute(), asked.build))
