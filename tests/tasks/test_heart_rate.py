"""Heart rates from pulse waves: recordings, windows, their divisions, and what is known without a wave."""

import functools
import hashlib

import numpy as np
import pytest
import torch

from curse_of_memory.tasks import HeartRate, available
from curse_of_memory.tasks.data_files import FILES, find
from curse_of_memory.tasks.heart_pulses import made_recordings
from curse_of_memory.tasks.heart_recordings import RATE, Recordings, read_recordings, read_table
from curse_of_memory.tasks.heart_windows import (
    DIVISIONS,
    PARTS,
    Windows,
    constant_error,
    nearest_error,
    patient_mean_error,
    share_beside_training,
    windows_of,
)

HERE = available("bidmc")
real = pytest.mark.skipif(not HERE, reason="the files of bidmc are not here: CURSE_OF_MEMORY_DATA")
# of the file of indices that was made by torch's random_split twice, `row,split`
INDICES_SHA256 = "6c4b10b12e9ab0bf3cc3bc40844fe9cca4d3204e4616b1841d41fe9271294469"


@pytest.fixture(scope="module")
def made():
    return made_recordings()


@pytest.fixture(scope="module")
def recordings():
    return read_recordings()


@functools.cache
def columns(raw, *wanted):
    """Return columns of a table, read by numpy alone."""
    first, *lines = raw.decode().splitlines()
    names = [name.strip() for name in first.split(",")]
    values = np.array([line.split(",") for line in lines]).astype(float)
    return values[:, [names.index(name) for name in wanted]]


# --- recordings ---------------------------------------------------------------------------------


def check_recordings(found, tables):
    for patient in range(len(found.rates)):
        name = f"bidmc_{patient + 1:02d}"
        waves = columns(tables[f"{name}_PLETH_II.csv"], "PLETH", "II").astype(np.float32)
        np.testing.assert_array_equal(found.signals[patient], waves)
        rates = columns(tables[f"{name}_Numerics.csv"], "HR")[:, 0]
        np.testing.assert_array_equal(found.rates[patient], rates)
    assert np.argwhere(np.isnan(found.rates)).tolist() == [[2, 34]]


def test_the_archive_is_read_whole(small_bidmc):
    check_recordings(read_recordings(), small_bidmc)


def test_published_tables_do_as_well_and_their_columns_are_found_by_name(few_patients, write):
    for name, raw in few_patients.items():
        published = name.replace("PLETH_II", "Signals")
        if published != name:
            waves = columns(raw, "PLETH", "II")
            orders = ["Time [s], RESP, PLETH, V, II", "Time [s], II, RESP, PLETH"]
            first = orders[int(name[6:8]) % 2]
            column = {"PLETH": waves[:, 0], "II": waves[:, 1]}
            table = [column.get(key, np.full(len(waves), 7.0)) for key in first.split(", ")]
            lines = [",".join(f"{value:.3f}" for value in row) for row in np.transpose(table)]
            raw = "\n".join([first, *lines, ""]).encode()
        write("bidmc", published, raw)
    check_recordings(read_recordings(), few_patients)


def test_tables_may_have_the_signs_of_windows():
    plain = b"Time, HR\n0, 80\n1, NaN\n"
    for raw in (plain, plain.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + plain[:-1]):
        np.testing.assert_array_equal(
            read_table("t", raw, ("HR", "Time"), 2, gaps=True), [[80, 0], [np.nan, 1]]
        )


def without(table, line):
    lines = table.splitlines(keepends=True)
    return b"".join(lines[:line] + lines[line + 1 :])


