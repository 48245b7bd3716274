"""Torch layers, drop-in for any model: ``(batch, time, channel)`` in and out."""

from curse_of_memory.nn.parameterization import PARAMETERIZATIONS, Parameterization
from curse_of_memory.nn.rnn import RNN

__all__ = ["PARAMETERIZATIONS", "RNN", "Parameterization"]
