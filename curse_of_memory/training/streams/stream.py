"""A stream: what is read step by step, and what is asked after each step, the next token or a label."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from curse_of_memory.losses.cross_entropy import IGNORED
from curse_of_memory.tasks.sampling import fingerprint

__all__ = ["Stream", "checked_stream", "checked_text"]


@dataclass(frozen=True)
class Stream:
    """Inputs, and what is to be answered after each of them.

    Attributes
    ----------
    inputs : Tensor of shape ``(steps,)``, or ``(steps, channel)``
        Tokens, or real vectors.
    targets : Tensor of shape ``(steps,)``
        The next token, or the label of each step; −100 where nothing is asked.
    labelled : bool
        Whether it has labels of its own.
    """

    inputs: Tensor
    targets: Tensor
    labelled: bool = False

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def name(self) -> str:
        """A checksum of all that it holds."""
        targets = self.targets if self.labelled else self.targets[-1:]
        return fingerprint([part.cpu().numpy() for part in (self.inputs, targets)])


def checked_text(name: str, given: Tensor, *, below: int | None = None, least: int = 2) -> Tensor:
    """Return a text, called `name`, if it is one: ``(tokens,)``, whole numbers from 0.

    Parameters
    ----------
    name : str
        For the errors.
    given : Tensor or ndarray of shape ``(tokens,)``
    below : int, optional
        How many tokens are told apart.
    least : int
        How many tokens a text must have.

    Raises
    ------
    ValueError, TypeError
        If it is another thing, or a token is not `below` that.
    """
    text = _tensor(name, given, "tokens")
    if text.ndim != 1 or len(text) < least:
        count = "two tokens" if least == 2 else "one token"
        raise ValueError(f"{name} must be {count} or more, (tokens,), got {tuple(text.shape)}")
    text = _tokens(name, text)
    if below is not None and (last := int(text.max())) >= below:
        raise ValueError(f"{name} must be tokens from 0 to {below - 1}, got {last}")
    return text


def checked_stream(name: str, text: Tensor, labels: Tensor | None, dtype: torch.dtype) -> Stream:
    """Return the stream of a `text`, called `name`, that asks for the next token, or for its `labels`.

    Parameters
    ----------
    name : str
        Of the argument; its labels are called ``labels`` after it, or that alone for ``text``.
    text : Tensor of shape ``(tokens,)``, or with labels also ``(steps, channel)``
    labels : Tensor of shape ``(steps,)``, optional
    dtype : torch.dtype
        Of the model, in which real vectors are read.

    Raises
    ------
    ValueError, TypeError
        If one of them is another thing, they do not fit each other, or nothing is asked.

    Examples
    --------
    >>> checked_stream("text", torch.arange(3), None, torch.float32)
    Stream(inputs=tensor([0, 1]), targets=tensor([1, 2]), labelled=False)
    """
    if labels is None:
        if isinstance(text, Tensor | np.ndarray) and text.ndim == 2 and "float" in str(text.dtype):
            raise ValueError(f"labels must be given for real vectors, which have no next token, as {name} is")
        text = checked_text(name, text)
        return Stream(text[:-1], text[1:])
    inputs = _tensor(name, text, "tokens or real vectors")
    if inputs.is_floating_point():
        if inputs.ndim != 2 or not inputs.numel():
            raise ValueError(f"{name} must be real vectors (steps, channel), got {tuple(inputs.shape)}")
        if not inputs.isfinite().all():
            raise ValueError(f"{name} must be finite numbers, got NaN or inf")
        inputs = inputs.to(dtype)
    else:
        if inputs.ndim != 1 or not inputs.numel():
            raise ValueError(f"{name} must be tokens (steps,), got {tuple(inputs.shape)}")
        inputs = _tokens(name, inputs)
    own = "labels" if name == "text" else f"{name}_labels"
    targets = _tensor(own, labels, "labels")
    if targets.shape != inputs.shape[:1]:
        expected = f"({len(inputs)},), one for each step of {name}"
        raise ValueError(f"{own} must have shape {expected}, got {tuple(targets.shape)}")
    targets = _whole(own, targets)
    asked = targets[targets != IGNORED]
    if not len(asked):
        raise ValueError(f"{own} must ask for something, but all {len(targets)} are {IGNORED}")
    if asked.min() < 0:
        raise ValueError(f"{own} must be >= 0, or {IGNORED} where nothing is asked, got {int(asked.min())}")
    return Stream(inputs, targets, labelled=True)


def _tensor(name: str, given: object, what: str) -> Tensor:
    if isinstance(given, np.ndarray):
        kind = given.dtype.kind
        if kind not in "iufb":
            raise TypeError(f"{name} must be a tensor of {what}, got an array of {given.dtype}")
        given = given.astype(np.int64) if kind in "iu" else np.ascontiguousarray(given)  # of any byte order
        given = torch.from_numpy(given)
    if not isinstance(given, Tensor):
        hint = "; give its inputs, and its labels as labels" if hasattr(given, "labels") else ""
        raise TypeError(f"{name} must be a tensor of {what}, got {type(given).__name__}{hint}")
    if given.layout != torch.strided or given.is_meta:
        kind = "one without values" if given.is_meta else str(given.layout).removeprefix("torch.")
        raise TypeError(f"{name} must be a tensor of {what} with all its values, got {kind}")
    return given


def _whole(name: str, given: Tensor) -> Tensor:
    if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
        raise TypeError(f"{name} must be whole numbers, got {str(given.dtype).removeprefix('torch.')}")
    return given.long()


def _tokens(name: str, given: Tensor) -> Tensor:
    text = _whole(name, given)
    if (first := int(text.min())) < 0:  # one of −100 would be a target that does not count
        raise ValueError(f"{name} must be tokens from 0, got {first}")
    return text
