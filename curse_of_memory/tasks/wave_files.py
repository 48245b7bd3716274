"""Sounds in the format wav, read as samples: one channel, 16 bits, 16 000 a second; others are refused."""

import io
import warnings
from typing import Literal

import numpy as np
from scipy.io import wavfile

from curse_of_memory.tasks.mel_features import RATE, SHORTEST
from curse_of_memory.tools import checks

__all__ = ["read_wave"]


def read_wave(content: bytes, name: str) -> np.ndarray:
    """Return the samples ``(time,)`` of a wav file, in int16.

    Parameters
    ----------
    content : bytes
        Of the file.
    name : str
        What it is called in error messages.

    Raises
    ------
    ValueError
        For what is no wav file or not all of it, a header that does not fit, another rate, more than one
        channel, samples of another size, or so few of them that they have no spectrum.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # what they tell of is refused below, or fits
        try:
            rate, samples = wavfile.read(io.BytesIO(content))
        except Exception as error:  # scipy says in many ways that a header makes no sense
            reason = checks.first_line(error)
            raise ValueError(f"{name} must be a whole wav file, but cannot be read: {reason}") from None
    if rate != RATE:
        raise ValueError(f"{name} must have {RATE} samples a second, got {rate}")
    if channels := samples.shape[1:]:
        raise ValueError(f"{name} must have one channel, got {channels[0]}")
    if samples.dtype.newbyteorder("=") != np.int16:
        raise ValueError(f"{name} must have samples of 16 bits, got {samples.dtype}")
    end = _end(content)
    if end != len(content) and (len(samples) < RATE or not end):
        raise ValueError(
            f"{name} must be a whole wav file, but its header does not fit: {len(samples)} samples "
            f"in {len(content)} bytes"
        )
    if len(samples) < SHORTEST:
        raise ValueError(f"{name} must have {SHORTEST} samples at least, got {len(samples)}")
    return samples.astype(np.int16, copy=False)  # some have the other order of bytes


def _end(content: bytes) -> int:
    """Return where a file ends by its header, 0 if its chunks do not end there or the file does before."""
    order: Literal["big", "little"] = "big" if content[:4] == b"RIFX" else "little"

    def size(place: int) -> int:
        return int.from_bytes(content[place : place + 4], order)

    end, place = 8 + size(4), 12
    while place < end:
        place += 8 + size(place + 4)
        place += place % 2
    return min(place, len(content)) if end <= place <= end + 1 and end <= len(content) else 0
