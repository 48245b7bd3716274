"""Layers that run step by step: the step of a layer that runs in chunks of time."""

from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from curse_of_memory.nn.building import inputs
from curse_of_memory.protocols import Outputs

__all__ = ["Streaming"]

State = TypeVar("State")


class Streaming(nn.Module, Generic[State]):
    """A layer that runs in chunks of time, and so in single steps: chunks of one."""

    def __call__(self, x: Tensor, *state: Any, **settings: Any) -> Tensor:
        """Return the answer to the whole sequences `x`, from the state at rest.

        Raises
        ------
        TypeError
            For a state beside them, as torch's own recurrent layers take it: with one, :meth:`run` goes on.
        """
        if state or "state" in settings:
            name = type(self).__name__
            raise TypeError(f"{name} takes whole sequences x alone; chunks with a state go to run(x, state)")
        return super().__call__(x, **settings)

    def run(self, x: Tensor, state: State | None = None) -> Outputs[State]:
        """Return the answers to a chunk of time, and the state after it."""
        raise NotImplementedError

    def step(self, x: Tensor, state: State | None = None) -> Outputs[State]:
        """Return the answer to one step, and the state after it, from which the next step goes on.

        Parameters
        ----------
        x : Tensor of shape ``(batch, input_size)``, or tokens of shape ``(batch,)``
            The input of this step.
        state
            What the step before has left; none at the start. As for :meth:`run`.

        Returns
        -------
        Outputs
            ``y`` of shape ``(batch, output)``, and ``last``, the state after this step.

        Raises
        ------
        ValueError, TypeError
            As :meth:`run`.
        """
        inputs.tensor("x", x, "one step, (batch, channel)")
        if x.ndim > 2:
            raise ValueError(f"x must be one step, (batch, channel), got {tuple(x.shape)}; run() takes more")
        y, last = self.run(x[:, None], state)
        return Outputs(y[:, 0] if y.ndim == 3 else y, last)  # it has no time where there is a pooling
