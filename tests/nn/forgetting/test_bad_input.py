"""Laws, attentions and transformers refuse early, and in one line, what cannot be meant."""

import pytest
import torch

from curse_of_memory.nn import CausalSelfAttention, CausalTransformer
from curse_of_memory.nn.forgetting import (
    AdaptiveSpan,
    Compressive,
    ExpireSpan,
    ForgetGate,
    Law,
    Window,
    ages_at_queries,
)

SPANS = pytest.mark.parametrize("law", [ExpireSpan, AdaptiveSpan])


@SPANS
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ramp": 0}, "ramp must be at least 1, got 0"),
        ({"ramp": -3}, "ramp must be at least 1, got -3"),
        ({"max_span": 0}, "max_span must be at least 1, got 0"),
        ({"initial_share": 0.0}, "initial_share must be"),
        ({"initial_share": 1.0}, "initial_share must be between 0 and 1, got 1.0"),
        ({"initial_share": 1.5}, "initial_share must be between 0 and 1, got 1.5"),
        ({"initial_share": -0.1}, "initial_share must be"),
        ({"price": -1e-6}, "price must not be negative, got -1e-06"),
    ],
    ids=str,
)
def test_numbers_of_spans_are_checked(law, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        law(**({"max_span": 20, "ramp": 4} | options))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pre_divide", [0.0, -1.0])
def test_states_are_divided_by_positive_numbers(pre_divide):
    with pytest.raises(ValueError, match="pre_divide must be"):
        ExpireSpan(20, 4, pre_divide=pre_divide)


@SPANS
def test_spans_shorter_than_a_block_are_refused_where_the_block_is_known(law):
    with pytest.raises(ValueError, match="max_span must be at least block = 21, got 20"):
        CausalSelfAttention(4, forgetting=law(20, 4), block=21)
    with pytest.raises(ValueError, match="max_span must be at least block = 21, got 20"):
        CausalTransformer(4, 2, forgetting=[Window(3), law(20, 4)], block=21)
    assert CausalSelfAttention(4, forgetting=law(20, 4), block=20).block == 20
    assert CausalSelfAttention(4, forgetting=law(20, 4)).block == 20
    assert CausalSelfAttention(4, forgetting=law(2000, 4)).block == 128
    model = CausalTransformer(4, 2, forgetting=[Window(3), law(20, 4)], positions="block")
    assert [part.attention.block for part in model.blocks] == [20, 20]
    assert model.places_back.weight.shape == (4, 20)


def test_means_reach_back_no_farther_than_ages_are_told_apart():
    with pytest.raises(ValueError, match=r"window \+ rate \* compressed must be at most 2\^24 steps, got"):
        Compressive(8, 2**12, 2**12)
    assert Compressive(2**8, 2**10, 2**10).window == 2**8


class Endless(Law):
    def log_mask(self, ages, notes, queries):
        return torch.zeros(len(ages), 1, queries, ages.shape[1])


@pytest.mark.parametrize("law", [ForgetGate(), Endless()], ids=lambda law: type(law).__name__)
def test_laws_without_a_date_do_not_delete(law):
    name = type(law).__name__
    for layer in (CausalSelfAttention, CausalTransformer):
        with pytest.raises(ValueError, match=f"deletes must be False: by {name} memories never die"):
            layer(4, forgetting=law, deletes=True)
    assert not CausalSelfAttention(4, forgetting=law).deletes


def test_a_law_that_says_no_mask_is_refused_by_its_name():
    class Mute(Law):
        pass

    with pytest.raises(NotImplementedError, match=r"Mute must say log_mask\(ages, notes, queries\)"):
        CausalSelfAttention(4, forgetting=Mute())(torch.zeros(1, 3, 4))


class NoLogarithm(Law):
    """Says m, and not log m."""

    def log_mask(self, ages, notes, queries):
        return torch.ones(len(ages), 1, queries, ages.shape[1])


class DiesTooSoon(Law):
    """Fades for ever, and says that memories are dead."""

    def log_mask(self, ages, notes, queries):
        return -0.1 * ages_at_queries(ages, queries).clamp(min=0)

    def last_ages(self, notes):
        return torch.full(notes.shape[:2], 8)


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (NoLogarithm(), "log_mask of NoLogarithm must be log m <= 0 for every memory, got 1"),
        (DiesTooSoon(), "log_mask of DiesTooSoon must be -inf beyond the age that its last_ages says"),
    ],
    ids=lambda part: type(part).__name__,
)
def test_laws_that_would_answer_wrongly_are_refused_when_they_are_given(law, message):
    for layer in (CausalSelfAttention, CausalTransformer):
        with pytest.raises(ValueError, match=message):
            layer(4, forgetting=law)


