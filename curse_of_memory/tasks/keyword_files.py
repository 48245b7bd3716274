"""The published files of Speech Commands: their archives, their lists, and what names of clips say."""

import os
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from curse_of_memory.tasks.archives import member_of, opened_tar, text_of
from curse_of_memory.tasks.data_files import FILES, fetch, find, lying_folder
from curse_of_memory.tasks.wave_files import read_wave

__all__ = [
    *("CLASSES", "LISTS", "SILENCE", "UNKNOWN", "Clips", "Collection"),
    *("class_of", "divided", "listed", "opened_collection", "read_clips", "speaker_of", "whole_collection"),
]

CLASSES = ("unknown", "silence", "yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
"""The twelve classes, in the order of their numbers."""

UNKNOWN, SILENCE = 0, 1
WORDS = CLASSES[2:]
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
"""The lists by which the whole collection is divided; what is in neither is for training."""

PUBLISHED = {"validation": 9981, "test": 11_005, "train": 84_843 + 6}  # clips of each part, and six of noise

NOISE = "_background_noise_"
SET = "speech_commands"
FOLDER = "speech_commands_v0.02"  # of the whole collection, where it was unpacked


class Clips(NamedTuple):
    """Recordings, what is said in them, and by whom.

    Attributes
    ----------
    sounds : list of ndarray of shape ``(time,)``
        Samples in int16, at 16 000 a second.
    labels : ndarray of shape ``(clip,)``
        Numbers of :data:`CLASSES`.
    speakers : list of str
        Who speaks; of silence, a name for each clip.
    """

    sounds: list[np.ndarray]
    labels: np.ndarray
    speakers: list[str]


class Collection(NamedTuple):
    """The whole collection, packed or unpacked.

    Attributes
    ----------
    place : str
        Where it is.
    names : list of str
        Of its files, such as ``"yes/004ae714_nohash_0.wav"``.
    content : callable
        From a name to what is in that file.
    """

    place: str
    names: list[str]
    content: Callable[[str], bytes]


def class_of(name: str) -> int:
    """Return the number of the class of a clip, by its folder.

    Examples
    --------
    >>> [class_of(name) for name in ("yes/1_nohash_0.wav", "cat/1_nohash_0.wav", "_silence_/1.wav")]
    [2, 0, 1]
    """
    folder = Path(name).parent.name
    if folder in (NOISE, "_silence_"):
        return SILENCE
    return CLASSES.index(folder) if folder in WORDS else UNKNOWN


def speaker_of(name: str) -> str:
    """Return who speaks in a clip, as its name tells; of silence the name itself.

    Raises
    ------
    ValueError
        If the name of a clip with words tells nobody.

    Examples
    --------
    >>> speaker_of("_unknown_/nine_4f8ef132_nohash_1.wav.wav")
    '4f8ef132'
    """
    if class_of(name) == SILENCE:
        return name
    told = re.search(r"([^/_]+)_nohash_", name)
    if told is None:
        raise ValueError(f"a clip must be named as <speaker>_nohash_<number>.wav, got {name!r}")
    return told[1]


def listed(content: bytes, name: str) -> list[str]:
    r"""Return the names of clips in a list of the collection, one a line; the last line may have no end.

    The public code takes the last character off each line, and so breaks a last name that has no end.

    Parameters
    ----------
    content : bytes
        Of the list.
    name : str
        What it is called in error messages.

    Raises
    ------
    ValueError
        If it is no text, or has a name twice.

    Examples
    --------
    >>> listed(b"yes/a_nohash_0.wav\nno/b_nohash_0.wav", "testing_list.txt")
    ['yes/a_nohash_0.wav', 'no/b_nohash_0.wav']
    """
    names = text_of(content, name).split()
    if len(set(names)) < len(names):
        twice, _ = Counter(names).most_common(1)[0]
        raise ValueError(f"{name} must name each clip once, got {twice!r} twice")
    return names


def read_clips(part: str = "all") -> Clips:
    """Return the clips of the published test set of twelve classes, or the hundred of each class found here.

    Parameters
    ----------
    part : {'all'}
        There is but one.

    Raises
    ------
    ValueError, FileNotFoundError
        For a damaged archive or a clip that :func:`read_wave` refuses; or as
        :func:`curse_of_memory.tasks.data_files.fetch` does.
    """
    files = FILES[SET]
    path = find(files["clips"]) or fetch(files["archive"], files["clips"])
    with opened_tar(path) as archive:
        content = {
            _name(member): member_of(archive, member)
            for member in archive
            if member.isfile() and member.name.endswith(".wav")
        }
    names = sorted(content)
    if not names:
        raise ValueError(f"{path} must have clips in it, got none")
    return Clips(
        [read_wave(content[name], f"{name!r} of {path}") for name in names],
        np.array([class_of(name) for name in names]),
        [speaker_of(name) for name in names],
    )


def whole_collection() -> Path | None:
    """Return the archive or the folder of the whole collection, if it is here; else None.

    Raises
    ------
    ValueError, FileNotFoundError
        As :func:`curse_of_memory.tasks.data_files.find` does.
    """
    return find(FILES[SET]["whole"]) or lying_folder(FOLDER)


@contextmanager
def opened_collection() -> Iterator[Collection]:
    """Open the whole collection, 105 829 clips; it is downloaded, 2.4 GB, if it is not here.

    Raises
    ------
    ValueError, FileNotFoundError
        For a damaged archive; or as :func:`curse_of_memory.tasks.data_files.fetch` does.
    OSError
        If a file or folder may not be read.
    """
    path = whole_collection() or fetch(FILES[SET]["whole"])
    if path.is_dir():
        names = sorted(file.relative_to(path).as_posix() for file in _files_below(path))
        yield Collection(str(path), names, lambda name: (path / name).read_bytes())
        return
    with opened_tar(path) as archive:
        members = {_name(member): member for member in archive if member.isfile()}
        yield Collection(str(path), list(members), lambda name: member_of(archive, members[name]))


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield all files in a folder and in those below it; one that may not be looked into is an error."""

    def refuse(error: OSError) -> None:
        raise error

    for place, _, names in os.walk(folder, onerror=refuse):
        yield from filter(Path.is_file, (Path(place, name) for name in names))


def divided(collection: Collection) -> dict[str, list[str]]:
    """Return the names of the clips for training, validation and testing, as the public code divides them.

    Those of the two lists are for validation and for testing; the others are for training, and so are the
    recordings of background noise.

    Raises
    ------
    ValueError
        If there is no such list, one names a clip that is not there or is in the other list, or a part has
        not as many clips as the published one.
    """
    left = dict.fromkeys(name for name in collection.names if name.endswith(".wav"))
    parts: dict[str, list[str]] = {"train": []}
    for part, list_name in LISTS.items():
        if list_name not in collection.names:
            raise ValueError(f"{collection.place} must have the list {list_name!r}, and has none")
        where = f"{list_name!r} of {collection.place}"
        parts[part] = listed(collection.content(list_name), where)
        for name in parts[part]:
            if name not in left:
                why = "is in the other list, too" if name in collection.names else "is not there"
                raise ValueError(f"{where} names {name!r}, which {why}")
            del left[name]
    parts["train"] = list(left)
    for part, count in PUBLISHED.items():
        if len(parts[part]) != count:  # such as of a list or a folder that was not copied whole
            raise ValueError(
                f"the part {part!r} of {collection.place} must have {count} clips, got {len(parts[part])}"
            )
    return parts


def _name(member: tarfile.TarInfo) -> str:
    return member.name.removeprefix("./")
