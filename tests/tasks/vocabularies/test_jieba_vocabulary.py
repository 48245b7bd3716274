"""T5-PEGASUS's tokens: against its rule by hand, there and back, pickled, in threads, without a trace."""

import copy
import logging
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from curse_of_memory.tasks import Summaries, available
from curse_of_memory.tasks.vocabularies import JiebaVocabulary, word_cutting

tokenizers = pytest.importorskip("tokenizers")
jieba = pytest.importorskip("jieba")

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = ["模型", "记忆", "的", "研究", "网络", "神经网络", "模", "型", "经", "神", "over", "5", "t5"]
PIECES = ["##fit", "##5", "t", "##t", "##型", ",", ".", "。", "《", "$", "e", "##e", "memory", "100"]
TOKENS = [*MARKS, *WORDS, *PIECES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    (path / "vocab.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def vocabulary(folder):
    return JiebaVocabulary(folder)


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    """The rule as the code of T5-PEGASUS has it, of jieba and of BERT's own tokenizer for single words."""
    cutter = jieba.Tokenizer()
    cutter.tmp_dir = str(tmp_path_factory.mktemp("jieba"))
    jieba.setLogLevel(logging.WARNING)
    numbers = {token: number for number, token in enumerate(TOKENS)}
    pieces = tokenizers.models.WordPiece(numbers, unk_token="[UNK]", max_input_chars_per_word=200)
    bert = tokenizers.Tokenizer(pieces)
    bert.normalizer = tokenizers.normalizers.BertNormalizer()
    bert.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()

    def tokens(text):
        normal = unicodedata.normalize("NFD", text.lower())
        normal = "".join(one for one in normal if unicodedata.category(one) != "Mn")
        for word in cutter.cut(normal, HMM=False):
            yield from [word] if word in numbers else bert.encode(word).tokens

    return tokens


def said(vocabulary, text):
    return [vocabulary.words[number] for number in vocabulary.encode(text)]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("循环神经网络的记忆", ["[UNK]", "[UNK]", "神经网络", "的", "记忆"]),  # not 网络
        ("模型的研究", ["模型", "的", "研究"]),  # not 模 and 型, which are there, too
        ("型模", ["型", "模"]),
        ("经典", ["经", "[UNK]"]),  # a word that is none of the vocabulary, by its characters
        ("OVERFIT T5 t55", ["over", "##fit", "t5", "t5", "##5"]),
        ("Été", ["e", "##t", "##e"]),
        ("over,fit.$", ["over", ",", "[UNK]", ".", "$"]),
        ("[SEP][PAD]", ["[UNK]"] * 6),  # marks are no words of a text
        ("a b", ["[UNK]", "[UNK]"]),
        (" \n\t\x00\ufffd", []),
        ("", []),
    ],
)
def test_words_are_whole_and_the_rest_is_cut_as_by_bert(vocabulary, by_hand, text, tokens):
    assert said(vocabulary, text) == list(by_hand(text)) == tokens


def test_it_is_the_rule_by_hand_on_any_text(vocabulary, by_hand):
    draw = random.Random(0)
    known = [*WORDS, *PIECES, "É", "é", "한", "α", "Ⅳ", "２", " ", "　", "\n", "-", "#", "##", "[SEP]", "T"]
    known += ["经典", "循环", "一百", "，", "100%", "3.5", "C++", "𠀀", "｡", "x" * 101, "'", "·"]
    for _ in range(400):
        text = "".join(draw.choice(known) for _ in range(draw.randrange(12)))
        assert said(vocabulary, text) == list(by_hand(text)), text


def test_real_or_made_abstracts_are_cut_by_the_rule(vocabulary, by_hand):
    task = Summaries("test", size=40, data="real" if available("csl") else "stand-in")
    for text in task.abstracts:
        assert said(vocabulary, text) == list(by_hand(text))


def test_upper_case_is_kept_where_it_is_asked_for(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*MARKS, "T", "t", "É", "e"]), encoding="utf-8")
    assert said(JiebaVocabulary(tmp_path, lower=False), "T t É") == ["T", "t", "É"]
    assert said(JiebaVocabulary(tmp_path), "T t É") == ["t", "t", "e"]


def test_marks_and_lengths(vocabulary):
    assert (vocabulary.pad, vocabulary.unknown, vocabulary.start, vocabulary.end) == (0, 1, 2, 3)
    model, of, memory = (TOKENS.index(word) for word in ("模型", "的", "记忆"))
    assert vocabulary.source("模型的记忆") == [2, model, of, memory, 3]
    assert vocabulary.target("模型的记忆") == [model, of, memory, 3]
    assert vocabulary.source("模型的记忆", 3) == [2, model, 3]
    assert len(vocabulary) == len(TOKENS)
    assert vocabulary.unknown_in(["经典", "模型"]) == 1


