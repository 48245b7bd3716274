"""The mean of a model's weights over the last steps of its training, which is evaluated in their place."""

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

__all__ = ["AveragedWeights"]


class AveragedWeights:
    """The mean over all steps of the weights of a model, from a step on that shows itself.

    Parameters
    ----------
    model : torch.nn.Module
        What is trained; its weights go on as if nobody took their mean.
    after : int or None
        The mean begins when so many validations in a row were not better than the best.
    latest : int or None
        It begins with the step after this one at the latest. With neither of the two there is no mean.

    Notes
    -----
    Source: Polyak averaging, as in Merity et al. 2017 (1708.02182), with the trigger of the public code of
    Melis et al. 2019 (1909.01792).
    """

    def __init__(self, model: nn.Module, after: int | None, latest: int | None):
        self._model, self._after, self._latest = model, after, latest
        self._count = 0
        self._means: dict[str, Tensor] = {}

    def add(self, step: int, stale: int) -> None:
        """Take the weights after a `step` into the mean, if it has begun or begins now.

        Parameters
        ----------
        step : int
            Number of steps that were made.
        stale : int
            Validations in a row, until now, that were not better than the best.
        """
        begins = self._after is not None and stale >= self._after
        begins = begins or (self._latest is not None and step > self._latest)
        if not (self._count or begins):
            return
        self._count += 1
        for name, weight in self._model.named_parameters():
            value = weight.detach()
            mean = self._means.setdefault(name, value.clone())
            mean += (value - mean) / self._count

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the model the mean for its weights inside this context, if there is one."""
        weights = dict(self._model.named_parameters()) if self._count else {}
        kept = {name: weight.detach().clone() for name, weight in weights.items()}
        self._set(weights, self._means)
        try:
            yield
        finally:
            self._set(weights, kept)

    @torch.no_grad()
    def _set(self, weights: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
        for name, weight in weights.items():
            weight.copy_(values[name])

    def state_dict(self) -> dict:
        """Return the mean and of how many steps it is."""
        return {"count": self._count, "means": dict(self._means)}

    def load_state_dict(self, state: dict) -> None:
        """Go on from what :meth:`state_dict` returned."""
        weights = dict(self._model.named_parameters())
        if state["means"] and {n: m.shape for n, m in state["means"].items()} != {
            n: w.shape for n, w in weights.items()
        }:
            raise ValueError("means must be of the weights of this model")
        self._count, self._means = (
            state["count"],
            {name: mean.clone() for name, mean in state["means"].items()},
        )
