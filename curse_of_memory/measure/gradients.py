"""Norms of the gradient of the last output by earlier inputs, over the lag between them."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from curse_of_memory.measure.guards import ROWS
from curse_of_memory.measure.passes import answer_bytes, passes, sequences_at_once
from curse_of_memory.measure.probing import probing
from curse_of_memory.measure.sequence_map import SequenceMap
from curse_of_memory.tools import checks
from curse_of_memory.tools.devices import bytes_on_tape, copies_that_fit, memory_budget
from curse_of_memory.tools.random_streams import stream

__all__ = ["gradient_norms"]

_NORMS = ("frobenius", "spectral")
EVERY_OUTPUT_UP_TO = 64  # channels; beyond, the norm is estimated from random combinations of them


def gradient_norms(
    model: nn.Module | SequenceMap,
    horizon: int,
    *,
    inputs: Tensor | None = None,
    samples: int = 16,
    norm: str = "frobenius",
    dt: float | None = None,
    input_size: int | None = None,
    output: Callable | None = None,
    embedding: str | nn.Module | None = None,
    token: int = 0,
    dtype: torch.dtype | None = None,
    chunk: int | None = None,
    progress: bool = False,
    seed: int = 0,
    device: torch.device | str = "auto",
) -> xr.Dataset:
    """Measure ‖∂y_T/∂x_{T−s}‖ over the lag s = 0, dt, …, (horizon − 1) dt, at the last step T.

    The derivatives are exact (reverse mode) at each of a few inputs. For a linear model with memory ρ
    they are dt · ρ_s at every input: memory and gradient are the same then. Gradients with respect to
    the recurrent weights are sums over time of such products, so that what fades here cannot be learnt.

    Parameters
    ----------
    model : torch.nn.Module or SequenceMap
        As for :func:`memory_function`, tokens included: x then is the embedded sequence. Its weights may be
        frozen. Both parts of complex answers count.
    horizon : int
        Number of lags, in steps, and the length of the inputs.
    inputs : torch.Tensor, optional
        Where: numbers ``(samples, horizon, channel)``, or tokens ``(samples, horizon)`` for a model of
        tokens. Standard normal numbers, or random tokens, unless given.
    samples : int
        How many random inputs.
    norm : {'frobenius', 'spectral'}
        Norm of the Jacobian ``(output, input)`` of each lag.
    dt : float, optional
        Time step of the lags; the model's attribute ``dt`` unless given, else 1.
    input_size, output, embedding, token, dtype, chunk, progress
        As for :func:`memory_function`; `chunk` counts sequences of one backward pass,
        of which there is one for every pair of an input and an output. Default: as there, and no more than
        what fits when the tape of one is measured.
    seed : int
        Names the inputs, and the random combinations of outputs where there are over 64 of them.
    device : str or torch.device
        Where it is done, in evaluation mode; the model is left as it was, its gradients included.

    Returns
    -------
    xarray.Dataset over ``lag`` (time units)
        ``mean(lag)`` and ``max(lag)`` over the inputs, the latter a lower bound of the supremum.
        Attributes: `dt`, `norm`, `samples`, and `exact`: whether each norm is that of the Jacobian, up to
        rounding, or, beyond 64 outputs, the root mean square over 64 random combinations (Frobenius only;
        unbiased squares, a relative standard error of at most √(2/64) of each square).

    Raises
    ------
    ValueError, TypeError
        For bad numbers or shapes, a spectral norm of over 64 outputs, a model that answers with NaN, or whose
        answer cannot be differentiated, and as :meth:`SequenceMap.check` does.

    Notes
    -----
    Products of Jacobians that decay or blow up over the lag are the vanishing and exploding gradients
    of recurrent networks; INTEREST (2307.11462), section 3.3, ties them to the memory bias.

    Examples
    --------
    >>> lstm = nn.LSTM(input_size=1, hidden_size=16, batch_first=True)
    >>> curve = gradient_norms(lstm, horizon=40)
    >>> bool(curve["mean"][-1] < 1e-3 * curve["mean"][0]), curve.attrs["exact"]
    (True, True)
    """
    checks.positive_int("horizon", horizon)
    checks.flag("progress", progress)
    checks.positive_int("samples", samples)
    checks.one_of("norm", norm, _NORMS)
    if chunk is not None:
        checks.positive_int("chunk", chunk)
    system = SequenceMap.of(model, output=output, embedding=embedding, input_size=input_size, token=token)
    dt = system.dt(dt)
    with probing(system.model, device, dtype=dtype, gradients=True) as place:
        precision = dtype or system.dtype
        x = _inputs(system, horizon, inputs, samples, seed)
        rows = ROWS if chunk is None else min(ROWS, max(3, chunk))
        trial = system.trial(rows, horizon, np.ones(1), seed)
        system.check(trial.to(device=place, dtype=precision))
        one = x[:1].to(device=place, dtype=precision)
        combinations, exact = _combinations(system, one, norm, seed)
        some = passes(len(x) * len(combinations), _rows(system, one, chunk), "gradients", progress)
        table = _norms(system, x, combinations, norm, some, one).flip(1).cpu().numpy()
    if not np.isfinite(table).all():
        raise ValueError("model answers with NaN or infinity, or its gradient does: it is unstable")
    return xr.Dataset(
        {"mean": ("lag", table.mean(0)), "max": ("lag", table.max(0))},
        coords={"lag": dt * np.arange(horizon)},
        attrs={"dt": dt, "norm": norm, "samples": len(table), "exact": exact},
    )


def _inputs(system: SequenceMap, horizon: int, given: Tensor | None, samples: int, seed: int) -> Tensor:
    """Return what is added to the baseline, ``(samples, horizon, channel)``, in float64."""
    random = stream("inputs of gradients", seed)
    words = system.words
    if words is None:
        shape = (samples, horizon, system.input_size)
        x = torch.from_numpy(random.standard_normal(shape)) if given is None else torch.as_tensor(given)
        expected = (len(x), horizon, system.input_size)
        if tuple(x.shape) != expected:
            raise ValueError(
                f"inputs must have shape (samples, {horizon}, {system.input_size}), got {tuple(x.shape)}"
            )
        if not len(x) or x.is_complex() or not x.isfinite().all():
            raise ValueError("inputs must be finite real numbers, of one sequence at least")
        return x.detach().double()
    if given is None:
        tokens = random.integers(0, words.count, (samples, horizon))
    else:
        tokens = torch.as_tensor(given).cpu().numpy()
        if tokens.ndim != 2 or tokens.shape[1] != horizon or not np.issubdtype(tokens.dtype, np.integer):
            raise ValueError(f"inputs must be tokens of shape (samples, {horizon}), got {tokens.shape}")
        if not tokens.size or tokens.min() < 0 or tokens.max() >= words.count:
            raise ValueError(f"inputs must be tokens 0 to {words.count - 1}, of one sequence at least")
    return words.directions(tokens.ravel()).reshape(*tokens.shape, system.input_size)


def _last(system: SequenceMap, x: Tensor) -> Tensor:
    """Return the last step of the answer, ``(batch, output)``; real and imaginary parts count as outputs."""
    last = system(x)[:, -1]
    return torch.view_as_real(last).flatten(1) if last.is_complex() else last


def _rows(system: SequenceMap, one: Tensor, chunk: int | None) -> int:
    """Return how many sequences go into one pass forwards and backwards."""
    length = one.shape[1]
    if chunk is not None:
        return chunk
    tape = bytes_on_tape(lambda: system(one.clone().requires_grad_()))
    return min(
        sequences_at_once(length, answer_bytes(system, one)),
        copies_that_fit(tape, memory_budget(one.device)),
    )


def _combinations(system: SequenceMap, x: Tensor, norm: str, seed: int) -> tuple[Tensor, bool]:
    """Return rows v with E Σ|vᵀJ|² = ‖J‖²_F, J the Jacobian, and whether they are all outputs."""
    last = _last(system, x)
    if not last.isfinite().all():
        raise ValueError("model answers with NaN or infinity: it is unstable")
    if (outputs := last.shape[1]) <= EVERY_OUTPUT_UP_TO:
        return torch.eye(outputs, dtype=torch.float64), True
    if norm == "spectral":
        raise ValueError(
            f"norm must be 'frobenius' for over {EVERY_OUTPUT_UP_TO} outputs; this model has {outputs}"
        )
    random = stream("combinations of outputs", seed)
    rows = random.standard_normal((EVERY_OUTPUT_UP_TO, outputs)) / EVERY_OUTPUT_UP_TO**0.5
    return torch.from_numpy(rows), False


def _norms(
    system: SequenceMap,
    x: Tensor,
    combinations: Tensor,
    norm: str,
    some: Iterator[slice],
    like: Tensor,
) -> Tensor:
    """Return ‖∂y_T/∂x_t‖ for every input and step t, ``(sample, time)``."""
    rows, (samples, length, channels) = len(combinations), x.shape
    # every pair of an input and an output is a sequence of its own: few passes, whatever the model costs
    sample, row = torch.arange(samples).repeat_interleave(rows), torch.arange(rows).repeat(samples)
    squares = torch.zeros(samples, length, dtype=torch.float64, device=like.device)
    jacobian = []
    for pairs in some:
        moved = x[sample[pairs]].to(like).requires_grad_()
        last = _last(system, moved)
        if not last.requires_grad:
            raise TypeError("model cuts the gradient between its input and its answer (detach, or no_grad?)")
        (gradient,) = torch.autograd.grad((last * combinations[row[pairs]].to(last)).sum(), moved)
        if norm == "spectral":
            jacobian.append(gradient.double())
        else:
            squares.index_add_(0, sample[pairs].to(like.device), gradient.double().square().sum(-1))
    if norm == "spectral":
        whole = torch.cat(jacobian).reshape(samples, rows, length, channels)
        return torch.linalg.matrix_norm(whole.transpose(1, 2), 2)
    return squares.sqrt()
