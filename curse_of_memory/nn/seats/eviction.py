"""Rules of eviction for caches of models of transformers, with an exact certificate of what they change.

Rules are :class:`Window`, :class:`Sinks` and :class:`HeavyHitters`, or a law or :class:`.Rule` of your own.
They forget what the model would have used; learnt spans (:func:`.add_expire_span`) what it does not use.

Certificate.  A query weighs all memories that were ever written. Without those that were dropped, of the mass
              δ, the answer of a head moves by exactly δ |v̄_dropped − o'|
              (:func:`curse_of_memory.theory.expiry.evict`). It is that of one answer, queries, keys and
              values being what they are after all earlier evictions; errors of many layers and steps do not
              add up.
"""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from curse_of_memory.nn.forgetting.law import Law
from curse_of_memory.nn.forgetting.windows import Sinks, Window
from curse_of_memory.nn.seats.passes import Attended
from curse_of_memory.nn.seats.rule import HeavyHitters, Rule
from curse_of_memory.nn.seats.seat import Seat
from curse_of_memory.theory.expiry import evict
from curse_of_memory.tools import checks

__all__ = ["HeavyHitters", "Rule", "Sinks", "Window", "apply", "certify", "compare"]


def apply(model: Any, rule: Law) -> Seat:
    """Return the seat of a rule of eviction in a `model` of transformers, whose caches keep what it says.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A decoder, as for :func:`.add_expire_span`.
    rule : Law
        What stays: :class:`Window`, :class:`Sinks`, :class:`HeavyHitters`, or one of your own. Each layer
        takes a copy.

    Raises
    ------
    ModuleNotFoundError, TypeError, ValueError
        Without transformers, for a model that cannot take a law or has one, or if `rule` is none.

    Examples
    --------
    >>> import torch, transformers
    >>> config = transformers.LlamaConfig(
    ...     vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2
    ... )
    >>> model = transformers.LlamaForCausalLM(config).eval()
    >>> seat = apply(model, Sinks(4, window=16))
    >>> report = certify(seat, torch.arange(60)[None] % 8)
    >>> int(report.live.max()), bool((report.error <= report.bound + 1e-6).all())
    (20, True)
    >>> seat.remove()
    """
    if not isinstance(rule, Law):
        raise TypeError(f"rule must be a law of forgetting or a Rule, got {checks.shown(rule)}")
    return Seat(model, lambda: copy.deepcopy(rule), lossy=True)


@torch.no_grad()
def certify(seat: Seat, tokens: Tensor, *, chunk: int = 1) -> xr.Dataset:
    """Return what a seat drops while its model reads `tokens`, and how far each answer of each head is off.

    Parameters
    ----------
    seat : Seat
        Of :func:`apply` or of :func:`.add_expire_span`.
    tokens : Tensor of shape ``(batch, time)``
        Whole numbers, without padding.
    chunk : int
        How many are read at a time: rules that look at weights act after each.

    Returns
    -------
    xarray.Dataset
        With the dimensions ``layer, row, head, step``: ``mass`` δ, ``error`` |o − o'|, its ``bound``
        δ max |v − o'|, and ``norm`` |o|, of the answer to which nothing is lost. Without ``head``: ``live``,
        how many memories were seen. By ``row`` and ``step``, if the model answers logits: ``loss`` of the
        next token, in nats, NaN at the end.

    Raises
    ------
    TypeError, ValueError
        If `seat` is none or was removed, `tokens` are no whole numbers of this shape or none at all, or
        `chunk` is below one.

    Notes
    -----
    Memory and time are those of a cache from which nothing is freed. The model is in its evaluation mode.
    """
    if not isinstance(seat, Seat):
        raise TypeError(f"seat must be that of a model, got {checks.shown(seat)}")
    if not isinstance(tokens, Tensor) or tokens.ndim != 2 or tokens.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"tokens must be whole numbers (batch, time), got {checks.shown(tokens)}")
    if not tokens.numel():
        raise ValueError(f"tokens must be one or more, (batch, time), got {tuple(tokens.shape)}")
    if not seat.is_in_place:
        raise ValueError("seat must be in its model, but it was removed")
    checks.positive_int("chunk", chunk)
    seen: list[list[dict[str, np.ndarray]]] = [[] for _ in seat.laws]

    def watch(attended: Attended) -> None:
        seen[attended.layer].append(_certificates(attended, seat.lossy))

    training, deletes, watched = seat.model.training, seat.deletes, seat.watch
    lives, logits = [], []
    try:
        seat.model.eval()
        seat.deletes, seat.watch = False, watch
        cache = seat.cache()
        for part in tokens.split(chunk, 1):
            answer = seat.model(part, past_key_values=cache)
            lives.append(seat.live())
            logits.append(getattr(answer, "logits", None))
    finally:
        seat.model.train(training)
        seat.deletes, seat.watch = deletes, watched
    dims = ("layer", "row", "head", "step")
    report = {
        name: (dims, np.stack([np.concatenate([part[name] for part in layer], -1) for layer in seen]))
        for name in ("mass", "error", "bound", "norm")
    }
    data = xr.Dataset(report | {"live": (("layer", "row", "step"), torch.cat(lives, 2).numpy())})
    if all(part is not None for part in logits):
        nats = torch.full(tokens.shape, torch.nan, dtype=torch.float64)
        said = torch.cat([part for part in logits if part is not None], 1)[:, :-1].double().log_softmax(-1)
        nats[:, :-1] = -said.gather(2, tokens[:, 1:, None].long())[..., 0].cpu()
        data["loss"] = (("row", "step"), nats.numpy())
    return data


