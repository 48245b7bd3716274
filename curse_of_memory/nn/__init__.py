"""Torch layers, drop-in for any model: ``(batch, time, channel)`` in and out.

What all of them share:

- Inputs are tensors of real numbers, of the dtype and on the device of the weights. Anything else is refused
  in one line (``nn.building.inputs``).
- NaN or inf at a step reaches outputs, states and gradients of its own sequence from that step on, and
  nothing else: neither what came before nor the other sequences. Layers with a finite memory recover after
  it; all others answer NaN to the end, those that read in both directions to all of their sequence, and a
  stack does what its layers do. Batch normalisation in training mode takes zero in its place.
- Weights and inputs may be bfloat16 or float16. Recurrences then compute in float32, and round the answer.
- Layers compile, checkpoint and export, for any batch (the programs that ``torch.export`` saves need this
  package to run); ``torch.jit.trace``, which would keep the sizes of one batch, is refused.
- They can be copied and pickled, a reparameterisation of your own with them.
"""

from curse_of_memory.nn.attention.causal_attention import CausalSelfAttention
from curse_of_memory.nn.attention.transformer import CausalTransformer
from curse_of_memory.nn.convolutional.causal_convolution import CausalConvolution
from curse_of_memory.nn.convolutional.tcn import TCN
from curse_of_memory.nn.recurrent.gates import GRU, LSTM, ElmanRNN
from curse_of_memory.nn.recurrent.lem.layer import LEM
from curse_of_memory.nn.recurrent.rnn import RNN
from curse_of_memory.nn.stack import SequenceStack
from curse_of_memory.nn.state_space.s4d import S4D
from curse_of_memory.nn.state_space.ssm import SSM

__all__ = [
    "GRU",
    "LEM",
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
