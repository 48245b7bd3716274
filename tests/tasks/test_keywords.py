"""Spoken keywords: files in the form of the published ones, who is heard where, and what is refused."""

import gzip
import io
import lzma
import tarfile
import wave as standard

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from curse_of_memory.tasks import Keywords, available, keyword_files
from curse_of_memory.tasks.data_files import FILES, find
from curse_of_memory.tasks.keyword_files import (
    CLASSES,
    Clips,
    class_of,
    listed,
    read_clips,
    speaker_of,
    whole_collection,
)
from curse_of_memory.tasks.keywords import listed_shares, speaker_split
from curse_of_memory.tasks.mel_features import keyword_features
from curse_of_memory.tasks.synthetic_words import synthetic_words
from curse_of_memory.tasks.wave_files import read_wave

SPEAKERS = 8
needs_clips = pytest.mark.skipif(
    not available("speech_commands"), reason="no Speech Commands on this machine"
)
needs_lists = pytest.mark.skipif(
    not all(find(FILES["speech_commands"][key]) for key in ("testing_list", "validation_list")),
    reason="no lists of Speech Commands here",
)


def wave(samples, rate=16000):
    packed = io.BytesIO()
    wavfile.write(packed, rate, samples)
    return packed.getvalue()


def noise(seed, length=1200):
    return np.random.default_rng(seed).integers(-2000, 2000, length).astype(np.int16)


def archive(members, pack=gzip.compress):
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as made:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return pack(plain.getvalue())


def published_set():
    """Each of some speakers says all words once; names are as in the published set."""
    members = {"README.md": b"words", "LICENSE": b"free"}
    for who in range(SPEAKERS):
        for number, word in enumerate(CLASSES[2:]):
            members[f"{word}/{who:08x}_nohash_0.wav"] = wave(noise((who, number)))
        members[f"_unknown_/nine_{who:08x}_nohash_1.wav.wav"] = wave(noise((who, 90)))
        members[f"_silence_/{1000 + who}.wav"] = wave(noise((who, 91)))
    return members


def whole():
    """Three speakers, of whom one validates and one is tested, and noise that is longer than a clip."""
    members = {"_background_noise_/tap.wav": wave(noise(5, 20_000)), "_background_noise_/README.md": b"noise"}
    words = ("yes", "cat", "go")
    for who in "abc":
        for number, word in enumerate(words):
            members[f"{word}/{who}_nohash_0.wav"] = wave(
                noise((ord(who), number), 1000 + 16000 * (number == 2))
            )
    lists = {
        name: "\n".join(f"{word}/{who}_nohash_0.wav" for word in words)  # without an end of the last line
        for name, who in (("testing_list.txt", "c"), ("validation_list.txt", "b"))
    }
    return members | {name: text.encode() for name, text in lists.items()}


@pytest.fixture
def small_set(write):
    members = published_set()
    write("speech_commands", "clips", archive(members, lzma.compress))
    return members


def put_folder(machine, members):
    for name, content in members.items():
        place = machine.data / "speech_commands_v0.02" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


# --- names and sounds -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "label", "speaker"),
    [
        ("yes/022cd682_nohash_0.wav", 2, "022cd682"),
        ("go/ab_nohash_12.wav", 11, "ab"),
        ("bed/022cd682_nohash_0.wav", 0, "022cd682"),
        ("_unknown_/nine_4f8ef132_nohash_1.wav.wav", 0, "4f8ef132"),
        ("_silence_/1024.wav", 1, "_silence_/1024.wav"),
        ("_background_noise_/pink_noise.wav", 1, "_background_noise_/pink_noise.wav"),
    ],
)
def test_names_tell_class_and_speaker(name, label, speaker):
    assert class_of(name) == label
    assert speaker_of(name) == speaker


def test_a_name_without_a_speaker_is_refused():
    with pytest.raises(ValueError, match=r"<speaker>_nohash_<number>.wav, got 'yes/hello.wav'"):
        speaker_of("yes/hello.wav")


def test_the_last_line_of_a_list_may_lack_its_end():
    names = ["yes/a_nohash_0.wav", "no/b_nohash_1.wav"]
    for text in ("\n".join(names), "\r\n".join(names) + "\r\n"):
        assert listed(text.encode(), "some.txt") == names


def chunk(name, content):
    return name + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)


