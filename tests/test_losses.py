import copy
import itertools
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from curse_of_memory.losses import (
    TemporallyWeightedCrossEntropy,
    TemporallyWeightedMAE,
    TemporallyWeightedMSE,
)
from curse_of_memory.theory import bias
from tests.devices import DEVICES

EPS = {torch.float32: float(np.finfo(np.float32).eps), torch.float64: float(np.finfo(float).eps)}
steady = settings(derandomize=True, deadline=None, max_examples=40)
LOSSES = [TemporallyWeightedMSE, TemporallyWeightedMAE, TemporallyWeightedCrossEntropy]
POWERS = [-1, 0, 0.5, 1, 2, 10, math.inf]


# no tensors, which the types refuse, too
ARRAY: Any = np.zeros((2, 3, 1))
LIST: Any = [[[0.0]]]


def noise(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def pair(loss, dtype=torch.float64, device="cpu", batch=3, horizon=7):
    """Answers and truths that a loss accepts."""
    y_hat = noise(0, batch, horizon, 4).to(device, dtype)
    if loss is TemporallyWeightedCrossEntropy:
        return y_hat, torch.arange(batch * horizon, device=device).reshape(batch, horizon) % 4
    return y_hat, noise(1, batch, horizon, 4).to(device, dtype)


def step_errors(loss, y_hat, y):
    """The errors of torch's own losses, (batch, time) or (batch, time, channel)."""
    if loss is TemporallyWeightedCrossEntropy:
        return functional.cross_entropy(y_hat.mT, y, reduction="none")
    return (
        functional.mse_loss(y_hat, y, reduction="none")
        if loss is TemporallyWeightedMSE
        else (functional.l1_loss(y_hat, y, reduction="none"))
    )


# --- drop-in for torch.nn -----------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("loss", LOSSES)
def test_no_power_is_the_loss_of_torch(loss, reduction, dtype, device):
    y_hat, y = pair(loss, dtype, device)
    if loss is TemporallyWeightedCrossEntropy:
        plain = functional.cross_entropy(y_hat.mT, y, reduction=reduction)
    elif loss is TemporallyWeightedMSE:
        plain = functional.mse_loss(y_hat, y, reduction=reduction)
    else:
        plain = functional.l1_loss(y_hat, y, reduction=reduction)
    found = loss(reduction=reduction)(y_hat, y)
    assert found.dtype == dtype
    # sums of up to 84 terms, in whatever order the two kernels add them
    torch.testing.assert_close(found, plain, rtol=8 * EPS[dtype], atol=0)


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_weight_multiplies_the_error_of_its_step(loss, power):
    y_hat, y = pair(loss)
    t = np.arange(1.0, 8.0)
    w = np.where(t == 7, 7.0, 0.0) if power == math.inf else t**power / np.mean(t**power)
    errors = step_errors(loss, y_hat, y)
    weighted = errors * torch.from_numpy(w.reshape(-1, *[1] * (errors.ndim - 2)))
    expected = {"none": weighted, "sum": weighted.sum(), "mean": weighted.mean()}
    for reduction, value in expected.items():
        found = loss(power, reduction=reduction)(y_hat, y)
        torch.testing.assert_close(found, value, rtol=32 * EPS[torch.float64], atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("horizon", [1, 2, 64, 100_000])
@pytest.mark.parametrize("power", POWERS)
def test_weights_have_mean_one_and_never_overflow(power, horizon, dtype):
    w = TemporallyWeightedMSE(power).weights(horizon, dtype=dtype)
    assert w.dtype == dtype
    assert w.shape == (horizon,)
    assert torch.isfinite(w).all()
    # every weight is rounded once to dtype; the float64 mean sums 1e5 terms pairwise
    assert w.double().mean().item() == pytest.approx(1.0, abs=EPS[dtype] + 64 * EPS[torch.float64])
    steps = w.diff()
    assert (steps <= 0).all() if power < 0 else (steps >= 0).all()
    ones = torch.ones(1, horizon, 1, dtype=dtype)
    loss = TemporallyWeightedMSE(power)(ones, 0 * ones)
    assert loss.item() == pytest.approx(1.0, rel=32 * EPS[dtype])


@pytest.mark.parametrize("loss", LOSSES)
def test_one_step_has_weight_one(loss):
    y_hat, y = pair(loss, horizon=1)
    for power in POWERS:
        torch.testing.assert_close(loss(power)(y_hat, y), loss()(y_hat, y), rtol=EPS[torch.float64], atol=0)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_weight_may_be_a_bias_or_a_function(loss):
    y_hat, y = pair(loss)
    by_power = loss(0.5)(y_hat, y)
    for weight in (np.sqrt, lambda t: 100 * np.sqrt(t), bias.power(0.5), bias.from_formula("sqrt(t)")):
        # mean-one scaling forgets the factor, up to rounding
        torch.testing.assert_close(
            loss(weight=weight)(y_hat, y), by_power, rtol=16 * EPS[torch.float64], atol=0
        )
    growing = loss(weight=bias.exponential(0.3)).weights(7).numpy()
    exact = np.exp(0.3 * np.arange(1, 8))
    np.testing.assert_allclose(growing, exact / exact.mean(), rtol=16 * EPS[torch.float64])


def test_weights_are_the_callers_own_and_a_function_is_asked_each_time():
    kept, bumps = TemporallyWeightedMSE(power=1), [1.0]
    kept.weights(3).zero_()
    assert kept.weights(3).tolist() == TemporallyWeightedMSE(power=1).weights(3).tolist() == [0.5, 1.0, 1.5]
    asked = TemporallyWeightedMSE(weight=lambda t: t + bumps[0])
    assert asked.weights(2).tolist() == pytest.approx([0.8, 1.2], rel=1e-15)
    bumps[0] = 0.0
    assert asked.weights(2).tolist() == pytest.approx([2 / 3, 4 / 3], rel=1e-15)


@steady
@given(
    w=st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=12),
    factor=st.floats(1e-6, 1e6),
    seed=st.integers(0, 2**31),
)
def test_only_the_shape_of_a_weight_counts(w, factor, seed):
    table = np.array(w)
    y_hat, y = noise(seed, 2, 2, table.size, 1)
    losses = [
        TemporallyWeightedMSE(weight=lambda t, c=c: c * table[np.rint(t).astype(int) - 1])(y_hat, y)
        for c in (1.0, factor)
    ]
    torch.testing.assert_close(*losses, rtol=32 * EPS[torch.float64], atol=0)


@pytest.mark.parametrize("power", [0, 0.5, 1, 2, 5])
def test_inside_the_square_a_power_counts_twice(power):
    """The public code weighs both outputs: (w ŷ − w y)², which is the paper's weight at 2p."""
    T = 7
    y_hat, y = pair(TemporallyWeightedMSE, horizon=T)
    inside = TemporallyWeightedMSE(power, form="inside_square")
    w = inside.weights(T)[:, None]
    found = inside(y_hat, y)
    by_hand = functional.mse_loss(w * y_hat, w * y)
    torch.testing.assert_close(found, by_hand, rtol=32 * EPS[torch.float64], atol=0)
    t = np.arange(1.0, T + 1)
    factor = np.mean(t ** (2 * power)) / np.mean(t**power) ** 2
    doubled = factor * TemporallyWeightedMSE(2 * power)(y_hat, y)
    torch.testing.assert_close(found, doubled, rtol=64 * EPS[torch.float64], atol=0)
    assert power == 0 or factor > 1


@pytest.mark.parametrize("power", POWERS)
def test_on_logits_the_weight_is_a_temperature(power):
    logits, classes = pair(TemporallyWeightedCrossEntropy)
    loss = TemporallyWeightedCrossEntropy(power, form="on_logits")
    scaled = logits * loss.weights(7)[:, None]
    by_hand = torch.nn.CrossEntropyLoss()(scaled.flatten(0, 1), classes.flatten())
    torch.testing.assert_close(loss(logits, classes), by_hand, rtol=32 * EPS[torch.float64], atol=0)
    if power == math.inf:  # steps without weight are at infinite temperature: log(classes) each
        each = TemporallyWeightedCrossEntropy(power, form="on_logits", reduction="none")(logits, classes)
        torch.testing.assert_close(each[:, :-1], torch.full((3, 6), math.log(4)).double())


@pytest.mark.parametrize("form", ["paper", "public_code"])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_differences(loss, form):
    y_hat, y = pair(loss)
    other = {TemporallyWeightedMSE: "inside_square", TemporallyWeightedCrossEntropy: "on_logits"}
    options = {} if form == "paper" or loss not in other else {"form": other[loss]}
    for reduction in ("mean", "none"):
        criterion = loss(2, reduction=reduction, **options)
        assert torch.autograd.gradcheck(lambda v, c=criterion: c(v, y), (y_hat.clone().requires_grad_(),))


def test_the_gradient_of_late_steps_is_larger():
    y_hat = torch.zeros(1, 5, 1, requires_grad=True)
    TemporallyWeightedMSE(2)(y_hat, torch.ones(1, 5, 1)).backward()
    t = torch.arange(1.0, 6.0)
    assert y_hat.grad is not None
    torch.testing.assert_close(y_hat.grad.flatten(), -2 / 5 * t**2 / (t**2).mean())


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_modules_that_copy_pickle_and_print(loss):
    y_hat, y = pair(loss)
    criterion = loss(2)
    for twin in (copy.deepcopy(criterion), pickle.loads(pickle.dumps(criterion))):
        assert torch.equal(twin(y_hat, y), criterion(y_hat, y))
    assert "t^2" in repr(criterion)
    assert not list(criterion.parameters())


# --- what a drop-in for the cross-entropy must know -----------------------------------------------

CASES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**31),
        "kind": st.sampled_from(["labels", "probabilities"]),
        "ignored": st.floats(0.0, 0.9),
        "ignore_index": st.sampled_from([-100, 0, 3, 77]),
        "label_smoothing": st.sampled_from([0.0, 0.1, 0.5, 1.0]),
        "weighted": st.booleans(),
        "reduction": st.sampled_from(["mean", "sum", "none"]),
    }
)


