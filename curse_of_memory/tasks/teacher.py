"""Frozen models as teachers: their answers to white inputs are the targets; and two random teachers."""

import copy

import torch
from torch import Tensor, nn

from curse_of_memory.tasks.sampling import WhiteInputTask, fingerprint, white_noise
from curse_of_memory.tools import checks
from curse_of_memory.tools.devices import torch_draws
from curse_of_memory.tools.random_streams import sample_seed

__all__ = ["TeacherFilter", "random_rnn", "random_transformer"]

CALIBRATION_SIZE = 512  # sequences, for the standard deviation of the answers
ROWS_AT_ONCE = 1024  # sequences that a model on a CPU answers at a time: states of more leave the cache


class TeacherFilter(WhiteInputTask):
    """Learn y = H(x), where H is a frozen model and x white noise.

    Parameters
    ----------
    model : torch.nn.Module
        Maps ``(batch, time, channel)`` to ``(batch, time, channel)``, or to a tuple of which that is the
        first, as `torch.nn.RNN` does. A copy of it is taken, in evaluation mode: without dropout.
    horizon : int
        Length of the sequences, in steps.
    input_size : int
        Channels of the input.
    variance : float
        Variance of the inputs.
    normalized : bool
        Whether each channel of the answers is divided by its standard deviation over 512 sequences of their
        own, so that errors of different teachers can be compared.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, for a model that answers in another shape, and where answers that do not vary should
        be normalised.

    Notes
    -----
    "Inverse approximation theory" (2305.19190), figures 3 and 12.

    Examples
    --------
    >>> task = TeacherFilter(random_rnn(width=16, seed=0), horizon=30, normalized=True)
    >>> x, y = task.sample(100, seed=1)
    >>> y.shape, 0.8 < y.std().item() < 1.2
    (torch.Size([100, 30, 1]), True)
    """

    def __init__(
        self,
        model: nn.Module,
        horizon: int,
        input_size: int = 1,
        *,
        variance: float = 1.0,
        normalized: bool = False,
    ):
        super().__init__(horizon, input_size=input_size, variance=variance)
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {checks.shown(model)}")
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.normalized = checks.flag("normalized", normalized)
        self._scale = torch.ones(1, dtype=torch.float64)
        self._copies: dict[tuple[torch.device, torch.dtype], nn.Module] = {}
        count = CALIBRATION_SIZE if normalized else 1
        seed = sample_seed("teacher calibration", 0)
        x = white_noise(count, self.horizon, self.input_size, variance=self.variance, seed=seed)
        y = self.answer(x)
        if not torch.equal(y[:1], self.answer(x)[:1]):
            raise ValueError(
                "model must answer alike at every call, but is random or keeps state between calls"
            )
        self.output_size = y.shape[-1]
        if normalized:
            self._scale = y.flatten(0, 1).std(0)
            if not (self._scale > 0).all():
                raise ValueError("model answers with a constant, which cannot be normalised")

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_copies": {}}  # they are made again where they are wanted

    def __repr__(self) -> str:
        weights = fingerprint(w.cpu().numpy() for w in self.model.state_dict().values())
        return (
            f"TeacherFilter(model={type(self.model).__name__}{weights}, horizon={self.horizon}, "
            f"input_size={self.input_size}, variance={self.variance:g}, normalized={self.normalized})"
        )

    def answer(self, x: Tensor) -> Tensor:
        """Return y ``(batch, horizon, output_size)`` for inputs `x` ``(batch, horizon, input_size)``."""
        self._check_inputs(x)
        place = (x.device, x.dtype)
        if place not in self._copies:
            self._copies[place] = copy.deepcopy(self.model).to(device=x.device, dtype=x.dtype)
        rows = ROWS_AT_ONCE if x.device.type == "cpu" else max(1, len(x))
        with torch.no_grad():
            # copies: a model that works in place leaves x as it is
            y = torch.cat([_sequences(self._copies[place], some.clone()) for some in x.split(rows)])
        return y / self._scale.to(y)


