"""What a block of queries answers from memories that a law of forgetting weighs, on the shortest way.

Equation.   softmax(q_t · k_i / √w + log m_ti [+ q_t · p_s / √w]) v_i, with learnt vectors p_s for ages s.

Algorithm.  The law is asked for log m of memories alone that may have m < 1 for one of the queries: those of
            the block itself, near the end of their span, or padding. For others log m = 0. Then it is a call
            of ``scaled_dot_product_attention``. Where log m learns, on a CPU, products are written out: torch
            would do that, too, and look for empty rows once more. So they are where torch.func is at work,
            since torch's own ways have no forward derivative.

Others.     FlexAttention of torch with a block mask skips tiles in which all memories are dead. Here the dead
            have been gathered out before, row by row, and no tile is left to skip. On a CPU it has no
            backward in torch 2.13, and forwards it is no faster, after a minute of compilation. On a GPU,
            where log m learns, the gradient to spans would go through a tensor that its score captures: that
            has not been tried, so ``scaled_dot_product_attention`` is taken everywhere.
"""

import math

import torch
from torch import Tensor, nn

from curse_of_memory.nn._torch_private import has_numbers, is_transformed
from curse_of_memory.nn.building.own_precision import SHORT, under_autocast
from curse_of_memory.nn.forgetting.asked import full_ages_said, log_mask_said, refuse_masks
from curse_of_memory.nn.forgetting.law import Law
from curse_of_memory.nn.forgetting.store import columns_of, last_columns

__all__ = ["answered"]

FEW = 2**19  # numbers log m, of which a part is not looked for: that takes longer than to make them all


def answered(
    law: Law,
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    ages: Tensor,
    notes: Tensor,
    positions: Tensor | None,
    dropout: float,
) -> tuple[Tensor, Tensor]:
    """Return what queries answer, ``(batch, heads, query, channel)``, and how many memories each sees.

    Parameters
    ----------
    law : Law
        Says log m.
    q : Tensor of shape ``(batch, heads, query, channel)``
        The queries of a block.
    keys, values : Tensor of shape ``(batch, heads, memory, channel)``
        Of all memories, the last of which are those of the block itself.
    ages : Tensor of shape ``(batch, memory)``
        Whole numbers: for the first query.
    notes : Tensor of shape ``(batch, memory, note)``
        What the law has noted.
    positions : Tensor of shape ``(channel, steps)``, optional
        Learnt vectors of the ages from `steps` to 1.
    dropout : float
        Probability with which a weight is dropped.
    """
    bias, empty, live = _log_mask(law, ages, notes, q)
    if positions is not None:
        bias = _with_positions(bias, q, ages, positions)
    if empty is None:
        return _attended(q, keys, values, bias, dropout), live
    # softmax of nothing is NaN: such a row answers zero
    y = _attended(q, keys, values, bias.masked_fill(empty, 0.0), dropout)
    return y.masked_fill(empty, 0.0), live


def _log_mask(law: Law, ages: Tensor, notes: Tensor, q: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
    """Return log m, ``(batch, heads or 1, query, memory)``, −inf for what is not seen, and what is seen.

    That is which queries see nothing, ``(batch, heads or 1, query, 1)``, or None if all see something; and
    how many memories each sees, by one head at least, ``(batch, query)``.
    """
    memories, (heads, queries) = ages.shape[1], q.shape[1:3]
    columns = _undecided(law, ages, notes, queries)
    if columns is not None:
        ages, notes = ages.gather(1, columns), columns_of(notes, columns)
    steps = torch.arange(queries, device=ages.device)[:, None]
    too_young = ages[:, None, None, :] < law.first_age - steps
    said = log_mask_said(law, ages, notes, queries, heads).to(q.dtype)
    bias = torch.where(too_young, -torch.inf, said)
    refuse_masks(law, bias)
    sees = bias > -torch.inf
    seen = sees.sum(-1, dtype=torch.int32)
    live = seen[:, 0] if sees.shape[1] == 1 else sees.any(1).sum(-1, dtype=torch.int32)
    if columns is None:
        all_see = has_numbers(seen) and bool(seen.all())
        return bias, None if all_see else (seen == 0)[..., None], live.long()
    # all see what is not in these columns
    everywhere = bias.new_zeros(*bias.shape[:3], memories)
    bias = everywhere.scatter(-1, columns[:, None, None, :].expand_as(bias), bias)
    return bias, None, live.long() + (memories - columns.shape[1])


def _undecided(law: Law, ages: Tensor, notes: Tensor, queries: int) -> Tensor | None:
    """Return the columns of memories that not all queries see in full; None where it is all, or not worth it.

    ``(batch, undecided)``; rows with fewer have others before them.
    """
    if len(ages) * ages.shape[1] * queries < FEW or 4 * queries >= 3 * ages.shape[1]:
        return None
    full_ages = full_ages_said(law, notes)
    if full_ages is None:
        return None
    undecided = (ages < law.first_age) | (ages + (queries - 1) > full_ages)
    undecided[:, -queries:].fill_(True)  # laws read there what the block has written
    if not has_numbers(undecided):
        return None
    count = int(undecided.sum(1).max())
    return last_columns(undecided, count) if 4 * count < 3 * ages.shape[1] else None


def _attended(q: Tensor, keys: Tensor, values: Tensor, bias: Tensor, dropout: float) -> Tensor:
    device, transformed = q.device.type, is_transformed(q) or is_transformed(bias)
    learns = bias.requires_grad and device == "cpu" and q.dtype not in SHORT and not under_autocast(device)
    if not (learns or transformed):
        return nn.functional.scaled_dot_product_attention(q, keys, values, bias, dropout)
    scores = (q / math.sqrt(q.shape[-1])) @ keys.mT
    scores = scores + bias if transformed else scores.add_(bias)
    weights = scores.softmax(-1)
    return (nn.functional.dropout(weights, dropout) if dropout else weights) @ values


def _with_positions(bias: Tensor, q: Tensor, ages: Tensor, positions: Tensor) -> Tensor:
    """Return the bias of every head with q · p / √w added for memories that have a position."""
    reach, queries = positions.shape[1], q.shape[2]
    older = max(ages.shape[1] - reach - queries, 0)  # columns without any
    age = ages[:, None, None, older:] + torch.arange(queries, device=q.device)[:, None]
    # the last column is for ages without a position
    scores = nn.functional.pad(q @ positions / math.sqrt(q.shape[-1]), (0, 1))
    column = torch.where((age >= 1) & (age <= reach), reach - age, reach)
    own = scores.gather(-1, column.expand(-1, q.shape[1], -1, -1))
    bias = bias.expand(-1, q.shape[1], -1, -1)
    return torch.cat([bias[..., :older], bias[..., older:] + own], -1)
