"""Models of one size that are trained as one: their weights stacked, their answers and losses batched.

Equation.   Model i has weights W_i, U_i, b_i, C_i and loss L_i(W_i, U_i, b_i, C_i). The gradient of Σ_i L_i
            by the weights of model i is that of L_i, so that one way back serves all, and what happens to
            one of them, NaN included, does not reach the others.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.nn import RNN
from curse_of_memory.training.batched_adam import BatchedAdamW, Stacked, clip_norms, gradient_norms

__all__ = ["ExpectedLosses", "Group", "SampledLosses", "kind"]


def kind(model: RNN) -> tuple:
    """Return what two models must share to be stacked: the `model`'s sizes, functions and precision."""
    weights = [(name, tuple(w.shape), w.dtype, w.requires_grad) for name, w in model.named_parameters()]
    return model.activation, model.parameterization, model.diagonal, model.dt, tuple(weights)


class Group:
    """Models of one kind, the weights of those that still train, and the best weights of all.

    Parameters
    ----------
    numbers : sequence of int
        How the sweep numbers these members.
    models : sequence of RNN
        All of one :func:`kind`.
    powers, seeds : sequence
        p of the loss and seed of the batches of each.
    weight_decay : float
        Of AdamW.
    device : torch.device
        Where the work is done.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        models: Sequence[RNN],
        powers: Sequence[float],
        seeds: Sequence[int],
        weight_decay: float,
        device: torch.device,
    ):
        self.template = models[0]
        self.numbers = np.array(numbers)
        self._all = self.numbers
        self._powers, self._seeds = np.array(powers), np.array(seeds)
        named = [dict(model.named_parameters()) for model in models]
        self.weights: Stacked = {
            name: torch.stack([weights[name].detach().to(device) for weights in named]) for name in named[0]
        }
        self.trained = [name for name, weight in named[0].items() if weight.requires_grad]
        self.best: Stacked = {name: w.clone() for name, w in self.weights.items()}
        self.optimizer = BatchedAdamW({name: self.weights[name] for name in self.trained}, weight_decay)

    @property
    def powers(self) -> np.ndarray:
        """Powers p of the members that still train."""
        return self._powers[self._places]

    @property
    def seeds(self) -> np.ndarray:
        """Seeds of the members that still train."""
        return self._seeds[self._places]

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.weights["output_weight"].dtype

    @property
    def _places(self) -> np.ndarray:
        return np.searchsorted(self._all, self.numbers)

    def step(self, losses, number: int, learning_rates: np.ndarray, clip: float) -> np.ndarray:
        """Make step `number` of all; members whose loss or gradient is not finite leave before it.

        Parameters
        ----------
        losses : SampledLosses or ExpectedLosses
            What is descended.
        number : int
            Names the batches.
        learning_rates : array over all members of the sweep
            η.
        clip : float
            Largest norm of a gradient.

        Returns
        -------
        array of shape ``(model,)``
            The losses before the step, of those that go on.
        """
        leaves = [self.weights[name].requires_grad_() for name in self.trained]
        values = losses.training(self, number)
        gradients = dict(zip(self.trained, torch.autograd.grad(values.sum(), leaves), strict=True))
        for leaf in leaves:
            leaf.requires_grad_(False)
        norms, values = gradient_norms(gradients), values.detach()
        finite = torch.isfinite(values) & torch.isfinite(norms)
        if not finite.all():
            self.keep(finite.cpu().numpy())
            gradients = {name: g[finite] for name, g in gradients.items()}
            norms, values = norms[finite], values[finite]
        if len(self.numbers):
            rates = torch.as_tensor(learning_rates[self.numbers], dtype=self.dtype, device=values.device)
            self.optimizer.step(self.weights, clip_norms(gradients, norms, clip), rates)
        return values.cpu().numpy()

    def remember(self, improved: np.ndarray) -> None:
        """Take the present weights as the best ones, where `improved` says so."""
        rows = torch.from_numpy(np.flatnonzero(improved))
        places = torch.from_numpy(self._places[improved])
        for name, weight in self.weights.items():
            self.best[name][places] = weight[rows]

    def keep(self, going_on: np.ndarray) -> None:
        """Go on with those members only for which `going_on` is true."""
        if going_on.all():
            return
        rows = torch.from_numpy(np.flatnonzero(going_on))
        self.numbers = self.numbers[going_on]
        self.weights = {name: w[rows] for name, w in self.weights.items()}
        self.optimizer.keep(rows)

    @torch.no_grad()
    def write_best(self, models: Sequence[RNN]) -> None:
        """Give the members' best weights to those of the `models` of the sweep that are in this group."""
        for place, number in enumerate(self._all):
            for name, weight in models[number].named_parameters():
                weight.copy_(self.best[name][place])

    def state_dict(self) -> dict:
        """Return all that a checkpoint needs."""
        own = {"numbers": self.numbers.tolist(), "weights": self.weights, "best": self.best}
        return own | {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping) -> None:
        """Take up the `state` that :meth:`state_dict` returned."""
        self.numbers = np.array(state["numbers"], dtype=int)
        self.weights, self.best = dict(state["weights"]), dict(state["best"])
        self.optimizer.load_state_dict(state["optimizer"])


