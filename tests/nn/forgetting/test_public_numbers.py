"""Models of Expire-Span against the equations in the layout of the public code, query by query."""

import pytest
import torch
from torch import nn

from curse_of_memory.nn import CausalTransformer
from curse_of_memory.nn.attention.remembering import Reading
from curse_of_memory.nn.forgetting import ExpireSpan
from curse_of_memory.nn.forgetting.store import KeptStates
from tests.nn.forgetting.naive_expire_span import Naive, naive_weights

BLOCK, BLOCKS, BATCH = 5, 12, 2
VARIANTS = {
    "post-norm": {},
    "pre-norm": {"pre_norm": True},
    "divided": {"pre_norm": True, "pre_divide": 3.0},
}


def naive_model(variant="post-norm", seed=0, **options):
    return Naive(naive_weights(seed), alpha=0.3, **(VARIANTS[variant] | options))


def adapted(naive: Naive, **options) -> CausalTransformer:
    """Our transformer with weights in the layout of the public code."""
    p, layers = naive.p, naive.layers
    vocabulary, width = p["embed"].shape
    model = CausalTransformer(
        width,
        layers,
        heads=naive.heads,
        feedforward=len(p["0.ff1.bias"]),
        vocabulary=vocabulary,
        positions="block",
        norm="pre" if naive.pre_norm else "post",
        activation="relu",
        attention_bias=False,
        sees_itself=False,
        zero_memories=naive.block,
        block=naive.block,
        forgetting=ExpireSpan(
            int(naive.max_span), naive.ramp, price=naive.alpha, pre_divide=naive.pre_divide
        ),
        dtype=torch.float64,
        **options,
    )
    ours = {"embed.weight": p["embed"], "places_back.weight": p["positions"]}
    ours |= {f"readout.{name}": p[f"out.{name}"] for name in ("weight", "bias")}
    for i in range(layers):
        ours[f"blocks.{i}.attention.project.weight"] = torch.cat([p[f"{i}.{name}"] for name in "qkv"])
        ours[f"blocks.{i}.attention.out.weight"] = p[f"{i}.o"]
        for name in ("weight", "bias"):
            ours[f"blocks.{i}.attention.forgetting.predictor.{name}"] = p[f"{i}.span.{name}"]
            ours[f"blocks.{i}.widen.{name}"] = p[f"{i}.ff1.{name}"]
            ours[f"blocks.{i}.narrow.{name}"] = p[f"{i}.ff2.{name}"]
            ours[f"blocks.{i}.norms.0.{name}"] = p[f"{i}.norm1.{name}"]
            ours[f"blocks.{i}.norms.1.{name}"] = p[f"{i}.norm2.{name}"]
    model.last_norm = nn.Identity()  # a public pre-norm model may have none
    model.load_state_dict(ours)
    return model


def gradients(naive, model):
    """Return the gradients of every weight in both layouts, in that of ours."""
    theirs = Naive({name: w.grad for name, w in naive.p.items()}, layers=naive.layers)
    layout = adapted(theirs)
    return {name: (w.grad, layout.state_dict()[name]) for name, w in model.named_parameters()}


def tokens(seed, steps=BLOCK * BLOCKS):
    return torch.randint(11, (BATCH, steps), generator=torch.Generator().manual_seed(seed))


def largest(a, b):
    return (a - b).abs().max().item()


