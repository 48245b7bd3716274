from collections import Counter

import pytest
import torch

from curse_of_memory.tasks import WikiText2, available

no_wikitext = pytest.mark.skipif(
    not available("wikitext2"),
    reason="the files of wikitext2 are not here: CURSE_OF_MEMORY_DATA names no folder that has them",
)


def words_of(text):
    return [word for line in text.splitlines() for word in [*line.split(), "<eos>"]]


@pytest.mark.parametrize("files", ["small_wikitext", "small_wikitext_archive"])
def test_words_are_numbered_by_frequency(files, request):
    lines = request.getfixturevalue(files)
    task = WikiText2(sequence_length=5)
    # 120 <eos> and 120 a; 80 b and 80 =; 40 c and 40 d: the first to appear comes first
    assert task.words == ["<unk>", "a", "<eos>", "b", "=", "c", "d"]
    assert [task.words[n] for n in task.tokens] == words_of(lines["train"])
    for split, part in (("validation", "valid"), ("test", "test")):
        other = WikiText2(split, sequence_length=5)
        assert other.words == task.words
        known = [word if word in task.words else "<unk>" for word in words_of(lines[part])]
        assert [task.words[n] for n in other.tokens] == known


def test_a_small_vocabulary_keeps_the_frequent_words(small_wikitext):
    task = WikiText2(vocabulary=4, sequence_length=5)
    assert task.words == ["<unk>", "a", "<eos>", "b"]
    assert (task.vocabulary, task.output_size) == (4, 4)
    assert task.encode(["a", "c", "b", "nonsense"]).tolist() == [1, 0, 3, 0]
    assert task.tokens.max() == 3
    assert WikiText2(vocabulary=1, sequence_length=5).tokens.max() == 0


def test_samples_are_pieces_with_their_next_words(small_wikitext):
    task = WikiText2("test", sequence_length=7)
    stream = task.tokens.tolist()
    pieces = {tuple(stream[k : k + 8]) for k in range(len(stream) - 7)}
    x, y = task.sample(400, seed=0, dtype=torch.float64)
    assert x.shape == y.shape == (400, 7)
    assert x.dtype == y.dtype == torch.int64
    drawn = {(*a, b[-1]) for a, b in zip(x.tolist(), y.tolist(), strict=True)}
    assert torch.equal(x[:, 1:], y[:, :-1])
    assert drawn == pieces  # there are six: the text has period six


def test_the_first_and_the_last_piece_can_be_drawn(small_wikitext):
    stream = WikiText2("validation", sequence_length=5)
    task = WikiText2("validation", sequence_length=len(stream) - 2)  # there are two pieces
    starts = {tuple(piece) for piece in task.sample(50, seed=0).inputs.tolist()}
    assert starts == {tuple(task.tokens[:-2].tolist()), tuple(task.tokens[1:-1].tolist())}


def test_batches_go_through_the_stream_once(small_wikitext):
    task = WikiText2("test", sequence_length=7)
    batches = list(task.batches(4))
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    count = (len(task) - 1) // 7
    assert x.shape == y.shape == (count, 7)
    assert torch.equal(x.flatten(), task.tokens[: 7 * count])
    assert torch.equal(y.flatten(), task.tokens[1 : 7 * count + 1])
    shuffled = torch.cat([inputs for inputs, _ in task.batches(4, seed=1)])
    assert not torch.equal(shuffled, x)
    assert Counter(map(tuple, shuffled.tolist())) == Counter(map(tuple, x.tolist()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: WikiText2("valid"), "did you mean 'validation'"),
        (lambda: WikiText2(vocabulary=8), "vocabulary must be at most 7, got 8"),
        (lambda: WikiText2(vocabulary=0), "vocabulary must be at least 1"),
        (lambda: WikiText2(sequence_length=0), "sequence_length must be at least 1"),
        (lambda: WikiText2("validation", sequence_length=120), "sequence_length must be below 120"),
        (lambda: WikiText2().sample(0, seed=0), "size must be at least 1"),
    ],
)
def test_bad_input_is_refused(call, message, small_wikitext):
    with pytest.raises(ValueError, match=message):
        call()


def test_missing_and_damaged_files(machine):
    with pytest.raises(FileNotFoundError, match=r"wiki\.train\.tokens\.gz' or 'wikitext-2-v1\.zip'"):
        WikiText2()
    (machine.data / "wikitext-2").mkdir()
    (machine.data / "wikitext-2" / "wiki.train.tokens.gz").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"wiki\.train\.tokens\.gz is not the published file"):
        WikiText2()


@pytest.mark.slow
@no_wikitext
def test_the_real_text():
    """The published numbers: words with one <eos> a line, and the size of the vocabulary."""
    parts = {split: WikiText2(split) for split in ("train", "validation", "test")}
    assert [len(part) for part in parts.values()] == [2_088_628, 217_646, 245_569]
    assert {part.vocabulary for part in parts.values()} == {33_278}
    small = WikiText2("test", vocabulary=1000, sequence_length=35)
    assert small.words[:4] == ["<unk>", "the", ",", "."]
    assert small.words == parts["train"].words[:1000]
    assert torch.equal(small.tokens, torch.where(parts["test"].tokens < 1000, parts["test"].tokens, 0))
