"""Causal dilated convolutions, of whole sequences or of one chunk of time after the other.

Equation.   With filters W_0 … W_{k−1} and dilation d,

                y_t = b + Σ_{j<k} W_j x_{t − j d},        x_t = 0 for t < 0.

            With weight normalisation (Salimans and Kingma 2016) W = g V/‖V‖, one norm and one g per channel
            of the output.

Algorithm.  The (k − 1) d inputs before the first step go in front of a chunk of time; the rest is torch's
            dilated convolution. The whole sequence is a chunk that zeros go before.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from curse_of_memory.nn.building import inputs
from curse_of_memory.nn.building.many_models import affine
from curse_of_memory.nn.building.seeding import DRAWN, place, seeded
from curse_of_memory.nn.building.streaming import Streaming
from curse_of_memory.protocols import Outputs
from curse_of_memory.tools import checks

__all__ = ["CausalConvolution"]


class CausalConvolution(Streaming[Tensor]):
    """Causal dilated convolution y_t = b + Σ_{j<k} W_j x_{t − j d} with learnt filters.

    Parameters
    ----------
    input_size, output_size : int
        Channels of x and y.
    kernel_size : int
        Number k of filter taps.
    dilation : int
        Lag d between two taps, in steps.
    weight_norm : bool
        W = g V/‖V‖ with one g per channel of the output, instead of W free.
    bias : bool
        Whether b is there.
    seed : int, optional
        Seeds the initial weights by themselves; without it torch's global generator draws them.
    device, dtype
        As for any torch module; the device may be ``"auto"``, too.

    Raises
    ------
    ValueError, TypeError
        For sizes below one.

    Notes
    -----
    Weights are uniform between ±1/√(k · input_size), as torch's; weight normalisation does not change the
    initial filter. ``weight`` has shape ``(output_size, input_size, kernel_size)``; its last index is the lag
    in units of d, in the other order than torch's.

    Examples
    --------
    >>> difference = CausalConvolution(1, 1, 2, dilation=2, bias=False)
    >>> difference.weight.data = torch.tensor([[[1.0, -1.0]]])
    >>> difference(torch.arange(5.0)[None, :, None]).flatten().tolist()
    [0.0, 1.0, 2.0, 2.0, 2.0]
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        kernel_size: int,
        *,
        dilation: int = 1,
        weight_norm: bool = False,
        bias: bool = True,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.input_size = checks.positive_int("input_size", input_size)
        self.output_size = checks.positive_int("output_size", output_size)
        self.kernel_size = checks.positive_int("kernel_size", kernel_size)
        self.dilation = checks.positive_int("dilation", dilation)
        bias = checks.flag("bias", bias)
        bound = (kernel_size * input_size) ** -0.5
        with seeded(seed):
            weight = torch.empty(output_size, input_size, kernel_size, **DRAWN).uniform_(-bound, bound)
            shift = torch.empty(output_size, **DRAWN).uniform_(-bound, bound) if bias else None
        self.weight = nn.Parameter(weight)
        self.bias: nn.Parameter | None
        self.gain: nn.Parameter | None
        self.register_parameter("bias", None if shift is None else nn.Parameter(shift))
        gain = nn.Parameter(_norm(weight)) if checks.flag("weight_norm", weight_norm) else None
        self.register_parameter("gain", gain)
        place(self, device, dtype)

    @property
    def waits(self) -> int:
        """Number of past inputs that an output needs, (k − 1) d."""
        return (self.kernel_size - 1) * self.dilation

    @property
    def filter(self) -> Tensor:
        """The filters W, ``(output_size, input_size, kernel_size)``, normalised if they are to be."""
        return self.weight if self.gain is None else self.gain / _norm(self.weight) * self.weight

    def forward(self, x: Tensor) -> Tensor:
        """Return y ``(batch, time, output_size)`` for `x` ``(batch, time, input_size)``, after zeros."""
        return self.run(x).y

    def run(self, x: Tensor, state: Tensor | None = None) -> Outputs[Tensor]:
        """Return the answers to a chunk of time, and the inputs at its end that the next chunk needs.

        `state` are the inputs before the chunk `x`, ``(batch, waits, input_size)``, zeros if None; ``last``
        are those at its end.

        Raises
        ------
        ValueError
            If a shape does not fit.
        """
        inputs.sequence(self, x)
        y, last, lost = self.advance(x, state)
        return Outputs(y if lost is None else inputs.nan_where(lost, y), last)

    def advance(
        self, x: Tensor, state: Tensor | None, lost: Tensor | None = None, *, finite: bool = False
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return answers, the inputs for the next chunk, and a mask of the answers that are lost.

        An answer is lost if it sees an unknown input: a step in the mask `lost`, ``(batch, time)``, or NaN or
        inf in x or `state`, which are not searched for if all are known to be `finite`. Lost answers are
        arbitrary numbers. The mask is None if nothing is lost.
        """
        state = inputs.initial_state(state, (x.shape[0], self.waits, self.input_size), x)
        whole = torch.cat([state, x], 1)
        if lost is not None or not (finite or inputs.all_finite(whole)):
            numbers = whole.isfinite()
            known = numbers.all(-1)
            if lost is not None:
                known = known & torch.cat([known.new_ones(state.shape[:2]), ~lost], 1)
            whole, lost = whole.where(numbers, 0), ~known
        last = whole[:, x.shape[1] :]
        if lost is not None:
            last = inputs.nan_where(lost[:, x.shape[1] :], last)
        if x.shape[1] == 0:
            return x.new_zeros(x.shape[0], 0, self.output_size), last, None if lost is None else lost[:, :0]
        y = nn.functional.conv1d(whole.mT, self.filter.flip(-1), self.bias, dilation=self.dilation)
        if lost is not None:
            taps = lost.to(y.dtype)[:, None]
            lost = nn.functional.max_pool1d(taps, self.kernel_size, 1, dilation=self.dilation)[:, 0] > 0
        return y.mT, last, lost

    def many(self, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return the answers of many convolutions of this shape to finite ``(model, batch, time, channel)``.

        `weights` are stacked over the models. One product with all taps of an answer side by side: torch's
        convolution takes many models as groups of channels, one after the other.
        """
        V = weights["weight"]
        if "gain" in weights:
            V = weights["gain"] / torch.linalg.vector_norm(V, dim=(2, 3), keepdim=True) * V
        steps, whole = x.shape[2], nn.functional.pad(x, (0, 0, self.waits, 0))
        starts = [self.waits - j * self.dilation for j in range(self.kernel_size)]
        taps = torch.cat([whole[:, :, start : start + steps] for start in starts], -1)
        maps = {"taps.weight": V.mT.flatten(2)}
        if "bias" in weights:
            maps["taps.bias"] = weights["bias"]
        return affine(maps, "taps", taps)

    def extra_repr(self) -> str:
        """Return what ``print`` shows of the convolution between its brackets."""
        sizes = f"{self.input_size}, {self.output_size}, {self.kernel_size}, dilation={self.dilation}"
        return sizes + (", weight_norm" if self.gain is not None else "")


def _norm(weight: Tensor) -> Tensor:
    return torch.linalg.vector_norm(weight, dim=(1, 2), keepdim=True)
