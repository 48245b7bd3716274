"""A brief survey (2302.13752): recurrent, convolutional, encoder-decoder and attention memories compared."""

import math
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import minimize

from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.theory.exponential_sums import fit_exponential_sums
from curse_of_memory.theory.tensor_trains import fit_tensor_train
from curse_of_memory.tools import checks

__all__ = ["KERNELS", "attention_errors", "data", "plot"]

NOTHING = 1e-12  # errors below are rounding and drawn at the lower edge
GOOD = 0.01  # relative error that a width is asked for
EVALUATIONS = 400  # of each search for scores of an attention head

KERNELS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "exponential decay": lambda t, s, half: 1 / np.cosh((t + s) / 8),
    "delayed spike": lambda t, s, half: (t + s == half - 1).astype(float),
    "digit product": lambda t, s, half: 0.5 ** np.bitwise_count(t + s),
    "two patterns": lambda t, s, half: sum(
        _bump(t, a * half) * _bump(s, b * half) for a, b in ((0.25, 0.65), (0.7, 0.2))
    ),
}
"""K(t, s), the weight of the input s steps before now in the output t steps after now."""

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
    """Compare the best memories of given width with kernels K(t, s), 0 <= t < `half`, 0 <= s <= `half`.

    The target is y_t = Σ_s K(t, s) x_{−s}: what comes after now as a function of what came before. The error
    is |K − K̂| / |K| in the Frobenius norm, the relative error of y for white x. With width m,

    - *RNN*: K̂(t, s) = Σ_{i≤m} c_i e^{−λ_i (t+s)}, modes real or in pairs, fitted;
    - *CNN*: K̂(t, s) = ρ̂(t + s), ρ̂ a tensor train of rank m, fitted;
    - *encoder-decoder*: K̂ = Σ_{n≤m} φ_n(t) ψ_n(s), exactly the m largest singular triples;
    - *attention*: K̂(t, s) = g_t softmax_s(q_t · k_s), m channels, of positions alone, fitted.

    Columns: ``kernel, architecture, width, error, floor, exact, parameters``; `floor` is the error of the
    best kernel that depends on t + s alone, under which no RNN and no CNN comes; `exact` says whether the
    error is the least there is, `parameters` counts the free numbers of the form. (`seed` starts the fits of
    attention; needs no device.)
    """
    checks.positive_int("half", half)
    if half & (half - 1) or half < 4:
        raise ValueError(f"half must be 4, 8, 16, ..., got {half}")
    widths = sorted({checks.positive_int("widths", width) for width in widths})
    if widths[-1] > half:
        raise ValueError(f"widths must be at most half = {half}, got {widths[-1]}")
    t, s = np.arange(half)[:, None], np.arange(half + 1)[None, :]
    rows = []
    for name in kernels:
        K = KERNELS[checks.one_of("kernels", name, KERNELS)](t, s, half)
        rows += _rows(name, K, t + s, widths, seed)
    table = pd.DataFrame(rows)
    return Findings(table, *_summary(table))


def _rows(name: str, K: np.ndarray, lags: np.ndarray, widths: list[int], seed: int) -> list[dict]:
    """Return the errors of every architecture and width for one kernel; `lags` is t + s."""
    half, total = len(K), np.linalg.norm(K)
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
    rows = []
    for m in widths:
        train = fit_tensor_train(homogeneous, m, counts).error
        found = {
            "RNN": (math.hypot(floor, share * sums[m - 1].error), 2 * m),
            "CNN": (math.hypot(floor, share * train), 2 * m * (m * (layers - 2) + 2)),
            "encoder-decoder": (left_over[m], m * (2 * half + 1 - m)),
            "attention": (attention[m], half + m * (2 * half + 1 - m)),
        }
        for architecture, (error, parameters) in found.items():
            rows.append(
                {
                    "kernel": name,
                    "architecture": architecture,
                    "width": m,
                    "error": float(error),
                    "floor": float(floor),
                    "exact": architecture == "encoder-decoder",
                    "parameters": parameters,
                }
            )
    return rows


