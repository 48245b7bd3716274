"""Layers of LEM in one direction or both, one on top of the other, and a linear readout of the highest."""

import torch
from torch import Tensor, nn

from curse_of_memory.nn.building.inputs import initial_state
from curse_of_memory.nn.building.lengths import backwards, within
from curse_of_memory.nn.recurrent.lem.direction import Direction
from curse_of_memory.protocols import Outputs

__all__ = ["Network"]


class Network(nn.Module):
    """Layers of LEM, each with one direction or two, whose y stand side by side.

    Parameters
    ----------
    width, layers, dt, learn_dt, bidirectional, input_size, dropout
        As for :class:`~curse_of_memory.nn.LEM`.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        *,
        dt: float,
        learn_dt: str,
        bidirectional: bool,
        input_size: int,
        dropout: float,
    ):
        super().__init__()
        self.width, self.layers, self.dropout = width, layers, dropout
        self.count = 2 if bidirectional else 1  # directions of a layer
        self.directions = nn.ModuleList(
            Direction(width, self.count * width if layer else input_size, dt, learn_dt)
            for layer in range(layers)
            for _ in range(self.count)
        )

    def run(
        self,
        x: Tensor,
        state: Tensor | None,
        lengths: Tensor | None,
        readout: Tensor | None,
        *,
        last_only: bool = False,
    ) -> Outputs[Tensor]:
        """Return y of the highest layer, or a linear readout of it, and the last states of all layers.

        Parameters
        ----------
        x : Tensor of shape ``(batch, time, input_size)``
            Inputs.
        state : Tensor of shape ``(batch, 2 · layers · directions · width)``, optional
            Initial states, y of all and then z.
        lengths : Tensor of shape ``(batch,)``, optional
            Steps of each sequence, if not all.
        readout : Tensor of shape ``(output, directions · width)``, optional
            C of C y.
        last_only : bool
            Return what each direction of the highest layer answers after its last step, ``(batch, 1, ...)``.
        """
        before, lasts = self._states(state, x), []
        shares = None if readout is None else readout.chunk(self.count, 1)
        for layer in range(self.layers):
            x, parts = self._dropped(x, layer), []
            top = layer == self.layers - 1
            of_top = shares if top else None
            for k, i in enumerate(self._of(layer)):
                C = None if of_top is None else of_top[k]
                y, last = self._pass(i, x, before, lengths, C, last_only=top and last_only)
                parts.append(y)
                lasts.append(last.unflatten(1, (2, self.width)))
            x = torch.cat(parts, -1) if of_top is None else sum(parts[1:], parts[0])
        return Outputs(x, torch.stack(lasts, 2).flatten(1))

    def steps(self, x: Tensor, state: Tensor | None, lengths: Tensor | None, layer: int) -> Tensor:
        """Return Δt_n and Δ̄t_n of a `layer`, the first of all directions and then the second, side by side.

        `x`, `state` and `lengths` are as for :meth:`run`.
        """
        before = self._states(state, x)
        for below in range(layer):
            x = self._dropped(x, below)
            x = torch.cat([self._pass(i, x, before, lengths).y for i in self._of(below)], -1)
        x, of_z, of_y = self._dropped(x, layer), [], []
        for i in self._of(layer):
            y = self._turned(i, self._pass(i, x, before, lengths).y, lengths)
            earlier = torch.cat([before[:, 0, i, None], y], 1)[:, :-1]
            taken = self.direction(i).steps(self._turned(i, x, lengths), earlier)
            of_z.append(self._turned(i, taken[0], lengths))
            of_y.append(self._turned(i, taken[1], lengths))
        return torch.cat(of_z + of_y, -1)

    def direction(self, i: int) -> Direction:
        """Return the `i`-th direction of all layers, the lowest layer first and backwards after forwards."""
        direction = self.directions[i]
        assert isinstance(direction, Direction)
        return direction

    def _of(self, layer: int) -> range:
        return range(layer * self.count, (layer + 1) * self.count)

    def _states(self, state: Tensor | None, x: Tensor) -> Tensor:
        """Return the initial states ``(batch, y or z, direction, width)``."""
        count = len(self.directions)
        state = initial_state(state, (x.shape[0], 2 * count * self.width), x)
        return state.unflatten(1, (2, count, self.width))

    def _dropped(self, x: Tensor, layer: int) -> Tensor:
        return nn.functional.dropout(x, self.dropout, self.training) if layer and self.dropout else x

    def _turned(self, i: int, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Return `x` as the `i`-th direction reads it; the same brings its answer back."""
        return backwards(x, lengths) if i % self.count else x

    def _pass(
        self,
        i: int,
        x: Tensor,
        before: Tensor,
        lengths: Tensor | None,
        readout: Tensor | None = None,
        *,
        last_only: bool = False,
    ) -> Outputs[Tensor]:
        """Return what the `i`-th direction answers, step by step of `x`, and its last states."""
        inside = None if lengths is None else within(lengths, x.shape[1])
        x = self._turned(i, x, lengths)
        start = before[:, :, i].flatten(1)
        y, last = self.direction(i).run(x, start, inside, readout, last_only=last_only)
        return Outputs(y if last_only else self._turned(i, y, lengths), last)
