import math

import numpy as np
import pytest
import torch
from torch import nn

from curse_of_memory.tasks import TeacherFilter, random_rnn, random_transformer

EPS = float(np.finfo(float).eps)


def test_a_random_rnn_is_its_time_loop():
    task = TeacherFilter(random_rnn(8, seed=0, input_size=2, output_size=3), 12, input_size=2)
    x, y = task.sample(4, seed=1, dtype=torch.float64)
    assert y.shape == (4, 12, 3)
    assert task.output_size == 3
    w = {name: value.double() for name, value in task.model.state_dict().items()}
    h = torch.zeros(4, 8, dtype=torch.float64)
    for t in range(12):
        h = torch.tanh(
            h @ w["recurrence.weight_hh_l0"].T
            + x[:, t] @ w["recurrence.weight_ih_l0"].T
            + w["recurrence.bias_hh_l0"]
            + w["recurrence.bias_ih_l0"]
        )
        exact = h @ w["readout.weight"].T + w["readout.bias"]
        torch.testing.assert_close(y[:, t], exact, rtol=0, atol=64 * 12 * EPS)


def test_many_sequences_are_answered_as_few_are():
    task = TeacherFilter(random_rnn(4, seed=0), 5, normalized=True)
    x = task.sample(2100, seed=1, dtype=torch.float64).inputs  # more than are answered at a time, twice
    few = torch.cat([task.answer(some) for some in x.split(7)])
    torch.testing.assert_close(task.answer(x), few, rtol=0, atol=64 * EPS)
    assert task.answer(x[:0]).shape == (0, 5, 1)


def test_a_random_transformer_is_its_formulas():
    model = random_transformer(6, heads=2, feedforward=10, seed=0)
    task = TeacherFilter(model, 9)
    x, y = task.sample(3, seed=1, dtype=torch.float64)
    w = {name: value.double().numpy() for name, value in model.state_dict().items()}

    def affine(name, value):
        return value @ w[f"{name}weight"].T + w[f"{name}bias"]

    def normalized(value):
        return (value - value.mean(-1, keepdims=True)) / np.sqrt(value.var(-1, keepdims=True) + 1e-5)

    for inputs, targets in zip(x.numpy(), y.numpy(), strict=True):
        z = affine("readin.", inputs)
        q, k, v = np.split(affine("layer.self_attn.in_proj_", z), 3, axis=1)
        seen = np.zeros_like(z)
        for head in (slice(0, 3), slice(3, 6)):
            for t in range(9):
                weights = np.exp(k[: t + 1, head] @ q[t, head] / math.sqrt(3))
                seen[t, head] = weights @ v[: t + 1, head] / weights.sum()
        z = normalized(z + affine("layer.self_attn.out_proj.", seen))  # new norms have no scale or shift
        z = normalized(z + affine("layer.linear2.", np.maximum(affine("layer.linear1.", z), 0)))
        # two normalisations, which divide by deviations of about 0.1 and more
        np.testing.assert_allclose(targets, affine("readout.", z), rtol=0, atol=1e4 * EPS)


@pytest.mark.parametrize(
    "model", [random_rnn(8, 0), random_transformer(8, 2, 16, 0)], ids=["rnn", "attention"]
)
def test_teachers_remember_and_do_not_foresee(model):
    """What the public code got wrong: attention over samples, dropout, and answers that see no past."""
    task = TeacherFilter(model, 10)
    x = task.sample(5, seed=0, dtype=torch.float64).inputs
    y = task.answer(x)
    assert torch.equal(y, task.answer(x))  # no noise
    changed = x.clone()
    changed[:, 4] += 1
    moved = (task.answer(changed) - y).abs().amax((0, 2))
    assert moved[:4].max() <= 64 * EPS
    assert moved[4:7].min() > 1e-6
    alone = torch.cat([task.answer(row[None]) for row in x])
    torch.testing.assert_close(alone, y, rtol=0, atol=1e3 * EPS)  # samples do not see each other


