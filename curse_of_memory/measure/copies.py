"""Evaluating many copies of one model, each with its own weights, as one batch."""

import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from curse_of_memory.measure.answers import sequence_of
from curse_of_memory.measure.sequence_map import SequenceMap
from curse_of_memory.protocols import ManyModels
from curse_of_memory.tools import checks

__all__ = ["copies_of", "naive_copies_of"]

# steps of all copies together that torch runs as one: more leave the cache of a CPU, where the loop is
# faster by then (measured: even at 10⁵ for attention and convolutions, far behind at 10⁶)
STEPS_AT_ONCE = {"cpu": 2**14, "cuda": 2**20}

Answers = Callable[[Mapping[str, Tensor], Tensor], Tensor]


def copies_of(model: nn.Module | SequenceMap) -> Answers:
    """Return a function of stacked weights and inputs that gives the answers of all copies of `model`.

    Parameters
    ----------
    model : torch.nn.Module or SequenceMap
        Answers by its own method ``run_many(parameters, x)`` where it has one; else it is batched by
        :func:`torch.func.vmap`, where that can be and is faster, and else evaluated copy by copy.

    Returns
    -------
    callable
        ``answers(parameters, x)``, from weights ``(copy, *shape)`` by name and inputs ``(batch, time, ...)``,
        of which every copy has its own, to a tensor ``(copy, batch, ...)``.

    Examples
    --------
    >>> answers = copies_of(nn.Linear(1, 1, bias=False))
    >>> answers({"weight": torch.tensor([[[2.0]], [[3.0]]])}, torch.ones(1, 1, 1)).flatten().tolist()
    [2.0, 3.0]
    """
    system = SequenceMap.of(model)
    naive, many = naive_copies_of(system), system.model
    if checks.fulfils(many, ManyModels):

        def by_itself(parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
            own = many.run_many(parameters, x.clone(memory_format=torch.contiguous_format))
            return own if system.output is None else torch.stack([sequence_of(y, system.output) for y in own])

        return by_itself

    can_batch = not isinstance(system.model, torch.jit.ScriptModule)

    def answers(parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        nonlocal can_batch
        limit = STEPS_AT_ONCE.get(x.device.type, STEPS_AT_ONCE["cpu"])
        steps = x.shape[0] * x.shape[1]
        copies = min(limit // max(1, steps), len(next(iter(parameters.values()))))
        if can_batch and copies > 1:
            try:
                with warnings.catch_warnings():
                    # torch warns of operations that it can only repeat: then the loop is no slower
                    warnings.simplefilter("error")
                    batched = torch.func.vmap(
                        lambda p, x: system.answer(x, p), in_dims=(0, None), chunk_size=copies
                    )
                    return batched(dict(parameters), x)
            except Exception:  # of any kind: what the model itself refuses, the loop refuses again
                can_batch = False
        return naive(parameters, x)

    return answers


def naive_copies_of(model: nn.Module | SequenceMap) -> Answers:
    """Return the function that :func:`copies_of` returns for `model`, by a loop over the copies.

    The batched forms must equal it.
    """
    system = SequenceMap.of(model)

    def answers(parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        count = len(next(iter(parameters.values())))
        return torch.stack([system.answer(x, {n: w[i] for n, w in parameters.items()}) for i in range(count)])

    return answers
