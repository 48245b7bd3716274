"""The Penn Treebank: its numbers, what is refused, and its stand-in. No word of it stands here."""

import gzip

import pytest
import torch

from curse_of_memory.tasks import PennTreebank, available, grammar
from curse_of_memory.tasks.data_files import FILES
from curse_of_memory.tasks.penn_treebank import LEVELS
from tests.tasks.conftest import tar

LINES = {"train": " a b a \n b c a <unk> \n" * 3, "valid": " a c \n", "test": " c \n b a \n"}
SPELT = {"train": "a _ b b\nc _ a\n ", "valid": "b _ b\n ", "test": "c a _ a\n "}
COUNTS = {
    "words": ({"train": 929_589, "validation": 73_760, "test": 82_430}, 10_000),
    "characters": ({"train": 5_017_482, "validation": 393_042, "test": 442_423}, 50),
}


def files_of(level, texts):
    infix = "char." if level == "characters" else ""
    return {f"ptb.{infix}{part}.txt": text.encode() for part, text in texts.items()}


@pytest.fixture
def put(write):
    """Write small texts in place of the published ones, in an archive or one file each."""

    def writer(level, texts, *, archive=False):
        made = files_of(level, texts)
        if archive:
            write(f"ptb_{level}", "archive", tar({f"./simple-examples/data/{n}": c for n, c in made.items()}))
        else:
            for name, content in made.items():
                write(f"ptb_{level}", f"{name}.gz", gzip.compress(content, mtime=0))

    return writer


@pytest.mark.parametrize("archive", [False, True])
def test_tokens_are_numbered_by_their_frequency_in_training(put, archive):
    put("words", LINES, archive=archive)
    # 9 a; 6 b, 6 <eos>; 3 c, 3 <unk>: the first to appear comes first
    a, b, end, c, unknown = range(5)
    train = PennTreebank("words")
    assert train.tokens.tolist() == [a, b, a, end, b, c, a, unknown, end] * 3
    assert PennTreebank("words", "validation").tokens.tolist() == [a, c, end]
    assert PennTreebank("words", "test").tokens.tolist() == [c, end, b, a, end]
    assert train.vocabulary == PennTreebank("words", "test").vocabulary == 5
    assert (train.stand_in, len(train)) == ("", 27)


def test_other_parts_have_the_numbers_of_one(put):
    put("words", LINES)
    for vocabulary in (None, 2):
        train = PennTreebank("words", vocabulary=vocabulary)
        for split in ("train", "validation", "test"):
            own, other = PennTreebank("words", split, vocabulary=vocabulary), train.part(split)
            assert torch.equal(other.tokens, own.tokens)
            assert repr(other) == repr(own)
        assert torch.equal(train.part("test", 2).tokens, train.part("test").tokens[:2])
    with pytest.raises(ValueError, match="did you mean 'validation'"):
        train.part("valid")
    with pytest.raises(ValueError, match="size must be at least 1"):
        train.part("test", 0)


def test_a_lone_blank_at_the_end_of_a_file_of_characters_is_no_line(put):
    put("characters", SPELT)
    a, blank, b, end, c = range(5)
    assert PennTreebank("characters").tokens.tolist() == [a, blank, b, b, end, c, blank, a, end]
    assert PennTreebank("characters", "test").tokens.tolist() == [c, a, blank, a, end]


def test_of_fewer_words_the_others_are_one(put):
    put("words", LINES)
    few = PennTreebank("words", "test", vocabulary=3, size=4)
    assert (few.tokens.tolist(), few.vocabulary) == ([0, 0, 2, 1], 3)  # <unk>, a, b
    assert PennTreebank("words", "test", size=99).tokens.shape == (5,)
    assert "vocabulary=3, tokens=4)" in repr(few)


def test_a_last_line_without_its_end_is_one_and_lines_may_end_as_windows_has_them(put):
    put("words", {part: text.rstrip() for part, text in LINES.items()})
    assert PennTreebank("words").tokens.tolist() == [0, 1, 0, 2, 1, 3, 0, 4, 2] * 3
    put("words", {part: text.replace("\n", "\r\n") for part, text in LINES.items()})
    assert PennTreebank("words").tokens.tolist() == [0, 1, 0, 2, 1, 3, 0, 4, 2] * 3


@pytest.mark.parametrize("vocabulary", [None, 3])
@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            {**LINES, "test": "a d e\n"},
            "the test part .* no tokens that the training part lacks, got 2 of them",
        ),
        ({**LINES, "test": " "}, "the test part of the Penn Treebank, words must have tokens, got none"),
        ({**LINES, "train": ""}, "the test part .* lacks, got 4 of them"),
    ],
)
def test_a_text_without_its_vocabulary_or_without_tokens_is_refused(put, texts, message, vocabulary):
    """Words that are not told apart are those of the training part, too: an empty one has ``<unk>`` alone."""
    put("words", texts)
    if vocabulary and not texts["train"]:
        message = "vocabulary must be at most 1, got 3"
    with pytest.raises(ValueError, match=message) as refused:
        PennTreebank("words", "test", vocabulary=vocabulary)
    assert "\n" not in str(refused.value)


