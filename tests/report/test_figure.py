import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

mpl.use("agg")

from curse_of_memory.report import figure
from curse_of_memory.report import record as schema
from curse_of_memory.report.figure import FigureData, Findings, Spread, figure_data, spreads
from curse_of_memory.report.printed_table import as_latex, as_markdown
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.theory import bias
from curse_of_memory.theory.stability import crossing
from curse_of_memory.tools.run_notes import RunNotes, make_notes

EPS = float(np.finfo(float).eps)
steady = settings(derandomize=True, deadline=None, max_examples=40)
TABLE = pd.DataFrame(
    {"p": [0.1, 1 / 3, math.pi], "value": [1e-300, 0.1 + 0.2, math.inf], "kind": list("abc")}
)


@figure_data("somewhere/a_figure", title="A figure", source="a paper, figure 1")
def some_data(
    *, powers: Sequence[float] = (0, math.inf), width: int = 3, seed: int = 0, device: str = "cpu"
) -> Findings:
    """Say something."""
    headline = {"one": 1.23456789, "many": 7, "word": "none", "endless": math.inf}
    spread = {"one": Spread.over([1.3, 1.1, 1.23456])}
    return Findings(TABLE, f"width {width}", headline, {"one": 1.2, "endless": math.inf}, spread=spread)


def drawing():
    canvas = Figure()
    canvas.subplots().plot([0, 1])
    return canvas


