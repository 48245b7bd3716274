"""EigenWorms: how its files are known, its divisions, and what stands in for it."""

import numpy as np
import pytest
import torch

from curse_of_memory.tasks import EigenWorms, eigenworms
from curse_of_memory.tasks.crawling import COUNTS, STRAINS, crawling_worms
from curse_of_memory.tasks.data_files import FILES, available, fetch_form, files_read

STEPS, CHANNELS = 5, 2  # of the small files that are taken for EigenWorms


def values(row):
    """Return series no. `row`, which says its number in every value."""
    return row + 0.1 * np.arange(CHANNELS)[:, None] + 0.01 * np.arange(STEPS)


def ts(rows, labels, steps=STEPS):
    lines = ["@univariate false", "@classLabel true 1 2 3 4 5", "@data"]
    for row, label in zip(rows, labels, strict=True):
        shown = [",".join(f"{value:.2f}" for value in one[:steps]) for one in values(row)]
        lines.append(":".join([*shown, label]))
    return "\n".join(lines).encode()


def arff(rows, labels, gap=False):
    lines = ["@relation w", "@attribute r relational"]
    lines += [f"@attribute a{k} numeric" for k in range(STEPS)]
    lines += ["@end r", "@attribute class {1,2,3,4,5}", "@data"]
    for row, label in zip(rows, labels, strict=True):
        shown = "\\n".join(",".join(f"{value:.2f}" for value in one) for one in values(row))
        lines.append(f"'{shown.replace('0.00', '?') if gap else shown}',{label}")
    return "\n".join(lines).encode()


LABELS = np.array(list("54321") * 52)[:259]
TRAIN, TEST = range(128), range(128, 259)


@pytest.fixture
def put(machine, monkeypatch):
    """Write a file of the set; those of EigenWorms are smaller than published."""
    monkeypatch.setattr(eigenworms, "STEPS", STEPS)
    monkeypatch.setattr(eigenworms, "CHANNELS", CHANNELS)

    def writer(key, content):
        path = machine.data / FILES["eigenworms"][key].path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return writer


@pytest.fixture
def whole(put):
    put("EigenWorms_TRAIN.ts", ts(TRAIN, LABELS[:128]))
    put("EigenWorms_TEST.ts", ts(TEST, LABELS[128:]))


@pytest.fixture
def small_worms(write):
    """UCR Worms of four steps, 12 and 7: the first value of each is its number."""
    rows = [[f"{1 + k % 5}", f"{k}", "0", "0.5", "1"] for k in range(19)]
    for part, some in (("TRAIN", rows[:12]), ("TEST", rows[12:])):
        write("eigenworms", f"Worms_{part}.tsv", "\n".join("\t".join(row) for row in some).encode())


def numbers(part):
    return [round(float(first)) for first in part.inputs[:, 0, 0]]


def test_the_official_division_is_that_of_the_public_code(whole):
    """Twice scikit-learn's train_test_split, .3 and then a half, of state 1234; the first half selects."""
    split = pytest.importorskip("sklearn.model_selection").train_test_split
    train, rest = split(np.arange(259), test_size=0.3, random_state=1234)
    validation, test = split(rest, test_size=0.5, random_state=1234)
    task = EigenWorms()
    for part, rows in zip(task.splits, (train, validation, test), strict=True):
        assert numbers(part) == sorted(rows)
        assert [task.classes[k] for k in part.targets] == [LABELS[k] for k in sorted(rows)]
    assert task.classes == tuple("12345")
    assert (task.stand_in, task.stand_in_is_real) == ("", False)
    assert (task.horizon, task.input_size, task.output_size) == (STEPS, CHANNELS, 5)
    torch.testing.assert_close(task.splits.train.inputs[0], torch.from_numpy(values(min(train)).T).float())


def test_the_division_of_the_archive_keeps_its_test_series(whole):
    train, validation, test = EigenWorms("archive").splits
    assert numbers(test) == list(TEST)
    assert len(validation.targets) == 128 // 5
    assert sorted(numbers(train) + numbers(validation)) == list(TRAIN)