class SampledLosses:
    """The losses of sampled batches; members of one seed share theirs.

    Parameters
    ----------
    task
        Anything with ``sample(size, seed=, device=, dtype=)``.
    training, validation : tuple of (int, int)
        Number of sequences, and name of the stream of seeds.
    device : torch.device
        Where the batches are wanted.
    """

    def __init__(self, task, training: tuple[int, int], validation: tuple[int, int], device: torch.device):
        self._task, self._device = task, device
        (self._batch_size, self._stream), (self._validation_size, self._validation_stream) = (
            training,
            validation,
        )
        self._step: int | None = None
        self._batches: dict = {}
        self._unseen: dict = {}

    def training(self, group: Group, step: int) -> Tensor:
        """Return the losses ``(model,)`` of the members of `group` on their batches of the `step`."""
        if step != self._step:
            self._step, self._batches = step, {}
        return self._losses(group, self._batches, self._batch_size, self._stream, step)

    def validation(self, group: Group) -> Tensor:
        """Return the losses ``(model,)`` of the members of `group` on sequences that are never trained on."""
        return self._losses(group, self._unseen, self._validation_size, self._validation_stream)

    def _losses(self, group: Group, drawn: dict, size: int, *stream: int) -> Tensor:
        seeds = [int(seed) for seed in group.seeds]
        for seed in set(seeds):
            if (seed, group.dtype) not in drawn:
                drawn[seed, group.dtype] = self._task.sample(
                    size, seed=(seed, *stream), device=self._device, dtype=group.dtype
                )
        if len(set(seeds)) == 1:
            x, y = drawn[seeds[0], group.dtype]
        else:
            pairs = [drawn[seed, group.dtype] for seed in seeds]
            x, y = (torch.stack(tensors) for tensors in zip(*pairs, strict=True))
        answers = group.template.run_many(group.weights, x)
        weights = _time_weights(group.powers, answers)
        return (weights[:, None, :, None] * (answers - y) ** 2).mean((1, 2, 3))


def _time_weights(powers: np.ndarray, answers: Tensor) -> Tensor:
    """Return w_t of each model's loss, of shape ``(model, time)``."""
    horizon = answers.shape[2]
    rows = {
        p: TemporallyWeightedMSE(p).effective_weights(horizon, dtype=answers.dtype, device=answers.device)
        for p in set(powers.tolist())
    }
    return torch.stack([rows[p] for p in powers.tolist()])


class ExpectedLosses:
    """The exact expected losses of linear members: no batches, no noise.

    Parameters
    ----------
    task : LinearFunctional
        Target, inputs and time step.
    """

    def __init__(self, task):
        self._task = task

    def training(self, group: Group, step: int) -> Tensor:
        """Return the losses ``(model,)`` of the members of `group`, the same at every `step`."""
        return self.validation(group)

    def validation(self, group: Group) -> Tensor:
        """Return the losses ``(model,)`` of the members of `group`."""
        settings: dict = {}

        def errors(parameters: Stacked) -> Stacked:
            error = self._task.linear_error(group.template, parameters)
            settings.update((k, v) for k, v in error.items() if not isinstance(v, Tensor))
            return {k: v for k, v in error.items() if isinstance(v, Tensor)}

        stacked = torch.func.vmap(errors)(group.weights)
        powers = group.powers
        losses = stacked["kernel_error"].new_empty(len(powers))
        for p in set(powers.tolist()):
            rows = torch.from_numpy(np.flatnonzero(powers == p))
            chosen = {k: v[rows] for k, v in stacked.items()}
            losses[rows] = TemporallyWeightedMSE(p).expected(**chosen, **settings)
        return losses