FIRST = b"Time [s], HR, PULSE, RESP, SpO2"
ILL = {
    "no heart rate": ("02_Numerics", lambda t: t.replace(b" HR", b" HF"), "must have the column 'HR', got"),
    "an empty heart rate": (
        "02_Numerics",
        lambda t: FIRST + b"\n" + b"\n".join(b"%d,NaN,1,2,3" % k for k in range(t.count(b"\n") - 1)),
        "must have a number of HR in some row, got none",
    ),
    "no second wave": ("04_PLETH_II", lambda t: t.replace(b"II", b"V"), "must have the column 'II', got"),
    "NaN": (
        "07_PLETH_II",
        lambda t: t.replace(t.splitlines()[4], b"NaN,0.5"),
        "must have finite numbers in every row, got nan as PLETH in row 4",
    ),
    "a number cut off": (
        "07_PLETH_II",
        lambda t: t[: t.rstrip().rindex(b",")],
        "must have finite numbers in every row, got nan as II in row 8876",
    ),
    "a word": (
        "01_PLETH_II",
        lambda t: t.replace(t.splitlines()[9], b"low,0"),
        "must be a table of numbers, but could not convert",
    ),
    "truncated": (
        "06_PLETH_II",
        lambda t: without(t, 5),
        "must have 8876 rows below its first line, got 8875",
    ),
    "seconds missing": (
        "06_Numerics",
        lambda t: without(t, 9),
        "must have 71 rows below its first line, got",
    ),
    "nothing": ("05_PLETH_II", lambda t: b"", "must have the column 'PLETH', got ''"),
    "a column twice": (
        "02_Numerics",
        lambda t: t.replace(b" PULSE", b" HR"),
        "must have the column 'HR' once, got 'Time \\[s\\], HR, HR, RESP",
    ),
    "a column without a name": (  # else all names would stand over the next column
        "02_Numerics",
        lambda t: t.replace(FIRST, b"HR, PULSE, RESP, SpO2"),
        "must be a table of numbers, but Length of header or names does not match length of data",
    ),
    "a number with a sign": (
        "01_PLETH_II",
        lambda t: t.replace(t.splitlines()[9], b"1_0,0"),
        "must be a table of numbers, but cannot safely convert",
    ),
    "an infinite heart rate": (
        "01_Numerics",
        lambda t: t.replace(t.splitlines()[9], b"8,1e400,1,2,3"),
        "must have finite numbers, got inf in row 9|must be a table of numbers",  # older pandas: no number,
    ),
    "no text": ("01_Numerics", lambda t: t.replace(b"[s]", b"[\xb5s]"), ", line 1: expected text in UTF-8"),
}


@pytest.mark.parametrize("what", ILL)
def test_an_ill_table_is_refused_in_one_line_that_names_it(what, few_patients, write, formats):
    table, spoil, expected = ILL[what]
    name = f"bidmc_{table}.csv"
    few_patients[name] = spoil(few_patients[name])
    archive = write("bidmc", "archive", formats.tar(few_patients))
    with pytest.raises(ValueError, match=expected) as refusal:
        read_recordings()
    assert str(refusal.value).startswith(f"{name} in {archive}")
    assert "\n" not in str(refusal.value)


def test_an_archive_without_one_recording_is_refused(few_patients, write, formats):
    few_patients.pop("bidmc_05_Numerics.csv")
    archive = write("bidmc", "archive", formats.tar(few_patients))
    with pytest.raises(
        ValueError, match=r"must have bidmc_05_Numerics\.csv, as of each of 7 patients"
    ) as refusal:
        HeartRate()
    assert str(refusal.value).startswith(str(archive))


def test_an_archive_with_two_tables_of_one_name_is_refused(few_patients, write, formats):
    twice = {f"{folder}/{name}": raw for name, raw in few_patients.items() for folder in ("new", "old")}
    archive = write("bidmc", "archive", formats.tar(twice))
    with pytest.raises(ValueError, match=r"must have bidmc_01_PLETH_II\.csv once, got it twice") as refusal:
        read_recordings()
    assert str(refusal.value).startswith(str(archive))


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_what_is_no_archive_is_refused(content, few_patients, write, formats):
    archive = write("bidmc", "archive", formats.tar(few_patients)[:5000] if content is None else content)
    with pytest.raises(ValueError, match="must be a whole archive, but cannot be read") as refusal:
        HeartRate()
    assert str(refusal.value).startswith(str(archive))
    assert "\n" not in str(refusal.value)


