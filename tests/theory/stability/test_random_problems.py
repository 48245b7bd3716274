"""Brackets of random problems against dense sampling by other means.

``python tests/theory/perturbation/test_random_problems.py 2000`` runs as many problems as it is told.
"""

import math
import sys
import warnings

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.optimize import brentq

from curse_of_memory.theory import targets
from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.reparameterization import REPARAMETERIZATIONS, Reparameterization
from curse_of_memory.theory.stability.worst_case import worst_case_error

AT_ONCE = 40
SAMPLES = 120
NORMS = ("l2", "l1", "w1", "expected")


def numerical_inverse(f, low, high):
    """Return the inverse of a map that is monotone from `low` to `high` but for wiggles: some root of it."""

    def free(_, v):
        flat = [brentq(lambda w, one=one: float(f(np, np.float64(w))) - one, low, high) for one in v.ravel()]
        return np.array(flat).reshape(v.shape)

    return free


def wiggles(x, w):
    return w + 0.03 * x.sin(40 * w)


def hills(x, w):
    return -0.01 - x.exp(-w) * (1 + 0.5 * x.cos(7 * w))


OWN = [
    Reparameterization("touching", lambda x, w: -((w - 0.3) ** 2), free=lambda x, v: 0.3 + x.sqrt(-v)),
    Reparameterization("other branch", lambda x, w: -((w - 0.3) ** 2), free=lambda x, v: 0.3 - x.sqrt(-v)),
    Reparameterization(
        "two wells", lambda x, w: -((w * w - 1) ** 2), free=lambda x, v: x.sqrt(1 + x.sqrt(-v))
    ),
    Reparameterization("wiggles", wiggles, free=numerical_inverse(wiggles, -60.0, 0.2)),
    Reparameterization("hills", hills, free=numerical_inverse(hills, -9.0, 30.0), image=(-100.0, -0.011)),
    Reparameterization("cubic", lambda x, w: -(w**3), free=lambda x, v: x.sign(-v) * x.abs(v) ** (1 / 3)),
    Reparameterization(
        "jump",
        lambda x, w: x.where(w > -0.05, 1 + 0 * w, w - 0.001),
        free=lambda x, v: v + 0.001,
        image=(-99.0, -0.06),
    ),
    Reparameterization(
        "steps of tanh",
        lambda x, w: 1 - x.tanh(w) / 2,
        time="discrete",
        free=lambda x, v: x.log((3 - 2 * v) / (2 * v - 1)) / 2,
        image=(0.0, 0.49),
    ),
    Reparameterization("promised", lambda x, w: -np.exp(w), free=lambda x, v: np.log(-v), turns=()),
]
MAPS = [*REPARAMETERIZATIONS.values(), *OWN]


