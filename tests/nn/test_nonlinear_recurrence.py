import math
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.nn import RNN
from curse_of_memory.nn.recurrence.compiled import vector_math
from curse_of_memory.nn.recurrence.nonlinear import engines as nonlinear_engines
from curse_of_memory.nn.recurrence.nonlinear import loops, products
from curse_of_memory.nn.recurrence.nonlinear.cells import GATED, Cell, Stage, euler_cell
from curse_of_memory.nn.recurrence.nonlinear.recurrence import naive_recurrence, recurrence
from curse_of_memory.tools.devices import bytes_on_tape

EPS = {torch.float32: float(np.finfo(np.float32).eps), torch.float64: float(np.finfo(float).eps)}
CELLS = {name: euler_cell(name) for name in ("linear", "tanh", "hardtanh", "relu", "sigmoid")} | {
    # a cell that nobody thought of: three states, two of them coupled through the third
    "gated": GATED,
    "three": Cell(
        (
            Stage(source=0, target=2, computes=("relu",), reads=(0,)),
            Stage(source=2, target=1, computes=("sigmoid", "tanh", "hardtanh"), reads=(1, 3)),
            Stage(source=1, target=0, computes=(), reads=(2,)),
        )
    ),
}
steady = settings(derandomize=True, deadline=None, max_examples=60)
names = st.sampled_from(list(CELLS))


@pytest.fixture(params=["compiled", "torch operations"])
def engine(request, monkeypatch):
    """Both engines; the one for GPUs runs on the CPU, too."""
    if request.param == "torch operations":
        monkeypatch.setattr(nonlinear_engines, "COMPILED", ())


def problem(
    name, batch, time, inputs, m, outputs, *,
    models=(), diagonal=False, seed=0, dtype=torch.float64, steps=False,
):  # fmt: skip
    """Arguments of a recurrence that neither explodes nor amplifies rounding errors; ‖W‖ is about a half.

    With `steps` every unit and state has a time step of its own, which is an argument like the others.
    """
    cell, random = CELLS[name], np.random.default_rng(seed)
    rows = len(cell.activations) * m
    shapes = {
        "x": (batch, time, inputs),
        "recurrent": (*models, rows) if diagonal else (*models, rows, m),
        "inputs": (*models, rows, inputs),
        "bias": (*models, rows),
        "readout": (*models, outputs, m),
        "initial": (*models, batch, cell.states * m),
    }
    arguments = {k: torch.tensor(random.standard_normal(v), dtype=dtype) for k, v in shapes.items()}
    arguments["recurrent"] /= 4 * (1 if diagonal else m**0.5)
    if not outputs:
        del arguments["readout"]
    if not steps:
        return cell, arguments, {"dt": 0.1, "diagonal": diagonal}
    arguments["dt"] = torch.tensor(random.uniform(0.02, 0.2, (*models, cell.states * m)), dtype=dtype)
    return cell, arguments, {"diagonal": diagonal}


def results(run, cell, arguments, options):
    """Outputs, last states and the gradients of a random function of both."""
    leaves = {k: v.clone().requires_grad_() for k, v in arguments.items()}
    y, last = run(cell, **leaves, **options)
    random = np.random.default_rng(1)
    weights = [torch.tensor(random.standard_normal(t.shape), dtype=t.dtype) for t in (y, last)]
    total = (y * weights[0]).sum() + (last * weights[1]).sum()
    gradients = torch.autograd.grad(total, leaves.values(), allow_unused=True, materialize_grads=True)
    return {"y": y.detach(), "last": last.detach()} | dict(zip(leaves, gradients, strict=True))


def assert_same(fast, plain, terms):
    """Each number has one rounding error per term of its sum, relative to the largest of its kind."""
    for name, expected in plain.items():
        assert fast[name].shape == expected.shape, name
        assert fast[name].dtype == expected.dtype, name
        size = expected.abs().max().item() if expected.numel() else 0.0
        if name == "dt":  # a sum of values times adjoints, which are of size one, and may cancel
            size = max(size, 1.0)
        tolerance = terms * EPS[expected.dtype] * size
        torch.testing.assert_close(
            fast[name], expected, rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )


