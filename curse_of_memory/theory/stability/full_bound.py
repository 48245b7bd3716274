"""Upper bounds of the largest error over all full matrices within β of a diagonal one.

The error is split into what is linear in the move of the weights, and the rest.

With A diagonal and Ã = A + Δ, exactly

    Ã^s = A^s + Σ A^j Δ A^l + Σ A^j Δ Ã^k Δ A^l       (j + l = s − 1; j + k + l = s − 2),

and the same with integrals for e^{W̃t}. The error of the first two terms is a norm of an affine function of
the move, which :func:`largest_affine` bounds over the product of a ball of matrices and two of vectors. Of
the third, |Ã^k| <= (|A| + |Δ|)^k, and |A^l u| and |cᵀA^j| are known: their convolution bounds it.
"""

import math

import numpy as np

from curse_of_memory.theory.stability.error_rows import StepRows
from curse_of_memory.theory.stability.full_ball import FullBall
from curse_of_memory.theory.stability.half_line_norm import HalfLine
from curse_of_memory.theory.stability.matrix_dual import largest_affine

__all__ = ["beyond", "linear_and_rest"]


def linear_and_rest(ball: FullBall, start: np.ndarray) -> tuple[float, float]:
    """Return upper bounds of the error that is linear in the move, and of the norm of the rest.

    Their sum bounds the error on a grid. On [0, ∞) the first is that of the rows on [0, S]; :func:`beyond`
    bounds what comes later.

    Parameters
    ----------
    ball : FullBall
        Where.
    start : numpy.ndarray, shape (m² + 2m,) or (m²,)
        The move to a bad model, near which the worst is searched: the matrix row by row, u and c.
    """
    centre = np.diagonal(ball.centre.W[0])
    u, c = ball.centre.u[0], ball.centre.c[0]
    rows, (r, N) = ball.rows, _affine(ball, centre, u, c)
    linear = largest_affine(r, N, ball.moves, start, rows.order)
    magnitude = np.abs(rows.y) + np.abs(r - rows.y) + np.abs(N).sum(0) * ball.beta
    margin = 8 * rows.rounding * float(rows.norm(magnitude))
    if not isinstance(rows, StepRows):
        return linear + margin, _line_rest(ball, rows, centre, u, c)
    rest = float(rows.norm(_grid_rest(ball, centre, u, c)))
    everything = float(rows.norm(np.abs(r) + _grid_everything(ball, centre, u, c)))
    return (linear + margin, rest) if linear + rest < everything else (everything + margin, 0.0)


def beyond(ball: FullBall, line: HalfLine) -> float:
    """Return a bound of the norm, on [S, ∞), of the memory of the centre and what is linear in the move."""
    rate = -float(np.diagonal(ball.centre.W[0]).max())
    u, c = float(np.linalg.norm(ball.centre.u)), float(np.linalg.norm(ball.centre.c))
    radius, wider = ball.moves[0], ball.moves[1]
    # t e^{−λt} <= 10/(eλ) e^{−0.9 λt}
    return (u * c + wider * (u + c)) * line.mode_tail(rate) + radius * u * c * 10 / (
        math.e * rate
    ) * line.mode_tail(0.9 * rate)


def _poles(ball: FullBall, w: np.ndarray) -> np.ndarray:
    """Return the exponents κ < 0 of the modes, per step of the grid or per unit time."""
    if ball.poles.continuous:
        return w
    return np.log(ball.poles.pole(w))


