"""A brief survey (2302.13752): recurrent, convolutional, encoder-decoder and attention memories compared."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import minimize

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.theory.exponential_sums import fit_exponential_sums
from curse_of_memory.theory.tensor_trains import fit_tensor_train
from curse_of_memory.tools import checks

__all__ = ["TWO_TIME_KERNELS", "attention_errors", "data", "plot"]

NOTHING = 1e-12  # errors below are rounding and drawn at the lower edge
GOOD = 0.01  # relative error that a width is asked for
EVALUATIONS = 400  # of each search for scores of an attention head

TWO_TIME_KERNELS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "exponential decay": lambda t, s, half: 1 / np.cosh((t + s) / 8),
    "delayed spike": lambda t, s, half: (t + s == half - 1).astype(float),
    "digit product": lambda t, s, half: 0.5 ** np.bitwise_count(t + s),
    "two patterns": lambda t, s, half: (
        _bump(t, 0.25 * half) * _bump(s, 0.65 * half) + _bump(t, 0.7 * half) * _bump(s, 0.2 * half)
    ),
}
"""K(t, s): the weight, in the output t steps from now, of the input s steps ago."""

FORMULAS = {
    "exponential decay": r"exponential decay  $1/\cosh((t+s)/8)$",
    "delayed spike": r"delayed spike  $\delta_{t+s,\,T-1}$",
    "digit product": r"product over digits  $2^{-s_2(t+s)}$",
    "two patterns": r"low rank  $\phi_1(t)\psi_1(s)+\phi_2(t)\psi_2(s)$",
}
ARCHITECTURES = {
    "RNN": "linear RNN, $m$ states",
    "CNN": "dilated linear CNN, $m$ channels",
    "encoder-decoder": "encoder–decoder, $m$ numbers passed on",
    "attention": "attention to positions, head width $m$",
}


def _bump(at: np.ndarray, center: float) -> np.ndarray:
    return np.exp(-((at - center) ** 2) / 32)


@figure_data(
    title="Who approximates what: RNN, CNN, encoder-decoder and attention",
    source="A brief survey on the approximation theory for sequence modelling (2302.13752); ours",
)
def data(
    *,
    kernels: Sequence[str] = ("exponential decay", "delayed spike", "digit product", "two patterns"),
    half: int = 32,
    widths: Sequence[int] = (1, 2, 3, 4, 5, 6, 7, 8),
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Approximate kernels K(t, s), 0 <= t < `half`, 0 <= s <= `half`, by four architectures of growing width.

    The target is y_t = Σ_s K(t, s) x_{−s}: what comes after now as a function of what came before. The error
    is |K − K̂| / |K| in the Frobenius norm, the relative error of y for white x. With width m,

    - *RNN*: K̂(t, s) = Σ_{i≤m} c_i e^{−λ_i (t+s)}, modes real or in pairs, fitted;
    - *CNN*: K̂(t, s) = ρ̂(t + s), where ρ̂ is a tensor train of rank m, fitted;
    - *encoder-decoder*: K̂ = Σ_{n≤m} φ_n(t) ψ_n(s), exactly the m largest singular triples;
    - *attention*: K̂(t, s) = g_t softmax_s(q_t · k_s), where q and k have m channels and depend on positions
      alone, fitted.

    Columns: ``kernel, architecture, width, error, floor, exact, parameters``; `floor` is the error of the
    best kernel that depends on t + s alone, which no RNN and no CNN can go below; `exact` says whether the
    error is proven to be the least, and `parameters` counts the free numbers of the form. (`seed` names the
    starts of the fits of attention; needs no device.)
    """
    checks.positive_int("half", half)
    if half & (half - 1) or half < 4:
        raise ValueError(f"half must be 4, 8, 16, ..., got {half}")
    widths = sorted({checks.positive_int("widths", width) for width in widths})
    if widths[-1] > half:
        raise ValueError(f"widths must be at most half = {half}, got {widths[-1]}")
    for name in kernels:
        checks.one_of("kernels", name, TWO_TIME_KERNELS)
    table = run_grid(_errors, product_of(kernel=kernels), {"half": half, "widths": widths, "seed": seed})
    return Findings(table, *_summary(table))


