"""Mel spectra in decibels: against sums written out, tones of known frequency, and for silence."""

import math

import numpy as np
import pytest
import torch

from curse_of_memory.tasks.mel_features import (
    FRAMES,
    MEL_BANDS,
    RATE,
    keyword_features,
    mel_decibels,
    mel_filters,
)

CORNERS = 82


def naive_mel(hertz):
    return 3 * hertz / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def naive_hertz(mel):
    return 200 * mel / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def naive_filters():
    """Triangles on the scale of Slaney's auditory toolbox, a corner and a frequency at a time."""
    low, high = naive_mel(40.0), naive_mel(8000.0)
    corner = [naive_hertz(low + (high - low) * k / (CORNERS - 1)) for k in range(CORNERS)]
    weights = np.zeros((MEL_BANDS, 513))
    for band in range(MEL_BANDS):
        left, middle, right = corner[band : band + 3]
        for k in range(513):
            f = k * RATE / 1024
            if left < f <= middle:
                weights[band, k] = (f - left) / (middle - left)
            elif middle < f < right:
                weights[band, k] = (right - f) / (right - middle)
        weights[band] *= 2 / (right - left)
    return weights


def naive_decibels(sound, padding):
    """A discrete Fourier transform written as a sum, of each frame by itself."""
    padded = np.pad(sound.astype(np.float64), 512, mode=padding)
    n = np.arange(1024)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / 1024)
    waves = np.exp(-2j * np.pi * np.outer(np.arange(513), n) / 1024)
    frames = [padded[start : start + 1024] for start in range(0, len(sound) + 1, 128)]
    levels = np.array([naive_filters() @ np.abs(waves @ (window * frame)) for frame in frames])
    decibels = 10 * np.log10(np.maximum(levels, 1e-10) / max(levels.max(), 1e-10))
    return np.maximum(decibels, -80)


def sounds():
    draws = np.random.default_rng(0)
    t = np.arange(5000) / RATE
    chirp = np.sin(2 * np.pi * (200 * t + 8000 * t**2))
    return {
        "chirp in noise": chirp + 1e-3 * draws.standard_normal(5000),
        "clean chirp": chirp,  # down to what 16 bits leave of silence
        "noise": draws.standard_normal(5000),
        "late click": np.where(np.arange(5000) == 4990, 1.0, 0.0),
    }


def test_filters_are_those_written_out_and_have_area_one():
    np.testing.assert_allclose(mel_filters(), naive_filters(), atol=1e-15)
    wide = mel_filters()[40:]  # the triangles of low frequencies are too narrow for sums
    np.testing.assert_allclose(wide.sum(1) * RATE / 1024, 1, atol=0.05)


@pytest.mark.parametrize("padding", ["reflect", "constant"])
@pytest.mark.parametrize("name", sounds())
def test_spectra_are_those_written_out_within_a_hundredth_of_a_decibel(name, padding):
    sound = np.round(sounds()[name] * 8000).clip(-(2**15), 2**15 - 1).astype(np.int16)
    found = mel_decibels(torch.from_numpy(sound / 2**15)[None], padding=padding)[0]
    exact = naive_decibels(sound / 2**15, padding)
    assert found.shape == (40, MEL_BANDS) == exact.shape
    np.testing.assert_allclose(found, exact, atol=0.01)
    assert found.max() == 0
    assert found.min() >= -80


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 4000.0])
def test_a_tone_is_loudest_in_the_band_of_its_frequency(hertz):
    tone = torch.sin(2 * math.pi * hertz * torch.arange(4000, dtype=torch.float64) / RATE)[None]
    band = int(mel_decibels(tone)[0, 15].argmax())
    low, high = naive_mel(40.0), naive_mel(8000.0)
    middles = [naive_hertz(low + (high - low) * (k + 1) / (CORNERS - 1)) for k in range(MEL_BANDS)]
    assert abs(middles[band] - hertz) <= max(middles[1] - middles[0], 0.05 * hertz)


def test_frames_at_both_ends_alone_know_how_a_sound_goes_on():
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 16000)))
    x[:, 6000:8000] *= 10  # the loudest frame is inside
    apart = (mel_decibels(x) - mel_decibels(x, padding="constant")).abs().amax((0, 2))
    assert apart.nonzero().flatten().tolist() == [0, 1, 2, 3, 122, 123, 124, 125]


def test_loudness_does_not_count():
    x = torch.from_numpy(np.random.default_rng(2).standard_normal((2, 4000)))
    torch.testing.assert_close(mel_decibels(x), mel_decibels(0.01 * x), atol=1e-4, rtol=0)


def clip(seed, length=16000):
    return np.random.default_rng(seed).integers(-3000, 3000, length).astype(np.int16)


