"""Sounds in the format wav, read as samples: one channel, 16 bits, 16 000 a second; others are refused."""

import io
import warnings

import numpy as np
from scipy.io import wavfile

from curse_of_memory.tasks.mel_features import RATE
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
        For what is no wav file or not all of it, another rate, more than one channel, or samples of another
        size.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", wavfile.WavFileWarning)  # such as that its end is missing
        try:
            rate, samples = wavfile.read(io.BytesIO(content))
        except Exception as error:  # scipy says in many ways that a header makes no sense
            reason = checks.first_line(error)
            raise ValueError(f"{name} must be a whole wav file, but cannot be read: {reason}") from None
    if rate != RATE:
        raise ValueError(f"{name} must have {RATE} samples a second, got {rate}")
    if channels := samples.shape[1:]:
        raise ValueError(f"{name} must have one channel, got {channels[0]}")
    if samples.dtype != np.int16:
        raise ValueError(f"{name} must have samples of 16 bits, got {samples.dtype}")
    return samples