def test_damaged_and_missing_files_are_refused(machine, put):
    with pytest.raises(FileNotFoundError, match=r"ptb\.char\.train\.txt\.gz' or 'simple-examples\.tgz'"):
        PennTreebank("characters")
    put("words", LINES)
    path = machine.data / FILES["ptb_words"]["ptb.train.txt.gz"].path
    path.write_bytes(path.read_bytes()[:-9])  # cut short
    with pytest.raises(ValueError, match=r"ptb\.train\.txt\.gz is not the published file") as refused:
        PennTreebank("words")
    assert "\n" not in str(refused.value)


def test_what_is_wrong_inside_of_a_file_is_told_with_its_name(put, write, machine):
    put("words", LINES)
    path = write("ptb_words", "ptb.train.txt.gz", gzip.compress(b"a b\n c \xe9 d\n"))
    with pytest.raises(ValueError, match=r"^ptb\.train\.txt of .*\.gz, line 2: expected text in UTF-8$"):
        PennTreebank("words")
    write("ptb_words", "ptb.train.txt.gz", path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="must be a whole gzip file, but cannot be read: Compressed file"):
        PennTreebank("words")
    for name in LINES:
        (machine.data / FILES["ptb_words"][f"ptb.{name}.txt.gz"].path).unlink()
    write("ptb_words", "archive", tar({"simple-examples/data/ptb.train.txt": b"a b\n"}))
    with pytest.raises(ValueError, match=r"tgz must have the file '\./simple-examples/data/ptb\.train\.txt'"):
        PennTreebank("words")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PennTreebank("letters"), "level must be one of 'words', 'characters'"),
        (lambda: PennTreebank("words", "valid"), "did you mean 'validation'"),
        (lambda: PennTreebank("words", vocabulary=6), "vocabulary must be at most 5, got 6"),
        (lambda: PennTreebank("characters", vocabulary=6), "vocabulary must be None for characters"),
        (lambda: PennTreebank("words", size=0), "size must be at least 1"),
    ],
)
def test_bad_input_is_refused(put, call, message):
    put("words", LINES)
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("level", LEVELS)
def test_the_stand_in_has_the_form_of_the_text(level, machine):
    parts = [PennTreebank(level, split, data="stand-in") for split in ("train", "validation", "test")]
    assert len({part.vocabulary for part in parts}) == 1
    assert len(parts[0]) > 8 * len(parts[1])
    assert len({tuple(part.tokens[:200].tolist()) for part in parts}) == 3  # each is drawn anew
    assert parts[0].tokens.unique().tolist() == list(range(parts[0].vocabulary))
    assert parts[0].stand_in.endswith(f"in place of the Penn Treebank, {level}")
    assert "stand-in" in repr(parts[0])
    assert machine.asked == []


def test_the_spelt_stand_in_is_that_of_words():
    """Characters between two blanks are a word; a line has as many of them as there."""
    words = LEVELS["words"].content("test", "stand-in")
    spelt = LEVELS["characters"].content("test", "stand-in")
    lines = " ".join(words).split(" <eos>")
    assert "".join(c if c != "<eos>" else "\n" for c in spelt) == "".join(
        line.strip().replace(" ", "_") + "\n" for line in lines[:-1]
    )
    assert set(words) <= set(grammar.WORDS)


def no_text(level):
    return pytest.mark.skipif(
        not available(f"ptb_{level}"),
        reason=f"the files of ptb_{level} are not here: CURSE_OF_MEMORY_DATA names no folder that has them",
    )


@pytest.mark.slow
@pytest.mark.parametrize("level", [pytest.param(level, marks=no_text(level)) for level in COUNTS])
def test_the_real_text(level):
    """The published numbers of tokens, with one <eos> a line, and the size of the vocabulary."""
    counts, vocabulary = COUNTS[level]
    train = PennTreebank(level)
    parts = {split: train.part(split) for split in counts}
    assert {split: len(part) for split, part in parts.items()} == counts
    assert {part.vocabulary for part in parts.values()} == {vocabulary}
    assert len(parts["train"].tokens.unique()) == vocabulary
    if level == "words":
        few = PennTreebank("words", "test", vocabulary=500, size=20_000)
        # of all words, <unk> among them, the frequent ones keep their order
        order = few.tokens[few.tokens > 0].bincount().argsort(descending=True)
        assert (len(few), few.vocabulary) == (20_000, 500)
        assert 0.1 < (few.tokens == 0).double().mean() < 0.5
        assert torch.isin(order[:5], torch.arange(12)).all()
