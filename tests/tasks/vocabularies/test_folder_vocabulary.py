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


def test_a_start_mark_is_the_one_of_the_configuration(tmp_path):
    """BART's decoder begins with the end mark; that of mT5, or of no configuration, with the padding."""
    saved(tmp_path, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    transformers.BartConfig(decoder_start_token_id=1).save_pretrained(tmp_path)
    vocabulary = load_vocabulary(tmp_path)
    assert vocabulary.marks == (0, 1, 1)
    assert vocabulary.decode([1, *vocabulary.target("模型"), 0]) == "模型"
    assert FolderVocabulary(tmp_path, start=5).marks == (0, 1, 5)


def with_files(folder, **files):
    folder.mkdir()
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


def test_bytes_need_no_file_of_words(tmp_path):
    folder = with_files(tmp_path / "byt5", tokenizer_config__json='{"tokenizer_class": "ByT5Tokenizer"}')
    vocabulary = load_vocabulary(folder)
    assert vocabulary.encode("模") == [3 + byte for byte in "模".encode()]  # after three marks
    assert vocabulary.decode(vocabulary.target("模型")) == "模型"


def test_no_code_of_a_folder_is_run_nor_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asks"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    folder = with_files(
        tmp_path / "code",
        tokenizer_config__json='{"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", null]}}',
        own__py="raise SystemExit",
    )
    with pytest.raises(ValueError, match=r"folder must have a tokenizer, and .* contains custom code"):
        load_vocabulary(folder)


def test_what_is_no_vocabulary_is_refused_in_one_line(tmp_path):
    saved(tmp_path / "unmarked", pad_token="<pad>", unk_token="<unk>")
    saved(tmp_path / "alike", pad_token="<pad>", eos_token="<pad>", unk_token="<unk>")
    saved(tmp_path / "unknown", pad_token="<pad>", eos_token="</s>", unk_token="<pad>")
    config = '{"model_type": "mt5"}'
    with_files(tmp_path / "weights", config__json=config)
    with_files(tmp_path / "pieces", config__json=config, spiece__model="no pieces")
    with_files(tmp_path / "other", config__json=config, tokenizer__json='{"added_tokens": [], "model": {}}')
    (tmp_path / "empty").mkdir()
    ill = [
        (lambda: load_vocabulary("google/mt5-small"), "folder must name a folder, got 'google/mt5-small'"),
        (lambda: load_vocabulary(None), "folder must name a folder, got None"),
        (
            lambda: load_vocabulary(tmp_path / "empty"),
            "folder must have a tokenizer, and .* has none",
        ),
        (lambda: load_vocabulary(tmp_path / "unmarked"), "folder must have a tokenizer with eos_token"),
        (lambda: load_vocabulary(tmp_path / "alike"), "end must be another mark than pad in the tokenizer"),
        (lambda: load_vocabulary(tmp_path / "unknown"), "unknown must be a mark of its own in the tokenizer"),
        (lambda: load_vocabulary(tmp_path / "weights"), "none of spiece.model, tokenizer.json"),
        (
            lambda: load_vocabulary(tmp_path / "pieces"),
            "to read: .*; files of sentencepiece are read by the packages sentencepiece and protobuf",
        ),
        (lambda: load_vocabulary(tmp_path / "other"), "folder must have a tokenizer, and .* none to read"),
        (lambda: FolderVocabulary(tmp_path, start=-1), "start must not be negative"),
    ]
    for call, message in ill:
        with pytest.raises((ValueError, TypeError, FileNotFoundError), match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
