"""What a layer must offer to be used as one of ours: contracts that any ``torch.nn.Module`` can fulfil.

==================  ==========================================  ==============================================
contract            what it offers                              who asks for it
==================  ==========================================  ==============================================
SequenceLayer       ``run``, ``step`` and a state between them  whoever streams; a stack, for ``run``
LinearMemory        ``kernel``, ``offset``, ``dt``              exact losses, closed-form measurements
ManyModels          ``run_many``                                perturbed copies, sweeps
Stackable           ``run_many`` and ``architecture``           sweeps, which find out who can run with whom
Kindred             ``run_each`` and ``family``, beside those   sweeps over maps of recurrent weights
Modal               ``multipliers``                             the rate at which memories decay
Freezable           ``frozen_at``                               memories by themselves, without their dates
Remembering         ``remember``, of a priced memory            trainings, which add the price to the loss
==================  ==========================================  ==============================================

Nobody has to inherit from them. Whether a module that a user hands in fulfils one is said by
:func:`curse_of_memory.tools.checks.fulfils`, and by the functions below where more is asked, or less; a type
checker learns it, too. They look at the methods that a module has as it stands; from Python 3.12 on
isinstance does not see those that it wraps or hides.
"""

import numbers
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, NamedTuple, Protocol, TypeGuard, TypeVar

import numpy as np
from torch import Tensor, nn

from curse_of_memory.tools import checks

__all__ = [
    "Freezable",
    "Kindred",
    "LinearMemory",
    "ManyModels",
    "Modal",
    "Outputs",
    "PricedOutputs",
    "Remembering",
    "SequenceLayer",
    "Stackable",
    "can_run_chunks",
    "has_linear_memory",
    "remembers",
]

State = TypeVar("State")


class Outputs(NamedTuple, Generic[State]):
    """The answer of a layer to a chunk of time, and the state to go on from.

    Attributes
    ----------
    y : Tensor of shape ``(batch, time, output)``
        The answer; with a leading dimension ``model`` for several models.
    last : Tensor, or tuple of them
        The state after the last step, as the layer wants it back: one tensor ``(batch, state)`` of a
        recurrent or state space layer, the buffers of a :class:`~curse_of_memory.nn.TCN`, the cache of keys
        and values of an attention, one state for each block of a transformer or a stack.
    """

    y: Tensor
    last: State


