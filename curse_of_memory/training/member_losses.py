"""The losses of many small networks at once: of sampled batches, or exact."""

import torch
from torch import Tensor

from curse_of_memory.nn.recurrence.compiled.threads import on_cpu
from curse_of_memory.tools.random_streams import sample_seed
from curse_of_memory.training.batched_adam import Stacked
from curse_of_memory.training.batches import copied
from curse_of_memory.training.members import Members
from curse_of_memory.training.memory_misfit import MemoryMisfit, compiled_case, expected_losses

__all__ = ["ExpectedLosses", "SampledLosses"]


class SampledLosses:
    """The losses of sampled batches; members of one seed share theirs.

    Parameters
    ----------
    task
        Anything with ``sample(size, seed=, device=, dtype=)``.
    batch_size, validation_size : int
        Sequences in a training batch, and in the validation set.
    device : torch.device
        Where the batches are wanted.
    """

    def __init__(self, task, batch_size: int, validation_size: int, device: torch.device):
        self._task, self._device = task, device
        self._batch_size, self._validation_size = batch_size, validation_size
        self._step: int | None = None
        self._batches: dict = {}
        self._unseen: dict = {}

    def training(self, members: Members, step: int) -> Tensor:
        """Return the losses ``(model,)`` of the `members` on their batches of the `step`."""
        if step != self._step:
            self._step, self._batches = step, {}
        return self._losses(members, self._batches, self._batch_size, "training", step)

    def validation(self, members: Members) -> Tensor:
        """Return the losses ``(model,)`` of the `members` on sequences that are never trained on."""
        return self._losses(members, self._unseen, self._validation_size, "validation")

    def _losses(self, members: Members, drawn: dict, size: int, what: str, *index: int) -> Tensor:
        seeds = members.seeds
        for seed in set(seeds):
            if (seed, members.dtype) not in drawn:
                found = self._task.sample(
                    size, seed=sample_seed(what, seed, *index), device=self._device, dtype=members.dtype
                )
                drawn[seed, members.dtype] = copied("task", found)  # the next draw may fill the same buffers
        if len(set(seeds)) == 1:
            x, y = drawn[seeds[0], members.dtype]
        else:
            pairs = [drawn[seed, members.dtype] for seed in seeds]
            x, y = (torch.stack(tensors) for tensors in zip(*pairs, strict=True))
        answers = members.template.run_many(members.weights, x)
        if y.shape[-3:] != answers.shape[1:]:
            shapes = f"{tuple(answers.shape[1:])}, as the models answer, got {tuple(y.shape[-3:])}"
            raise ValueError(f"task must give targets of shape {shapes}")
        weights = _time_weights(members, answers)
        return (weights[:, None, :, None] * (answers - y) ** 2).mean((1, 2, 3))


def _time_weights(members: Members, answers: Tensor) -> Tensor:
    """Return what multiplies the squared error of each model at each time, of shape ``(model, time)``."""
    rows = answers.new_empty(len(members), answers.shape[2])
    for loss, places in members.by_loss():
        rows[places] = loss.effective_weights(rows.shape[1], dtype=rows.dtype, device=rows.device)
    return rows


class ExpectedLosses:
    """The exact expected losses of linear members: no batches, no noise.

    On the CPU by the compiled misfit of linear RNNs, elsewhere by torch.

    Parameters
    ----------
    task : LinearFunctional
        Target, inputs and time step.
    """

    def __init__(self, task):
        self._task = task
        self._prepared: dict[tuple, MemoryMisfit] = {}

    def training(self, members: Members, step: int) -> Tensor:
        """Return the losses ``(model,)`` of the `members`, the same at every `step`."""
        return self.validation(members)

    def validation(self, members: Members) -> Tensor:
        """Return the losses ``(model,)`` of the `members`."""
        template, losses = members.template, members.losses
        known = all(compiled_case(template, self._task, loss) for loss in losses)
        if known and on_cpu(*members.weights.values()):
            # a member that leaves changes the list of losses
            chosen = template, *((loss.bias, loss.form) for loss in losses)
            if chosen not in self._prepared:
                self._prepared[chosen] = MemoryMisfit(template, self._task, losses)
            return expected_losses(self._prepared[chosen], members.weights)
        return self._by_torch(members)

    def _by_torch(self, members: Members) -> Tensor:
        settings: dict = {}

        def errors(parameters: Stacked) -> Stacked:
            error = self._task.linear_error(members.template, parameters)
            settings.update((k, v) for k, v in error.items() if not isinstance(v, Tensor))
            return {k: v for k, v in error.items() if isinstance(v, Tensor)}

        stacked = torch.func.vmap(errors)(members.weights)
        losses = stacked["kernel_error"].new_empty(len(members))
        for loss, places in members.by_loss():
            chosen = {k: v[places] for k, v in stacked.items()}
            losses[places] = loss.expected(**chosen, **settings)
        return losses
