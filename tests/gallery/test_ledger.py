import re
from dataclasses import replace
from urllib.parse import unquote

import pytest

from curse_of_memory.gallery.catalogue import Item, read_catalogue
from curse_of_memory.gallery.ledger import sections, status, statuses
from curse_of_memory.gallery.ledger_text import ledger_latex, ledger_markdown, write_ledger
from curse_of_memory.gallery.notebooks import find_notebooks
from curse_of_memory.gallery.standing import FigureStanding, preset_used

CELL = re.compile(r"(?<!\\)\|")


def cells(line):
    """Return the cells of a line of a Markdown table."""
    return [cell.strip() for cell in CELL.split(line)[1:-1]]


def tables(markdown):
    """Return the tables of a Markdown text, each a list of lines of cells."""
    blocks = [block.splitlines() for block in markdown.split("\n\n")]
    return [[cells(line) for line in block] for block in blocks if block[0].startswith("|")]


@pytest.mark.parametrize(
    ("parameters", "full_scale", "expected"),
    [
        ({"horizon": 64, "rate": 0.5}, {"horizon": 64}, "paper"),
        ({"horizon": 64.0, "rate": 0.5}, {"horizon": 64}, "paper"),
        ({"horizon": 64}, {"horizon": 64}, "paper"),  # the rate does not enter the figure
        ({"horizon": 64, "rate": 0.5, "seed": 7, "device": "cuda"}, {"horizon": 64}, "paper"),
        ({"horizon": 8, "rate": 0.5}, {"horizon": 64}, "fast"),
        ({"horizon": 8, "rate": 0.5, "seed": 7, "device": "cuda"}, {"horizon": 64}, "fast"),
        ({"horizon": 32, "rate": 0.5}, {"horizon": 64}, "middle"),
        ({"horizon": 64, "rate": 0.7}, {"horizon": 64}, "custom"),
        ({"horizon": 8, "rate": 0.7}, {"horizon": 64}, "custom"),
        ({"rate": 0.5}, {"horizon": 64}, "fast"),
        ({"horizon": 8, "rate": 0.5}, {}, "paper"),  # there is nothing to scale
        ({"horizon": 8, "rate": "inf"}, {"rate": float("inf")}, "paper"),
    ],
)
def test_the_preset_is_told_from_the_parameters_used(project, parameters, full_scale, expected):
    project.write("interest/a")
    project.record("interest/a", parameters=parameters)
    presets = {"fast": {}, "middle": {"interest/a": {"horizon": 32}}, "paper": {"interest/a": full_scale}}
    found = project.standings(presets)
    assert found["interest/a"].preset == expected
    own = "reproduced" if expected == "paper" else "reproduced at reduced scale"
    assert status(found["interest/a"]) == own
    assert statuses(found, []) == {"interest/a": own.replace("reproduced", "ours", 1)}
    item = Item("INTEREST", "Figure 1", "", "interest/a", "", "paper")
    assert statuses(found, [item]) == {"interest/a": own}


def test_without_presets_the_defaults_are_all_there_is(project):
    project.write("interest/a")
    assert preset_used(project.read("interest/a"), None, {}) == ""
    project.record("interest/a")
    assert project.standings()["interest/a"].preset == "paper"


def test_what_was_not_made_says_what_it_needs():
    nothing, full, fast = (FigureStanding(preset=preset) for preset in ("", "paper", "fast"))
    assert status(nothing) == "not yet"
    assert status(nothing, "data") == status(nothing, "data", stand_in=True) == "needs data"
    assert status(nothing, "GPU") == "needs GPU"
    assert status(full, "GPU") == "reproduced"
    assert status(full, own=True) == "ours"
    assert status(FigureStanding(preset="custom"), own=True) == "ours at reduced scale"
    assert status(full, "data", stand_in=True) == "shown on a stand-in"
    assert status(fast, stand_in=True) == "shown on a stand-in at reduced scale"
    assert status(FigureStanding(trouble="half of it is there"), "data") == "incomplete"