def _affine(ball: FullBall, w, u, c) -> tuple[np.ndarray, np.ndarray]:
    """Return the residual of the centre, and what a unit move of each entry of matrix, u and c adds to it."""
    rows, m = ball.rows, w.size
    grid = isinstance(rows, StepRows)
    kappa, t = _poles(ball, w), rows.nodes
    high = np.maximum(kappa[:, None], kappa[None])[..., None]
    gap = np.abs(kappa[:, None] - kappa[None])[..., None]
    modes = np.exp(kappa[:, None] * t)
    with np.errstate(under="ignore"):
        if grid and ball.poles.multiplies:
            # (z_k^s − z_l^s)/(z_k − z_l)
            ratio = np.where(gap > 0, np.expm1(-gap * t) / np.expm1(np.where(gap > 0, -gap, -1.0)), t)
            pairs = np.where(t > 0, np.exp(high * np.maximum(t - 1, 0.0)) * ratio, 0.0)
            if ball.poles.f.time != "discrete":
                pairs = ball.poles.dt * pairs
        else:
            # (e^{κ_k t} − e^{κ_l t})/(κ_k − κ_l), times dt where κ is per step
            ratio = np.where(gap > 0, -np.expm1(-gap * t) / np.where(gap > 0, gap, 1.0), t)
            pairs = np.exp(high * t) * ratio * (ball.poles.dt if grid else 1.0)
    if grid:
        slopes = [np.diff(values, axis=-1)[..., : rows.slope_weights.size] for values in (modes, pairs)]
    elif rows.slope_weights.size:
        # the derivative of the divided difference: its mode and κ times itself
        low = np.minimum(kappa[:, None], kappa[None])[..., None]
        slopes = [kappa[:, None] * modes, np.exp(high * t) + low * pairs]
    else:
        slopes = [values[..., :0] for values in (modes, pairs)]
    modes, pairs = (
        np.concatenate([values * rows.value_weights, slope * rows.slope_weights], -1)
        for values, slope in zip((modes, pairs), slopes, strict=True)
    )
    N = (c[:, None, None] * u[None, :, None] * pairs).reshape(m * m, -1)
    if ball.amplitudes:
        N = np.concatenate([N, c[:, None] * modes, u[:, None] * modes])
    return rows.y - (c * u) @ modes, -N


def _grid_factors(ball: FullBall, w, u, c):
    """Return |A^l u|, |A^j c|, (|A| + β')^k, β', β'', and the slopes of the first two."""
    kappa, s = _poles(ball, w), ball.rows.nodes
    modes, top = np.exp(kappa[:, None] * s), float(np.exp(kappa.max()))
    sizes = [np.linalg.norm(x[:, None] * modes, axis=0) for x in (u, c)]
    slopes = [np.linalg.norm((x * np.expm1(kappa))[:, None] * modes, axis=0) for x in (u, c)]
    dt, beta = ball.poles.dt, ball.beta
    if ball.poles.multiplies:
        first, second = beta * (dt if ball.poles.f.time == "continuous" else 1.0), 0.0
    else:
        # |e^{(W + Δ)dt} − e^{W dt}| <= e^{−λ dt}(e^{β dt} − 1), and less its linear part
        first = top * math.expm1(beta * dt) if beta * dt < 700 else math.inf
        second = top * (beta * dt) ** 2 / 2 * math.exp(beta * dt) if beta * dt < 700 else math.inf
    with np.errstate(over="ignore", invalid="ignore"):
        powers = np.power(top + first, s)
    return *sizes, powers, first, second, slopes


def _later(values: np.ndarray, steps: int) -> np.ndarray:
    """Return the values so many steps later, zeros before them."""
    return (
        np.concatenate([np.zeros(steps), values[: values.size - steps]])
        if steps < values.size
        else 0 * values
    )


