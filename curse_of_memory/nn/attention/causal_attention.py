"""Causal self-attention: every step looks at itself and at the past, in whole sequences or in chunks.

Equation.   One head of width w answers at step t

                a_t = Σ_{s ≤ t} softmax_s(q_t · k_s / √w) v_s,     q = Q x, k = K x, v = V x (plus biases);

            several heads work side by side on w = width / heads channels each, and y_t = O [a^{(1)}_t … ].
            The memory has no fixed end: every past step is weighed by what it holds.

Algorithm.  ``scaled_dot_product_attention`` of torch. For streaming, keys and values of all past steps are
            kept: the cache grows by one row a step, and a step costs in proportion.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from curse_of_memory.nn.attention.positions import rotated
from curse_of_memory.nn.building import inputs
from curse_of_memory.nn.building.many_models import affine, of_each_model, without_dropout
from curse_of_memory.nn.building.seeding import DRAWN, place, seeded
from curse_of_memory.nn.building.streaming import Streaming
from curse_of_memory.protocols import Outputs
from curse_of_memory.tools import checks

__all__ = ["Cache", "CausalSelfAttention"]


class Cache(NamedTuple):
    """Keys and values of all past steps: the state of an attention.

    Attributes
    ----------
    keys, values : Tensor of shape ``(batch, heads, steps so far, width / heads)``
        Rotary keys are rotated already.
    """

    keys: Tensor
    values: Tensor


class CausalSelfAttention(Streaming[Cache]):
    """Softmax attention of every step to itself and to the past, with one or more heads.

    Parameters
    ----------
    width : int
        Channels of x and y.
    heads : int
        Number of heads, a divisor of `width`.
    rotary : bool
        Rotate queries and keys by their position; heads must have an even width then.
    bias : bool
        Whether the maps to q, k, v and to the output have biases.
    dropout : float
        Probability with which an attention weight is dropped, in training mode.
    seed : int, optional
        Seeds the initial weights by themselves; without it torch's global generator draws them.
    device, dtype
        As for any torch module; the device may be ``"auto"``, too.

    Raises
    ------
    ValueError, TypeError
        For sizes below one, a width that the heads do not divide, or a dropout outside of [0, 1).

    Notes
    -----
    "Attention is all you need" (Vaswani et al., 1706.03762), section 3.2. The rows of the map ``project``
    are Q, K and V, in this order, as in torch's ``MultiheadAttention``.

    Examples
    --------
    >>> attention = CausalSelfAttention(8, heads=2)
    >>> attention(torch.zeros(4, 50, 8)).shape
    torch.Size([4, 50, 8])
    """

    def __init__(
        self,
        width: int,
        heads: int = 1,
        *,
        rotary: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.input_size = checks.positive_int("width", width)
        self.heads = checks.positive_int("heads", heads)
        if width % heads:
            raise ValueError(f"heads must divide width = {width}, got {heads}")
        self.rotary, bias = checks.flag("rotary", rotary), checks.flag("bias", bias)
        if self.rotary and width // heads % 2:
            raise ValueError(f"width / heads must be even for rotary positions, got {width // heads}")
        self.dropout = inputs.dropout_probability(dropout)
        with seeded(seed):
            self.project = nn.Linear(width, 3 * width, bias=bias, **DRAWN)
            self.out = nn.Linear(width, width, bias=bias, **DRAWN)
        place(self, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the answers to whole sequences `x`; both have shape ``(batch, time, width)``."""
        return self.run(x).y

    @inputs.guarded
    def run(self, x: Tensor, state: Cache | None = None) -> Outputs[Cache]:
        """Return the answers to a chunk of time, ``(batch, time, width)``, that sees itself and the past.

        Returns
        -------
        Outputs
            ``y`` of the shape of `x`, and ``last``, the :class:`Cache` with this chunk in it.

        Raises
        ------
        ValueError
            If a shape does not fit.
        """
        batch, steps, width = x.shape
        shape = batch, steps, 3, self.heads, width // self.heads
        q, k, v = self.project(x).view(shape).permute(2, 0, 3, 1, 4)
        if state is not None and not isinstance(state, Cache):
            raise TypeError(f"state must be a Cache of keys and values, got {type(state).__name__}")
        past = 0 if state is None else state.keys.shape[2]
        if self.rotary:
            q, k = rotated(q, past), rotated(k, past)
        if state is not None:
            expected = (batch, self.heads, past, width // self.heads)
            if state.keys.shape != expected or state.values.shape != expected:
                got = tuple(state.keys.shape), tuple(state.values.shape)
                raise ValueError(f"state must hold keys and values of shape {expected}, got {got}")
            k, v = torch.cat([state.keys, k], 2), torch.cat([state.values, v], 2)
        mask = None
        if past and steps > 1:  # one step sees everything; without a past torch has a faster way
            mask = torch.ones(steps, past + steps, dtype=torch.bool, device=x.device).tril(past)
        a = nn.functional.scaled_dot_product_attention(
            q, k, v, mask, self.dropout if self.training else 0.0, is_causal=past == 0
        )
        return Outputs(self.out(a.transpose(1, 2).reshape(x.shape)), Cache(k, v))

    @property
    def architecture(self) -> tuple:
        """What :meth:`run_many` uses of this layer beside weights: class, heads, rotary or not, dropout."""
        return type(self), self.heads, self.rotary, self.dropout

    def run_many(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return the answers of many layers that differ from this one in their weights only.

        Parameters
        ----------
        parameters : mapping from name to Tensor of shape ``(model, *shape)``
            Every weight, stacked over the models.
        x : Tensor of shape ``(batch, time, width)`` or ``(model, batch, time, width)``
            Inputs without a past, shared by the models or for each its own.

        Returns
        -------
        Tensor of shape ``(model, batch, time, width)``

        Raises
        ------
        ValueError, TypeError
            If a shape does not fit, a weight is missing, or there is dropout in training mode.
        """
        without_dropout(self, self.dropout)
        p, x = inputs.many_models(self, parameters, x)
        x = of_each_model(p, x)
        models, batch, steps, width = x.shape
        shape = models * batch, steps, 3, self.heads, width // self.heads
        q, k, v = affine(p, "project", x).view(shape).permute(2, 0, 3, 1, 4)
        if self.rotary:
            q, k = rotated(q, 0), rotated(k, 0)
        a = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        y = affine(p, "out", a.transpose(1, 2).reshape(x.shape))
        return y.to(parameters["project.weight"].dtype)
