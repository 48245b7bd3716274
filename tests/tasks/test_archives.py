"""Packed files: what python's own packers wrote is read, and what is wrong with one is said in one line."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from curse_of_memory.tasks.archives import member_of, named_member_of, opened_tar, text_of, unpacked, zipped

TEXT = b"a few words\n" * 400


def tar(pack=lambda content: content):
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        folder, link, file = tarfile.TarInfo("set"), tarfile.TarInfo("set/link"), tarfile.TarInfo("set/a.txt")
        folder.type, link.type, link.linkname, file.size = tarfile.DIRTYPE, tarfile.SYMTYPE, "no", len(TEXT)
        archive.addfile(folder)
        archive.addfile(link)
        archive.addfile(file, io.BytesIO(TEXT))
    return pack(plain.getvalue())


def zip_():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("set/a.txt", TEXT)
    return packed.getvalue()


def of_tar(path, name="set/a.txt"):
    with opened_tar(path) as archive:
        return named_member_of(archive, name)


PACKED = {
    "tar": (tar(), of_tar),
    "tar.gz": (tar(gzip.compress), of_tar),
    "tar.xz": (tar(lzma.compress), of_tar),
    "tar.bz2": (tar(bz2.compress), of_tar),
    "zip": (zip_(), lambda path: zipped(path, "set/a.txt")),
    "gz": (gzip.compress(TEXT), unpacked),
}


@pytest.fixture(params=PACKED)
def packed(request, tmp_path):
    content, read = PACKED[request.param]
    path = tmp_path / f"some.{request.param}"
    path.write_bytes(content)
    return path, read


def test_what_was_packed_is_read(packed):
    path, read = packed
    assert read(path) == TEXT


@pytest.mark.parametrize("cut", [0.0, 0.1, 0.35, 0.6])
def test_a_file_that_ends_too_early_is_refused_by_name(packed, cut):
    """The last tenths of a tar archive are zeros, which nobody misses."""
    path, read = packed
    content = path.read_bytes()
    path.write_bytes(content[: int(cut * len(content))])
    refused = "must be a whole .*, but cannot be read: |must have the file 'set/a.txt' in it, and has none"
    with pytest.raises(ValueError, match=refused) as refusal:
        read(path)
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)


def test_what_is_no_archive_is_refused_by_name(packed):
    path, read = packed
    path.write_bytes(b"<html>404</html>" * 100)
    with pytest.raises(ValueError, match=r"must be a whole .*, but cannot be read: ") as refusal:
        read(path)
    assert str(refusal.value).startswith(str(path))


def test_a_file_that_is_not_in_an_archive_is_named_with_it(tmp_path):
    (tmp_path / "some.tar").write_bytes(tar())
    (tmp_path / "some.zip").write_bytes(zip_())
    for name, read in (("some.tar", of_tar), ("some.zip", zipped)):
        with pytest.raises(ValueError, match=rf"{name} must have the file 'set/b\.txt' in it, and has none"):
            read(tmp_path / name, "set/b.txt")


@pytest.mark.parametrize("name", ["set", "set/link"])
def test_folders_and_links_in_an_archive_are_no_files(tmp_path, name):
    (tmp_path / "some.tar").write_bytes(tar())
    with (
        pytest.raises(ValueError, match=rf"'{name}' in .*some\.tar must be a file, and is none"),
        opened_tar(tmp_path / "some.tar") as archive,
    ):
        member_of(archive, archive.getmember(name))


def test_a_text_that_is_none_says_the_line():
    assert text_of("grün\n".encode(), "some.txt") == "grün\n"
    with pytest.raises(ValueError, match=r"^some\.txt, line 3: expected text in UTF-8$"):
        text_of("one\ntwo\ngrün\n".encode("latin-1"), "some.txt")
