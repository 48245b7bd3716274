"""Summaries: what the published files hold, cuts, numbers for models, the stand-in, and bad files."""

import re

import numpy as np
import pytest
import torch

from curse_of_memory.losses.cross_entropy import IGNORED
from curse_of_memory.measure.rouge_scores import rouge
from curse_of_memory.tasks import Summaries, available, made_abstracts
from curse_of_memory.tasks.pair_files import pairs_of
from curse_of_memory.tasks.summaries import CSL
from curse_of_memory.tasks.vocabularies import CharacterVocabulary

needs_csl = pytest.mark.skipif(not available("csl"), reason="CSL is not here")


def lengths(texts):
    return np.array([len(text) for text in texts])


@pytest.fixture(scope="module")
def dev():
    return Summaries("train")


@needs_csl
def test_dev_has_the_lengths_that_its_users_rely_on(dev):
    titles, abstracts = lengths(dev.titles), lengths(dev.abstracts)
    assert len(dev) == 1000
    assert (round(titles.mean()), titles.max(), (titles <= 30).mean()) == (19, 50, 0.95)
    assert (round(abstracts.mean()), abstracts.max(), (abstracts <= 410).mean()) == (209, 1215, 0.95)
    assert (dev.cut_titles, dev.cut_abstracts, dev.stand_in) == (0, 0, "")
    assert "dev of CSL, in place of a training set" in repr(dev)


@needs_csl
def test_nothing_of_dev_is_in_test_and_none_is_there_twice(dev):
    test = Summaries("test")
    for texts in (dev.titles + test.titles, dev.abstracts + test.abstracts):
        assert len(set(texts)) == len(texts) == 2000
    assert test.origin == "test of CSL"


@needs_csl
def test_most_of_a_title_is_in_its_abstract(dev):
    pairs = zip(dev.titles, dev.abstracts, strict=True)
    share = np.mean([np.mean([character in abstract for character in title]) for title, abstract in pairs])
    assert round(100 * share) == 88


@needs_csl
def test_the_first_characters_of_an_abstract_as_its_title(dev):
    """The baselines of the notebook: with spaces removed, as ROUGE does here, and with spaces that count."""

    def lead(length, repeats="all", space=" "):
        pairs = zip(dev.abstracts, dev.titles, strict=True)
        texts = [[re.sub(r"\s", space, text) for text in (a[:length], t)] for a, t in pairs]
        return 100 * rouge(*zip(*texts, strict=True), repeats=repeats).mean().to_numpy()

    with_spaces = [lead(length, space="_")[0] for length in (15, 20, 30, 40)]
    np.testing.assert_allclose(with_spaces, [34.9, 37.7, 38.1, 36.7], atol=0.05)
    np.testing.assert_allclose(lead(20), [37.81, 26.92, 33.45], atol=0.006)
    np.testing.assert_allclose(lead(20, "once"), [39.04, 27.11, 33.45], atol=0.006)


@needs_csl
def test_cuts_are_counted(dev):
    cut = Summaries("train", abstract_length=410, title_length=30)
    assert (cut.cut_abstracts, cut.cut_titles) == (50, 50)  # 5 %
    assert cut.titles == tuple(title[:30] for title in dev.titles)
    assert lengths(cut.abstracts).max() == 410
    few = Summaries("train", size=10)
    assert few.abstracts == dev.abstracts[:10]


@needs_csl
def test_characters_of_dev(dev):
    texts = [*dev.abstracts, *dev.titles]
    assert len(CharacterVocabulary(texts).characters) == 2847
    most = CharacterVocabulary(texts, size=1860)
    assert (most.rare, len(most)) == (987, 1863)
    assert most.unknown_in(texts) / lengths(texts).sum() == pytest.approx(0.01, abs=1e-4)


# the smallest case by hand: characters a, b, c are 3, 4, 5 beside the marks of T5
TINY = b"to title\tabc\tba\nto title\tb\tb a\n"


@pytest.fixture
def tiny(write):
    """Two pairs for training and three for testing, in the place of the published files."""
    write("csl", "dev.tsv", TINY)
    write("csl", "test.tsv", TINY + b"to title\tca\ta\n")


def test_pairs_are_numbers_with_the_marks_of_the_model(tiny):
    task = Summaries("train", data="auto")
    assert (task.abstracts, task.titles) == (("abc", "b"), ("ba", "b a"))
    vocabulary = CharacterVocabulary(["aaabbc"])
    encoded = task.encoded(vocabulary)
    assert encoded.batch.targets.tolist() == [[4, 3, 1, IGNORED], [4, 2, 3, 1]]
    assert encoded.batch.inputs.tolist() == [[3, 4, 5, 1, 0, 4, 3, 1], [4, 1, 0, 0, 0, 4, 2, 3]]
    assert (encoded.source_length, encoded.target_length) == (4, 4)
    assert (encoded.unknown_sources, encoded.unknown_targets) == (0, 1)  # the blank
    assert (encoded.cut_sources, encoded.cut_targets) == (0, 0)
    assert encoded.batch.inputs.dtype == encoded.batch.targets.dtype == torch.int64