def labelled(case, batch=3, horizon=5, classes=4):
    """Logits, labels or probabilities, and the options that torch's loss has, too."""
    rng = np.random.default_rng(case["seed"])
    logits = torch.from_numpy(rng.standard_normal((batch, horizon, classes))).requires_grad_()
    options = {name: case[name] for name in ("ignore_index", "label_smoothing", "reduction")}
    options["weight"] = torch.from_numpy(rng.uniform(0.1, 3.0, classes)) if case["weighted"] else None
    if case["kind"] == "probabilities":
        options["ignore_index"] = -100  # torch takes no other beside probabilities
        return logits, torch.from_numpy(rng.dirichlet(np.ones(classes), (batch, horizon))), options
    labels = torch.from_numpy(rng.integers(0, classes, (batch, horizon)))
    labels[torch.from_numpy(rng.random((batch, horizon))) < case["ignored"]] = case["ignore_index"]
    labels[0, 0] = 1  # one that counts: without any the mean is NaN
    return logits, labels, options


@steady
@given(case=CASES)
def test_no_power_is_the_cross_entropy_of_torch_with_all_its_options(case):
    logits, labels, options = labelled(case)
    theirs = torch.nn.CrossEntropyLoss(**options)(
        logits.mT, labels.mT if labels.is_floating_point() else labels
    )
    ours = TemporallyWeightedCrossEntropy(**options)(logits, labels)
    # sums of up to 60 terms below 3 · 10, in whatever order the two add them
    tolerance = 32 * EPS[torch.float64]
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    along = noise(case["seed"], *ours.shape)
    gradients = [torch.autograd.grad(loss, logits, along)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=tolerance, atol=tolerance)


