"""Sampled kernels: values at the lags 0, dt, 2 dt, ..., and the time step that their labels give."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from curse_of_memory.tools import checks

__all__ = ["Lagged", "causal_times", "lag_grid", "lag_step", "lagged"]

_UNEVEN = 1e-3  # of a step: what rounding of summed lags may never exceed


class Lagged(NamedTuple):
    """The values of a kernel at the lags 0, dt, 2 dt, ..., and dt."""

    values: np.ndarray
    dt: float


def lag_grid(values: np.ndarray, dt: float, name: str) -> xr.DataArray:
    """Return `values` (horizon,) as a labelled array over ``lag`` = 0, dt, 2 dt, ... in time units.

    Examples
    --------
    >>> lag_grid(np.ones(3), 0.5, "rho").lag.values
    array([0. , 0.5, 1. ])
    """
    return xr.DataArray(values, {"lag": dt * np.arange(values.size)}, ["lag"], name=name)


def causal_times(t: ArrayLike) -> np.ndarray:
    """Return finite times t >= 0, of any shape, as float64.

    Raises
    ------
    ValueError, TypeError
        If one is negative, NaN or infinite.
    """
    t = checks.finite_array("t", t)
    if (t < 0).any():
        raise ValueError(f"t must not be negative (rho is a causal kernel), got {t.min():g}")
    return t


def lagged(name: str, values: ArrayLike, dt: float | None = None, ndim: int | None = 1) -> Lagged:
    """Return a sampled kernel as float64 values, and its time step.

    Parameters
    ----------
    name : str
        What errors call it.
    values : array_like, shape (..., n)
        Values at the lags 0, dt, ..., (n − 1) dt. An xarray.DataArray has ``lag`` as its last dimension; a
        pandas.Series has its lags as index, unless that only counts (a RangeIndex from 0 in steps of 1).
    dt : float, optional
        Time step; that of the labels unless given, 1 without labels.
    ndim : int, optional
        How many dimensions the values must have.

    Returns
    -------
    Lagged

    Raises
    ------
    ValueError, TypeError
        For values that are empty, not finite, masked or not real; lags that do not start at 0, do not
        increase or are not even; and a `dt` that contradicts them.

    Notes
    -----
    Lags are even if lag k is k dt up to rounding; lags that were summed step by step may be off by n
    roundings of the last one, but by no more than a thousandth of a step.

    Examples
    --------
    >>> lagged("rho", xr.DataArray([1.0, 0.5, 0.25], {"lag": [0.0, 0.1, 0.2]}, ["lag"])).dt
    0.1
    >>> lagged("rho", [1.0, 0.5]).dt
    1.0
    """
    step = lag_step({name: values}, dt)
    return Lagged(checks.finite_array(name, values, ndim), step)


def lag_step(kernels: Mapping[str, object], dt: float | None = None) -> float:
    """Return the common time step of `kernels`, by their labels and `dt`.

    Parameters
    ----------
    kernels : mapping from name to anything
        Sampled kernels, as :func:`lagged` takes them; those without labels fit any step.
    dt : float, optional
        The time step, with which the labels must agree.

    Returns
    -------
    float
        `dt` if it is given, else that of the labels, else 1.

    Raises
    ------
    ValueError, TypeError
        For labels that are not an even grid from 0, or contradict each other or `dt`.

    Examples
    --------
    >>> lag_step({"rho": pd.Series([1.0, 0.5], index=[0.0, 0.25]), "rho_hat": [1.0, 0.4]})
    0.25
    """
    agreed, by, slack = None, "dt", 0.0
    if dt is not None:
        agreed = checks.positive("dt", dt)
    for name, kernel in kernels.items():
        lags = _labels(name, kernel)
        if lags is None or (step := _even_step(name, lags)) is None:
            continue
        step, off = step
        if agreed is None:
            agreed, by, slack = step, name, off
        elif abs(step - agreed) > off + slack:
            raise ValueError(f"{name} and {by} must agree in their step, got {step:g} and {agreed:g}")
    return 1.0 if agreed is None else agreed


def _labels(name: str, kernel: object) -> np.ndarray | None:
    """Return the checked lags that a kernel is labelled with; None if it has no labels."""
    if isinstance(kernel, xr.Dataset | pd.DataFrame):
        raise TypeError(f"{name} must be one array, got a {type(kernel).__name__}: choose a variable")
    if isinstance(kernel, pd.Series):
        index = kernel.index
        if isinstance(index, pd.RangeIndex) and (index.start, index.step) == (0, 1):
            return None
    elif isinstance(kernel, xr.DataArray):
        if kernel.dims[-1:] != ("lag",):
            raise ValueError(f"{name} must be over 'lag', its last dimension, got {kernel.dims}")
        if "lag" not in kernel.coords:
            return None
        index = kernel.lag.values
    else:
        return None
    return _numbers(f"lags of {name}", index)


def _numbers(name: str, index) -> np.ndarray:
    """Return labels as they are stored, float32 as float32: their rounding counts."""
    checks.finite_array(name, index, ndim=1)
    lags = np.asarray(index)
    return lags if lags.dtype.kind == "f" else lags.astype(float)


def _even_step(name: str, lags: np.ndarray) -> tuple[float, float] | None:
    """Return the step of a grid 0, dt, 2 dt, ..., and by how much it is uncertain; None for lag 0 alone."""
    eps = float(np.finfo(lags.dtype).eps)
    lags = lags.astype(float)
    if (np.diff(lags) <= 0).any():
        raise ValueError(f"lags of {name} must increase, got {_first(lags)}")
    steps, last = np.arange(lags.size), float(lags[-1])
    rounding = eps * abs(last)
    slack = max(rounding, min(lags.size * rounding, _UNEVEN * abs(last) / max(steps[-1], 1)))
    if abs(lags[0]) > slack * (lags.size > 1):
        raise ValueError(f"lags of {name} must start at 0, got {_first(lags)}")
    if lags.size == 1:
        return None
    for step in (float(lags[1]), last / steps[-1]):
        if (np.abs(lags - step * steps) <= slack).all():
            # the second lag is rounded to its own digits, the mean step to those of the last lag
            return step, 2 * slack / steps[-1] + eps * step
    raise ValueError(f"lags of {name} must be even, 0, dt, 2 dt, ..., got {_first(lags)}")


def _first(lags: np.ndarray) -> str:
    return ", ".join(f"{lag:g}" for lag in lags[:4]) + (", ..." if lags.size > 4 else "")
