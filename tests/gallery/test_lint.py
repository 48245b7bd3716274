import json
import re
from dataclasses import replace

import nbformat
import pytest

from curse_of_memory.gallery.catalogue import Item, Paper
from curse_of_memory.gallery.lint import lint
from curse_of_memory.gallery.notebooks import find_notebooks

NAME = "interest/a"
USES = "if horizon < 0:\n    from curse_of_memory.papers.interest import a\n"


def complaints(project, items=()):
    notebooks = find_notebooks(project.root)
    return lint(notebooks, replace(project.catalogue().held_against(notebooks), items=items))


@pytest.fixture
def book(project):
    """Return a function that edits a notebook in order, and checks it."""
    path = project.write(NAME, f"{USES}print(1)")
    (project.papers / f"{NAME}.py").touch()

    def edit(change):
        book = nbformat.read(path, as_version=4)
        for count, cell in enumerate((c for c in book.cells if c.cell_type == "code"), start=1):
            cell.execution_count = count
        book.cells[-1].outputs = [nbformat.v4.new_output("stream", text="1\n")]
        change(book)
        nbformat.write(book, path)
        return complaints(project)

    return edit


def test_of_a_notebook_in_order_nothing_is_said(book):
    assert book(lambda book: None) == []


def output(kind, **content):
    return lambda book: book.cells[-1].outputs.append(nbformat.v4.new_output(kind, **content))


def source(text, cell=-1):
    return lambda book: book.cells[cell].update(source=text)


def picture_only(book):
    data = {"image/png": "aGk=", "text/plain": "<Figure>"}
    book.cells[-1].outputs = [nbformat.v4.new_output("display_data", data=data)]


PARAMETERS = 'seed: int = 0  # a\ndevice: str = "auto"  # b\noutput_dir: str = ""  # c\n'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.cells[1].metadata.update(tags=[]), "one cell tagged 'parameters', it has 0"),
        (lambda b: b.cells[2].metadata.update(tags=["parameters"]), "'parameters', it has 2"),
        (source("x = 3", 1), "parameters cell: 'x = 3' is not of the form"),
        (source(PARAMETERS.replace("seed: int", "sead: int"), 1), "the parameter 'seed' is missing"),
        (source(PARAMETERS.replace("int = 0", "float = 0"), 1), "'seed' must be of type int"),
        (source(PARAMETERS.replace("auto", "cpu"), 1), "'device' must be 'auto' by default"),
        (source(PARAMETERS.replace("# c", ""), 1), "'output_dir' has no help comment"),
        (
            lambda b: b.metadata.update(paths=["weights"]),
            "'weights', one of its paths, must be a str",
        ),
        (
            lambda b: b.metadata.update(paths=["device"]),
            "'device', one of its paths, must be a str",
        ),
        (lambda b: b.metadata.kernelspec.update(name="other"), "the kernelspec must be python3"),
        (source("No heading", 0), "there is no title"),
        (lambda b: b.metadata.update(papermill={}), "it is an output of papermill"),
        (lambda b: b.cells[2].metadata.update(tags=["injected-parameters"]), "output of papermill"),
        (source("x" * 1_600_000, 0), r"it has 1.6 MB, more than 1.5"),
        (lambda b: b.cells[2].update(execution_count=4), "not run once each from the top"),
        (lambda b: b.cells[2].update(execution_count=None), "not run once each from the top"),
        (lambda b: b.cells[2].update(outputs=[]), "nothing in its outputs can be compared"),
        (picture_only, "nothing in its outputs can be compared"),
        (lambda b: b.cells[2].metadata.update(tags=["nbval-ignore-output"]), "can be compared"),
        (source("print(1); # quiet"), "code cell 2 has a trailing ';'"),
        (source("import sys\nsys.path.append('x')"), "code cell 2 uses sys.path"),
        (source("%matplotlib inline"), "code cell 2 is not plain Python"),
        (source("open('/data/x')"), "code cell 2 has an absolute path, '/data/x'"),
        (output("stream", text="in /home/me/x"), "code cell 2 shows an absolute path"),
        (output("stream", name="stderr", text="careful"), "code cell 2 writes to stderr"),
        (output("error", ename="KeyError", evalue="", traceback=[]), "ends with an error, KeyError"),
    ],
)
def test_each_defect_is_found(book, change, message):
    found = book(change)
    assert any(re.search(message, line) for line in found), found
    assert all(line.startswith(f"{NAME}") for line in found)


@pytest.mark.parametrize(
    "code",
    [
        "from curse_of_memory.papers.interest import a",
        "from curse_of_memory.papers.interest import b, a as figure",
        "from curse_of_memory.papers.interest.a import data",
        "import curse_of_memory.papers.interest.a",
        "def late():\n    import curse_of_memory.papers.interest.a as figure",
    ],
)
def test_a_notebook_imports_the_module_of_its_name(book, code):
    assert book(source(code)) == []


@pytest.mark.parametrize(
    "code",
    ["from curse_of_memory.papers import interest", "from curse_of_memory.papers.interest import b", "a = 1"],
)
def test_and_another_is_not_enough(book, code):
    assert book(source(code)) == [f"{NAME}: it does not import the module of its figure, papers/{NAME}.py"]


