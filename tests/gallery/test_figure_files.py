import json
import os

import pytest

from curse_of_memory.gallery.figure_files import find_record
from curse_of_memory.report.record import ComparedNumber, read_record


def rows(project, **content):
    return read_record(project.record("interest/a", **content), "interest/a").comparison()


def test_numbers_come_in_our_order_with_a_dash_where_one_is_missing(project):
    assert rows(
        project,
        headline={"ours": 1024.123, "both": 3},
        paper={"theirs": "never", "both": 2.5},
        spread={"ours": {"low": 1000.123, "high": 1100, "runs": 5}},
    ) == [
        ComparedNumber("ours", "1024", "1000 to 1100 (5)", "—"),
        ComparedNumber("both", "3", "—", "2.5"),
        ComparedNumber("theirs", "—", "—", "never"),
    ]


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0.0034, 0.0063, "0.0034 to 0.0063 (3)"),
        (0.5, 0.5, "0.5 (all 3)"),
        (0.50001, 0.50002, "0.5 (all 3)"),
        (0.25, "inf", "0.25 to inf (3)"),
        ("nan", "nan", "nan (some of 3)"),
    ],
)
def test_the_range_over_seeds_is_as_precise_as_the_number(project, low, high, shown):
    spread = {"value": {"low": low, "high": high, "runs": 3}}
    (row,) = rows(project, headline={"value": 0.5}, spread=spread)
    assert row.over_seeds == shown


def test_a_record_without_a_field_or_of_another_notebook_is_refused(project):
    path = project.record("interest/a")
    content = json.loads(path.read_text())
    for field in content:
        path.write_text(json.dumps({key: value for key, value in content.items() if key != field}))
        with pytest.raises(ValueError, match=f"lacks '{field}'"):
            read_record(path, "interest/a")
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="says it is of 'interest/a'"):
        read_record(path, "interest/b")


@pytest.mark.parametrize("spread", [[0.1, 0.2], {"low": 0.1, "high": 0.2}])
def test_a_spread_has_two_ends_and_a_number_of_runs(project, spread):
    path = project.record("interest/a", spread={"value": spread})
    with pytest.raises(ValueError, match="lacks low, high or runs of 'value'"):
        read_record(path, "interest/a")


def test_what_is_no_record_is_refused_in_one_line(project):
    project.write("interest/a")
    path = project.record("interest/a")
    notebook, whole = project.read("interest/a"), path.read_text()
    changes = [
        {"headline": {"x": []}},
        {"headline": {"x": None}},
        {"paper": {"x": True}},
        {"paper": {"x": {"y": 1}}},
        {"spread": {"x": {"low": [], "high": 1, "runs": 2}}},
        {"versions": {"numpy": 2}},
        {"parameters": {"x": {"y": 1}}},
        {"parameters": {"x": [[1]]}},
        {"seconds": True},
        {"seconds": float("inf")},
        {"message": "half a sign \ud800"},
        {"name": 3},
    ]
    texts = [json.dumps(json.loads(whole) | change) for change in changes]
    texts += ["", "[]", "{", "[" * 100_000, "9" * 10_000, whole + " " * 2_000_000, b"\xff\xfe"]
    texts += [whole.replace('"value": 1.5', '"value": ' + "[" * 400 + "]" * 400)]
    for text in texts:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ValueError, match=r"a\.json of interest/a") as refusal:
            find_record(project.out, notebook)
        assert "\n" not in str(refusal.value)
        assert len(str(refusal.value)) < 300
    path.unlink()
    assert find_record(project.out, notebook) is None
    for make in (os.mkfifo, os.mkdir, lambda place: os.symlink("/etc/hostname", place)):
        make(path)
        with pytest.raises(ValueError, match=r"a\.json of interest/a is no file"):
            find_record(project.out, notebook)
        path.rmdir() if path.is_dir() else path.unlink()