@steady
@given(case=CASES, power=st.sampled_from([-1, 0.5, 2]), clock=st.sampled_from(["own", "batch"]))
def test_with_weights_the_mean_is_over_what_counts(case, power, clock):
    """The formula of the docstring, number by number."""
    logits, labels, options = labelled(case)
    if clock == "own" and case["kind"] == "labels":
        labels[:, 2] = 1  # every target has one that counts
    options |= {"reduction": "mean", "clock": clock}
    w = np.tile((np.arange(1.0, 6.0) ** power), (3, 1))
    if clock == "own" and case["kind"] == "labels":
        for row, target in zip(w, labels.numpy(), strict=True):
            own = np.flatnonzero(target != case["ignore_index"])
            row[own] = np.arange(1.0, len(own) + 1) ** power
            row[own] /= row[own].mean()
    log_p = torch.log_softmax(logits, -1).detach().numpy()
    omega = np.ones(4) if options["weight"] is None else options["weight"].numpy()
    above = below = 0.0
    for b, t in itertools.product(range(3), range(5)):
        spread = case["label_smoothing"] / 4
        if case["kind"] == "probabilities":
            share, unit = labels[b, t].numpy(), 1.0
        elif (label := int(labels[b, t])) == case["ignore_index"]:
            continue
        else:
            share, unit = np.eye(4)[label], omega[label]
        share = (1 - case["label_smoothing"]) * share + spread
        above -= w[b, t] * (omega * share * log_p[b, t]).sum()
        below += w[b, t] * unit
    found = TemporallyWeightedCrossEntropy(power, **options)(logits, labels)
    if below == 0:
        assert torch.isnan(found)
    else:
        assert found.item() == pytest.approx(above / below, rel=1e3 * EPS[torch.float64])


