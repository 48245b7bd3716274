"""The format .ts: round trips of whatever it can say, real files, and headers that do not fit their data."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.tasks.data_files import VARIABLE
from curse_of_memory.tasks.ts_files import read_ts

SAMPLES = Path(os.environ.get(VARIABLE) or "nowhere") / "time_series"
samples = pytest.mark.skipif(not (SAMPLES / "UnitTest").is_dir(), reason="no sample files here")

HEADER = {
    "problemName": "Small",
    "timeStamps": "false",
    "missing": "false",
    "univariate": "false",
    "dimensions": "2",
    "equalLength": "true",
    "seriesLength": "3",
    "classLabel": "true up down",
}
LINES = ("1,2,3:-1,-2,-3:up", "0.5,1e3,0:4,5,6:down")


def text(header=None, lines=LINES, **other):
    header = {**(HEADER if header is None else header), **other}
    words = [f"@{word} {value}" for word, value in header.items() if value is not None]
    return "\n".join(["# a comment", "", *words, "@data", *lines]) + "\n"


@pytest.fixture
def read(tmp_path):
    """Write a text to a file and read it."""

    def reader(content):
        (tmp_path / "small.ts").write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_ts(tmp_path / "small.ts")

    return reader


def test_channels_are_between_colons_and_values_between_commas(read):
    file = read(text())
    assert [one.tolist() for one in file.series] == [
        [[1, -1], [2, -2], [3, -3]],
        [[0.5, 4], [1000, 5], [0, 6]],
    ]
    assert file.labels is not None
    assert file.labels.tolist() == ["up", "down"]
    assert file.classes == ("up", "down")


def test_lines_may_end_as_windows_has_them_and_the_last_one_not_at_all(read):
    plain = read(text())
    for other in (read(text().replace("\n", "\r\n")), read(text().removesuffix("\n"))):
        assert all(np.array_equal(one, same) for one, same in zip(other.series, plain.series, strict=True))
        assert other.classes == plain.classes
        assert other.labels is not None
        assert other.labels.tolist() == ["up", "down"]


def test_words_may_be_left_out_and_written_in_any_case(read):
    for header in ({"classLabel": "true up down"}, {"CLASSLABEL": "TRUE up down", "Missing": "False"}):
        file = read(text(header, lines=(*LINES, "1:2:up")))
        assert [one.shape for one in file.series] == [(3, 2), (3, 2), (1, 2)]
    only = read(text({"univariate": "true"}, lines=("1,2", "3")))
    assert (only.labels, only.classes) == (None, ())
    assert [one.tolist() for one in only.series] == [[[1], [2]], [[3]]]


def test_targets_are_numbers_and_missing_values_nan(read):
    file = read(text({"targetLabel": "true", "missing": "true"}, lines=("1,?,NaN:-2.5e-3", "?:7")))
    np.testing.assert_array_equal(file.series[0], [[1], [np.nan], [np.nan]])
    np.testing.assert_array_equal(file.series[1], [[np.nan]])
    assert file.labels is not None
    assert file.labels.tolist() == [-2.5e-3, 7]
    assert file.classes == ()


def small(draw, equal, channels):
    numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)
    lengths = st.integers(1, 5)
    length = draw(lengths) if equal else None
    for _ in range(draw(st.integers(1, 4))):
        steps = length or draw(lengths)
        yield [draw(st.lists(numbers, min_size=steps, max_size=steps)) for _ in range(channels)]


@given(st.data(), st.booleans(), st.integers(1, 3), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, data, equal, channels, targets, missing):
    series = list(small(data.draw, equal, channels))
    gaps = data.draw(st.sets(st.integers(0, 9))) if missing else set()
    labels = [data.draw(st.floats(-1e6, 1e6) if targets else st.sampled_from("abc")) for _ in series]
    lines = []
    for values, label in zip(series, labels, strict=True):
        shown = [["?" if k in gaps else repr(v) for k, v in enumerate(one)] for one in values]
        lines.append(":".join([*(",".join(one) for one in shown), str(label)]))
    header = {"missing": str(bool(gaps)).lower(), "equalLength": str(equal).lower()}
    header |= {"targetLabel": "true"} if targets else {"classLabel": "true a b c"}
    if channels == 1 or data.draw(st.booleans()):
        header |= {"univariate": str(channels == 1).lower(), "dimensions": str(channels)}
    path = tmp_path_factory.mktemp("ts") / "any.ts"
    path.write_text(text(header, lines))
    file = read_ts(path)
    assert file.labels is not None
    assert file.labels.tolist() == labels
    for read, values in zip(file.series, series, strict=True):
        expected = np.array(values).T
        expected[[k for k in gaps if k < len(expected)]] = np.nan
        np.testing.assert_array_equal(read, expected)


ILL = {
    "no data": (text().partition("@data")[0], 10, "expected @data, got the end of the file"),
    "no series": (text(lines=()), 11, "expected a series, got the end of the file"),
    "nothing": ("", 0, "expected @data"),
    "no word": (text(seriesLenth="3"), 11, "expected one of @problemname, .*got '@seriesLenth'"),
    "a bare line": ("1,2,3:up\n" + text(), 1, "expected one of"),
    "twice": (text().replace("@missing", "@missing false\n@missing"), 6, "each word of the header once"),
    "no flag": (text(missing="no"), 5, "expected @missing true or false, got 'no'"),
    "an empty flag": (text(univariate=""), 6, "expected @univariate true or false, got ''"),
    "no count": (text(dimensions="two"), 7, "expected @dimensions and a whole number from 1, got 'two'"),
    "zero": (text(seriesLength="0"), 9, "expected @seriesLength and a whole number from 1"),
    "no classes": (text(classLabel="true"), 10, "expected @classLabel false, or true and different classes"),
    "equal classes": (text(classLabel="true up up"), 10, "different classes"),
    "two kinds of label": (text(targetLabel="true"), 12, "expected classes or targets"),
    "time stamps": (text(timeStamps="true"), 11, "expected series without time stamps"),
    "univariate": (text(univariate="true"), 11, "expected one channel, .* got @dimensions 2"),
    "too few channels": (
        text(lines=("1,2,3:up",)),
        12,
        "expected 2 channels and a label .*got 1 and a label",
    ),
    "another number of channels": (
        text(dimensions=None, lines=(LINES[0], "1,2,3:up")),
        12,
        "expected 2 channels",
    ),
    "a shorter channel": (text(lines=("1,2,3:1,2:up",)), 12, r"channels of one length, got \[2, 3\] values"),
    "a shorter series": (
        text(lines=(LINES[0], "1,2:1,2:up")),
        13,
        "expected 3 values in each channel, got 2",
    ),
    "a series shorter than the first": (
        text(seriesLength=None, lines=(LINES[0], "1,2:1,2:up")),
        12,
        "expected 3 values",
    ),
    "another class": (
        text(lines=("1,2,3:1,2,3:Up",)),
        12,
        "expected one of the classes 'up, down', got 'Up'",
    ),
    "NaN": (text(lines=(LINES[0], "1,2,3:1,nan,3:up")), 13, "expected no missing value"),
    "a gap": (text(lines=("1,?,3:1,2,3:up",)), 12, "expected no missing value"),
    "infinite": (text(missing="true", lines=("1,inf,3:1,2,3:up",)), 12, r"finite number or \?, got 'inf'"),
    "a word": (text(lines=("1,b,3:1,2,3:up",)), 12, r"expected a finite number or \?, got 'b'"),
    "an empty value": (text(lines=("1,,3:1,2,3:up",)), 12, r"expected a finite number or \?, got ''"),
    "stamped values": (text(lines=("(0,1),(1,2):(0,1):up",)), 12, r"got '\(0'"),
    "no target": (text(classLabel="false", targetLabel="true", lines=("1,2,3:1,2,3:?",)), 13, "as target"),
    "cut in a label": (text()[:-2], 13, "expected one of the classes 'up, down', got 'dow'"),
    "cut in the data": (text()[:-12], 13, "expected one of the classes"),
    "a count without end": (text(seriesLength="1" * 5000), 9, "expected @seriesLength and a whole number"),
    "not text": (text().encode() + b"\xff\xfe", 14, "expected text in UTF-8"),
    "not text in the middle": (text().encode().replace(b"0.5", b"\xe9"), 13, "expected text in UTF-8"),
    "text in UTF-16": (text().encode("utf-16"), 1, "expected text in UTF-8"),
}


@pytest.mark.parametrize("case", ILL)
def test_what_does_not_fit_is_refused_in_one_line_with_file_and_line(case, read, tmp_path):
    content, line, expected = ILL[case]
    with pytest.raises(ValueError, match=expected) as refusal:
        read(content)
    message = str(refusal.value)
    assert "\n" not in message
    assert message.startswith(f"{tmp_path / 'small.ts'}, line {line}: ")


@given(cut=st.integers(1, len(text()) - 1))
def test_a_file_that_ends_too_early_is_refused_or_lacks_whole_series_only(tmp_path_factory, cut):
    whole = read_written(tmp_path_factory, text())
    first = text().index(LINES[0]) + len(LINES[0])
    if cut not in (first, first + 1, len(text()) - 1):
        with pytest.raises(ValueError, match=r"small\.ts, line \d+: expected"):
            read_written(tmp_path_factory, text()[:cut])
        return
    file = read_written(tmp_path_factory, text()[:cut])
    for read, original in zip(file.series, whole.series, strict=False):
        assert np.array_equal(read, original)


def read_written(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("cut") / "small.ts"
    path.write_text(content)
    return read_ts(path)


@samples
@pytest.mark.parametrize(
    ("name", "count", "shapes", "classes"),
    [
        ("ACSF1", 100, {(1460, 1)}, 10),  # of each header: lengths, channels, classes
        ("ArrowHead", 36, {(251, 1)}, 3),
        ("BasicMotions", 40, {(100, 6)}, 4),
        ("CardanoSentiment", 74, {(24, 2)}, 0),
        ("Covid3Month", 140, {(84, 1)}, 0),
        ("GunPoint", 50, {(150, 1)}, 2),
        ("ItalyPowerDemand", 67, {(24, 1)}, 2),
        ("UnitTest", 20, {(24, 1)}, 2),
    ],
)
def test_published_files_have_what_their_headers_say(name, count, shapes, classes):
    file = read_ts(SAMPLES / name / f"{name}_TRAIN.ts")
    assert len(file.series) == count
    assert {one.shape for one in file.series} == shapes
    assert len(file.classes) == classes
    assert file.labels is not None
    if classes:
        assert set(file.labels) == set(file.classes)
    else:
        assert file.labels.dtype == float
    assert np.isfinite(np.concatenate(file.series)).all()


@samples
def test_vowels_are_between_7_and_29_steps_long():
    """30 utterances of each of 9 speakers to train, as its description says; 370 to test."""
    parts = [read_ts(SAMPLES / "JapaneseVowels" / f"JapaneseVowels_{part}.ts") for part in ("TRAIN", "TEST")]
    assert [len(file.series) for file in parts] == [270, 370]
    lengths = [len(one) for file in parts for one in file.series]
    assert (min(lengths), max(lengths)) == (7, 29)
    assert {one.shape[1] for file in parts for one in file.series} == {12}
    assert parts[0].labels is not None
    assert np.unique(parts[0].labels, return_counts=True)[1].tolist() == [30] * 9


@samples
def test_two_formats_of_one_file_agree():
    file = read_ts(SAMPLES / "GunPoint" / "GunPoint_TRAIN.ts")
    table = np.loadtxt(SAMPLES / "GunPoint" / "GunPoint_TRAIN.tsv")
    np.testing.assert_allclose(np.stack(file.series)[..., 0], table[:, 1:], atol=1e-6)
    assert file.labels is not None
    assert file.labels.astype(float).tolist() == table[:, 0].tolist()