# --- equal to the plain loop --------------------------------------------------------------------------


@steady
@given(
    name=names,
    batch=st.integers(0, 70),
    time=st.integers(0, 20),
    inputs=st.integers(1, 5),
    m=st.integers(1, 9),
    outputs=st.integers(0, 3),
    models=st.sampled_from([(), (1,), (3,)]),
    diagonal=st.booleans(),
    dtype=st.sampled_from(list(EPS)),
    steps=st.booleans(),
)
def test_any_size_equals_the_plain_loop(
    name, batch, time, inputs, m, outputs, models, diagonal, dtype, steps
):
    options = {"models": models, "diagonal": diagonal, "dtype": dtype, "steps": steps}
    made = problem(name, batch, time, inputs, m, outputs, **options)
    terms = 8 * (m + inputs) + 4 * math.isqrt(1 + batch * time)
    assert_same(results(recurrence, *made), results(naive_recurrence, *made), terms)


@pytest.mark.slow
@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("models", [(), (2,)])
@pytest.mark.parametrize("name", CELLS)
def test_both_engines_equal_the_plain_loop(engine, name, models, diagonal):
    made = problem(name, 67, 300, 2, 6, 2, models=models, diagonal=diagonal, steps=True)
    assert_same(results(recurrence, *made), results(naive_recurrence, *made), 1000)


@pytest.mark.parametrize("left_out", ["bias", "readout", "initial"])
def test_what_is_left_out_is_zero(engine, left_out):
    cell, arguments, options = problem("gated", 3, 20, 2, 4, 4)
    neutral = torch.eye(4, dtype=torch.float64) if left_out == "readout" else 0 * arguments[left_out]
    full = recurrence(cell, **arguments | {left_out: neutral}, **options)
    del arguments[left_out]
    short = recurrence(cell, **arguments, **options)
    assert torch.equal(short.y, full.y)
    assert torch.equal(short.last, full.last)