@pytest.mark.parametrize("power", [0, 1, 10])
def test_ignored_labels_do_not_count(power):
    """An error that is the same at all labelled steps is the loss, whatever the weights are."""
    logits = torch.tensor([3.0, 0.0, 0.0]).expand(2, 10, 3)
    labels = torch.ones(2, 10, dtype=torch.long)
    labels[:, :4] = -100
    cost = math.log(math.exp(3) + 2)
    assert TemporallyWeightedCrossEntropy(power)(logits, labels).item() == pytest.approx(cost, rel=1e-6)
    kept = TemporallyWeightedCrossEntropy(power, reduction="none")(logits, labels)
    assert not kept[:, :4].any()
    nothing = TemporallyWeightedCrossEntropy(power, clock="batch")(logits, torch.full_like(labels, -100))
    assert torch.isnan(nothing)


# --- targets of differing lengths ---------------------------------------------------------------

LENGTHS = torch.tensor([7, 3, 1])


@pytest.mark.parametrize("power", [-1, 0, 0.5, 2, math.inf])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_target_of_a_batch_counts_as_by_itself(loss, power):
    """The mean of a batch is that of its targets alone, each cut to its length, by their steps."""
    y_hat, y = pair(loss)
    apart = [
        loss(power)(one[None, :n], other[None, :n])
        for one, other, n in zip(y_hat, y, LENGTHS.tolist(), strict=True)
    ]
    mean = (torch.stack(apart) * LENGTHS).sum() / LENGTHS.sum()
    torch.testing.assert_close(loss(power)(y_hat, y, lengths=LENGTHS), mean, rtol=1e-14, atol=0)


@pytest.mark.parametrize("loss", LOSSES)
def test_by_the_clock_of_the_batch_steps_keep_their_weights(loss):
    y_hat, y = pair(loss)
    apart = loss(2, clock="batch", reduction="none")(y_hat, y, lengths=LENGTHS)
    whole = loss(2, reduction="none")(y_hat, y)
    counts = (torch.arange(7) < LENGTHS[:, None]).view(3, 7, *[1] * (whole.ndim - 2))
    torch.testing.assert_close(apart, whole * counts, rtol=1e-15, atol=0)
    w = loss(2).weights(7)
    shares = sum(float(w[:n].sum()) for n in LENGTHS.tolist())
    found = loss(2, clock="batch")(y_hat, y, lengths=LENGTHS)
    assert found.item() == pytest.approx(apart.sum().item() / (shares * (whole[0, 0].numel())), rel=1e-14)


@pytest.mark.parametrize("number", [1e30, math.inf, math.nan])
@pytest.mark.parametrize("targets", ["labels", "probabilities"])
@pytest.mark.parametrize("loss", LOSSES)
def test_what_stands_beyond_a_length_reaches_neither_loss_nor_gradient(loss, targets, number):
    y_hat, y = pair(loss)
    if targets == "probabilities":
        y = noise(2, 3, 7, 4).softmax(-1)
    counts = torch.arange(7) < LENGTHS[:, None]
    plain = y_hat.requires_grad_()
    strange = torch.where(counts[..., None], plain.detach(), number).requires_grad_()
    beyond = y.clone()
    beyond[~counts] = math.nan if y.is_floating_point() else 3
    losses = [loss(1)(plain, y, lengths=LENGTHS), loss(1)(strange, beyond, lengths=LENGTHS)]
    assert losses[0] == losses[1]
    gradients = [
        torch.autograd.grad(value, of)[0] for value, of in zip(losses, (plain, strange), strict=True)
    ]
    assert torch.equal(*gradients)
    assert not gradients[0][~counts].any()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.uint16, torch.uint64])
@pytest.mark.parametrize("loss", LOSSES)
def test_lengths_are_whole_numbers_of_any_size(loss, dtype):
    y_hat, y = pair(loss)
    whole = loss(1)(y_hat, y, lengths=LENGTHS)
    assert torch.equal(loss(1)(y_hat, y, lengths=LENGTHS.to(dtype)), whole)


def test_labels_that_are_bytes_are_none_that_torch_takes_for_the_ignored_one():
    """256 − 100 is a class."""
    labels = torch.tensor([[156, 1, 200]], dtype=torch.uint8)
    criterion = TemporallyWeightedCrossEntropy(1)
    logits = noise(0, 1, 3, 300)
    assert torch.equal(criterion(logits, labels), criterion(logits, labels.long()))
    assert criterion.counted(labels) == criterion.counted(labels.long()) == 3


