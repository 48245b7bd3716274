"""Language models of one recurrent layer, with variational dropout, as "Mogrifier LSTM" trains them.

Equation.   With tokens w_n, an embedding E, masks d over channels that are drawn once for each chunk and
            sequence, and a cell whose recurrent weights see its output y_{n−1} through a mask of its own,

                y_n = cell(d_in ⊙ E[w_n], d_state ⊙ y_{n−1}),      logits_n = C (d_out ⊙ y_n) + c,

            where C is E itself, if the two are tied. A mask is 0 with probability p and else 1/(1 − p), and 1
            in evaluation. What the cell carries from step to step is not masked.

Start.      Weights are truncated normal, of variance one over the inputs of their map, those of the embedding
            one over its width. Biases are, too, over the width of the cell, about 0; about 1 for the gate by
            which LEM moves z, and for the forget gate of an LSTM. c starts at 0. Of two biases that are added
            one is fixed at 0, so that LEM and LSTM have 4h(m + h + 1) weights.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from curse_of_memory.nn import LEM
from curse_of_memory.nn.building import inputs
from curse_of_memory.nn.building.seeding import seeded
from curse_of_memory.nn.recurrence.nonlinear.cells import GATED
from curse_of_memory.nn.recurrence.nonlinear.recurrence import naive_recurrence
from curse_of_memory.protocols import Outputs
from curse_of_memory.tools import checks

__all__ = ["CELLS", "Dropouts", "TokenModel"]

CUT = 2.0  # standard deviations at which a normal is cut
CUT_DEVIATION = 0.87962566103423978  # of what is left of it, over that of the whole


class Dropouts(NamedTuple):
    """Probabilities of dropping a channel: of the embedding, of the state that weights see, of the output."""

    embedding: float = 0.0
    state: float = 0.0
    output: float = 0.0


NO_DROPOUT = Dropouts()


class _LEMCell(nn.Module):
    """LEM with dt = 1."""

    def __init__(self, width: int, input_size: int):
        super().__init__()
        self.layer = LEM(width, input_size=input_size, output_size=None)
        direction = self.layer.network.direction(0)
        _start(direction.recurrent_weight, direction.input_weight)
        _start_biases(direction.input_bias, direction.recurrent_bias, remembering=slice(width, 2 * width))

    def run(self, x: Tensor, state: Any, kept: Tensor | None) -> Outputs[Any]:
        if kept is None:
            return self.layer.run(x, state)
        direction = self.layer.network.direction(0)
        bias = direction.input_bias + direction.recurrent_bias
        weights = direction.recurrent_weight, direction.input_weight, bias
        return naive_recurrence(GATED, x, *weights, initial=state, kept=kept)


class _LSTMCell(nn.Module):
    """torch's LSTM."""

    def __init__(self, width: int, input_size: int):
        super().__init__()
        self.layer = nn.LSTM(input_size, width, batch_first=True)
        *weights, learnt, fixed = _weights(self.layer)
        _start(*weights)
        _start_biases(learnt, fixed, remembering=slice(width, 2 * width))

    def run(self, x: Tensor, state: Any, kept: Tensor | None) -> Outputs[Any]:
        if kept is None:
            return Outputs(*self.layer(x, state))
        of_inputs, of_states, b, d = _weights(self.layer)
        h = c = x.new_zeros(len(x), self.layer.hidden_size)
        if state is not None:
            h, c = state[0][0], state[1][0]
        outputs = []
        for drive in (x @ of_inputs.mT + (b + d)).unbind(1):
            i, f, a, o = (drive + (kept * h) @ of_states.mT).chunk(4, -1)
            c = f.sigmoid() * c + i.sigmoid() * a.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return Outputs(torch.stack(outputs, 1), (h[None], c[None]))


class _GRUCell(nn.Module):
    """torch's GRU; its two biases of the candidate are no sum, and both are learnt."""

    def __init__(self, width: int, input_size: int):
        super().__init__()
        self.layer = nn.GRU(input_size, width, batch_first=True)
        *weights, first, second = _weights(self.layer)
        _start(*weights)
        for bias in (first, second):
            _truncated(bias, width)

    def run(self, x: Tensor, state: Any, kept: Tensor | None) -> Outputs[Any]:
        if kept is None:
            return Outputs(*self.layer(x, state))
        of_inputs, of_states, b, d = _weights(self.layer)
        h = x.new_zeros(len(x), self.layer.hidden_size) if state is None else state[0]
        outputs = []
        for drive in (x @ of_inputs.mT + b).unbind(1):
            r, z, n = drive.chunk(3, -1)
            of_r, of_z, of_n = ((kept * h) @ of_states.mT + d).chunk(3, -1)
            n = (n + (r + of_r).sigmoid() * of_n).tanh()
            h = n + (z + of_z).sigmoid() * (h - n)
            outputs.append(h)
        return Outputs(torch.stack(outputs, 1), h[None])


_CELLS: dict[str, type[_LEMCell] | type[_LSTMCell] | type[_GRUCell]]
_CELLS = {"LEM": _LEMCell, "LSTM": _LSTMCell, "GRU": _GRUCell}
CELLS = tuple(_CELLS)
"""Names of the cells."""