def test_longer_ones_are_cut_before_the_end_mark_and_counted(tiny):
    vocabulary = CharacterVocabulary(["aaabbc"], start=7)
    encoded = Summaries("train").encoded(vocabulary, source_length=2, target_length=3)
    assert encoded.batch.inputs.tolist() == [[3, 1, 7, 4, 3], [4, 1, 7, 4, 2]]
    assert encoded.batch.targets.tolist() == [[4, 3, 1], [4, 2, 1]]
    assert (encoded.cut_sources, encoded.cut_targets) == (1, 1)


def test_what_is_cut_in_characters_has_one_length_in_all_parts(tiny):
    vocabulary = CharacterVocabulary(["aaabbc"])
    for split in ("train", "test"):
        encoded = Summaries(split, abstract_length=9, title_length=2).encoded(vocabulary)
        assert (encoded.source_length, encoded.target_length) == (10, 3)
    assert Summaries("test", title_length=2).titles == ("ba", "b ", "a")


def test_the_decoder_reads_the_labels_a_step_late_and_they_say_the_title():
    task = Summaries("test", abstract_length=20, size=30, data="stand-in")
    vocabulary = CharacterVocabulary(task.titles, size=50, start=60)
    encoded = task.encoded(vocabulary)
    inputs, labels = encoded.batch
    read = inputs[:, encoded.source_length :]
    assert (read[:, 0] == 60).all()
    assert torch.equal(read[:, 1:], labels[:, :-1].where(labels[:, :-1] != IGNORED, vocabulary.pad))
    for source, row, title, abstract in zip(inputs, labels, task.titles, task.abstracts, strict=True):
        for numbers, text in ((row, title), (source[: encoded.source_length], abstract)):
            known = "".join(c if c in vocabulary.characters else "\ufffd" for c in text)
            assert vocabulary.decode(numbers) == known


def test_the_stand_in_has_the_form_of_the_real_pairs(machine):
    parts = [Summaries(split, data="stand-in") for split in ("train", "test")]
    assert [len(part) for part in parts] == [1000, 1000]
    for texts in (parts[0].titles + parts[1].titles, parts[0].abstracts + parts[1].abstracts):
        assert len(set(texts)) == 2000
    titles, abstracts = lengths(parts[0].titles), lengths(parts[0].abstracts)
    assert 18 < titles.mean() < 20
    assert titles.max() <= 50
    assert 190 < abstracts.mean() < 230
    assert 350 < np.quantile(abstracts, 0.95) < 470
    assert parts[0].stand_in == CSL.note("stand-in")
    assert "stand-in" in repr(parts[1])
    assert machine.asked == []
    assert Summaries("train", data="stand-in").titles == parts[0].titles  # seeded


def test_a_made_title_is_the_opening_of_its_abstract_without_modifiers():
    """By the words alone: those of each kind are different, and all have two characters."""
    nouns, modifiers, verbs = (set(words.tolist()) for words in made_abstracts._words())
    assert len(nouns | modifiers | verbs) == len(nouns) + len(modifiers) + len(verbs) == 460
    for abstract, title in made_abstracts.pairs(200, seed=1):
        opening = abstract.removeprefix("为了").partition(",")[0]
        copied = ""
        while opening:
            length = 1 if opening[0] in made_abstracts.LINKS else 2
            word, opening = opening[:length], opening[length:]
            copied += "" if word in modifiers else word
        assert title[:-2] == copied
        assert title[-2:] in made_abstracts.ENDINGS
        assert not set(title[-2:]) & set(abstract)


def test_the_ending_of_made_titles_is_drawn_as_often_as_is_said():
    endings = [pair.title[-2:] for pair in made_abstracts.pairs(1000, seed=2)]
    for ending, share in made_abstracts.ENDINGS.items():
        assert endings.count(ending) / 1000 == pytest.approx(share, abs=5 * 0.5 / 1000**0.5)
    assert made_abstracts.entropy_of_ending() == pytest.approx(
        -(0.5 * np.log(0.5) + 0.3 * np.log(0.3) + 0.2 * np.log(0.2))
    )


