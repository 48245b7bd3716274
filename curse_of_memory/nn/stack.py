"""Deep sequence models: stacks of blocks, each with any layer that mixes time and a map of channels.

Equation.   A block with mixing layer S, activation σ, output map V and norm N is, in the order of S4,

                F(x) = V(σ(S(x))),     pre-norm  x ← x + F(N x),     post-norm  x ← N(x + F(x)),

            V an affine map of channels, or a gated one, V(z) = (A z + a) ⊙ logistic(B z + b), or nothing. The
            model is an affine map of the inputs, the blocks, a mean or the last step if one is wanted, and an
            affine readout.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeGuard, cast

import torch
from torch import Tensor, nn

from curse_of_memory.nn.building import inputs
from curse_of_memory.nn.building.activations import ACTIVATIONS, STACKED
from curse_of_memory.nn.building.many_models import (
    affine,
    by_vmap,
    normed,
    of_each_model,
    weights_of_part,
    without_dropout,
)
from curse_of_memory.nn.building.seeding import DRAWN, place, seeded
from curse_of_memory.nn.building.streaming import Streaming
from curse_of_memory.protocols import Kindred, Outputs, Stackable, can_run_chunks
from curse_of_memory.tools import checks

__all__ = ["SequenceStack"]

_NORMS: dict[str, Callable[..., nn.Module]] = {
    "none": nn.Identity,
    "layer": nn.LayerNorm,
    "batch": nn.BatchNorm1d,
}
PLACES = ("pre", "post")
OUTPUTS = ("glu", "linear", "none")
POOLINGS = ("none", "mean", "last")


class _Block(nn.Module):
    """One block around a mixing layer of any class."""

    def __init__(
        self,
        mixing: nn.Module,
        width: int,
        activation: str,
        output: str,
        norm: str,
        norm_first: bool,
        dropout: float,
        residual: bool,
    ):
        super().__init__()
        self.mixing, self.residual, self.norm_first = mixing, residual, norm_first
        self.activation = activation
        self.norm = _NORMS[norm](width, **DRAWN)
        self.dropout = nn.Dropout(dropout)
        wide = {"glu": 2 * width, "linear": width, "none": 0}[output]
        self.gated = output == "glu"
        self.out = nn.Linear(width, wide, **DRAWN) if wide else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        z = self.mixing(self._normed(x) if self.norm_first else x)
        if not isinstance(z, Tensor) or z.shape != x.shape:
            got = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise TypeError(f"mixing must answer {tuple(x.shape)} with a tensor of that shape, got {got}")
        return self._after(x, z)

    def run(self, x: Tensor, state) -> Outputs:
        assert can_run_chunks(self.mixing)  # the stack has asked
        z, last = self.mixing.run(self._normed(x) if self.norm_first else x, state)
        return Outputs(self._after(x, z), last)

    @property
    def architecture(self) -> tuple | None:
        """All of this block but weights; None with a norm of the batch, or a layer without ``run_many``."""
        return (*self._own, self.mixing.architecture) if _is_for_many(self) else None

    @property
    def family(self) -> tuple | None:
        """All of this block but weights and maps of recurrent weights; None as for the architecture."""
        if not _is_for_many(self):
            return None
        return *self._own, self.mixing.family if _has_kin(self.mixing) else self.mixing.architecture

    @property
    def _own(self) -> tuple:
        own = self.activation, self.gated, self.norm_first, self.residual, isinstance(self.norm, nn.LayerNorm)
        return *own, self.dropout.p

    def each(self, blocks: Sequence["_Block"], weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return the answers of many `blocks` of this family to ``(model, batch, time, width)``."""
        mixing, inside = self.mixing, weights_of_part(weights, "mixing")
        before = normed(self.norm, weights, "norm", x) if self.norm_first else x
        if _has_kin(mixing):
            z = mixing.run_each([block.mixing for block in blocks], inside, before)
        else:
            z = cast(Stackable, mixing).run_many(inside, before)  # or the stack had taken another way
        z = ACTIVATIONS[self.activation](z)
        z = z if isinstance(self.out, nn.Identity) else affine(weights, "out", z)
        z = nn.functional.glu(z) if self.gated else z
        z = x + z if self.residual else z
        return z if self.norm_first else normed(self.norm, weights, "norm", z)

    def _after(self, x: Tensor, z: Tensor) -> Tensor:
        z = self.out(self.dropout(ACTIVATIONS[self.activation](z)))
        z = self.dropout(nn.functional.glu(z) if self.gated else z)
        z = x + z if self.residual else z
        return z if self.norm_first else self._normed(z)

    def _normed(self, x: Tensor) -> Tensor:
        return self.norm(x.mT).mT if isinstance(self.norm, nn.BatchNorm1d) else self.norm(x)


