"""Random stacks of layers by name, the fitted rate at which a memory decays, and quantiles over stacks.

Their rate β is :func:`curse_of_memory.measure.linearised_rate`. Layers of one rate have t^{ℓ−1} e^{−βt}
(StableSSM (2311.14495), theorem 3.3): their slope is smaller by up to (ℓ − 1)/t.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import nn

from curse_of_memory.nn.recurrent.gates import GRU, LSTM, ElmanRNN
from curse_of_memory.nn.stack import SequenceStack
from curse_of_memory.nn.state_space.s4d import S4D
from curse_of_memory.nn.state_space.ssm import SSM
from curse_of_memory.theory.decay.laws import upper_envelope

__all__ = ["STACKS", "Slope", "fitted_slope", "spread"]

ABOVE_NOISE = 10.0  # a value counts where it is this many noise floors high
QUANTILES = {"low": 0.1, "median": 0.5, "high": 0.9}


def _ssm(width: int, layers: int, seed: int) -> nn.Module:
    """Return the stack of SSM universality (2309.13414), of rates log-uniform between 0.01 and 1 per step."""
    return SequenceStack(
        lambda inside: SSM(inside, input_size=inside, output_size=inside),
        width,
        layers,
        activation="tanh",
        output="none",
        norm="none",
        residual=False,
        seed=seed,
        dtype=torch.float64,
    )


def _s4d(width: int, layers: int, seed: int) -> nn.Module:
    """Return the stack of the public code of StableSSM (2311.14495), its norm left out."""
    return SequenceStack(S4D, width, layers, norm="none", seed=seed, dtype=torch.float64)


def _fused(kind: type[ElmanRNN | GRU | LSTM]) -> Callable[[int, int, int], nn.Module]:
    """Return the stack of torch's layers of one kind, which have several layers themselves."""
    return lambda width, layers, seed: kind(width, layers, seed=seed, dtype=torch.float64)


STACKS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "RNN": _fused(ElmanRNN),
    "GRU": _fused(GRU),
    "LSTM": _fused(LSTM),
    "SSM": _ssm,
    "S4D": _s4d,
}
"""Functions of width, layers and seed that return an untrained stack in float64, by the kind of layers."""


@dataclass(frozen=True)
class Slope:
    """The line through log M(t) over the second half of what is above the noise.

    Attributes
    ----------
    rate : float
        Minus its slope, per unit time; NaN with fewer than four points, or if the points at hand lie within
        less than a third of that stretch, as on the hump behind a late change of sign.
    r2 : float
        Share of the variance of log M that the line explains.
    start, stop : float
        First and last lag of the line, in time units.
    level : float
        The line at `start`.
    """

    rate: float
    r2: float
    start: float
    stop: float
    level: float


NO_LINE = Slope(math.nan, math.nan, math.nan, math.nan, math.nan)


def fitted_slope(memory: xr.DataArray) -> Slope:
    """Return the line through log M, through the peaks of M where it oscillates.

    Parameters
    ----------
    memory : xarray.DataArray over ``lag``
        As :func:`memory_function` returns it, with its ``noise_floor``.

    Returns
    -------
    Slope
    """
    values, lags, noise = memory.values, memory.lag.values, memory.attrs["noise_floor"]
    (alive,) = np.nonzero(values > ABOVE_NOISE * noise)
    if alive.size < 4:
        return NO_LINE
    peak, stop = int(values.argmax()), int(alive[-1])
    first = max(peak, stop // 2)
    seen = upper_envelope(values[: stop + 1], lags, peak, first, noise=2 * noise)  # of two values
    length = float(seen.lags[-1] - seen.lags[0])
    if length < (lags[stop] - lags[first]) / 3:
        return NO_LINE
    level, fall, residual = seen.fit(0.0)
    variance = float(((seen.logs - seen.logs.mean()) ** 2).sum())
    return Slope(
        rate=fall / length,
        r2=1 - float((residual**2).sum()) / variance,
        start=float(seen.lags[0]),
        stop=float(seen.lags[-1]),
        level=math.exp(level),
    )


def spread(curves: Sequence[xr.DataArray]) -> dict[str, np.ndarray]:
    """Return the 10, 50 and 90 % quantiles over several curves at each lag, NaN where they are noise.

    A curve that has sunk into its noise is lower than all that have not, so that quantiles above the noise
    are right.

    Parameters
    ----------
    curves : sequence of xarray.DataArray
        Over the same ``lag``, with their ``noise_floor``.

    Returns
    -------
    dict of str to numpy.ndarray
        By name: "low", "median" and "high".
    """
    floor = ABOVE_NOISE * max(curve.attrs["noise_floor"] for curve in curves)
    stacked = np.stack([curve.values for curve in curves])
    quantiles = {
        name: np.quantile(stacked, q, axis=0, method="inverted_cdf") for name, q in QUANTILES.items()
    }
    return {name: np.where(values > floor, values, np.nan) for name, values in quantiles.items()}