def strict(text):
    """Parse JSON by the letter: NaN and Infinity are no JSON."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


# --- what was computed, and with what -----------------------------------------------------------


def test_a_figure_knows_its_name_and_how_it_was_made():
    data = some_data(width=5)
    assert (data.name, data.title, data.source) == ("somewhere/a_figure", "A figure", "a paper, figure 1")
    assert data.parameters == {"powers": (0, math.inf), "width": 5, "seed": 0, "device": "cpu"}
    assert data.message == "width 5"
    assert data.device == "cpu"
    assert data.seconds >= 0
    pd.testing.assert_frame_equal(data.table, TABLE)
    assert some_data.__doc__ == "Say something."


@figure_data("somewhere/read", title="A figure", source="a paper, figure 1")
def read(*, data: str = "auto", seed: int = 0, device: str = "cpu") -> Findings:
    note = "digits, in place of MNIST" if data == "stand-in" else ""
    return Findings(TABLE, "What is seen.", {"one": 1.0}, {"one": 1.2}, stand_in=note)


def test_a_figure_of_a_stand_in_says_so_and_has_no_numbers_of_the_paper(tmp_path):
    real, other = read(data="real"), read(data="stand-in")
    assert (real.title, real.message, real.stand_in) == ("A figure", "What is seen.", "")
    assert real.paper == {"one": 1.2}
    assert other.title == "A figure (stand-in data)"
    assert other.message == "Stand-in data, digits, in place of MNIST. What is seen."
    assert other.paper == {}
    assert other.comparison().columns.tolist() == ["ours"]
    other.save(tmp_path, drawing())
    record = schema.read_record(tmp_path / "read.json", "somewhere/read")
    assert record.stand_in == "digits, in place of MNIST"
    assert record.parameters == {"seed": 0, "device": "cpu"}  # what was asked for says nothing of what came
    assert not record.stand_in_is_real


def test_a_figure_says_whether_what_stands_in_is_real_and_how_much_was_read(tmp_path):
    @figure_data("somewhere/read", title="A figure", source="a paper, figure 1")
    def other(*, seed: int = 0, device: str = "cpu") -> Findings:
        return Findings(
            TABLE, "m", {"one": 1.0}, stand_in="UCR Worms", stand_in_is_real=True, data_part="half of them"
        )

    other().save(tmp_path, drawing())
    record = schema.read_record(tmp_path / "read.json", "somewhere/read")
    assert (record.stand_in_is_real, record.data_part) == (True, "half of them")


def test_the_time_of_a_figure_has_that_of_the_runs_that_were_kept(monkeypatch, tmp_path):
    notes = RunNotes(tmp_path / "notes")
    make_notes(tmp_path / "notes")
    monkeypatch.setattr(figure, "run_notes", lambda: notes)

    @figure_data("somewhere/read", title="A figure", source="a paper, figure 1")
    def other(*, seed: int = 0, device: str = "cpu") -> Findings:
        notes.ended(before=True, seconds=1000.0)
        notes.ended()
        return Findings(TABLE, "m", {"one": 1.0})

    assert 1000 <= other().seconds < 1100
    assert 1000 <= other().seconds < 1100  # those of the second time alone


def compute(*, seed: int = 0, device: str = "cpu") -> Findings:
    return Findings(TABLE, "m", {"one": 1.0})


@pytest.mark.parametrize("paper", ["interest", "a_new_one"])
def test_a_figure_is_called_as_its_module(paper, monkeypatch):
    monkeypatch.setattr(compute, "__module__", f"curse_of_memory.papers.{paper}.copying")
    made = figure_data(title="t", source="ours")(compute)
    assert made.figure_name == made().name == f"{paper}/copying"
    assert figure_data("other/name", title="t", source="ours")(compute).figure_name == "other/name"


@pytest.mark.parametrize(
    "module",
    [
        *(
            "__main__",
            "curse_of_memory.papers",
            "curse_of_memory.papers.interest",
            "other.papers.interest.copying",
        ),
        *("curse_of_memory.papers.interest._copying", "curse_of_memory.papers.interest.copying.more"),
    ],
)
def test_elsewhere_a_figure_must_be_given_a_name(module, monkeypatch):
    monkeypatch.setattr(compute, "__module__", module)
    with pytest.raises(ValueError, match=rf"^name must be given outside .* in {module}$"):
        figure_data(title="t", source="ours")(compute)


@pytest.mark.parametrize(
    ("call", "message"),
    [(lambda: some_data(widht=5), "widht"), (lambda: some_data(3), "positional")],  # pyright: ignore[reportCallIssue]
)
def test_unknown_arguments_are_refused(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_ours_stands_beside_the_papers():
    table = some_data().comparison(digits=3)
    assert table.index.tolist() == ["one", "many", "word", "endless"]
    assert table.ours.tolist() == ["1.23", "7", "none", "inf"]
    assert table.paper.tolist() == ["1.2", "—", "—", "inf"]
    assert some_data().comparison().ours.iloc[0] == "1.235"


def test_the_range_over_the_seeds_stands_beside_them():
    assert some_data().comparison(digits=2)["over seeds"].tolist() == ["1.1 to 1.3", "—", "—", "—"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([2.0, -1.0, 0.5], (-1.0, 2.0, 3)), ([4], (4.0, 4.0, 1)), (iter([1.0, math.inf]), (1.0, math.inf, 2))],
)
def test_a_spread_is_from_the_smallest_to_the_largest(values, expected):
    assert Spread.over(values) == Spread(*expected)


def test_a_run_that_diverged_leaves_no_spread_and_no_runs_are_refused():
    found = Spread.over([1.0, math.nan])
    for end in (found.low, found.high):
        assert isinstance(end, float)
        assert math.isnan(end)
    assert found.runs == 2
    with pytest.raises(ValueError, match="values must hold"):
        Spread.over([])


def test_of_a_single_run_there_is_no_spread():
    found = spreads({"two": iter([2.0, 1.0]), "one": [3.0], "none": ()})
    assert found == {"two": Spread(1.0, 2.0, 2)}


def test_a_spread_of_what_is_no_headline_is_refused():
    @figure_data("somewhere/else", title="A figure", source="ours")
    def other(*, seed: int = 0, device: str = "cpu") -> Findings:
        return Findings(TABLE, "m", {"one": 1.0}, spread={"oen": Spread(1.0, 2.0, 3)})

    with pytest.raises(ValueError, match="oen"):
        other()


def test_without_numbers_of_the_paper_there_is_no_column_for_them():
    data = FigureData("a/b", "t", TABLE, "m", {"one": 1.0}, {}, "cpu", 0.0)
    assert data.comparison().columns.tolist() == ["ours"]
    assert data.source == "ours"


# --- the four files -----------------------------------------------------------------------------


def test_four_files_are_written_whole(tmp_path):
    folder = tmp_path / "new" / "somewhere"
    paths = some_data().save(folder, drawing())
    assert [p.name for p in paths] == [f"a_figure.{kind}" for kind in ("png", "pdf", "csv", "json")]
    assert sorted(folder.iterdir()) == sorted(paths)  # and no drafts
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert paths[1].read_bytes().startswith(b"%PDF")


def test_a_table_is_also_written_as_markdown_and_latex(tmp_path):
    printed = pd.DataFrame({"$p=0$": ["1 %"]}, index=pd.Index(["a_b"], name="model"))
    data = replace(some_data(), printed=printed)
    paths = {p.suffix: p for p in data.save(tmp_path, drawing())}
    assert sorted(paths) == [".csv", ".json", ".md", ".pdf", ".png", ".tex"]
    assert paths[".md"].read_text() == "| model | $p=0$ |\n|---|---:|\n| a_b | 1 % |\n"
    assert r"a\_b & 1 \% \\" in paths[".tex"].read_text()
    assert r"\caption{A figure}" in paths[".tex"].read_text()


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("$x_1$ & 5_%", r"$x_1$ \& 5\_\%"),
        ("1 ± 2", r"1 $\pm$ 2"),
        ("\\{}", r"\textbackslash{}\{\}"),
        ("$", r"\$"),
    ],
)
def test_mathematics_stays_and_the_rest_is_escaped(text, latex):
    table = pd.DataFrame({"c": [text]}, index=["r"])
    assert f"r & {latex} " in as_latex(table, "")


def test_a_bar_in_a_cell_is_no_column():
    assert as_markdown(pd.DataFrame({"c": ["a|b"]}, index=["r"])).splitlines()[-1] == r"| r | a\|b |"


def test_an_empty_folder_name_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert some_data().save("", drawing()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_save_that_fails_harms_no_file_that_was_there(tmp_path):
    paths = some_data().save(tmp_path, drawing())
    before = [p.read_bytes() for p in paths]

    class Broken(Figure):
        def savefig(self, fname, **options):
            fname.write_text("half")
            raise RuntimeError("no ink")

    with pytest.raises(RuntimeError, match="no ink"):
        some_data().save(tmp_path, Broken())
    with pytest.raises(ValueError, match="'one' of 'headline'"):
        replace(some_data(), headline={"one": object()}).save(tmp_path, drawing())
    assert [p.read_bytes() for p in paths][2:] == before[2:]
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_a_picture_is_the_same_bytes_every_time(tmp_path):
    saved = [some_data().save(tmp_path / name, drawing()) for name in ("first", "second")]
    for first, second in list(zip(*saved, strict=True))[:3]:
        assert first.read_bytes() == second.read_bytes()
    assert b"CreationDate" not in saved[0][1].read_bytes()


def test_the_record_is_strict_json(tmp_path):
    *_, path = some_data(width=4).save(tmp_path, drawing())
    record = strict(path.read_text())
    assert record["parameters"] == {"powers": [0, "inf"], "width": 4, "seed": 0, "device": "cpu"}
    assert record["headline"] == {"one": 1.23456789, "many": 7, "word": "none", "endless": "inf"}
    assert record["paper"] == {"one": 1.2, "endless": "inf"}
    assert record["spread"] == {"one": asdict(Spread(1.1, 1.3, 3))}
    assert {"name", "title", "message", "source", "device", "seconds", "versions", "created"} <= set(record)
    assert {"python", "torch", "curse-of-memory"} <= set(record["versions"])


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (np.float64(0.1), 0.1),
        (np.float32(math.inf), "inf"),
        (np.int64(3), 3),
        (np.bool_(True), True),
        ((1, [math.inf, {"a": np.float64(2)}]), [1, ["inf", {"a": 2.0}]]),
        ({1: None}, {"1": None}),
        ("inf", "inf"),
    ],
)
def test_values_become_what_json_has(value, plain):
    found = schema._plain(value)
    assert found == plain
    assert strict(json.dumps(found)) == plain


@steady
@given(values=st.lists(st.floats(allow_nan=False), min_size=1, max_size=10))
def test_numbers_read_back_exactly(values, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figure")
    table = pd.DataFrame({"x": values, "n": range(len(values))})
    data = FigureData("a/b", "t", table, "m", {"one": values[0]}, {}, "cpu", 0.0)

    class NoPicture(Figure):
        def savefig(self, fname, **options):
            pass

    *_, csv, record = data.save(folder, NoPicture())
    _, *rows = csv.read_text().splitlines()
    assert [float(row.split(",")[0]) for row in rows] == values
    found = strict(record.read_text())["headline"]["one"]
    assert float(found) == values[0]


# --- the papers' numbers ------------------------------------------------------------------------


def test_every_table_of_reference_numbers_can_be_read():
    for name in (
        "inverse_approximation/activations",
        "inverse_approximation/figure1",
        "interest/head_tail",
        "interest/memory_bias",
    ):
        table = reference(name)
        assert len(table) > 0
        keys = table.columns.difference(["error", "quality"])  # an error that overflowed is not a number
        assert not table[keys].isna().to_numpy().any()


def test_the_printed_memory_bias_is_the_theorys():
    printed = reference("interest/memory_bias")
    for p, curve in printed.groupby("p"):
        assert isinstance(p, float)
        ours = bias.power(p).sampled(64, normalize="sum", offset=1 if p <= -1 else 0)
        np.testing.assert_allclose(curve.sort_values("s").bias, ours, rtol=0, atol=1e-9)


def test_unknown_tables_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'inverse_approximation/figure1'"):
        reference("inverse_approximation/figure")


# --- where two curves cross ---------------------------------------------------------------------


@steady
@given(
    at=st.floats(2e-3, 0.5),
    slopes=st.tuples(st.floats(-1.0, 1.0), st.floats(1.1, 4.0)),
    level=st.floats(1e-3, 1e3),
)
def test_power_laws_cross_where_they_are_equal(at, slopes, level):
    """On logarithmic axes they are lines, so that interpolation between grid points is exact."""
    beta = np.concatenate([[0.0], np.geomspace(1e-3, 1.0, 12)])
    narrow, wide = (level * (beta / at) ** k if k > 0 else level * (beta + 0.0) ** 0 for k in slopes)
    if slopes[0] <= 0:
        narrow = np.full(beta.size, level)
    assert crossing(beta, narrow, wide) == pytest.approx(at, rel=1e-10)
    assert math.isnan(crossing(beta, wide, narrow))  # which begins above and ends below


def test_the_first_crossing_counts():
    beta = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    wide = np.array([0.1, 0.5, 2.0, 0.5, 2.0, 2.0])
    found = crossing(beta, np.ones(6), wide)
    assert found == pytest.approx(math.sqrt(2), rel=4 * EPS)


def test_a_touch_is_a_crossing_and_a_gap_is_none():
    beta = np.array([1.0, 2.0, 4.0])
    assert crossing(beta, np.ones(3), np.array([0.5, 1.0, 2.0])) == pytest.approx(2.0, rel=4 * EPS)
    assert math.isnan(crossing(beta, np.ones(3), np.array([0.5, 0.6, 0.7])))
    assert math.isnan(crossing(beta, np.ones(3), np.array([2.0, 3.0, 4.0])))
    assert math.isnan(crossing(np.array([0.0]), np.ones(1), np.ones(1)))


def test_missing_errors_are_left_out():
    beta = np.array([0.0, 1.0, 2.0, 4.0])
    wide = np.array([0.1, 0.5, math.nan, 2.0])
    assert crossing(beta, np.ones(4), wide) == pytest.approx(2.0, rel=4 * EPS)


def test_arrays_become_lists_in_records():
    assert schema._plain({"a": np.array([1.0, np.inf])}) == {"a": [1.0, "inf"]}


def test_an_overflow_is_a_crossing():
    beta = np.array([0.0, 0.1, 0.2, 0.4])
    at = crossing(beta, np.ones(4), np.array([0.5, 0.5, 0.5, np.inf]))
    assert 0.2 <= at <= 0.4
