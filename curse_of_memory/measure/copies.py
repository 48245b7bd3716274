"""Copies of one model with other weights, evaluated as one batch."""

import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from curse_of_memory.measure.sequence_map import sequence_of

__all__ = ["copies_of", "one_by_one"]

# steps of all copies together that torch runs as one: more leave the cache of a CPU, where the plain loop is
# faster by then (measured: even at 10⁵ for attention and convolutions, far behind at 10⁶)
STEPS_AT_ONCE = {"cpu": 2**14, "cuda": 2**20}

Answers = Callable[[Mapping[str, Tensor], Tensor], Tensor]


def copies_of(model: nn.Module, output: Callable | None = None) -> Answers:
    """Return the map from stacked weights and inputs to the answers of all copies.

    Parameters
    ----------
    model : torch.nn.Module
        Answers by its own method ``run_many(parameters, x)`` where it has one; else it is batched by
        :func:`torch.func.vmap`, where that can be and is faster, and else evaluated copy by copy.
    output : callable, optional
        Chooses the sequence in what the model answers; see :func:`sequence_of`.

    Returns
    -------
    callable
        ``answers(parameters, x)``, from weights ``(copy, *shape)`` by name and inputs
        ``(batch, time, channel)`` to a tensor ``(copy, batch, time, channel)``.

    Examples
    --------
    >>> answers = copies_of(nn.Linear(1, 1, bias=False))
    >>> answers({"weight": torch.tensor([[[2.0]], [[3.0]]])}, torch.ones(1, 1, 1)).flatten().tolist()
    [2.0, 3.0]
    """
    plain = one_by_one(model, output)
    if hasattr(model, "run_many"):

        def by_itself(parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
            return torch.stack([sequence_of(answer, output) for answer in model.run_many(parameters, x)])

        return by_itself if output is not None else model.run_many

    answer, can_batch = _answer(model, output), True

    def answers(parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        nonlocal can_batch
        limit = STEPS_AT_ONCE.get(x.device.type, STEPS_AT_ONCE["cpu"])
        copies = min(limit // max(1, x[..., 0].numel()), len(next(iter(parameters.values()))))
        if can_batch and copies > 1:
            try:
                with warnings.catch_warnings():
                    # torch warns of operations that it can only repeat: then the plain loop is no slower
                    warnings.simplefilter("error")
                    batched = torch.func.vmap(answer, in_dims=(0, None), chunk_size=copies)
                    return batched(dict(parameters), x)
            except Exception:  # of any kind: what the model itself refuses, the loop refuses again
                can_batch = False
        return plain(parameters, x)

    return answers


def one_by_one(model: nn.Module, output: Callable | None = None) -> Answers:
    """Return what :func:`copies_of` returns for `model` and `output`, one copy after the other.

    The plain form, which the batched ones must equal.
    """
    answer = _answer(model, output)

    def answers(parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        count = len(next(iter(parameters.values())))
        return torch.stack([answer({name: w[i] for name, w in parameters.items()}, x) for i in range(count)])

    return answers


def _answer(model: nn.Module, output: Callable | None) -> Callable[[Mapping[str, Tensor], Tensor], Tensor]:
    return lambda p, x: sequence_of(torch.func.functional_call(model, p, (x,)), output)
