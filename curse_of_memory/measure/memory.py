"""The memory function of any sequence model: the response to an input over the lag since it."""

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from curse_of_memory.measure.answers import in_double
from curse_of_memory.measure.closed_form import check_closed_form
from curse_of_memory.measure.guards import ROWS
from curse_of_memory.measure.passes import answer_bytes, passes, sequences_at_once
from curse_of_memory.measure.probing import probing
from curse_of_memory.measure.sequence_map import SequenceMap
from curse_of_memory.protocols import Freezable
from curse_of_memory.theory.targets.lagged import lag_grid
from curse_of_memory.tools import checks
from curse_of_memory.tools.random_streams import stream

__all__ = ["PROBES", "memory_function"]

PROBES = ("heaviside", "impulse", "reversed")
FORGETTING = ("free", "frozen")
EVERY_SIGN_UP_TO = 8  # input channels; beyond, 2^d sign vectors are too many and a sample is taken
REPEATED = 4  # inputs that are measured again, rounded otherwise, to see the noise


def memory_function(
    model: nn.Module | SequenceMap,
    horizon: int,
    *,
    probe: str = "heaviside",
    radii: Sequence[float] = (1.0,),
    closed_form: bool | None = None,
    warmup: int | None = None,
    start: int = 0,
    forgetting: str = "free",
    dt: float | None = None,
    input_size: int | None = None,
    output: Callable | None = None,
    embedding: str | nn.Module | None = None,
    token: int = 0,
    draws: int = 2**EVERY_SIGN_UP_TO,
    causal: bool = True,
    dtype: torch.dtype | None = None,
    chunk: int | None = None,
    progress: bool = False,
    seed: int = 0,
    device: torch.device | str = "auto",
) -> xr.DataArray:
    """Measure the memory function M(s) of a model, s = 0, dt, …, (horizon − 1) dt.

    With H the map from inputs to outputs, less its answer to the zero input, and the supremum over
    constant inputs x ≠ 0,

    - *heaviside*: M(t) = sup_x |d/dt H_t(x·1[t ≥ 0])| / |x|_∞;
    - *impulse*: M(t) = sup_x |H_t(x at t = 0, else 0)| / |x|_∞, the input lasting one step;
    - *reversed*: M(t) = sup_x |d/dt H_t(x·1[t < 0])| / |x|_∞.

    All three are |ρ(t)|₁ for a linear model with memory ρ, a density per unit time.

    A model of **tokens** is probed through its embedding e: the zero input is `token` at every step,
    and x runs over the differences e(v) − e(token) to other tokens v. At radius 1 the impulse then is
    one token in place of another, and the step a text that repeats another one.

    Parameters
    ----------
    model : torch.nn.Module or SequenceMap
        Maps ``(batch, time, channel)`` to ``(batch, time, channel)``, or tokens ``(batch, time)`` to the
        latter: every sequence by itself, alike at every call, and causally. That is tried first, on random
        inputs, and refused if it is not so; see :meth:`SequenceMap.check`. If the model answers with more
        than that, the sequence is its ``last_hidden_state`` or ``logits`` (models of transformers), or the
        first member of a tuple (torch's LSTM). Of complex answers the modulus counts.
    horizon : int
        Number of lags, in steps.
    probe : {'heaviside', 'impulse', 'reversed'}
        Which definition.
    radii : sequence of float
        Sizes > 0 that inputs are scaled by and the supremum runs over, |x|_∞ but for tokens; for
        nonlinear models M depends on them.
    closed_form : bool, optional
        Use the model's own ``kernel(horizon)``. Default: if its ``is_linear`` is True, it has one, and no
        `output` chooses another answer. A model that calls itself linear is taken at its word.
    warmup : int, optional
        Steps the reversed probe waits before the input ends, 4 · horizon unless given. The measured
        value at lag t then is |ρ(t) − ρ(t + warmup dt)| for a linear model: `truncation` bounds what is cut.
    start : int
        Steps of zero input before an impulse or a step comes, for models that change in time: attention
        shares its weight among all memories so far. None, unless given; not for the reversed probe.
    forgetting : {'free', 'frozen'}
        Of models whose memories say for how long they are needed (``nn.forgetting``). "free": another input
        changes that, too. "frozen": it is held as it is at the zero input, so that what is measured is the
        memory alone. The model must have ``frozen_at``; see :class:`curse_of_memory.protocols.Freezable`.
    dt : float, optional
        Time step; the model's attribute ``dt`` unless given, else 1. Needed where that is no number.
    input_size : int, optional
        Channels of the input; the model's attribute ``input_size`` unless given, else 1.
    output : callable, optional
        Chooses the sequence in what the model answers.
    embedding : str or torch.nn.Module, optional
        The embedding of a model of tokens, or its name in the model. Models of transformers say by
        themselves what it is.
    token : int
        The token of the zero input. A :class:`SequenceMap` has these by itself, and `causal`.
    draws : int
        Inputs sampled where there are more: sign vectors of over 8 channels, tokens of a vocabulary.
    causal : bool
        Refuse a model whose answer comes before the input. With False it is measured all the same.
    dtype : torch.dtype, optional
        Precision to measure in, such as ``torch.float64``; the model's own unless given.
    chunk : int, optional
        Inputs in one forward pass, for the memory of the machine. Default: 32768 steps of them all, and no
        more than have answers of 2²⁸ bytes, with what is made of them.
    progress : bool
        Show a bar over forward passes.
    seed : int
        Names the sample of inputs, and the sequences that causality is tried on.
    device : str or torch.device
        Where the probing is done, in evaluation mode; the model is left as it was.

    Returns
    -------
    xarray.DataArray over ``lag`` (time units)
        Attributes: `probe`, `dt`, `inputs` (how many the supremum was taken over), `exact`: whether
        that is the supremum, up to `noise_floor` (linear models with every sign vector and nothing cut), or,
        but for `truncation`, a lower bound of it; `truncation`: how far at most the values are from those of
        an input that has lasted for ever, max |ρ(t + warmup dt)|, for the reversed probe (NaN: unknown, for
        models that are not linear; 0 for the others); `causal`;
        `long_name` and `units`, by which its ``plot()`` labels axes;
        `noise_floor`, an estimate of the level below which M is rounding noise: the larger of
        eps · max |y| / (dt |x|) and the largest change of the measured curve when inputs are a few eps
        larger and in another order in the batch; `model`, `parameters`: class and number of weights.

    Raises
    ------
    ValueError, TypeError
        For an unknown probe, bad numbers, a model that answers in another shape or with NaN, that is not
        causal, mixes the sequences of a batch, is random or keeps state, or fails (in one line, with torch's
        own error as its cause), a closed form asked of a model that has none, or frozen forgetting of one
        that cannot.

    Notes
    -----
    "Inverse approximation theory" (2305.19190), Definition 3.1 and appendices F and G. The norm on
    outputs of several channels is the Euclidean one. The public code differs: one random input, no
    supremum, no division by |x|_∞ or dt. For a model that changes in time (learned positions), M is
    that of an input at the step `start`; for the reversed probe, after `warmup`.

    Examples
    --------
    >>> delay = nn.Identity()
    >>> memory_function(delay, horizon=3).values.tolist()
    [1.0, 0.0, 0.0]
    >>> gru = nn.GRU(input_size=4, hidden_size=8, batch_first=True)  # answers (sequence, state)
    >>> memory_function(gru, horizon=50).attrs["inputs"]
    16
    """
    checks.positive_int("horizon", horizon)
    checks.one_of("probe", probe, PROBES)
    sizes = checks.finite_array("radii", radii, ndim=1)
    if not (sizes > 0).all():
        raise ValueError(f"radii must be positive, got {list(radii)!r}")
    wait = 4 * horizon if warmup is None else checks.positive_int("warmup", warmup)
    if checks.whole_number("start", start, least=0) and probe == "reversed":
        raise ValueError("start must be 0 for the reversed probe, which waits for warmup steps")
    frozen = checks.one_of("forgetting", forgetting, FORGETTING) == "frozen"
    checks.positive_int("draws", draws)
    checks.flag("progress", progress)
    if chunk is not None:
        checks.positive_int("chunk", chunk)
    system = SequenceMap.of(
        model, output=output, embedding=embedding, input_size=input_size, token=token, causal=causal
    )
    model, dt = system.model, system.dt(dt)
    own_kernel = system.kernel
    if closed_form and own_kernel is None:
        raise TypeError(
            "closed_form was asked for, but the model is not linear or has no kernel(), or output= chooses "
            "another answer"
        )
    if not (closed_form is None or closed_form):
        own_kernel = None
    if frozen and not callable(getattr(model, "frozen_at", None)):
        raise TypeError(
            f"forgetting may be frozen if the model has frozen_at(), but {type(model).__name__} has none"
        )

    with probing(model, device, dtype=dtype) as place:
        directions = _directions(system, draws, seed)
        precision = dtype or system.dtype
        if own_kernel is not None:
            check_closed_form(model, dt)
            sizes, follows, truncation = sizes[:1], True, 0.0
            kernel = in_double(own_kernel(horizon)).cpu() * (getattr(model, "dt", dt) / dt)
            answers = torch.einsum("toi,ni->nto", kernel, directions.to(kernel.dtype))
            values = torch.linalg.vector_norm(answers, dim=-1).amax(0).numpy()
            noise = torch.finfo(precision).eps * values.max()
        else:
            first = wait if probe == "reversed" else start
            experiment = _Experiment(system, precision, probe, horizon, first, dt, place, chunk, progress)
            inputs = torch.cat([r * directions for r in sizes.tolist()])
            with experiment.frozen() if frozen else contextlib.nullcontext():
                follows = experiment.check(sizes, seed)
                values, truncation = experiment.supremum(inputs), experiment.truncation(inputs)
                noise = experiment.noise(inputs)
    if not np.isfinite(values).all():
        lag = dt * int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"model answers with NaN or infinity from lag {lag:g} on: it is unstable")
    noise = float(np.nan_to_num(noise, nan=values.max(), posinf=values.max()))
    every = system.is_linear and system.words is None and system.input_size <= EVERY_SIGN_UP_TO
    unit = "step" if dt == 1 else "time"
    memory = lag_grid(values, dt, "memory")
    memory.lag.attrs.update(long_name="lag $t$", units="steps" if dt == 1 else unit)
    return memory.assign_attrs(
        long_name="memory $M(t)$",
        units=f"1/{unit}",
        probe=probe if own_kernel is None else "closed form",
        dt=dt,
        inputs=len(sizes) * len(directions),
        exact=every and truncation <= noise,
        truncation=truncation,
        causal=follows,
        noise_floor=noise,
        model=type(model).__name__,
        parameters=sum(p.numel() for p in model.parameters()),
    )


