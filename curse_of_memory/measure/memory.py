"""The memory function of any sequence model: how much of an input is left after a lag."""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from curse_of_memory import checks
from curse_of_memory.measure.probing import probing
from curse_of_memory.theory.target import lag_grid

__all__ = ["PROBES", "memory_function"]

PROBES = ("heaviside", "impulse", "reversed")
EVERY_SIGN_UP_TO = 8  # input channels; beyond, 2^(d-1) sign vectors are too many and a sample is taken


def memory_function(
    model: nn.Module,
    horizon: int,
    *,
    probe: str = "heaviside",
    radii: Sequence[float] = (1.0,),
    closed_form: bool | None = None,
    warmup: int | None = None,
    dt: float | None = None,
    input_size: int | None = None,
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

    Parameters
    ----------
    model : torch.nn.Module
        Maps ``(batch, time, channel)`` to ``(batch, time, channel)``, causally.
    horizon : int
        Number of lags, in steps.
    probe : {'heaviside', 'impulse', 'reversed'}
        Which definition.
    radii : sequence of float
        Sizes |x|_∞ > 0 that the supremum runs over; for nonlinear models M depends on them.
    closed_form : bool, optional
        Use the model's own ``kernel(horizon)``. Default: if it is linear and has one.
    warmup : int, optional
        Steps the reversed probe waits before the input ends, 4 · horizon unless given. The measured
        value at lag t then is |ρ(t) − ρ(t + warmup dt)| for a linear model.
    dt : float, optional
        Time step; the model's attribute ``dt`` unless given, else 1.
    input_size : int, optional
        Channels of the input; the model's attribute ``input_size`` unless given, else 1.
    seed : int
        For models of more than 8 input channels, whose 2⁸ sign vectors are a random sample.
    device : str or torch.device
        Where the probing is done, in evaluation mode; the model is left as it was.

    Returns
    -------
    xarray.DataArray over ``lag`` (time units)
        Attributes: `probe`, `dt`, `inputs` (how many the supremum was taken over), `exact`: whether
        that is the supremum (linear models with every sign vector) or a lower bound of it.

    Raises
    ------
    ValueError, TypeError
        For an unknown probe, bad numbers, a model that answers in another shape or with NaN, or a
        closed form asked of a model that has none.

    Notes
    -----
    "Inverse approximation theory" (2305.19190), Definition 3.1 and appendices F and G. The norm on
    outputs of several channels is the Euclidean one. The public code differs: one random input, no
    supremum, no division by |x|_∞ or dt.

    Examples
    --------
    >>> delay = nn.Identity()
    >>> memory_function(delay, horizon=3).values.tolist()
    [1.0, 0.0, 0.0]
    """
    checks.positive_int("horizon", horizon)
    checks.one_of("probe", probe, PROBES)
    sizes = checks.finite_array("radii", radii, ndim=1)
    if not (sizes > 0).all():
        raise ValueError(f"radii must be positive, got {list(radii)!r}")
    dt = checks.positive("dt", getattr(model, "dt", 1.0) if dt is None else dt)
    channels = getattr(model, "input_size", 1) if input_size is None else input_size
    checks.positive_int("input_size", channels)
    wait = 4 * horizon if warmup is None else checks.positive_int("warmup", warmup)

    linear = bool(getattr(model, "is_linear", False))
    has_kernel = linear and hasattr(model, "kernel")
    if closed_form and not has_kernel:
        raise TypeError("closed_form was asked for, but the model is not linear or has no kernel()")
    use_kernel = has_kernel if closed_form is None else closed_form

    signs = _sign_vectors(channels, seed)
    with probing(model, device) as place:
        if use_kernel:
            sizes = sizes[:1]
            kernel = model.kernel(horizon).double().cpu() * (getattr(model, "dt", dt) / dt)
            answers = torch.einsum("toi,ni->nto", kernel, signs)
        else:
            answers = torch.cat(
                [_probe(model, r * signs, r, horizon, probe, wait, dt, place) for r in sizes.tolist()]
            )
    values = torch.linalg.vector_norm(answers, dim=-1).amax(0).numpy()
    if not np.isfinite(values).all():
        lag = dt * int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"model answers with NaN or infinity from lag {lag:g} on: it is unstable")
    return lag_grid(values, dt, "memory").assign_attrs(
        probe="closed form" if use_kernel else probe,
        dt=dt,
        inputs=len(sizes) * len(signs),
        exact=linear and channels <= EVERY_SIGN_UP_TO,
    )


def _sign_vectors(channels: int, seed: int) -> Tensor:
    """Return the corners of the unit cube as rows ``(inputs, channels)``, or a sample of them."""
    if channels <= EVERY_SIGN_UP_TO:
        return torch.tensor(list(itertools.product((1.0, -1.0), repeat=channels)), dtype=torch.float64)
    draws = np.random.default_rng(seed).integers(0, 2, (2**EVERY_SIGN_UP_TO, channels))
    return torch.from_numpy(2.0 * draws - 1)


def _probe(
    model: nn.Module, x: Tensor, size: float, horizon: int, probe: str, wait: int, dt: float, device
) -> Tensor:
    """Return the signed memory of the model for inputs `x`, ``(input, time, channel)``, in float64."""
    first = wait if probe == "reversed" else 0
    sequences = torch.zeros(len(x) + 1, first + horizon, x.shape[1], dtype=torch.float64)
    on = {"heaviside": slice(None), "impulse": slice(0, 1), "reversed": slice(0, wait)}[probe]
    sequences[:-1, on] = x[:, None]  # the last row stays zero: its answer is the model's own drift
    parameter = next(model.parameters(), None)
    dtype = torch.get_default_dtype() if parameter is None else parameter.dtype
    y = model(sequences.to(device=device, dtype=dtype))
    if y.ndim != 3 or y.shape[:2] != sequences.shape[:2]:
        raise ValueError(
            f"model must map (batch, time, channel) to (batch, time, channel), but answers "
            f"{tuple(sequences.shape)} with shape {tuple(y.shape)}"
        )
    answer = (y[:-1] - y[-1]).double().cpu() / (dt * size)
    if probe == "impulse":
        return answer
    before = torch.cat([torch.zeros_like(answer[:, :1]), answer[:, :-1]], 1)
    return (answer - before)[:, first:]