class Problem:
    """One random problem; what it is made of is drawn from the seed alone."""

    def __init__(self, seed: int):
        rng = self.rng = np.random.default_rng((seed, 77))
        self.f = MAPS[seed % len(MAPS)]
        self.ball = (
            "full" if self.f.name in ("direct", "direct-discrete") and rng.random() < 0.7 else "diagonal"
        )
        discrete = self.f.time == "discrete"
        self.horizon = int(rng.integers(1, 50)) if discrete or rng.random() < 0.5 else None
        self.norm = str(rng.choice(NORMS if self.horizon else NORMS[:3]))
        self.step = "euler" if self.horizon and not discrete and rng.random() < 0.4 else "exponential"
        self.dt = float(rng.choice([1.0, 0.3])) if self.horizon else 1.0
        self.perturbed = str(rng.choice(["all", "rates"]))
        m = int(rng.integers(1, 5))
        rates = 10.0 ** rng.uniform(-2.5, 0.2, m)
        if rng.random() < 0.3:
            rates[:] = rates[0]
        if rng.random() < 0.2:
            rates[0] = 10.0 ** rng.uniform(-5, -3)
        multiplies = discrete or self.step == "euler"
        low, high = self.f.image
        if discrete:
            fast, slow = (
                (-math.log(low) if low > 0 else math.inf),
                -math.log(min(high, 1.0)) if high > 0 else 0,
            )
        elif multiplies:
            fast = -math.log1p(self.dt * low) if self.dt * low > -1 else math.inf
            slow = -math.log1p(min(self.dt * high, 0.0))
        else:
            fast, slow = -low * self.dt, -min(high, 0.0) * self.dt
        self.rates = np.clip(rates, slow * 1.0001 / self.dt, 0.9999 * min(fast, 1e3) / self.dt)
        self.a = rng.choice([-2.0, -0.3, 0.0, 0.01, 0.7, 3.0], m)
        sizes = [0.0, 10 ** rng.uniform(-14, -3), 10 ** rng.uniform(-3, 0), 10 ** rng.uniform(0, 2)]
        self.beta = float(rng.choice(sizes, p=[0.08, 0.12, 0.65, 0.15]))
        rho = [
            targets.exponential(0.3),
            targets.exponential_sum(coefficients=[1.0, -0.4], rates=[0.05, 0.8]),
            targets.polynomial(1.5),
        ]
        self.rho = rho[int(rng.integers(3))]
        self.fit = ExponentialSum(rates=self.rates, coefficients=self.a, dt=self.dt)

    def bracket(self):
        return worst_case_error(
            self.fit,
            self.rho,
            self.beta,
            self.f,
            self.norm,
            horizon=self.horizon,
            perturbed=self.perturbed,
            step=self.step,
            ball=self.ball,
            draws=6,
            budget=30,
            seed=1,
        )

    def centre(self):
        euler = self.step == "euler" or self.f.time == "discrete"
        recurrent = np.expm1(-self.rates * self.dt) / self.dt if euler else -self.rates
        root = np.sqrt(np.abs(self.a))
        return np.asarray(self.f.free_weight(recurrent, self.dt)), root, np.sign(self.a) * root

    def drawn(self):
        """Return weights (n, m) or (n, m, m), u and c of models in the ball, many at its edge."""
        w, u, c = self.centre()
        rng, m, moved = self.rng, w.size, self.beta if self.perturbed == "all" else 0.0
        p, q = rng.standard_normal((2, SAMPLES, m))
        p, q = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (p, q))
        q[: SAMPLES // 4] = p[: SAMPLES // 4] * np.where(self.a < 0, -1.0, 1.0)
        if self.ball == "full":
            X = rng.standard_normal((SAMPLES, m, m))
            X[::3] = X[::3, :, :1] @ X[::3, :1, :]
            X = X / np.linalg.norm(X, 2, axis=(1, 2), keepdims=True)
            return np.diag(w) + self.beta * X, u + moved * p, c + moved * q
        dw = rng.uniform(-1, 1, (SAMPLES, m))
        dw[::3] = np.sign(dw[::3])
        return w + self.beta * dw, u + moved * p, c + moved * q

    def errors(self, w, u, c):
        return self._grid_errors(w, u, c) if self.horizon else self._line_errors(w, u, c)

    def _poles(self, w):
        """Return multipliers of a step, or exponents."""
        if self.f.time == "discrete":
            return 1 - self.f.value(w)
        value = self.f.value(w)
        if not self.horizon:
            return value
        return 1 + self.dt * value if self.step == "euler" else np.exp(self.dt * value)

    def _grid_errors(self, w, u, c):
        assert self.horizon is not None
        s = np.arange(self.horizon)
        if self.ball == "full":
            A = w if self.f.time == "discrete" else np.eye(u.shape[1]) + self.dt * w
            if self.step == "exponential" and self.f.time == "continuous":
                A = expm(self.dt * w)
            state, values = u[..., None], []
            for _ in s:
                values.append((c[:, None] @ state)[:, 0, 0])
                state = A @ state
            memory = np.stack(values, 1)
        else:
            memory = ((c * u)[..., None] * self._poles(w)[..., None] ** s).sum(-2)
        gap, dt = self.rho(self.dt * s) - memory, self.dt
        if self.norm in ("l2", "expected"):
            largest = np.abs(gap).max(-1, keepdims=True) + 1e-300  # whose square may overflow
            left = np.arange(self.horizon, 0, -1) / self.horizon if self.norm == "expected" else 1 / dt
            return dt * largest[..., 0] * np.sqrt((left * (gap / largest) ** 2).sum(-1))
        size = dt * np.abs(gap).sum(-1)
        if self.norm == "w1":
            size = size + np.abs(gap[..., 0]) + np.abs(np.diff(gap)).sum(-1)
        return size

    def _line_errors(self, w, u, c):
        """Return norms by the trapezoidal rule, with what is beyond its last point in closed form."""
        found = []
        for one, a, b in zip(w, u, c, strict=True):
            if self.ball == "full":
                poles, V = np.linalg.eig(one)
                amplitudes = (b @ V) * np.linalg.solve(V, a)
            else:
                poles, amplitudes = self._poles(one), a * b
            used = np.abs(amplitudes) > 0
            if not used.any():
                poles, amplitudes = np.array([-1.0]), np.array([0.0])
            elif (np.real(poles[used]) >= 0).any():
                found.append(math.inf)
                continue
            else:
                poles, amplitudes = poles[used], amplitudes[used]
            rates = np.abs(np.real(poles))
            stop = 40 / min(rates.min(), 0.05)
            t = np.concatenate([[0.0], np.geomspace(1e-5 / rates.max().clip(1, 1e9), stop, 8000)])
            modes = np.exp(np.multiply.outer(t, poles))
            gap = self.rho(t) - np.real(modes @ amplitudes)
            # beyond 40 time constants (1 + t)^{−3/2} is left of the polynomial memory alone
            late = (1 + stop) ** -0.5 if self.rho.decay.kind == "polynomial" else 0.0
            if self.norm == "l2":
                found.append(math.sqrt(np.trapezoid(gap**2, t) + late**4 / 2))
                continue
            size = np.trapezoid(np.abs(gap), t) + 2 * late
            if self.norm == "w1":
                size += abs(gap[0]) + np.abs(np.diff(gap)).sum() + late**3
            found.append(size)
        return np.array(found)


def check(seed: int) -> None:
    """Hold one problem's bracket against independent samples."""
    problem = Problem(seed)
    found = problem.bracket()
    context = {k: v for k, v in vars(problem).items() if k not in ("rng", "fit")} | {"map": problem.f.name}
    assert 0 <= found.centre <= found.random <= found.lower <= found.upper, (seed, context, found)
    assert found.certified
    with np.errstate(all="ignore"):
        errors = problem.errors(*problem.drawn())
        errors = np.where(np.isnan(errors), math.inf, errors)
        size = float(np.abs(problem.rho(np.arange(50.0))).sum()) + float(np.abs(problem.a).sum()) * 50
    # on a grid sums of at most 50 lags; on the half line a trapezoidal rule whose steps are .5 % of t
    slack = (1e-9, 1e-12 * size) if problem.horizon else (2e-3, 1e-4)
    assert errors.max() <= found.upper * (1 + slack[0]) + slack[1], (seed, context, errors.max(), found)
    if math.isfinite(found.lower):
        model = (found.weights[None], found.inputs[None], found.outputs[None])
        with np.errstate(all="ignore"):
            reached = problem.errors(*model)[0]
        assert max(reached, found.random) >= found.lower * (1 - slack[0]) - slack[1], (seed, context, found)
    elif not problem.horizon and "does not decay" in found.reason:
        assert problem.beta >= found.radius


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(4))
def test_no_random_problem_violates_its_bracket(batch):
    for seed in range(batch, AT_ONCE, 4):
        check(seed)


if __name__ == "__main__":
    warnings.simplefilter("error")
    violations = 0
    first, count = (int(sys.argv[2]) if len(sys.argv) > 2 else 0), int(sys.argv[1])
    for number in range(first, first + count):
        try:
            check(number)
        except Exception as fault:  # every fault is counted
            violations += 1
            print(number, repr(fault)[:1500], flush=True)
        if number % 100 == 99:
            print(number + 1, "problems,", violations, "violations", flush=True)
    print(count, "problems,", violations, "violations")