def with_chunks(plain, before=b"", behind=b""):
    """A wav file with other chunks before its samples and behind them, as programs for sounds write them."""
    body = plain[8:36] + before + plain[36:] + behind
    return chunk(b"RIFF", body)


def with_sizes(plain, whole=None, data=None):
    """A wav file with other sizes in its header, of all and of the samples."""
    whole = plain[4:8] if whole is None else whole.to_bytes(4, "little")
    return plain[:4] + whole + plain[8:40] + (data or 0).to_bytes(4, "little") + plain[44:]


def by_the_standard_library(samples):
    packed = io.BytesIO()
    with standard.open(packed, "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", "not compressed"))
        file.writeframes(samples.tobytes())
    return packed.getvalue()


WRITTEN = {
    "scipy": wave,
    "the standard library": by_the_standard_library,
    "the other order of bytes": lambda samples: wave(samples.astype(">i2")),
    "what scipy knows": lambda samples: with_chunks(wave(samples), chunk(b"LIST", b"INFOICMT")),
    "what scipy does not know": lambda samples: with_chunks(
        wave(samples), chunk(b"bext", b"a" * 600), chunk(b"cue ", b"\0" * 5)
    ),
    "some bytes behind a long sound": lambda samples: wave(samples) + b"TAG of a player",
}


@pytest.mark.parametrize("by", WRITTEN)
def test_samples_are_those_that_were_written(by):
    samples = noise(0, 16_000)
    found = read_wave(WRITTEN[by](samples), "one.wav")
    assert found.dtype == np.dtype(np.int16)
    np.testing.assert_array_equal(found, samples)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (wave(noise(0), rate=8000), "one.wav must have 16000 samples a second, got 8000"),
        (wave(np.stack([noise(0), noise(1)], 1)), "one.wav must have one channel, got 2"),
        (wave(noise(0).astype(np.float32)), "one.wav must have samples of 16 bits, got float32"),
        (wave(noise(0))[:-700], "one.wav must be a whole wav file"),
        (wave(noise(0))[:20], "one.wav must be a whole wav file"),
        (b"", "one.wav must be a whole wav file"),
        (wave(noise(0, 512)), "one.wav must have 513 samples at least, got 512"),
        (wave(noise(0, 0)), "one.wav must have 513 samples at least, got 0"),
        (with_sizes(wave(noise(0)), 236, 200), "its header does not fit: 100 samples in 2444 bytes"),
        (with_sizes(wave(noise(0)), data=200), "one.wav must be a whole wav file"),
        (with_sizes(wave(noise(0)), 36, 0), "its header does not fit: 0 samples in 2444 bytes"),
        (with_sizes(wave(noise(0)), 2**32 - 1, 2**32 - 1), "one.wav must be a whole wav file"),
        (b"not a sound at all", "one.wav must be a whole wav file"),
    ],
)
def test_other_sounds_are_refused_in_one_line(content, message):
    with pytest.raises(ValueError, match=message) as refusal:
        read_wave(content, "one.wav")
    assert "\n" not in str(refusal.value)


# --- the division by speakers ---------------------------------------------------------------------


def test_clips_are_read_with_their_classes_and_speakers(small_set):
    clips = read_clips()
    names = sorted(name for name in small_set if name.endswith(".wav"))
    assert clips.labels.tolist() == [class_of(name) for name in names]
    assert clips.speakers == [speaker_of(name) for name in names]
    for name, sound in zip(names, clips.sounds, strict=True):
        np.testing.assert_array_equal(sound, read_wave(small_set[name], name))


def test_nobody_is_heard_in_two_parts():
    clips = synthetic_words()
    for seed in range(5):
        parts = speaker_split(clips, split_seed=seed)
        rows = np.concatenate(parts)
        assert np.sort(rows).tolist() == list(range(len(clips.labels)))
        who = [{clips.speakers[row] for row in part} for part in parts]
        assert not who[0] & who[1] | who[0] & who[2] | who[1] & who[2]
        shares = np.array([len(part) for part in parts]) / len(clips.labels)
        np.testing.assert_allclose(shares, [0.68, 0.17, 0.15], atol=0.5 / 20 + 1e-9)  # of 20 speakers
    assert set(parts[2]) != set(speaker_split(clips, split_seed=9)[2])


