"""Sequences of different lengths side by side: which steps are padding, turned round, and packed by torch.

In a batch ``(batch, time, channel)`` the shorter ones end in padding, whose numbers mean nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from curse_of_memory.tools import checks

__all__ = ["PackedOutputs", "backwards", "checked_lengths", "packed_like", "unpacked", "within"]


class PackedOutputs(NamedTuple):
    """The answer of a layer to packed sequences, and the states after the last step of each.

    Attributes
    ----------
    y : PackedSequence
        The answers, packed as the inputs are.
    last : Tensor of shape ``(batch, state)``
        The states, in the order in which the sequences were before they were packed.
    """

    y: PackedSequence
    last: Tensor


def checked_lengths(lengths: Sequence[int] | Tensor, x: Tensor) -> Tensor:
    """Return `lengths` as a tensor ``(batch,)`` on the device of `x`, ``(batch, time, channel)``.

    Raises
    ------
    TypeError
        If they are no whole numbers.
    ValueError
        If they are not one for each sequence, or one is zero, negative or longer than time.

    Examples
    --------
    >>> checked_lengths([2, 3], torch.zeros(2, 3, 1))
    tensor([2, 3])
    """
    batch, time = x.shape[:2]
    if isinstance(lengths, Tensor):
        given = lengths
        if given.dtype == torch.bool or given.is_floating_point() or given.is_complex():
            raise TypeError(f"lengths must be whole numbers, got a tensor of {given.dtype}")
    elif isinstance(lengths, str) or not isinstance(lengths, Sequence | np.ndarray):
        raise TypeError(f"lengths must be whole numbers, one for each sequence, got {checks.shown(lengths)}")
    else:
        given = torch.tensor([checks.whole_number("lengths", n, least=1) for n in lengths], dtype=torch.int64)
    if given.shape != (batch,):
        raise ValueError(f"lengths must be one for each of {batch} sequences, got shape {tuple(given.shape)}")
    if not torch.compiler.is_compiling():  # which does not know the numbers
        outside = [n for n in given.tolist() if not 1 <= n <= time]
        if outside:
            raise ValueError(f"lengths must be from 1 to {time}, the steps of x, got {outside[0]}")
    return given.to(x.device, torch.int64)


def within(lengths: Tensor, time: int) -> Tensor:
    """Return which steps ``(batch, time)`` belong to sequences of `lengths`, and are no padding.

    Examples
    --------
    >>> within(torch.tensor([1, 3]), 3).int()
    tensor([[1, 0, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    return torch.arange(time, device=lengths.device) < lengths[:, None]


def backwards(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Return each sequence of `x`, ``(batch, time, channel)``, from its end on; padding stays where it is.

    `lengths` ``(batch,)`` are their steps; without them there is no padding.

    Examples
    --------
    >>> backwards(torch.tensor([[[1.0], [2.0], [0.0]]]), torch.tensor([2])).flatten().tolist()
    [2.0, 1.0, 0.0]
    """
    if lengths is None:
        return x.flip(1)
    step = torch.arange(x.shape[1], device=x.device)
    mirrored = lengths[:, None] - 1 - step
    order = torch.where(mirrored < 0, step, mirrored)
    return x.gather(1, order[..., None].expand(x.shape))


def unpacked(packed: PackedSequence) -> tuple[Tensor, Tensor]:
    """Return `packed` sequences padded, ``(batch, time, channel)``, in their order before; and lengths."""
    return pad_packed_sequence(packed, batch_first=True)


def packed_like(y: Tensor, packed: PackedSequence) -> PackedSequence:
    """Return padded answers `y` in the order and with the lengths of `packed` sequences."""
    order, sizes = packed.sorted_indices, packed.batch_sizes
    lengths = (sizes > torch.arange(y.shape[0])[:, None]).sum(1)
    data = pack_padded_sequence(y if order is None else y[order], lengths, batch_first=True).data
    return PackedSequence(data, sizes, order, packed.unsorted_indices)
