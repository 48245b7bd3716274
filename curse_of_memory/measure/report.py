"""A table of the memories of many models: how they decay, and how long they last."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from torch import nn
from tqdm import tqdm

from curse_of_memory.measure.memory import memory_function
from curse_of_memory.measure.sequence_map import SequenceMap
from curse_of_memory.theory.decay import decay

__all__ = ["memory_report"]


def memory_report(
    models: Mapping[str, nn.Module | SequenceMap | xr.DataArray] | Sequence[nn.Module | SequenceMap],
    horizon: int | None = None,
    *,
    share: float = 0.99,
    progress: bool = False,
    **options,
) -> pd.DataFrame:
    """Return a table of the memory of every model: class of decay, rate, half-life and effective horizon.

    Parameters
    ----------
    models : mapping from name to torch.nn.Module, SequenceMap or xarray.DataArray, or a list of them
        Modules as :func:`memory_function` takes them, or memories that it has measured already. Those in a
        list have the names of their classes.
    horizon : int, optional
        Number of lags, in steps; needed for modules.
    share : float
        Of the memory, for the effective horizon.
    progress : bool
        Show a bar over models.
    options
        For :func:`memory_function`, the same for all modules.

    Returns
    -------
    pandas.DataFrame
        One row a model: ``parameters``, ``decay`` (the class), ``rate`` (1/time) or ``exponent``,
        ``confidence``, ``half_life``, ``effective_horizon`` (time units; inf: longer than measured),
        ``last`` (memory at the last lag over its maximum), ``noise_floor`` (over the maximum, too). The
        definitions are those of :func:`curse_of_memory.theory.decay.decay`.

    Raises
    ------
    ValueError, TypeError
        For no models, a module without a horizon, and as :func:`memory_function` does; with its name.

    Examples
    --------
    >>> models = {"GRU": nn.GRU(1, 8, batch_first=True), "delay": nn.Identity()}
    >>> memory_report(models, horizon=30).loc["delay", "decay"]
    'compact'
    """
    rows = {}
    named = _named(models)
    for name, model in tqdm(named.items(), desc="models", leave=False, disable=not progress):
        if isinstance(model, xr.DataArray):
            memory = model
        elif horizon is None:
            raise ValueError(f"horizon must be given to measure {name!r}")
        else:
            try:
                memory = memory_function(model, horizon, **options)
            except (TypeError, ValueError) as error:
                refusal = TypeError if isinstance(error, TypeError) else ValueError
                raise refusal(f"models[{name!r}]: {error}") from error
        rows[name] = _row(memory, share)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def _named(models) -> dict[str, nn.Module | SequenceMap | xr.DataArray]:
    """Return the models by name; those of a list are named by their classes, numbered where they repeat."""
    if isinstance(models, Mapping):
        named = dict(models)
    elif isinstance(models, Sequence) and not isinstance(models, str):
        counts, named = Counter(), {}
        for model in models:
            label = type(model.model if isinstance(model, SequenceMap) else model).__name__
            counts[label] += 1
            named[label if counts[label] == 1 else f"{label} {counts[label]}"] = model
    else:
        raise TypeError(
            f"models must be a mapping from names to models, or a list, got {type(models).__name__}"
        )
    if not named:
        raise ValueError("models must not be empty")
    for name, model in named.items():
        if not isinstance(model, nn.Module | SequenceMap | xr.DataArray):
            raise TypeError(f"models[{name!r}] must be a module or a memory, got {type(model).__name__}")
    return named


def _row(memory: xr.DataArray, share: float) -> dict:
    fit = decay(memory, share=share)
    largest = float(memory.max()) or 1.0
    return {
        "parameters": memory.attrs.get("parameters", 0),
        "decay": fit.kind,
        "rate": np.nan if fit.rate is None else fit.rate,
        "exponent": np.nan if fit.exponent is None else fit.exponent,
        "confidence": fit.confidence,
        "half_life": fit.half_life,
        "effective_horizon": fit.effective_horizon,
        "last": float(memory[-1]) / largest,
        "noise_floor": fit.noise_floor / largest,
    }
