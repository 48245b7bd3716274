"""Weighted squared misfit of the memory of linear networks, and its gradient, for many models in one call.

Equation.   k_s = C Aˢ V for s = 0 … T − 1, with V = [U, b]: memory and, in the last column, what a constant
            input leaves. d_s = k_s − ρ_s, or Σ_{r<=s} (k_r − ρ_r) in columns that are cumulated, and

                E = Σ_j Σ_s Σ_o (root_{js} d_s[o, j])² .

Algorithm.  Residuals: c_0 = C, c_{s+1} = c_s A; k_s = c_s V. C has fewer rows than V has columns, as a rule.

Gradient.   With q_s = ∂E/∂k_s = 2 root² d (summed over all later steps where cumulated) and p_s = ∂E/∂c_s,

                p_s = q_s Vᵀ + p_{s+1} Aᵀ,   ∂E/∂C = p_0,   ∂E/∂V = Σ_s c_sᵀ q_s,   ∂E/∂A = Σ_s c_sᵀ p_{s+1} ,

            the last as one product. For diagonal A = diag(a), c_s = C ⊙ aˢ, and all three gradients follow
            from R = Σ_s aˢ q_s and its derivative S = Σ_s s aˢ⁻¹ q_s, which Horner's rule gives without any
            state being kept: S ← R + a S, R ← q_s + a R from s = T − 1 down to 0.

Work.       Diagonal: 5 T m multiply-adds for every entry of k_s. Dense: 3 T m² for each output.
            An unstable A overflows to inf or NaN, in E too.
"""

import numpy as np

from curse_of_memory.nn.recurrence.compiled.compile_cache import compiled
from curse_of_memory.nn.recurrence.compiled.vector_math import OPTIONS

__all__ = ["dense_misfit", "diagonal_misfit", "krylov_rows"]

# sums may be taken in another order, so that dot products are computed many terms at once
SUMS = OPTIONS | {"fastmath": OPTIONS["fastmath"] | {"reassoc"}}


@compiled(**SUMS)
def _differentiate(memory, target, root, cumulated):
    """Return E; k_s, ``(column, time, output)``, becomes q_s."""
    columns, horizon, outputs = memory.shape
    value = 0.0
    for j in range(columns):
        for o in range(outputs):
            total = 0.0
            for s in range(horizon):
                error = memory[j, s, o] - target[j, s, o]
                total = total + error if cumulated[j] else error
                residual = root[j, s] * total
                value += residual * residual
                memory[j, s, o] = 2.0 * root[j, s] * residual
            if cumulated[j]:
                for s in range(horizon - 2, -1, -1):
                    memory[j, s, o] += memory[j, s + 1, o]
    return value


@compiled(**SUMS)
def _columns(U, b):
    """Return the columns of [U, b], one after the other, ``(column, state)``."""
    inputs = U.shape[1]
    V = np.empty((inputs + b.shape[1], U.shape[0]))
    for i in range(U.shape[0]):
        for j in range(V.shape[0]):
            V[j, i] = U[i, j] if j < inputs else b[i, j - inputs]
    return V


@compiled(**SUMS)
def _dot(x, y):
    total = 0.0
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@compiled(**SUMS)
def diagonal_misfit(a, U, b, C, target, roots, cumulated, values, for_a, for_U, for_b, for_C):
    """Write E and its gradients for networks with A = diag(a).

    Parameters
    ----------
    a : array of shape ``(model, state)``
        Multipliers of a step.
    U : array of shape ``(model, state, input)``
        Input weights.
    b : array of shape ``(model, state, 0 or 1)``
        The bias, if there is one.
    C : array of shape ``(model, output, state)``
        Output weights.
    target : array of shape ``(column, time, output)``
        ρ_s; a column for each input and, with a bias, one more.
    roots : array of shape ``(1 or model, column, time)``
        Roots of the weights, of all models or for each its own.
    cumulated : array of bool, of shape ``(column,)``
        Which columns are summed over time.
    values : array of shape ``(model,)``
        Receives E.
    for_a, for_U, for_b, for_C : array
        Receive the gradients; shaped as `a`, `U`, `b`, `C`.
    """
    columns, horizon, outputs = target.shape
    inputs, states = U.shape[2], a.shape[1]
    memory = np.empty(target.shape)
    power, R, S = np.empty(states), np.empty(states), np.empty(states)
    for n in range(len(a)):
        multiplier, V = a[n], _columns(U[n], b[n])
        products = np.empty((columns, outputs, states))
        for j in range(columns):
            for o in range(outputs):
                for i in range(states):
                    products[j, o, i] = C[n, o, i] * V[j, i]
        power[:] = 1.0
        for s in range(horizon):
            for j in range(columns):
                for o in range(outputs):
                    memory[j, s, o] = _dot(power, products[j, o])
            for i in range(states):
                power[i] *= multiplier[i]
        values[n] = _differentiate(memory, target, roots[n if len(roots) > 1 else 0], cumulated)
        for_a[n] = 0.0
        for_C[n] = 0.0
        for_V = np.zeros((columns, states))
        for j in range(columns):
            for o in range(outputs):
                R[:] = 0.0
                S[:] = 0.0
                for s in range(horizon - 1, -1, -1):
                    q = memory[j, s, o]
                    for i in range(states):
                        S[i] = R[i] + multiplier[i] * S[i]
                        R[i] = q + multiplier[i] * R[i]
                for i in range(states):
                    for_a[n, i] += S[i] * products[j, o, i]
                    for_C[n, o, i] += R[i] * V[j, i]
                    for_V[j, i] += R[i] * C[n, o, i]
        for i in range(states):
            for j in range(inputs):
                for_U[n, i, j] = for_V[j, i]
            for j in range(inputs, columns):
                for_b[n, i, j - inputs] = for_V[j, i]


