import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.nn.recurrence.linear import convolution
from curse_of_memory.nn.recurrence.linear.convolution import fft_convolution
from curse_of_memory.nn.recurrence.linear.kernels import modal_kernel, naive_modal_kernel
from curse_of_memory.nn.recurrence.linear.linear_scan import (
    _in_blocks,
    linear_scan,
    linear_step,
    naive_linear_scan,
)

EPS = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}
EPS |= {torch.complex64: EPS[torch.float32], torch.complex128: EPS[torch.float64]}
steady = settings(derandomize=True, deadline=None, max_examples=40)
DTYPES = list(EPS)


def noise(seed: int, *shape: int, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def recurrence(seed: int, batch: int, time: int, state: int, dtype, radius: float = 0.99):
    """Random multipliers of modulus below `radius`, drive and initial state."""
    a = noise(seed, state, dtype=dtype)
    a = radius * a / (1 + a.abs())
    return a, noise(seed + 1, batch, time, state, dtype=dtype), noise(seed + 2, batch, state, dtype=dtype)


def tolerance(a, v, initial):
    """One rounding of every product and sum, each of which decays as the states do."""
    size = naive_linear_scan(a.abs(), v.abs(), initial.abs())
    lasting = naive_linear_scan(a.abs(), torch.ones_like(size), torch.zeros_like(initial.abs()))
    largest = size.amax(1, keepdim=True) if size.numel() else size
    return 4 * EPS[v.dtype] * lasting * largest


@steady
@given(
    seed=st.integers(0, 999),
    batch=st.integers(1, 4),
    time=st.sampled_from([0, 1, 2, 15, 16, 17, 100, 300]),
    state=st.integers(1, 5),
    dtype=st.sampled_from(DTYPES),
)
def test_every_form_is_the_plain_loop(seed, batch, time, state, dtype):
    a, v, initial = recurrence(seed, batch, time, state, dtype)
    plain = naive_linear_scan(a, v, initial)
    bound = tolerance(a, v, initial)
    assert ((linear_scan(a, v, initial) - plain).abs() <= bound).all()
    if time:
        blocks = _in_blocks(a.expand(batch, state), v, initial)
        assert ((blocks - plain).abs() <= 16 * bound).all()  # powers a^r carry r roundings of their own


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_gradients_to_second_order_and_forward_mode(dtype):
    a, v, initial = (t.requires_grad_() for t in recurrence(0, 2, 6, 3, dtype))
    assert torch.autograd.gradcheck(linear_scan, (a, v, initial), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(linear_scan, (a, v, initial))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_are_those_of_the_plain_loop(dtype):
    inputs = recurrence(3, 3, 50, 4, dtype)
    gradients = []
    for form in (linear_scan, naive_linear_scan):
        leaves = [t.clone().requires_grad_() for t in inputs]
        form(*leaves).abs().square().sum().backward()
        gradients.append([t.grad for t in leaves])
    for fast, plain in zip(*gradients, strict=True):
        # sums of at most 3 · 50 terms, each with 50 steps behind it
        assert (fast - plain).abs().max() <= 150 * 8 * EPS[dtype] * plain.abs().max()


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_in_one_pass_are_those_that_can_be_differentiated_again(dtype):
    inputs = [z.requires_grad_() for z in recurrence(5, 3, 40, 4, dtype)]
    a, v, initial = inputs
    for towards in (noise(9, 3, 40, 4, dtype=dtype), torch.ones((), dtype=dtype).expand(3, 40, 4)):
        h = linear_scan(a, v, initial)
        at_once = torch.autograd.grad(h, inputs, towards, retain_graph=True)
        again = torch.autograd.grad(h, inputs, towards, create_graph=True)
        assert not any(g.requires_grad for g in at_once)
        assert all(g.requires_grad for g in (again[0], again[2]))
        largest = h.detach().abs().amax().clamp(min=1) * at_once[1].abs().amax()
        for one, other in zip(at_once, again, strict=True):
            # each of the 40 · 3 products of a state and an adjoint is rounded a few times
            assert (one - other).abs().amax() <= 4 * 120 * EPS[dtype] * largest


def test_the_gradient_by_a_multiplier_is_summed_in_double_precision():
    a = torch.zeros(1, requires_grad=True)
    h = linear_scan(a, torch.full((1, 200_000, 1), 0.1))
    h.sum().backward()  # Σ h_{k−1} p_k = 0.1 (T − 1); single precision would lose the fourth digit
    assert a.grad is not None
    assert a.grad.item() == pytest.approx(0.1 * 199_999, rel=2 * EPS[torch.float32])


def test_inputs_need_not_be_contiguous():
    a, v, initial = recurrence(0, 6, 40, 8, torch.float64)
    views = a[::2], v[::2, ::2, ::2], initial[::2, ::2]
    copies = [t.clone() for t in views]
    assert torch.equal(linear_scan(*views), linear_scan(*copies))


def test_chunks_of_time_with_the_state_passed_on_are_the_whole():
    a, v, initial = recurrence(1, 2, 100, 3, torch.complex128)
    whole, state, parts = linear_scan(a, v, initial), initial, []
    for chunk in v.split([1, 30, 69], 1):
        parts.append(linear_scan(a, chunk, state))
        state = parts[-1][:, -1]
    assert torch.equal(torch.cat(parts, 1), whole)
    for k in range(100):
        initial = linear_step(a, initial, v[:, k])
        torch.testing.assert_close(initial, whole[:, k], rtol=0, atol=1e-13)


def test_vmap_is_one_call_after_the_other():
    a, v, initial = recurrence(2, 2, 30, 3, torch.float64)
    many = torch.stack([a, -a, a / 2])
    together = torch.func.vmap(linear_scan, in_dims=(0, None, None))(many, v, initial)
    assert torch.equal(together, torch.stack([linear_scan(one, v, initial) for one in many]))
    per_sequence = linear_scan(many[:2], v, initial)
    assert torch.equal(per_sequence[1], linear_scan(many[1], v[1:], initial[1:])[0])


def test_a_hundred_thousand_steps():
    """Of a slow mode driven by ones: the geometric series (1 − a^{k+1})/(1 − a)."""
    a = torch.tensor([1 - 2.0**-10], dtype=torch.float64)
    h = linear_scan(a, torch.ones(1, 100_000, 1, dtype=torch.float64))[0, :, 0].numpy()
    exact = -np.expm1(np.arange(1, 100_001) * np.log1p(-(2.0**-10))) * 2.0**10
    np.testing.assert_allclose(h, exact, rtol=2 * 1024 * EPS[torch.float64])


def test_unstable_states_overflow_to_infinity_and_nothing_is_hidden():
    a = torch.tensor([2.0, 0.5])
    h = linear_scan(a, torch.ones(1, 200, 2))
    assert torch.isinf(h[0, -1, 0])
    assert torch.isfinite(h[0, :, 1]).all()
    v = torch.ones(1, 5, 2)
    v[0, 2, 1] = torch.nan
    assert torch.isnan(linear_scan(a, v)[0, :, 1]).tolist() == [False, False, True, True, True]


# --- kernels ----------------------------------------------------------------------------------------


@steady
@given(
    seed=st.integers(0, 999),
    channels=st.integers(1, 3),
    modes=st.integers(1, 5),
    horizon=st.sampled_from([1, 2, 3, 9, 10, 16, 101]),
    pairs=st.booleans(),
)
def test_the_kernel_in_blocks_is_the_plain_one(seed, channels, modes, horizon, pairs):
    dtype = torch.complex128 if pairs else torch.float64
    z, _, _ = recurrence(seed, 1, 1, modes, dtype)
    c = noise(seed, channels, modes, dtype=dtype)
    fast, plain = (f(z, c, horizon, pairs=pairs) for f in (modal_kernel, naive_modal_kernel))
    assert fast.shape == (channels, horizon)
    assert fast.dtype == torch.float64
    # a power z^s by exp(s log z) has s |log z| roundings, and s |log z| |z|^s <= 1/e
    size = c.abs().sum(-1, keepdim=True)
    assert ((fast - plain).abs() <= 64 * EPS[torch.float64] * size * (1 + horizon**0.5)).all()


def test_the_kernel_is_the_impulse_response_of_the_recurrence():
    a, _, _ = recurrence(5, 1, 1, 4, torch.complex128)
    c = noise(6, 4, dtype=torch.complex128)
    impulse = torch.zeros(1, 60, 4, dtype=torch.complex128)
    impulse[:, 0] = 1
    response = 2 * (linear_scan(a, impulse) * c).sum(-1).real[0]
    torch.testing.assert_close(modal_kernel(a, c, 60, pairs=True), response, rtol=0, atol=1e-13)


def test_gradients_of_the_kernel():
    z, _, _ = recurrence(0, 1, 1, 3, torch.complex128)
    c = noise(1, 2, 3, dtype=torch.complex128)
    inputs = (z.requires_grad_(), c.requires_grad_())
    assert torch.autograd.gradcheck(lambda z, c: modal_kernel(z, c, 7, pairs=True), inputs)


def test_gradients_of_the_kernel_of_growing_modes_stay_finite_while_it_is():
    z = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    modal_kernel(z, torch.ones(1, dtype=torch.float64), 1000).sum().backward()
    # Σ s 2^{s−1} for s < 1000
    assert z.grad.item() == pytest.approx(998 * 2.0**999 + 1, rel=1e-12)


def test_a_mode_that_is_gone_after_one_step():
    z, c = torch.tensor([0.0, -0.5]), torch.tensor([3.0, 1.0])
    assert modal_kernel(z, c, 5).tolist() == [4.0, -0.5, 0.25, -0.125, 0.0625]


@pytest.mark.parametrize("time", [0, 1, 2, 17, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_convolution_is_the_sum(time, dtype):
    K, x = noise(0, 3, time, dtype=dtype), noise(1, 2, time, 3, dtype=dtype)
    y = fft_convolution(K, x)
    assert y.shape == x.shape
    exact = torch.zeros(2, time, 3, dtype=torch.float64)
    for k in range(time):
        exact[:, k] = torch.einsum("cs,bsc->bc", K[:, : k + 1].double(), x[:, : k + 1].flip(1).double())
    if time:
        size = K.norm(dim=1).max() * x.norm(dim=1).max()
        assert (y.double() - exact).abs().max() <= 8 * EPS[dtype] * np.log2(4 * time) * size


@pytest.mark.parametrize("workspace", [1 << 19, 1])
def test_the_convolution_in_parts_is_the_whole(workspace, monkeypatch):
    """Nineteen channels and three sequences, in parts of eight channels and one sequence at the least."""
    monkeypatch.setitem(convolution.AT_ONCE, "cpu", workspace)
    K, x = noise(0, 19, 30).requires_grad_(), noise(1, 3, 30, 19).requires_grad_()
    weight = noise(2, 3, 30, 19)
    lag = torch.arange(30)[:, None] - torch.arange(30)
    toeplitz = K[:, lag.clamp(min=0)] * (lag >= 0)
    plain = torch.einsum("cks,bsc->bkc", toeplitz, x)
    fast = fft_convolution(K, x)
    bound = 64 * EPS[torch.float64] * np.log2(60)
    assert (fast - plain).abs().max() <= bound * K.norm(dim=1).max() * x.norm(dim=1).max()
    found, expected = (torch.autograd.grad((y * weight).sum(), (K, x)) for y in (fast, plain))
    for gradient, exact in zip(found, expected, strict=True):
        assert (gradient - exact).abs().max() <= 3 * bound * weight.norm(dim=1).max() * 8


def test_the_convolution_has_all_derivatives():
    K, x = noise(0, 2, 5).requires_grad_(), noise(1, 2, 5, 2).requires_grad_()
    assert torch.autograd.gradcheck(fft_convolution, (K, x), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(fft_convolution, (K, x), check_fwd_over_rev=True)

    def gradients(K, x):  # of these the second derivatives are third ones of the convolution
        return torch.autograd.grad(fft_convolution(K, x).pow(3).sum(), (K, x), create_graph=True)

    assert torch.autograd.gradgradcheck(gradients, (K, x))


@pytest.mark.parametrize("wanted", [0, 1])
def test_a_gradient_that_nobody_wants_is_not_made(wanted, monkeypatch):
    inputs = [noise(0, 2, 5), noise(1, 3, 5, 2)]
    inputs[wanted].requires_grad_()
    other = (convolution._Convolution, convolution._Correlation)[wanted]
    y = fft_convolution(*inputs)
    monkeypatch.setattr(other, "apply", lambda *_: pytest.fail("a gradient was made"))
    y.sum().backward()
    assert inputs[wanted].grad is not None


@pytest.mark.parametrize("dims", [(0, 0), (0, None), (None, 0), (2, 3), (1, 1)])
def test_vmap_of_the_convolution_is_one_call_after_the_other(dims):
    K, x = noise(0, 4, 2, 5), noise(1, 4, 3, 5, 2)
    moved = [t[0] if dim is None else t.movedim(0, dim) for t, dim in zip((K, x), dims, strict=True)]

    def value_and_gradients(K, x):
        slopes = torch.func.grad(lambda K, x: fft_convolution(K, x).pow(2).sum(), argnums=(0, 1))
        return fft_convolution(K, x), *slopes(K, x)

    together = torch.func.vmap(value_and_gradients, in_dims=dims)(*moved)
    for i in range(4):
        one = value_and_gradients(K[0 if dims[0] is None else i], x[0 if dims[1] is None else i])
        for many, single in zip(together, one, strict=True):
            torch.testing.assert_close(many[i], single, rtol=0, atol=1e-12)


def test_a_hundred_thousand_steps_of_convolution():
    """A geometric memory of ones, as the scan has it: the same series by another way."""
    K = (1 - 2.0**-10) ** torch.arange(100_000, dtype=torch.float64)[None]
    y = fft_convolution(K, torch.ones(1, 100_000, 1, dtype=torch.float64))[0, :, 0].numpy()
    exact = -np.expm1(np.arange(1, 100_001) * np.log1p(-(2.0**-10))) * 2.0**10
    bound = 8 * EPS[torch.float64] * np.log2(200_000) * K.norm().item() * 100_000**0.5
    np.testing.assert_allclose(y, exact, rtol=0, atol=bound)


@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 0, 3), (2, 5, 0)])
def test_empty_sequences_have_empty_answers_and_zero_gradients(shape):
    _, time, channels = shape
    K, x = torch.ones(channels, time, requires_grad=True), torch.ones(shape, requires_grad=True)
    y = fft_convolution(K, x)
    y.sum().backward()
    assert y.shape == x.grad.shape == shape
    assert (K.grad == 0).all()


def test_nothing_of_the_future_is_seen():
    K, x = noise(0, 1, 50), noise(1, 1, 50, 1)
    later = x.clone()
    later[:, 30:] = 1e3
    difference = (fft_convolution(K, later) - fft_convolution(K, x))[:, :30]
    assert difference.abs().max() <= 1e3 * 50 * 64 * EPS[torch.float64]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: linear_scan(torch.ones(2), torch.ones(1, 3, 3)), ValueError, "multipliers"),
        (lambda: linear_scan(torch.ones(3), torch.ones(1, 3)), ValueError, r"\(batch, time, state\)"),
        (lambda: linear_scan(torch.ones(3), torch.ones(1, 2, 3), torch.ones(3)), ValueError, "initial"),
        (lambda: linear_scan(torch.ones(3).double(), torch.ones(1, 2, 3)), TypeError, "share a dtype"),
        (lambda: modal_kernel(torch.ones(2), torch.ones(2), 0), ValueError, "horizon must be at least 1"),
        (lambda: modal_kernel(torch.ones(2), torch.ones(2), 3, pairs=True), ValueError, "no conjugate"),
        (lambda: fft_convolution(torch.ones(2, 3), torch.ones(1, 4, 2)), ValueError, "kernel"),
        (lambda: fft_convolution(torch.ones(2, 3).double(), torch.ones(1, 3, 2)), TypeError, "real dtype"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
