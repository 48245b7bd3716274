"""Two scales side by side: where each goes, that none harms the other, and what readers see of both.

Notebooks are executed in this process, without kernels.
"""

import contextlib
import json
import re
import threading
from pathlib import Path

import pytest

from curse_of_memory.gallery import execution
from curse_of_memory.gallery.batch import only_batch, settled
from curse_of_memory.gallery.catalogue import read_catalogue
from curse_of_memory.gallery.index_page import index_html
from curse_of_memory.gallery.ledger import sections
from curse_of_memory.gallery.ledger_text import ledger_latex
from curse_of_memory.gallery.locks import publishing_lock
from curse_of_memory.gallery.notebooks import find_notebooks
from curse_of_memory.gallery.scaled_numbers import ScaledNumber, scaled_numbers
from tests.gallery.test_ledger import tables

NAME = "interest/memory_bias"


@pytest.fixture
def runs(project, monkeypatch):
    """Return the names of notebooks and the horizons they ran with; a project with a full scale for one."""
    made = []

    def execute(notebook, values, draft, *others):
        namespace = {}
        first, *cells = ["".join(cell["source"]) for cell in notebook.code_cells]
        exec(first, namespace)
        namespace |= values
        for cell in cells:
            exec(cell, namespace)
        made.append((notebook.name, namespace["horizon"]))
        Path(draft).write_text("{}")

    monkeypatch.setattr(execution, "_execute", execute)
    project.write(NAME)
    project.write("tour/start")
    project.presets(f"paper: {{{NAME}: {{horizon: 64}}}}")
    return made


def figures(project, *arguments):
    outcome = project.run("figures", "--jobs", "1", *arguments)
    assert outcome.exit_code == 0, outcome.output
    return outcome


def csv(project, folder=""):
    return (project.out / folder / f"{NAME}.csv").read_text()


@pytest.mark.slow
def test_each_scale_has_its_folder_and_neither_overwrites_the_other(project, runs):
    figures(project)
    reduced = project.files()
    figures(project, "--preset", "paper")
    assert csv(project) == "csv 8 0.5"
    assert csv(project, "full_scale") == "csv 64 0.5"
    figures(project)
    figures(project, "--force")
    assert csv(project, "full_scale") == "csv 64 0.5"
    pages = {"index.html", "ledger.md", "ledger.tex"}
    assert {name: text for name, text in project.files().items() if name in reduced.keys() - pages} == {
        name: text for name, text in reduced.items() if name not in pages
    }
    assert not {file for file in project.files() if file.startswith("full_scale/")} & {
        f"full_scale/{page}" for page in pages
    }


@pytest.mark.slow
def test_what_has_nothing_to_scale_is_not_drawn_twice(project, runs):
    figures(project, "--preset", "paper")
    assert sorted(runs) == [(NAME, 64), ("tour/start", 8)]
    assert (project.out / "tour" / "start.csv").exists()
    assert not (project.out / "full_scale" / "tour").exists()
    figures(project)  # the paper's preset has made it already
    assert sorted(runs) == [(NAME, 8), (NAME, 64), ("tour/start", 8)]
    figures(project, "--preset", "paper")
    assert len(runs) == 3


@pytest.mark.slow
def test_other_parameters_do_not_overwrite_what_is_committed(project, runs):
    figures(project)
    figures(project, "--preset", "paper")
    before = project.files()
    said = figures(project, NAME, "-p", "horizon", "9").stdout
    assert csv(project, "custom") == "csv 9 0.5"
    assert said.splitlines()[-1] == str(project.out / "custom" / "index.html")
    figures(project, NAME, "--preset", "paper", "-p", "seed", "3")
    assert csv(project, "custom") == "csv 64 0.5"
    after = {name: text for name, text in project.files().items() if not name.startswith("custom/")}
    assert after == before


@pytest.mark.slow
def test_parameters_that_a_preset_has_are_that_preset(project, runs):
    figures(project, NAME, "-p", "horizon", "64", "-p", "rate", "0.5")
    assert csv(project, "full_scale") == "csv 64 0.5"
    figures(project, NAME, "--preset", "paper", "-p", "horizon", "8")
    assert csv(project) == "csv 8 0.5"
    figures(project, NAME, "-p", "device", "cpu")  # where it is computed is no scale
    assert csv(project) == "csv 8 0.5"
    assert not (project.out / "custom").exists()
    states = project.out / ".batch" / "state" / f"{NAME}.json"
    assert json.loads(states.read_text())["preset"] == "fast"
    assert not re.search("stale", project.run("list").stdout)


