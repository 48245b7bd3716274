"""Whether a linear model answers by the kernel and the offset that it gives: they are tried on a few steps.

    ŷ_k(x) − ŷ_k(0) = dt Σ_s ρ̂_s x_{k−s},        ŷ_k(0) = μ_k .

What is computed from ρ̂ and μ alone is that of another model where these are inherited and the answer is not.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from curse_of_memory.measure.answers import in_double
from curse_of_memory.measure.probing import probing
from curse_of_memory.measure.refusals import in_one_line
from curse_of_memory.measure.sequence_map import SequenceMap
from curse_of_memory.tools.random_streams import stream

__all__ = ["check_closed_form"]

STEPS = 12  # that a model is tried on


def check_closed_form(model: nn.Module, dt: float = 1.0, *, moved: bool = False) -> None:
    """Refuse a linear `model` that answers otherwise than by its ``kernel()``, and its ``offset()`` if any.

    Both are held against its answers to zero and to one random sequence, up to the square root of rounding;
    what is not finite is not compared. The model is left as it was.

    Parameters
    ----------
    model : torch.nn.Module
        With ``kernel(horizon)``; it may have ``offset(horizon)`` and a time step ``dt``.
    dt : float
        The time step, if it has none of its own.
    moved : bool
        Ask also whether ``kernel(horizon, parameters)`` is computed from the parameters that it is given.

    Raises
    ------
    ValueError, TypeError
        If they disagree, if one of them fails, or is no tensor of the shape that it has to be.

    Examples
    --------
    >>> from curse_of_memory.nn import RNN
    >>> check_closed_form(RNN(3, activation="linear", seed=0))
    """
    name, dt = type(model).__name__, float(getattr(model, "dt", dt))
    with probing(model, None):
        kernel = _given(model, "kernel")
        if kernel.ndim != 3 or len(kernel) != STEPS:
            shape = f"({STEPS}, output, input), that of {name} has {tuple(kernel.shape)}"
            raise ValueError(f"model must give kernel({STEPS}) of shape {shape}")
        system = SequenceMap(model, input_size=kernel.shape[2], causal=False)
        noise = stream("sequences that a map is tried on", 0).standard_normal((1, STEPS, kernel.shape[2]))
        x = torch.from_numpy(noise).to(kernel.device, system.dtype)
        rest, answer = (in_double(system(signal))[0] for signal in (torch.zeros_like(x), x))
        if kernel.is_complex() != answer.is_complex():
            raise TypeError(f"model must answer with what its kernel() is, {name} does with {answer.dtype}")
        memory, signal = in_double(kernel), in_double(x)[0]
        change = torch.stack([_filtered(memory, signal, k) for k in range(STEPS)])
        _compare(name, "kernel", system.eps, answer - rest, dt * change, answer)
        if callable(getattr(model, "offset", None)):
            _compare(name, "offset", system.eps, rest, in_double(_given(model, "offset")), answer)
        if not moved:
            return
        with torch.enable_grad():
            others = {n: p.detach().clone().requires_grad_() for n, p in model.named_parameters()}
            if not _given(model, "kernel", others).requires_grad:
                raise ValueError(f"model must compute its kernel() from given parameters, {name} does not")


def _given(model: nn.Module, what: str, *parameters: Mapping[str, Tensor]) -> Tensor:
    """Return the kernel or offset of the first steps, with other `parameters` if given."""
    name = type(model).__name__
    try:
        given = getattr(model, what)(STEPS, *parameters)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of any kind: it is a stranger's
        raise ValueError(f"model must give its {what}(); {name}: {in_one_line(error)}") from error
    if not isinstance(given, Tensor):
        raise TypeError(f"model must give its {what}() as a tensor, {name} does as {type(given).__name__}")
    return given


def _filtered(kernel: Tensor, x: Tensor, k: int) -> Tensor:
    """Return Σ_s ρ_s x_{k−s}, of shape ``(output,)``."""
    return torch.einsum("soi,si->o", kernel[: k + 1], x[: k + 1].flip(0).to(kernel.dtype))


def _compare(name: str, what: str, eps: float, answer: Tensor, formula: Tensor, scale: Tensor) -> None:
    if answer.shape != formula.shape:
        shapes = f"{tuple(formula.shape)} where it answers {tuple(answer.shape)}"
        raise ValueError(f"model must answer by its {what}(), but {name} gives {shapes}")
    error = (answer - formula).abs().max()
    if error.isfinite() and error > eps**0.5 * torch.maximum(answer.abs(), scale.abs()).max():
        raise ValueError(f"model must answer by its {what}(), which {name} does not")
