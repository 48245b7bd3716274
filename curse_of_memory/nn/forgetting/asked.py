"""Checks of what a law of forgetting answers, so that a mistake in one of your own is refused in one line.

A mask of another shape would often broadcast, to another batch or head; one of NaN compares as dead, and one
above zero weighs memories too much. A last age that is too small, with which answers depend on
where blocks end, is seen where a law is tried, but not if only some memories have it.
"""

import math

import torch
from torch import Tensor

from curse_of_memory.nn._torch_private import has_numbers
from curse_of_memory.nn.building import inputs
from curse_of_memory.nn.building.own_precision import SHORT
from curse_of_memory.nn.forgetting.law import Law
from curse_of_memory.tools import checks

__all__ = [
    "charge_said",
    "full_ages_said",
    "last_ages_said",
    "log_mask_said",
    "notes_said",
    "refuse_masks",
    "spans_said",
    "try_law",
]

_FAR = 2**40  # an age that is never reached
_ROUNDED = 1e-3  # sums of logarithms may end that far above zero


def notes_said(law: Law, states: Tensor, steps: Tensor) -> Tensor:
    """Return what a `law` notes of `states`, ``(batch, memory, note)``, in float32 at least.

    Raises
    ------
    TypeError, ValueError
        If it is of another shape, or has NaN.
    """
    notes = law.notes(states, steps)
    _check_shape(law, "notes", notes, (*states.shape[:2], -1))
    inputs.refuse_nan(f"what {type(law).__name__} notes of memories", notes.detach())
    # ages beyond 256 are no numbers of bfloat16
    return notes.float() if notes.dtype in SHORT else notes


def log_mask_said(law: Law, ages: Tensor, notes: Tensor, queries: int, heads: int) -> Tensor:
    """Return log m as a `law` says it; sizes of one are shared.

    Raises
    ------
    TypeError, ValueError
        If it has another shape than ``(batch, heads, query, memory)``, or is of no real numbers.
    """
    said = law.log_mask(ages, notes, queries)
    expected = len(ages), heads, queries, ages.shape[1]
    name = f"log_mask of {type(law).__name__}"
    inputs.tensor(name, said, f"shape {expected}")
    if not said.is_floating_point():
        raise TypeError(f"{name} must be real numbers log m <= 0, got {said.dtype}")
    if said.ndim != 4 or any(n not in (1, m) for n, m in zip(said.shape, expected, strict=True)):
        raise ValueError(
            f"{name} must be (batch, heads or 1, query, memory), here {expected}, got {tuple(said.shape)}"
        )
    return said


def refuse_masks(law: Law, log_mask: Tensor) -> None:
    """Refuse a `log_mask`, of memories that can be seen, that is NaN or above zero.

    Raises
    ------
    ValueError
        If one is found; where torch traces or transforms nobody looks.
    """
    if torch.compiler.is_compiling() or not has_numbers(log_mask) or not log_mask.numel():
        return
    largest = float(log_mask.detach().amax())  # NaN, if there is one
    if not largest <= _ROUNDED:
        # NaN comes of weights that have become NaN, too
        refusal = inputs.NotFiniteError if math.isnan(largest) else ValueError
        raise refusal(
            f"log_mask of {type(law).__name__} must be log m <= 0 for every memory, got {largest:g}"
        )


def last_ages_said(law: Law, notes: Tensor) -> Tensor | None:
    """Return the last ages that a `law` says, ``(batch, memory)``, or None.

    Raises
    ------
    TypeError, ValueError
        If they are of another shape, or NaN.
    """
    return _ages(law, "last_ages", law.last_ages(notes), notes)


def full_ages_said(law: Law, notes: Tensor) -> Tensor | None:
    """Return the ages up to which memories count in full, ``(batch, memory)``, as a `law` says, or None.

    Raises
    ------
    TypeError, ValueError
        If they are of another shape, or NaN.
    """
    return _ages(law, "full_ages", law.full_ages(notes), notes)


def charge_said(law: Law, ages: Tensor, notes: Tensor, queries: int) -> Tensor | None:
    """Return what a `law` charges for a block of queries, ``(batch,)``, or None.

    Raises
    ------
    TypeError, ValueError
        If it is of another shape: a sum or a mean over the batch would be another price.
    """
    charge = law.charge(ages, notes, queries)
    if charge is not None:
        _check_shape(law, "charge", charge, (len(ages),))
    return charge


def spans_said(law: Law, notes: Tensor) -> Tensor | None:
    """Return the spans that a `law` says, ``(batch, memory)``, or None.

    Raises
    ------
    TypeError, ValueError
        If they are of another shape.
    """
    spans = law.spans(notes)
    if spans is not None:
        _check_shape(law, "spans", spans, tuple(notes.shape[:2]))
    return spans


def _ages(law: Law, what: str, ages: Tensor | None, notes: Tensor) -> Tensor | None:
    if ages is None:
        return None
    _check_shape(law, what, ages, tuple(notes.shape[:2]))
    looks = ages.is_floating_point() and not torch.compiler.is_compiling() and has_numbers(ages)
    if looks and bool(ages.isnan().any()):
        raise inputs.NotFiniteError(f"{what} of {type(law).__name__} must be whole numbers, got NaN")
    return ages


def _check_shape(law: Law, what: str, said: object, expected: tuple[int, ...]) -> None:
    """Refuse what is no tensor of the `expected` shape; −1 is any size."""
    name = f"{what} of {type(law).__name__}"
    shown = f"({', '.join('note' if n == -1 else str(n) for n in expected)}{',' * (len(expected) == 1)})"
    if not isinstance(said, Tensor):
        raise TypeError(f"{name} must be a tensor of shape {shown}, got {checks.shown(said)}")
    if said.ndim != len(expected) or any(n not in (-1, m) for n, m in zip(expected, said.shape, strict=True)):
        raise ValueError(f"{name} must have shape {shown}, got {tuple(said.shape)}")


def try_law(law: Law, width: int, heads: int, device: torch.device | str, dtype: torch.dtype) -> None:
    """Ask an attached `law` for two times three memories of `width` channels, and refuse what no mask can be.

    Raises
    ------
    TypeError, ValueError
        If a shape is wrong, or log m is above zero, NaN, or not −inf beyond the last age.
    """
    steps = torch.arange(3, device=device).expand(2, 3)
    with torch.no_grad():
        notes = notes_said(law, torch.zeros(2, 3, width, device=device, dtype=dtype), steps)
        last = last_ages_said(law, notes)
        log_m = log_mask_said(law, 2 - steps, notes, 1, heads)
        refuse_masks(law, log_m)
        if not has_numbers(log_m) or last is None or bool((last > _FAR).any()):
            return
        if bool((log_mask_said(law, last + 1, notes, 1, heads) > -torch.inf).any()):
            name = type(law).__name__
            raise ValueError(f"log_mask of {name} must be -inf beyond the age that its last_ages says")