@pytest.mark.slow
def test_a_folder_that_is_named_is_taken_as_it_is(project, runs, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    figures(project, NAME, "--preset", "paper", "--out", elsewhere)
    assert (elsewhere / f"{NAME}.csv").read_text() == "csv 64 0.5"
    figures(project, NAME, "-p", "horizon", "9", "--out", elsewhere)
    assert (elsewhere / f"{NAME}.csv").read_text() == "csv 9 0.5"
    assert not project.out.exists()


@pytest.mark.slow
def test_each_scale_has_a_batch_of_its_own(project, runs):
    full = project.out / "full_scale"
    figures(project, "--preset", "paper")
    with only_batch([full], {}):
        outcome = project.run("figures", "--preset", "paper")
        assert outcome.exit_code == 1
        assert outcome.stderr == f"Error: another batch is writing to {full}\n"
        figures(project)  # beside one that goes on for days
        figures(project, NAME, "-p", "horizon", "9")
    page = (project.out / "index.html").read_text()
    assert f"full_scale/{NAME}.png" in page
    with only_batch([project.out], {}):
        figures(project, NAME, "--preset", "paper")
        assert project.run("figures").exit_code == 1


@pytest.mark.slow
def test_a_batch_leaves_the_folder_of_a_scale_when_that_is_made(project, runs, monkeypatch):
    """What has nothing to scale is made first, so that others can make the reduced figures meanwhile."""
    free = []
    execute = execution._execute

    def look(notebook, *others):
        with contextlib.suppress(BlockingIOError), only_batch([project.out], {}):
            free.append(notebook.name)
        execute(notebook, *others)

    monkeypatch.setattr(execution, "_execute", look)
    figures(project, "--preset", "paper")
    assert runs == [("tour/start", 8), (NAME, 64)]
    assert free == [NAME]


@pytest.mark.slow
def test_pages_wait_for_a_figure_that_comes_to_its_place_at_another_scale(project, runs):
    figures(project, "--preset", "paper")
    written = threading.Event()

    def write():
        with settled(project.out, {}):
            written.set()

    pages = threading.Thread(target=write)
    with publishing_lock(project.out / "full_scale"):
        pages.start()
        assert not written.wait(0.5)
    assert written.wait(60)
    pages.join()


@pytest.mark.slow
def test_what_was_being_published_at_full_scale_is_published_by_the_next_batch(project, runs):
    figures(project, NAME, "--preset", "paper")
    full = project.out / "full_scale"
    state = full / ".batch" / "state" / f"{NAME}.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"published": False}))
    moving = full / ".batch" / "publishing" / NAME.replace("/", "%2F")
    moving.mkdir(parents=True)
    (full / f"{NAME}.csv").rename(moving / "memory_bias.csv")
    outcome = project.run("list")
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith(f"Error: at full scale, {NAME}: a batch was stopped while")
    figures(project)
    assert csv(project, "full_scale") == "csv 64 0.5"
    assert project.run("list").exit_code == 0


@pytest.fixture
def both(project, runs):
    """A figure at both scales, whose numbers are not the same ones."""
    for folder, horizon, extra in (("full_scale", 64, "only full"), ("", 8, "only reduced")):
        path = project.record(
            NAME,
            parameters={"horizon": horizon, "rate": 0.5},
            headline={"value": horizon, extra: 3},
            spread={"value": {"low": horizon, "high": horizon + 1, "runs": 2}},
            paper={"value": 100},
            seconds=horizon,
            message=f"Seen with {horizon}.",
            created=f"2025-01-{horizon % 28 + 1:02}T00:00:00+00:00",
        )
        place = project.out / folder / f"{NAME}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
        place.with_suffix(".png").touch()
    return project


def presets(project):
    return project.catalogue().presets


def test_the_best_there_is_stands_before_the_other(both):
    standing = both.standings(presets(both))[NAME]
    assert (standing.preset, standing.folder, standing.reduced) == ("paper", "full_scale/", ())
    assert (standing.other.preset, standing.other.folder, standing.other.reduced) == (
        "fast",
        "",
        ("horizon",),
    )
    assert scaled_numbers(standing) == [
        ScaledNumber("value", "100", "64", "64 to 65 (2)", "8", "8 to 9 (2)"),
        ScaledNumber("only full", "—", "3", "—", "—", "—"),
        ScaledNumber("only reduced", "—", "—", "—", "3", "—"),
    ]
    assert both.run("list").stdout.splitlines()[0] == (
        f"{NAME}  A title (reproduced; paper · cpu · 64.0 s · 2025-01-09; fast · cpu · 8.0 s · 2025-01-09)"
    )


@pytest.mark.slow
def test_the_ledger_has_both_scales_side_by_side_and_links_both(both):
    figures(both, "tour")
    text = (both.out / "ledger.md").read_text()
    lines, numbers = tables(text)[:2]
    assert lines[2][0] == f"[Memory-bias figure](full_scale/{NAME}.png)"
    assert lines[2][3:] == ["reproduced", "paper", "cpu", "64.0", "2025-01-09"]
    assert lines[3] == [
        *(f"[the same, reduced]({NAME}.png)", "", ""),
        *("horizon", "fast", "cpu", "8.0", "2025-01-09"),
    ]
    assert numbers[0][2:] == ["paper", "full scale", "over seeds", "reduced", "over seeds"]
    assert numbers[2][1:] == ["value", "100", "64", "64 to 65 (2)", "8", "8 to 9 (2)"]
    # sections that have one scale only keep their columns
    assert tables(text)[-1][0][1:] == ["number", "paper", "ours", "over seeds"]
    assert "reproduced: 1" in text
    found = find_notebooks(both.root)
    ledger = sections(both.catalogue(), found, both.standings(presets(both)))
    latex = ledger_latex(ledger)
    assert r"value & 100 & 64 & 64 to 65 (2) & 8 & 8 to 9 (2) \\" in latex
    for table in re.findall(r"\\begin\{longtable\}\{(.*?)\}\n.*?\\end", latex, flags=re.DOTALL):
        widths = [float(width) for width in re.findall(r"p\{([\d.]+)", table)]
        assert sum(widths) < 1


def test_the_page_shows_full_scale_and_folds_the_reduced_figure_away(both):
    standings = both.standings(presets(both))
    html = index_html(both.catalogue(), find_notebooks(both.root), standings, both.out)
    assert html.count("<article") == 1
    assert f'src="full_scale/{NAME}.png"' in html
    (folded,) = re.findall("<details>(.*?)</details>", html, flags=re.DOTALL)
    assert "preset fast · cpu · 8.0 s · 2025-01-09" in folded
    assert "Seen with 8." in folded
    assert f'href="{NAME}.png"' in folded
    heads = re.findall('<th scope="col">([^<]+)</th>', html)
    assert heads == ["full scale", "over seeds", "reduced", "paper"]


def test_a_full_scale_figure_that_is_spoilt_is_named_and_the_reduced_one_shown(both):
    (both.out / "full_scale" / f"{NAME}.json").write_text("{")
    standing = both.standings(presets(both))[NAME]
    assert standing.preset == "fast"
    assert standing.troubles == [
        f"at full scale, memory_bias.json of {NAME} is not JSON: Expecting property name enclosed in double "
        "quotes: line 1 column 2 (char 1)"
    ]
    outcome = both.run("list")
    assert outcome.exit_code == 1
    assert "reproduced at reduced scale" in outcome.stdout
    html = index_html(both.catalogue(), find_notebooks(both.root), both.standings(presets(both)), both.out)
    assert f"Incomplete, and not shown: {NAME}." in html
    assert "Seen with 8." in html


def test_check_knows_full_scale_that_is_none_any_more(both):
    assert "full_scale" not in both.run("check").stdout
    both.presets(f"paper: {{{NAME}: {{horizon: 65}}}}")
    said = f"full_scale/{NAME} was made with another horizon than its paper's preset has"
    assert said in both.run("check").stdout.splitlines()
    (both.out / "full_scale" / f"{NAME}.json").write_text("{")
    assert f"at full scale, memory_bias.json of {NAME} is not JSON" in both.run("check").stdout


@pytest.mark.slow
def test_list_says_which_scale_is_stale(project, runs):
    figures(project, "--preset", "paper")
    figures(project)
    (project.out / "full_scale" / f"{NAME}.pdf").unlink()
    line = project.run("list").stdout.splitlines()[0]
    assert line.endswith("; stale in full_scale: its files were changed or removed)")


@pytest.mark.parametrize("name", ["full_scale", "custom"])
def test_no_paper_has_the_name_of_a_scale(project, name):
    project.write(f"{name}/a")
    (project.papers / name).mkdir()
    (project.papers / name / "paper.yaml").write_text("paper: false\ntitle: A title\n")
    said = f"{name}/ is where figures of another scale go; give the paper another folder"
    assert read_catalogue(project.papers).troubles[name].endswith(said)
    assert find_notebooks(project.root)[f"{name}/a"].trouble.endswith(said)
    assert said in project.run("check").stdout
    outcome = project.run("figures")
    assert outcome.exit_code == 1
    assert f"{name}/a failed: {said}" in outcome.stdout


@pytest.mark.slow
def test_a_figure_that_is_as_it_was_leaves_its_files_as_they_were(project, runs):
    """Its own date and seconds, which differ, are kept; one other number, and they are new."""
    source = project.root / "notebooks" / f"{NAME}.ipynb"
    figures(project, NAME)
    before = project.files()

    def again(old, new):
        source.write_text(source.read_text().replace(old, new))
        figures(project, NAME, "--force")
        return {name for name, text in project.files().items() if before[name] != text}

    assert again("seconds=0.1", "seconds=7.5") == set()
    assert again("2025-01-02", "2026-02-03") == set()
    state = json.loads((project.out / ".batch" / "state" / f"{NAME}.json").read_text())
    assert state["seconds"] == 7.5
    changed = again("value=1.5", "value=1.6")
    assert changed == {f"{NAME}.json", "index.html", "ledger.md", "ledger.tex"}
    record = json.loads((project.out / f"{NAME}.json").read_text())
    assert (record["seconds"], record["created"][:10]) == (7.5, "2026-02-03")
