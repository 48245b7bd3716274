"""What is asked of a map f from free to recurrent weights: its values, domain and stable interval."""

from typing import Any, Protocol

__all__ = ["WeightMap"]


class WeightMap(Protocol):
    """A map f of the free weight, as bounds and moduli look at it.

    :class:`~curse_of_memory.theory.reparameterization.Reparameterization` is one.
    """

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def time(self) -> str:
        """``'continuous'`` for rates f(w), ``'discrete'`` for multipliers of a step."""
        ...

    @property
    def domain(self) -> tuple[float, float]:
        """The open interval of free weights."""
        ...

    @property
    def turns(self) -> tuple[float, ...] | None:
        """The weights between which f is monotone, if they are known."""
        ...

    @property
    def stable_values(self) -> tuple[float, float]:
        """The open interval of values whose modes decay."""
        ...

    def value(self, w: Any) -> Any:
        """Return f(w), or in discrete time 1 − f(w), in the type of `w`."""
        ...

    def f(self, w: Any) -> Any:
        """Return f(w), in the type of `w`."""
        ...

    def gap(self, w: Any) -> Any:
        """Return 1 − f(w) without cancellation, in discrete time."""
        ...
