"""What a row of the table is."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from benchmarks.peers import Numbers, Peer


@dataclass(frozen=True)
class Case:
    """The two ways to the same work, with everything prepared.

    Parameters
    ----------
    plain, fast : callable
        What is timed.
    agree : callable
        Returns two lists of tensors, of the plain and of the fast way, that are equal but for rounding.
    times : float
        So often the plain way does what was timed of it, for one of the fast.
    flops, traffic : float
        Operations in products, and bytes moved, that the fast way's work cannot do without.
    others : dict
        More ways on the clock, by name.
    peers : dict
        Ways of other packages, by name: what prepares each (:mod:`benchmarks.peers`).
    note : str
        What a reader of the table has to know.
    """

    plain: Callable[[], object]
    fast: Callable[[], object]
    agree: Callable[[], tuple[Numbers, Numbers]]
    times: float = 1.0
    flops: float = 0.0
    traffic: float = 0.0
    dtype: torch.dtype = torch.float64
    others: dict[str, Callable[[], object]] = field(default_factory=dict)
    peers: dict[str, Callable[[], Peer]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One row.

    Parameters
    ----------
    name, plain : str
        The work, and the plain way of it.
    goal : float
        Ratio that is wished for, on two CPU cores.
    make : callable
        ``make(device, small)`` prepares the case; a small one is for tests.
    against : str
        The other way that the goal is about, if it is not the plain one.
    memory : bool
        Whether peak memory is measured, too.
    wanted : dict
        Ratios that are wished for of other ways, too, by name.
    """

    name: str
    plain: str
    goal: float
    make: Callable[[str, bool], Case]
    against: str = ""
    memory: bool = False
    wanted: dict[str, float] = field(default_factory=dict)


def same(plain: Callable, fast: Callable) -> Callable[[], tuple[Numbers, Numbers]]:
    """Return `agree` for two ways that return lists of tensors themselves."""
    return lambda: (plain(), fast())


def draws(device: str, dtype: torch.dtype, seed: int = 0) -> Callable[..., Tensor]:
    """Return ``normal(*shape, scale=1)``, random numbers that are the same on every device."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return (scale * torch.randn(*shape, generator=generator, dtype=torch.float64)).to(device, dtype)

    return normal
