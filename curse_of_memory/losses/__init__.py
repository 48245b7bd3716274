"""Temporally weighted errors, drop-in for the losses of `torch.nn`.

The weight w_t = tᵖ (or any positive function of t) multiplies the error of step t, and is scaled
to mean one, so that p = 0 is the plain loss. An error of the model's memory at lag s is then
punished with b(s) = Σ_{t>s} w_t, the memory bias: "INTEREST" (2307.11462), Theorem 3.3.

Arrays are ``(batch, time, channel)``, logits ``(batch, time, class)``, where torch has classes second.
Targets of differing lengths are filled up and come with their lengths, ``loss(answers, targets, lengths=)``,
or have labels of −100 beyond their ends. Each then has weights of mean one over its own steps.
"""

from curse_of_memory.losses.cross_entropy import TemporallyWeightedCrossEntropy
from curse_of_memory.losses.errors import TemporallyWeightedMAE, TemporallyWeightedMSE

__all__ = ["TemporallyWeightedCrossEntropy", "TemporallyWeightedMAE", "TemporallyWeightedMSE"]
