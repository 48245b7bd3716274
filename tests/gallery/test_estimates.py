"""What a batch would take, told before it runs; and what of it ends in time."""

import json
from pathlib import Path

import pytest

from curse_of_memory.gallery import execution
from curse_of_memory.gallery.catalogue import read_catalogue
from curse_of_memory.gallery.estimates import check_cost, cost, ending_within, in_words, read_duration
from curse_of_memory.gallery.figure_files import find_record
from curse_of_memory.gallery.notebooks import find_notebooks
from curse_of_memory.gallery.parameters import Parameter
from curse_of_memory.gallery.placement import all_parameters
from tests.gallery.test_scales import NAME, figures, runs

__all__ = ["runs"]  # a fixture

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("horizon", 8),
        ("horizon * (rate + 2) ** 2 - 1", 49),
        ("sum(widths) * len(widths) + max(widths)", 25),
        ("28 - 27 * row_by_row", 1),
        ("2 / 4", 0.5),
    ],
)
def test_a_cost_is_arithmetic(formula, value):
    assert cost(formula, {"horizon": 8, "rate": 0.5, "widths": [1, 2, 4], "row_by_row": True}) == value


@pytest.mark.parametrize(
    "formula",
    [
        *("", "horizon +", "'text'", "widths", "sum(horizon)", "sum([1, 2])", "sum(widths, 1)", "words"),
        *("open(name)", "horizon.real", "__import__('os')", "horizon if rate else 1", "abs(rate)", "-rate"),
        *("9 ** 9 ** 9", "1 / 0", "10.0 ** 99 ** 2", "horizon < 3", "(lambda: 1)()", "(" * 500 + ")" * 500),
    ],
)
def test_nothing_else_is_a_cost(formula):
    parameters = {"horizon": 8, "rate": 0.5, "widths": [1, 2], "name": "x", "words": "x"}
    with pytest.raises(ValueError, match="is no formula of numbers and lists"):
        cost(formula, parameters)


def test_a_cost_names_parameters_and_is_positive():
    declared = {
        "horizon": Parameter("horizon", "int", 8, "x"),
        "widths": Parameter("widths", "list", [1], "x"),
    }
    check_cost("horizon * sum(widths)", declared)
    for formula, said in {
        "horizn": r"names 'horizn', which is no parameter \(did you mean 'horizon'\?\)",
        "len(width)": r"names 'width', which is no parameter \(did you mean 'widths'\?\)",
        "horizon - 8": "is 0 for the parameters given; a cost is positive",
    }.items():
        with pytest.raises(ValueError, match=said):
            check_cost(formula, declared)


@pytest.mark.parametrize(
    "text", ["", "2", "h", "two hours", "-1h", "0s", "1.2.3h", "2h30", "2 weeks", "nanh"]
)
def test_what_is_no_duration_is_refused(project, text):
    with pytest.raises(ValueError, match="a duration must be like 90s"):
        read_duration(text)
    outcome = project.run("figures", "--up-to", text)
    assert outcome.exit_code == 2
    assert "a duration must be like 90s, 20min, 2h or 1d" in outcome.stderr


def test_a_duration_is_read_as_it_is_said():
    for seconds in (8, 95, 5400, 36_000, 250_000):
        assert read_duration(in_words(seconds)) == pytest.approx(seconds, rel=0.05)


def test_what_ends_within_a_time_is_the_most_there_can_be():
    """No set of more notebooks has a smaller sum than the shortest ones."""
    estimates = {"a": 30.0, "b": 20.0, "c": 45.0, "d": None, "e": 400.0}
    assert ending_within(50, estimates, 1) == ["b", "a"]
    assert ending_within(49, estimates, 1) == ["b"]
    assert ending_within(50, estimates, 2) == ["b", "a", "c"]
    assert ending_within(10_000, estimates, 1) == ["b", "a", "c", "e"]


@pytest.fixture
def timed(project, runs):
    """A figure that took 3 s with a horizon of 8, which is 64 at full scale; and one of an unknown cost."""
    place = project.papers / "interest" / "paper.yaml"
    project.write("interest/unknown")
    project.presets(f"paper: {{{NAME}: {{horizon: 64}}, interest/unknown: {{horizon: 64}}}}")
    place.write_text(place.read_text() + "costs: {memory_bias: horizon ** 2}\n")
    project.record(NAME, seconds=3.0)
    project.record("interest/unknown", seconds=3.0)
    return project


def plan(project, *arguments):
    outcome = figures(project, "--dry-run", *arguments)
    *lines, empty, last = outcome.stdout.splitlines()
    assert empty == ""
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}, last


@pytest.mark.slow
def test_a_dry_run_tells_time_and_state_and_makes_nothing(timed, runs):
    before = timed.files()
    told, last = plan(timed, "--preset", "paper", "interest")
    assert told == {NAME: "3.3 min  to do", "interest/unknown": "?  to do"}  # 8 s and 64 times 3 s
    assert last == "2 to do: 3.3 min, and 1 that cannot be told"
    told, last = plan(timed, "interest", "-p", "horizon", "16")
    assert told[NAME] == "20 s  to do"
    told, last = plan(timed, "interest")
    assert told == {NAME: "11 s  to do", "interest/unknown": "11 s  to do"}
    assert last == "2 to do: 22 s"
    assert timed.files() == before
    assert not runs
    assert not (timed.out / ".batch").exists()
    figures(timed, NAME)
    assert plan(timed, NAME)[0] == {NAME: "8 s  up to date"}
    assert plan(timed, NAME, "--force")[0] == {NAME: "8 s  to do"}