def test_there_is_no_dropout_to_switch_off():
    model = random_transformer(8, 2, 16, 0).train()
    x = torch.ones(2, 10, 1)
    assert torch.equal(model(x), model(x))


def test_weights_are_seeded_and_leave_the_global_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for make in (lambda seed: random_rnn(8, seed), lambda seed: random_transformer(8, 2, 16, seed)):
        first, again, other = (make(seed).state_dict() for seed in (0, 0, 1))
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert not all(torch.equal(first[name], other[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_eigenvalues_of_a_large_teacher_fill_the_disk_of_the_circular_law():
    m = 256
    w = random_rnn(m, seed=0).recurrence.weight_hh_l0.detach().double()
    radius = torch.linalg.eigvals(w).abs()
    # entries of variance 1/(3 m); a disk of radius R has half of its area within R/√2
    assert abs(radius.max().item() * math.sqrt(3) - 1) < 5 / math.sqrt(m)
    assert abs((radius < 1 / math.sqrt(6)).double().mean() - 0.5) < 5 / math.sqrt(m)


def test_the_teacher_is_a_frozen_copy_in_evaluation_mode():
    model = nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.5), nn.Linear(4, 2)).train()
    task = TeacherFilter(model, 5)
    x = torch.ones(2, 5, 1, dtype=torch.float64)
    y = task.answer(x)
    assert torch.equal(y, task.answer(x))
    assert not y.requires_grad
    assert model.training
    with torch.no_grad():
        model[0].weight += 1
    assert torch.equal(y, task.answer(x))
    assert not torch.equal(y, TeacherFilter(model, 5).answer(x))
    assert repr(task) != repr(TeacherFilter(model, 5))
    assert not any(p.requires_grad for p in task.model.parameters())


def test_modules_of_torch_are_teachers_as_they_are():
    task = TeacherFilter(nn.LSTM(1, 3, batch_first=True), 6)
    assert task.sample(2, seed=0).targets.shape == (2, 6, 3)


def test_normalised_answers_have_unit_variance_by_channel():
    def scaled():
        model = nn.Linear(1, 3, bias=False)
        with torch.no_grad():
            model.weight.copy_(torch.tensor([[0.01], [1.0], [50.0]]))
        return model

    N, T = 4000, 20
    task = TeacherFilter(scaled(), T, variance=3.0, normalized=True)
    y = task.sample(N, seed=0, dtype=torch.float64).targets
    # 512 T numbers for the scale, N T here: each variance known to sqrt(2 / count)
    spread = math.sqrt(2 / (512 * T) + 2 / (N * T))
    assert (y.flatten(0, 1).var(0) - 1).abs().max() < 5 * spread
    plain = TeacherFilter(scaled(), T, variance=3.0).sample(N, seed=0, dtype=torch.float64).targets
    ratio = plain / y
    assert (ratio / ratio[:1, :1] - 1).abs().max() < 1e-6  # one number for each channel; float32 weights
    with pytest.raises(ValueError, match="constant"):
        TeacherFilter(nn.Sequential(nn.Linear(1, 1, bias=False), nn.Threshold(1e9, 0.0)), 5, normalized=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TeacherFilter(nn.Flatten(), 5), r"answers \(1, 5, 1\) with shape \(1, 5\)"),
        (lambda: TeacherFilter(nn.Linear(1, 1), 0), "horizon must be at least 1"),
        (lambda: TeacherFilter(nn.Linear(1, 1), 5).answer(torch.zeros(1, 4, 1)), r"\(batch, 5, 1\)"),
        (lambda: random_rnn(0, 0), "width must be at least 1"),
        (lambda: random_rnn(4, 0, activation="thanh"), "did you mean 'tanh'"),
        (lambda: random_transformer(6, 4, 8, 0), "heads must divide width=6"),
        (lambda: random_transformer(6, 3, 0, 0), "feedforward must be at least 1"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
