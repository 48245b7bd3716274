"""The losses of many small models at once: on sampled batches, or the exact expected ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from curse_of_memory.losses import TemporallyWeightedCrossEntropy, TemporallyWeightedMSE
from curse_of_memory.losses.cross_entropy import IGNORED
from curse_of_memory.measure.answers import sequence_of
from curse_of_memory.measure.refusals import in_one_line
from curse_of_memory.nn.recurrence.compiled.threads import on_cpu
from curse_of_memory.protocols import LinearError, LinearTask, Task, has_linear_memory
from curse_of_memory.tools.random_streams import sample_seed
from curse_of_memory.training.batched.adam import Stacked
from curse_of_memory.training.batched.group import Members
from curse_of_memory.training.batched.standing import TAKEN
from curse_of_memory.training.data_sets import copied
from curse_of_memory.training.demands import numbers_by_name
from curse_of_memory.training.exact.compiled import MemoryMisfit, compiled_case, expected_losses

__all__ = ["ExpectedLosses", "SampledLosses", "Score"]

Score = Callable[[Tensor, Tensor], Mapping[str, float]]
"""What else is to be known of one model's answers to the sequences of a validation, and of their targets."""

TRIED, BEGINNING = 4, 32  # sequences, and steps of them, that a layer is tried on


class SampledLosses:
    """The losses on sampled batches; members of one seed share theirs.

    Parameters
    ----------
    task : Task
        Anything with ``sample(size, seed=, device=, dtype=)``.
    batch_size, validation_size : int
        Sequences in a training batch, and in the validation set.
    device : torch.device
        Where the batches are wanted.
    score : callable, optional
        ``score(answers, targets)`` returns numbers by name, of one model at a validation.
    validation : Task, optional
        Of the validation set, where it is another one.
    """

    def __init__(
        self,
        task: Task,
        batch_size: int,
        validation_size: int,
        device: torch.device,
        score: Score | None = None,
        validation: Task | None = None,
    ):
        self._task, self._device, self._score = task, device, score
        self._other = task if validation is None else validation
        self._batch_size, self._validation_size = batch_size, validation_size
        self._step: int | None = None
        self._batches: dict = {}
        self._unseen: dict = {}

    def training(self, members: Members, step: int) -> Tensor:
        """Return the losses ``(model,)`` of the `members` on their batches of the `step`."""
        if step != self._step:
            self._step, self._batches = step, {}
        return _errors(members, *self._answers(members, self._batches, self._batch_size, "training", step))

    def validation(self, members: Members) -> tuple[Tensor, list[dict[str, float]]]:
        """Return losses ``(model,)`` and scores of the `members` on sequences that are never trained on."""
        answers, y = self._answers(members, self._unseen, self._validation_size, "validation")
        score = self._score
        scores = [
            {} if score is None else numbers_by_name("score", score(*one), TAKEN)
            for one in zip(answers.detach(), y, strict=True)
        ]
        return _errors(members, answers, y), scores

    def alone(self, members: Members, model: nn.Module, step: int) -> Tensor:
        """Return the loss of the first of the `members` on its batch of the `step`, answered by `model`."""
        if step != self._step:
            self._step, self._batches = step, {}
        x, y = self._batch(members[:1], self._batches, self._batch_size, "training", step)
        return members.losses[0](sequence_of(model(x)), y)

    @torch.no_grad()
    def check(self, members: Members, model: nn.Module) -> None:
        """Refuse a `model` that answers otherwise than its ``run_many`` with its weights, those of `members`.

        Both are held against each other on the beginnings of a few sequences of the validation set; answers
        neither of which is finite are not compared. All weights that are trained must have a gradient.
        """
        name, weights = type(model).__name__, dict(members.weights)
        trained = [key for key, weight in model.named_parameters() if weight.requires_grad]
        weights |= {key: weights[key].detach().requires_grad_() for key in trained}
        x, _ = self._batch(members, self._unseen, self._validation_size, "validation")
        x = x[:TRIED, :BEGINNING]  # of one member: without a model in front
        try:
            alone = sequence_of(model(x.clone()))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # of any kind: it is a stranger's
            refusal = TypeError if isinstance(error, TypeError) else ValueError
            raise refusal(f"models must answer inputs of the task; {name}: {in_one_line(error)}") from error
        with torch.enable_grad():
            together = _run_many(members, weights, x)
        if together.shape != (1, *alone.shape):
            shapes = f"{tuple(together.shape)} where it must be {(1, *alone.shape)}"
            raise ValueError(f"models must answer alike in run_many(), but the shape of one is {shapes}")
        if not _equal(together[0], alone, members.dtype):
            raise ValueError(f"models must answer in run_many() as by themselves, which {name} does not")
        leaves, gradients = [weights[key] for key in trained], [None] * len(trained)
        if together.requires_grad:
            gradients = torch.autograd.grad(together, leaves, torch.ones_like(together), allow_unused=True)
        if idle := [key for key, g in zip(trained, gradients, strict=True) if g is None]:
            raise ValueError(f"models must use all weights in run_many(), {name} does not use {idle}")

    @torch.no_grad()
    def check_together(self, members: Members) -> None:
        """Refuse a layer that answers for several `members` at once otherwise than for each.

        They are tried with weights a tenth apart, since theirs may be the same.
        """
        x, _ = self._batch(members[:1], self._unseen, self._validation_size, "validation")
        x = x[:TRIED, :BEGINNING]
        if len(members) == 1:
            return
        apart = {key: w + 0.1 * _places(w) * w.abs() for key, w in members.weights.items()}
        members = replace(members, weights=apart)
        answers = _run_many(members, members.weights, x)
        for place in range(len(members)):
            one = members[place : place + 1]
            alone = _run_many(one, one.weights, x)
            if answers.shape[1:] != alone.shape[1:] or not _equal(answers[place], alone[0], members.dtype):
                name = type(members.template).__name__
                raise ValueError(f"models must answer in run_many() as by themselves, which {name} does not")

    def _batch(self, members: Members, drawn: dict, size: int, what: str, *index: int) -> Sequence[Tensor]:
        """Return inputs and targets, of `size` sequences; with a leading ``model`` where seeds differ."""
        seeds, task = members.seeds, self._other if what == "validation" else self._task
        for seed in set(seeds):
            if (seed, members.dtype) not in drawn:
                pair = task.sample(
                    size, seed=sample_seed(what, seed, *index), device=self._device, dtype=members.dtype
                )
                drawn[seed, members.dtype] = copied("task", pair)  # the next draw may fill the same buffers
        if len(set(seeds)) == 1:
            return drawn[seeds[0], members.dtype]
        pairs = [drawn[seed, members.dtype] for seed in seeds]
        return [torch.stack(tensors) for tensors in zip(*pairs, strict=True)]

    def _answers(
        self, members: Members, drawn: dict, size: int, what: str, *index: int
    ) -> tuple[Tensor, Tensor]:
        """Return the answers of all `members`, and their targets."""
        x, y = self._batch(members, drawn, size, what, *index)
        answers = members.answers(x)
        expected = answers.shape[1:-1] if _of_classes(members) else answers.shape[1:]
        if y.shape[-len(expected) :] != expected:
            shapes = f"{tuple(expected)}, as the models answer, got {tuple(y.shape[-len(expected) :])}"
            raise ValueError(f"task must give targets of shape {shapes}")
        return answers, y.expand(len(members), *expected)


