"""The state that a model hands on from one chunk of a text to the next."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

__all__ = ["CarriedState"]


class CarriedState:
    """The state after the last chunk, cut off from its gradients, as a checkpoint can hold it.

    A state is a tensor, or tuples, lists and dictionaries of states; what else is among them, such as
    numbers and None, stays as it is, and has to be the same whenever a chunk has been read.
    """

    def __init__(self):
        self._state: Any = None
        self._stored: list[Tensor] | None = None

    def hand_on(self, state: Any) -> None:
        """Take the `state` after a chunk."""
        self._state, self._stored = _mapped(state, Tensor.detach), None

    def state(self, similar: Callable[[], Any]) -> Any:
        """Return the state to go on from.

        Parameters
        ----------
        similar : callable
            Returns a state of the same form; asked where there are but the tensors of a checkpoint.

        Raises
        ------
        ValueError
            If it has another number of tensors.
        """
        if self._stored is not None:
            form = similar()
            if (count := len(_tensors_of(form))) != len(self._stored):
                raise ValueError(
                    f"checkpoint has a carried state of {len(self._stored)} tensors, but that of model has "
                    f"{count}: it was trained with another kind of state, such as another kept"
                )
            tensors = iter(self._stored)
            self._state, self._stored = _mapped(form, lambda _: next(tensors)), None
        return self._state

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors of the state, one after the other."""
        if self._stored is not None:
            return self._stored
        return _tensors_of(self._state)

    def go_to(self, tensors: list[Tensor]) -> None:
        """Go on from `tensors` that :attr:`tensors` returned."""
        self._stored = list(tensors)


def _tensors_of(state: Any) -> list[Tensor]:
    found: list[Tensor] = []
    _mapped(state, found.append)
    return found


def _mapped(state: Any, function: Callable[[Tensor], Any]) -> Any:
    """Return `state` with its tensors mapped, in their order."""
    if isinstance(state, Tensor):
        return function(state)
    if isinstance(state, dict):
        return {name: _mapped(value, function) for name, value in state.items()}
    if isinstance(state, list):
        return [_mapped(value, function) for value in state]
    if isinstance(state, tuple):
        values = [_mapped(value, function) for value in state]
        return type(state)(*values) if hasattr(state, "_fields") else tuple(values)
    return state