class _Named(Protocol):
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the names of all weights, and the weights."""
        ...


class SequenceLayer(Protocol[State]):
    """A layer that maps ``(batch, time, input_size)`` to ``(batch, time, output)``, whole or in chunks."""

    @property
    def input_size(self) -> int:
        """Channels of x."""
        ...

    def __call__(self, x: Tensor) -> Tensor:
        """Return the answer to the whole sequences `x`, from the state at rest."""
        ...

    def run(self, x: Tensor, state: State | None = None) -> Outputs[State]:
        """Return the answer to a chunk `x`, ``(batch, time, input_size)``, that follows on `state`."""
        ...

    def step(self, x: Tensor, state: State | None = None) -> Outputs[State]:
        """Return the answer to one step `x`, ``(batch, input_size)``, that follows on `state`."""
        ...


class LinearMemory(_Named, Protocol):
    """A model that is linear in its input, and knows its memory: ŷ_k = dt Σ_s ρ̂_s x_{k−s} + μ_k."""

    @property
    def is_linear(self) -> bool:
        """Whether it is linear as it stands: of some layers one option decides."""
        ...

    @property
    def dt(self) -> float:
        """Time step."""
        ...

    def kernel(self, horizon: int, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return ρ̂_s for s < `horizon`, ``(horizon, output, input)``, with other `parameters` if given."""
        ...

    def offset(self, horizon: int, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the answer μ_k to zero input for k < `horizon`, ``(horizon, output)``."""
        ...


class ManyModels(_Named, Protocol):
    """A layer that answers for many models of its kind in one call."""

    def run_many(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return what the layer answers with each of the stacked `parameters`.

        Parameters
        ----------
        parameters : mapping from name to Tensor of shape ``(model, *shape)``
            All weights, under the names of :meth:`named_parameters`. The layer's own do not count.
        x : Tensor of shape ``(batch, time, input)`` or ``(model, batch, time, input)``
            Inputs, shared by the models or for each its own.

        Returns
        -------
        Tensor of shape ``(model, batch, time, output)``
            Differentiable in parameters and inputs; no model's answer depends on another's weights.
        """
        ...


class Stackable(ManyModels, Protocol):
    """Many models in one call, and what tells those that can be stacked from others."""

    @property
    def architecture(self) -> Hashable:
        """All of the layer but the values of its weights.

        Two layers of equal `architecture` whose weights agree in name, shape and dtype answer alike with the
        same weights, so that either can run both.
        """
        ...


class Kindred(Stackable, Protocol):
    """Many models in one call that may differ in the maps of their recurrent weights, too."""

    @property
    def family(self) -> Hashable:
        """All of the layer but the values of its weights and its maps: the `architecture` of relatives."""
        ...

    def run_each(self, layers: Sequence[Any], parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return what :meth:`run_many` does, by the maps of `layers`, one for each model or a single one."""
        ...


class Modal(Protocol):
    """A layer all of whose memory are diagonal modes h ← z h + φ x."""

    def multipliers(self, parameters: Mapping[str, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Return z and φ of all modes, real or complex, with other `parameters` if given."""
        ...


class Freezable(Protocol):
    """A model that reads off its input how long it remembers what, and can be held to that of another."""

    def frozen_at(self, reference: Tensor) -> AbstractContextManager[None]:
        """Return a context inside which memories are forgotten as for `reference`, whatever is read.

        Parameters
        ----------
        reference : Tensor of shape ``(1, time, input)``, or tokens of shape ``(1, time)``
            One input, of as many steps as what is read inside the context has at most.
        """
        ...


class PricedOutputs(Protocol):
    """The answer of a layer to a chunk of time, the state to go on from, and what its memories cost."""

    @property
    def y(self) -> Tensor:
        """The answer, ``(batch, time, output)``."""
        ...

    @property
    def last(self) -> Any:
        """The state after the last step, as the layer wants it back."""
        ...

    @property
    def price(self) -> Tensor:
        """What is to be added to the loss: a mean over steps and sequences, summed over layers."""
        ...

    @property
    def live(self) -> Tensor:
        """How many memories each step sees, ``(batch, time)``, or with a dimension of layers in front."""
        ...

    @property
    def spans(self) -> Tensor | Sequence[Tensor | None] | None:
        """For how many steps each step is kept, ``(batch, time)``, or that for each layer; None without."""
        ...


class Remembering(Protocol):
    """A layer or model whose memories have a price, and which says it: one with a law of forgetting."""

    def remember(self, x: Tensor, state: Any = None) -> PricedOutputs:
        """Return the answer to a chunk `x` that follows on `state`, as ``run`` does, and the price of it."""
        ...


def remembers(model: object) -> TypeGuard[Remembering]:
    """Return whether a `model` is :class:`Remembering` as it stands.

    One that has ``remember``, but forgets by a law only if it was given one, says so by ``forgets``.
    """
    return checks.fulfils(model, Remembering) and bool(getattr(model, "forgets", True))


def can_run_chunks(layer: object) -> TypeGuard[SequenceLayer]:
    """Return whether a `layer` has ``run(x, state)``: all that is asked of the parts of a stack."""
    return callable(getattr(layer, "run", None))


def has_linear_memory(model: object) -> TypeGuard[LinearMemory]:
    """Return whether a `model` is linear by its own word, and gives its memory and time step."""
    if not checks.fulfils(model, LinearMemory):
        return False
    if not isinstance(model.is_linear, bool | np.bool) or not model.is_linear:
        return False
    dt = model.dt
    if isinstance(dt, Tensor):  # such as a buffer
        return dt.ndim == 0 and dt.is_floating_point()
    return isinstance(dt, numbers.Real) and not isinstance(dt, bool)