def _errors(kernel: str, half: int, widths: list[int], seed: int) -> pd.DataFrame:
    """Return the errors of every architecture and width for one kernel."""
    t, s = np.arange(half)[:, None], np.arange(half + 1)[None, :]
    K, lags = TWO_TIME_KERNELS[kernel](t, s, half), t + s
    total = np.linalg.norm(K)
    counts = np.bincount(lags.ravel()).astype(float)
    homogeneous = np.bincount(lags.ravel(), K.ravel()) / counts
    floor = np.linalg.norm(K - homogeneous[lags]) / total
    # errors of kernels of t + s: Pythagoras, as the rest is orthogonal to all of them
    share = math.sqrt(max(0.0, 1 - floor**2))
    layers = int(math.log2(2 * half))
    sums = fit_exponential_sums(homogeneous, widths[-1], counts, modes="complex")
    left_over = (
        np.sqrt(np.append(np.cumsum(np.linalg.svd(K, compute_uv=False)[::-1] ** 2)[::-1], 0.0)) / total
    )
    attention = attention_errors(K, widths, seed)
    points = []
    for m in widths:
        train = fit_tensor_train(homogeneous, m, counts).error
        of_width = {
            "RNN": (math.hypot(floor, share * sums[m - 1].error), 2 * m),
            "CNN": (math.hypot(floor, share * train), 2 * m * (m * (layers - 2) + 2)),
            "encoder-decoder": (left_over[m], m * (2 * half + 1 - m)),
            "attention": (attention[m], half + m * (2 * half + 1 - m)),
        }
        for architecture, (error, parameters) in of_width.items():
            points.append(
                {
                    "architecture": architecture,
                    "width": m,
                    "error": float(error),
                    "floor": float(floor),
                    "exact": architecture == "encoder-decoder",
                    "parameters": parameters,
                }
            )
    return pd.DataFrame(points)


def attention_errors(K: np.ndarray, widths: Sequence[int], seed: int) -> dict[int, float]:
    """Return the relative errors of attention heads g_t softmax_s(q_t · k_s), by their width.

    They are upper bounds, which do not grow with the width: the best of descents (L-BFGS) from three starts,
    the truncated SVD of log K, the head of the width before, and, from width two on, scores
    −(s − μ_t)²/(2 v_t) with mean and variance of each row of K. The gains g_t take no part in the descent:
    for given scores the best ones are known, a quotient.

    Parameters
    ----------
    K : array of shape (outputs, inputs)
        The target, without negative entries.
    widths : sequence of int
        Channels of q and k, ascending.
    seed : int
        Names the small numbers that a wider head starts its new channels with.

    Returns
    -------
    dict of int to float
    """
    random = np.random.default_rng(seed)
    logs = np.log(np.maximum(K, 1e-6 * K.max()))
    left, sizes, right = np.linalg.svd(logs - logs.mean(1, keepdims=True), full_matrices=False)
    before, errors = None, {}
    for m in widths:
        root = np.sqrt(sizes[:m])
        starts = [np.concatenate([left[:, :m] * root, right[:m].T * root])]
        if m > 1:
            starts.append(_padded(_peaks(K), m, random))
        if before is not None:
            starts.append(_padded(before, m, random))
        error, before = min((_descended(K, start) for start in starts), key=lambda end: end[0])
        errors[m] = min([error, *errors.values()])
    return errors


def _peaks(K: np.ndarray) -> np.ndarray:
    """Return queries and keys whose scores are −(s − μ_t)²/(2 v_t) plus a function of t, which cancels."""
    s = np.arange(K.shape[1])
    mean = K @ s / K.sum(1)
    # a single step has no variance: its neighbours then get e^{−10}
    variance = np.maximum(K @ s**2 / K.sum(1) - mean**2, 0.05)
    return np.concatenate([np.stack([mean / variance, -0.5 / variance], 1), np.stack([s, s**2], 1)])


def _padded(start: np.ndarray, width: int, random: np.random.Generator) -> np.ndarray:
    """Return `start` with new channels of small random numbers, up to `width` in all."""
    return np.concatenate([start, 0.01 * random.standard_normal((len(start), width - start.shape[1]))], 1)


