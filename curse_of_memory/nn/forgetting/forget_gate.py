"""Forget gates in attention: every step multiplies the weight of all memories before it.

Equation.   With gates f_l = σ(w_h · x_l + b_h) of every head h,

                log m_ti = Σ_{l = i + 1}^{t} log f_l .

Source.     "Forgetting Transformer" (FoX, 2503.02130). No gate is zero, so no memory is ever dead.
"""

import torch
from torch import Tensor, nn

from curse_of_memory.nn.building.seeding import DRAWN
from curse_of_memory.nn.forgetting.law import Law

__all__ = ["ForgetGate"]


class ForgetGate(Law):
    """Law by which memories fade by gates that later steps read off their own states, for each head.

    Notes
    -----
    Weights: ``gate.weight``, ``(heads, width)``, zero at first, and ``gate.bias``, ``(heads,)``, at first
    from 2 to 6: heads that forget within 1/(1 − σ(2)) = 8 to 400 steps. It never deletes.

    Examples
    --------
    >>> from curse_of_memory.nn import CausalSelfAttention
    >>> attention = CausalSelfAttention(8, heads=2, forgetting=ForgetGate())
    >>> attention(torch.ones(1, 50, 8)).shape
    torch.Size([1, 50, 8])
    """

    def attach(self, width: int, heads: int, first_age: int) -> None:
        """Make the gates of all heads."""
        super().attach(width, heads, first_age)
        self.gate = nn.Linear(width, heads, **DRAWN)
        nn.init.zeros_(self.gate.weight)
        with torch.no_grad():
            self.gate.bias.copy_(torch.linspace(2.0, 6.0, heads, **DRAWN))

    def notes(self, states: Tensor, steps: Tensor) -> Tensor:
        """Return log f of the step at which each memory was written, ``(batch, memory, heads)``."""
        return nn.functional.logsigmoid(self.gate(states))

    def log_mask(self, ages: Tensor, notes: Tensor, queries: int) -> Tensor:
        """Return Σ log f_l over the steps after each memory, up to each query."""
        before, own = notes.split([notes.shape[1] - queries, queries], 1)
        # counted from the first query on, so that sums of far memories do not round those of near ones
        since = own.cumsum(1)
        after = before.flip(1).cumsum(1).flip(1) - before
        reach = torch.cat([after, -since], 1)  # of a memory of the block: minus what was before it
        return reach.mT[:, :, None, :] + since.mT[:, :, :, None]