def test_features_are_normalised_over_a_whole_clip_with_one_less_in_the_denominator():
    features = keyword_features([clip(0), clip(1)])
    assert features.shape == (2, FRAMES, MEL_BANDS)
    assert features.dtype == torch.float32
    decibels = mel_decibels(torch.from_numpy(clip(1) / 2**15)[None])[0].double().numpy()
    exact = (decibels - decibels.mean()) / decibels.std(ddof=1)
    np.testing.assert_allclose(features[1], exact, atol=1e-4)


def test_what_is_missing_of_short_clips_is_as_loud_as_the_loudest():
    short = clip(0, 9000)
    frames = 9000 // 128 + 1
    features = keyword_features([clip(1), short, clip(2, 40_000)])
    assert features.shape == (3, FRAMES, MEL_BANDS)
    loudest = features[1].max()
    assert (features[1, frames:] == loudest).all()
    assert (features[1, :frames] == loudest).sum() == 1
    quiet = keyword_features([short], filling=-80.0)[0]
    assert (quiet[frames:] == quiet.min()).all()
    # a deviation of its own, after the filling; what is inside is the same but for mean and deviation
    inside = torch.stack([features[1, :frames].flatten(), quiet[:frames].flatten()])
    assert torch.corrcoef(inside)[0, 1] > 1 - 1e-6
    for one in features:
        assert abs(one.mean()) < 1e-4
        assert abs(one.std() - 1) < 1e-4


def test_long_recordings_are_cut_after_their_loudest_moment_was_looked_for():
    long = clip(3, 40_000)
    long[30_000:] //= 100
    louder = long.copy()
    louder[:8000] = long[:8000]
    louder[30_000:] = 32_000 * np.sign(clip(4, 10_000))
    first, second = keyword_features([long]), keyword_features([louder])
    torch.testing.assert_close(
        first, second, atol=1e-3, rtol=0
    )  # the mean takes off by how much louder it is


def test_of_silence_all_features_are_zero():
    """Of zeros all levels are equal, and the public code would divide by nothing."""
    features = keyword_features([np.zeros(16000, np.int16), clip(0)])
    assert (features[0] == 0).all()
    assert features[1].isfinite().all()
    half = keyword_features([np.zeros(8000, np.int16)], filling=-80.0)[0]
    assert half[0, 0] > 0 > half[-1, -1]


def test_a_clip_does_not_see_others():
    alone = keyword_features([clip(7)])[0]
    among = keyword_features([clip(k, 16000 - 100 * (k % 2)) for k in range(10)])[6]
    other = keyword_features([clip(6)])[0]
    torch.testing.assert_close(among, other, atol=1e-5, rtol=0)
    assert not torch.allclose(alone, other, atol=0.1)


REAL = torch.zeros(1, 4000)


@pytest.mark.parametrize(
    ("sounds", "settings", "message"),
    [
        (torch.zeros(1, 512), {}, r"sounds must be \(sound, time\) of more than 512 samples, got \(1, 512\)"),
        (torch.zeros(0, 4000), {}, r"sounds must be \(sound, time\) .*, got \(0, 4000\)"),
        (torch.zeros(4000), {}, r"sounds must be \(sound, time\) .*, got \(4000,\)"),
        (torch.full((1, 4000), math.nan), {}, "sounds must be finite, but hold NaN or infinity"),
        (REAL.numpy(), {}, "sounds must be a tensor of real numbers, got ndarray"),
        (REAL.to(torch.complex64), {}, "sounds must be a tensor of real numbers, got torch.complex64"),
        (REAL.long(), {}, "sounds must be a tensor of real numbers, got torch.int64"),
        (REAL, {"padding": "mirror"}, "padding must be one of 'reflect', 'constant'"),
    ],
)
def test_bad_sounds_are_refused(sounds, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        mel_decibels(sounds, **settings)


@pytest.mark.parametrize(
    ("sounds", "settings", "message"),
    [
        (3, {}, "sounds must be a list of arrays, got int"),
        (
            [clip(0), clip(0, 512)],
            {},
            r"sounds\[1\] must be \(time,\) of more than 512 .*, got \(512,\)",
        ),
        ([clip(0)[None]], {}, r"sounds\[0\] must be \(time,\) of more than 512 samples, got \(1, 16000\)"),
        ([clip(0) / 2**15], {}, r"sounds\[0\] must be an array of int16, got an array of float64"),
        ([torch.from_numpy(clip(0))], {}, r"sounds\[0\] must be an array of int16, got Tensor"),
        ([clip(0)], {"filling": math.nan}, "filling must be finite"),
        ([clip(0)], {"filling": "quiet"}, "filling must be a real number"),
        ([clip(0)], {"filling": 1.0}, "filling must be from -80 to 0 decibels, got 1.0"),
        ([clip(0)], {"filling": -1e300}, "filling must be from -80 to 0 decibels"),
        ([clip(0)], {"padding": "mirror"}, "padding must be one of 'reflect', 'constant'"),
    ],
)
def test_bad_sounds_of_clips_are_refused(sounds, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        keyword_features(sounds, **settings)
