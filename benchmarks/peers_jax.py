"""Jitted JAX in place of ours: ``lax.scan`` over time, ``vmap`` over models, ``jax.grad`` for the way back.

JAX is imported where a row asks for it, in double precision and with as many threads as torch.
"""

import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers import Numbers, Peer

SCAN = "JAX (jit, lax.scan)"
SWEEP = "JAX (jit, lax.scan, vmap over models)"
DRAWS = "JAX (jit, lax.scan, vmap over draws)"
FFT = "JAX (jit, Vandermonde and FFT)"
EXACT = "JAX (jit, the same exact loss)"


class Jax:
    """JAX on a device, and the works of the rows in it.

    Parameters
    ----------
    device : str
        cpu or cuda.

    Raises
    ------
    ImportError
        If JAX is not installed, or not for this device.
    """

    def __init__(self, device: str):
        os.environ.setdefault("NPROC", str(torch.get_num_threads()))  # as many threads as torch
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # torch needs memory of the card, too
        self.jax: Any = importlib.import_module("jax")
        self.np: Any = importlib.import_module("jax.numpy")
        self.jax.config.update("jax_enable_x64", True)
        kind = "gpu" if device.startswith("cuda") else "cpu"
        try:
            self.place = self.jax.devices(kind)[0]
        except RuntimeError as error:
            raise ImportError(f"JAX sees no {kind}") from error

    def arrays(self, tensors: Sequence[Tensor]) -> list:
        """Return copies of tensors."""
        return [self.jax.device_put(t.detach().cpu().numpy(), self.place) for t in tensors]

    def way(self, function: Callable, tensors: Sequence[Tensor]) -> Callable[[], Any]:
        """Return the jitted work of a function on copies of `tensors`, compiled once."""
        jitted, arrays = self.jax.jit(function), self.arrays(tensors)
        return lambda: self.jax.block_until_ready(jitted(*arrays))

    def graded(self, loss: Callable, count: int, *, models: bool = False) -> Callable:
        """Return the function to [answer, gradients] of a `loss` that returns (number, answer).

        Parameters
        ----------
        loss : callable
            Of parameters and inputs, one after the other.
        count : int
            So many of these are parameters.
        models : bool
            Whether parameters have a first axis of models, which share inputs.
        """

        def of(*arguments):
            run = self.jax.value_and_grad(loss, argnums=tuple(range(count)), has_aux=True)
            (_, answer), gradients = run(*arguments)
            return [answer, *gradients]

        def over_models(*arguments):
            axes = tuple(0 if k < count else None for k in range(len(arguments)))
            return self.jax.vmap(of, in_axes=axes)(*arguments)

        return over_models if models else of

    def sigma(self, activation: str) -> Callable:
        """Return an activation by its name."""
        by_name = {"linear": lambda a: a, "tanh": self.np.tanh, "hardtanh": self.jax.nn.hard_tanh}
        return by_name[activation]

    def rnn(self, activation: str, *, dt: float = 1.0, diagonal: bool = False) -> Callable:
        """Return h ← h + dt σ(W h + U x + b), ŷ = C h, as a function of W, U, b, C, x."""
        sigma = self.sigma(activation)

        def run(W, U, b, C, x):
            def step(h, v):
                h = h + dt * sigma((h * W if diagonal else h @ W.T) + v)
                return h, h

            start = self.np.zeros((x.shape[0], U.shape[0]), x.dtype)
            _, states = self.jax.lax.scan(step, start, self.np.swapaxes(x @ U.T + b, 0, 1))
            return self.np.swapaxes(states @ C.T, 0, 1)

        return run

    def gated(self, *, dt: float = 1.0, last_only: bool = False) -> Callable:
        """Return the two-state gated cell as a function of W, U, b, x."""
        sigmoid, tanh = self.jax.nn.sigmoid, self.np.tanh

        def run(W, U, b, x):
            m = W.shape[1]

            def step(state, v):
                y, z = state
                rate_y, rate_z, goal_z = self.np.split(y @ W[: 3 * m].T + v[:, : 3 * m], 3, 1)
                z = z + dt * sigmoid(rate_z) * (tanh(goal_z) - z)
                y = y + dt * sigmoid(rate_y) * (tanh(z @ W[3 * m :].T + v[:, 3 * m :]) - y)
                return (y, z), None if last_only else y

            zero = self.np.zeros((x.shape[0], m), x.dtype)
            last, all_y = self.jax.lax.scan(step, (zero, zero), self.np.swapaxes(x @ U.T + b, 0, 1))
            return last[0] if last_only else self.np.swapaxes(all_y, 0, 1)

        return run

    def s4d(self, weight, frequency, readout, log_step, x):
        """Run a layer of diagonal state spaces: zero-order hold, the Vandermonde matrix, and FFTs."""
        time = x.shape[1]
        eigenvalues, steps = -self.np.exp(weight) + 1j * frequency, self.np.exp(log_step)[:, None]
        held = self.np.expm1(steps * eigenvalues) / eigenvalues * (readout[..., 0] + 1j * readout[..., 1])
        powers = self.np.exp((steps * eigenvalues)[..., None] * self.np.arange(time, dtype=x.dtype))
        kernel = 2 * self.np.einsum("hn,hnl->hl", held, powers).real
        inputs = self.np.fft.rfft(self.np.swapaxes(x, 1, 2), 2 * time)
        y = self.np.fft.irfft(inputs * self.np.fft.rfft(kernel, 2 * time), 2 * time)[..., :time]
        return self.np.swapaxes(y, 1, 2).astype(x.dtype)


