"""LEM and the models of as many weights that stand beside it."""

from collections.abc import Callable
from typing import TypedDict

from torch import nn

from curse_of_memory.nn import GRU, LEM, LSTM, S4D, SequenceStack
from curse_of_memory.papers.lem._equal_weights import number_of_weights, of_as_many_weights

__all__ = ["MODELS", "made"]

MODELS: tuple[str, ...] = ("LEM", "LSTM", "chrono LSTM", "GRU", "stable S4D")
MODES, LAYERS = 4, 2  # of S4D


class Sizes(TypedDict):
    """Channels of a model."""

    input_size: int
    output_size: int


def made(
    name: str,
    width: int,
    *,
    dt: float,
    memory: float,
    seed: int,
    input_size: int = 1,
    output_size: int = 1,
    pooling: str = "none",
) -> nn.Module:
    """Return an untrained model of :data:`MODELS`, with as many weights as a LEM of this width, or nearly.

    Parameters
    ----------
    name : str
    width : int
        Units of LEM.
    dt : float
        Its time step.
    memory : float
        Steps for which chrono initialisation prepares.
    seed : int
    input_size, output_size : int
    pooling : {'none', 'last'}
        Whether every step is answered or the last alone; LSTM and GRU answer every step.
    """
    sizes: Sizes = {"input_size": input_size, "output_size": output_size}

    def lem(seed: int) -> LEM:
        return LEM(width, dt=dt, pooling=pooling, seed=seed, **sizes)

    if name == "LEM":
        return lem(seed)
    if name == "LSTM":
        return LSTM(width, seed=seed, **sizes)
    if name == "chrono LSTM":
        return LSTM(width, chrono=memory, seed=seed, **sizes)
    others: dict[str, Callable[[int], nn.Module]] = {
        "GRU": lambda channels: GRU(channels, seed=seed, **sizes),
        "stable S4D": lambda channels: SequenceStack(
            lambda inside: S4D(inside, MODES, parameterization="best"),  # poles −1/(w² + 1/2)
            channels,
            layers=LAYERS,
            pooling=pooling,
            seed=seed,
            **sizes,
        ),
    }
    return of_as_many_weights(others[name], number_of_weights(lem(0)))