@pytest.mark.parametrize("clock", ["own", "batch"])
@pytest.mark.parametrize("power", [0, 2])
@pytest.mark.parametrize("loss", LOSSES)
def test_in_half_precision_a_mean_is_finite_where_a_sum_is_not(loss, power, clock):
    """Some 9000 errors of 4 and more, and up to 65504 there are numbers."""
    y_hat, y = pair(loss, torch.float16, batch=30, horizon=300)
    y_hat *= 8
    for lengths in (None, torch.arange(271, 301)):
        found = loss(power, clock=clock)(y_hat, y, lengths=lengths)
        exact = loss(power, clock=clock)(
            y_hat.double(), y.double() if y.is_floating_point() else y, lengths=lengths
        )
        assert found.dtype == torch.float16
        # errors and result are rounded to 2⁻¹¹ each, squares twice
        assert found.item() == pytest.approx(exact.item(), rel=4 * 2.0**-11)
        assert exact * y_hat[..., 0].numel() * (1 if y.ndim == 2 else 4) > torch.finfo(torch.float16).max


@pytest.mark.parametrize("loss", LOSSES)
def test_the_weight_of_a_late_step_need_not_be_a_number_of_half_precision(loss):
    y_hat = torch.ones(1, 70_000, 2, dtype=torch.float16)
    y = y_hat[..., 0].long() if loss is TemporallyWeightedCrossEntropy else 0 * y_hat
    expected = math.log(2) if loss is TemporallyWeightedCrossEntropy else 1.0
    assert loss(math.inf)(y_hat, y).item() == pytest.approx(expected, rel=2.0**-10)


@pytest.mark.parametrize("power", POWERS)
def test_the_weight_of_a_step_is_read_off_the_gradient_of_its_logits(power):
    """At equal logits of two classes the gradient of the sum is ∓w_t/2, t counted by each target's labels."""
    logits = torch.zeros(3, 6, 2, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[0, 1, 1, 0, 1, 0], [1, 0, 1, -100, -100, -100], [-100, -100, 1, 0, 0, -100]])
    TemporallyWeightedCrossEntropy(power, reduction="sum")(logits, labels).backward()
    assert logits.grad is not None
    found = 2 * logits.grad.abs().sum(-1) / 2
    ticks = torch.tensor([[1, 2, 3, 4, 5, 6], [1, 2, 3, 0, 0, 0], [0, 0, 1, 2, 3, 0]], dtype=torch.float64)
    last = ticks.amax(1, keepdim=True)
    w = torch.where(ticks > 0, (ticks / last) ** power, 0)
    torch.testing.assert_close(found, w * last / w.sum(1, keepdim=True), rtol=1e-14, atol=0)


def test_lengths_are_ignored_labels():
    logits, classes = pair(TemporallyWeightedCrossEntropy)
    ignored = classes.where(torch.arange(7) < LENGTHS[:, None], -100)
    for options in ({"power": 2}, {"power": 2, "form": "on_logits"}, {"power": 1, "clock": "batch"}):
        criterion = TemporallyWeightedCrossEntropy(**options)  # pyright: ignore[reportArgumentType]
        assert torch.equal(criterion(logits, classes, lengths=LENGTHS), criterion(logits, ignored))


def test_class_weights_move_with_the_loss_and_may_stand_beside_those_over_time():
    logits, classes = pair(TemporallyWeightedCrossEntropy)
    omega = torch.tensor([1.0, 2.0, 0.5, 3.0])
    both = TemporallyWeightedCrossEntropy(weight=np.sqrt, class_weight=omega)
    torch.testing.assert_close(
        both(logits, classes), TemporallyWeightedCrossEntropy(0.5, weight=omega)(logits, classes)
    )
    moved = both.double().class_weight
    assert moved is not None
    assert moved.dtype == torch.float64
    assert "4 classes weighted" in repr(both)


def test_under_autocast_weights_keep_the_precision_of_the_errors():
    logits = noise(0, 4, 300, 5).bfloat16()
    labels = torch.arange(1200).reshape(4, 300) % 5
    criterion = TemporallyWeightedCrossEntropy(2, weight=torch.tensor([1.0, 1.001, 1.003, 1.01, 3.1]))
    exact = criterion(logits.double(), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = criterion(logits, labels)
    assert found.dtype == torch.float32
    # bf16 weights would be off by 2⁻⁹ each, and their sum by as much
    torch.testing.assert_close(found.double(), exact, rtol=64 * EPS[torch.float32], atol=0)


# --- complex outputs ------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [TemporallyWeightedMSE, TemporallyWeightedMAE])
@pytest.mark.parametrize("power", [0, 2])
def test_a_complex_error_counts_by_its_modulus(loss, power):
    error = torch.complex(noise(0, 3, 7, 2), noise(1, 3, 7, 2)).requires_grad_()
    w = torch.arange(1.0, 8.0).double() ** power
    modulus = error.detach().abs()
    by_hand = (w / w.mean())[:, None] * (modulus**2 if loss is TemporallyWeightedMSE else modulus)
    found = loss(power)(error, torch.zeros_like(error))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, by_hand.mean(), rtol=32 * EPS[torch.float64], atol=0)
    assert torch.autograd.gradcheck(lambda e: loss(power)(e, torch.zeros_like(e)), (error,))