def tensors(arrays: Sequence) -> Numbers:
    """Return copies of arrays of JAX as tensors."""
    return [torch.from_numpy(np.array(array)) for array in arrays]


def graded(
    device: str,
    loss: Callable[[Jax], Callable],
    parameters: Sequence[Tensor],
    inputs: Sequence[Tensor],
    ours: Callable[[], Numbers],
    *,
    models: bool = False,
    forward: Callable[[], object] | None = None,
) -> Callable[[], Peer]:
    """Return what prepares a forward and backward pass.

    Parameters
    ----------
    device : str
        cpu or cuda.
    loss : callable
        Of a :class:`Jax`: returns the function of parameters and inputs to (number, answer).
    parameters, inputs : sequences of tensors
        Gradients are those of the parameters.
    ours : callable
        Returns [answer, gradients] our way.
    models : bool
        Whether parameters have a first axis of models.
    forward : callable, optional
        Our way forwards alone.
    """

    def prepare() -> Peer:
        engine, both = Jax(device), [*parameters, *inputs]
        function = loss(engine)
        way = engine.way(engine.graded(function, len(parameters), models=models), both)
        parts = {}
        if forward is not None:
            axes = tuple(0 if k < len(parameters) else None for k in range(len(both)))
            one_way = engine.jax.vmap(function, in_axes=axes) if models else function
            parts["the way forwards"] = forward, engine.way(one_way, both)
        return Peer(way, lambda: (ours(), tensors(way())), parts=parts)

    return prepare


def squared_error(engine: Jax, activation: str, *, dt: float = 1.0, diagonal: bool = False) -> Callable:
    """Return the mean squared error of a recurrence, and itself as the answer, of W, U, b, C, x, y."""
    run = engine.rnn(activation, dt=dt, diagonal=diagonal)

    def loss(W, U, b, C, x, y):
        error = ((run(W, U, b, C, x) - y) ** 2).mean()
        return error, error

    return loss


def exact_loss(engine: Jax, diagonal: bool) -> Callable:
    """Return the exact loss of a linear network on white noise, of W, U, b, C and the kernel ρ."""
    run, jnp = engine.rnn("linear", diagonal=diagonal), engine.np

    def loss(W, U, b, C, rho):
        T = rho.shape[0]
        impulse = jnp.zeros((1, T, 1)).at[0, 0, 0].set(1.0)
        kernel = run(W, U, jnp.zeros_like(b), C, impulse)[0, :, 0]
        offset = run(W, U, b, C, jnp.zeros_like(impulse))[0, :, 0]
        error = (jnp.arange(T, 0, -1) * (kernel - rho) ** 2 + offset**2).mean()
        return error, error

    return loss


def perturbed_errors(
    device: str,
    activation: str,
    parameters: Sequence[Tensor],
    directions: Tensor,
    x: Tensor,
    y: Tensor,
    ours: Callable[[], Numbers],
) -> Callable[[], Peer]:
    """Return what prepares the errors of perturbed diagonal networks, all draws by ``vmap``.

    Parameters
    ----------
    device, activation : str
        Where, and σ.
    parameters : sequence of tensors
        W, U, b, C.
    directions : tensor of shape ``(draw, weight)``
        How far the weights of each draw are moved, one after the other.
    x, y : tensors
        Inputs and wanted outputs; of linear networks impulses are enough.
    ours : callable
        Returns the error of the weights as they are, our way.
    """

    def prepare() -> Peer:
        engine = Jax(device)
        jnp, sigma = engine.np, engine.sigma(activation)
        shapes = [tuple(p.shape) for p in parameters]
        ends = [sum(p.numel() for p in parameters[: k + 1]) for k in range(len(parameters))]

        def error(flat, moved, x, y):
            pieces = jnp.split(flat + moved, ends[:-1])
            W, U, b, C = (piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True))

            # outputs are not kept: the error is summed up on the way
            def step(state, now):
                (h, total), (v, wanted) = state, now
                h = h + sigma(h * W + v @ U.T + b)
                return (h, total + ((h @ C.T - wanted) ** 2).sum()), None

            start = jnp.zeros((x.shape[1], W.shape[0]), x.dtype), jnp.zeros((), x.dtype)
            (_, total), _ = engine.jax.lax.scan(step, start, (x, y))
            return total / y.size

        flat = torch.cat([p.detach().ravel() for p in parameters])
        over_draws = engine.jax.vmap(error, in_axes=(None, 0, None, None))
        data = [x.transpose(0, 1), y.transpose(0, 1)]
        centre = engine.way(over_draws, [flat, torch.zeros_like(directions[:1]), *data])
        return Peer(engine.way(over_draws, [flat, directions, *data]), lambda: (ours(), tensors([centre()])))

    return prepare