def _sequences(model: nn.Module, x: Tensor) -> Tensor:
    """Return what a model answers, refusing all but sequences of channels."""
    answer = model(x)
    y = answer[0] if isinstance(answer, tuple) else answer
    if not isinstance(y, Tensor) or y.ndim != 3 or y.shape[:2] != x.shape[:2]:
        what = f"shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(
            f"model must map (batch, time, channel) to (batch, time, channel), but answers "
            f"{tuple(x.shape)} with {what}"
        )
    return y


class RandomRNN(nn.Module):
    """One recurrent layer and a linear readout."""

    def __init__(self, width: int, input_size: int, output_size: int, activation: str):
        super().__init__()
        self.input_size = input_size
        self.recurrence = nn.RNN(input_size, width, nonlinearity=activation, batch_first=True)
        self.readout = nn.Linear(width, output_size)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, time, input_size)`` to ``(batch, time, output_size)``."""
        return self.readout(self.recurrence(x)[0])


class OneLayerTransformer(nn.Module):
    """Linear readin, one layer of causal self-attention and feedforward, linear readout; no dropout."""

    def __init__(self, width: int, heads: int, feedforward: int, input_size: int, output_size: int):
        super().__init__()
        self.input_size = input_size
        self.readin = nn.Linear(input_size, width)
        self.layer = nn.TransformerEncoderLayer(width, heads, feedforward, dropout=0.0, batch_first=True)
        self.readout = nn.Linear(width, output_size)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, time, input_size)`` to ``(batch, time, output_size)``."""
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], device=x.device, dtype=x.dtype)
        return self.readout(self.layer(self.readin(x), src_mask=mask, is_causal=True))


def random_rnn(
    width: int, seed: int, *, input_size: int = 1, output_size: int = 1, activation: str = "tanh"
) -> RandomRNN:
    """Return an RNN with random weights and a random linear readout.

    Weights and biases are torch's own, uniform in ±1/√width. The eigenvalues of a large recurrent matrix
    then fill the disk of radius 1/√3 (circular law): memory falls about as fast as 3^{−t/2}, or faster.

    Parameters
    ----------
    width : int
        Width m of the state; the paper's teachers have 256.
    seed : int
        Names the weights.
    input_size, output_size : int
        Channels.
    activation : {'tanh', 'relu'}
        Of the recurrence.

    Raises
    ------
    ValueError, TypeError
        For bad numbers or an unknown activation.

    Examples
    --------
    >>> random_rnn(8, seed=0)(torch.zeros(2, 5, 1)).shape
    torch.Size([2, 5, 1])
    """
    checks.one_of("activation", activation, ("tanh", "relu"))
    sizes = {"width": width, "input_size": input_size, "output_size": output_size}
    for name, value in sizes.items():
        checks.positive_int(name, value)
    with torch_draws(checks.seed("seed", seed)):
        return RandomRNN(width, input_size, output_size, activation)


def random_transformer(
    width: int, heads: int, feedforward: int, seed: int, *, input_size: int = 1, output_size: int = 1
) -> OneLayerTransformer:
    """Return one transformer layer with random weights, causal in time and without dropout.

    Attention runs over the time steps up to the present one, post-normalised, without positions: apart from
    the present step, the answer does not depend on the order of the past.

    Parameters
    ----------
    width, heads, feedforward : int
        Channels inside, heads, and channels of the feedforward part; 16, 1 and 32 in the public code of
        "Inverse approximation theory".
    seed : int
        Names the weights.
    input_size, output_size : int
        Channels.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, or a width that the heads do not divide.

    Examples
    --------
    >>> random_transformer(16, heads=1, feedforward=32, seed=0)(torch.zeros(2, 5, 1)).shape
    torch.Size([2, 5, 1])
    """
    sizes = {"width": width, "heads": heads, "feedforward": feedforward}
    for name, value in (sizes | {"input_size": input_size, "output_size": output_size}).items():
        checks.positive_int(name, value)
    if width % heads:
        raise ValueError(f"heads must divide width={width}, got {heads}")
    with torch_draws(checks.seed("seed", seed)):
        return OneLayerTransformer(width, heads, feedforward, input_size, output_size)
