"""What one step of a nonlinear recurrence does: cells, made of stages.

Equation.   A step goes through the stages of its cell one after the other. A stage multiplies one state, the
*source*, by rows of W, adds the input's share, and applies the activations σ_i:

    s_i = σ_i(W_i h_source + U_i x_k + b_i)                for the preactivations i that the stage computes.

It then moves one state, the *target*, by one of two updates:

    h ← h + dt s_i                     one value is read    (an Euler step)
    h ← h + dt s_i (s_j − h)           two values are read  (a leak of rate s_i towards s_j).

The step dt is one number, or one for each unit and state. Every state is the target of one stage, and every
value is read by one stage. A state that was moved already is read as moved. State 0 is the output.

The updates below are arithmetic only: the same lines run on torch tensors and, compiled, on numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from curse_of_memory.tools import checks

__all__ = ["GATED", "SLOPES", "Cell", "Stage", "euler_cell"]

SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": torch.ones_like,
    "tanh": lambda s: 1 - s * s,
    "hardtanh": lambda s: 1 - ((s <= -1) | (s >= 1)).to(s.dtype),
    "relu": lambda s: 1 - (s <= 0).to(s.dtype),
    "sigmoid": lambda s: s * (1 - s),
}
"""Derivatives σ' of the activations that a cell can have, by name, as functions of the value s = σ(a)."""


def euler(h, s, dt):
    """Return h + dt s, with the state `h`, the value `s` and the step `dt`."""
    return h + dt * s


def euler_adjoint(p, dt):
    """Return p ∂/∂h and p ∂/∂s of :func:`euler`, for the adjoint `p` and the step `dt`."""
    return p, dt * p


def leak(h, rate, goal, dt):
    """Return h + dt rate (goal − h), with the state `h`, the values `rate` and `goal` and the step `dt`."""
    return h + dt * rate * (goal - h)


def leak_adjoint(p, h, rate, goal, dt):
    """Return p ∂/∂h, p ∂/∂rate and p ∂/∂goal of :func:`leak`, for the adjoint `p`; `h` … `dt` as there."""
    step = dt * rate
    return p - step * p, dt * (goal - h) * p, step * p


def euler_by_dt(p, s):
    """Return p ∂/∂dt of :func:`euler`, for the adjoint `p` and the value `s`."""
    return p * s


def leak_by_dt(p, h, rate, goal):
    """Return p ∂/∂dt of :func:`leak`, for the adjoint `p`; `h` … `goal` as there."""
    return p * rate * (goal - h)


def moved(h, values, dt):
    """Return the state `h` after a step `dt`: an Euler step of one of `values`, or a leak of two."""
    if len(values) == 1:
        return euler(h, values[0], dt)
    rate, goal = values
    return leak(h, rate, goal, dt)


def moved_adjoint(p, h, values, dt):
    """Return p ∂/∂h, and p ∂/∂s for each of `values`, of :func:`moved`, for the adjoint `p`."""
    if len(values) == 1:
        back, of_value = euler_adjoint(p, dt)
        return back, [of_value]
    rate, goal = values
    back, of_rate, of_goal = leak_adjoint(p, h, rate, goal, dt)
    return back, [of_rate, of_goal]


def moved_by_dt(p, h, values):
    """Return p ∂/∂dt of :func:`moved`, for the adjoint `p`."""
    return euler_by_dt(p, values[0]) if len(values) == 1 else leak_by_dt(p, h, *values)


@dataclass(frozen=True)
class Stage:
    """One stage of a step: the state it multiplies, the values it computes, and the state it moves.

    Parameters
    ----------
    source, target : int
        Numbers of the state that is multiplied by W and of the one that is moved.
    computes : tuple of str
        Activations of the preactivations that are computed here, by name.
    reads : tuple of int
        The one or two values, by number within the cell, that the update reads.
    """

    source: int
    target: int
    computes: tuple[str, ...]
    reads: tuple[int, ...]


@dataclass(frozen=True)
class Cell:
    """A step of a nonlinear recurrence, as a sequence of stages.

    Parameters
    ----------
    stages : tuple of Stage
        In the order in which they are gone through.

    Raises
    ------
    ValueError
        If a state is not moved exactly once, or a value not read exactly once and after it was computed, or
        there is no such source or activation.

    Examples
    --------
    >>> Cell((Stage(source=0, target=0, computes=("tanh",), reads=(0,)),)).states
    1
    """

    stages: tuple[Stage, ...]

    def __post_init__(self):
        targets = sorted(stage.target for stage in self.stages)
        if targets != list(range(len(self.stages))):
            raise ValueError(f"every state must be the target of one stage, got the targets {targets}")
        if not all(0 <= stage.source < self.states for stage in self.stages):
            raise ValueError(f"source must be one of {self.states} states, by number, got {self.stages}")
        for name in self.activations:
            checks.one_of("activation", name, SLOPES)
        reads = sorted(i for stage in self.stages for i in stage.reads)
        if reads != list(range(len(self.activations))):
            raise ValueError(f"every one of {len(self.activations)} values must be read once, got {reads}")
        for stage, (_, computed) in zip(self.stages, self.blocks, strict=True):
            if max(stage.reads) >= computed or len(stage.reads) > 2:
                raise ValueError(f"a stage must read one or two values that were computed, got {stage}")

    @property
    def states(self) -> int:
        """Number of states per unit."""
        return len(self.stages)

    @property
    def activations(self) -> tuple[str, ...]:
        """Activations of all values of a step, by name; for each, in order, W and U have a block of rows."""
        return tuple(name for stage in self.stages for name in stage.computes)

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """For each stage, the first preactivation that it computes, and the first that it does not."""
        ends = [0]
        for stage in self.stages:
            ends.append(ends[-1] + len(stage.computes))
        return list(pairwise(ends))

    @property
    def moved_before(self) -> list[bool]:
        """For each stage, whether its source was moved earlier in the same step."""
        return [
            any(other.target == stage.source for other in self.stages[:i])
            for i, stage in enumerate(self.stages)
        ]


def euler_cell(activation: str) -> Cell:
    """Return the cell h ← h + dt σ(W h + U x + b) with the `activation` σ by name.

    Examples
    --------
    >>> euler_cell("tanh").activations
    ('tanh',)
    """
    return Cell((Stage(source=0, target=0, computes=(activation,), reads=(0,)),))


GATED = Cell(
    (
        Stage(source=0, target=1, computes=("sigmoid", "sigmoid", "tanh"), reads=(1, 2)),
        Stage(source=1, target=0, computes=("tanh",), reads=(0, 3)),
    )
)
"""Two states y (0) and z (1) with gates, as in "Long Expressive Memory" (2110.04744).

z ← z + dt σ̂(W₁y + U₁x + b₁)(tanh(W₂y + U₂x + b₂) − z),
y ← y + dt σ̂(W₀y + U₀x + b₀)(tanh(W₃z + U₃x + b₃) − y),
with both rates and the goal of z from the old y, and the goal of y from the new z.
"""