def test_a_module_has_a_notebook_and_a_notebook_a_module(project, book):
    (project.papers / "lem" / "adding.py").touch()
    (project.papers / "lem" / "_shared.py").touch()
    assert book(lambda book: None) == ["papers/lem/adding.py has no notebook of its name"]
    (project.papers / "lem" / "adding.py").unlink()
    (project.papers / f"{NAME}.py").unlink()
    assert book(lambda book: None) == [
        f"{NAME}: there is no module papers/{NAME}.py, which computes its figure"
    ]


def test_a_notebook_lies_in_the_folder_of_a_paper(project, book):
    project.write("astray/b", "print(1)")
    project.write("c", "print(1)")
    said = [line for line in book(lambda book: None) if "has no folder" in line]
    assert said == [
        "astray/b has no folder of a paper: papers/astray/paper.yaml is missing",
        "c has no folder of a paper: papers/<folder>/paper.yaml is missing",
    ]


def test_presets_and_inventory_must_name_what_there_is(project, book):
    book(lambda book: None)
    project.presets(
        f"paper: {{interest/b: {{}}, {NAME}: {{horizn: 1, rate: fast, horizon: 3, output_dir: x}}}}"
    )
    inventory = [
        Item("INTEREST", "Figure 1", "", "interest/c", "", ""),
        Item("IAT", "Figure 1", "", "", "", ""),
    ]
    assert complaints(project, inventory) == [
        "preset 'paper' sets parameters of unknown notebook 'interest/b' (did you mean 'interest/a'?)",
        "preset 'paper': unknown parameter 'horizn' for interest/a (did you mean 'horizon'?); "
        "preset 'paper': interest/a: rate must be float, got 'fast'; "
        "preset 'paper': output_dir cannot be set; the batch chooses it (see --out)",
        "interest/a has a full scale and no cost in paper.yaml",
        "interest/a has a full scale, and paper.yaml does not say whose its sizes are",
        "paper.yaml of INTEREST: Figure 1 names interest/c, which is no notebook",
    ]


def test_two_papers_of_one_order_are_complained_of(project, book):
    first = project.papers / "lem" / "paper.yaml"
    first.write_text(first.read_text().replace("order: 7", "order: 1"))
    assert book(lambda book: None) == ["papers interest and lem are both of order 1"]


@pytest.mark.slow
def test_refresh_brings_a_notebook_in_order_and_changes_outputs_only(project):
    path = project.write(NAME, f"{USES}print(horizon)", "horizon + 1")
    (project.papers / f"{NAME}.py").touch()
    book = nbformat.read(path, as_version=4)
    injected = nbformat.v4.new_code_cell("horizon = 3", metadata={"tags": ["injected-parameters"]})
    book.cells.insert(2, injected)
    book.metadata["papermill"] = {"version": "2"}
    book.cells[-1].metadata["papermill"] = {"status": "completed"}
    book.cells[-1].execution_count = 17
    nbformat.write(book, path)
    assert complaints(project)

    outcome = project.run("refresh", NAME)
    assert outcome.exit_code == 0, outcome.output
    assert complaints(project) == []
    after = json.loads(path.read_text())
    assert ["".join(c["source"]) for c in after["cells"]] == [
        c.source for c in book.cells if c is not injected
    ]
    assert [c["id"] for c in after["cells"]] == [c.id for c in book.cells if c is not injected]
    assert after["metadata"] == {"kernelspec": book.metadata["kernelspec"]}
    assert [c["metadata"] for c in after["cells"]] == [{}, {"tags": ["parameters"]}, {}, {}]
    assert after["cells"][2]["outputs"][0]["text"] == ["8\n"]

    once = path.read_text()
    project.run("refresh")
    assert path.read_text() == once


@pytest.mark.slow
def test_refresh_that_fails_changes_nothing(project):
    path = project.write(NAME, "raise ValueError('no luck')")
    before = path.read_text()
    outcome = project.run("refresh", NAME)
    assert outcome.exit_code == 1
    assert "interest/a  failed, file unchanged: ValueError: no luck" in outcome.stdout
    assert path.read_text() == before


def test_full_scale_of_a_paper_says_whose_its_sizes_are(project, book):
    notebooks = find_notebooks(project.root)
    catalogue = project.catalogue()
    paper = Paper("interest", "INTEREST", "", "", "", "")
    full = replace(catalogue, presets={"fast": {}, "paper": {NAME: {}}}, items=())
    said = f"{NAME} has a full scale, and paper.yaml does not say whose its sizes are"
    assert said in lint(notebooks, replace(full, papers=(paper,)))
    assert said not in lint(notebooks, replace(full, papers=(paper,), sizes={NAME: "ours"}))
    assert said not in lint(notebooks, replace(full, papers=()))  # of a folder that is no paper
    unknown = replace(full, sizes={"interest/z": "ours"})
    assert "paper.yaml says whose the sizes of interest/z are, which is no notebook" in lint(
        notebooks, unknown
    )