def test_of_each_class_as_many_are_kept_as_are_asked_for():
    clips = synthetic_words()
    rows = np.concatenate(speaker_split(clips, clips_per_class=7))
    assert np.bincount(clips.labels[rows]).tolist() == [7] * 12
    assert len(set(rows)) == len(rows)


def test_one_speaker_is_not_enough_for_three_parts():
    with pytest.raises(ValueError, match="clips must be of enough speakers that some are for testing, got 2"):
        speaker_split(Clips([noise(0)] * 4, np.arange(4), ["a", "a", "b", "b"]))


def test_features_and_classes_are_those_of_the_clips_of_a_part(small_set):
    task = Keywords()
    assert (task.split, task.published, task.stand_in) == ("speakers", 12 * SPEAKERS, "")
    assert repr(task).startswith("Keywords('speakers', clips=")
    assert task.part == f"{12 * SPEAKERS} of 105 829 clips"
    assert Keywords(data="stand-in").part == ""
    clips = read_clips()
    for part, rows in zip(task.splits, speaker_split(clips), strict=True):
        assert part.targets.tolist() == clips.labels[rows].tolist()
        torch.testing.assert_close(part.inputs, keyword_features([clips.sounds[row] for row in rows]))
    assert Keywords("auto", data="auto").split == "speakers"


# --- the official division ------------------------------------------------------------------------


@pytest.fixture(params=["packed", "unpacked"])
def collection(request, machine, write, monkeypatch):
    """Puts the whole collection where it is looked for; it is smaller than published."""
    monkeypatch.setattr(keyword_files, "PUBLISHED", {"validation": 3, "test": 3, "train": 4})

    def putter(members):
        if request.param == "packed":
            write("speech_commands", "whole", archive(members))
        else:
            put_folder(machine, members)

    return putter


@pytest.mark.parametrize("split", ["official", "auto"])
@pytest.mark.parametrize("data", ["real", "auto"])
def test_lists_name_what_validates_and_what_is_tested_and_all_else_is_for_training(collection, split, data):
    members = whole()
    assert whole_collection() is None
    collection(members)
    assert whole_collection() is not None
    task = Keywords(split, data=data)
    assert (task.split, task.published, task.part) == ("official", 10, "")
    assert task.splits.test.targets.tolist() == task.splits.validation.targets.tolist() == [2, 0, 11]
    assert sorted(task.splits.train.targets.tolist()) == [0, 1, 2, 11]
    sounds = [read_wave(members[f"{word}/c_nohash_0.wav"], word) for word in ("yes", "cat", "go")]
    torch.testing.assert_close(task.splits.test.inputs, keyword_features(sounds))
    noise_row = task.splits.train.targets.tolist().index(1)
    exact = keyword_features([read_wave(members["_background_noise_/tap.wav"], "tap")])[0]
    torch.testing.assert_close(task.splits.train.inputs[noise_row], exact)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"testing_list.txt": b"yes/c_nohash_0.wav\nno/z_nohash_0.wav"},
            "names 'no/z_nohash_0.wav', which is not",
        ),
        ({"validation_list.txt": b"\n"}, "the part 'validation' of .* must have 3 clips, got 0"),
        (  # a list that was cut between two lines: the others would be for training
            {"testing_list.txt": b"yes/c_nohash_0.wav\n"},
            "the part 'test' of .* must have 3 clips, got 1",
        ),
        ({"cat/a_nohash_0.wav": None}, "the part 'train' of .* must have 4 clips, got 3"),
        ({"notes.wav": wave(noise(1))}, "the part 'train' of .* must have 4 clips, got 5"),
        (
            {"testing_list.txt": b"yes/c_nohash_0.wav\ngo/c_nohash_0.wav\nyes/c_nohash_0.wav"},
            "'testing_list.txt' of .* must name each clip once, got 'yes/c_nohash_0.wav' twice",
        ),
        (
            {"testing_list.txt": b"yes/b_nohash_0.wav"},
            "'testing_list.txt' of .* names 'yes/b_nohash_0.wav', which is in the other list, too",
        ),
        (
            {"testing_list.txt": b"yes/c_nohash_0.wav\n\xfc"},
            "'testing_list.txt' of .*, line 2: expected text in UTF-8",
        ),
        ({"cat/a_nohash_0.wav": wave(noise(1, 500))}, "'cat/a_nohash_0.wav' of .* must have 513 samples"),
        ({"testing_list.txt": None}, "must have the list 'testing_list.txt', and has none"),
        ({"cat/a_nohash_0.wav": wave(noise(1), 8000)}, "'cat/a_nohash_0.wav' of .* must have 16000 samples"),
    ],
)
def test_a_collection_that_does_not_fit_its_lists_is_refused_in_one_line(collection, change, message):
    collection({name: content for name, content in (whole() | change).items() if content is not None})
    with pytest.raises(ValueError, match=message) as refusal:
        Keywords("official")
    assert "\n" not in str(refusal.value)


