"""The format .arff: relational and flat files, and headers that do not fit their data."""

import os
from pathlib import Path

import numpy as np
import pytest

from curse_of_memory.tasks.arff_files import read_arff
from curse_of_memory.tasks.data_files import VARIABLE
from curse_of_memory.tasks.ts_files import read_ts

SAMPLES = Path(os.environ.get(VARIABLE) or "nowhere") / "time_series"

NESTED = """% a comment
@relation 'Small'

@attribute relationalAtt relational
@attribute att0 numeric
@attribute att1 numeric
@attribute att2 numeric
@end relationalAtt
@attribute class {up,down}

@data

'1,2,3\\n-1,-2,-3',up
'0.5,1e3,?\\n4,5,6',down
"""
FLAT = """@relation Small
@attribute att0 numeric
@attribute att1 numeric
@attribute target numeric
@data
1,2,0.5
3,4,-7
"""


@pytest.fixture
def read(tmp_path):
    """Write a text to a file and read it."""

    def reader(content):
        (tmp_path / "small.arff").write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_arff(tmp_path / "small.arff")

    return reader


def test_channels_are_the_lines_of_a_relation(read):
    file = read(NESTED)
    np.testing.assert_array_equal(file.series[0], [[1, -1], [2, -2], [3, -3]])
    np.testing.assert_array_equal(file.series[1], [[0.5, 4], [1000, 5], [np.nan, 6]])
    assert file.labels is not None
    assert file.labels.tolist() == ["up", "down"]
    assert file.classes == ("up", "down")


def test_of_one_channel_attributes_are_its_steps(read):
    file = read(FLAT)
    assert [one.tolist() for one in file.series] == [[[1], [2]], [[3], [4]]]
    assert file.labels is not None
    assert file.labels.tolist() == [0.5, -7]
    assert file.classes == ()


@pytest.mark.parametrize("class_", ["up there", "up,there"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_classes_may_have_blanks_and_commas_in_quotes(class_, end, read):
    quoted = f"'{class_}'"
    nested = NESTED.replace("{up,", f"{{{quoted},").replace("',up", f"',{quoted}")
    flat = FLAT.replace("target numeric", f"target {{{quoted},down}}")
    flat = flat.replace("0.5", quoted).replace("-7", "down")
    for content in (nested, flat):
        file = read(content.replace("\n", end))
        assert file.labels is not None
        assert file.labels.tolist() == [class_, "down"]
        assert file.classes == (class_, "down")
        assert len(file.series) == 2


ILL = {
    "nothing": ("", "expected a header and data"),
    "no data": (NESTED.partition("@data")[0], "expected a header and data"),
    "no series": (NESTED.partition("@data")[0] + "@data\n", "expected"),
    "another class": (NESTED.replace(",up", ",Up"), "Up value not in"),
    "a word": (NESTED.replace("-2", "two"), "expected a header and data that fit it, got .*two"),
    "a value too few": (NESTED.replace("1,2,3", "1,2"), "expected a header and data that fit it"),
    "an attribute too few": (
        NESTED.replace("@attribute att2 numeric\n", ""),
        r"line 12: expected 2 values in each channel, got \[3\]",
    ),
    "a column too many": (FLAT.replace("1,2,", "1,2,2,"), r"expected"),
    "a channel too few": (NESTED.replace("\\n4,5,6", ""), r"as many channels in every series, got \[1, 2\]"),
    "cut in a label": (NESTED[:-3], "do value not in"),
    "cut in the data": (NESTED[:-12], "expected"),
    "no class": (NESTED.replace(",up", ",?"), r"expected a class of every series, got '\?'"),
    "no target": (FLAT.replace("0.5", "?"), r"expected a number as target of every series, got \?"),
    "an infinite target": (FLAT.replace("-7", "inf"), "expected a number as target of every series"),
    "an infinite value": (NESTED.replace("4,5", "1e400,5"), r"got an infinite one in series 2"),
    "a number with a sign": (NESTED.replace("1e3", "1_0"), "line 14: expected numbers, got one with a _"),
    "not text": (NESTED.encode().replace(b"'Small'", b"'Gr\xfcn'"), "expected a header and data that fit it"),
    "no series but words": (FLAT.replace("att0 numeric", "att0 {1,3}"), "in one relational or in numeric"),
}


@pytest.mark.parametrize("case", ILL)
def test_what_does_not_fit_is_refused_in_one_line_with_the_file(case, read, tmp_path):
    content, expected = ILL[case]
    with pytest.raises(ValueError, match=expected) as refusal:
        read(content)
    message = str(refusal.value)
    assert "\n" not in message
    assert message.startswith(str(tmp_path / "small.arff"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.arff"):
        read_arff(tmp_path / "nowhere.arff")


@pytest.mark.skipif(not (SAMPLES / "BasicMotions").is_dir(), reason="no sample files here")
@pytest.mark.parametrize("part", ["TRAIN", "TEST"])
def test_both_formats_of_a_published_file_agree(part):
    ts = read_ts(SAMPLES / "BasicMotions" / f"BasicMotions_{part}.ts")
    other = read_arff(SAMPLES / "BasicMotions" / f"BasicMotions_{part}.arff")
    np.testing.assert_array_equal(np.stack(other.series), np.stack(ts.series))
    np.testing.assert_array_equal(other.labels, ts.labels)
    assert other.classes == ts.classes
