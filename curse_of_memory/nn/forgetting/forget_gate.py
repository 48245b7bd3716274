"""Forget gates in attention: every step multiplies the weight of all memories before it.

Equation.   With gates f_l = σ(w_h · x_l + b_h) of every head h,

                log m_ti = Σ_{l = i + 1}^{t} log f_l ,      and −∞ from where this is below log θ on.

            The sum never grows, so what is below the threshold θ stays there: with θ > 0 such memories are
            deleted. By it the answer of a head moves by at most δ max_D |v_i − o'|, with the weight δ of what
            is dropped (:func:`curse_of_memory.theory.expiry.gate_threshold_mass` bounds it). With θ = 0 no
            memory is ever dead.

Source.     "Forgetting Transformer" (FoX, 2503.02130); the threshold is that of "Adaptive Computation Pruning
            for the Forgetting Transformer" (2504.06949), here for memory in place of computation.
"""

import math

import torch
from torch import Tensor, nn

from curse_of_memory.nn.building.seeding import DRAWN
from curse_of_memory.nn.forgetting.law import Law
from curse_of_memory.tools import checks

__all__ = ["ForgetGate"]

FASTEST = 2.0  # bias of the head that forgets first
UNIT = 2.0**-30  # of log f where sums decide about life and death: sums of whole numbers do not round
LEAST = -(2.0**10)  # of log f there: less than the logarithm of any threshold


class ForgetGate(Law):
    """Law by which memories fade by gates that later steps read off their own states, for each head.

    Parameters
    ----------
    threshold : float
        θ in [0, 1): a memory whose weight m has fallen below it in a head is dead for that head, and deleted
        when it is for all. Zero: no memory is ever deleted.
    slowest : float
        Within how many steps the slowest head forgets at first, 1/(1 − f); 404 unless given. At least 9, as
        the fastest does so within 8.4.

    Raises
    ------
    ValueError, TypeError
        For a number out of its range.

    Notes
    -----
    Weights: ``gate.weight``, ``(heads, width)``, zero at first, and ``gate.bias``, ``(heads,)``, at first
    from 2 to log(`slowest` − 1) in equal steps. A head whose gates are all f keeps log θ/log f memories.

    Examples
    --------
    >>> from curse_of_memory.nn import CausalSelfAttention
    >>> attention = CausalSelfAttention(8, heads=2, forgetting=ForgetGate())
    >>> attention(torch.ones(1, 50, 8)).shape
    torch.Size([1, 50, 8])
    >>> attention = CausalSelfAttention(8, forgetting=ForgetGate(threshold=0.01))
    >>> last = attention.remember(torch.ones(1, 50, 8))
    >>> last.live[0, [10, 49]].tolist()  # log .01/log σ(2) = 36.3: ages 0 to 36
    [11, 37]
    """

    def __init__(self, threshold: float = 0.0, *, slowest: float = 1 + math.exp(6.0)):
        super().__init__()
        self.threshold = checks.non_negative("threshold", threshold)
        if self.threshold >= 1:
            raise ValueError(f"threshold must be at least 0 and below 1, got {threshold!r}")
        self.slowest = checks.positive("slowest", slowest)
        if self.slowest < 9:
            raise ValueError(f"slowest must be at least 9 steps, got {slowest!r}")

    def attach(self, width: int, heads: int, first_age: int) -> None:
        """Make the gates of all heads."""
        super().attach(width, heads, first_age)
        self.gate = nn.Linear(width, heads, **DRAWN)
        nn.init.zeros_(self.gate.weight)
        with torch.no_grad():
            self.gate.bias.copy_(torch.linspace(FASTEST, math.log(self.slowest - 1), heads, **DRAWN))

    def notes(self, states: Tensor, steps: Tensor) -> Tensor:
        """Return log f of the step at which each memory was written, ``(batch, memory, heads)``."""
        return nn.functional.logsigmoid(self.gate(states))

    def log_mask(self, ages: Tensor, notes: Tensor, queries: int) -> Tensor:
        """Return Σ log f_l over the steps after each memory, up to each query, or −inf below log θ."""
        after, since = _sums(notes, queries)
        log_m = after.mT[:, :, None, :] + since.mT[:, :, :, None]
        if not self.threshold:
            return log_m
        after, since = _sums(_units(notes), queries)
        dead = after.mT[:, :, None, :] < self._least_units - since.mT[:, :, :, None]
        return log_m.masked_fill(dead, -torch.inf)

    def last_ages(self, notes: Tensor) -> Tensor | None:
        """Return zero for memories that are dead by now, for others an age never reached; None if θ = 0."""
        if not self.threshold:
            return None
        after, _ = _sums(_units(notes), 0)
        dead = (after < self._least_units).all(-1)
        return torch.full_like(dead, torch.iinfo(torch.int64).max, dtype=torch.int64).masked_fill(dead, 0)

    @property
    def _least_units(self) -> int:
        """Log θ in units of the sums that decide."""
        return round(math.log(self.threshold) / UNIT)

    def extra_repr(self) -> str:
        """Return θ for printing."""
        return f"threshold={self.threshold:g}"


def _units(notes: Tensor) -> Tensor:
    """Return log f as whole numbers of units."""
    return (notes.detach().double().clamp(min=LEAST) / UNIT).round().long()


def _sums(notes: Tensor, queries: int) -> tuple[Tensor, Tensor]:
    """Return sums over the steps after each memory and before the block, and over the block up to each query.

    ``(batch, memory, heads)`` and ``(batch, query, heads)``. Of a memory of the block itself the first is
    minus the sum of the block up to it. They are counted from the first query on, so that sums of far
    memories do not round those of near ones.
    """
    before, own = notes.split([notes.shape[1] - queries, queries], 1)
    since = own.cumsum(1)
    after = before.flip(1).cumsum(1).flip(1) - before
    return torch.cat([after, -since], 1), since
