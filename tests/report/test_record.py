"""The record of a figure is written and read by one schema."""

import json
import math
from dataclasses import fields, replace

import numpy as np
import pytest

from curse_of_memory.report import record as module
from curse_of_memory.report.record import ComparedNumber, Record, Spread, comparison, read_record, record_text

WHOLE = Record(
    name="interest/a",
    title="A title",
    message="What is seen: ρ ≥ 1.",
    source="Figure 1",
    parameters={"powers": (0, math.inf), "width": 4, "word": "none", "nothing": None, "flag": True},
    headline={"one": 1.25, "endless": math.inf, "word": "none", "many": np.int64(7)},  # pyright: ignore[reportArgumentType]  # numpy's are written, too
    spread={"one": Spread(1.0, math.nan, 3)},
    paper={"one": np.float64(1.5)},
    device="cpu",
    seconds=0.25,
    versions={"numpy": "2.0"},
    created="2025-01-02T03:04:05+00:00",
)


def test_real_data_may_stand_in_for_others(tmp_path):
    other = replace(WHOLE, stand_in="UCR Worms, in place of EigenWorms", stand_in_is_real=True)
    (tmp_path / "a.json").write_text(record_text(other))
    assert read_record(tmp_path / "a.json", "interest/a").stand_in_is_real is True
    (tmp_path / "a.json").write_text(record_text(WHOLE))
    assert read_record(tmp_path / "a.json", "interest/a").stand_in_is_real is False
    for wrong in ("yes", 1):
        content = json.loads(record_text(other)) | {"stand_in_is_real": wrong}
        (tmp_path / "a.json").write_text(json.dumps(content))
        with pytest.raises(
            ValueError, match=r"'stand_in_is_real' in a\.json of interest/a has the wrong type"
        ):
            read_record(tmp_path / "a.json", "interest/a")


def test_a_stand_in_is_said_and_real_data_need_no_word(tmp_path):
    """Records from before there were stand-ins are of real data."""
    assert "stand_in" not in json.loads(record_text(WHOLE))
    other = replace(WHOLE, stand_in="digits, in place of MNIST")
    (tmp_path / "a.json").write_text(record_text(other))
    assert read_record(tmp_path / "a.json", "interest/a").stand_in == other.stand_in
    (tmp_path / "a.json").write_text(json.dumps(json.loads(record_text(other)) | {"stand_in": 3}))
    with pytest.raises(ValueError, match=r"'stand_in' in a\.json of interest/a has the wrong type: 3"):
        read_record(tmp_path / "a.json", "interest/a")


def test_a_part_of_the_data_is_said_and_all_of_them_need_no_word(tmp_path):
    assert "data_part" not in json.loads(record_text(WHOLE))
    (tmp_path / "a.json").write_text(record_text(replace(WHOLE, data_part="12 of 90 clips")))
    assert read_record(tmp_path / "a.json", "interest/a").data_part == "12 of 90 clips"


def test_the_schema_has_every_field_of_a_record():
    assert set(module.SCHEMA) == {field.name for field in fields(Record)}


def test_what_is_written_is_read_again(tmp_path):
    """Infinities and NaN are words there."""
    (tmp_path / "a.json").write_text(record_text(WHOLE))
    found = read_record(tmp_path / "a.json", "interest/a")
    assert found == replace(
        WHOLE,
        parameters={**WHOLE.parameters, "powers": [0, "inf"]},
        headline={"one": 1.25, "endless": "inf", "word": "none", "many": 7},
        spread={"one": Spread(1.0, "nan", 3)},
        paper={"one": 1.5},
    )
    assert record_text(found) == record_text(WHOLE)
    assert found.comparison() == WHOLE.comparison()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"headline": {"x": object()}}, "'x' of 'headline' in the record of interest/a has the wrong type"),
        ({"headline": {"x": True}}, "'x' of 'headline'"),
        ({"paper": {"x": [1]}}, "'x' of 'paper'"),
        ({"parameters": {"x": {"y": 1}}}, "'x' of 'parameters'"),
        ({"versions": {"numpy": 2}}, "'numpy' of 'versions'"),
        ({"title": None}, "'title' in the record of interest/a has the wrong type: None"),
        ({"seconds": math.inf}, "'seconds' in the record of interest/a"),
    ],
)
def test_what_could_not_be_read_is_not_written(changes, message):
    with pytest.raises(ValueError, match=message):
        record_text(replace(WHOLE, **changes))


def test_one_comparison_serves_a_notebook_and_the_ledger():
    """The ledger counts the seeds, and a notebook chooses the digits."""
    spread = {"a": Spread(0.123456, 0.2, 3), "b": Spread(1.0, 1.0, 2), "c": Spread(math.nan, math.nan, 2)}
    headline = {"a": 0.15, "b": 1.0, "c": math.nan}
    assert comparison(headline, spread, {"d": 2}) == [
        ComparedNumber("a", "0.15", "0.1235 to 0.2 (3)", "—"),
        ComparedNumber("b", "1", "1 (all 2)", "—"),
        ComparedNumber("c", "nan", "nan (some of 2)", "—"),
        ComparedNumber("d", "—", "—", "2"),
    ]
    assert [row.over_seeds for row in comparison(headline, spread, {}, digits=2, counted=False)] == [
        *("0.12 to 0.2", "1 to 1", "nan to nan")
    ]


def test_a_record_is_json_by_the_letter():
    json.loads(record_text(WHOLE), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
