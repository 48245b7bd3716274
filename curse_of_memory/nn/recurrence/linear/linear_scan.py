"""States of a diagonal linear recurrence, whole sequences at once.

Equation.   h_k = a ⊙ h_{k−1} + v_k,   k = 0 … T − 1,   h_{−1} given.

Algorithm.  On the CPU a compiled loop, one multiply-add per number, which runs at the speed of memory. On
other devices, where T steps that wait for one another are slow, time is cut into blocks of L = 16 steps.
Inside a block that starts at rest,

    g_r = Σ_{l <= r} a^{r−l} v_l                          (one small triangular product per channel),

and the states at the ends of the blocks obey the same recurrence with multiplier a^L and drive g_{L−1}: it is
solved by the same algorithm, log_L T levels deep. The block after end state e has h_r = g_r + a^{r+1} e.

Gradient.   The adjoint state runs backwards, p_k = ∂/∂h_k + ā ⊙ p_{k+1}: the same recurrence on reversed
time. Then ∂/∂v = p, ∂/∂a = Σ_k conj(h_{k−1}) p_k and ∂/∂h_{−1} = ā p_0. On the CPU a second compiled loop
takes all of them in one pass, with the sums in double precision, unless they are to be differentiated again.
"""

import numpy as np
import torch
from torch import Tensor

from curse_of_memory.nn.recurrence.compiled.compile_cache import compiled
from curse_of_memory.nn.recurrence.compiled.threads import on_cpu, over_batch

__all__ = ["linear_scan", "linear_step", "naive_linear_scan"]

BLOCK = 16


def linear_step(multipliers: Tensor, state: Tensor, drive: Tensor) -> Tensor:
    """Return the next state a ⊙ h + v: the streaming form, for inputs that come one at a time.

    Parameters
    ----------
    multipliers : Tensor of shape ``(state,)``
        a, real or complex, per step.
    state, drive : Tensor of shape ``(batch, state)``
        h and v.

    Examples
    --------
    >>> linear_step(torch.tensor([0.5]), torch.tensor([[2.0]]), torch.tensor([[1.0]]))
    tensor([[2.]])
    """
    return multipliers * state + drive


def naive_linear_scan(multipliers: Tensor, drive: Tensor, initial: Tensor | None = None) -> Tensor:
    """Return what :func:`linear_scan` returns for the same arguments, one step after the other.

    The naive form of the equation with `multipliers`, `drive` and `initial`, which the fast one must equal.
    """
    state = drive.new_zeros(drive.shape[0], drive.shape[2]) if initial is None else initial
    states = []
    for v in drive.unbind(1):
        state = linear_step(multipliers, state, v)
        states.append(state)
    return torch.stack(states, 1) if states else drive * multipliers


def linear_scan(multipliers: Tensor, drive: Tensor, initial: Tensor | None = None) -> Tensor:
    """Return the states h_k = a ⊙ h_{k−1} + v_k of a diagonal linear recurrence.

    Parameters
    ----------
    multipliers : Tensor of shape ``(state,)`` or ``(batch, state)``
        a, real or complex, per step. Unstable ones, |a| > 1, may overflow, which shows as inf or NaN.
    drive : Tensor of shape ``(batch, time, state)``
        v; of the same dtype as `multipliers`.
    initial : Tensor of shape ``(batch, state)``, optional
        h_{−1}; zero if none is given. The last state of one chunk of time is the `initial` of the next.

    Returns
    -------
    Tensor of shape ``(batch, time, state)``
        The states. Differentiable, to any order, in all three arguments, and under ``torch.func``.

    Raises
    ------
    ValueError, TypeError
        If the shapes or dtypes do not agree.

    Examples
    --------
    >>> linear_scan(torch.tensor([0.5]), torch.ones(1, 4, 1)).flatten().tolist()
    [1.0, 1.5, 1.75, 1.875]
    """
    if drive.ndim != 3 or multipliers.shape not in (drive.shape[2:], drive.shape[::2]):
        raise ValueError(
            "drive must have shape (batch, time, state) and multipliers (state,) or (batch, state), "
            f"got {tuple(drive.shape)} and {tuple(multipliers.shape)}"
        )
    batch, _, state = drive.shape
    if initial is None:
        initial = drive.new_zeros(batch, state)
    elif initial.shape != (batch, state):
        raise ValueError(f"initial must have shape (batch, state), got {tuple(initial.shape)}")
    if not multipliers.dtype == drive.dtype == initial.dtype:
        raise TypeError(
            f"multipliers, drive and initial must share a dtype, got {multipliers.dtype}, {drive.dtype} "
            f"and {initial.dtype}"
        )
    scan = _operator if torch.compiler.is_compiling() else _Scan.apply
    return scan(multipliers.expand(batch, state), drive, initial)


def _states(a: Tensor, v: Tensor, initial: Tensor) -> Tensor:
    if on_cpu(a, v, initial):
        h = _empty(v)
        over_batch(_loop, len(v), a, v, initial, h)
        return h
    return _in_blocks(a, v, initial)