def test_the_clock_of_the_figure_itself_is_believed_first(timed):
    place = timed.record(NAME, parameters={"horizon": 64, "rate": 0.5}, seconds=1000.0)
    text = place.read_text()
    timed.record(NAME, seconds=3.0)
    full = timed.out / "full_scale" / f"{NAME}.json"
    full.parent.mkdir(parents=True)
    full.write_text(text)
    assert plan(timed, NAME, "--preset", "paper")[0] == {NAME: "17 min  to do"}
    assert plan(timed, NAME)[0] == {NAME: "11 s  to do"}


def test_a_dry_run_names_what_a_notebook_needs(timed):
    path = timed.root / "notebooks" / "interest" / "unknown.ipynb"
    content = json.loads(path.read_text())
    content["metadata"]["needs_data"] = ["mnist"]
    path.write_text(json.dumps(content))
    (line,) = [line for name, line in plan(timed)[0].items() if name == "interest/unknown"]
    assert "mnist" in line


def test_a_dry_run_says_what_would_be_ended_before_it_is_done(timed):
    told, _ = plan(timed, "--preset", "paper", NAME, "--timeout", "3min")
    assert told == {NAME: "3.3 min  to do       ended after 3.0 min: --timeout, or a GPU"}
    told, _ = plan(timed, "--preset", "paper", NAME, "--timeout", "4min")
    assert told == {NAME: "3.3 min  to do"}


@pytest.mark.slow
def test_what_ends_later_is_left_out(timed, runs):
    outcome = figures(timed, "--preset", "paper", "--up-to", "2min")
    assert [line.split(maxsplit=1) for line in outcome.stdout.partition("\n\n")[0].splitlines()] == [
        [NAME, "left out"],
        ["interest/unknown", "left out"],
        ["tour/start", "left out"],  # it was never made, so that there is no telling
    ]
    assert not runs
    assert plan(timed, "--preset", "paper", "interest", "--up-to", "2min")[1].startswith("0 to do")
    outcome = figures(timed, "--preset", "paper", "--up-to", "5min")
    assert runs == [(NAME, 64)]


def test_check_wants_the_cost_of_whatever_has_a_full_scale(timed):
    said = timed.run("check").stdout
    assert "interest/unknown has a full scale and no cost in paper.yaml" in said
    assert f"{NAME} has a full scale and no cost" not in said
    place = timed.papers / "interest" / "paper.yaml"
    place.write_text(place.read_text().replace("horizon ** 2", "horizn, gone: rate"))
    said = timed.run("check").stdout
    assert f"{NAME}: a cost names 'horizn', which is no parameter" in said
    assert "paper.yaml gives the cost of interest/gone, which is no notebook" in said


def test_every_full_scale_of_this_package_costs_more_than_its_reduced_figure():
    found, catalogue = find_notebooks(ROOT), read_catalogue()
    assert catalogue.costs
    for name, formula in catalogue.costs.items():
        parameters = found[name].parameters
        full = all_parameters(found[name], catalogue.presets["paper"][name])
        assert cost(formula, full) > cost(formula, {key: p.default for key, p in parameters.items()}), name


# one LEM by the official recipe on two idle cores, and how many times that all trainings of a figure take: of
# five models, of which those of torch are up to twice as slow, by three seeds; of three cells on texts
HOURS = {"smnist": (4, 21), "psmnist": (4, 21), "noisy_cifar10": (7, 21), "heart_rate": (11, 21)}
HOURS |= {"ptb_words": (30, 3), "ptb_characters": (6 * 24, 3)}


@pytest.mark.parametrize("stem", HOURS)
def test_the_long_trainings_of_lem_are_told_as_what_is_known_of_them(stem):
    """Within four times: the clock of the reduced figure, from which they are told, is a busy machine's."""
    name, (hours, times) = f"lem/{stem}", HOURS[stem]
    notebook, catalogue = find_notebooks(ROOT)[name], read_catalogue()
    record = find_record(ROOT / "figures", notebook)
    assert record is not None
    full, reduced = (
        cost(catalogue.costs[name], all_parameters(notebook, given))
        for given in (catalogue.presets["paper"][name], record.parameters)
    )
    told = record.seconds * full / reduced / 3600
    assert hours * times / 4 < told < 4 * hours * times


def test_the_batch_passes_on_what_the_estimate_chose(timed, runs, monkeypatch):
    seen = []
    monkeypatch.setattr(execution, "run", lambda jobs, *others: seen.append(jobs) or (x for x in ()))
    outcome = timed.run("figures", "interest", "--up-to", "15s", "--jobs", "1")
    assert "interest/unknown      left out" in outcome.stdout
    assert [job.notebook.name for jobs in seen for job in jobs] == [NAME]