def test_the_papers_settings_on_a_part_of_its_data_are_a_reduced_scale(project):
    project.write("interest/a")
    item = Item("INTEREST", "Figure 1", "What it shows", "interest/a", "data", "paper")
    for part, said in (("12 of 90 clips", "reproduced at reduced scale: 12 of 90 clips"), ("", "reproduced")):
        project.record("interest/a", data_part=part)
        figures = project.standings()
        assert figures["interest/a"].preset == "paper"
        catalogue = replace(project.catalogue(), items=(item,))
        ledger = sections(catalogue, find_notebooks(project.root), figures)
        assert tables(ledger_markdown(ledger, project.out))[0][2][3] == said


@pytest.mark.parametrize("models", ["", "small models"])
def test_what_was_made_of_stand_in_data_is_reproduced_by_nobody(project, models):
    project.write("interest/a")
    project.record("interest/a", stand_in="digits, in place of MNIST")
    item = Item("INTEREST", "Figure 1", "What it shows", "interest/a", "data", "paper", models)
    for presets, scale in (({}, ""), ({"paper": {"interest/a": {"horizon": 64}}}, " at reduced scale")):
        figures = project.standings(presets)
        said = f"shown on a stand-in{scale}"
        assert statuses(figures, [item]) == statuses(figures, []) == {"interest/a": said}
        catalogue = replace(project.catalogue(), items=(item,))
        ledger = sections(catalogue, find_notebooks(project.root), figures)
        shows = "; here on ".join(filter(None, ("What it shows", models, "digits, in place of MNIST")))
        assert tables(ledger_markdown(ledger, project.out))[0][2][1] == shows
        assert said in ledger_latex(ledger)


@pytest.fixture
def found(project):
    """Return the sections of a small ledger, with what may go wrong in print."""
    project.write("interest/a")
    project.write("interest/b", title="Own | <work>")
    project.write("interest/c", title="Other own work")
    project.record(
        "interest/a",
        headline={"|ρ̂|, p = 0": 1024.123, "only ours_1": 3},
        spread={"|ρ̂|, p = 0": {"low": 1000, "high": 1100.0, "runs": 5}},
        paper={"|ρ̂|, p = 0": 749.59, "only theirs, tᵖ": 2},
        device="A GPU",
        seconds=12.34,
    )
    project.record("interest/c", message="5 % of |x| < $x_1<1$.", headline={}, paper={})
    (project.out / "interest" / "a.png").touch()
    inventory = [
        Item("INTEREST", "Figure 1", "What it shows", "interest/a", "", "paper"),
        Item("INTEREST", "Figure 2", "More", "interest/missing", "data", "paper"),
        Item("INTEREST", "Figure 3", "Yet more", "interest/a", "data", "paper", "small models"),
    ]
    presets = {"paper": {"interest/a": {"horizon": 64}}}
    catalogue = replace(project.catalogue(), items=inventory)
    return sections(catalogue, find_notebooks(project.root), project.standings(presets))


def test_a_line_a_figure_says_how_it_was_made(found, project):
    made = ["fast", "A GPU", "12.3", "2025-01-02"]
    notebook = "[a](../notebooks/interest/a.ipynb)"
    figures, _, *others, own = tables(ledger_markdown(found, project.out))
    assert figures[2:] == [
        [
            "[Figure 1](interest/a.png)",
            "What it shows",
            notebook,
            "reproduced at reduced scale: horizon",
            *made,
        ],
        ["Figure 2", "More", "—", "needs data", "—", "—", "—", "—"],
        [
            *("[Figure 3](interest/a.png)", "Yet more; here on small models", notebook),
            *("shown on a stand-in at reduced scale: horizon", *made),
        ],
    ]
    assert all(len(table) == 2 for table in others), "papers without a figure have a heading only"
    names = [f"[interest/{name}](../notebooks/interest/{name}.ipynb)" for name in "bc"]
    assert own[2:] == [
        [r"Own \| &lt;work>", "—", names[0], "not yet", "—", "—", "—", "—"],
        [
            "Other own work",
            r"5 % of \|x\| &lt; $x_1<1$.",
            names[1],
            "ours",
            "paper",
            "cpu",
            "0.1",
            "2025-01-02",
        ],
    ]


def test_an_entry_names_what_is_not_at_full_scale(found):
    entries = {entry.item.key: entry for section in found for entry in section.entries}
    assert entries["Figure 1"].standing.reduced == ("horizon",)
    assert entries["Figure 2"].standing.reduced == entries["Other own work"].standing.reduced == ()