def test_an_archive_with_another_checksum_is_refused(small_bidmc):
    archive = find(FILES["bidmc"]["archive"])
    assert archive is not None
    archive.write_bytes(archive.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match="is not the published file: expected sha256") as refusal:
        HeartRate()
    assert str(refusal.value).startswith(str(archive))


def test_missing_files_are_explained(machine):
    with pytest.raises(
        FileNotFoundError, match=r"bidmc_pleth_ii\.tar\.xz' or 'bidmc_csv/bidmc_01"
    ) as refusal:
        HeartRate()
    assert str(machine.data) in str(refusal.value)
    assert "\n" not in str(refusal.value)


# --- windows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("division", DIVISIONS)
def test_windows_are_cut_every_three_seconds_and_labelled_by_their_last_but_one(division, small_bidmc):
    task = HeartRate(division)
    windows = task.windows
    assert len(task) == 7 * 14 - 1  # the monitor of the third patient fails in the second of window 1
    assert (2, 1) not in set(zip(windows.patient, windows.place, strict=True))
    splits = task.splits(dtype=torch.float64)
    for part, batch in zip(PARTS, splits, strict=True):
        rows = windows.rows(part)
        assert batch.inputs.shape == (len(rows), 4000, 2)
        for row, wave, rate in zip(rows[:9], batch.inputs[:9], batch.targets[:9], strict=False):
            name, place = f"bidmc_{windows.patient[row] + 1:02d}", windows.place[row]
            recorded = columns(small_bidmc[f"{name}_PLETH_II.csv"], "PLETH", "II")
            expected = recorded[375 * place : 375 * place + 4000].astype(np.float32)
            np.testing.assert_array_equal(wave, expected)
            assert rate == columns(small_bidmc[f"{name}_Numerics.csv"], "HR")[3 * place + 31]


def test_the_end_of_a_window_is_read_in_means_and_normalised(small_bidmc):
    whole = HeartRate().splits(dtype=torch.float64).test.inputs
    task = HeartRate(samples=1000, averaged=25)
    assert (task.horizon, task.input_size, task.output_size) == (40, 2, 1)
    means = task.splits(dtype=torch.float64).test.inputs
    torch.testing.assert_close(means, whole[:, 3000:].unflatten(1, (40, 25)).mean(2), rtol=1e-6, atol=1e-6)
    normal = HeartRate(samples=1000, averaged=25, normalised=True).splits(dtype=torch.float64).test.inputs
    expected = (means - means.mean(1, keepdim=True)) / means.std(1, keepdim=True, correction=0)
    torch.testing.assert_close(normal, expected, rtol=1e-3, atol=1e-4)


def test_a_wave_that_stands_still_is_normalised_to_zero(few_patients, write, formats):
    name = "bidmc_01_PLETH_II.csv"
    lines = few_patients[name].count(b"\n") - 1
    few_patients[name] = b"PLETH,II\n" + b"0.25,0.5\n" * lines
    write("bidmc", "archive", formats.tar(few_patients))
    task = HeartRate(averaged=16, normalised=True)
    rows = {part: task.windows.patient[task.windows.rows(part)] for part in PARTS}
    for part, batch in zip(PARTS, task.splits(), strict=True):
        still = torch.from_numpy(rows[part] == 0)
        assert batch.inputs.isfinite().all()
        assert (batch.inputs[still] == 0).all()
        assert (batch.inputs[~still].std(1) > 0.9).all()


def test_smaller_choices_are_parts_of_larger_ones(small_bidmc):
    task = HeartRate(samples=80, averaged=8)
    whole, large, small = task.splits(), task.splits(30, 9, 8), task.splits(10, 5, 10**6)
    assert [len(part.targets) for part in large] == [30, 9, 8]
    assert [len(part.targets) for part in small] == [10, 5, len(whole.test.targets)]
    for one, other in ((small.train, large.train), (large.train, whole.train), (small[1], large[1])):
        inside = {row.numpy().tobytes() for row in other.inputs}
        assert {row.numpy().tobytes() for row in one.inputs} < inside
    assert not torch.equal(task.splits(10, seed=1).train.inputs, small.train.inputs)
    for part, sizes in (("train", (0, 1, 1)), ("validation", (1, 0, 1)), ("test", (1, 1, 0))):
        with pytest.raises(ValueError, match=f"{part} must be at least 1"):
            task.splits(*sizes)