@pytest.mark.parametrize("alone", ["x", "recurrent", "bias", "dt"])
def test_one_dimension_of_models_is_enough(engine, alone):
    cell, arguments, options = problem("tanh", 3, 10, 2, 4, 2, steps=True)
    several = torch.stack([arguments[alone], -arguments[alone]])
    together = recurrence(cell, **arguments | {alone: several}, **options).y
    for i in range(2):
        single = recurrence(cell, **arguments | {alone: several[i]}, **options).y
        torch.testing.assert_close(together[i], single, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", ["tanh", "gated"])
def test_a_time_step_that_all_share_has_the_sum_of_their_gradients(engine, name):
    cell, arguments, options = problem(name, 3, 20, 2, 4, 2, steps=True)
    arguments["dt"] = torch.full_like(arguments["dt"], 0.3)
    each = results(recurrence, cell, arguments, options)
    shared = results(recurrence, cell, arguments | {"dt": torch.tensor(0.3, dtype=torch.float64)}, options)
    number = recurrence(cell, **{k: v for k, v in arguments.items() if k != "dt"}, dt=0.3, **options)
    assert torch.equal(shared["y"], each["y"])
    assert torch.equal(number.y, each["y"])
    torch.testing.assert_close(shared["dt"], each["dt"].sum(), rtol=1e-14, atol=0)
    assert shared["dt"].shape == ()


def test_a_sweep_is_one_model_after_the_other():
    cell, arguments, options = problem("tanh", 70, 30, 1, 8, 1, models=(5,))
    together = results(recurrence, cell, arguments, options)["y"]
    for i in range(5):
        single = {k: v if k == "x" else v[i] for k, v in arguments.items()}
        assert torch.equal(recurrence(cell, **single, **options).y, together[i])


@pytest.mark.parametrize("name", ["hardtanh", "gated"])
def test_arrays_need_not_be_contiguous(engine, name):
    cell, arguments, options = problem(name, 5, 12, 3, 4, 2)
    strided = {k: v.repeat_interleave(2, -1)[..., ::2] for k, v in arguments.items()}
    strided["x"] = arguments["x"].transpose(0, 1).contiguous().transpose(0, 1)
    assert not any(v.is_contiguous() for v in strided.values())
    assert_same(
        results(recurrence, cell, strided, options), results(recurrence, cell, arguments, options), terms=4
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tanh", "gated"])
def test_long_sequences_equal_the_plain_loop(name):
    cell, arguments, options = problem(name, 1, 30_000, 1, 2, 1, diagonal=True)
    with torch.no_grad():
        fast, plain = (run(cell, **arguments, **options) for run in (recurrence, naive_recurrence))
    assert_same(fast._asdict(), plain._asdict(), 1000)


def test_results_do_not_depend_on_the_number_of_threads():
    made = problem("tanh", 200, 50, 1, 8, 1, models=(3,))
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(results(recurrence, *made))
    torch.set_num_threads(before)
    assert all(torch.equal(found[0][k], found[1][k]) for k in found[0])


RAGGED = (1, 7, 8, 16, 17, 50, 64, 65)


@pytest.mark.parametrize("lanes", [16, 32, 64])
@pytest.mark.parametrize("dtype", list(EPS))
def test_any_number_of_lanes_equals_the_naive_loop_at_any_batch(monkeypatch, lanes, dtype):
    monkeypatch.setattr(loops, "lanes_of", lambda batch, width: lanes)
    for batch in RAGGED:
        made = problem("gated", batch, 40, 2, 9, 1, dtype=dtype, steps=True)
        assert_same(results(recurrence, *made), results(naive_recurrence, *made), 500)


def test_small_batches_have_few_lanes_and_many_tiles():
    assert [loops.lanes_of(batch, 128) for batch in (1, 8, 32, 50, 64, 127)] == [16] * 6
    assert [loops.lanes_of(batch, 128) for batch in (128, 512)] == [64] * 2
    assert [loops.lanes_of(batch, 512) for batch in (16, 64, 128)] == [16, 64, 64]
    assert loops.lanes_of(130, 128) == 16  # 144 lanes in place of 192


@pytest.mark.parametrize("name", ["gated", "tanh"])
@pytest.mark.parametrize("lanes", [16, 64])
def test_wide_cells_equal_the_naive_loop(monkeypatch, name, lanes):
    """More units than the products take at a time."""
    monkeypatch.setattr(loops, "lanes_of", lambda batch, width: lanes)
    for batch, m, models in ((18, 2 * products.COLUMNS + 5, ()), (33, 2 * products.HEIGHT + 3, (3,))):
        made = problem(name, batch, 9, 2, m, 3, models=models)
        assert_same(results(recurrence, *made), results(naive_recurrence, *made), 5000)


# --- the last step only -------------------------------------------------------------------------------


def last_of_all(*arguments, **options):
    """What the last step alone should be."""
    y, last = recurrence(*arguments, **options)
    return y[..., -1:, :], last


def last_alone(*arguments, **options):
    return recurrence(*arguments, **options, last_only=True)


@pytest.mark.parametrize("models", [(), (2,)])
@pytest.mark.parametrize("outputs", [0, 2])
@pytest.mark.parametrize("name", ["gated", "three"])
def test_the_last_step_alone_is_the_last_of_all(engine, name, outputs, models):
    for batch, time in ((1, 1), (17, 40), (65, 90)):
        made = problem(name, batch, time, 2, 5, outputs, models=models, steps=True)
        alone, of_all = results(last_alone, *made), results(last_of_all, *made)
        assert_same(alone, of_all, 500)


@pytest.mark.slow
def test_derivatives_of_the_last_step_alone_are_those_of_differences(engine):
    cell, arguments, options = problem("gated", 2, 4, 1, 2, 1, steps=True)

    def run(*values):
        return tuple(last_alone(cell, **dict(zip(arguments, values, strict=True)), **options))

    leaves = [v.requires_grad_() for v in arguments.values()]
    assert torch.autograd.gradcheck(run, leaves, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(run, leaves)


def test_the_last_step_alone_needs_no_array_over_time():
    """Beside the inputs, only the states from which the way back starts: two of a unit, every 32 steps."""
    batch, time, m = 50, 640, 128
    cell, arguments, options = problem("gated", batch, time, 1, m, 0, dtype=torch.float32)
    arguments = {k: v.requires_grad_() for k, v in arguments.items()}
    outputs = 4 * batch * time * m  # bytes of what is not there
    assert bytes_on_tape(lambda: last_alone(cell, **arguments, **options).y) < outputs / 4
    assert bytes_on_tape(lambda: recurrence(cell, **arguments, **options).y) > outputs


def test_without_gradients_nothing_is_kept():
    cell, arguments, options = problem("gated", 3, 40, 1, 4, 1)
    with torch.no_grad():
        found = recurrence(cell, **arguments, **options)
    choice = nonlinear_engines.Options(cell, diagonal=False, models=None)
    tensors = [arguments[name] for name in ("recurrent", "inputs", "bias", "readout", "initial")]
    dt = torch.full((8,), options["dt"], dtype=torch.float64)
    y, last, kept = nonlinear_engines.forward(choice, arguments["x"], *tensors, dt, keeps=False)
    assert torch.equal(y, found.y)
    assert torch.equal(last, found.last)
    assert sum(t.numel() for t in kept) == 0


# --- states -------------------------------------------------------------------------------------------


@steady
@given(name=names, cuts=st.lists(st.integers(0, 40), max_size=3), diagonal=st.booleans())
def test_chunks_of_time_are_the_whole_sequence(name, cuts, diagonal):
    cell, arguments, options = problem(name, 3, 40, 2, 4, 2, diagonal=diagonal)
    whole = recurrence(cell, **arguments, **options)
    x, state = arguments.pop("x"), arguments.pop("initial")
    parts = []
    edges = [0, *sorted(cuts), 40]
    for start, end in pairwise(edges):
        y, state = recurrence(cell, x[:, start:end], **arguments, initial=state, **options)
        parts.append(y)
    assert torch.equal(torch.cat(parts, 1), whole.y)
    assert torch.equal(state, whole.last)


@pytest.mark.parametrize("activation", ["linear", "tanh", "hardtanh", "relu"])
@pytest.mark.parametrize("diagonal", [True, False])
def test_a_network_can_be_run_step_by_step(activation, diagonal):
    model = RNN(5, activation=activation, diagonal=diagonal, seed=0, dtype=torch.float64)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 12, 1)))
    state, outputs = None, []
    for k in range(12):
        y, state = model.run(x[:, k : k + 1], state)
        outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs, 1), model(x), rtol=0, atol=1e-15)
    assert torch.equal(model.run(x[:, :0], state).last, state)