def test_an_entry_says_what_full_scale_would_take_where_it_was_not_made(project):
    for name in "abc":
        project.write(f"interest/{name}")
    project.record("interest/a", seconds=100.0)  # of horizon 8, its default
    project.record("interest/b", seconds=100.0, parameters={"horizon": 64})
    presets = {"paper": {f"interest/{name}": {"horizon": 64} for name in "abc"}, "fast": {}}
    catalogue = replace(
        project.catalogue(), presets=presets, costs={f"interest/{name}": "horizon ** 2" for name in "abc"}
    )
    write_ledger(catalogue, find_notebooks(project.root), project.standings(presets), project.out)
    lines = tables((project.out / "ledger.md").read_text())[-2][2:]
    states = {line[2].partition("]")[0].strip("["): line[3] for line in lines}
    # 8 s until the kernel is there, and 100 s times (64 / 8)²: 6408 s
    assert states["interest/a"] == "ours at reduced scale: horizon; full scale takes about 1.8 h"
    assert states["interest/b"] == "ours"
    assert states["interest/c"] == "not yet"


def test_the_numbers_of_a_notebook_stand_once_under_all_its_figures(found, project):
    text = ledger_markdown(found, project.out)
    numbers = tables(text)[1]
    assert numbers == [
        ["figure or table", "number", "paper", "ours", "over seeds"],
        ["---", "---", "---:", "---:", "---:"],
        ["Figure 1, Figure 3", r"\|ρ̂\|, p = 0", "749.6", "1024", "1000 to 1100 (5)"],
        ["", "only ours_1", "—", "3", "—"],
        ["", "only theirs, tᵖ", "2", "—", "—"],
    ]
    assert text.count("only ours_1") == 1


def test_every_line_of_a_table_has_as_many_cells(found, project):
    found = tables(ledger_markdown(found, project.out))
    assert found
    for table in found:
        assert len({len(line) for line in table}) == 1, table


def test_the_ledger_counts_what_papers_show(found, project):
    text = ledger_markdown(found, project.out)
    assert (
        "papers: 3; reproduced at reduced scale: 1; shown on a stand-in at reduced scale: 1; needs data: 1."
        in text
    )


def test_the_ledger_says_whose_the_sizes_of_full_scale_are(found, project):
    whose = {"a": "the paper's | of 3 <seeds>"}
    text = ledger_markdown([replace(found[0], sizes=whose), *found[1:]], project.out)
    assert "are:\n\n- `a`: the paper's \\| of 3 &lt;seeds>\n" in text


def test_every_link_of_the_ledger_leads_somewhere(found, project):
    (project.out / "ledger.tex").touch()
    targets = re.findall(r"\]\((.*?)\)", ledger_markdown(found, project.out))
    for target in targets:
        assert target.startswith("https://arxiv.org/abs/") or (project.out / unquote(target)).is_file(), (
            target
        )


def test_a_ledger_elsewhere_does_not_name_the_folders_of_this_machine(found, tmp_path):
    text = ledger_markdown(found, tmp_path)
    assert "| a | reproduced" in text
    assert ".ipynb" not in text


def test_the_ledger_in_latex_has_the_same_numbers(found):
    text = ledger_latex(found)
    assert text.isascii(), {sign for sign in text if not sign.isascii()}
    assert r"Figure 1, Figure 3 & $|$$\hat{\rho}$$|$, p = 0 & 749.6 & 1024 & 1000 to 1100 (5) \\" in text
    assert r" & only ours\_1 & --- & 3 & --- \\" in text
    assert r"Own $|$ $<$work$>$ & --- & interest/\allowbreak{}b & not yet & --- & --- & --- & --- \\" in text
    papers = len(read_catalogue().papers)
    assert text.count(r"\begin{longtable}") == text.count(r"\end{longtable}") == papers + 2


def test_both_files_are_written(project):
    write_ledger(project.catalogue(), {}, {}, project.out)
    assert sorted(project.files()) == ["ledger.md", "ledger.tex"]
    text = project.files()["ledger.md"]
    assert all(f"\n## {paper.key}\n" in text for paper in project.catalogue().papers)
    assert "## Ours" not in text
