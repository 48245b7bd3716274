import subprocess
import sys


def test_the_command_answers_before_anything_heavy_is_imported():
    code = (
        "import sys, curse_of_memory.cli;"
        "print(sorted({'torch', 'papermill', 'nbformat', 'jinja2', 'pandas'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


def test_list_names_titles_and_statuses(project):
    project.write("interest/memory_bias", title="Bias")
    project.write("other", title="Other")
    project.presets("paper: {interest/memory_bias: {horizon: 64}}")
    project.result("interest/memory_bias")
    assert project.run("list").stdout.splitlines() == [
        "interest/memory_bias  Bias (reproduced at reduced scale)",
        "other                 Other (not yet)",
    ]
    assert "    horizon: int = 8  number of steps" in project.run("list", "-v").stdout.splitlines()


def test_check_lists_findings_and_fails(project):
    project.write("interest/a", "print(1)")
    outcome = project.run("check")
    assert outcome.exit_code == 1
    assert "interest/a: the cells were not run once each from the top" in outcome.stdout
    # the ledger's own inventory is checked too, and this project has none of its notebooks
    assert "inventory.csv names interest/memory_bias, which is no notebook" in outcome.stdout


def test_a_spoilt_result_is_named_in_one_line(project):
    project.write("interest/a")
    project.result("interest/a").write_text("{")
    outcome = project.run("list")
    assert outcome.exit_code == 2
    assert "a.json of interest/a is not JSON" in outcome.stderr


def test_a_notebook_that_cannot_be_read_is_named_in_one_line(project):
    project.write("interest/a").write_text("{")
    outcome = project.run("figures")
    assert outcome.exit_code == 2
    assert "interest/a is not a notebook" in outcome.stderr


def test_version(project):
    assert project.run("--version").stdout.startswith("curse-of-memory, version ")