def test_the_gated_cell_is_its_equations_one_number_at_a_time():
    cell, arguments, _ = problem("gated", 2, 6, 1, 2, 0)
    found = recurrence(cell, **arguments, dt=0.3)
    W, U, b = (arguments[k].numpy() for k in ("recurrent", "inputs", "bias"))
    sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    for i in range(2):
        y, z = arguments["initial"][i].numpy().reshape(2, 2)
        for k in range(6):
            u = arguments["x"][i, k].numpy()
            a = [W[2 * j : 2 * j + 2] @ y + U[2 * j : 2 * j + 2] @ u + b[2 * j : 2 * j + 2] for j in range(3)]
            z = z + 0.3 * sigmoid(a[1]) * (np.tanh(a[2]) - z)
            y = y + 0.3 * sigmoid(a[0]) * (np.tanh(W[6:] @ z + U[6:] @ u + b[6:]) - y)
            np.testing.assert_allclose(found.y[i, k], y, rtol=0, atol=1e-15)
        np.testing.assert_allclose(found.last[i], [*y, *z], rtol=0, atol=1e-15)


# --- saturation and overflow --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tanh", "hardtanh", "gated"])
def test_saturated_states_have_no_gradient_and_no_nan(engine, name):
    cell, arguments, options = problem(name, 3, 20, 1, 4, 1)
    arguments["bias"] = torch.full_like(arguments["bias"], 1e3)
    fast, plain = (
        results(recurrence, cell, arguments, options),
        results(naive_recurrence, cell, arguments, options),
    )
    assert_same(fast, plain, 100)
    assert not fast["bias"].any()


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("name", ["linear", "relu"])
def test_what_overflows_is_not_finite_where_the_plain_loop_is_not(engine, name, diagonal):
    cell, arguments, options = problem(name, 3, 400, 1, 4, 2, diagonal=diagonal)
    arguments["recurrent"] = torch.full_like(arguments["recurrent"], 60.0)
    arguments |= {k: arguments[k].abs() for k in ("x", "inputs", "bias", "initial")}
    fast, plain = (
        results(recurrence, cell, arguments, options),
        results(naive_recurrence, cell, arguments, options),
    )
    assert not plain["y"].isfinite().all()
    for name in ("y", "last"):
        assert torch.equal(fast[name].isfinite(), plain[name].isfinite())
    assert not fast["recurrent"].isfinite().any()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", CELLS)