def test_both_formats_are_one_set(put, whole):
    from_ts = EigenWorms().splits
    for part in ("TRAIN", "TEST"):
        path = put(f"EigenWorms_{part}.ts", b"")
        path.unlink()
    assert not available("eigenworms")
    put("EigenWorms_TRAIN.arff", arff(TRAIN, LABELS[:128]))
    assert not available("eigenworms")  # half of it is not enough
    put("EigenWorms_TEST.arff", arff(TEST, LABELS[128:]))
    assert available("eigenworms")
    for one, other in zip(from_ts, EigenWorms().splits, strict=True):
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.targets, other.targets)


@pytest.mark.parametrize(
    ("key", "content", "expected"),
    [
        (
            "EigenWorms_TRAIN.ts",
            ts(TRAIN, LABELS[:128], steps=4),
            r"expected series of 5 steps and 2 channels",
        ),
        (
            "EigenWorms_TRAIN.ts",
            ts(TRAIN, LABELS[:128]).replace(b"4 5", b"4 5 6"),
            "in 5 classes, got .* in 6",
        ),
        ("EigenWorms_TEST.ts", ts(TEST, LABELS[128:])[:-9], r"EigenWorms_TEST\.ts, line 134: expected"),
        (
            "EigenWorms_TEST.ts",
            ts(TEST[:-1], LABELS[128:-1]),
            r"EigenWorms_TEST\.ts is not of EigenWorms: expected 131 series to test, got 130",
        ),
        (  # the other part
            "EigenWorms_TRAIN.ts",
            ts(TEST, LABELS[128:]),
            r"EigenWorms_TRAIN\.ts is not of EigenWorms: expected 128 series to train, got 131",
        ),
        (
            "EigenWorms_TEST.ts",
            ts(TEST, [f"{label}.0" for label in LABELS[128:]]).replace(
                b" 1 2 3 4 5", b" 1.0 2.0 3.0 4.0 5.0"
            ),
            "must name the same 5 classes, got '1 1.0 2 2.0",
        ),
        ("EigenWorms_TRAIN.ts", ts(TRAIN, LABELS[:128]).replace(b":0.10", b":1e39"), "or more than float32"),
        ("EigenWorms_TEST.ts", b"", "line 0: expected @data"),
    ],
)
def test_a_file_with_other_content_is_refused_in_one_line(put, whole, key, content, expected):
    put(key, content)
    with pytest.raises(ValueError, match=expected) as refusal:
        EigenWorms()
    assert "\n" not in str(refusal.value)


def test_a_series_with_gaps_is_refused(put):
    put("EigenWorms_TRAIN.arff", arff(TRAIN, LABELS[:128], gap=True))
    put("EigenWorms_TEST.arff", arff(TEST, LABELS[128:]))
    with pytest.raises(ValueError, match=r"EigenWorms_TRAIN\.arff is not of .*no missing value, got NaN"):
        EigenWorms()


def test_without_eigenworms_the_ucr_worms_stand_in(small_worms):
    task = EigenWorms(data="auto")
    assert task.stand_in.startswith("UCR Worms, ")
    assert task.stand_in.endswith(" in place of EigenWorms")
    assert task.stand_in_is_real
    assert "UCR Worms" in repr(task)
    train, validation, test = task.splits
    assert numbers(train) == list(range(12))
    assert train.targets.tolist() == [k % 5 for k in range(12)]
    assert (len(validation.targets), len(test.targets)) == (4, 3)  # the half that selects is not the smaller
    assert sorted(numbers(validation) + numbers(test)) == list(range(12, 19))
    assert numbers(EigenWorms("archive").splits.test) == list(range(12, 19))


def test_the_best_that_is_here_is_read(put, small_worms):
    assert set(fetch_form("eigenworms")) == {"Worms_TRAIN.tsv", "Worms_TEST.tsv"}
    before = files_read("eigenworms")
    put("EigenWorms_TRAIN.ts", ts(TRAIN, LABELS[:128]))
    assert files_read("eigenworms") == before
    put("EigenWorms_TEST.ts", ts(TEST, LABELS[128:]))
    assert set(fetch_form("eigenworms")) == {"EigenWorms_TRAIN.ts", "EigenWorms_TEST.ts"}
    assert EigenWorms().stand_in == ""
    read = files_read("eigenworms")
    assert set(read) == {FILES["eigenworms"][f"EigenWorms_{part}.ts"].path for part in ("TRAIN", "TEST")}
    put("EigenWorms_TEST.ts", ts(TEST, LABELS[:131]))  # its own checksum is another then
    assert [path for path, code in files_read("eigenworms").items() if code != read[path]] == [
        FILES["eigenworms"]["EigenWorms_TEST.ts"].path
    ]