def _adjoints(scan, saved: tuple[Tensor, ...], gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the derivatives by a, v and h_{−1}, by another `scan`."""
    a, initial, h = saved
    adjoint = scan(a.conj(), gradient.flip(1), torch.zeros_like(initial)).flip(1)
    for_multipliers = (_before(h, initial).conj() * adjoint).sum(1)
    for_initial = a.conj() * adjoint[:, :1].sum(1)
    return for_multipliers, adjoint, for_initial


def _adjoints_at_once(a: Tensor, initial: Tensor, h: Tensor, gradient: Tensor) -> tuple[Tensor, ...]:
    """Return what :func:`_adjoints` does, as numbers that remember no history."""
    adjoint = _empty(h)
    sums = torch.zeros(initial.shape, dtype=torch.complex128 if h.is_complex() else torch.float64)
    over_batch(_loop_back, len(h), a, gradient.contiguous(), initial, h, adjoint, sums)
    return sums.to(h.dtype), adjoint, a.conj() * adjoint[:, :1].sum(1)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(a: Tensor, v: Tensor, initial: Tensor) -> Tensor:
        return _states(a, v, initial)

    @staticmethod
    def setup_context(ctx, inputs, output):
        a, _, initial = inputs
        ctx.save_for_backward(a, initial, output)
        ctx.save_for_forward(a, initial, output)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        a, initial, h = ctx.saved_tensors
        if on_cpu(gradient, a, initial, h) and not torch.is_grad_enabled():  # that is, without create_graph
            return _adjoints_at_once(a, initial, h, gradient)
        return _adjoints(_Scan.apply, (a, initial, h), gradient)

    @staticmethod
    def jvp(ctx, along_a: Tensor, along_v: Tensor, along_initial: Tensor) -> Tensor:
        a, initial, h = ctx.saved_tensors
        return _Scan.apply(a, along_v + along_a[:, None] * _before(h, initial), along_initial)

    @staticmethod
    def vmap(info, in_dims, *tensors):
        # one more batch dimension is more sequences of the same recurrence
        wide = [
            t[None].expand(info.batch_size, *t.shape) if dim is None else t.movedim(dim, 0)
            for t, dim in zip(tensors, in_dims, strict=True)
        ]
        states = _Scan.apply(*(t.flatten(0, 1) for t in wide))
        return states.unflatten(0, wide[1].shape[:2]), 0


# For torch's compilers, which cannot look into a compiled loop: one operator, of which they know the shape.


@torch.library.custom_op("curse_of_memory::linear_scan", mutates_args=())
def _operator(a: Tensor, v: Tensor, initial: Tensor) -> Tensor:
    return _states(a, v, initial)


@_operator.register_fake
def _(a: Tensor, v: Tensor, initial: Tensor) -> Tensor:
    return v.new_empty(v.shape)


_operator.register_autograd(
    lambda ctx, gradient: _adjoints(_operator, ctx.saved_tensors, gradient),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(inputs[0], inputs[2], output),
)


def _empty(like: Tensor) -> Tensor:
    """Return an empty tensor of the shape and dtype of `like`, in memory that numpy has asked for.

    numpy asks the system for large pages, as torch does not, and fewer pages take less time to get: for long
    sequences that is most of the time.
    """
    return torch.from_numpy(np.empty(like.shape, like.detach().resolve_conj().numpy().dtype))


def _before(h: Tensor, initial: Tensor) -> Tensor:
    """Return h_{k−1} for every k."""
    return torch.cat([initial[:, None], h], 1)[:, :-1]


@compiled(nogil=True)
def _loop(first, last, a, v, initial, h):
    time, state = v.shape[1:]
    for b in range(first, last):
        for k in range(time):
            for i in range(state):
                before = h[b, k - 1, i] if k else initial[b, i]
                h[b, k, i] = a[b, i] * before + v[b, k, i]


@compiled(nogil=True)
def _loop_back(first, last, a, gradient, initial, h, adjoint, sums):
    time, state = h.shape[1:]
    for b in range(first, last):
        for k in range(time - 1, -1, -1):
            for i in range(state):
                p = gradient[b, k, i]
                if k < time - 1:
                    p += np.conj(a[b, i]) * adjoint[b, k + 1, i]
                before = h[b, k - 1, i] if k else initial[b, i]
                adjoint[b, k, i] = p
                sums[b, i] += np.conj(before) * p


def _in_blocks(a: Tensor, v: Tensor, initial: Tensor) -> Tensor:
    time = v.shape[1]
    powers = _powers(a, min(time, BLOCK))
    if time <= BLOCK:
        return _at_rest(powers, v[:, None])[:, 0] + powers[:, 1:] * initial[:, None]
    blocks = -(-time // BLOCK)
    padded = torch.nn.functional.pad(v, (0, 0, 0, blocks * BLOCK - time))
    inside = _at_rest(powers, padded.unflatten(1, (blocks, BLOCK)))
    ends = _in_blocks(powers[:, -1], inside[:, :, -1], initial)
    starts = torch.cat([initial[:, None], ends[:, :-1]], 1)
    h = inside + powers[:, None, 1:] * starts[:, :, None]
    return h.flatten(1, 2)[:, :time].contiguous()


def _powers(a: Tensor, largest: int) -> Tensor:
    """Return a⁰ … a^largest, ``(batch, power, state)``, by repeated multiplication."""
    ones = torch.ones_like(a)[:, None]
    return torch.cat([ones, a[:, None].expand(-1, largest, -1)], 1).cumprod(1)


def _at_rest(powers: Tensor, v: Tensor) -> Tensor:
    """Return g_r = Σ_{l<=r} a^{r−l} v_l for the powers of a, and blocks v ``(batch, block, time, state)``."""
    lag = torch.arange(v.shape[2], device=v.device)
    lag = lag[:, None] - lag
    triangle = powers[:, lag.clamp(min=0)] * (lag >= 0)[..., None]
    return torch.einsum("brlm,bqlm->bqrm", triangle, v)
