"""The vocabulary that a folder of a model has: in the layout of mT5's, and which one is taken."""

import pickle

import pytest

from curse_of_memory.tasks.vocabularies import FolderVocabulary, JiebaVocabulary, load_vocabulary

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

MARKS = ["<pad>", "</s>", "<unk>"]
PIECES = {"▁": -2.0, "模型": -1.0, "模": -3.0, "型": -3.0, "▁over": -1.0, "fit": -1.0}  # 3 to 8


def saved(folder, **marks):
    """Write a tokenizer of pieces with their log-probabilities, as those of T5 are."""
    pieces = [(mark, 0.0) for mark in MARKS] + list(PIECES.items())
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    tokenizer.decoder = tokenizers.decoders.Metaspace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("mt5")
    saved(path, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    return path


def test_numbers_and_marks_are_those_of_the_folder(folder):
    vocabulary = load_vocabulary(folder)
    assert isinstance(vocabulary, FolderVocabulary)
    assert (len(vocabulary), vocabulary.marks, vocabulary.unknown) == (9, (0, 1, 0), 2)
    assert vocabulary.source("模型 overfit") == vocabulary.target("模型 overfit") == [3, 4, 7, 8, 1]
    assert vocabulary.encode("") == []
    assert FolderVocabulary(str(folder), start=5).marks == (0, 1, 5)
    assert pickle.loads(pickle.dumps(vocabulary)).encode("模型") == [3, 4]


def test_texts_come_back_and_what_is_unknown_is_seen(folder):
    vocabulary = load_vocabulary(folder)
    assert vocabulary.decode([0, *vocabulary.target("模型 overfit"), 0]) == "模型 overfit"
    assert vocabulary.decode(vocabulary.target("模经典型")) == "模\ufffd型"  # unknown ones in a row are one
    assert vocabulary.unknown_in(["模经典型", "模型"]) == 1
    assert vocabulary.decode([4, 99]) == "模型\ufffd"
    assert vocabulary.encode("</s>模型<pad>") == vocabulary.encode("模型")  # marks are no words of a text


def test_a_list_of_words_is_for_jieba(tmp_path):
    pytest.importorskip("jieba")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n", encoding="utf-8")
    assert isinstance(load_vocabulary(tmp_path), JiebaVocabulary)


def test_what_is_no_vocabulary_is_refused_in_one_line(tmp_path):
    saved(tmp_path / "unmarked", pad_token="<pad>", unk_token="<unk>")
    (tmp_path / "empty").mkdir()
    ill = [
        (lambda: load_vocabulary("google/mt5-small"), "folder must name a folder, got 'google/mt5-small'"),
        (lambda: load_vocabulary(None), "folder must name a folder, got None"),
        (
            lambda: load_vocabulary(tmp_path / "empty"),
            "folder must have a tokenizer, and .* has none",
        ),
        (lambda: load_vocabulary(tmp_path / "unmarked"), "folder must have a tokenizer with eos_token"),
        (lambda: FolderVocabulary(tmp_path, start=-1), "start must not be negative"),
    ]
    for call, message in ill:
        with pytest.raises((ValueError, TypeError, FileNotFoundError), match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
