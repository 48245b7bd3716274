"""A stream hands memories on: runs that were killed go on along the same path, in several processes, too."""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from curse_of_memory.nn import CausalTransformer
from curse_of_memory.nn.forgetting import ExpireSpan, Sinks
from curse_of_memory.nn.forgetting.store import KeptStates
from curse_of_memory.training import fit, fit_stream

ROOT = Path(__file__).parents[2]
TOKENS = 5
TEXT, UNSEEN = (torch.from_numpy(np.random.default_rng(n).integers(TOKENS, size=n)) for n in (420, 61))
SMALL: dict[str, Any] = {
    "rows": 4,
    "chunk": 7,
    "steps": 24,
    "validate_every": 8,
    "validation_rows": 2,
    "learning_rate": 0.02,
    "seed": 3,
    "warmup": 10,
    "device": "cpu",
}
EPOCH = 419 // 28


class Noted(CausalTransformer):
    """A transformer whose spans differ much, which notes the states that it goes on from in training."""

    def __init__(self, law, dropout=0.3):
        super().__init__(
            8, 2, heads=2, vocabulary=TOKENS, forgetting=law, sees_itself=False, zero_memories=3, block=3,
            positions="block", dropout=dropout, dtype=torch.float64, seed=0,
        )  # fmt: skip
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if name.endswith("predictor.weight"):
                    weight.copy_(torch.linspace(-2, 2, 8)[None])
        self.states, self.dies_at = [], None

    def __repr__(self):
        return "Noted"

    def remember(self, x, state=None, **options):
        if self.training and torch.is_grad_enabled():
            if len(self.states) == self.dies_at:
                raise KeyboardInterrupt
            self.states.append(state)
        return super().remember(x, state, **options)


def expiring():
    return ExpireSpan(20, 3, initial_share=0.3, price=0.01, shorten=True)


def small(**changes):
    return SMALL | changes


def test_memories_are_handed_on_as_the_model_wants_them():
    model = Noted(expiring())
    fit_stream(model, TEXT, UNSEEN, **SMALL)
    assert [k for k, state in enumerate(model.states) if state is None] == [0, EPOCH]
    handed = [state for state in model.states if state is not None]
    assert all(isinstance(layer, KeptStates) for state in handed for layer in state)
    assert not any(layer.states.requires_grad for state in handed for layer in state)
    widths = {state[0].ages.shape[1] for state in handed}
    ragged = [state for state in handed if ((state[0].ages > 0).sum(1) != state[0].ages.shape[1]).any()]
    assert len(widths) > 3  # of rows that change from chunk to chunk
    assert len(ragged) > 10
    assert [int(state[0].steps[0]) for state in handed[:3]] == [7, 14, 21]


@pytest.mark.parametrize(
    ("dies_at", "law"), [(5, expiring), (18, expiring), (11, lambda: Sinks(2, 5))], ids=["5", "18", "sinks"]
)
def test_a_run_that_was_killed_goes_on_along_the_same_path(dies_at, law, tmp_path):
    """In the middle of the first walk and of the second, with dropout, and with spans cut at random."""
    options = small(checkpoint_every=3)
    whole, dying, again = (Noted(law()) for _ in range(3))
    expected = fit_stream(whole, TEXT, UNSEEN, **options)
    dying.dies_at = dies_at
    path = tmp_path / "run.pt"
    torch.manual_seed(dies_at)  # what anybody else has drawn makes no difference
    with pytest.raises(KeyboardInterrupt):
        fit_stream(dying, TEXT, UNSEEN, checkpoint=path, **options)
    found = fit_stream(again, TEXT, UNSEEN, checkpoint=path, **options)
    assert len(again.states) <= 24 - dies_at + 3  # it did not begin anew
    for own, other in zip(again.states[::-1], whole.states[::-1], strict=False):
        assert (own is None) == (other is None)
        for mine, its in zip(own or (), other or (), strict=True):
            assert all(torch.equal(*pair) for pair in zip(mine, its, strict=True))
    pd.testing.assert_frame_equal(found.history, expected.history, check_exact=True)
    for one, other in zip(again.parameters(), whole.parameters(), strict=True):
        assert torch.equal(one, other)


class Whole(CausalTransformer):
    """A transformer of real inputs that stops after so many steps of training."""

    def __init__(self, law):
        super().__init__(8, 1, forgetting=law, block=4, dtype=torch.float64, seed=0)
        self.left = 100

    def __repr__(self):
        return "Whole"

    def remember(self, x, state=None, **options):
        if self.training:
            self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return super().remember(x, state, **options)