def _of_classes(members: Members) -> bool:
    return isinstance(members.losses[0], TemporallyWeightedCrossEntropy)


def _errors(members: Members, answers: Tensor, y: Tensor) -> Tensor:
    """Return the losses ``(model,)`` of answers ``(model, batch, time, channel)`` to their targets."""
    if _of_classes(members):
        return _cross_entropies(members, answers, y)
    weights = _time_weights(members, answers)
    return (weights[:, None, :, None] * (answers - y) ** 2).mean((1, 2, 3))


def _cross_entropies(members: Members, logits: Tensor, classes: Tensor) -> Tensor:
    """Return the weighted cross-entropies ``(model,)`` of logits ``(model, batch, time, class)``."""
    counts = classes != IGNORED
    weights = logits.new_empty(counts.shape)
    for loss, places in members.by_loss():
        weights[places] = (
            loss.weights_where(counts[places].flatten(0, 1)).to(weights).unflatten(0, (-1, counts.shape[1]))
        )
    on_logits = [loss.form == "on_logits" for loss in members.losses]
    if any(on_logits):
        there = torch.tensor(on_logits, device=logits.device)[:, None, None]
        logits = logits * weights.where(there, 1)[..., None]
        weights = torch.where(there, counts, weights)
    errors = functional.cross_entropy(logits.flatten(0, 2), classes.flatten(), reduction="none")
    return (weights * errors.view(classes.shape)).sum((1, 2)) / weights.sum((1, 2))


