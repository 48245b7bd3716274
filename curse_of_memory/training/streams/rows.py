"""One long text in rows that are read side by side, a chunk of each at a time."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from curse_of_memory.tasks.sampling import Batch, fingerprint
from curse_of_memory.tools.random_streams import stream
from curse_of_memory.training.processes import OneProcess
from curse_of_memory.training.streams.carried import CarriedState

__all__ = ["IGNORED", "Rows", "checked_text", "side_by_side"]

IGNORED = -100  # a target that does not count


def checked_text(name: str, given: Tensor) -> Tensor:
    """Return a text, called `name`, if it is one: ``(tokens,)``, whole numbers, two at least.

    Raises
    ------
    ValueError, TypeError
        If it is another thing.
    """
    if isinstance(given, np.ndarray):
        given = torch.from_numpy(given)
    if not isinstance(given, Tensor):
        raise TypeError(f"{name} must be a tensor of tokens, got {type(given).__name__}")
    if given.ndim != 1 or len(given) < 2:
        raise ValueError(f"{name} must be two tokens or more, (tokens,), got {tuple(given.shape)}")
    if given.dtype not in (torch.int64, torch.int32, torch.int16, torch.uint8):
        raise TypeError(f"{name} must be whole numbers, got {str(given.dtype).removeprefix('torch.')}")
    return given.long()


def side_by_side(text: Tensor, rows: int) -> Batch:
    """Return a whole text in rows: each token and the next one, ``(rows, time)``; what is missing is ignored.

    Parameters
    ----------
    text : Tensor of shape ``(tokens,)``
    rows : int
        At most as many as there are tokens with a next one. Each row but the last goes on in the next one.

    Examples
    --------
    >>> side_by_side(torch.arange(6), 2)
    Batch(inputs=tensor([[0, 1, 2],
            [3, 4, 0]]), targets=tensor([[   1,    2,    3],
            [   4,    5, -100]]))
    """
    count = len(text) - 1
    time = -(-count // rows)
    inputs, targets = text.new_zeros(rows * time), text.new_full((rows * time,), IGNORED)
    inputs[:count], targets[:count] = text[:-1], text[1:]
    return Batch(inputs.view(rows, time), targets.view(rows, time))


class Rows:
    """The chunks of a text in rows, walk after walk, and the state that goes along.

    Parameters
    ----------
    text : Tensor of shape ``(tokens,)``
        Whole numbers.
    rows : int
        How many pieces of the text are read side by side.
    chunk : int
        Steps of each that are read at a time.
    seed : int
        Names where walks start.
    place : OneProcess
        Where the run takes place.

    Attributes
    ----------
    epoch : int
        How many chunks a walk has: all that fit. The tokens that are left over are before the first row and
        after the last, a number before it that is drawn for each walk.
    carried : CarriedState
        Of this process's rows.

    Raises
    ------
    ValueError
        If the text has no chunk for each row.
    """

    def __init__(self, text: Tensor, rows: int, chunk: int, *, seed: int, place: OneProcess):
        self._text, self._rows, self._chunk = text, rows, chunk
        self._seed, self._place = seed, place
        self.epoch = (len(text) - 1) // (rows * chunk)
        if not self.epoch:
            raise ValueError(
                f"text must have more than {rows} x {chunk} tokens, rows and chunk, got {len(text)}"
            )
        self.carried = CarriedState()

    @property
    def names(self) -> Mapping[str, object]:
        """What the chunks are taken from, by name."""
        return {"task": fingerprint([self._text.cpu().numpy()])}

    def begins(self, step: int) -> bool:
        """Return whether a walk begins with a `step`, from a state at rest."""
        return step % self.epoch == 0

    def training(self, step: int) -> Batch:
        """Return the chunk of a `step`: tokens and the next ones, both ``(rows, chunk)``."""
        walk, place = divmod(step, self.epoch)
        length = self.epoch * self._chunk
        left = len(self._text) - 1 - self._rows * length
        start = int(stream("start of a walk", self._seed, walk).integers(left + 1))
        first = start + place * self._chunk + torch.arange(self._rows) * length
        tokens = self._text[first[:, None] + torch.arange(self._chunk + 1)].to(self._place.device)
        return Batch(tokens[:, :-1], tokens[:, 1:])

    @property
    def at(self) -> list[list[Tensor]]:
        """The tensors of the state, of all processes, for :meth:`go_to`; all of them call this."""
        return self._place.gathered(self.carried.tensors)

    def go_to(self, at: list[list[Tensor]]) -> None:
        """Go on from a place that :attr:`at` returned, in as many processes."""
        self.carried.go_to(at[self._place.rank])