def test_damaged_worms_are_refused_by_their_checksum(small_worms, machine):
    path = machine.data / FILES["eigenworms"]["Worms_TEST.tsv"].path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"Worms_TEST\.tsv is not the published file"):
        EigenWorms()


def test_where_nothing_is_all_forms_are_named_and_made_worms_stand_in(machine):
    with pytest.raises(FileNotFoundError, match="no address to download it from") as refusal:
        EigenWorms(data="real")
    message = str(refusal.value)
    assert "\n" not in message
    for name in ("EigenWorms_TRAIN.ts", "EigenWorms_TRAIN.arff", "Worms_TRAIN.tsv", str(machine.data)):
        assert name in message
    task = EigenWorms(data="auto")
    assert task.stand_in == "crawling worms of a generator, in place of EigenWorms"
    assert not task.stand_in_is_real
    assert machine.asked == []


def test_half_of_the_files_are_not_said_to_be_away(put):
    put("EigenWorms_TRAIN.ts", ts(TRAIN, LABELS[:128]))
    with pytest.raises(
        FileNotFoundError, match=r"EigenWorms_TEST\.ts' or .*EigenWorms_TRAIN\.arff"
    ) as refusal:
        EigenWorms()
    assert "EigenWorms_TRAIN.ts" not in str(refusal.value)


def test_steps_are_taken_evenly(machine):
    whole = EigenWorms(data="stand-in").splits.test.inputs
    for horizon, stride in ((900, 1), (10**6, 1), (300, 3), (299, 4)):
        task = EigenWorms(data="stand-in", horizon=horizon)
        assert torch.equal(task.splits.test.inputs, whole[:, ::stride])
        assert task.horizon == len(whole[0, ::stride]) <= horizon
        assert task.steps == 900


def test_the_largest_class_is_that_of_the_training_series(machine):
    task = EigenWorms("archive", data="stand-in")
    assert task.largest_class() == pytest.approx(33 / 77)


def test_samples_are_different_training_series(small_worms):
    task = EigenWorms()
    x, y = task.sample(12, seed=3, dtype=torch.float64)
    assert x.dtype == torch.float64
    assert sorted(x[:, 0, 0].tolist()) == list(range(12))
    assert [int(k) % 5 for k in x[:, 0, 0]] == y.tolist()
    assert torch.equal(task.sample(5, seed=(3, 1)).inputs, task.sample(5, seed=(3, 1)).inputs)
    with pytest.raises(ValueError, match="size must be at most the 12 training series, got 13"):
        task.sample(13, seed=0)


def test_made_worms_have_the_form_of_the_ucr_worms():
    for part, count in (("train", 181), ("test", 77)):
        series, labels = crawling_worms(part)
        assert series.shape == (count, 900, 1)
        assert series.dtype == np.float32
        np.testing.assert_allclose(series.mean(1), 0, atol=1e-5)
        np.testing.assert_allclose(series.std(1), 1, atol=1e-4)
        names, counts = np.unique(labels, return_counts=True)
        assert (tuple(names), tuple(counts)) == (tuple(STRAINS), COUNTS[part])
    assert np.array_equal(series, crawling_worms("test")[0])  # the last was of the test set


def test_the_wave_of_a_made_worm_has_the_frequency_of_its_strain():
    """Where bends are small and reversals rare: strain 1 crawls a period in 20 steps, but for its jitter."""
    series, labels = crawling_worms("train")
    power = (np.abs(np.fft.rfft(series[labels == "1", :, 0], axis=1)) ** 2).mean(0)
    peak = np.fft.rfftfreq(900)[power.argmax()]
    assert peak == pytest.approx(STRAINS["1"][0], rel=0.1)
