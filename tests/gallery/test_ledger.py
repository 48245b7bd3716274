import pytest

from curse_of_memory.gallery.ledger import Item, ledger_text, read_inventory, read_papers, status
from curse_of_memory.gallery.notebooks import find_notebooks
from curse_of_memory.gallery.results import find_result


def test_inventory_is_sound():
    inventory, papers = read_inventory(), read_papers()
    assert {item.paper for item in inventory} == {paper.key for paper in papers}
    assert {item.needs for item in inventory} <= {"", "data", "GPU"}
    assert len({(item.paper, item.key) for item in inventory}) == len(inventory)
    assert all(item.title and item.source for item in inventory)
    assert len({paper.folder for paper in papers}) == len(papers)


@pytest.mark.parametrize(
    ("parameters", "full_scale", "expected"),
    [
        ({"horizon": 64, "rate": 0.5}, {"horizon": 64}, "reproduced"),
        ({"horizon": 64.0, "rate": 0.5}, {"horizon": 64}, "reproduced"),
        ({"horizon": 64}, {"horizon": 64}, "reproduced"),  # the rate does not enter the figure
        ({"horizon": 64, "rate": 0.5, "seed": 7, "device": "cuda"}, {"horizon": 64}, "reproduced"),
        ({"horizon": 8, "rate": 0.5}, {"horizon": 64}, "reproduced at reduced scale"),
        ({"horizon": 64, "rate": 0.7}, {"horizon": 64}, "reproduced at reduced scale"),
        ({"rate": 0.5}, {"horizon": 64}, "reproduced at reduced scale"),
        ({"horizon": 8, "rate": 0.5}, {}, "reproduced"),
        ({"horizon": 8, "rate": "inf"}, {"rate": float("inf")}, "reproduced"),
    ],
)
def test_scale_is_told_from_the_parameters_used(project, parameters, full_scale, expected):
    project.write("interest/a")
    project.result("interest/a", parameters=parameters)
    notebook = project.read("interest/a")
    assert status(notebook, find_result(project.out, notebook), full_scale) == expected


def test_what_was_not_made_says_what_it_needs(project):
    project.write("interest/a")
    notebook = project.read("interest/a")
    assert status(None, None, {}) == "not yet"
    assert status(notebook, None, {}) == "not yet"
    assert status(notebook, None, {}, "data") == "needs data"
    assert status(None, None, {}, "GPU") == "needs GPU"
    project.result("interest/a")
    made = find_result(project.out, notebook)
    assert status(notebook, made, {}, "GPU") == "reproduced"
    assert status(notebook, made, {}, own=True) == "ours"
    assert status(notebook, made, {"horizon": 9}, own=True) == "ours at reduced scale"
    assert status(notebook, made, {}, "data", stand_in=True) == "shown on a stand-in"
    assert status(notebook, made, {"horizon": 9}, stand_in=True) == "shown on a stand-in at reduced scale"
    assert status(None, None, {}, "data", stand_in=True) == "needs data"


def test_ledger_rows(project):
    project.write("interest/a")
    project.write("interest/b", title="Own | <work>")
    project.result(
        "interest/a", headline={"p = 0": 1024.123, "only ours": 3}, paper={"p = 0": 749.59, "only theirs": 2}
    )
    inventory = [
        Item("INTEREST", "Figure 1", "What it shows", "interest/a", "", "paper"),
        Item("INTEREST", "Figure 2", "More", "interest/missing", "data", "paper"),
        Item("INTEREST", "Figure 3", "Yet more", "interest/a", "data", "paper", "small models"),
    ]
    lines = ledger_text(inventory, find_notebooks(project.root), {}, project.out).splitlines()
    assert (
        "| Figure 1 | What it shows | interest/a | reproduced "
        "| p = 0: 749.6; only theirs: 2 | p = 0: 1024; only ours: 3 |"
    ) in lines
    assert "| Figure 2 | More | — | needs data | — | — |" in lines
    assert r"| b | Own \| &lt;work> | interest/b | not yet | — | — |" in lines
    assert any(
        line.startswith("| Figure 3 | Yet more; here on small models | interest/a | shown on a stand-in |")
        for line in lines
    )
    assert "3 figures and tables; reproduced: 1; shown on a stand-in: 1; needs data: 1." in lines