WRONG = {
    "log_mask without heads": (
        {"log_mask": lambda a, n, q: _zeros(a, q)[:, 0]},
        ValueError,
        "heads or 1, query",
    ),
    "log_mask of three heads": (
        {"log_mask": lambda a, n, q: _zeros(a, q).expand(-1, 3, -1, -1)},
        ValueError,
        r"log_mask of Wrong must be \(batch, heads or 1, query, memory\), here",
    ),
    "memories before queries": ({"log_mask": lambda a, n, q: _zeros(a, q).mT}, ValueError, "heads or 1, que"),
    "whole numbers": (
        {"log_mask": lambda a, n, q: _zeros(a, q).long()},
        TypeError,
        "real numbers log m <= 0",
    ),
    "m itself": ({"log_mask": lambda a, n, q: _zeros(a, q) + 1}, ValueError, "must be log m <= 0 .*, got 1"),
    "NaN": ({"log_mask": lambda a, n, q: _zeros(a, q) * torch.nan}, ValueError, "log m <= 0 .*, got nan"),
    "no mask": ({"log_mask": lambda a, n, q: None}, TypeError, "log_mask of Wrong must be a torch.Tensor"),
    "one note a sequence": (
        {"notes": lambda s, t: s[:, 0]},
        ValueError,
        r"notes .* \(2, 3, note\), got \(2, 4",
    ),
    "no notes": ({"notes": lambda s, t: None}, TypeError, "notes of Wrong must be a tensor of shape"),
    "one last age": (
        {"last_ages": lambda n: torch.tensor(9)},
        ValueError,
        r"last_ages .* \(2, 3\), got \(\)",
    ),
    "a number": ({"last_ages": lambda n: 9}, TypeError, "last_ages of Wrong must be a tensor of shape"),
    "NaN ages": (
        {"last_ages": lambda n: torch.full(n.shape[:2], torch.nan)},
        ValueError,
        "last_ages of Wrong must be whole numbers, got NaN",
    ),
    "one price": ({"charge": lambda a, n, q: torch.ones(())}, ValueError, r"charge .* \(2,\), got \(\)"),
    "spans of steps": (
        {"spans": lambda n: torch.ones(3)},
        ValueError,
        r"spans of Wrong must have shape \(2, 4",
    ),
}


def _zeros(ages, queries):
    return torch.zeros(len(ages), 1, queries, ages.shape[1])


@pytest.mark.parametrize("name", WRONG)
def test_laws_of_ones_own_that_are_wrong_are_refused_by_their_names(name):
    """Most of these would broadcast, and forget something else without a word."""
    methods, error, message = WRONG[name]

    class Wrong(Law):
        def log_mask(self, ages, notes, queries):
            return _zeros(ages, queries)

    for method, said in methods.items():
        setattr(Wrong, method, lambda self, *asked, said=said: said(*asked))
    with pytest.raises(error, match=message) as caught:
        CausalSelfAttention(4, 2, forgetting=Wrong(), block=4).remember(torch.zeros(2, 9, 4))
    assert "\n" not in str(caught.value)


def test_a_law_may_note_whole_numbers_and_go_on_with_them():
    """Even steps for three steps, and odd ones for one; kept with keys, too."""

    class EvenSteps(Law):
        def notes(self, states, steps):
            return 1 + 2 * (steps[..., None] % 2 == 0).long()

        def log_mask(self, ages, notes, queries):
            age = ages[:, None, None, :] + torch.arange(queries)[:, None]
            return torch.zeros(age.shape).masked_fill(age > notes[:, None, None, :, 0], -torch.inf)

        def last_ages(self, notes):
            return notes[..., 0]

    layer = CausalSelfAttention(4, forgetting=EvenSteps(), sees_itself=False, kept="keys", seed=0)
    x, state, live = torch.randn(2, 8, 4), None, []
    for step in x.split(1, 1):
        known = layer.remember(step, state)
        state = known.last
        live.append(int(known.live[0, 0]))
    # of step t: t − 1, and t − 3 or t − 2 if it is even
    assert live == [0, 1, 2, 2, 2, 2, 2, 2]


@pytest.mark.parametrize(
    "option", [{"sees_itself": False}, {"zero_memories": 2}, {"deletes": False}], ids=str
)
def test_options_of_laws_need_one(option):
    with pytest.raises(ValueError, match="forgetting must be a law where"):
        CausalSelfAttention(4, **option)
    with pytest.raises(ValueError, match="forgetting must be a law where"):
        CausalTransformer(4, **option)


def test_options_of_transformers_are_checked():
    law = ExpireSpan(20, 4)
    with pytest.raises(ValueError, match="forgetting must be one law for each of 3 layers, got 2"):
        CausalTransformer(4, 3, forgetting=[law, law])
    with pytest.raises(TypeError, match="forgetting must be a law of forgetting, or a list of them"):
        CausalTransformer(4, 3, forgetting="window")
    with pytest.raises(ValueError, match="positions may be 'block' with a law of forgetting only"):
        CausalTransformer(4, positions="block")
    with pytest.raises(ValueError, match="scaled_residuals must be False for post-norm"):
        CausalTransformer(4, norm="post", scaled_residuals=True)
    with pytest.raises(ValueError, match="zero_memories must not be negative"):
        CausalTransformer(4, forgetting=law, zero_memories=-1)
    with pytest.raises(ValueError, match="kept must be one of"):
        CausalTransformer(4, forgetting=law, kept="values")
    model, x = CausalTransformer(4, forgetting=law), torch.zeros(1, 5, 1)
    for cut in (-0.1, 1.1):
        with pytest.raises(ValueError, match="cut must be a share from 0 to 1"):
            model.remember(x, cut=cut)
    with pytest.raises(ValueError, match=r"remember\(\) needs a law of forgetting"):
        CausalTransformer(4).remember(x)
    with pytest.raises(ValueError, match="batch must be at least 1"):
        model.blocks[0].attention.start(0)