def _descended(K: np.ndarray, start: np.ndarray) -> tuple[float, np.ndarray]:
    """Descend from a start; return the relative error, and queries over keys, at the end."""

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = head_loss(K, theta.reshape(start.shape))
        return value, slope.ravel()

    options = {"maxiter": EVALUATIONS, "maxfun": EVALUATIONS, "ftol": 0.0, "gtol": 1e-14}
    best = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return math.sqrt(best.fun), best.x.reshape(start.shape)


def head_loss(K: np.ndarray, qk: np.ndarray) -> tuple[float, np.ndarray]:
    """Return |K − K̂|²/|K|² of a head with its best gains, and the derivative by `qk`, queries over keys."""
    q, k = np.split(qk, [len(K)])
    scores = q @ k.T
    weights = np.exp(scores - scores.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    gains = (K * weights).sum(1, keepdims=True) / (weights**2).sum(1, keepdims=True)
    rest, energy = gains * weights - K, (K**2).sum()
    # the gains are the best ones: moving them along costs nothing
    slope = 2 / energy * gains * rest
    slope = weights * (slope - (slope * weights).sum(1, keepdims=True))
    return (rest**2).sum() / energy, np.concatenate([slope @ k, slope.T @ q])


def enough(table: pd.DataFrame) -> pd.DataFrame:
    """Return the smallest width with an error of at most 1 %; NaN where no width in the table has."""
    good = table.loc[table.error <= GOOD].groupby(["kernel", "architecture"]).width.min()
    return good.unstack().reindex(index=table.kernel.unique(), columns=list(ARCHITECTURES))


def _summary(table: pd.DataFrame) -> tuple[str, dict[str, int | str]]:
    needed, widest = enough(table), table.width.max()
    headline, words = {}, []
    for kernel, row in needed.iterrows():
        told = {a: f"> {widest}" if math.isnan(width) else int(width) for a, width in row.items()}
        headline |= {f"{kernel}: width of {a} for an error of 1 %": width for a, width in told.items()}
        words.append(f"{kernel}: {', '.join(f'{a} {width}' for a, width in told.items())}")
    message = (
        f"Width that an error of 1 % takes. {'; '.join(words)}. The line of the encoder–decoder is "
        "exact, the singular values, and a bound that no RNN gets below; the others are the best fits found."
    )
    return message, headline


def plot(data: FigureData) -> Figure:
    """Draw errors against widths, one panel a kernel: the exact ones as lines, fits as marks."""
    kernels = groups(data.table, "kernel")
    columns = min(2, len(kernels))
    lines = math.ceil(len(kernels) / columns)
    looks = plotting.looks(ARCHITECTURES)
    size = {"width": 5.2 * columns, "height": 3.1 * lines + 0.7}
    with plotting.style():
        figure, axes = plotting.canvas(columns, lines, **size, sharex=True, sharey=True)
        axes = np.reshape(axes, (lines, columns))
        for axis, (kernel, group) in zip(axes.flat, kernels.items(), strict=False):
            for architecture, curve in groups(group, "architecture").items():
                look, error = looks[architecture], curve.error.clip(lower=NOTHING)
                if curve.exact.all():
                    plotting.theory(axis, curve.width, error, look.color, lw=2.2, ms=6)
                else:
                    plotting.measured(axis, curve.width, error, look, joined=":", ms=6, lw=1.0)
            axis.axhline(GOOD, color=plotting.INK, ls="--", lw=0.8)
            axis.set(yscale="log", ylim=(NOTHING / 2, 3), title=FORMULAS[kernel])
        for axis in axes[-1]:
            axis.set(xlabel="width $m$")
        for axis in axes[:, 0]:
            axis.set(ylabel=r"relative error $\|K-\hat K\|/\|K\|$")
        entries = []
        for architecture, label in ARCHITECTURES.items():
            look = looks[architecture]
            if rows(data.table, architecture=architecture).exact.all():
                entries.append(plotting.entry(label, look.color, lw=2.2))
            else:
                entries.append(plotting.entry(label, look.color, ls=":", lw=1.0, marker=look.mark, ms=6))
        figure.legend(handles=entries, loc="outside lower center", ncols=2)
    return figure