@pytest.mark.parametrize("u", [None, 0.4], ids=["whole spans", "shortened"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_twelve_blocks_are_those_of_the_equations(variant, u):
    """Outputs, charge, gradients through stores that are cut off, and never more memories than theirs."""
    naive = naive_model(variant)
    model = adapted(naive)
    ours = theirs = None
    loss = [0.0, 0.0]
    fewer = 0
    for block in tokens(1).split(BLOCK, 1):
        y, charge, theirs = naive.run(block, theirs, u)
        known = model.remember(block, ours, cut=u)
        ours = known.last
        assert largest(known.y, y) < 1e-12 * y.abs().max()
        assert abs(known.price.item() - charge.item()) < 1e-14
        live = torch.stack(naive.seen[-2:])
        assert torch.equal(known.live, live)
        for mine, (_, counter) in zip(ours, theirs, strict=True):
            assert mine.ages.shape[1] <= counter.shape[1]
            fewer += counter.shape[1] - mine.ages.shape[1]
        for i, (out, price) in enumerate([(y, charge), (known.y, known.price)]):
            loss[i] = loss[i] + out.square().mean() + price
    assert fewer > 0
    for one in loss:
        one.backward()
    for name, (mine, other) in gradients(naive, model).items():
        assert other.abs().max() > 1e-8, name
        assert largest(mine, other) < 1e-12 * max(1, other.abs().max().item()), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_charge_has_the_gradient_of_the_equations(variant):
    naive = naive_model(variant)
    model = adapted(naive)
    ours = theirs = None
    for block in tokens(2, 6 * BLOCK).split(BLOCK, 1):
        _, charge, theirs = naive.run(block, theirs)
        known = model.remember(block, ours)
        ours = known.last
        charge.backward()
        known.price.backward()
    for w in (*naive.p.values(), *model.parameters()):
        w.grad = torch.zeros_like(w) if w.grad is None else w.grad
    # what is computed after the last spans is free
    later = ("attention.project", "attention.out", "widen", "narrow", "norms.1")
    free = {f"blocks.1.{part}" for part in later} | {"readout"}
    if not naive.pre_norm:
        free.add("blocks.1.norms.0")
    for name, (mine, other) in gradients(naive, model).items():
        assert largest(mine, other) < 1e-13, name
        assert bool(mine.any()) is (name.rpartition(".")[0] not in free), name


@pytest.mark.parametrize("steps", [23, 40])
@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_has_the_whole_gradient_of_attention_to_everything(variant, steps):
    """Against one block of all steps, of which nothing is dropped or cut off."""
    naive = naive_model(variant, drops=False)
    model = adapted(naive)
    x = tokens(3, steps)
    y, _, _ = naive.run(x)
    assert largest(model(x), y) < 1e-12 * y.abs().max()
    known = model.remember(x)
    assert torch.equal(known.live, torch.stack(naive.seen))
    for out in (y, model(x)):
        (out.square().mean() + out[:, -1].sum()).backward()
    for name, (mine, other) in gradients(naive, model).items():
        assert other.abs().max() > 1e-8, name
        assert largest(mine, other) < 1e-12 * max(1, other.abs().max().item()), name


def test_whole_charge_of_a_sequence_is_that_of_its_blocks():
    """A charge is a mean over steps: T of them at once, or M at a time."""
    naive = naive_model(drops=False)
    model = adapted(naive)
    x = tokens(4, 6 * BLOCK)
    whole = model.remember(x).price
    assert abs(whole.item() - naive.run(x)[1].item()) < 1e-13
    state, parts = None, []
    for block in x.split(BLOCK, 1):
        known = model.remember(block, state)
        state = known.last
        parts.append(known.price.item())
    assert abs(whole.item() - sum(parts) / len(parts)) < 1e-13


def test_a_cut_of_one_cuts_nothing_and_one_of_zero_leaves_the_ramp():
    naive = naive_model()
    model = adapted(naive)
    x = tokens(5, 4 * BLOCK)
    whole, uncut, shortest = model.remember(x), model.remember(x, cut=1.0), model.remember(x, cut=0.0)
    assert torch.equal(whole.y, uncut.y)
    assert shortest.live.max() == naive.ramp - 1
    assert whole.live.max() > naive.ramp
    # what the first layer reports, and what it deletes by, is not cut
    assert torch.equal(whole.spans[0], shortest.spans[0])
    assert torch.equal(whole.last[0].ages, shortest.last[0].ages)


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_layer_by_itself_is_that_of_the_equations(variant):
    naive = naive_model(variant)
    model = adapted(naive)
    reading = Reading(positions=model.places_back.weight)
    x = torch.randn(BATCH, 4 * BLOCK, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours, theirs = None, naive.start(BATCH)[1]
    for block in x.split(BLOCK, 1):
        y, charge, theirs = naive.layer(1, block, theirs, None)
        z, known = model.blocks[1].remember(block, ours, reading)
        ours = known.last
        assert largest(z, y) < 1e-12 * y.abs().max()
        assert abs(known.price.item() - charge.item()) < 1e-14


def test_a_pass_of_training_cuts_all_layers_at_one_share():
    """Whole sequences, too; in evaluation, and for other laws, nothing is drawn."""
    naive = naive_model()
    model, x = adapted(naive), tokens(8, 4 * BLOCK)
    rests = torch.get_rng_state()
    whole = model(x)
    for block in model.blocks:
        block.attention.forgetting.shorten = True
    torch.manual_seed(3)
    u = torch.rand(()).item()
    expected = naive.run(x, u=u)[0]
    for call in (model, lambda x: model.run(x).y, lambda x: model.remember(x).y):
        torch.manual_seed(3)
        assert largest(call(x), expected) < 1e-12 * expected.abs().max()
    assert largest(whole, expected) > 1e-3
    model.eval()
    torch.set_rng_state(rests)
    assert torch.equal(model(x), whole)
    assert torch.equal(torch.get_rng_state(), rests)
    layer = model.blocks[0].attention.train()
    z = torch.randn(1, 20, 8, dtype=torch.float64)
    torch.manual_seed(3)
    assert not torch.equal(layer(z), layer.eval()(z))


def test_the_public_denominator_moves_an_answer_by_its_share_of_the_row():
    """Σ m a + 1e-8 in place of Σ m a: a factor 1/(1 + 1e-8/Σ m a) on the answers of one layer."""
    exact, public = naive_model(), naive_model(tiny=1e-8)
    model = adapted(exact)
    ours = state = theirs = None
    worst = 0.0
    for block in tokens(6).split(BLOCK, 1):
        y, _, theirs = public.run(block, theirs)
        ours, state = model.run(block, state)
        worst = max(worst, largest(ours, y))
    assert 1e-8 < worst < 1e-6  # some rows have Σ m a of a tenth, and answers are up to five
    # where all that is seen is at the very end of its ramp, it takes a part of the answer
    late = 1e-7
    memory = torch.ones(1, 1, 8, dtype=torch.float64)
    long = public.max_span * (1 + late) / public.spans(0, memory).item()
    exact.max_span = public.max_span = model.blocks[0].attention.forgetting.max_span = long  # so e = 1 + 1e-7
    h = torch.randn(1, 1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ages = torch.tensor([[public.ramp + 1, 0]])
    theirs = public.attention(0, h, torch.cat([memory, h], 1), ages, None)[0]
    ours = model.blocks[0].attention.run(h, KeptStates(memory, ages[:, :1], ages[0, :1])).y
    row = late / public.ramp
    assert (theirs / ours - row / (row + 1e-8)).abs().max() < 1e-6
