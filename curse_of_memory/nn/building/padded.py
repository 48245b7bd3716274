"""Layers that run sequences of different lengths, padded or packed, each as if it were alone."""

from collections.abc import Sequence
from typing import overload

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from curse_of_memory.nn.building import inputs
from curse_of_memory.nn.building.lengths import (
    PackedOutputs,
    checked_lengths,
    packed_like,
    unpacked,
    within,
)
from curse_of_memory.nn.building.streaming import Streaming
from curse_of_memory.protocols import Outputs

__all__ = ["Padded"]

Lengths = Sequence[int] | Tensor | None


class Padded(Streaming[Tensor]):
    """A layer with one state tensor ``(batch, state)`` that takes ``lengths=`` and packed sequences."""

    def _run(self, x: Tensor, state: Tensor | None, steps: Tensor | None) -> Outputs[Tensor]:
        """Return answers and last states; where `steps` ``(batch,)`` are given, the states after as many.

        What it answers to padding does not matter.
        """
        raise NotImplementedError

    @overload
    def forward(self, x: Tensor, *, lengths: Lengths = None) -> Tensor: ...

    @overload
    def forward(self, x: PackedSequence, *, lengths: None = None) -> PackedSequence: ...

    def forward(self, x, *, lengths=None):
        """Return ŷ ``(batch, time, output_size)`` for `x` ``(batch, time, input_size)``, from zeros on.

        `lengths` and packed sequences are as for :meth:`run`.
        """
        return self.run(x, lengths=lengths).y

    @overload
    def run(self, x: Tensor, state: Tensor | None = None, *, lengths: Lengths = None) -> Outputs[Tensor]: ...

    @overload
    def run(
        self, x: PackedSequence, state: Tensor | None = None, *, lengths: None = None
    ) -> PackedOutputs: ...

    def run(self, x, state=None, *, lengths=None):
        """Return the answers to a chunk of time, and the state after it, from which the next chunk goes on.

        In two directions both start from their part of the state, but no chunk goes on from another: who
        reads from the end needs the whole sequence.

        Parameters
        ----------
        x : Tensor of shape ``(batch, time, input_size)``, or PackedSequence
            One step is a chunk, too. Packed sequences have packed answers.
        state : Tensor of shape ``(batch, state)``, optional
            States before the first step; zero if none are given.
        lengths : sequence of int, or Tensor of shape ``(batch,)``, optional
            Steps of each sequence, from 1 to time. What comes after is padding: it is not read, its answer is
            zero, and each state is the one after the last step of its sequence.

        Returns
        -------
        Outputs or PackedOutputs
            ``y`` of shape ``(batch, time, output_size)``, and ``last``, the state after the last step. Where
            only the last step of each sequence is answered, ``y`` is a tensor without time.

        Raises
        ------
        ValueError, TypeError
            If a shape does not fit, or lengths are no whole numbers from 1 to time.
        """
        if isinstance(x, PackedSequence):
            if lengths is not None:
                raise ValueError("lengths must be None for packed sequences, which have their own")
            y, last = self._run_padded(*unpacked(x), state)
            return Outputs(y, last) if y.ndim == 2 else PackedOutputs(packed_like(y, x), last)
        inputs.sequence(self, x)
        if lengths is None:
            return self._run(x, state, None)
        return self._run_padded(x, checked_lengths(lengths, x), state)

    def _run_padded(self, x: Tensor, steps: Tensor, state: Tensor | None) -> Outputs[Tensor]:
        inputs.sequence(self, x)
        inside = within(steps.to(x.device), x.shape[1])[..., None]
        y, last = self._run(x.where(inside, 0), state, steps.to(x.device))
        return Outputs(y if y.ndim == 2 else y.masked_fill(~inside, 0), last)