def test_the_expected_loss_of_a_complex_error_is_that_of_its_two_parts():
    loss, real, imaginary = TemporallyWeightedMSE(1), noise(0, 5, 2, 1), noise(1, 5, 2, 1)
    whole = loss.expected(torch.complex(real, imaginary))
    torch.testing.assert_close(
        whole, loss.expected(real) + loss.expected(imaginary), rtol=32 * EPS[torch.float64], atol=0
    )


# --- the expected loss of linear models ---------------------------------------------------------


@pytest.mark.parametrize("inputs", bias.INPUTS)
@pytest.mark.parametrize("power", [-1, 0, 2, 10, math.inf])
@pytest.mark.parametrize(("dt", "variance"), [(1.0, 1.0), (0.3, 2.5)])
def test_expected_is_the_theorem(power, inputs, dt, variance):
    T, rng = 40, np.random.default_rng(2)
    rho, rho_hat = rng.normal(size=T), rng.normal(size=(3, 2, T))
    kind = {"inputs": inputs, "dt": dt, "variance": variance}
    theory = bias.weighted_error(rho, rho_hat, bias.power(power), unit_mean=True, **kind)
    error = torch.from_numpy(rho_hat - rho)[..., None, None]
    loss = TemporallyWeightedMSE(power)
    found = loss.expected(error, **kind)
    assert found.shape == (3, 2)
    # sums of T terms on both sides, of sums of T terms in b and in the random walk
    np.testing.assert_allclose(found, theory, rtol=4 * T * EPS[torch.float64])
    single = loss.expected(error.float(), **kind)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, theory, rtol=4 * T * EPS[torch.float32])


def test_expected_takes_weights_over_steps_as_the_loss_does():
    """w is a function of the step number; the theory's of time, so that a rate is scaled by dt."""
    T, dt = 20, 0.25
    error = noise(0, T)
    theory = bias.weighted_error(error, 0 * error, bias.exponential(0.2 / dt), dt=dt, unit_mean=True)
    found = TemporallyWeightedMSE(weight=bias.exponential(0.2)).expected(error[:, None, None], dt=dt)
    assert found.item() == pytest.approx(theory, rel=4 * T * EPS[torch.float64])


@pytest.mark.parametrize("form", ["error", "inside_square"])
@pytest.mark.parametrize("inputs", bias.INPUTS)
def test_squared_residuals_add_up_to_the_expected_loss(inputs, form):
    T, o, i = 9, 3, 2
    error, offset = noise(0, 5, T, o, i), noise(1, 5, T, o)
    kind = {"offset_error": offset, "inputs": inputs, "dt": 0.5, "variance": 2.0}
    loss = TemporallyWeightedMSE(1, form=form)
    residuals = loss.residuals(error, **kind)
    assert residuals.shape == (5, T * o * i + T * o)
    expected = loss.expected(error, **kind)
    torch.testing.assert_close(residuals.square().sum(-1), expected, rtol=EPS[torch.float64], atol=0)
    # and by the formula of the docstring
    w = loss.effective_weights(T).numpy()
    B = w[::-1].cumsum()[::-1]
    rho = error.numpy().cumsum(1) if inputs == "random_walk" else error.numpy()
    by_hand = (
        2.0 * 0.25 * (B[:, None, None] * rho**2).sum((1, 2, 3))
        + (w[:, None] * offset.numpy() ** 2).sum((1, 2))
    ) / (T * o)
    np.testing.assert_allclose(expected, by_hand, rtol=4 * T * o * i * EPS[torch.float64])


