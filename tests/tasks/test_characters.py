"""Texts of characters: parts, numbers, marks of Gutenberg, and files that are not what they should be."""

import gzip
import hashlib
import re
import zipfile

import pytest
import torch

from curse_of_memory.tasks import Characters, characters, data_files
from curse_of_memory.tasks.characters import SHARES, TEXTS, without_licence
from curse_of_memory.tasks.data_files import FILES, VARIABLE, DataFile, available, find

NEEDS = {name: pytest.mark.skipif(not available(name), reason=f"{name} is not here") for name in TEXTS}
REAL = [pytest.param(name, marks=NEEDS[name]) for name in TEXTS]


@pytest.mark.parametrize("text", TEXTS)
def test_parts_follow_each_other_and_numbers_are_bytes(text):
    parts = [Characters(text, split, data="stand-in") for split in SHARES]
    assert len({part.vocabulary for part in parts}) == 1
    whole = b"".join(TEXTS[text].make(split) for split in SHARES)
    assert "".join(part.said(part.tokens) for part in parts) == whole.decode()
    counts = torch.bincount(parts[0].tokens, minlength=parts[0].vocabulary)
    assert (counts.diff() <= 0).all()  # the most frequent first
    assert counts[-1] == 0  # kept for bytes that the training part has not
    shares = [len(part) / len(whole) for part in parts]
    assert shares == pytest.approx([0.9, 0.05, 0.05], abs=1e-4)


def test_bytes_that_training_has_not_are_one_number():
    text = Characters("pg19", size=10, data="stand-in")
    assert text.encode("é").tolist() == [text.vocabulary - 1] * 2
    assert text.said(text.encode("é a")) == "?? a"
    assert text.encode("").shape == (0,)
    assert len(text) == 10
    assert "stand-in" in repr(text)


@NEEDS["enwik8"]
def test_enwik8_is_the_published_one():
    text = Characters("enwik8")
    content = bytes(text.bytes[text.tokens[:1_000_000].numpy()])
    # the first million bytes are enwik6, whose checksum is published
    expected = "369b688978f649681136198fb96db14c1616756260c55fb4b65e9bc049552cad"
    assert hashlib.sha256(content).hexdigest() == expected
    assert text.whole == (len(text) == 90_000_000)
    assert len(text) in (3_600_000, 90_000_000)
    assert text.said(text.tokens[:10]) == "<mediawiki"


@NEEDS["pg19"]
def test_the_book_has_neither_head_nor_foot():
    parts = {split: Characters("pg19", split) for split in SHARES}
    said = "".join(part.said(part.tokens) for part in parts.values())
    assert said.startswith("E-text prepared by Josephine Paolucci")
    assert "GUTENBERG EBOOK" not in said
    assert "FULL LICENSE" not in said
    assert "\r" not in said
    assert 240_000 < len(said) < 275_088


def test_marks_of_gutenberg_are_found_in_both_spellings():
    for start in ("*** START OF THE PROJECT", "***START OF THIS PROJECT"):
        book = f"head\r\n{start} GUTENBERG A\r\nB***\r\n\r\nOnce *** upon\r\n*** END OF THE PROJECT\r\nfoot"
        assert without_licence(book) == "Once *** upon"


@pytest.mark.parametrize(
    "book",
    ["no marks", "*** START OF THE BOOK ***\nno end", "no start\n*** END OF THE BOOK ***",
     "*** END OF THE BOOK ***\n*** START OF THE BOOK ***\n"],
)  # fmt: skip
def test_a_book_without_its_marks_is_refused(book):
    with pytest.raises(ValueError, match=r"^a\.txt must have the start mark and the end mark") as caught:
        without_licence(book, "a.txt")
    assert "\n" not in str(caught.value)