@compiled(**SUMS)
def _add_product(x, A, out):
    """Add x A to `out`, for a row x: four rows of A at a time, so that `out` is loaded less often."""
    whole = x.size - x.size % 4
    for i in range(0, whole, 4):
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        for k in range(out.size):
            out[k] += (x0 * A[i, k] + x1 * A[i + 1, k]) + (x2 * A[i + 2, k] + x3 * A[i + 3, k])
    for i in range(whole, x.size):
        for k in range(out.size):
            out[k] += x[i] * A[i, k]


@compiled(**SUMS)
def krylov_rows(A, C, horizon):
    """Return C Aˢ for s < horizon, ``(time, output, state)``.

    Parameters
    ----------
    A : array of shape ``(state, state)``
        Multiplier of a step.
    C : array of shape ``(output, state)``
        Rows to start from.
    horizon : int
        Number of powers, at least one.
    """
    rows = np.zeros((horizon, *C.shape))
    rows[0] = C
    for s in range(horizon - 1):
        for o in range(len(C)):
            _add_product(rows[s, o], A, rows[s + 1, o])
    return rows


@compiled(**SUMS)
def dense_misfit(A, U, b, C, target, roots, cumulated, values, for_A, for_U, for_b, for_C):
    """Write E and its gradients for networks with a full matrix A, ``(model, state, state)``.

    The other arguments are those of :func:`diagonal_misfit`.
    """
    columns, horizon, outputs = target.shape
    inputs, states = U.shape[2], U.shape[1]
    memory = np.empty(target.shape)
    adjoint = np.empty((horizon, outputs, states))
    transposed = np.empty((states, states))
    for n in range(len(A)):
        V = _columns(U[n], b[n])
        rows = krylov_rows(A[n], C[n], horizon)
        for j in range(columns):
            for s in range(horizon):
                for o in range(outputs):
                    memory[j, s, o] = _dot(rows[s, o], V[j])
        values[n] = _differentiate(memory, target, roots[n if len(roots) > 1 else 0], cumulated)
        transposed[:] = A[n].T
        adjoint[:] = 0.0
        for_V = np.zeros((columns, states))
        for s in range(horizon - 1, -1, -1):
            for o in range(outputs):
                if s < horizon - 1:
                    _add_product(adjoint[s + 1, o], transposed, adjoint[s, o])
                for j in range(columns):
                    q = memory[j, s, o]
                    for i in range(states):
                        adjoint[s, o, i] += q * V[j, i]
                        for_V[j, i] += q * rows[s, o, i]
        for_C[n] = adjoint[0]
        # Σ_s c_sᵀ p_{s+1} with the outputs as more steps: row r of one beside row r + outputs of the other
        steps = (horizon - 1) * outputs
        before = rows.reshape(horizon * outputs, states)[:steps]
        after = adjoint.reshape(horizon * outputs, states)[outputs:]
        before = np.ascontiguousarray(before.T)
        for_A[n] = 0.0
        for i in range(states):
            _add_product(before[i], after, for_A[n, i])
        for i in range(states):
            for j in range(inputs):
                for_U[n, i, j] = for_V[j, i]
            for j in range(inputs, columns):
                for_b[n, i, j - inputs] = for_V[j, i]
