"""The compiled misfit of memories against the same sums in torch, differentiated by torch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.nn.building.free_response import free_response
from curse_of_memory.nn.recurrence.linear.misfit_loops import dense_misfit, diagonal_misfit, krylov_rows

EPS = float(np.finfo(float).eps)
MISFIT = {True: diagonal_misfit, False: dense_misfit}


def problem(seed, models=1, states=3, inputs=1, outputs=1, horizon=7, bias=1, own_roots=False, diagonal=True):
    """Random weights of networks whose powers do not grow, targets, weights, and which columns cumulate."""
    rng = np.random.default_rng(seed)
    columns, shape = inputs + bias, (models, states) if diagonal else (models, states, states)
    A = rng.uniform(-1, 1, shape) / (1 if diagonal else max(states, 1))
    U, b = rng.normal(size=(models, states, inputs)), rng.normal(size=(models, states, bias))
    C, target = rng.normal(size=(models, outputs, states)), rng.normal(size=(columns, horizon, outputs))
    roots = rng.uniform(0, 1, (models if own_roots else 1, columns, horizon))
    return [A, U, b, C], target, roots, rng.random(columns) < 0.5


def compiled(weights, target, roots, cumulated):
    values, gradients = np.empty(len(weights[0])), [np.full_like(w, np.nan) for w in weights]
    MISFIT[weights[0].ndim == 2](*weights, target, roots, cumulated, values, *gradients)
    return [values, *gradients]


def by_torch(weights, target, roots, cumulated):
    """The same, model by model: powers of a matrix one after the other, and autograd."""
    found = []
    for n in range(len(weights[0])):
        A, U, b, C = (torch.tensor(w[n], requires_grad=True) for w in weights)
        states = [torch.cat([U, b], 1)]
        for _ in range(target.shape[1] - 1):
            states.append(A[:, None] * states[-1] if A.ndim == 1 else A @ states[-1])
        error = torch.stack([(C @ h).T for h in states], 1) - torch.from_numpy(target)
        error = torch.where(torch.from_numpy(cumulated)[:, None, None], error.cumsum(1), error)
        value = (torch.from_numpy(roots[n % len(roots)])[..., None] * error).square().sum()
        gradients = torch.autograd.grad(value, [A, U, b, C], materialize_grads=True)
        found.append([value.detach(), *gradients])
    return [torch.stack(parts).numpy() for parts in zip(*found, strict=True)]


def assert_same(weights, target, roots, cumulated):
    expected = by_torch(weights, target, roots, cumulated)
    # with all terms positive the same sums bound those of the rounding errors: each term is a product of at
    # most 2T + 4 factors, and has gone through sums of m, T and output and input numbers, T times over
    size = by_torch([np.abs(w) for w in weights], -np.abs(target), roots, cumulated)
    states, horizon, columns = weights[1].shape[1], target.shape[1], target.shape[0] * target.shape[2]
    k = 2 * (horizon + 1) * (states + 2) + 2 * horizon + columns
    for mine, theirs, scale in zip(compiled(weights, target, roots, cumulated), expected, size, strict=True):
        assert mine.shape == theirs.shape
        assert (np.abs(mine - theirs) <= k * EPS * scale).all()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    models=st.integers(1, 3),
    states=st.integers(1, 9),
    inputs=st.integers(1, 3),
    outputs=st.integers(1, 3),
    horizon=st.integers(1, 12),
    bias=st.integers(0, 1),
    own_roots=st.booleans(),
    diagonal=st.booleans(),
)
def test_value_and_gradients_are_those_of_torch(seed, **sizes):
    assert_same(*problem(seed, **sizes))


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize(("states", "horizon"), [(64, 100), (7, 100), (33, 64)])
def test_long_memories_of_wide_networks(diagonal, states, horizon):
    assert_same(*problem(0, states=states, horizon=horizon, diagonal=diagonal))


@pytest.mark.parametrize("diagonal", [True, False])
def test_no_models_and_no_states_are_no_work(diagonal):
    assert [g.size for g in compiled(*problem(0, models=0, diagonal=diagonal))] == [0] * 5
    weights, target, roots, cumulated = problem(0, states=0, diagonal=diagonal)
    value = compiled(weights, target, roots, np.zeros_like(cumulated))[0]
    assert value == pytest.approx(((roots[0] * target[..., 0]) ** 2).sum(), rel=50 * EPS)


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("size", [1e10, 1e200, np.inf, np.nan])
def test_what_overflows_is_not_a_number_that_looks_right(diagonal, size):
    weights, *rest = problem(0, models=2, horizon=60, diagonal=diagonal)
    weights[0][0] *= size
    mine, alone = compiled(weights, *rest), compiled([w[1:] for w in weights], *rest)
    assert not np.isfinite(mine[0][0])
    assert not np.isfinite(mine[1][0]).all()
    for together, single in zip(mine, alone, strict=True):  # the neighbour does not notice
        assert np.array_equal(together[1:], single)


def test_krylov_rows_are_rows_of_powers():
    rng = np.random.default_rng(0)
    A, C = rng.uniform(-1, 1, (5, 5)) / 5, rng.normal(size=(2, 5))
    rows = krylov_rows(A, C, 9)
    for s in range(9):
        # s products of sums of five numbers
        np.testing.assert_allclose(
            rows[s], C @ np.linalg.matrix_power(A, s), rtol=0, atol=9 * 5 * EPS * np.abs(C).max() * 5
        )


# --- the same powers in torch ---------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [1, 2, 3, 7, 8, 9, 16, 17, 40])
@pytest.mark.parametrize("diagonal", [True, False])
def test_free_response_is_one_step_after_the_other(horizon, diagonal):
    generator = torch.Generator().manual_seed(horizon)
    m, dt = 5, 0.25
    W = 2 * torch.rand(*((m,) if diagonal else (m, m)), generator=generator, dtype=torch.float64) - 1
    W = W if diagonal else W / m - 2 * torch.eye(m, dtype=torch.float64)
    h = torch.randn(m, 2, generator=generator, dtype=torch.float64)
    found = free_response(W, h, horizon, dt)
    assert found.shape == (horizon, m, 2)
    step = torch.diag(1 + dt * W) if diagonal else torch.eye(m, dtype=torch.float64) + dt * W
    size, before = step.abs(), h.abs()
    for state in found:
        # a state is a sum over paths of s steps; each step rounds a sum of m products
        assert (state - h).abs().le(4 * horizon * m * EPS * before).all()
        h, before = step @ h, size @ before