@pytest.mark.parametrize("form", ["error", "inside_square"])
@pytest.mark.parametrize("inputs", bias.INPUTS)
@pytest.mark.parametrize("with_offset", [False, True])
def test_expected_is_the_mean_of_sampled_losses_of_many_channels(inputs, with_offset, form):
    T, o, i, N, dt, variance = 10, 2, 3, 20_000, 0.5, 1.7
    kernel = noise(3, T, o, i)
    offset = noise(4, T, o) if with_offset else None
    x = math.sqrt(variance) * noise(5, N, T, i)
    if inputs == "random_walk":
        x = x.cumsum(1)
    errors = torch.zeros(N, T, o, dtype=torch.float64)
    for k, s in itertools.product(range(T), range(T)):
        if s <= k:
            errors[:, k] += dt * x[:, k - s] @ kernel[s].T
    if offset is not None:
        errors += offset
    loss = TemporallyWeightedMSE(2, form=form, reduction="none")
    sample = loss(errors, torch.zeros_like(errors)).mean((1, 2))
    exact = loss.expected(kernel, offset_error=offset, dt=dt, variance=variance, inputs=inputs).item()
    standard_error = sample.std().item() / math.sqrt(N)
    assert abs(sample.mean().item() - exact) < 5 * standard_error
    assert standard_error < 0.02 * exact


def test_an_offset_alone_is_the_plain_weighted_loss():
    offset = noise(0, 6, 2)
    loss = TemporallyWeightedMSE(3)
    found = loss.expected(torch.zeros(6, 2, 1, dtype=torch.float64), offset_error=offset)
    plain = loss(offset[None], torch.zeros(1, 6, 2, dtype=torch.float64))
    torch.testing.assert_close(found, plain, rtol=32 * EPS[torch.float64], atol=0)


@pytest.mark.parametrize("inputs", bias.INPUTS)
def test_expected_is_differentiable(inputs):
    loss = TemporallyWeightedMSE(2)
    kernel, offset = noise(0, 4, 2, 1).requires_grad_(), noise(1, 4, 2).requires_grad_()

    def expected(k, o):
        return loss.expected(k, offset_error=o, dt=0.5, inputs=inputs)

    assert torch.autograd.gradcheck(expected, (kernel, offset))
    # a perfect memory is a minimum, with a gradient of zero and no NaN from square roots
    zero = torch.zeros(4, 2, 1, requires_grad=True)
    loss.expected(zero, inputs=inputs).backward()
    assert zero.grad is not None
    assert not zero.grad.any()


@steady
@given(seed=st.integers(0, 2**31), power=st.floats(-2.0, 12.0))
def test_expected_prefers_short_memory(seed, power):
    """One error at lag s costs b(s): less than the same error at any shorter lag."""
    T = 12
    size = noise(seed, 1).abs().item() + 0.1
    errors = size * torch.eye(T, dtype=torch.float64)[..., None, None]
    costs = TemporallyWeightedMSE(power).expected(errors)
    assert (costs > 0).all()
    assert (costs.diff() <= 0).all()
    b = bias.power(power).discrete(T, normalize="head")
    np.testing.assert_allclose(costs / costs[0], b, rtol=0, atol=4 * T * EPS[torch.float64])


# --- refusals -----------------------------------------------------------------------------------

y3 = torch.zeros(2, 3, 1)
cross_entropy = TemporallyWeightedCrossEntropy


def zero_at_two(t: np.ndarray) -> np.ndarray:
    return t - 2