def _convolved(first: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Return the convolution of sequences of one length, cut to that; inf where it overflows."""
    product = first
    with np.errstate(over="ignore", invalid="ignore"):
        for other in others:
            product = np.convolve(product, other)[: other.size]
    return np.where(np.isnan(product), np.inf, product)


def _grid_rest(ball: FullBall, w, u, c) -> np.ndarray:
    """Return a bound, for each row, of what is not linear in the move."""
    of_u, of_c, powers, first, second, (slope_u, slope_c) = _grid_factors(ball, w, u, c)
    moved = ball.moves[1]
    with np.errstate(over="ignore", invalid="ignore"):
        values = first**2 * _later(_convolved(of_c, powers, of_u), 2)
        values = values + second * _later(_convolved(of_c, of_u), 1)
        values = values + moved * first * _later(_convolved(powers, of_u + of_c), 1) + moved**2 * powers
        rows = ball.rows
        if not rows.slope_weights.size:
            return values * rows.value_weights
        # a difference of a convolution is that of one factor, and the others at its start
        size_c = float(np.linalg.norm(c))
        size_u = float(np.linalg.norm(u))
        slopes = first**2 * (
            _later(_convolved(slope_c, powers, of_u), 2) + size_c * _later(_convolved(powers, of_u), 1)
        )
        slopes = slopes + second * (_later(_convolved(slope_c, of_u), 1) + size_c * of_u)
        slopes = slopes + moved * first * (
            _later(_convolved(powers, slope_u + slope_c), 1) + powers * (size_u + size_c)
        )
        step = float(np.abs(np.expm1(_poles(ball, w))).max()) + first
        slopes = slopes + moved**2 * powers * step
        slopes = slopes[: rows.slope_weights.size]
    return np.concatenate([values * rows.value_weights, slopes * rows.slope_weights])


def _grid_everything(ball: FullBall, w, u, c) -> np.ndarray:
    """Return a bound, for each row, of the whole change by a move: the smaller bound in large balls."""
    of_u, of_c, powers, first, _, _ = _grid_factors(ball, w, u, c)
    moved = ball.moves[1]
    with np.errstate(over="ignore", invalid="ignore"):
        # c̃ᵀ(Ã^s − A^s)u + (c̃ᵀÃ^s)(ũ − u) + ..., each by norms
        values = first * _later(_convolved(of_c, powers), 1) * float(np.linalg.norm(u))
        other = first * _later(_convolved(of_u, powers), 1) * float(np.linalg.norm(c))
        values = np.minimum(values, other) + moved * powers * (
            float(np.linalg.norm(u)) + float(np.linalg.norm(c)) + moved
        )
        rows = ball.rows
        slopes = (values[1:] + values[:-1])[: rows.slope_weights.size]
        bounds = np.concatenate([values * rows.value_weights, slopes * rows.slope_weights])
    return np.where(np.isnan(bounds), np.inf, bounds)


def _line_rest(ball: FullBall, rows, w, u, c) -> float:
    """Return a bound of the norm on [0, ∞) of what is not linear in the move, by Young's inequality."""
    slowest, beta, moved = -float(w.max()), ball.beta, ball.moves[1]
    left = slowest - beta
    if left <= 0:
        return math.inf
    one, two = _whole_norms(w, u), _whole_norms(w, c)
    middle = 1 / left, 1 / math.sqrt(2 * left)
    if rows.order == 2:
        products = [
            a * b * d
            for a, b, d in (
                (one[1], middle[0], two[0]),
                (one[0], middle[1], two[0]),
                (one[0], middle[0], two[1]),
            )
        ]
        single = sum(min(middle[1] * x[0], middle[0] * x[1]) for x in (one, two))
        return beta**2 * min(products) + beta * moved * single + moved**2 * middle[1]
    rest = beta**2 * one[0] * middle[0] * two[0] + beta * moved * middle[0] * (one[0] + two[0])
    rest += moved**2 * middle[0]
    if rows.slope_weights.size:
        size_u, size_c = float(np.linalg.norm(u)), float(np.linalg.norm(c))
        slope_u, slope_c = _whole_norms(w, w * u)[0], _whole_norms(w, w * c)[0]
        either = min(
            slope_c * middle[0] * one[0] + size_c * middle[0] * one[0],
            slope_u * middle[0] * two[0] + size_u * middle[0] * two[0],
        )
        rest += beta**2 * either + beta * moved * middle[0] * (slope_u + slope_c + size_u + size_c)
        rest += moved**2 * (1 + (float(np.abs(w).max()) + beta) * middle[0])
    return rest


def _whole_norms(w: np.ndarray, x: np.ndarray) -> tuple[float, float]:
    """Return an upper bound of ∫|e^{Wt} x| dt, and (∫|e^{Wt} x|² dt)^{1/2}, over [0, ∞)."""
    rates = -w
    squared = math.sqrt(float((x**2 / (2 * rates)).sum()))
    # the length of a vector of exponentials is convex in t, so that chords are above it
    stop = 45 / rates.min()
    t = np.concatenate([[0.0], np.geomspace(1e-3 / rates.max(), stop, 1500)])
    with np.errstate(under="ignore"):
        sizes = np.linalg.norm(x[:, None] * np.exp(w[:, None] * t), axis=0)
        tail = float((np.abs(x) * np.exp(w * stop) / rates).sum())
    chords = float(np.trapezoid(sizes, t)) * (1 + 1e-12) + tail
    return min(chords, float((np.abs(x) / rates).sum())), squared