def test_a_file_of_ones_own_is_read_by_its_columns(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_bytes("\ufeff题目\t内容一\t1\r\nB\t b\t2".encode())
    task = Summaries.from_file(path, abstract_column=1, title_column=0, abstract_length=2)
    assert (task.titles, task.abstracts) == (("题目", "B"), ("内容", " b"))
    assert (task.cut_abstracts, task.cut_titles, task.stand_in) == (1, 0, "")
    assert task.origin == str(path)
    assert str(path) in repr(task)
    assert len(Summaries.from_file(str(path), abstract_column=2, title_column=1, size=1)) == 1


BAD = {
    "a column is missing": (b"a\tb\tc\nd\te\n", "line 2: expected 3 columns with tabs between them, got 2"),
    "a column too many": (b"a\tb\nd\te\tf\n", "line 2: expected 2 columns with tabs between them, got 3"),
    "an empty line": (b"a\tb\n\nc\td\n", "line 2: expected 2 columns"),
    "too few for what is asked": (
        b"ab\n",
        "line 1: expected at least 2 columns with tabs between them, got 1 (abstract_column ",
    ),
    "an empty title": (b"a\tb\n \tb\n", "line 2: expected a text as title, got an empty one"),
    "an empty abstract": (b"a\t\n", "line 1: expected a text as abstract, got an empty one"),
    "other letters": ("a\tb\n题\t目\n".encode("gb18030"), "line 2: expected text in UTF-8"),
    "letters of two bytes": (
        "a\tb\n".encode("utf-16-le"),
        "line 1: expected a text as abstract, got one with a NUL in it",
    ),
    "nothing": (b"", "must have pairs of texts, got none"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_files_are_refused_in_one_line_that_says_where(what, tmp_path):
    content, message = BAD[what]
    path = tmp_path / "own.tsv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        Summaries.from_file(path, abstract_column=1, title_column=0)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_published_files_have_three_columns(write):
    write("csl", "dev.tsv", b"abc\tba\n")
    with pytest.raises(ValueError, match=r"dev\.tsv, line 1: expected 3 columns .* got 2$"):
        Summaries("train")


def test_another_file_is_refused_by_its_checksum(machine):
    path = machine.data / "csl" / "ts" / "dev.tsv"
    path.parent.mkdir(parents=True)
    path.write_bytes(TINY)
    with pytest.raises(ValueError, match="is not the published file: expected sha256"):
        Summaries("train")


def test_it_says_where_it_looked(machine):
    with pytest.raises(
        FileNotFoundError, match=r"no 'csl/ts/dev\.tsv' in .*ydli-ai/CSL/.*/ts/dev\.tsv"
    ) as caught:
        Summaries("train")
    assert "\n" not in str(caught.value)
    assert len(machine.asked) == 1


VOCABULARY = CharacterVocabulary(["ab"])
ILL = {
    "another part": (lambda: Summaries("dev"), "split must be one of 'train', 'test'"),
    "other data": (lambda: Summaries(data="made"), "data must be one of"),
    "no characters": (lambda: Summaries(title_length=0, data="stand-in"), "title_length must be at least 1"),
    "no vocabulary": (
        lambda: Summaries(size=2, data="stand-in").encoded({"a": 3}),
        "vocabulary must be a Vocabulary, got {'a': 3}",
    ),
    "no room": (
        lambda: Summaries(size=2, data="stand-in").encoded(VOCABULARY, target_length=1),
        "target_length must be at least 2",
    ),
    "no file": (
        lambda: Summaries.from_file("nowhere.tsv", abstract_column=1, title_column=0),
        "path must name a file, got 'nowhere.tsv'",
    ),
    "no path": (lambda: Summaries.from_file(3, abstract_column=1, title_column=0), "path must name a file"),
    "a column by name": (
        lambda: Summaries.from_file("a", abstract_column="content", title_column=0),
        "abstract_column must be a whole number",
    ),
    "one column twice": (
        lambda: Summaries.from_file("a", abstract_column=1, title_column=1),
        "title_column must be another one than abstract_column, got 1 twice",
    ),
}


@pytest.mark.parametrize("what", ILL)
def test_ill_arguments_are_refused_in_one_line(what):
    call, message = ILL[what]
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"abstract_column": -1, "title_column": 0}, "abstract_column must not be negative, got -1"),
        ({"abstract_column": 1, "title_column": 1}, "title_column must be another one"),
        ({"abstract_column": 2, "title_column": 0, "columns": 2}, "columns must be at least 3, got 2"),
        ({"abstract_column": 1, "title_column": 0, "columns": 2.0}, "columns must be a whole number"),
    ],
)
def test_columns_of_a_content_are_those_of_a_file(columns, message):
    with pytest.raises((ValueError, TypeError), match=message):
        pairs_of(b"a\tb\n", "a.tsv", **columns)


def test_text_stands_as_it_is_published():
    (pair,) = pairs_of(b"x\t a  b \tT \n", "a.tsv", abstract_column=1, title_column=2)
    assert pair == (" a  b ", "T ")
