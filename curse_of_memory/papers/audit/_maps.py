"""Rows of the audit on recurrent weights: where σ stands, what is stable, and where training starts."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from curse_of_memory.measure import memory_function
from curse_of_memory.nn import RNN
from curse_of_memory.nn.state_space.ssm import SSM
from curse_of_memory.papers.audit._table import Row
from curse_of_memory.report.long_table import rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets
from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.lemmas.lyapunov import Shear
from curse_of_memory.theory.reparameterization import REPARAMETERIZATIONS
from curse_of_memory.theory.stability import stability_radius, worst_case_error
from curse_of_memory.theory.targets.target import Target
from curse_of_memory.training import sweep

__all__ = [
    "activation_memories",
    "activation_rows",
    "finite_to",
    "growth",
    "logged_errors",
    "map_rows",
    "start_rows",
]

ACTIVATED, SIZES = 16, (0.01, 3.0)  # states of the layer with σ, and the inputs that it is probed with
REAL_PART, STEPS, MODES = 0.5, 784, 32  # of the S4D layer on MNIST: start, sequence length, modes
STEP_SIZES = (1e-3, 1e-2, 1e-1)  # Δt is drawn log-uniform between the first and the last
SAME_SEED, REPEATS = 12345, 3


def activation_memories(horizon: int, size: float, seed: int, device: str) -> dict[str, np.ndarray]:
    """Return the Heaviside memory, for inputs of one size, of the same weights with σ at both places.

    The layer of the theory is h ← h + W h + U x, y = C σ(h); the code has h ← h + σ(W h + U x), y = C h.
    """
    weights = {"activation": "tanh", "bias": False, "seed": seed, "dtype": torch.float64}
    models = {
        "σ outside the recurrence": SSM(ACTIVATED, discretization="euler", **weights),
        "σ inside the recurrence": RNN(ACTIVATED, diagonal=True, **weights),
    }
    return {
        name: memory_function(model, horizon, radii=[size], device=device).values
        for name, model in models.items()
    }


def growth(real_part: float, dt: float, steps: int) -> np.ndarray:
    """Return max |h_k|, k < `steps`, over the modes of an S4D layer, λ = real_part + iπn, from h_0 = 1 on."""
    model = SSM(2 * MODES, initial=real_part + 1j * math.pi * np.arange(MODES), dt=dt, dtype=torch.float64)
    multipliers = model.multipliers()[0].detach().numpy()
    h, sizes = np.ones(MODES, dtype=complex), []
    for _ in range(steps):
        sizes.append(np.abs(h).max())
        h = multipliers * h
    return np.array(sizes)


def logged_errors() -> pd.DataFrame:
    """Return the logged errors of linear models on polynomial memory, and of LRUs with hardtanh and tanh."""
    lru = reference("inverse_approximation/lru_logs").assign(activation="linear", parameterization="lru")
    softplus = reference("inverse_approximation/softplus_logs").assign(
        activation="linear", parameterization="softplusssm"
    )
    others = reference("inverse_approximation/readme_table")
    columns = ["activation", "parameterization", "m", "beta", "error"]
    return pd.concat([others, lru, softplus], ignore_index=True).reindex(columns=columns)


def finite_to(logs: pd.DataFrame, parameterization: str, m: int = 64, limit: float = 1e7) -> float:
    """Return the largest logged β up to which the error stays below `limit`, the edge of the figures."""
    curve = rows(logs, activation="linear", parameterization=parameterization, m=m)
    inside = (curve.error < limit).to_numpy()  # what left the picture or overflowed is none of it
    first = inside.size if inside.all() else int(np.argmin(inside))
    return float(curve.beta.iloc[first - 1])


def turning(logs: pd.DataFrame, activation: str) -> float:
    """Return the first logged β where an LRU with 64 states is worse than one with 32; NaN if it never is."""
    chosen = rows(logs, activation=activation, parameterization="lru")
    errors = chosen.pivot(index="beta", columns="m", values="error")
    worse = errors.index.to_numpy()[(errors[64] > errors[32]).to_numpy()]
    return float(worse[0]) if worse.size else math.nan


def activation_rows(horizon: int, seed: int, device: str) -> list[Row]:
    """Return the rows on the place of σ: for small inputs both are linear, and the same."""
    place, lag = ("place of σ in the SSM", "outside the recurrence", "code (HEAD): inside"), horizon // 2
    table = []
    for size in SIZES:
        memories = activation_memories(horizon, size, seed, device).values()
        kept = [float(memory[lag] / memory[0]) for memory in memories]
        table.append(Row(*place, f"memory at lag {lag} over lag 0, |x| = {size:g}", *kept))
    return table


def map_rows(fit: ExponentialSum, rho: Target, logs: pd.DataFrame) -> list[Row]:
    """Return the rows on which maps of the recurrent weights are stable."""
    lru = "LRU on polynomial memory", "README: unstable", "figures: finite"
    worst = [worst_case_error(fit, rho, 0.5, name, "l2").lower for name in ("direct", "exp")]
    return [
        Row(
            *lru,
            "last β in the picture: linear RNN, LRU, m = 64 (logged)",
            finite_to(logs, "rnn"),
            finite_to(logs, "lru"),
        ),
        Row(
            *lru,
            "stability radius: direct, LRU",
            *(stability_radius(fit, name) for name in ("direct", "lru")),
        ),
        Row(*lru, "E(0.5) on [0, ∞): direct, exp (LRU in continuous time)", *worst),
        Row(
            *lru,
            "first β where m = 64 is worse than 32: linear, hardtanh (logged)",
            turning(logs, "linear"),
            turning(logs, "hardtanh"),
        ),
        Row(
            "S4 on polynomial memory",
            "README: SSM unstable",
            "older README: S4 stable",
            "last β in the picture: SSM, S4, m = 64 (logged)",
            finite_to(logs, "ssm"),
            finite_to(logs, "s4"),
        ),
    ]


def repeated_losses(seeds: Sequence[int], device: str) -> np.ndarray:
    """Return the final losses of one small training for each of the seeds."""
    task = LinearFunctional(targets.named("iat-code-exponential"), 30)
    models = [RNN(4, diagonal=True, parameterization="softplus", seed=seed) for seed in seeds]
    return sweep(
        models,
        task,
        steps=60,
        learning_rate=0.05,
        batch_size=64,
        validation_size=256,
        seed=list(seeds),
        device=device,
    ).loss.values


def start_rows(seed: int, device: str) -> list[Row]:
    """Return the rows on b, on the real part at the start, on repeats, and on lemma A.8."""
    paper, code = (REPARAMETERIZATIONS[name] for name in ("best", "best-code"))
    b = "b of the best map", "0.5", "code: 0.1"
    start = "start of the direct map", f"S4D: −{REAL_PART:g}", f"code: +{REAL_PART:g}"
    largest = STEP_SIZES[-1]
    repeats = "repeats on MNIST and linear functionals", "three seeds", "code: one seed"
    shear = Shear(10.0)
    return [
        Row(*b, "fastest decay rate", paper.fastest(1.0), code.fastest(1.0)),
        Row(*b, "g(1)", paper.g(1.0), code.g(1.0)),
        Row(
            *start,
            f"size of a multiplier, Δt = {largest:g}",
            *(growth(s * REAL_PART, largest, 2)[-1] for s in (-1, 1)),
        ),
        Row(
            *start,
            f"size of a mode after {STEPS} steps, Δt = {largest:g}",
            *(growth(s * REAL_PART, largest, STEPS + 1)[-1] for s in (-1, 1)),
        ),
        Row(
            *repeats,
            f"s.d. of {REPEATS} losses of a small training",
            float(repeated_losses(range(seed, seed + REPEATS), device).std(ddof=1)),
            float(repeated_losses([SAME_SEED] * REPEATS, device).std(ddof=1)),
        ),
        Row(
            "lemma A.8",
            r"$\lvert P\rvert_2\leq1/2\beta_0$",
            "counterexample, W not normal",
            "|P|₂ of W = [[−1, 10], [0, −1]]",
            0.5,
            shear.lyapunov_norm,
        ),
    ]
