"""Mel spectra of sounds in decibels, as the public code of LEM has them from librosa 0.8.1, by torch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from curse_of_memory.tools import checks

__all__ = [
    *("FRAMES", "LOUDEST", "MEL_BANDS", "RATE", "SHORTEST"),
    *("keyword_features", "mel_decibels", "mel_filters"),
]

RATE = 16_000
"""Samples a second."""

MEL_BANDS = 80
FRAMES = 126
"""Frames of a clip of one second, 16 000/128 + 1."""

WINDOW, HOP = 1024, 128  # samples
SHORTEST = WINDOW // 2 + 1
"""Samples of the shortest sound: half a window, which is seen in a mirror, and one more."""

LOWEST, HIGHEST = 40.0, 8000.0  # Hz
LEAST_MAGNITUDE, RANGE = 1e-10, 80.0  # below which there is no sound; dB below the loudest value
LOUDEST = 0.0
"""Decibels with which the public code fills up short clips: those of the loudest value that there is."""

PADDINGS = ("reflect", "constant")
AT_ONCE = 100  # clips whose spectra are in memory together


def mel_filters() -> np.ndarray:
    """Return the weights ``(band, frequency)`` of 80 triangles on the Slaney mel scale, each of area one.

    Up to 1000 Hz a mel is 200/3 Hz, above it a factor of 6.4^{1/27}. The corners f_0 < … < f_81 are
    equidistant in mel from 40 Hz to 8 kHz; band m rises from f_m to f_{m+1}, falls to f_{m+2}, and is
    2/(f_{m+2} − f_m) high. Frequencies are those of a window of 1024 samples, 0, 15.625, … 8000 Hz.

    Examples
    --------
    >>> mel_filters().shape
    (80, 513)
    """
    linear, factor, bend = 200 / 3, np.log(6.4) / 27, 1000.0

    def mel(hertz: float) -> float:
        return hertz / linear if hertz < bend else bend / linear + np.log(hertz / bend) / factor

    mels = np.linspace(mel(LOWEST), mel(HIGHEST), MEL_BANDS + 2)
    above = bend * np.exp(factor * (mels - bend / linear))
    corners = np.where(mels < bend / linear, linear * mels, above)[:, None]
    frequencies = np.linspace(0, RATE / 2, WINDOW // 2 + 1)
    rising = (frequencies - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - frequencies) / (corners[2:] - corners[1:-1])
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (corners[2:] - corners[:-2])


def mel_decibels(sounds: Tensor, *, padding: str = "reflect") -> Tensor:
    """Return mel spectra in decibels below the loudest value of each sound.

    Frame k is the sound from sample 128 k − 512 on, times the window w_n = (1 − cos(2πn/1024))/2. With its
    magnitudes |X_k(f)| and the filters M of :func:`mel_filters`

        S_k(m) = Σ_f M(m, f) |X_k(f)|,   D_k(m) = 10 log₁₀ max(S_k(m), 10⁻¹⁰) − 10 log₁₀ max(max S, 10⁻¹⁰),

    raised to −80 where it is less. So 10 dB are a factor of ten in magnitude, not in power, as the public
    code has it. A sound of zeros has 0 dB everywhere.

    Parameters
    ----------
    sounds : Tensor of shape ``(sound, time)``
        Sounds of one length, in more than 512 samples of 1/16 000 s.
    padding : {'reflect', 'constant'}
        What is before the first sample and after the last: the sound in a mirror, as librosa 0.8.1 has it; or
        zeros, as newer versions do.

    Returns
    -------
    Tensor of shape ``(sound, time // 128 + 1, 80)``
        In float32.

    Raises
    ------
    ValueError, TypeError
        For other shapes, shorter sounds, what is no tensor of finite real numbers, or another padding.
    """
    checks.one_of("padding", padding, PADDINGS)
    if not isinstance(sounds, Tensor) or not sounds.is_floating_point():
        what = sounds.dtype if isinstance(sounds, Tensor) else type(sounds).__name__
        raise TypeError(f"sounds must be a tensor of real numbers, got {what}")
    if sounds.ndim != 2 or sounds.shape[1] < SHORTEST or not len(sounds):
        shape = tuple(sounds.shape)
        raise ValueError(f"sounds must be (sound, time) of more than {WINDOW // 2} samples, got {shape}")
    if not sounds.isfinite().all():
        raise ValueError("sounds must be finite, but hold NaN or infinity")
    x = sounds.double()
    window = torch.hann_window(WINDOW, dtype=x.dtype)
    spectra = torch.stft(x, WINDOW, HOP, window=window, pad_mode=padding, return_complex=True)
    # transformed in float64: in float32 the errors of loud frequencies would be heard in the most quiet ones
    real, imaginary = spectra.real.float(), spectra.imag.float()
    magnitudes = (real.square() + imaginary.square()).sqrt()
    levels = torch.from_numpy(mel_filters()).float() @ magnitudes
    decibels = 10 * levels.clamp(min=LEAST_MAGNITUDE).log10()
    decibels = decibels - decibels.amax((1, 2), keepdim=True)
    return decibels.clamp(min=-RANGE).mT


def keyword_features(
    sounds: Sequence[np.ndarray], *, filling: float = LOUDEST, padding: str = "reflect"
) -> Tensor:
    """Return what a network is shown of each sound: 126 frames of 80 mel bands, normalised.

    The spectra of :func:`mel_decibels` are cut to 126 frames, those of short sounds filled up; then the mean
    over all 126 · 80 values is taken off, and what is left divided by their deviation, with 10 079 in its
    denominator. Of a sound without any differences, such as zeros, all features are zero.

    Parameters
    ----------
    sounds : sequence of ndarray of shape ``(time,)``
        Samples in int16, at 16 000 a second, of any lengths above 512. Of those of one length many are
        transformed at once.
    filling : float
        Decibels with which short sounds are filled up, from −80 to 0: the public code takes 0, which is the
        loudest value.
    padding : {'reflect', 'constant'}
        As for :func:`mel_decibels`.

    Returns
    -------
    Tensor of shape ``(len(sounds), 126, 80)``
        In float32.

    Raises
    ------
    ValueError, TypeError
        For sounds of another form or type, another padding, or a filling that no sound has.
    """
    checks.one_of("padding", padding, PADDINGS)
    if not -RANGE <= checks.real("filling", filling) <= LOUDEST:
        raise ValueError(f"filling must be from {-RANGE:g} to {LOUDEST:g} decibels, got {filling!r}")
    if isinstance(sounds, str) or not isinstance(sounds, Sequence):
        raise TypeError(f"sounds must be a list of arrays, got {type(sounds).__name__}")
    sounds = [_checked(f"sounds[{row}]", sound) for row, sound in enumerate(sounds)]
    features = torch.empty(len(sounds), FRAMES, MEL_BANDS)
    rows: dict[int, list[int]] = {}
    for row, sound in enumerate(sounds):
        rows.setdefault(len(sound), []).append(row)
    for same in rows.values():
        for some in (same[start : start + AT_ONCE] for start in range(0, len(same), AT_ONCE)):
            x = torch.from_numpy(np.stack([sounds[row] for row in some])) / 2**15
            decibels = mel_decibels(x, padding=padding)[:, :FRAMES]
            short = FRAMES - decibels.shape[1]
            whole = torch.nn.functional.pad(decibels, (0, 0, 0, short), value=filling)
            deviation, mean = torch.std_mean(whole, (1, 2), keepdim=True)
            features[some] = (whole - mean) / torch.where(deviation > 0, deviation, 1.0)
    return features


def _checked(name: str, sound: np.ndarray) -> np.ndarray:
    """Return a sound, called `name`, if it is one."""
    if not isinstance(sound, np.ndarray) or sound.dtype != np.int16:
        what = f"an array of {sound.dtype}" if isinstance(sound, np.ndarray) else type(sound).__name__
        raise TypeError(f"{name} must be an array of int16, got {what}")
    if sound.ndim != 1 or len(sound) < SHORTEST:
        raise ValueError(f"{name} must be (time,) of more than {WINDOW // 2} samples, got {sound.shape}")
    return sound