def _directions(system: SequenceMap, draws: int, seed: int) -> Tensor:
    """Return the inputs tried, ``(inputs, channels)``: corners of the unit cube or tokens, or a sample."""
    random = stream("inputs of the memory", seed)
    if (words := system.words) is not None:
        others = np.delete(np.arange(words.count), words.token)
        if others.size > draws:
            others = np.sort(random.choice(others, draws, replace=False))
        directions = words.directions(others)
        directions = directions[directions.abs().amax(1) > 0]
        if not len(directions):
            raise ValueError(f"embedding must tell token {words.token} from others, but they are the same")
        return directions
    if system.input_size <= EVERY_SIGN_UP_TO:
        corners = itertools.product((1.0, -1.0), repeat=system.input_size)
        return torch.tensor(list(corners), dtype=torch.float64)
    return torch.from_numpy(2.0 * random.integers(0, 2, (draws, system.input_size)) - 1)


class _Experiment:
    """One probe of one model: what is fed, and what becomes of the answer."""

    def __init__(
        self,
        system: SequenceMap,
        dtype: torch.dtype,
        probe: str,
        horizon: int,
        first: int,
        dt: float,
        place: torch.device,
        chunk: int | None,
        progress: bool,
    ):
        self.system, self.probe, self.dt, self.place = system, probe, dt, place
        self.dtype, self.chunk, self.progress = dtype, chunk, progress
        self.first, self.length = first, first + horizon
        steps = {"heaviside": (first, None), "impulse": (first, first + 1), "reversed": (0, first)}
        self.on = slice(*steps[probe])

    @functools.cached_property
    def rows(self) -> int:
        """How many inputs go into one pass."""
        like = torch.zeros(1, self.length, self.system.input_size, dtype=torch.float64)
        return sequences_at_once(self.length, answer_bytes(self.system, self.placed(like)), self.chunk)

    def placed(self, x: Tensor) -> Tensor:
        return x.to(device=self.place, dtype=self.dtype)

    def frozen(self) -> AbstractContextManager[None]:
        """Return a context inside which the model forgets as it does at the zero input."""
        system = self.system
        assert checks.fulfils(system.model, Freezable)
        if system.words is not None:
            reference = torch.full((1, self.length), system.words.token, device=self.place)
        else:
            reference = self.placed(torch.zeros(1, self.length, system.input_size))
        return system.model.frozen_at(reference)

    def check(self, sizes: np.ndarray, seed: int) -> bool:
        count = ROWS if self.chunk is None else min(ROWS, max(3, self.chunk + 1))
        return self.system.check(self.placed(self.system.trial(count, self.length, sizes, seed)))

    def signed(self, x: Tensor, *, impulse: bool = False) -> tuple[Tensor, float]:
        """Return the memory, with signs, of inputs `x`, ``(input, time, output)``, and max |y| / |x|."""
        sequences = torch.zeros(len(x) + 1, self.length, x.shape[1], dtype=torch.float64)
        # the last row stays zero: its answer is the model's own drift
        sequences[:-1, slice(0, 1) if impulse else self.on] = x[:, None]
        y = self.system(self.placed(sequences))
        self.rounding = torch.finfo(y.dtype).eps
        y = in_double(y)
        size = self.dt * x.abs().amax(1)[:, None, None].to(self.place)
        answer = (y[:-1] - y[-1]) / size
        if self.probe != "impulse" and not impulse:
            answer = torch.cat([answer[:, :1], answer.diff(dim=1)], 1)
        return answer[:, self.first :], (torch.linalg.vector_norm(y, dim=-1).max() / size.min()).item()

    def supremum(self, inputs: Tensor, *, impulse: bool = False) -> np.ndarray:
        values = torch.zeros(self.length - self.first, dtype=torch.float64, device=self.place)
        for some in passes(len(inputs), self.rows, self.probe, self.progress):
            magnitudes = torch.linalg.vector_norm(self.signed(inputs[some], impulse=impulse)[0], dim=-1)
            values = torch.maximum(values, magnitudes.amax(0))  # NaN stays NaN
        return values.cpu().numpy()

    def truncation(self, inputs: Tensor) -> float:
        """Return max |ρ(t + warmup)| for the reversed probe, NaN if unknown; 0 for other probes."""
        if self.probe != "reversed":
            return 0.0
        if not self.system.is_linear:
            return math.nan
        return float(self.supremum(inputs, impulse=True).max())

    def noise(self, inputs: Tensor) -> float:
        inputs = inputs[: min(REPEATED, self.rows)]
        once, largest = self.signed(inputs)
        eps = max(torch.finfo(self.dtype).eps, self.rounding)
        again, _ = self.signed(inputs.flip(0) * (1 + 4 * eps))
        change = torch.linalg.vector_norm(once - again.flip(0), dim=-1).max().item()
        return max(eps * largest, change)
