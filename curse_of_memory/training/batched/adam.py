"""AdamW for many models of one size: one step for all, each with its own learning rate.

Equation.   For every model i alone, with its gradient g (clipped to norm c), moments a and v, learning rate
η_i and weight decay d, step t = 1, 2, … is that of :class:`torch.optim.AdamW`:

    a ← β₁ a + (1 − β₁) g,      v ← β₂ v + (1 − β₂) g²,
    w ← (1 − η_i d) w − η_i / (1 − β₁ᵗ) · a / (√v / √(1 − β₂ᵗ) + ε).

Algorithm.  All tensors have a leading dimension ``model``; η and the norms are vectors over it.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["BatchedAdamW", "clip_norms", "norms_by_model"]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # torch's own defaults
CLIP_EPSILON = 1e-6  # as in torch.nn.utils.clip_grad_norm_

Stacked = dict[str, Tensor]


def norms_by_model(gradients: Mapping[str, Tensor]) -> Tensor:
    """Return the Euclidean norm of each model's whole gradient, of shape ``(model,)``.

    Parameters
    ----------
    gradients : mapping from name to Tensor of shape ``(model, ...)``
        One entry for each kind of weight.

    Examples
    --------
    >>> norms_by_model({"a": torch.tensor([[3.0], [0.0]]), "b": torch.tensor([[4.0], [1.0]])}).tolist()
    [5.0, 1.0]
    """
    return torch.stack([g.flatten(1).norm(dim=1) for g in gradients.values()]).norm(dim=0)


def clip_norms(gradients: Mapping[str, Tensor], norms: Tensor, largest: float) -> Stacked:
    """Return the gradients, scaled down for those models whose norm exceeds `largest`.

    Parameters
    ----------
    gradients : mapping from name to Tensor of shape ``(model, ...)``
        One entry for each kind of weight.
    norms : Tensor of shape ``(model,)``
        What :func:`norms_by_model` returns for them.
    largest : float
        Norm to keep to; `math.inf` clips nothing.

    Examples
    --------
    >>> gradients = {"a": torch.tensor([[3.0, 4.0], [0.3, 0.4]])}
    >>> clip_norms(gradients, norms_by_model(gradients), 1.0)["a"].sum(1)
    tensor([1.4000, 0.7000])
    """
    scale = (largest / (norms + CLIP_EPSILON)).clamp(max=1.0)
    return {name: g * _along(scale, g) for name, g in gradients.items()}


class BatchedAdamW:
    """AdamW for stacked weights: the moments of all models, and one step for all.

    Parameters
    ----------
    weights : mapping from name to Tensor of shape ``(model, ...)``
        What will be trained; only shapes, dtypes and devices count.
    weight_decay : float
        d, for all models.

    Examples
    --------
    >>> weights = {"w": torch.zeros(2, 1)}
    >>> optimizer = BatchedAdamW(weights)
    >>> optimizer.step(weights, {"w": torch.ones(2, 1)}, torch.tensor([0.1, 0.01]))
    >>> weights["w"].flatten()  # the first step has the length of the learning rate
    tensor([-0.1000, -0.0100])
    """

    def __init__(self, weights: Mapping[str, Tensor], weight_decay: float = 0.0):
        self.weight_decay = weight_decay
        self.steps = 0
        self.first: Stacked = {name: torch.zeros_like(w) for name, w in weights.items()}
        self.second: Stacked = {name: torch.zeros_like(w) for name, w in weights.items()}

    @torch.no_grad()
    def step(
        self, weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor], learning_rates: Tensor
    ) -> None:
        """Change the `weights` in place by one step along the `gradients`, at `learning_rates` (model,)."""
        self.steps += 1
        short_1, short_2 = 1 - BETA_1**self.steps, 1 - BETA_2**self.steps
        for name, g in gradients.items():
            w, a, v = weights[name], self.first[name], self.second[name]
            rate = _along(learning_rates, w)
            if self.weight_decay:
                w.mul_(1 - rate * self.weight_decay)
            a.lerp_(g, 1 - BETA_1)
            v.mul_(BETA_2).addcmul_(g, g, value=1 - BETA_2)
            w.sub_(rate / short_1 * a / ((v.sqrt() / math.sqrt(short_2)).add_(EPSILON)))

    def keep(self, rows: Tensor) -> None:
        """Drop the moments of all models but those in `rows`, a tensor of whole numbers."""
        self.first = {name: a[rows] for name, a in self.first.items()}
        self.second = {name: v[rows] for name, v in self.second.items()}

    def state_dict(self) -> dict:
        """Return all that a checkpoint needs."""
        return {"steps": self.steps, "first": self.first, "second": self.second}

    def load_state_dict(self, state: Mapping) -> None:
        """Take up the `state` that :meth:`state_dict` returned."""
        self.steps, self.first, self.second = state["steps"], dict(state["first"]), dict(state["second"])


def _along(vector: Tensor, like: Tensor) -> Tensor:
    """Return a vector over models that broadcasts against a stacked tensor."""
    return vector.view(-1, *[1] * (like.ndim - 1))