def undefined(t: np.ndarray) -> np.ndarray:
    return t * math.nan


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: TemporallyWeightedMSE(1, weight=np.sqrt), ValueError, "either power or weight, not both"),
        (lambda: TemporallyWeightedMAE(1, weight=bias.power(1)), ValueError, "either power or weight"),
        (lambda: TemporallyWeightedMSE(math.nan), ValueError, "power must be finite"),
        (lambda: TemporallyWeightedMSE(-math.inf), ValueError, "power must be finite"),
        (lambda: TemporallyWeightedMSE("2"), TypeError, "power must be a real number"),  # pyright: ignore[reportArgumentType]
        (lambda: TemporallyWeightedMSE(weight=2.0), TypeError, "must be callable"),  # pyright: ignore[reportArgumentType]
        (lambda: TemporallyWeightedMSE(weight=zero_at_two)(y3, y3), ValueError, "must be positive"),
        (lambda: TemporallyWeightedMSE(weight=undefined)(y3, y3), ValueError, "must be finite"),
        (lambda: TemporallyWeightedMSE(reduction="meen"), ValueError, "did you mean 'mean'"),
        (lambda: TemporallyWeightedMSE(form="inside_sqare"), ValueError, "did you mean 'inside_square'"),
        (lambda: TemporallyWeightedMSE(form="on_logits"), ValueError, "form must be one of 'error'"),
        (lambda: TemporallyWeightedCrossEntropy(form="on_logit"), ValueError, "did you mean 'on_logits'"),
        (lambda: TemporallyWeightedMSE()(y3, y3[:, :2]), ValueError, r"\(2, 3, 1\) and \(2, 2, 1\)"),
        (lambda: TemporallyWeightedMSE()(y3, y3[..., 0]), ValueError, "must both have shape"),
        (lambda: TemporallyWeightedMAE()(y3[0], y3[0]), ValueError, "must both have shape"),
        (lambda: cross_entropy()(y3, y3[..., 0]), ValueError, "logits must have shape"),
        (lambda: TemporallyWeightedCrossEntropy()(y3, y3[:, :2, 0]), ValueError, "logits must have shape"),
        (lambda: TemporallyWeightedMSE().weights(0), ValueError, "horizon must be at least 1"),
        (
            lambda: TemporallyWeightedMSE()(ARRAY, y3),
            TypeError,
            "y_hat must be a torch.Tensor, got ndarray",
        ),
        (lambda: TemporallyWeightedMAE()(y3, LIST), TypeError, "y must be a torch.Tensor, got list"),
        (
            lambda: TemporallyWeightedMSE()(y3.long(), y3.long()),
            TypeError,
            "y_hat must be of a floating-point",
        ),
        (
            lambda: cross_entropy()(y3.long(), y3[..., 0].long()),
            TypeError,
            "logits must be of a floating-point",
        ),
        (lambda: cross_entropy()(y3, y3[..., 0].bool()), TypeError, "classes must be whole numbers, or"),
        (
            lambda: cross_entropy(weight=y3),
            ValueError,
            r"class_weight must be real numbers of shape \(class,\)",
        ),
        (
            lambda: cross_entropy(class_weight=[1.0]),  # pyright: ignore[reportArgumentType]
            TypeError,
            "class_weight must be a torch.Tensor, got list",
        ),
        (
            lambda: cross_entropy(weight=y3[0, :, 0], class_weight=y3[0, :, 0]),
            ValueError,
            "class_weight must not",
        ),
        (
            lambda: cross_entropy(weight=torch.ones(2))(y3, y3[..., 0].long()),
            ValueError,
            "of 1 classes as logits",
        ),
        (lambda: cross_entropy(clock="mine"), ValueError, "clock must be one of 'own', 'batch'"),
        (
            lambda: cross_entropy(1)(y3, torch.tensor([[0, 0, 0], [-100, -100, -100]])),
            ValueError,
            "and row 1 has none",
        ),
        (
            lambda: TemporallyWeightedMSE(1)(y3, y3, lengths=torch.tensor([0, 3])),
            ValueError,
            "lengths must be 1 to 3, the steps there are, got 0 to 3",
        ),
        (
            lambda: TemporallyWeightedMAE(1)(y3, y3, lengths=torch.tensor([1, 4])),
            ValueError,
            "lengths must be 1 to 3, the steps there are, got 1 to 4",
        ),
        (
            lambda: cross_entropy(1)(y3, y3[..., 0].long(), lengths=torch.tensor([3])),
            ValueError,
            r"lengths must be whole numbers of shape \(batch,\) = \(2,\)",
        ),
        (
            lambda: TemporallyWeightedMSE(1)(y3, y3, lengths=torch.tensor([3.0 + 0j, 3.0])),
            ValueError,
            "lengths must be whole numbers of shape",
        ),
        (
            lambda: cross_entropy(1)(y3, y3[..., 0].long(), lengths=[3, 3]),  # pyright: ignore[reportArgumentType]
            TypeError,
            "lengths must be a torch.Tensor, got list",
        ),
        (lambda: cross_entropy(label_smoothing=1.5), ValueError, "label_smoothing must be at most 1"),
        (lambda: cross_entropy(label_smoothing=-0.1), ValueError, "label_smoothing must not be negative"),
        (lambda: cross_entropy(ignore_index=0.5), TypeError, "ignore_index must be a whole number"),  # pyright: ignore[reportArgumentType]
        (lambda: cross_entropy(ignore_index=True), TypeError, "ignore_index must be a whole number"),
        (
            lambda: TemporallyWeightedMSE().expected(y3[..., None], inputs="brown"),
            ValueError,
            "inputs must be one of 'white', 'random_walk'",
        ),
    ],
)
def test_bad_input_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_expected_loss_refuses_what_it_cannot_mean():
    loss, error = TemporallyWeightedMSE(), torch.ones(4, 1, 1)
    with pytest.raises(ValueError, match="variance must not be negative"):
        loss.expected(error, variance=-1.0)
    with pytest.raises(ValueError, match=r"kernel_error must have shape \(\.\.\., time, output, input\)"):
        loss.expected(torch.ones(4))