def test_a_bad_input_spoils_its_own_sequence_from_its_own_time_on(engine, name, bad):
    cell, arguments, options = problem(name, 66, 12, 1, 4, 1)
    good = recurrence(cell, **arguments, **options).y
    arguments["x"][65, 5] = bad
    y = recurrence(cell, **arguments, **options).y
    plain = naive_recurrence(cell, **arguments, **options).y
    assert torch.equal(y[:65], good[:65])
    assert torch.equal(y[65, :5], good[65, :5])
    torch.testing.assert_close(y, plain, rtol=0, atol=1e-14, equal_nan=True)


def test_lanes_past_the_batch_add_nothing_to_gradients():
    """One sequence that stays finite must not meet copies of itself, or of nothing, that do not."""
    cell, arguments, options = problem("relu", 1, 1000, 1, 2, 1)
    arguments |= {"recurrent": 20 * torch.eye(2).double(), "inputs": 0 * arguments["inputs"] - 1}
    arguments |= {
        "bias": 0 * arguments["bias"] + 1,
        "x": 0 * arguments["x"] + 1,
        "initial": torch.zeros(1, 2).double(),
    }
    found = results(recurrence, cell, arguments, options)
    assert all(v.isfinite().all() for v in found.values())


# --- derivatives of other kinds -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("name", ["tanh", "gated"])
def test_first_and_second_derivatives_are_those_of_differences(engine, name, diagonal):
    cell, arguments, options = problem(name, 2, 4, 1, 2, 1, diagonal=diagonal, steps=True)

    def run(*values):
        return tuple(recurrence(cell, **dict(zip(arguments, values, strict=True)), **options))

    leaves = [v.requires_grad_() for v in arguments.values()]
    assert torch.autograd.gradcheck(run, leaves, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(run, leaves)


def test_second_derivatives_count_an_argument_that_another_depends_on_once(engine):
    cell, arguments, options = problem("tanh", 2, 5, 2, 2, 1, models=(1,))
    w = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def curvature(run):
        x = w * arguments["x"][None]
        changed = arguments | {"x": x, "initial": x[:, :, 0], "bias": x[:, 0, 0]}
        (first,) = torch.autograd.grad(run(cell, **changed, **options).y.square().sum(), w, create_graph=True)
        return torch.autograd.grad(first, w)[0]

    torch.testing.assert_close(curvature(recurrence), curvature(naive_recurrence), rtol=1e-13, atol=0)


def test_a_graph_that_is_kept_can_be_gone_through_twice(engine):
    cell, arguments, options = problem("gated", 3, 10, 1, 3, 1)
    w = arguments["recurrent"].requires_grad_()
    total = recurrence(cell, **arguments, **options).y.sum()
    first, second = (torch.autograd.grad(total, w, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("activation", ["linear", "tanh"])
def test_functional_transformations_of_a_network_work(activation, diagonal):
    model = RNN(4, activation=activation, diagonal=diagonal, seed=0, dtype=torch.float64)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 10, 1)))
    weights = {n: p.detach() for n, p in model.named_parameters()}
    stacked = {n: torch.stack([p, 0.9 * p]) for n, p in weights.items()}
    run = lambda p: torch.func.functional_call(model, p, (x,))  # noqa: E731

    together = torch.func.vmap(run)(stacked)
    for i in range(2):
        torch.testing.assert_close(
            together[i], run({n: p[i] for n, p in stacked.items()}), rtol=0, atol=1e-14
        )

    loss = lambda p: run(p).square().sum()  # noqa: E731
    found = torch.func.grad(loss)(weights)
    model.zero_grad()
    model(x).square().sum().backward()
    for n, p in model.named_parameters():
        torch.testing.assert_close(found[n], p.grad, rtol=1e-12, atol=1e-12)

    _, slope = torch.func.jvp(loss, (weights,), (weights,))
    expected = sum((found[n] * weights[n]).sum() for n in weights)
    torch.testing.assert_close(slope, expected, rtol=1e-12, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("models", [(), (2,)])
def test_torchs_compiler_takes_a_recurrence_whole(models):
    cell, arguments, options = problem("gated", 3, 7, 2, 4, 2, models=models, steps=True)
    torch._dynamo.reset()
    compiled = torch.compile(recurrence, fullgraph=True, backend="aot_eager")
    ours, plain = (results(run, cell, arguments, options) for run in (compiled, recurrence))
    assert all(torch.equal(ours[k], plain[k]) for k in plain)
    compiled = torch.compile(last_alone, fullgraph=True, backend="aot_eager")
    ours, plain = (results(run, cell, arguments, options) for run in (compiled, last_alone))
    assert all(torch.equal(ours[k], plain[k]) for k in plain)
    torch._dynamo.reset()


# --- products ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lanes", [16, 32, 64])
@pytest.mark.parametrize(
    ("rows", "columns"), [(1, 1), (4, 4), (6, 0), (3, 5), (9, 6), (37, 2 * products.COLUMNS + 3)]
)
def test_blocks_of_products_are_the_products(rows, columns, lanes, dtype):
    """Whole numbers, so that no sum has a rounding error and its order does not matter."""
    random = np.random.default_rng(0)
    shapes = [(rows, columns), (columns, lanes), (rows, lanes)]
    W, h, a = (random.integers(-9, 9, shape).astype(dtype) for shape in shapes)
    for strided in (W, np.asfortranarray(W), np.repeat(W, 2, 1)[:, ::2]):
        added, written = a.copy(), a.copy()
        products.add_product(strided, h, added)
        products.set_product(strided, h, written)
        np.testing.assert_array_equal(added, a + W @ h)
        np.testing.assert_array_equal(written, W @ h)
    for strided in (W, np.asfortranarray(W)):
        added, P = a.copy(), np.empty((rows // products.HEIGHT, products.HEIGHT * columns), dtype)
        products.pack(strided, P)
        products.add_packed(P, strided, h, added)
        np.testing.assert_array_equal(added, a + W @ h)
    d, g = (random.integers(-9, 9, (5, n, lanes)).astype(dtype) for n in (rows + 2, columns + 3))
    G = W.copy()
    products.add_outer(d, g, G, 2, 3)
    np.testing.assert_array_equal(G, W + np.einsum("sin,sjn->ij", d[:, 2:], g[:, 3:]))


# --- elementary functions ------------------------------------------------------------------------------


def numbers(width):
    around = [st.floats(-size, size, width=width) for size in (1e4, 100, 1, 2.0**-20)]
    return st.one_of(*around, st.sampled_from([5e-324, 1e308] if width == 64 else [2.0**-149, 2.0**127]))


@settings(derandomize=True, deadline=None, max_examples=500)
@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64]))
def test_tanh_and_logistic_are_right_to_three_units_in_the_last_place(data, dtype):
    x = data.draw(numbers(8 * dtype().itemsize))
    smallest = float(np.finfo(dtype).tiny)
    with mpmath.workprec(200):
        exact = {"tanh": mpmath.tanh(x), "logistic": 1 / (1 + mpmath.exp(-mpmath.mpf(x)))}
        for name, value in exact.items():
            found = float(getattr(vector_math, name)(dtype(x)))
            if abs(value) < 4 * smallest and abs(x) > 1:
                assert abs(found) < 4 * smallest  # e^x, which is nothing below the smallest numbers
                continue
            unit = float(np.spacing(dtype(abs(float(value)))))
            assert abs(mpmath.mpf(found) - value) <= 3 * unit, name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_elementary_functions_keep_infinities_zeros_and_nan(dtype):
    tanh, logistic = vector_math.tanh, vector_math.logistic
    assert [tanh(dtype(v)) for v in (math.inf, -math.inf, 0.0)] == [1.0, -1.0, 0.0]
    assert [logistic(dtype(v)) for v in (math.inf, 0.0)] == [1.0, 0.5]
    assert logistic(dtype(-math.inf)) < 1e-300
    assert math.copysign(1, tanh(dtype(-0.0))) == -1
    assert math.isnan(tanh(dtype(math.nan)))
    assert math.isnan(logistic(dtype(math.nan)))


