"""Laws of forgetting to be tested, with spans made by hand and at ties among them."""

import itertools

import torch
from hypothesis import strategies as st

from curse_of_memory.nn import CausalSelfAttention
from curse_of_memory.nn.forgetting import (
    AdaptiveSpan,
    ExpireSpan,
    ForgetGate,
    Law,
    Sinks,
    Window,
    ages_at_queries,
)

HAND_MADE = (0.0, 1e-300, 5e-324, 0.5, 1.0, 1.0 + 2**-52, 2.0, 3.0 - 2**-51, 3.25, 7.0, 40.0)
"""Spans where one would round the wrong way: whole numbers, their neighbours, zero, and all but zero."""


class Given(ExpireSpan):
    """Spans are the first channel of the states, as they are."""

    def notes(self, states, steps):
        return states[..., :1]


class Even(Law):
    """The law of the docstring, in a few lines: even ages, none of them above eight."""

    def log_mask(self, ages, notes, queries):
        age = ages_at_queries(ages, queries)
        return torch.zeros(age.shape).masked_fill((age % 2 == 1) | (age > 8), -torch.inf)

    def last_ages(self, notes):
        return torch.full(notes.shape[:2], 8)


LAWS = {
    "window of one": lambda: Window(1),
    "window": lambda: Window(6),
    "sinks": lambda: Sinks(3, 4),
    "adaptive": lambda: AdaptiveSpan(30, 3, price=0.2),
    "adaptive, shared": lambda: AdaptiveSpan(12, 1, per_head=False, initial_share=0.25, price=0.2),
    "expire": lambda: ExpireSpan(25, 4, initial_share=0.3, price=0.2),
    "expire, sharp": lambda: ExpireSpan(25, 1, initial_share=0.2, price=0.2),
    "expire, divided": lambda: ExpireSpan(25, 9, initial_share=0.1, price=0.2, pre_divide=4.0),
    "given": lambda: Given(40, 3, price=0.2),
    "given, sharp": lambda: Given(40, 1, price=0.2),
    "gates": lambda: ForgetGate(),
    "gates, deleted": lambda: ForgetGate(threshold=0.3, slowest=9.0),
    "even": lambda: Even(),
}


def inputs_for(law, seed, batch, steps, width=6):
    """Return inputs ``(batch, steps, width)``, with spans in their first channel for laws that read them."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, steps, width, generator=draw, dtype=torch.float64)
    if isinstance(law, Given):
        which = torch.randint(len(HAND_MADE), (batch, steps), generator=draw)
        x[..., 0] = torch.tensor(HAND_MADE, dtype=torch.float64)[which]
    return x


def attention(law, seed=1, width=6, heads=2, block=None, **options):
    """Return an attention with a `law`, of which no weight is special."""
    layer = CausalSelfAttention(width, heads, forgetting=law, seed=seed, dtype=torch.float64, **options)
    layer.block = layer.block if block is None else block  # blocks longer than all spans are right, too
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for w in layer.forgetting.parameters():
            w += 0.7 * torch.randn(w.shape, generator=draw, dtype=torch.float64)
    return layer


@st.composite
def splits(draw):
    steps = draw(st.integers(1, 20))
    cuts = sorted(draw(st.lists(st.integers(0, steps), max_size=6))) if draw(st.booleans()) else range(steps)
    edges = [0, *cuts, steps]
    return [b - a for a, b in itertools.pairwise(edges)]


def chunked(layer, x, sizes, state=None):
    """Return answers, live memories, the total price and the last state of a layer that reads in chunks."""
    answers, live, price = [], [], torch.zeros((), dtype=torch.float64)
    for chunk in x.split(sizes, 1):
        known = layer.remember(chunk, state)
        state = known.last
        answers.append(known.y)
        live.append(known.live)
        price = price + known.price * chunk.shape[1]
    return torch.cat(answers, 1), torch.cat(live, -1), price, state
