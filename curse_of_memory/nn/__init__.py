"""Torch layers, drop-in for any model: ``(batch, time, channel)`` in and out."""

from curse_of_memory.nn.attention import CausalSelfAttention
from curse_of_memory.nn.causal_convolution import CausalConvolution
from curse_of_memory.nn.gates import GRU, LSTM, ElmanRNN
from curse_of_memory.nn.rnn import RNN
from curse_of_memory.nn.s4d import S4D
from curse_of_memory.nn.ssm import SSM
from curse_of_memory.nn.stack import SequenceStack
from curse_of_memory.nn.tcn import TCN
from curse_of_memory.nn.transformer import CausalTransformer

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "S4D",
    "SSM",
    "TCN",
    "CausalConvolution",
    "CausalSelfAttention",
    "CausalTransformer",
    "ElmanRNN",
    "SequenceStack",
]