# --- small print ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((Stage(0, 1, ("tanh",), (0,)),), "every state must be the target"),
        ((Stage(0, 0, ("tanh", "tanh"), (0,)),), "every one of 2 values must be read once"),
        ((Stage(0, 0, (), (0,)), Stage(0, 1, ("tanh", "tanh"), (1,))), "were computed"),
        ((Stage(0, 0, ("tanh",) * 3, (0, 1, 2)),), "one or two values"),
        ((Stage(2, 0, ("tanh",), (0,)),), "source must be one of 1 states"),
        ((Stage(0, 0, ("tanhh",), (0,)),), "did you mean 'tanh'"),
    ],
)
def test_a_cell_that_cannot_be_is_refused(stages, message):
    with pytest.raises(ValueError, match=message):
        Cell(stages)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"x": torch.zeros(3, 2)}, ValueError, "x must have shape"),
        ({"recurrent": torch.zeros(4, 3)}, ValueError, r"recurrent must have shape \(3, 3\).*got \(4, 3\)"),
        ({"inputs": torch.zeros(4, 1)}, ValueError, "inputs must have shape"),
        ({"bias": torch.zeros(4)}, ValueError, "bias must have shape"),
        ({"readout": torch.zeros(1, 5)}, ValueError, "readout must have shape"),
        ({"initial": torch.zeros(1, 4)}, ValueError, "initial must have shape"),
        ({"bias": torch.zeros(2, 4), "inputs": torch.zeros(3, 4, 1)}, ValueError, "must have shape"),
        ({"bias": torch.zeros(2, 3), "inputs": torch.zeros(4, 3, 1)}, ValueError, "models"),
        ({"bias": torch.zeros(3, dtype=torch.float64)}, TypeError, "bias must have the dtype of x"),
        ({"dt": torch.ones(4)}, ValueError, r"dt must have shape \(3,\).*got \(4,\)"),
        ({"dt": torch.ones((), dtype=torch.float64)}, TypeError, "dt must have the dtype of x"),
    ],
)
@pytest.mark.parametrize("run", [recurrence, naive_recurrence])
def test_arguments_that_do_not_fit_are_named(run, change, kind, message):
    arguments = {"x": torch.zeros(2, 5, 1), "recurrent": torch.zeros(3, 3), "inputs": torch.zeros(3, 1)}
    with pytest.raises(kind, match=message):
        run(euler_cell("tanh"), **arguments | change)
