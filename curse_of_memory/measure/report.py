"""A table of the memories of many models: how they decay, how long they last, and how certain that is."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from torch import nn
from tqdm.auto import tqdm

from curse_of_memory.measure.memory import memory_function
from curse_of_memory.measure.memory_table import MemoryReport
from curse_of_memory.measure.sequence_map import SequenceMap
from curse_of_memory.theory.decay import DecayIntervals, Settling, decay_intervals, settling
from curse_of_memory.tools import checks

__all__ = ["memory_report"]


def memory_report(
    models: Mapping[str, nn.Module | SequenceMap | xr.DataArray] | Sequence[nn.Module | SequenceMap],
    horizon: int | None = None,
    *,
    share: float = 0.99,
    level: float = 0.9,
    progress: bool = False,
    **options,
) -> MemoryReport:
    """Return a table of the memory of every model: class of decay, rate, half-life and effective horizon.

    With an interval for each number, and whether another horizon would change the answer.

    Parameters
    ----------
    models : mapping from name to torch.nn.Module, SequenceMap or xarray.DataArray, or a list of them
        Modules as :func:`memory_function` takes them, or memories that it has measured already. Those in a
        list have the names of their classes.
    horizon : int, optional
        Number of lags, in steps; needed for modules.
    share : float
        Of the memory, for the effective horizon.
    level : float
        Of the intervals, between 0 and 1.
    progress : bool
        Show a bar over models.
    options
        For :func:`memory_function`, the same for all modules.

    Returns
    -------
    MemoryReport
        A pandas.DataFrame, one row a model: ``parameters``, ``decay`` (the class), ``settled`` (whether half
        of what was measured says the same), ``rate`` (1/time) or ``exponent``, ``confidence``, ``half_life``,
        ``effective_horizon`` (time units; inf: longer than measured), ``last`` (memory at the last lag over
        its maximum), ``noise_floor`` (over the maximum, too), ``remark`` (what changes with the horizon).
        ``rate_low``, ``rate_high`` and so on are the ends of the intervals. ``told()`` says it in words, and
        ``plot()`` draws it. The definitions are those of :func:`curse_of_memory.theory.decay.decay`.

    Raises
    ------
    ValueError, TypeError
        For no models, a module without a horizon, and as :func:`memory_function` and
        :func:`curse_of_memory.theory.decay.decay` do; with the name of the model.

    Notes
    -----
    **How certain is it?** Three things, kept apart. The *intervals* come from what one curve shows: how far
    its values are off the fitted law, with their autocorrelation regarded, and its noise floor; their rule
    and how often they hold is in :func:`curse_of_memory.theory.decay.decay_intervals`. A linear model of one
    mode has intervals as wide as rounding. *Whether the law goes on* beyond the horizon they do not say:
    `settled` is True if the curves that end at 0.5 and 0.71 of the length have the same class, and a rate or
    exponent within a tenth (:func:`curse_of_memory.theory.decay.settling`). True is no proof: a slower mode
    may lie below what was measured. False says that this horizon does not decide. And what was *measured* is
    of these inputs: for a nonlinear model a lower bound of the supremum over all of them.

    Examples
    --------
    >>> import torch
    >>> import curse_of_memory as com
    >>> models = {"GRU": torch.nn.GRU(1, 8, batch_first=True), "delay": torch.nn.Identity()}
    >>> com.memory_report(models, horizon=30).loc["delay", "decay"]
    'compact'
    >>> linear = com.nn.RNN.from_exponential_sum(rates=[0.1], coefficients=[1.0])
    >>> print(com.memory_report({"one mode": linear}, horizon=100).told())
    one mode: exponential, rate 0.1
        half-life 6.93, 99 % of it within lag 46 (90 % intervals)
        settled: the same law up to lag 49 and up to lag 99
    """
    checks.flag("progress", progress)
    memories, answers, laws = {}, {}, {}
    named = _named(models)
    for name, model in tqdm(named.items(), desc="models", leave=False, disable=not progress):
        if horizon is None and not isinstance(model, xr.DataArray):
            raise ValueError(f"horizon must be given to measure {name!r}")
        try:
            memory = _memory(model, horizon, options)
            laws[name] = settling(memory)
        except (TypeError, ValueError) as error:
            refusal = TypeError if isinstance(error, TypeError) else ValueError
            raise refusal(f"models[{name!r}]: {error}") from error
        memories[name] = memory
        answers[name] = decay_intervals(memory, share=share, level=level)
    rows = {name: _row(memories[name], answers[name], laws[name]) for name in named}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
    return MemoryReport(table, memories, answers, share)


def _memory(
    model: nn.Module | SequenceMap | xr.DataArray, horizon: int | None, options: dict
) -> xr.DataArray:
    if isinstance(model, xr.DataArray):
        return model
    assert horizon is not None  # else it was refused
    return memory_function(model, horizon, **options)


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


def _row(memory: xr.DataArray, answer: DecayIntervals, law: Settling) -> dict:
    fit = answer.fit
    largest = float(np.abs(memory).max()) or 1.0
    row = {"parameters": memory.attrs.get("parameters", 0), "decay": fit.kind, "settled": law.settled}
    for name in ("rate", "exponent", "half_life", "effective_horizon"):
        value, ends = getattr(fit, name), getattr(answer, name) or (np.nan, np.nan)
        row |= {name: np.nan if value is None else value, f"{name}_low": ends[0], f"{name}_high": ends[1]}
        if name == "exponent":
            row["confidence"] = fit.confidence
    return row | {
        "last": abs(float(memory[-1])) / largest,
        "noise_floor": fit.noise_floor / largest,
        "remark": law.remark,
    }