def own_files(monkeypatch, folder, **contents):
    """Put files into a folder of data, and let their checksums be the published ones."""
    rows = {}
    for name, (key, content) in contents.items():
        path = folder / "enwik8" / key
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        sha = "" if name == "packed" else f"sha256:{hashlib.sha256(content).hexdigest()}"
        rows[key] = DataFile(f"enwik8/{key}", sha)
    for key, file in FILES["enwik8"].items():
        rows.setdefault(key, DataFile(file.path, file.checksum))
    monkeypatch.setitem(data_files.FILES, "enwik8", rows)
    monkeypatch.setenv(VARIABLE, str(folder))


TEXT = (b"abacab. " * 50)[:400]


def zip_of(folder, content, name="enwik8"):
    with zipfile.ZipFile(folder / "made.zip", "w") as archive:
        archive.writestr(name, content)
    return (folder / "made.zip").read_bytes()


def test_the_whole_file_comes_before_its_beginning(tmp_path, monkeypatch):
    begun = gzip.compress(b"other text " * 20)
    own_files(monkeypatch, tmp_path, whole=("enwik8", TEXT), begun=("enwik8.first4000000.gz", begun))
    text = Characters("enwik8", "test")
    assert text.said(text.tokens) == TEXT[380:].decode()
    assert not text.whole  # nor are these the 100 million bytes
    find(FILES["enwik8"]["enwik8"]).unlink()
    assert Characters("enwik8").said(Characters("enwik8").tokens[:10]) == "other text"


def test_an_archive_is_known_by_what_is_in_it(tmp_path, monkeypatch):
    own_files(monkeypatch, tmp_path, whole=("enwik8", TEXT), packed=("enwik8.zip", zip_of(tmp_path, TEXT)))
    find(FILES["enwik8"]["enwik8"]).unlink()
    assert len(Characters("enwik8")) == 360
    path = tmp_path / "enwik8" / "enwik8.zip"
    for content, message in (
        (zip_of(tmp_path, b"x" * 400), "must hold the published enwik8, and holds another"),
        (zip_of(tmp_path, TEXT, "enwik9"), "must have the file 'enwik8' in it"),
        (b"PK no archive", "must be a whole archive"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(message)) as caught:
            Characters("enwik8")
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)


def test_another_file_is_refused_by_its_checksum(tmp_path, monkeypatch):
    for name, key in (("enwik8", "enwik8.first4000000.gz"), ("pg19", "10146.txt")):
        path = tmp_path / FILES[name][key].path
        path.parent.mkdir()
        path.write_bytes(b"")
        monkeypatch.setenv(VARIABLE, str(tmp_path))
        with pytest.raises(ValueError, match="is not the published file"):
            Characters(name)


BAD = {
    "another text": (lambda: Characters("text9"), "text must be one of"),
    "another part": (lambda: Characters("enwik8", "dev"), "split must be one of"),
    "no characters": (lambda: Characters("enwik8", size=0, data="stand-in"), "size must be"),
    "other data": (lambda: Characters("pg19", data="made"), "data must be one of"),
    "no text": (lambda: Characters("pg19", data="stand-in").encode(b"a"), "text must be a text"),
    "half a pair": (
        lambda: Characters("pg19", data="stand-in").encode("\ud800"),
        "text must be one that UTF-8",
    ),
    "no number": (lambda: Characters("pg19", data="stand-in").said([0.5]), "tokens must be whole numbers"),
    "a label": (lambda: Characters("pg19", data="stand-in").said([-1]), "tokens must be from 0 to"),
    "a large number": (lambda: Characters("pg19", data="stand-in").said([999]), "tokens must be from 0 to"),
    "no book": (lambda: without_licence(None), "text must be a text, got None"),
}


@pytest.mark.parametrize("what", BAD)
def test_ill_arguments_are_refused_in_one_line(what):
    call, message = BAD[what]
    with pytest.raises((ValueError, TypeError), match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", REAL)
def test_real_texts_are_taken_where_they_are(text):
    assert Characters(text, "test", size=5, data="auto").stand_in == ""
    assert characters.TEXTS[text].source("auto") == "real"
