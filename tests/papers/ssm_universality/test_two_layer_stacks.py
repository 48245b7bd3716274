"""Two layers with a nonlinearity between them: many of them at once are the same as one by one."""

import copy

import pytest
import torch

from curse_of_memory.papers.ssm_universality import pointwise, volterra
from curse_of_memory.tasks import Pointwise
from curse_of_memory.training import fit, sweep

EPS = torch.finfo(torch.float64).eps
STACKS = {
    "relu": lambda seed: pointwise._stack(4, "relu", seed),
    "tanh": lambda seed: pointwise._stack(4, "tanh", seed),
    "with memory": lambda seed: pointwise._stack(4, "relu", seed, memory=True),
    "squares": lambda seed: volterra.stack(4, 8, seed),
}


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("shared", [True, False])
def test_many_stacks_answer_as_one_by_one(name, shared):
    models = [STACKS[name](seed) for seed in range(3)]
    weights = {
        key: torch.stack([dict(model.named_parameters())[key] for model in models])
        for key, _ in models[0].named_parameters()
    }
    random = torch.Generator().manual_seed(0)
    x = torch.randn(*([] if shared else [3]), 5, 8, 1, generator=random, dtype=torch.float64)
    together = models[0].run_many(weights, x)
    alone = torch.stack([model(x if shared else x[i]) for i, model in enumerate(models)])
    # sums of up to 4 + 8 products in another order, of terms that may cancel, and their squares
    torch.testing.assert_close(together, alone, rtol=0, atol=64 * EPS * max(1.0, alone.abs().max().item()))


def test_a_sweep_over_stacks_is_their_fits():
    task = Pointwise(torch.abs, 8)
    models = [STACKS[name](seed) for name in ("relu", "tanh", "with memory") for seed in range(2)]
    alone = copy.deepcopy(models)
    settings = {
        "steps": 20,
        "batch_size": 16,
        "learning_rate": 0.03,
        "schedule": "cosine",
        "validate_every": 20,
        "validation_size": 16,
        "device": "cpu",
    }
    sweep(models, task, seed=[0, 1] * 3, **settings)
    for i, (model, twin) in enumerate(zip(models, alone, strict=True)):
        fit(twin, task, seed=i % 2, **settings)
        for (key, one), other in zip(model.named_parameters(), twin.parameters(), strict=True):
            # 20 steps of sums over 16 x 8 x 4 numbers
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10, msg=key)


def test_what_is_between_the_layers_is_part_of_the_architecture():
    relu, tanh, free = (STACKS[name](0).architecture for name in ("relu", "tanh", "with memory"))
    assert relu != tanh
    assert relu != free
