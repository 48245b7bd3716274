"""Means over the steps of a stream of what a model remembers: live memories and spans of each layer."""

from collections.abc import Sequence

import torch
from torch import Tensor

from curse_of_memory.training.processes import OneProcess

__all__ = ["MemoryMeans"]


class MemoryMeans:
    """The mean number of memories that a step sees, and the mean span of a memory, layer by layer."""

    def __init__(self):
        self._count = 0
        self._live: Tensor | None = None
        self._spans: dict[int, Tensor] = {}

    def add(self, live: Tensor | None, spans: Sequence[Tensor | None], read: Tensor) -> None:
        """Take the steps of a chunk into the means.

        Parameters
        ----------
        live : Tensor of shape ``(layers, rows, time)``, or None
            How many memories each step sees; None of a model that says nothing of it.
        spans : sequence of Tensor of shape ``(rows, time)``, or None
            For how long each step is kept, by the layers that have spans.
        read : Tensor of bool, shape ``(rows, time)``
            Which steps there are; the others are padding.
        """
        if live is None:
            return
        self._count += int(read.sum())
        total = live[:, read].double().sum(1).cpu()
        self._live = total if self._live is None else self._live + total
        for layer, own in enumerate(spans):
            if own is not None:
                before = self._spans.get(layer, torch.zeros((), dtype=torch.float64))
                self._spans[layer] = before + own[read].double().sum().cpu()

    def live(self, place: OneProcess) -> tuple[float, ...]:
        """Return the mean number of memories that a step sees, of each layer; nothing if nothing was said."""
        if self._live is None:
            return ()
        count = place.mean_number(self._count)
        return tuple(place.mean(total) / count for total in self._live)

    def spans(self, place: OneProcess) -> tuple[float | None, ...]:
        """Return the mean span of the memories of each layer, None where there are no spans."""
        if self._live is None:
            return ()
        count = place.mean_number(self._count)
        layers = range(len(self._live))
        return tuple(place.mean(self._spans[k]) / count if k in self._spans else None for k in layers)
