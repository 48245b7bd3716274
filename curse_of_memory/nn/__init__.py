"""Torch layers, drop-in for any model: ``(batch, time, channel)`` in and out."""

from curse_of_memory.nn.rnn import RNN

__all__ = ["RNN"]