def test_marks_as_of_t5_have_no_start_before_a_source(tmp_path):
    tokens = ["[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "模型"]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    vocabulary = JiebaVocabulary(tmp_path, start="[PAD]", end="[unused1]")
    assert vocabulary.marks == (0, 1, 0)
    assert vocabulary.source("模型") == vocabulary.target("模型") == [5, 1]
    assert vocabulary.decode([0, 5, 1, 0]) == "模型"


@pytest.mark.parametrize("text", ["模型的记忆.", "over memory", "overfit 100 t5模型t5", "《模型》,over."])
def test_there_and_back(vocabulary, text):
    ids = [vocabulary.start, *vocabulary.target(text), vocabulary.pad, 9]
    assert vocabulary.decode(ids) == text.replace("》", "\ufffd")
    assert vocabulary.decode([*vocabulary.source("经典"), len(TOKENS)]) == "经\ufffd"


def test_a_task_has_its_numbers(vocabulary):
    task = Summaries("train", size=8, data="stand-in", abstract_length=30, title_length=20)
    encoded = task.encoded(vocabulary)
    assert (encoded.source_length, encoded.target_length) == (32, 21)
    assert (encoded.batch.inputs[:, 0] == vocabulary.start).all()
    assert (encoded.batch.inputs[:, 32] == vocabulary.start).all()
    ends = [(row == vocabulary.end).sum().item() for row in encoded.batch.targets]
    assert ends == [1] * 8


def test_it_is_copied_pickled_and_saved(vocabulary, folder, tmp_path):
    text = "循环神经网络 T5"
    vocabulary.save(tmp_path / "new")
    assert (tmp_path / "new" / "vocab.txt").read_bytes() == (folder / "vocab.txt").read_bytes()
    others = [copy.deepcopy(vocabulary), pickle.loads(pickle.dumps(vocabulary))]
    for other in [*others, JiebaVocabulary(str(tmp_path / "new"))]:
        assert other.encode(text) == vocabulary.encode(text)
        assert other.words == vocabulary.words
    assert len(pickle.dumps(vocabulary)) < 4000  # neither jieba's dictionary nor a tokenizer


def test_other_breaks_of_lines_and_tokens_that_break_lines_elsewhere(tmp_path):
    lines = "\r\n".join([*MARKS, "\u2028", "模型", "", "模型"])
    (tmp_path / "vocab.txt").write_bytes(f"\ufeff{lines}".encode())
    vocabulary = JiebaVocabulary(tmp_path)
    assert (len(vocabulary), vocabulary.pad) == (8, 0)  # the mark of Unicode at the start is no letter
    assert vocabulary.encode("模型") == [7]  # the last of two, as for BERT
    assert vocabulary.decode([5, 7]) == "模型模型"


def test_threads_may_share_it(vocabulary, monkeypatch):
    word_cutting._cutter.cache_clear()
    loaded, own = [], word_cutting.require
    monkeypatch.setattr(word_cutting, "require", lambda *names: loaded.append(names) or own(*names))
    texts = ["循环神经网络的记忆", "模型的研究", "overfit"] * 4
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(vocabulary.encode, texts)) == [vocabulary.encode(text) for text in texts]
    assert len(loaded) == 1  # its dictionary is read once


def test_words_that_others_teach_jieba_change_nothing(vocabulary):
    before = vocabulary.encode("模型的研究")
    try:
        jieba.dt.FREQ, jieba.dt.total, jieba.dt.initialized = {"模型的研究": 10}, 10, True
        assert vocabulary.encode("模型的研究") == before
    finally:
        jieba.dt.FREQ, jieba.dt.total, jieba.dt.initialized = {}, 0, False


@pytest.mark.slow
def test_jieba_says_nothing_and_leaves_nothing(folder, tmp_path):
    """Nor does its import warn, where it was never compiled by this Python."""
    code = f"""
from curse_of_memory.tasks.vocabularies import JiebaVocabulary
print(len(JiebaVocabulary({str(folder)!r}).encode("模型的研究")))
"""
    (tmp_path / "shared").mkdir()
    installed = Path(jieba.__file__).parent
    shutil.copytree(installed, tmp_path / "jieba", ignore=shutil.ignore_patterns("__pycache__"))
    places = {"TMPDIR": str(tmp_path / "shared"), "PYTHONDONTWRITEBYTECODE": "1"}
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])])
    environment = os.environ | places | {"PYTHONPATH": path}
    call = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")
    assert list((tmp_path / "shared").iterdir()) == []


def test_ill_folders_and_marks_are_refused_in_one_line(folder, tmp_path):
    (tmp_path / "vocab.txt").write_bytes("模型\n记忆".encode("gb18030"))
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "vocab.txt").touch()
    ill = [
        (lambda: JiebaVocabulary(tmp_path / "nowhere"), "folder must have the file 'vocab.txt' in it, and"),
        (lambda: JiebaVocabulary(3), "folder must name a folder, got 3"),
        (lambda: JiebaVocabulary(tmp_path), "vocab.txt, line 1: expected text in UTF-8"),
        (lambda: JiebaVocabulary(empty), "vocab.txt, which has no '[PAD]'"),
        (lambda: JiebaVocabulary(folder, end="</s>"), "end must be a token of"),
        (
            lambda: JiebaVocabulary(folder, end="[PAD]"),
            "end must be another mark than pad, got '[PAD]' twice",
        ),
        (lambda: JiebaVocabulary(folder, start="[UNK]"), "unknown must be a mark of its own, got '[UNK]'"),
        (lambda: JiebaVocabulary(folder, lower="yes"), "lower must be True or False"),
        (lambda: JiebaVocabulary(folder).encode(None), "text must be a text, got None"),
        (lambda: JiebaVocabulary(folder).encode("模\ud800"), "text must be in Unicode, got '\\ud800' in it"),
        (lambda: JiebaVocabulary(folder).save(3), "folder must name a folder, got 3"),
    ]
    for call, message in ill:
        with pytest.raises((ValueError, TypeError, FileNotFoundError), match=re.escape(message)) as caught:
            call()
        assert "\n" not in str(caught.value)