def test_samples_are_different_windows_for_training(small_bidmc):
    task = HeartRate("patients", samples=80, averaged=8)
    rows = task.windows.rows("train")
    x, y = task.sample(len(rows), seed=0)
    assert len({row.numpy().tobytes() for row in x}) == len(rows)
    np.testing.assert_array_equal(np.sort(y[:, 0]), np.sort(task.windows.label[rows]))
    with pytest.raises(ValueError, match=f"size must be at most the {len(rows)} windows for training"):
        task.sample(len(rows) + 1, seed=0)


def test_the_official_division_is_that_of_the_public_code(made):
    """With two generators of torch from one seed; the checksum is of a file that was made elsewhere."""
    windows = windows_of(made, "official", 0)
    assert [len(windows.rows(part)) for part in PARTS] == [5565, 1192, 1192]
    shown = {"train": "train", "validation": "valid", "test": "test"}
    text = "row,split\n" + "".join(f"{row},{shown[part]}\n" for row, part in enumerate(windows.part))
    assert hashlib.sha256(text.encode()).hexdigest() == INDICES_SHA256
    assert np.array_equal(windows_of(made, "official", 5).part, windows.part)


def test_patients_are_in_one_part_only(made):
    windows = windows_of(made, "patients", 0)
    of = [set(windows.patient[windows.rows(part)]) for part in PARTS]
    assert [len(patients) for patients in of] == [38, 7, 8]
    assert set.union(*of) == set(range(53))
    assert np.array_equal(windows_of(made, "patients", 0).part, windows.part)
    assert not np.array_equal(windows_of(made, "patients", 1).part, windows.part)


@pytest.mark.parametrize("division", DIVISIONS)
@pytest.mark.parametrize(
    ("patients", "samples", "seconds", "first"),
    [(1, 4000, 32, 60.0), (53, 3999, 32, 60.0), (53, 4000, 31, 60.0), (53, 4000, 32, np.nan)],
)
def test_recordings_of_which_a_part_has_no_windows_are_refused(division, patients, samples, seconds, first):
    """One window, or none: too short a wave, too few seconds, a monitor that shows nothing."""
    rates = np.full((patients, seconds), first)
    few = Recordings(np.zeros((patients, samples, 2), np.float32), rates)
    with pytest.raises(ValueError, match=r"recordings must have windows for \w+, got none"):
        windows_of(few, division, 0)


def test_windows_can_be_divided_otherwise_without_reading_again(small_bidmc):
    official = HeartRate(samples=80)
    other = official.divided("patients", patients_seed=3)
    twin = HeartRate("patients", samples=80, patients_seed=3)
    assert repr(other) == repr(twin) != repr(official)
    for one, same in zip(other.splits(), twin.splits(), strict=True):
        assert torch.equal(one.inputs, same.inputs)
        assert torch.equal(one.targets, same.targets)
    assert np.array_equal(official.windows.part, HeartRate().windows.part)


# --- what is known without reading a wave ---------------------------------------------------------


def test_errors_without_a_wave_are_those_counted_by_hand():
    """Patient 0 has training windows 0, 4, 6 with rates 60, 70, 80; patient 1 has one, of 90; 2 has none."""
    entries = [
        (0, 0, 60, "train"), (0, 4, 70, "train"), (0, 6, 80, "train"), (1, 0, 90, "train"),
        (0, 1, 62, "test"), (0, 2, 66, "test"), (0, 5, 77, "test"), (1, 9, 95, "test"), (2, 3, 85, "test"),
        (2, 1, 1000, "validation"),
    ]  # fmt: skip
    patient, place, label, part = map(np.array, zip(*entries, strict=True))
    windows = Windows(patient, place, label.astype(float), part)

    def root_mean_square(*errors):
        return np.sqrt(np.mean(np.square(errors)))

    assert constant_error(windows) == pytest.approx(root_mean_square(13, 9, 2, 20, 10))  # 75
    assert patient_mean_error(windows) == pytest.approx(root_mean_square(8, 4, 7, 5, 10))  # 70, 90, 75
    # 60; the earlier one of two that are as near, 60, and 70; 90; 75
    assert nearest_error(windows) == pytest.approx(root_mean_square(2, 6, 7, 5, 10))
    assert share_beside_training(windows) == 2 / 5