X = torch.randn(8, 12, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
PAIRS: dict[str, Any] = {"validation": (X, X.flip(1)), "steps": 12, "batch_size": 4, "validate_every": 4}


def test_whole_sequences_too_go_on_with_spans_that_are_cut_at_random(tmp_path):
    path = tmp_path / "fit.pt"
    whole, dying, again, uncut = (Whole(law) for law in 3 * [expiring()] + [ExpireSpan(20, 3, price=0.01)])
    torch.manual_seed(5)
    expected = fit(whole, (X, X.flip(1)), device="cpu", **PAIRS)
    torch.manual_seed(5)
    dying.left = 7
    with pytest.raises(KeyboardInterrupt):
        fit(dying, (X, X.flip(1)), device="cpu", checkpoint=path, **PAIRS)
    found = fit(again, (X, X.flip(1)), device="cpu", checkpoint=path, **PAIRS)
    assert again.left == 100 - 8
    pd.testing.assert_frame_equal(found.history, expected.history, check_exact=True)
    other = fit(uncut, (X, X.flip(1)), device="cpu", **PAIRS).history
    assert (other.training_loss[1:] != expected.history.training_loss[1:]).all()


# --- in several processes -----------------------------------------------------------------------

SCRIPT = """
import sys
import torch
from lightning_fabric import Fabric
from curse_of_memory.nn.forgetting import ExpireSpan
from curse_of_memory.training import fit, fit_stream
from tests.training.test_memories_carried import (
    Noted, PAIRS, SMALL, TEXT, UNSEEN, Whole, X, asked, expiring
)

fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
fabric.launch()
options = SMALL | asked()
options.pop("device")
found = {}
for name in ("whole", "resumed", "random", "random resumed", "lost"):
    law = expiring() if "random" in name else ExpireSpan(20, 3, initial_share=0.3, price=0.01)
    more = {"clip": float("inf"), "learning_rate": 1e30, "warmup": 0} if name == "lost" else {}
    path = f"{sys.argv[1]}/{name}.pt" if "resumed" in name else None
    for steps in (16, 24) if path else (24,):
        model = Noted(law, 0.3 if "random" in name else 0.0)
        result = fit_stream(
            model, TEXT, UNSEEN, fabric=fabric, checkpoint=path, **options | {"steps": steps} | more
        )
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    found[name] = [weights, result.history.to_dict("list"), result.status]
model = Whole(ExpireSpan(20, 3, initial_share=0.3, price=0.1))
history = fit(model, (X, X.flip(1)), fabric=fabric, **PAIRS).history
found["fit"] = [torch.cat([p.detach().flatten() for p in model.parameters()]), history.to_dict("list")]
torch.save(found, f"{sys.argv[1]}/rank{fabric.global_rank}.pt")
"""


def asked():
    """Labels that are rare, so that processes have different numbers of them, or none at all."""
    labels, unseen = (torch.full_like(text, -100) for text in (TEXT, UNSEEN))
    labels[8:200:9], labels[300::40], unseen[5::5] = TEXT[6:198:9], TEXT[298:-2:40], UNSEEN[3:-2:5]
    return {"labels": labels, "validation_labels": unseen, "metric": "accuracy"}


@pytest.mark.slow
def test_two_processes_train_as_one_does_and_go_on_as_they_would_have(tmp_path):
    pytest.importorskip("lightning_fabric")
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, script, tmp_path], check=True, env=environment, capture_output=True, timeout=300
    )
    model = Noted(ExpireSpan(20, 3, initial_share=0.3, price=0.01), 0.0)
    expected = fit_stream(model, TEXT, UNSEEN, **small(**asked()))
    known = torch.cat([p.detach().flatten() for p in model.parameters()])
    sequences = Whole(ExpireSpan(20, 3, initial_share=0.3, price=0.1))
    told = fit(sequences, (X, X.flip(1)), device="cpu", **PAIRS).history
    ranks = [torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1)]
    for found in ranks:
        weights, history, _ = found["whole"]
        torch.testing.assert_close(weights, known, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(pd.DataFrame(history), expected.history, rtol=1e-8, equal_nan=True)
        for name in ("whole", "random"):
            resumed = "resumed" if name == "whole" else f"{name} resumed"
            assert torch.equal(found[resumed][0], found[name][0])
            pd.testing.assert_frame_equal(pd.DataFrame(found[resumed][1]), pd.DataFrame(found[name][1]))
        assert found["lost"][2] == "diverged"
        own = torch.cat([p.detach().flatten() for p in sequences.parameters()])
        torch.testing.assert_close(found["fit"][0], own, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(pd.DataFrame(found["fit"][1]), told, rtol=1e-8, equal_nan=True)
    assert math.isfinite(known.sum())


@pytest.mark.parametrize(("before", "after"), [("states", "keys"), ("keys", "states")])
def test_a_run_does_not_go_on_with_memories_of_another_kind(before, after, tmp_path):
    """Three tensors for each of two layers, or five."""

    def trained(kept, steps):
        model = Noted(ExpireSpan(20, 3), 0.0)
        for block in model.blocks:
            block.attention.kept = kept
        fit_stream(model, TEXT, UNSEEN, **SMALL | {"steps": steps, "warmup": 0}, checkpoint=tmp_path / "run")

    trained(before, 8)
    numbers = {"states": 6, "keys": 10}
    told = f"carried state of {numbers[before]} tensors, but that of model has {numbers[after]}: "
    with pytest.raises(ValueError, match=told):
        trained(after, 16)
