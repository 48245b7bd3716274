"""Twelve spoken keywords of Speech Commands, to be told apart after 126 frames of their mel spectra."""

import numpy as np
import torch

from curse_of_memory.tasks.data_files import FILES, fetch
from curse_of_memory.tasks.data_sets import DataSet
from curse_of_memory.tasks.keyword_files import (
    CLASSES,
    LISTS,
    Clips,
    class_of,
    divided,
    listed,
    opened_collection,
    read_clips,
    whole_collection,
)
from curse_of_memory.tasks.mel_features import FRAMES, MEL_BANDS, keyword_features
from curse_of_memory.tasks.sampling import Batch, Splits, drawn_by
from curse_of_memory.tasks.synthetic_words import synthetic_words
from curse_of_memory.tasks.wave_files import read_wave
from curse_of_memory.tools import checks
from curse_of_memory.tools.data_sources import REAL, STAND_IN

__all__ = ["COLLECTION", "KEYWORDS", "Keywords", "listed_shares", "speaker_split"]

COLLECTION = 105_829
"""Clips of the whole collection."""

SPLITS = ("speakers", "official", "auto")
TEST_SHARE, VALIDATION_SHARE = 0.15, 0.17  # of the clips, as nearly as whole speakers allow
AT_ONCE = 1000  # clips of the whole collection that are in memory as sounds

KEYWORDS: DataSet[Clips] = DataSet(
    "speech_commands", "Speech Commands", "formant sweeps of twelve kinds", read_clips, synthetic_words
)
"""Clips of the twelve classes, with their stand-in."""


class Keywords:
    """Tell twelve classes of one-second clips apart: Speech Commands (Warden 2018, 1804.03209), version 2.

    Parameters
    ----------
    split : {'speakers', 'official', 'auto'}
        ``'speakers'`` divides the clips of the published test set of the twelve classes, or the hundred of
        each class that are found of them, so that nobody is heard in two parts: about 68, 17 and 15 of 100
        clips. ``'official'`` is that of the public code of LEM: all 105 829 clips, of which two published
        lists name those for validation, 9981, and for testing, 11 005; with the six recordings of background
        noise among the others, for training. It reads ``speech_commands_v0.02.tar.gz``, or the folder
        ``speech_commands_v0.02`` with what is in it. ``'auto'`` is that where one of the two is here, and
        else ``'speakers'``.
    clips_per_class : int, optional
        Of ``'speakers'``: keep at most so many of each class.
    split_seed : int
        Of ``'speakers'``: names the division, and which clips are kept.
    data : {'real', 'stand-in', 'auto'}
        The published clips; those of :mod:`curse_of_memory.tasks.synthetic_words`, 40 of each class by 20
        voices; or the first where they can be had and else the second.

    Raises
    ------
    ValueError, TypeError
        For unknown names, bad numbers, a part without clips, a damaged file or one that is no sound of
        16 000 samples a second in one channel, a list that names a clip that is not there, or an official
        split of the stand-in.
    FileNotFoundError
        If the files are neither here nor can be downloaded; says where they were looked for.

    Notes
    -----
    The attribute `splits` has the three parts: features ``(clip, 126, 80)`` as
    :func:`curse_of_memory.tasks.mel_features.keyword_features` returns them, and classes ``(clip,)``, numbers
    of :data:`curse_of_memory.tasks.keyword_files.CLASSES`; `split` is ``'speakers'`` or ``'official'``;
    `published` says how many clips were found; `stand_in` says what stands in for what, and is empty for the
    real clips.

    *What to know of the official split.* It is no balanced test of twelve classes: 63 of 100 test clips are
    "unknown" and none is silence, which has six recordings for training and none to validate by
    (:func:`listed_shares`). *And of the other one.* Who speaks is known of words alone: of silence each clip
    counts as a speaker, though all are cut from few recordings.

    Examples
    --------
    >>> task = Keywords(clips_per_class=10, data="stand-in")
    >>> [tuple(part.inputs.shape) for part in task.splits]
    [(79, 126, 80), (23, 126, 80), (18, 126, 80)]
    """

    horizon, input_size, output_size = FRAMES, MEL_BANDS, len(CLASSES)

    def __init__(
        self,
        split: str = "speakers",
        *,
        clips_per_class: int | None = None,
        split_seed: int = 0,
        data: str = "real",
    ):
        checks.one_of("split", split, SPLITS)
        if clips_per_class is not None:
            checks.positive_int("clips_per_class", clips_per_class)
        checks.seed("split_seed", split_seed)
        here = split == "auto" and data != STAND_IN and whole_collection() is not None
        whole = here or split == "official"
        source = REAL if whole and data == "auto" else KEYWORDS.source(data)
        if whole and source == STAND_IN:
            raise ValueError("split must be 'speakers' or 'auto' of data='stand-in', got 'official'")
        self.split = "official" if whole else "speakers"
        self.stand_in = KEYWORDS.note(source)
        if whole:
            self.splits = _official()
            self.published = sum(len(part.targets) for part in self.splits)
            return
        clips = KEYWORDS.content("all", source)
        self.published = len(clips.labels)
        parts = speaker_split(clips, split_seed=split_seed, clips_per_class=clips_per_class)
        self.splits = Splits(*(_batch(clips, rows) for rows in parts))

    @property
    def part(self) -> str:
        """How much of the collection is read, in words; empty if all of it is, or if the words are made."""
        if self.split == "official" or self.stand_in:
            return ""
        clips = sum(len(part.targets) for part in self.splits)
        return f"{clips} of {COLLECTION:,} clips".replace(",", " ")

    def __repr__(self) -> str:
        counts = " + ".join(str(len(part.targets)) for part in self.splits)
        stand_in = ", stand-in" if self.stand_in else ""
        return f"Keywords({self.split!r}, clips={counts} of {self.published}{stand_in})"


