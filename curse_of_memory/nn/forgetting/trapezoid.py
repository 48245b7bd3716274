"""The trapezoid m(s) = min(1, max(0, 1 + (e − s)/R)) of a span e and a ramp of R steps, for torch."""

import torch
from torch import Tensor

from curse_of_memory.nn.building.own_precision import SHORT

__all__ = ["ages_before_ramp", "log_trapezoid", "ramp_charge", "spans_of"]


def spans_of(logits: Tensor, max_span: int, ramp: int) -> Tensor:
    """Return spans L σ(b) of `logits` b, in float32 at least: short floats are too coarse for ages.

    Raises
    ------
    ValueError
        If L + R goes beyond the whole numbers of its dtype: ages could not be told from each other.
    """
    if logits.dtype in SHORT:
        logits = logits.float()
    largest = round(2 / torch.finfo(logits.dtype).eps)
    if max_span + ramp > largest:
        raise ValueError(
            f"max_span + ramp must be at most {largest} steps in {logits.dtype}, got {max_span + ramp}"
        )
    return max_span * logits.sigmoid()


def log_trapezoid(ages: Tensor, spans: Tensor, ramp: int, queries: int) -> Tensor:
    """Return log m(s) of memories with spans e for a block of queries, ``(batch, heads, query, memory)``.

    Parameters
    ----------
    ages : Tensor of shape ``(batch, memory)``
        Whole numbers: ages for the first query.
    spans : Tensor of shape ``(batch, heads, memory)``
        e >= 0, in steps; sizes of one are shared.
    ramp : int
        R >= 1, in steps.
    queries : int
        Of the block.

    Notes
    -----
    A memory is on its ramp at R + 1 queries in a row at most. At these m is computed; log m is zero before
    them, and −inf after them.

    m is computed as (e − (s − R))/R, and zero for s >= e + R alone, also in floats (see
    :func:`curse_of_memory.theory.expiry.mask`). Its derivative by e is 1/R on the ramp and nothing elsewhere.

    Where m is above zero, and below the smallest normal number of the dtype (1e-308, in float32 1e-38), it is
    that number, since the derivative of log m has the factor 1/m, which would be infinite. Answers differ by
    less than can be seen, unless all memories of a query are that small: these count alike.
    """
    few = min(ramp + 1, queries)
    j = torch.arange(queries, device=ages.device)[:, None]
    ages, near, first = ages[:, None, None], j[:few], None
    if few < queries:
        first = (ages_before_ramp(spans.detach())[:, :, None] + 1 - ages).clamp(0, queries - few)
        near = first + near
    left = spans[:, :, None] - (ages + (near - ramp)).to(spans.dtype)
    # a part of R of the smallest numbers is zero, without a logarithm; and 1/m must be a number
    m = (left / ramp).clamp(torch.finfo(left.dtype).tiny, 1)
    on_ramp = torch.where(left <= 0, -torch.inf, m.log())
    if first is None:
        return on_ramp
    # 1 − 1/1 = 0 before these queries, and 1 − 1/0 = −∞ after them, in a third of the time of torch.where
    counts = ((first + 1).to(left.dtype) - j.to(left.dtype)).clamp(0, 1)
    return (1 - counts.reciprocal()).scatter(2, near, on_ramp)


def ages_before_ramp(spans: Tensor) -> Tensor:
    """Return the whole age ⌈e⌉ − 2, up to which m = 1 and learns nothing.

    Parameters
    ----------
    spans : Tensor
        e >= 0, in steps.

    Notes
    -----
    At the age e itself, where m = 1, the ramp begins. So it does, for :func:`log_trapezoid`, at the age
    ⌈e⌉ − 1 where a span is a rounding above it: with 1 + 2⁻⁵² that is 1 where R >= 2.
    """
    return spans.ceil().long() - 2


def ramp_charge(ages: Tensor, spans: Tensor, ramp: int, queries: int, first_age: int) -> Tensor:
    """Return Σ (e − s) over all queries for which a memory is on its ramp, 0 < m(s) < 1, ``(batch,)``.

    Parameters
    ----------
    ages, spans : Tensor of shape ``(batch, memory)``
        Ages for the first query, and e >= 0.
    ramp : int
        R >= 1, in steps.
    queries : int
        Of the block.
    first_age : int
        Age of the youngest memory that a query sees.

    Notes
    -----
    Ages on the ramp are the whole numbers with e < s < e + R, in closed form: from ⌊e⌋ + 1 to ⌈e⌉ + R − 1, as
    far as the block has them. No query is looked at.
    """
    e = spans.detach()
    youngest = ages.clamp(min=first_age)
    first = torch.maximum(youngest, e.floor().long() + 1)
    last = torch.minimum(ages + (queries - 1), e.ceil().long() + (ramp - 1))
    count = (last - first + 1).clamp(min=0)
    # (first + last) is odd only if the count is even
    summed = (first + last) * count // 2
    return (count * spans - summed * (count > 0)).sum(-1)