def _certificates(attended: Attended, lossy: bool) -> dict[str, np.ndarray]:
    """Return the certificates of one call of an attention, each of shape ``(batch, heads, query)``."""
    scores = attended.scores.double()
    if not lossy:  # the mask is part of the model
        scores = scores + attended.log_mask
    weights = scores.masked_fill(~attended.seen, -torch.inf).softmax(-1).cpu().numpy()
    values = attended.values.double().cpu().numpy()
    kept = attended.kept.expand(weights.shape).cpu().numpy()
    batch, heads, steps, _ = weights.shape
    found = {name: np.empty((batch, heads, steps)) for name in ("mass", "error", "bound", "norm")}
    for row in range(batch):
        for head in range(heads):
            w, v = weights[row, head], values[row, head]
            one = evict(w, v, kept[row, head])
            found["mass"][row, head] = one.mass
            found["error"][row, head] = one.error
            found["bound"][row, head] = one.bound
            found["norm"][row, head] = np.linalg.norm(w @ v, axis=-1)
    return found


def compare(model: Any, rules: Mapping[str, Law | Seat], tokens: Tensor, *, chunk: int = 1) -> pd.DataFrame:
    """Return one table of many rules: how much they keep, what they drop, and what that changes.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A decoder that answers logits; each rule is applied to it, and removed.
    rules : mapping from str to Law or Seat
        By the names of rows. A seat, such as that of learnt spans, is measured with its own model.
    tokens : Tensor of shape ``(batch, time)``
        Whole numbers, without padding.
    chunk : int
        How many are read at a time.

    Returns
    -------
    pandas.DataFrame
        For each rule, over all layers, rows, heads and steps: mean and largest number of ``live`` memories;
        mean and largest ``mass`` δ; mean and largest ``error``, relative to the answer |o|; mean ``loss`` in
        nats.

    Raises
    ------
    TypeError, ValueError
        As :func:`apply` and :func:`certify`, or if `rules` is no mapping.
    """
    if not isinstance(rules, Mapping):
        raise TypeError(f"rules must be a mapping from names to rules, got {checks.shown(rules)}")
    table = {}
    for name, rule in rules.items():
        seat = rule if isinstance(rule, Seat) else apply(model, rule)
        try:
            report = certify(seat, tokens, chunk=chunk)
        finally:
            if seat is not rule:
                seat.remove()
        relative = report.error / report.norm
        table[name] = {
            "live": float(report.live.mean()),
            "largest_live": int(report.live.max()),
            "mass": float(report.mass.mean()),
            "largest_mass": float(report.mass.max()),
            "error": float(relative.mean()),
            "largest_error": float(relative.max()),
            "loss": float(report.loss.mean()) if "loss" in report else np.nan,
        }
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("rule")
