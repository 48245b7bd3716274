"""What a user would take instead: other packages' ways to the work of a row, where they are installed."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

Numbers = list[Tensor]
ALIKE = 0.5  # answers whose difference is below this power of the precision are the same but for rounding


@dataclass(frozen=True)
class Peer:
    """One way by another package, with everything prepared.

    Parameters
    ----------
    way : callable
        What is timed; it returns when the work is done.
    agree : callable, optional
        Returns two lists of tensors, ours and the peer's, that must be equal but for rounding.
    reaches : callable, optional
        In place of that, where answers are approximations: returns the peer's error over ours.
    times : float
        So often the peer does what is timed of it, for one of ours.
    parts : dict
        By name, our way and the peer's to a part of the work: they are timed where the peer is ahead.
    """

    way: Callable[[], object]
    agree: Callable[[], tuple[Numbers, Numbers]] | None = None
    reaches: Callable[[], float] | None = None
    times: float = 1.0
    parts: dict[str, tuple[Callable[[], object], Callable[[], object]]] = field(default_factory=dict)


def difference(ours: Numbers, theirs: Numbers) -> float:
    """Return the largest difference of answers, each over the largest number of its tensor.

    Examples
    --------
    >>> import torch
    >>> difference([torch.tensor([4.0, 0.0])], [torch.tensor([4.0, 1.0])])
    0.25
    """
    if len(ours) != len(theirs):
        return math.inf
    largest = 0.0
    for a, b in zip(ours, theirs, strict=True):
        if a.shape != b.shape:
            return math.inf
        scale = a.abs().max().item() or 1.0
        apart = (a.double().cpu() - b.double().cpu()).abs().max().item() / scale
        largest = max(largest, math.inf if math.isnan(apart) else apart)
    return largest


def prepared(peers: dict[str, Callable[[], Peer]], eps: float) -> tuple[dict[str, Peer], list[str]]:
    """Return the peers that are there and answer as ours do, and a remark on each that is not timed.

    Parameters
    ----------
    peers : dict
        By name, what prepares a peer; it raises ``ImportError`` where the package is missing.
    eps : float
        The precision of the work.
    """
    there, remarks = {}, []
    for name, prepare in peers.items():
        try:
            peer = prepare()
            apart = difference(*peer.agree()) if peer.agree else 0.0
        except ImportError:
            remarks.append(f"{name} was not there")
        else:
            if apart > eps**ALIKE:
                remarks.append(f"{name} was not timed: its answers are {apart:.1g} from ours")
            else:
                there[name] = peer
    return there, remarks
