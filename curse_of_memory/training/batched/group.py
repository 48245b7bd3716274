"""Models of one kind and size that are trained together: stacked weights, batched losses and steps.

Equation.   Model i has weights W_i, U_i, b_i, C_i and loss L_i(W_i, U_i, b_i, C_i). The gradient of Σ_i L_i
            by the weights of model i is that of L_i, so that one way back serves all, and what happens to
            one of them, NaN included, does not reach the others.

Algorithm.  The weights and their moments lie together; values and gradients are taken of as many models at
            once as memory has room for, and AdamW makes its step for all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from curse_of_memory.losses import TemporallyWeightedCrossEntropy, TemporallyWeightedMSE
from curse_of_memory.protocols import Kindred, Stackable
from curse_of_memory.tools import checks
from curse_of_memory.tools.devices import bytes_on_tape, copies_that_fit
from curse_of_memory.training.batched.adam import BatchedAdamW, Stacked, clip_norms, norms_by_model
from curse_of_memory.training.batched.standing import TAKEN
from curse_of_memory.training.demands import numbers_by_name
from curse_of_memory.training.untouched import untouched

__all__ = ["Group", "Members", "SweptLoss", "Watch", "stack_key"]

Watch = Callable[[nn.Module], Mapping[str, float]]
"""What is to be known of a model whose gradients are computed."""

SweptLoss = TemporallyWeightedMSE | TemporallyWeightedCrossEntropy
"""What members are trained on, all of a sweep on one of the two."""


def stack_key(model: Stackable) -> tuple:
    """Return class, architecture, and names, shapes and dtypes of weights: equal keys can be stacked.

    In place of the architecture stands the family of those that can run beside others of other maps.
    """
    weights = [(name, tuple(w.shape), w.dtype, w.requires_grad) for name, w in model.named_parameters()]
    kind = model.family if checks.fulfils(model, Kindred) else model.architecture
    return type(model), kind, tuple(weights)


@dataclass(frozen=True)
class Members:
    """Stacked weights of models of one kind, with the loss and the seed of each.

    Attributes
    ----------
    layers : list of Stackable
        Models of this kind, one for each; their own weights do not count.
    weights : mapping from name to Tensor of shape ``(model, ...)``
        Theirs.
    losses : list of losses
        What each is trained on.
    seeds : list of int
        Of the batches of each.
    """

    layers: list[Stackable]
    weights: Stacked
    losses: list[SweptLoss]
    seeds: list[int]

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, chosen: slice) -> "Members":
        weights = {name: w[chosen] for name, w in self.weights.items()}
        return Members(self.layers[chosen], weights, self.losses[chosen], self.seeds[chosen])

    @property
    def template(self) -> Stackable:
        """One of this kind."""
        return self.layers[0]

    def answers(self, x: Tensor) -> Tensor:
        """Return what all answer, ``(model, batch, time, channel)``, to sequences of one or of each."""
        template = self.template
        if checks.fulfils(template, Kindred):
            return template.run_each(self.layers, self.weights, x)
        return template.run_many(self.weights, x)

    @property
    def dtype(self) -> torch.dtype:
        """The real dtype of the weights."""
        return next(iter(self.weights.values())).dtype.to_real()

    def by_loss(self) -> Iterator[tuple[SweptLoss, list[int]]]:
        """Yield each of the different losses, and the places of the members that have it."""
        alike: dict[tuple, list[int]] = {}
        for place, loss in enumerate(self.losses):
            alike.setdefault((loss.bias, loss.form, loss.clock), []).append(place)
        for places in alike.values():
            yield self.losses[places[0]], places


class Group:
    """Models of one kind: weights and optimizer of those that still train, and the best weights of all.

    Parameters
    ----------
    numbers : sequence of int
        How the sweep numbers these members.
    models : sequence of Stackable
        All of one :func:`stack_key`.
    losses : sequence of losses
        What each is trained on.
    seeds : sequence of int
        Of the batches of each.
    weight_decay : float
        Of AdamW.
    device : torch.device
        Where the work is done.
    memory : int
        Bytes that the members may take which are evaluated at once.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        models: Sequence[Stackable],
        losses: Sequence[SweptLoss],
        seeds: Sequence[int],
        weight_decay: float,
        device: torch.device,
        memory: int,
    ):
        self._models = list(models)
        self.numbers = np.array(numbers)
        self._all = self.numbers
        self._losses, self._seeds = list(losses), list(seeds)
        self._memory = memory
        self._at_once: dict[str, int] = {}
        named = [dict(model.named_parameters()) for model in models]
        self.weights: Stacked = {
            name: torch.stack([weights[name].detach().to(device) for weights in named]) for name in named[0]
        }
        self.trained = [name for name, weight in named[0].items() if weight.requires_grad]
        self.best: Stacked = {name: w.clone() for name, w in self.weights.items()}
        self.optimizer = BatchedAdamW({name: self.weights[name] for name in self.trained}, weight_decay)

    @property
    def members(self) -> Members:
        """The members that still train."""
        places = self._places
        return Members(
            [self._models[i] for i in places],
            self.weights,
            [self._losses[i] for i in places],
            [self._seeds[i] for i in places],
        )

    @property
    def _places(self) -> np.ndarray:
        return np.searchsorted(self._all, self.numbers)

    def step(self, losses, number: int, learning_rates: np.ndarray, clip: float) -> np.ndarray:
        """Make one step of AdamW for all; members whose loss or gradient is not finite are dropped first.

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
        values, gradients = self._values_and_gradients(lambda part: losses.training(part, number))
        norms = norms_by_model(gradients)
        finite = torch.isfinite(values) & torch.isfinite(norms)
        if not finite.all():
            self.keep(finite.cpu().numpy())
            gradients = {name: g[finite] for name, g in gradients.items()}
            norms, values = norms[finite], values[finite]
        if len(self.numbers):
            rates = torch.as_tensor(learning_rates[self.numbers], dtype=norms.dtype, device=values.device)
            self.optimizer.step(self.weights, clip_norms(gradients, norms, clip), rates)
        return values.cpu().numpy()

    def validation(self, losses) -> tuple[Tensor, list[dict[str, float]]]:
        """Return the validation losses ``(model,)`` and scores of those that still train."""
        values, scores = [], []
        with torch.no_grad():
            for part in self._parts("validation", lambda members: losses.validation(members)[0]):
                some, of_some = losses.validation(part)
                values.append(some)
                scores += of_some
        return torch.cat(values), scores

    def watched(
        self, losses, number: int, models: Sequence[nn.Module], watch: Watch
    ) -> list[dict[str, float]]:
        """Return what `watch` says of each of those that still train, before the step of this `number`.

        It is called with one of the `models` of the sweep, with the weights and gradients of that member.
        """
        seen = []
        for place, i in enumerate(self.numbers):
            model, member = models[i], self.members[place : place + 1]
            with torch.no_grad():
                for name, weight in model.named_parameters():
                    weight.copy_(member.weights[name][0])
                    weight.grad = None
            losses.alone(member, model, number).backward()
            with untouched(model, next(model.parameters()).device):
                seen.append(numbers_by_name("watch", watch(model), TAKEN))
            model.zero_grad()
        return seen

    def _values_and_gradients(self, evaluate: Callable[[Members], Tensor]) -> tuple[Tensor, Stacked]:
        values, gradients = [], []
        for part in self._parts("training", evaluate):
            some = evaluate(part)
            leaves = [part.weights[name] for name in self.trained]
            gradients.append(torch.autograd.grad(some.sum(), leaves))
            values.append(some.detach())
        joined = [torch.cat(pieces) for pieces in zip(*gradients, strict=True)]
        return torch.cat(values), dict(zip(self.trained, joined, strict=True))

    def _parts(self, what: str, evaluate: Callable[[Members], Tensor]) -> Iterator[Members]:
        """Yield the members that still train, as many at a time as `evaluate` has memory for."""
        everyone = self.members
        if what not in self._at_once and len(everyone) > 1:
            # measured on one of them, since it depends on the engine that runs them
            on_tape = bytes_on_tape(lambda: evaluate(self._leaves(everyone[:1])))
            self._at_once[what] = copies_that_fit(on_tape, self._memory)
        size = self._at_once.get(what, 1)
        for start in range(0, len(everyone), size):
            yield self._leaves(everyone[start : start + size])

    def _leaves(self, part: Members) -> Members:
        """Return the same members with weights that record gradients, where they are trained."""
        weights = {name: w.detach().requires_grad_(name in self.trained) for name, w in part.weights.items()}
        return replace(part, weights=weights)

    def remember(self, improved: np.ndarray) -> None:
        """Copy the present weights of the `improved` members to the best ones."""
        rows = torch.from_numpy(np.flatnonzero(improved))
        places = torch.from_numpy(self._places[improved])
        for name, weight in self.weights.items():
            self.best[name][places] = weight[rows]

    def keep(self, going_on: np.ndarray) -> None:
        """Drop the members for which `going_on` is false."""
        if going_on.all():
            return
        rows = torch.from_numpy(np.flatnonzero(going_on))
        self.numbers = self.numbers[going_on]
        self.weights = {name: w[rows] for name, w in self.weights.items()}
        self.optimizer.keep(rows)

    @torch.no_grad()
    def write_best(self, models: Sequence[Stackable]) -> None:
        """Copy the best weights of this group's members into the `models` of the sweep."""
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
