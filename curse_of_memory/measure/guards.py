"""Trying a map on a few sequences: whether it is deterministic, keeps them apart, and is causal."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

__all__ = ["EARLY", "ROWS", "check_map"]

ROWS = 16  # sequences that a map is tried on, where they are not too large
ROUNDINGS = 2  # of the answer, and of its change, that a change has to exceed ...
TIMES_NOISE = 8  # ... and so many times what a change by a small part does
SMALL = 1 / 64
SINGLE = torch.finfo(torch.float32).eps  # in which models of double precision may work inside, too
CUTS = 16  # steps that inputs are changed from
MANY = (
    1 / 4
)  # of the entries that should know nothing: if more have changed, that counts, however little, ...
FEW = 2  # ... and 8 times as many as for a change by a small part, and so many
WITHOUT_NOISE = 10  # times the first, where nothing can be changed by a small part

UNSTEADY = (
    "model answers the same inputs in two ways: it is random in evaluation mode, or keeps state from one "
    "call to the next"
)
MIXES = (
    "model mixes the sequences of a batch: one is answered otherwise beside others (is batch_first=True "
    "missing, or are activations quantised by the range of the whole batch?)"
)
EARLY = (
    "model is not causal: it answers before the input comes, and its memory at lags >= 0 is a part of the "
    "matter only; mask it, or take it as it is with causal=False"
)


def check_map(answer: Callable[[Tensor], Tensor], x: Tensor, *, eps: float, sequences: bool = True) -> bool:
    """Refuse a map that is random, keeps state or mixes sequences; return whether it is causal.

    With y = f(x) and y' = f(x') for inputs x' that differ from x in some places, take the entries (sequence,
    step, channel c) of the answer that should know nothing of those places. A change **counts** in a channel
    if at one of them

        |y' − y|  >  2 ε (|y| + S_c),   and over all of them   rms_c(y' − y)  >  8 rms_c(y'' − y),

    or if, however little, more than a quarter of them change and n' > 8 (n'' + 2), with n' and n'' the
    numbers of those that do for x' and x'': what rounding hides in each entry shows in many.
    ε is the rounding of the precision; S_c the root mean square of y' − y over the entries of the channel
    that may change; y'' = f(x'') the answer to inputs x'' that differ from x in the same places, but by a
    small part δ u of themselves only, δ = √ε, but 3e-4 at least (which float32 shows, if a model of float64
    works in it) and 1/64 at most, and u even in [−1, 1]. What leaks by rounding, as in
    an FFT, is as large for x'' as for x'; what a model sees is smaller by about δ. So a change is held
    against its own noise: a large constant in the answer hides no more than its rounding does, and one inside
    an FFT is no leak. (Tokens cannot be moved a little: for them ten times the first bound is needed.) The
    changes, all in batches of one shape, so that the arithmetic is the same, are

    - none: f(x) once more after other inputs, where 4 ε max |y_c| is allowed;
    - other inputs in every second sequence of the batch, and in those between;
    - other inputs from a step on: from 1, 2, 3, from the last, and from others between, odd and even ones, up
      to 16 in all. What is seen of the future at one step in between alone can pass.

    Parameters
    ----------
    answer : callable
        From inputs ``(batch, time, ...)`` to a tensor ``(batch, ...)``, which it may keep and overwrite.
    x : torch.Tensor
        A few sequences; whole numbers are tokens, and no two sequences of them should be alike. Other inputs
        are those of the next sequence, and where most of these are the same, with noise of their size. Of one
        sequence, mixing cannot be seen.
    eps : float
        ε.
    sequences : bool
        Whether the answer is ``(batch, time, channel)``; nothing is asked of causality otherwise.

    Returns
    -------
    bool
        Whether no answer comes before its input.

    Raises
    ------
    ValueError
        For a map that is random, keeps state, or mixes the sequences of a batch.

    Examples
    --------
    >>> x = torch.linspace(-1, 1, 40).reshape(4, 10, 1) ** 3
    >>> check_map(lambda x: x.cumsum(1) + 100, x, eps=1.2e-7)
    True
    >>> check_map(lambda x: x.flip(1).cumsum(1) + 100, x, eps=1.2e-7)
    False
    """
    tries = _Tries(answer, x, eps)
    other = _other(x)
    second = torch.zeros(x.shape[:2], dtype=torch.bool, device=x.device)
    second[::2] = True
    mixes = len(x) > 1 and (tries.shows(second, other) or tries.shows(~second, other))
    # of mixing, too, nothing can be said before: two calls in a row tell what flips from call to call
    if not (tries.repeats() and (not mixes or tries.repeats())):
        raise ValueError(UNSTEADY)
    if mixes:
        raise ValueError(MIXES)
    if not sequences:
        return True
    return not any(tries.shows(later, other) for later in _later(x))


class _Tries:
    """The answers of one map to one batch, and to the same with changes."""

    def __init__(self, answer: Callable[[Tensor], Tensor], x: Tensor, eps: float):
        self.answer, self.x, self.eps = answer, x, eps
        self.y = self.ask(x)
        self.within = tuple(range(min(2, self.y.ndim)))  # batch and time: channels are judged one by one

    def ask(self, x: Tensor) -> Tensor:
        y = self.answer(x).detach()
        return y.to(torch.complex128 if y.is_complex() else torch.float64, copy=True)

    def repeats(self) -> bool:
        allowed = 2 * ROUNDINGS * self.eps * self.y.abs().amax(self.within, keepdim=True)
        return not ((self.ask(self.x) - self.y).abs() > allowed).any()

    def shows(self, places: Tensor, other: Tensor) -> bool:
        """Return whether `other` inputs at `places` ``(batch, time)`` change what should not see them."""
        free = places if self.y.ndim > 1 and self.y.shape[1] == places.shape[1] else places[:, :1]
        free = free[:, 0] if self.y.ndim == 1 else free.reshape(*free.shape, *[1] * (self.y.ndim - 2))
        change = (self.ask(self._put(other, places)) - self.y).abs()
        count = free.expand_as(change).sum(self.within, keepdim=True).clamp(min=1)
        size = (self._power(change.masked_fill(~free, 0)) / count).sqrt()
        allowed = ROUNDINGS * self.eps * (self.y.abs() + size)
        seen = change.masked_fill(free, 0)
        if not (seen > 0).any():
            return False  # as always where nothing leaks by rounding: no noise to look for
        if not self.x.is_floating_point():
            return bool((seen > WITHOUT_NOISE * allowed).any())
        small = min(max(self.eps, SINGLE) ** 0.5, SMALL)
        moved = self._put((self.x * (1 + small * _spread(self.x))).to(self.x.dtype), places)
        noise = (self.ask(moved) - self.y).abs().masked_fill(free, 0)
        loud = self._power(seen) > TIMES_NOISE**2 * self._power(noise)
        changed, noisy = ((values > 0).sum(self.within) for values in (seen, noise))
        many = changed > MANY * (~free).expand_as(seen).sum(self.within)
        many &= changed > TIMES_NOISE * (noisy + FEW)
        return bool(((seen > allowed) & loud).any() or many.any())

    def _power(self, change: Tensor) -> Tensor:
        return change.square().sum(self.within, keepdim=True)

    def _put(self, other: Tensor, places: Tensor) -> Tensor:
        return torch.where(places.reshape(*places.shape, *[1] * (self.x.ndim - 2)), other, self.x)


def _other(x: Tensor) -> Tensor:
    """Return inputs like `x`, but others at nearly every place."""
    other = x.roll(1, 0) if len(x) > 1 else x.flip(1)
    if x.is_floating_point() and (other == x).double().mean() > 0.5:  # zeros after a signal, say
        size = x.double().square().mean().sqrt()
        other = other + ((size if size > 0 else 1.0) * _spread(x)).to(x.dtype)
    return other


def _spread(x: Tensor) -> Tensor:
    """Return numbers, one for each of `x`, that lie even in [−1, 1]: multiples of the golden ratio."""
    numbers = torch.arange(x.numel(), dtype=torch.float64, device=x.device)
    return (2 * (numbers * 0.6180339887498949 % 1) - 1).reshape(x.shape)


def _later(x: Tensor) -> Iterator[Tensor]:
    """Yield the steps ``(batch, time)`` from a cut on, another one in each sequence, until all have been."""
    rows, length = x.shape[:2]
    if length == 1:
        return
    cuts = [1, 2, length // 2 | 1, length - 1, length // 3 | 1, length // 5 | 1, 3 * length // 4 | 1, 3, 7]
    cuts += [length // 2 & ~1, length // 3 & ~1, 3 * length // 4 & ~1, length - 2, 4, 5, length - 3]
    cuts += range(6, CUTS + 1)  # of short sequences, all
    cuts = list(dict.fromkeys(cut for cut in cuts if 0 < cut < length))[:CUTS]
    steps = torch.arange(length, device=x.device)
    for first in range(0, len(cuts), rows):
        chosen = [cuts[(first + row) % len(cuts)] for row in range(rows)]
        yield steps >= torch.tensor(chosen, device=x.device)[:, None]
