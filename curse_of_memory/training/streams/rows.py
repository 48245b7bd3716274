"""One long stream in rows that are read side by side, a chunk of each at a time."""

from collections.abc import Mapping

import torch
from torch import Tensor

from curse_of_memory.losses.cross_entropy import IGNORED
from curse_of_memory.tasks.sampling import Batch
from curse_of_memory.tools.random_streams import stream
from curse_of_memory.training.processes import OneProcess
from curse_of_memory.training.streams.carried import CarriedState
from curse_of_memory.training.streams.stream import Stream

__all__ = ["Rows", "side_by_side"]


def side_by_side(stream: Stream, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return a whole stream in rows: inputs, targets, and which steps there are; the others ask for nothing.

    Parameters
    ----------
    stream : Stream
    rows : int
        At most as many as it has steps. Each row but the last goes on in the next one.

    Returns
    -------
    tuple of Tensor
        Of shape ``(rows, time)``, inputs that are vectors with their channels.

    Examples
    --------
    >>> side_by_side(Stream(torch.arange(5), torch.arange(1, 6)), 2)
    (tensor([[0, 1, 2],
            [3, 4, 0]]), tensor([[   1,    2,    3],
            [   4,    5, -100]]), tensor([[ True,  True,  True],
            [ True,  True, False]]))
    """
    count = len(stream)
    time = -(-count // rows)
    inputs = stream.inputs.new_zeros(rows * time, *stream.inputs.shape[1:])
    targets = stream.targets.new_full((rows * time,), IGNORED)
    inputs[:count], targets[:count] = stream.inputs, stream.targets
    read = torch.arange(rows * time, device=targets.device) < count
    return inputs.unflatten(0, (rows, time)), targets.view(rows, time), read.view(rows, time)


class Rows:
    """The chunks of a stream in rows, walk after walk, and the state that goes along.

    Parameters
    ----------
    stream : Stream
    rows : int
        How many pieces of the stream are read side by side.
    chunk : int
        Steps of each that are read at a time.
    seed : int
        Names where walks start.
    place : OneProcess
        Where the run takes place.

    Attributes
    ----------
    epoch : int
        How many chunks a walk has: all that fit. The steps that are left over are before the first row and
        after the last, a number before it that is drawn for each walk.
    carried : CarriedState
        Of this process's rows.

    Raises
    ------
    ValueError
        If the stream has no chunk for each row.
    """

    def __init__(self, stream: Stream, rows: int, chunk: int, *, seed: int, place: OneProcess):
        self._stream, self._rows, self._chunk = stream, rows, chunk
        self._seed, self._place = seed, place
        self.epoch = len(stream) // (rows * chunk)
        if not self.epoch:
            size = f"{rows} x {chunk}"
            least, got = f"at least {size} steps", len(stream)
            if not stream.labelled:
                least, got = f"more than {size} tokens", len(stream) + 1
            raise ValueError(f"text must have {least}, rows and chunk, got {got}")
        self.carried = CarriedState()

    @property
    def names(self) -> Mapping[str, object]:
        """What the chunks are taken from, by name."""
        return {"task": self._stream.name}

    def begins(self, step: int) -> bool:
        """Return whether a walk begins with a `step`, from a state at rest."""
        return step % self.epoch == 0

    def training(self, step: int) -> Batch:
        """Return the chunk of a `step`: inputs and targets, both ``(rows, chunk)``."""
        walk, place = divmod(step, self.epoch)
        length = self.epoch * self._chunk
        left = len(self._stream) - self._rows * length
        start = int(stream("start of a walk", self._seed, walk).integers(left + 1))
        first = start + place * self._chunk + torch.arange(self._rows) * length
        steps = first[:, None] + torch.arange(self._chunk)
        inputs, targets = self._stream.inputs[steps], self._stream.targets[steps]
        return Batch(inputs.to(self._place.device), targets.to(self._place.device))

    @property
    def at(self) -> list[list[Tensor]]:
        """The tensors of the state, of all processes, for :meth:`go_to`; all of them call this."""
        return self._place.gathered(self.carried.tensors)

    def go_to(self, at: list[list[Tensor]]) -> None:
        """Go on from a place that :attr:`at` returned, in as many processes."""
        self.carried.go_to(at[self._place.rank])
