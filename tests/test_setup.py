"""The files a user builds an environment from agree with each other."""

import os
import re
import tomllib
from pathlib import Path

import yaml

from curse_of_memory import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text().split()
OLDEST = (ROOT / "requirements-oldest.lock").read_text().split()


def canonical(requirement: str) -> str:
    return re.split(r"[<>=!~\[; ]", requirement)[0].lower().replace("_", "-")


def wanted() -> list[str]:
    return PROJECT["dependencies"] + [r for extra in PROJECT["optional-dependencies"].values() for r in extra]


def test_locks_pin_every_version():
    assert "torch==2.13.0" in LOCK
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in LOCK + OLDEST)


def test_lock_holds_every_requirement():
    assert {canonical(r) for r in wanted()} <= {canonical(line) for line in LOCK}


def test_the_oldest_versions_are_the_lower_bounds():
    oldest = {canonical(line): line.partition("==")[2] for line in OLDEST}
    for requirement in wanted():
        bound = re.search(r">=([\d.]+)", requirement)
        assert bound is not None, requirement
        assert re.fullmatch(rf"{re.escape(bound[1])}(\.0)*", oldest[canonical(requirement)]), requirement


def test_conda_environment_has_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yaml").read_text())
    python, pip = environment["dependencies"][0], environment["dependencies"][-1]
    assert python == "python=3.11"
    assert "--requirement requirements.lock" in pip["pip"]


def test_continuous_integration_is_the_test_command_of_the_readme():
    run = ROOT / ".ci" / "run"
    assert os.access(run, os.X_OK)
    assert run.read_text().strip().splitlines()[-1] == "make test"
    assert "\nmake test" in (ROOT / "README.md").read_text()


def test_citation_names_the_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    cited = {i["value"] for r in citation["references"] for i in r["identifiers"]}
    assert {
        f"arXiv:{n}" for n in ("2307.11462", "2305.19190", "2311.14495", "2309.13414", "2009.07799")
    } <= cited
    assert citation["version"] == __version__
    assert PROJECT["dynamic"] == ["version"]  # read from where `__version__` stands


def test_readme_points_to_files_that_exist():
    text = (ROOT / "README.md").read_text()
    links = [t for t in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in t]
    assert len(links) > 8
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_readme_names_make_targets_that_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"\bmake ([a-z]+)", (ROOT / "README.md").read_text()))
    assert {"figures", "test", "lab", "help", "lock", "docs"} <= named <= targets