def _places(w: Tensor) -> Tensor:
    """Return the places of stacked weights, as a factor of them."""
    return torch.arange(len(w), device=w.device).reshape(-1, *[1] * (w.ndim - 1))


def _run_many(members: Members, weights: Stacked, x: Tensor) -> Tensor:
    """Return what the layer of the `members` answers `x` in ``run_many``, if it is all that it has to be."""
    name, given, before = type(members.template).__name__, x.clone(), dict(weights)
    weights = {key: weight.clone() for key, weight in weights.items()}
    try:
        answers = replace(members, weights=weights).answers(given)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of any kind: it is a stranger's
        raise ValueError(f"models must answer in run_many(); {name}: {in_one_line(error)}") from error
    if not isinstance(answers, Tensor):
        what = type(answers).__name__
        raise TypeError(f"models must answer in run_many() with a tensor, {name} does with {what}")
    if answers.is_complex():
        raise TypeError(f"models must answer with real numbers, {name} does with {answers.dtype}")
    untouched = torch.equal(given, x) and all(torch.equal(weights[key], w) for key, w in before.items())
    if not untouched:
        raise ValueError(f"models must leave inputs and weights of run_many() as they are; {name} does not")
    return answers


def _equal(one: Tensor, other: Tensor, dtype: torch.dtype) -> bool:
    """Return whether two answers agree up to rounding, or none of the two is finite."""
    finite = [bool(answer.isfinite().all()) for answer in (one, other)]
    if not all(finite):
        return finite[0] == finite[1]
    allowed = torch.finfo(dtype).eps ** 0.5 * other.abs().amax() if other.numel() else 0.0
    return bool(((one - other).abs() <= allowed).all())


def _time_weights(members: Members, answers: Tensor) -> Tensor:
    """Return the weight of the squared error of each model at each time, ``(model, time)``."""
    rows = answers.new_empty(len(members), answers.shape[2])
    for loss, places in members.by_loss():
        assert isinstance(loss, TemporallyWeightedMSE)  # of classes the weights depend on the labels
        rows[places] = loss.effective_weights(rows.shape[1], dtype=rows.dtype, device=rows.device)
    return rows


class ExpectedLosses:
    """The exact expected losses of linear members: no batches, no noise.

    On the CPU by the compiled misfit of linear RNNs, elsewhere by torch.

    Parameters
    ----------
    task : LinearTask
        Such as :class:`LinearFunctional`.
    """

    def __init__(self, task: LinearTask):
        self._task = task
        self._prepared: dict[tuple, MemoryMisfit] = {}

    def validation(self, members: Members) -> tuple[Tensor, list[dict[str, float]]]:
        """Return the losses ``(model,)`` of the `members`, and no scores."""
        return self.training(members, 0), [{}] * len(members)

    def training(self, members: Members, step: int) -> Tensor:
        """Return the losses ``(model,)`` of the `members`, the same at every `step`."""
        # the sweep has refused all others
        losses = [loss for loss in members.losses if isinstance(loss, TemporallyWeightedMSE)]
        cases = [compiled_case(members.template, self._task, loss) for loss in losses]
        if cases[0] is not None and None not in cases and on_cpu(*members.weights.values()):
            template, task, _ = cases[0]
            # a member that leaves changes the list of losses
            chosen = template, *((loss.bias, loss.form) for loss in losses)
            if chosen not in self._prepared:
                self._prepared[chosen] = MemoryMisfit(template, task, losses)
            return expected_losses(self._prepared[chosen], members.weights)
        return self._by_torch(members)

    def _by_torch(self, members: Members) -> Tensor:
        template = members.template
        assert has_linear_memory(template)  # or the sweep had refused it
        settings: LinearError | None = None

        def errors(parameters: Stacked) -> tuple[Tensor, Tensor]:
            nonlocal settings
            settings = self._task.linear_error(template, parameters)
            return settings["kernel_error"], settings["offset_error"]

        kernels, offsets = torch.func.vmap(errors)(members.weights)
        assert settings is not None
        losses = kernels.new_empty(len(members))
        for loss, places in members.by_loss():
            losses[places] = loss.expected(
                kernels[places],
                offset_error=offsets[places],
                dt=settings["dt"],
                variance=settings["variance"],
                inputs=settings["inputs"],
            )
        return losses