class TokenModel(nn.Module):
    """An embedding of tokens, a recurrent layer, and logits of the next token at every step.

    Parameters
    ----------
    cell : {'LEM', 'LSTM', 'GRU'}
        The layer.
    vocabulary : int
        Number of tokens.
    width : int
        Units of the layer.
    embedding : int, optional
        Channels of the embedding, whose weights then are not those of the logits; tied to them, and of the
        same width, unless given.
    dropouts : Dropouts
        In training. With one of the state the layer runs step by step in operations of torch, since the
        compiled loops know no masks.
    seed : int
        Names the initial weights.

    Raises
    ------
    ValueError, TypeError
        For an unknown cell, bad sizes, or a probability outside of [0, 1); later for what are no tokens
        ``(batch, time)``.
    IndexError
        Later for a token that is not below `vocabulary`.

    Examples
    --------
    >>> model = TokenModel("LEM", 100, 16, dropouts=Dropouts(0.2, 0.1, 0.2), seed=0)
    >>> model(torch.zeros(2, 7, dtype=torch.int64)).shape
    torch.Size([2, 7, 100])
    """

    def __init__(
        self,
        cell: str,
        vocabulary: int,
        width: int,
        *,
        embedding: int | None = None,
        dropouts: Dropouts = NO_DROPOUT,
        seed: int,
    ):
        super().__init__()
        kind = _CELLS[checks.one_of("cell", cell, _CELLS)]
        self.name, self.dropouts = cell, dropouts
        checks.positive_int("vocabulary", vocabulary)
        self.width = checks.positive_int("width", width)
        read = width if embedding is None else checks.positive_int("embedding", embedding)
        if not isinstance(dropouts, Dropouts):
            what = type(dropouts).__name__
            raise TypeError(f"dropouts must be Dropouts(embedding, state, output), got {what}")
        for name, probability in dropouts._asdict().items():
            if not 0 <= checks.real(name, probability) < 1:
                raise ValueError(f"{name} of dropouts must be in [0, 1), got {probability!r}")
        with seeded(seed):
            self.embed = nn.Embedding(vocabulary, read)
            _truncated(self.embed.weight, read)
            self.cell = kind(width, read)
            untied = None if embedding is None else nn.Parameter(torch.empty(vocabulary, width))
            if untied is not None:
                _start(untied)
        self.readout: nn.Parameter | None
        self.register_parameter("readout", untied)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def extra_repr(self) -> str:
        """Return what ``print`` shows of the model between its brackets."""
        return f"{self.name}, width={self.width}, {self.dropouts}"

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``(batch, time)`` to logits ``(batch, time, vocabulary)``, from a state at rest."""
        return self.run(x).y

    def run(self, x: Tensor, state: Any = None) -> Outputs[Any]:
        """Return the logits of a chunk, ``(batch, time, vocabulary)``, and the state to go on from.

        Parameters
        ----------
        x : Tensor of shape ``(batch, time)``
            Tokens.
        state
            What the chunk before has left; None at rest.
        """
        read = inputs.rows_of(self.embed, inputs.tokens(x, self.embed.weight))
        drop = self.dropouts if self.training else NO_DROPOUT
        of_embedding = self._mask(drop.embedding, read, read.shape[-1])
        of_state = self._mask(drop.state, read, self.width)
        of_output = self._mask(drop.output, read, self.width)
        if of_embedding is not None:
            read = read * of_embedding[:, None]
        y, last = self.cell.run(read, state, of_state)
        if of_output is not None:
            y = y * of_output[:, None]
        weight = self.embed.weight if self.readout is None else self.readout
        return Outputs(nn.functional.linear(y, weight, self.bias), last)

    @staticmethod
    def _mask(probability: float, like: Tensor, width: int) -> Tensor | None:
        """Return a mask ``(batch, width)``, drawn on the CPU so that it is the same on every device."""
        if not probability:
            return None
        kept = torch.rand(len(like), width) >= probability
        return kept.to(like.device, like.dtype) / (1 - probability)


def _weights(layer: nn.RNNBase) -> list[nn.Parameter]:
    """Return the weights of inputs and of states of a layer of torch, and its two biases."""
    named = dict(layer.named_parameters())
    return [named[f"{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def _truncated(tensor: Tensor, inputs: int, mean: float = 0.0) -> None:
    """Draw normal numbers, cut at two deviations, of variance 1/`inputs` about `mean`."""
    deviation = inputs**-0.5 / CUT_DEVIATION
    nn.init.trunc_normal_(tensor, mean, deviation, mean - CUT * deviation, mean + CUT * deviation)


def _start(*weights: Tensor) -> None:
    """Draw the weights of maps, ``(outputs, inputs)``."""
    for weight in weights:
        _truncated(weight, weight.shape[1])


def _start_biases(learnt: nn.Parameter, fixed: nn.Parameter, remembering: slice) -> None:
    """Draw the biases of four gates and goals, about 1 for those of the gate that is `remembering`."""
    width = len(learnt) // 4
    _truncated(learnt, width)
    with torch.no_grad():
        learnt[remembering] += 1
        fixed.zero_()
    fixed.requires_grad_(False)
