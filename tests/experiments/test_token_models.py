"""Language models of one layer: their weights, their masks, and their state."""

from typing import Any

import pytest
import torch

from curse_of_memory.experiments.token_models import CELLS, Dropouts, TokenModel
from curse_of_memory.nn import LEM
from curse_of_memory.papers.lem._equal_weights import number_of_weights

TOKENS = torch.randint(0, 11, (3, 9), generator=torch.Generator().manual_seed(0))


def model(cell, **options: Any):
    return TokenModel(cell, 11, 6, seed=1, **options).double()


def direction_of(one):
    layer = one.cell.layer
    assert isinstance(layer, LEM)
    return layer.network.direction(0)


def test_the_numbers_of_weights_are_the_published_ones():
    """Those of LEM in the public code: the tied model of words, and the untied one of characters."""
    words = TokenModel("LEM", 10_000, 256, seed=0)
    assert number_of_weights(words.cell) == 525_312
    assert words.embed.weight.numel() == 2_560_000
    assert number_of_weights(words) == 525_312 + 2_560_000 + 10_000
    characters = TokenModel("LEM", 50, 1024, embedding=200, seed=0)
    assert number_of_weights(characters.cell) == 5_017_600
    assert number_of_weights(characters) == 5_017_600 + 50 * 200 + (1024 + 1) * 50
    assert number_of_weights(TokenModel("LSTM", 10_000, 256, seed=0)) == number_of_weights(words)


def test_the_start_is_a_cut_normal_of_variance_one_over_the_inputs():
    one = TokenModel("LEM", 3000, 128, embedding=64, seed=0)
    direction = direction_of(one)
    assert one.readout is not None
    for weight, inputs in (
        (one.embed.weight, 64),
        (direction.input_weight, 64),
        (direction.recurrent_weight, 128),
        (one.readout, 128),
    ):
        assert weight.std().item() == pytest.approx(inputs**-0.5, rel=0.03)
        assert weight.abs().max() < 2.28 * inputs**-0.5
    gate = direction.input_bias.unflatten(0, (4, 128))
    torch.testing.assert_close(gate.mean(1), torch.tensor([0.0, 1, 0, 0]), atol=0.03, rtol=0)
    assert not direction.recurrent_bias.any()
    # that block is the gate of z: with it wide open z is its goal, whatever it was
    layer = LEM(5, output_size=None, seed=0)
    with torch.no_grad():
        layer.network.direction(0).input_bias[5:10] = 100
    assert torch.allclose(layer.steps(torch.zeros(1, 1, 1)).z, torch.ones(1, 1, 5))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("embedding", [None, 4])
def test_chunks_and_whole_texts_have_one_answer(cell, embedding):
    one = model(cell, embedding=embedding)
    first = one.run(TOKENS[:, :4])
    torch.testing.assert_close(torch.cat([first.y, one.run(TOKENS[:, 4:], first.last).y], 1), one(TOKENS))


@pytest.mark.parametrize("cell", CELLS)
def test_step_by_step_with_a_mask_of_ones_is_the_fast_way(cell):
    one = model(cell)
    x = torch.randn(3, 9, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    fast, slow = (one.cell.run(x, None, kept) for kept in (None, torch.ones(3, 6, dtype=torch.float64)))
    torch.testing.assert_close(slow, fast)
    again = [one.cell.run(x, fast.last, kept) for kept in (None, torch.ones(3, 6, dtype=torch.float64))]
    torch.testing.assert_close(*again)


@pytest.mark.parametrize("cell", CELLS)
def test_a_unit_that_is_dropped_is_not_seen_by_recurrent_weights_and_goes_on_all_the_same(cell):
    """Its mask is one zero for all units: then the next state is that of no recurrent weights at all."""
    one = model(cell)
    x = torch.randn(3, 9, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    start = one.cell.run(x, None, None).last
    found = one.cell.run(x, start, torch.zeros(3, 6, dtype=torch.float64))
    weight = (
        direction_of(one).recurrent_weight
        if cell == "LEM"
        else dict(one.cell.layer.named_parameters())["weight_hh_l0"]
    )
    with torch.no_grad():  # of LEM the rows of the goal of y read z, which is not masked
        weight[: 18 if cell == "LEM" else None] = 0
    torch.testing.assert_close(found, one.cell.run(x, start, None))


def test_masks_are_one_for_a_sequence_and_none_in_evaluation(monkeypatch):
    one = model("LEM", dropouts=Dropouts(0.5, 0.5, 0.5))
    with torch.no_grad():
        one.embed.weight.fill_(1)
    seen = []
    run = one.cell.run

    def noted(x, state, kept):
        seen.append((x.detach(), kept))
        return run(x, state, kept)

    monkeypatch.setattr(one.cell, "run", noted)
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        one(TOKENS)
    one.eval()
    one(TOKENS)
    for x, kept in seen[:3]:
        assert torch.equal(x, x[:, :1].expand_as(x))  # the same at all steps
        assert set(x.unique().tolist()) == {0.0, 2.0}
        assert set(kept.unique().tolist()) == {0.0, 2.0}
        assert not torch.equal(x[0], x[1])
    assert torch.equal(seen[0][0], seen[1][0])
    assert not torch.equal(seen[0][0], seen[2][0])
    assert (seen[3][0] == 1).all()
    assert seen[3][1] is None


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_the_masked_way_are_right(cell):
    one = model(cell, dropouts=Dropouts(0.2, 0.3, 0.2))
    names, values = zip(*((n, p) for n, p in one.named_parameters() if p.requires_grad), strict=True)

    def answer(*given):
        torch.manual_seed(0)
        return torch.func.functional_call(one, dict(zip(names, given, strict=True)), TOKENS[:2, :3])

    assert torch.autograd.gradcheck(answer, values, fast_mode=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": "lem"}, "cell must be one of 'LEM', 'LSTM', 'GRU'; got 'lem'"),
        ({"vocabulary": 0}, "vocabulary must be at least 1"),
        ({"width": 0}, "width must be at least 1"),
        ({"embedding": 0}, "embedding must be at least 1"),
        ({"dropouts": (0.1, 0.2, 0.3)}, r"dropouts must be Dropouts\(embedding, state, output\), got tuple"),
        ({"dropouts": None}, r"dropouts must be Dropouts\(.*\), got NoneType"),
        ({"dropouts": Dropouts(state=1.0)}, r"state of dropouts must be in \[0, 1\), got 1.0"),
    ],
)
def test_bad_input_is_refused(change, message):
    given = {"cell": "LEM", "vocabulary": 3, "width": 2, "seed": 0} | change
    with pytest.raises((ValueError, TypeError), match=message):
        TokenModel(given.pop("cell"), given.pop("vocabulary"), given.pop("width"), **given)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (TOKENS + 3, "x must be tokens from 0 to 10"),
        (TOKENS - 1, "x must be tokens from 0 to 10"),
        (TOKENS.float(), "x must be tokens of dtype torch.int64, got torch.float32"),
        (TOKENS[0], r"x must be tokens of shape \(batch, time\), got \(9,\)"),
    ],
)
def test_what_are_no_tokens_is_refused(cell, x, message):
    with pytest.raises((ValueError, TypeError, IndexError), match=message):
        model(cell)(x)
