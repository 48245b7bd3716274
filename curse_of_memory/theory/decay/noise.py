"""The scatter of a memory curve: the period of an oscillation, and the noise floor of its own tail.

Deviations of log M from a smooth law belong to an oscillation if they repeat after some lags, and are noise
if they do not.
"""

import math

import numpy as np

__all__ = ["own_floor", "period"]

_SHORTEST = 32  # lags that a tail must have to be called noise
_PURE = 0.6  # scatter of log M: |N(0, 1)| has 1.11, a uniform number 1, a value with 30 % of noise 0.3
_NORMAL = 1.4826  # standard deviation over the median of |N(0, 1)|
_SHORTER = 0.85
_ALIKE, _ERRORS = 0.5, 3.0  # an autocorrelation counts above the first, and this many standard errors


def own_floor(values: np.ndarray) -> float:
    """Return the noise level of the tail of a curve; 0 if no tail is pure noise.

    Taken is the longest tail, of at least 32 lags, where log M does not fall by more than 2.5 standard errors
    and scatters as noise does, with a standard deviation above 0.6. If its deviations repeat there is no
    noise; if neighbours are alike a shorter tail is tried. The level is 1.48 times the median, which is the
    standard deviation of normal noise, and is little affected by memory left in the first lags.

    Examples
    --------
    >>> noise = 0.01 * np.random.default_rng(0).standard_normal(200)
    >>> round(own_floor(np.abs(np.exp(-0.1 * np.arange(200)) + noise)), 2)
    0.01
    >>> own_floor(np.exp(-0.1 * np.arange(200)))
    0.0
    """
    size = values.size
    while size >= _SHORTEST:
        tail = values[-size:]
        if tail.min() > 0:
            fall, error, residual = _line(np.log(tail))
            if abs(fall) <= 2.5 * error and np.std(residual) >= _PURE:
                alike = _autocorrelation(residual)
                if _first_return(alike, size):
                    return 0.0
                if alike[0] < _ALIKE:
                    return float(_NORMAL * np.median(tail))
        size = int(_SHORTER * size)
    return 0.0


def _line(logs: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Return the fall of the least-squares line, its standard error for white residuals, and residuals."""
    x = np.linspace(-0.5, 0.5, logs.size)
    slope = float(x @ logs / (x @ x))
    residual = logs - logs.mean() - slope * x
    scatter = math.sqrt(float(residual @ residual) / (logs.size - 2))
    return -slope, scatter / float(np.linalg.norm(x)), residual


def period(residual: np.ndarray) -> int:
    """Return the period of deviations, in steps; 0 if they do not repeat.

    That is the first maximum of the autocorrelation above 1/2 and above three standard errors 1/√n, at lags
    up to n/3 that come after a negative value. Deviations are clipped at two standard deviations, since the
    logarithm of an oscillation has poles.

    Examples
    --------
    >>> s = np.arange(100)
    >>> period(np.log(np.abs(np.cos(s)))), period(np.random.default_rng(0).standard_normal(100))
    (3, 0)
    """
    return _first_return(_autocorrelation(residual), residual.size)


def _autocorrelation(residual: np.ndarray) -> np.ndarray:
    """Return the autocorrelation at the lags 1, 2, ..., n//3; zeros if nothing varies."""
    centred = residual - np.median(residual)
    scale = 2 * np.std(centred)
    lags = np.arange(1, residual.size // 3 + 1)
    if scale == 0:
        return np.zeros(lags.size)
    cut = np.clip(centred, -scale, scale)
    cut = cut - cut.mean()
    # by FFT, padded to a power of two from which nothing wraps around
    padded = 1 << (2 * cut.size - 1).bit_length()
    sums = np.fft.irfft(np.abs(np.fft.rfft(cut, padded)) ** 2)[1 : lags.size + 1]
    return sums / (cut.size - lags) * cut.size / (cut @ cut)


def _first_return(alike: np.ndarray, size: int) -> int:
    lags = np.arange(1, alike.size + 1)
    high = alike > np.maximum(_ALIKE, _ERRORS / np.sqrt(size - lags))
    returned = np.flatnonzero(high & np.maximum.accumulate(alike < 0))
    if returned.size == 0:
        return 0
    lag = int(returned[0])
    while lag + 1 < alike.size and alike[lag + 1] > alike[lag]:
        lag += 1
    return lag + 1