def attention_errors(K: np.ndarray, widths: Sequence[int], seed: int) -> dict[int, float]:
    """Return the relative errors of attention heads g_t softmax_s(q_t · k_s), by their width.

    Found by descent (L-BFGS) from three starts: the truncated SVD of log K; the head of the width before;
    and, from width two on, scores −(s − μ_t)²/(2 v_t) with the mean and the variance of each row of K. Upper
    bounds, which do not grow with the width. The gains g_t are eliminated: for given scores the best are a
    quotient.

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
        error, before = min((_descended(K, start) for start in starts), key=lambda found: found[0])
        errors[m] = min([error, *errors.values()])
    return errors


def _peaks(K: np.ndarray) -> np.ndarray:
    """Return queries and keys of two channels; scores are −(s − μ_t)²/(2 v_t) but for a function of t."""
    s = np.arange(K.shape[1])
    mean = K @ s / K.sum(1)
    # a single step has no variance: its neighbours then get e^{−10}
    variance = np.maximum(K @ s**2 / K.sum(1) - mean**2, 0.05)
    return np.concatenate([np.stack([mean / variance, -0.5 / variance], 1), np.stack([s, s**2], 1)])


def _padded(start: np.ndarray, width: int, random: np.random.Generator) -> np.ndarray:
    """Return a start with small new channels up to a width."""
    return np.concatenate([start, 0.01 * random.standard_normal((len(start), width - start.shape[1]))], 1)


def _descended(K: np.ndarray, start: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the relative error after the descent, and queries over keys there."""

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
    """Return the smallest width with an error of at most one per cent; NaN where none tried has it."""
    good = table[table.error <= GOOD].groupby(["kernel", "architecture"]).width.min()
    found = good.unstack().reindex(index=table.kernel.unique(), columns=list(ARCHITECTURES))
    return found


def _summary(table: pd.DataFrame) -> tuple[str, Mapping]:
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
    groups = list(data.table.groupby("kernel", sort=False))
    columns = min(2, len(groups))
    rows = math.ceil(len(groups) / columns)
    with plotting.style():
        size = {"figsize": (5.2 * columns, 3.1 * rows + 0.7), "layout": "constrained"}
        figure, axes = plt.subplots(rows, columns, squeeze=False, sharex=True, sharey=True, **size)
        looks = dict(zip(ARCHITECTURES, plotting.distinct(len(ARCHITECTURES)), strict=True))
        for axis, (kernel, group) in zip(axes.flat, groups, strict=False):
            for architecture, curve in group.groupby("architecture", sort=False):
                (color, mark), error = looks[architecture], curve.error.clip(lower=NOTHING)
                exact = curve.exact.all()
                style = {"ls": "-" if exact else ":", "lw": 2.2 if exact else 1.0}
                axis.plot(curve.width, error, marker="" if exact else mark, color=color, ms=6, **style)
            axis.axhline(GOOD, color=plotting.INK, ls="--", lw=0.8)
            axis.set(yscale="log", ylim=(NOTHING / 2, 3), title=FORMULAS[kernel])
        for axis in axes[-1]:
            axis.set(xlabel="width $m$")
        for axis in axes[:, 0]:
            axis.set(ylabel=r"relative error $\|K-\hat K\|/\|K\|$")
        entries = []
        for architecture, label in ARCHITECTURES.items():
            color, mark = looks[architecture]
            exact = data.table[data.table.architecture == architecture].exact.all()
            options = {"ls": "-", "lw": 2.2} if exact else {"ls": ":", "lw": 1.0, "marker": mark, "ms": 6}
            entries.append(plt.Line2D([], [], color=color, label=label, **options))
        figure.legend(handles=entries, loc="outside lower center", ncols=2)
    return figure