class SequenceStack(Streaming[tuple]):
    """Deep sequence model: blocks of a layer that mixes time, σ and a map of channels, between affine maps.

    Parameters
    ----------
    mixing : callable
        ``mixing(width)`` returns a new layer that maps ``(batch, time, width)`` to the same shape: such as
        :class:`S4D`, ``lambda width: SSM(64, input_size=width, output_size=width)``, an :class:`RNN`, an
        attention.
    width : int
        Channels of the blocks.
    layers : int
        Number of blocks.
    input_size, output_size : int
        Channels of x and ŷ.
    activation : {'gelu', 'hardtanh', 'linear', 'relu', 'tanh'}
        σ after every mixing layer.
    output : {'glu', 'linear', 'none'}
        The map of channels after it.
    norm : {'none', 'layer', 'batch'}
        Normalisation over channels, or over batch and time.
    placement : {'pre', 'post'}
        Whether a norm comes before the mixing layer or after the block.
    residual : bool
        Whether a block adds to its input.
    dropout : float
        Probability of dropping an entry, after σ and after the output map, in training mode.
    pooling : {'none', 'mean', 'last'}
        What the readout reads: every step, the mean over time, or the last step.
    seed : int, optional
        Seeds the initial weights by themselves, those of the mixing layers, too, unless they have a seed of
        their own; without it torch's global generator draws them.
    device, dtype
        As for any torch module; the device may be ``"auto"``, too.

    Raises
    ------
    ValueError, TypeError
        For sizes below one, unknown names, a dropout outside of [0, 1), or a `mixing` that returns no module.

    Notes
    -----
    The block of the public code of StableSSM (2311.14495) is that of S4: ``activation="gelu", output="glu",
    norm="layer", placement="post", residual=True``. The stack of "SSMs are universal approximators"
    (2309.13414) is ``output="none", norm="none", residual=False`` with :class:`SSM` inside.

    Examples
    --------
    >>> stack = SequenceStack(lambda width: torch.nn.Identity(), 16, layers=2, pooling="mean", output_size=10)
    >>> stack(torch.zeros(8, 100, 1)).shape
    torch.Size([8, 10])
    """

    def __init__(
        self,
        mixing: Callable[[int], nn.Module],
        width: int,
        layers: int = 1,
        *,
        input_size: int = 1,
        output_size: int = 1,
        activation: str = "gelu",
        output: str = "glu",
        norm: str = "layer",
        placement: str = "post",
        residual: bool = True,
        dropout: float = 0.0,
        pooling: str = "none",
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.width = checks.positive_int("width", width)
        checks.positive_int("layers", layers)
        self.input_size = checks.positive_int("input_size", input_size)
        self.output_size = checks.positive_int("output_size", output_size)
        checks.one_of("activation", activation, STACKED)
        checks.one_of("output", output, OUTPUTS)
        checks.one_of("norm", norm, _NORMS)
        norm_first = checks.one_of("placement", placement, PLACES) == "pre"
        inputs.dropout_probability(dropout)
        checks.flag("residual", residual)
        self.pooling = checks.one_of("pooling", pooling, POOLINGS)
        if isinstance(mixing, nn.Module) or not callable(mixing):
            raise TypeError(
                f"mixing must be a function from the width to a new layer, got {type(mixing).__name__}"
            )
        with seeded(seed):
            self.embed = nn.Linear(input_size, width, **DRAWN)
            self.blocks = nn.ModuleList(
                _Block(_made(mixing, width), width, activation, output, norm, norm_first, dropout, residual)
                for _ in range(layers)
            )
            self.readout = nn.Linear(width, output_size, **DRAWN)
        place(self, device, dtype)

    @inputs.guarded
    def forward(self, x: Tensor) -> Tensor:
        """Return ŷ ``(batch, time, output_size)`` for `x` ``(batch, time, input_size)``.

        With a pooling the answer has no time: ``(batch, output_size)``.
        """
        z = self.embed(x)
        for block in self.blocks:
            z = block(z)
        if self.pooling != "none":
            if z.shape[1] == 0:
                raise ValueError(f"x must have at least one step for pooling={self.pooling!r}")
            z = z.mean(1) if self.pooling == "mean" else z[:, -1]
        return self.readout(z)

    @inputs.guarded
    def run(self, x: Tensor, state: Sequence | None = None) -> Outputs[tuple]:
        """Return the answers to a chunk of time, and the state after it, from which the next chunk goes on.

        Parameters
        ----------
        x : Tensor of shape ``(batch, time, input_size)``
            One step is a chunk, too.
        state : sequence, optional
            The states of the mixing layers, one for each block; none at the start.

        Returns
        -------
        Outputs
            ``y`` of shape ``(batch, time, output_size)``, and ``last``, the states after the last step.

        Raises
        ------
        TypeError
            If a mixing layer has no ``run``.
        ValueError
            For batch normalisation in training mode, which sees all steps of all sequences at once; for a
            pooling, which has an answer only at the end; or if a shape does not fit.
        """
        self._refuse_streaming()
        inputs.state_of_each(state, len(self.blocks), "blocks")
        z = self.embed(x)
        last = []
        blocks = cast(Iterable[_Block], self.blocks)
        for block, before in zip(blocks, state or [None] * len(self.blocks), strict=True):
            z, after = block.run(z, before)
            last.append(after)
        return Outputs(self.readout(z), tuple(last))

    @property
    def architecture(self) -> tuple:
        """What :meth:`run_many` uses of this model beside weights: class, pooling, blocks and their layers.

        A stack that is not for many at once, such as one with a norm of the batch, is like no other.
        """
        return self._alike([block.architecture for block in self._each_block])

    @property
    def family(self) -> tuple:
        """The `architecture` without the maps of recurrent weights."""
        return self._alike([block.family for block in self._each_block])

    def _alike(self, blocks: Sequence[tuple | None]) -> tuple:
        return type(self), self.pooling, *(id(self) if block is None else block for block in blocks)

    @property
    def _each_block(self) -> list[_Block]:
        return list(cast(Iterable[_Block], self.blocks))

    def run_many(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return the answers of many stacks that differ from this one in their weights only.

        Arguments, result and errors are those of :meth:`run_each`, with this stack for each.
        """
        return self.run_each([self], parameters, x)

    def run_each(
        self, layers: Sequence["SequenceStack"], parameters: Mapping[str, Tensor], x: Tensor
    ) -> Tensor:
        """Return the answers of many stacks of this family, which may differ in recurrent maps, too.

        Parameters
        ----------
        layers : sequence of SequenceStack
            One for each model, whose layers name their maps; a single one is for all.
        parameters : mapping from name to Tensor of shape ``(model, *shape)``
            Every weight, stacked over the models.
        x : Tensor of shape ``(batch, time, input_size)`` or ``(model, batch, time, input_size)``
            Inputs from a state at rest, shared by the models or for each its own.

        Returns
        -------
        Tensor of shape ``(model, batch, time, output_size)``
            Without time where there is a pooling.

        Raises
        ------
        ValueError, TypeError
            If a shape does not fit, a weight is missing, or there is dropout in training mode.
        """
        for block in self._each_block:
            without_dropout(self, block.dropout.p)
        p, x = inputs.many_models(self, parameters, x)
        if not all(map(_is_for_many, self._each_block)):
            return by_vmap(self, p, x).to(parameters["readout.weight"].dtype)
        z = affine(p, "embed", of_each_model(p, x))
        for i, blocks in enumerate(zip(*(layer._each_block for layer in layers), strict=True)):
            z = self._each_block[i].each(blocks, weights_of_part(p, f"blocks.{i}"), z)
        if self.pooling != "none":
            z = z.mean(2) if self.pooling == "mean" else z[:, :, -1]
        return affine(p, "readout", z).to(parameters["readout.weight"].dtype)

    def _refuse_streaming(self) -> None:
        if self.pooling != "none":
            raise ValueError(f"pooling={self.pooling!r} has an answer only at the end: call the model itself")
        for block in cast(Iterable[_Block], self.blocks):
            if not can_run_chunks(block.mixing):
                name = type(block.mixing).__name__
                raise TypeError(f"mixing layer {name} has no run(x, state): it cannot go on from a state")
            if getattr(block.mixing, "bidirectional", False) is True:
                raise ValueError("a bidirectional mixing layer needs whole sequences: call the model itself")
            if isinstance(block.norm, nn.BatchNorm1d) and block.norm.training:
                raise ValueError(
                    "batch normalisation in training mode sees all steps at once: call eval() before run()"
                )


def _is_for_many(block: _Block) -> bool:
    """Return whether a block can answer for many: not with a norm of the batch, or a layer of one model."""
    return not isinstance(block.norm, nn.BatchNorm1d) and checks.fulfils(block.mixing, Stackable)


def _has_kin(layer: object) -> TypeGuard[Kindred]:
    return checks.fulfils(layer, Kindred)


def _made(mixing: Callable[[int], nn.Module], width: int) -> nn.Module:
    layer = mixing(width)
    if not isinstance(layer, nn.Module):
        raise TypeError(f"mixing(width) must return a torch.nn.Module, got {type(layer).__name__}")
    return layer