@real
def test_of_the_published_recordings_there_are_7949_windows(recordings):
    windows = windows_of(recordings, "official", 0)
    assert len(windows) == 7949
    assert round(windows.label.mean(), 2) == 89.17
    assert round(windows.label.std(), 2) == 13.35
    assert np.argwhere(np.isnan(recordings.rates)).tolist() == [[26, second] for second in range(207, 211)]


@real
def test_most_test_windows_have_a_neighbour_for_training(recordings):
    """Numbers that were counted elsewhere from the same files."""
    windows = windows_of(recordings, "official", 0)
    assert round(constant_error(windows), 2) == 12.98
    assert round(patient_mean_error(windows), 2) == 2.70
    assert round(nearest_error(windows), 2) == 1.86
    assert round(100 * share_beside_training(windows), 1) == 88.8


@real
@pytest.mark.parametrize("seed", range(3))
def test_of_other_patients_nothing_is_known_but_the_mean_of_all(recordings, seed):
    windows = windows_of(recordings, "patients", seed)
    assert patient_mean_error(windows) == nearest_error(windows) == constant_error(windows)
    assert share_beside_training(windows) == 0


# --- the stand-in ---------------------------------------------------------------------------------


def test_made_recordings_have_the_form_of_the_published_ones(made):
    assert made.signals.shape == (53, 60_001, 2)
    assert made.signals.dtype == np.float32
    assert np.isfinite(made.signals).all()
    assert made.rates.shape == (53, 481)
    assert np.argwhere(np.isnan(made.rates)).tolist() == [[26, second] for second in range(207, 211)]
    assert np.nanmin(made.rates) >= 45
    assert np.nanmax(made.rates) <= 139
    again = made_recordings()
    assert np.array_equal(again.signals, made.signals)
    windows = windows_of(made, "official", 0)
    assert len(windows) == 7949
    assert nearest_error(windows) < patient_mean_error(windows) < 4 < 9 < constant_error(windows)


@pytest.mark.parametrize(("channel", "share"), [(0, 0.95), (1, 0.9)])
def test_made_hearts_beat_as_their_monitor_says(made, channel, share):
    """A heartbeat is so narrow that the second harmonic of a slow one is about as strong as the first."""
    check_spectra(made, channel, share)


@real
def test_published_hearts_beat_as_their_monitor_says(recordings):
    """So labels belong to their windows: the strongest period of most pulse waves is that of the monitor."""
    check_spectra(recordings, 0, share=0.75)


def check_spectra(recordings, channel, share):
    """Hold the peaks of spectra over 32 seconds, one bin of which is 1.9 beats a minute, against labels."""
    start, bpm = 375 * 40, 60 * np.fft.rfftfreq(4000, 1 / RATE)
    waves = recordings.signals[:, start : start + 4000, channel]
    spectra = np.abs(np.fft.rfft((waves - waves.mean(1, keepdims=True)) * np.hanning(4000)))
    band = (bpm > 45) & (bpm < 145)
    strongest = bpm[band][spectra[:, band].argmax(1)]
    rate = recordings.rates[:, 3 * 40 : 3 * 40 + 32].mean(1)
    assert (np.abs(strongest - rate) < 4).mean() > share


def test_the_task_says_what_stands_in(machine):
    task = HeartRate(samples=80, data="auto")
    assert task.stand_in == "pulse waves of made patients, in place of the BIDMC recordings"
    assert "stand-in" in repr(task)
    assert task.splits(5, 5, 5).train.inputs.shape == (5, 80, 2)