# --- what is refused, and where it was looked for ---------------------------------------------------


def test_missing_files_are_explained(machine):
    for split, name in (("speakers", "100_per_class"), ("official", "speech_commands_v0.02.tar.gz")):
        with pytest.raises(FileNotFoundError, match="put it into a folder as") as refusal:
            Keywords(split)
        assert name in str(refusal.value)
        assert str(machine.data) in str(refusal.value)
    assert Keywords("auto", data="auto", clips_per_class=4).stand_in


def test_damaged_archives_are_refused(machine, write, small_set):
    path = machine.data / FILES["speech_commands"]["clips"].path
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(ValueError, match=r"per_class\.tar\.xz is not the published file"):
        Keywords()
    for broken in (content[:-2000], b"no archive", lzma.compress(b"not what it says it is" * 100)):
        write("speech_commands", "clips", broken)
        with pytest.raises(ValueError, match="must be a whole archive, but cannot be read") as refusal:
            Keywords()
        assert "\n" not in str(refusal.value)
    write("speech_commands", "clips", archive({"README.md": b"nothing"}, lzma.compress))
    with pytest.raises(ValueError, match="must have clips in it, got none"):
        Keywords()


def test_the_stand_in_has_no_official_division(machine):
    with pytest.raises(ValueError, match="split must be 'speakers' or 'auto' of data='stand-in'"):
        Keywords("official", data="stand-in")


# --- the stand-in -----------------------------------------------------------------------------------


def test_synthetic_words_have_the_form_of_clips_and_can_be_told_apart(machine):
    task = Keywords(data="stand-in")
    assert task.stand_in == "formant sweeps of twelve kinds, in place of Speech Commands"
    assert "stand-in" in repr(task)
    assert [part.inputs.shape[1:] for part in task.splits] == [(126, 80)] * 3
    assert torch.cat([part.targets for part in task.splits]).bincount().tolist() == [40] * 12
    # spectra without time, by the nearest class mean: better than chance, and not perfect
    train, test = task.splits.train, task.splits.test
    means = torch.stack([train.inputs[train.targets == one].mean((0, 1)) for one in range(12)])
    found = torch.cdist(test.inputs.mean(1), means).argmin(1)
    share = (found == test.targets).double().mean().item()
    assert 0.25 < share < 0.95


# --- the real files ---------------------------------------------------------------------------------


@needs_lists
def test_most_of_the_official_clips_are_unknown_and_none_is_silent():
    """6931 of 11 005 to test and 6278 of 9981 to validate by, as counted in the published lists."""
    for part, unknown, count in (("test", 6931, 11_005), ("validation", 6278, 9981)):
        shares = listed_shares(part)
        assert shares["unknown"] == unknown / count
        assert shares["silence"] == 0
        assert abs(sum(shares.values()) - 1) < 1e-12
        assert list(shares) == list(CLASSES)
    with pytest.raises(ValueError, match="part must be one of 'validation', 'test'"):
        listed_shares("train")


@pytest.mark.slow
@needs_clips
def test_the_real_clips_are_of_one_second_and_their_classes_can_be_heard():
    clips = read_clips()
    counts = np.bincount(clips.labels)
    assert counts.min() >= 100
    if len(clips.labels) == 1200:
        assert len({who for who in clips.speakers if "_silence_" not in who}) == 211
    assert {len(sound) for sound in clips.sounds} == {16000}
    task = Keywords(clips_per_class=50)
    train, test = task.splits.train, task.splits.test
    means = torch.stack([train.inputs[train.targets == one].mean(0).flatten() for one in range(12)])
    found = torch.cdist(test.inputs.flatten(1), means).argmin(1)
    assert (found == test.targets).double().mean() > 2 / 12