def speaker_split(
    clips: Clips, *, split_seed: int = 0, clips_per_class: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which clips are for training, validation and testing, each speaker in one of these alone.

    Speakers come in an order that the seed names: the first have 15 of 100 clips, for testing, and the next
    17, for validation, as nearly as whole speakers allow.

    Parameters
    ----------
    clips : Clips
    split_seed : int
    clips_per_class : int, optional
        Keep at most so many of each class, drawn by the same seed.

    Raises
    ------
    ValueError
        If there are too few speakers for three parts.
    """
    draws = drawn_by(split_seed)
    order = draws.permutation(len(clips.labels))
    if clips_per_class is not None:
        of_class = [order[clips.labels[order] == label][:clips_per_class] for label in range(len(CLASSES))]
        order = np.concatenate(of_class)
    kept, (names, speaker) = np.sort(order), np.unique(clips.speakers, return_inverse=True)
    place = draws.permutation(len(names))[speaker[kept]]
    counts = np.bincount(place, minlength=len(names))
    middle = ((counts.cumsum() - counts / 2) / len(kept))[place]  # where the clips of a speaker lie among all
    tested, held_out = middle < TEST_SHARE, middle < TEST_SHARE + VALIDATION_SHARE
    test, validation, train = kept[tested], kept[held_out & ~tested], kept[~held_out]
    for part, rows in (("training", train), ("validation", validation), ("testing", test)):
        if not len(rows):
            raise ValueError(f"clips must be of enough speakers that some are for {part}, got {len(names)}")
    return train, validation, test


def listed_shares(part: str) -> dict[str, float]:
    """Return the share of each class among the clips of the official validation or testing list.

    Parameters
    ----------
    part : {'validation', 'test'}

    Raises
    ------
    ValueError, FileNotFoundError
        For another part; or as :func:`curse_of_memory.tasks.data_files.fetch` does.
    """
    checks.one_of("part", part, LISTS)
    file = FILES[KEYWORDS.name][LISTS[part].removesuffix(".txt")]
    path = fetch(file)
    labels = [class_of(name) for name in listed(path.read_bytes(), str(path))]
    counts = np.bincount(labels, minlength=len(CLASSES))
    return dict(zip(CLASSES, (counts / counts.sum()).tolist(), strict=True))


def _batch(clips: Clips, rows: np.ndarray) -> Batch:
    features = keyword_features([clips.sounds[row] for row in rows])
    return Batch(features, torch.from_numpy(clips.labels[rows]))


def _official() -> Splits:
    """Return the parts of the whole collection: its clips are read once, in the order in which they lie."""
    with opened_collection() as collection:
        parts = divided(collection)
        batches = {
            part: Batch(torch.empty(len(names), FRAMES, MEL_BANDS), torch.empty(len(names), dtype=torch.long))
            for part, names in parts.items()
        }
        place = {name: (part, row) for part, names in parts.items() for row, name in enumerate(names)}
        wanted = [name for name in collection.names if name in place]
        for names in (wanted[start : start + AT_ONCE] for start in range(0, len(wanted), AT_ONCE)):
            sounds = [read_wave(collection.content(n), f"{n!r} of {collection.place}") for n in names]
            for name, features in zip(names, keyword_features(sounds), strict=True):
                part, row = place[name]
                batches[part].inputs[row] = features
                batches[part].targets[row] = class_of(name)
    return Splits(**batches)
