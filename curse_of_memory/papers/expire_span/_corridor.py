"""Transformers that learn for how long a colour is to be remembered: a colour, noise, and it is asked for.

One row is one episode. At one of the first six steps a colour comes, one of two; after a delay it is asked
for, once. All other steps are noise of four kinds. A training adds the price of memory to the cross-entropy.
"""

from typing import NamedTuple, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from curse_of_memory.nn import CausalTransformer
from curse_of_memory.nn.forgetting import ExpireSpan
from curse_of_memory.tools.devices import resolve_device

__all__ = [
    "ASKED",
    "COLOURS",
    "TOKENS",
    "Episodes",
    "episodes",
    "error_after",
    "longest_span",
    "trained",
    "training",
]

COLOURS, NOISE, LEAD = 2, 4, 6
ASKED = COLOURS  # the token that asks
TOKENS = ASKED + 1 + NOISE
ROWS, PRICE = 32, 1e-4  # episodes of a batch, and α unless given
TRIED = 400  # episodes by which an error is counted


class Episodes(NamedTuple):
    """Rows of one episode each.

    Attributes
    ----------
    tokens : Tensor of shape ``(count, time)``
    colours : Tensor of shape ``(count,)``
        What is asked for.
    asked : Tensor of shape ``(count,)``
        At which step.
    """

    tokens: Tensor
    colours: Tensor
    asked: Tensor


def episodes(count: int, shortest: int, longest: int, random: np.random.Generator) -> Episodes:
    """Return random episodes with delays from `shortest` to `longest` steps."""
    tokens = random.integers(ASKED + 1, TOKENS, (count, LEAD + longest))
    colours, begins = random.integers(0, COLOURS, count), random.integers(0, LEAD, count)
    asked, row = begins + random.integers(shortest, longest + 1, count), np.arange(count)
    tokens[row, begins], tokens[row, asked] = colours, ASKED
    return Episodes(*(torch.from_numpy(part) for part in (tokens, colours, asked)))


def trained(
    shortest: int,
    longest: int,
    *,
    seed: int,
    layers: int,
    width: int,
    ramp: int,
    start: float,
    max_span: int,
    updates: int,
    learning_rate: float,
    device: str,
    price: float = PRICE,
) -> tuple[CausalTransformer, pd.DataFrame]:
    """Return a transformer that was trained on delays from `shortest` to `longest`, and its spans on the way.

    Parameters
    ----------
    shortest, longest : int
        Delays, in steps.
    seed : int
        Names initial weights and episodes.
    layers, width : int
        Of the transformer.
    ramp, start, max_span
        R, the span of all memories at first, and L, in steps.
    updates, learning_rate
        Of Adam.
    device : str
        Where.
    price : float
        α.

    Returns
    -------
    CausalTransformer
    pandas.DataFrame
        ``update, span``: the longer one of the mean spans of both colours, in the first layer.
    """
    place = resolve_device(device)
    law = ExpireSpan(max_span, ramp, initial_share=start / max_span, price=price)
    model = CausalTransformer(
        width,
        layers,
        heads=2,
        feedforward=2 * width,
        vocabulary=TOKENS,
        output_size=COLOURS,
        activation="relu",
        forgetting=law,
        sees_itself=False,
        seed=seed,
        device=place,
    )
    adam = torch.optim.Adam(model.parameters(), lr=learning_rate)
    random, spans = np.random.default_rng((seed, 3)), []
    every = max(updates // 40, 1)
    for k in range(updates):
        batch = Episodes(*(part.to(place) for part in episodes(ROWS, shortest, longest, random)))
        answer = model.remember(batch.tokens)
        logits = answer.y[torch.arange(ROWS, device=place), batch.asked]
        loss = nn.functional.cross_entropy(logits, batch.colours) + answer.price
        adam.zero_grad()
        loss.backward()
        adam.step()
        if k % every == 0:
            spans.append((k, longest_span(cast(Tensor, answer.spans[0]), batch.tokens)))
    return model.eval(), pd.DataFrame(spans, columns=["update", "span"])


def longest_span(spans: Tensor, tokens: Tensor) -> float:
    """Return the longer one of the mean spans of both colours: one may be known by the other's absence."""
    return max(float(spans.detach()[tokens == colour].mean()) for colour in range(COLOURS))


def error_after(model: CausalTransformer, delay: int, seed: int) -> float:
    """Return the share of wrong answers to episodes of one delay."""
    place = model.readout.weight.device
    random = np.random.default_rng((seed, 4))
    batch = Episodes(*(part.to(place) for part in episodes(TRIED, delay, delay, random)))
    with torch.no_grad():
        answers = model(batch.tokens)[torch.arange(TRIED, device=place), batch.asked].argmax(1)
    return float((answers != batch.colours).double().mean())


def training(
    task: str,
    layers: int,
    seed: int,
    *,
    delays: list[int],
    width: int,
    ramp: int,
    start: float,
    max_span: int,
    updates: int,
    learning_rate: float,
    device: str,
) -> pd.DataFrame:
    """Return the errors and the spans of one training.

    Parameters
    ----------
    task : str
        Delays of its episodes, one number or two: ``"9"``, ``"2 to 30"``.
    delays : list of int
        After which it is tried, as far as they are of the task.
    layers, seed, width, ramp, start, max_span, updates, learning_rate, device
        As for :func:`trained`.

    Returns
    -------
    pandas.DataFrame
        ``kind, x, y``: "error", delay and share of wrong answers; "span", update and span.
    """
    ends = [int(end) for end in task.split(" to ")]
    model, spans = trained(
        ends[0],
        ends[-1],
        seed=seed,
        layers=layers,
        width=width,
        ramp=ramp,
        start=start,
        max_span=max_span,
        updates=updates,
        learning_rate=learning_rate,
        device=device,
    )
    tried = [delay for delay in delays if ends[0] <= delay <= ends[-1]]
    errors = [error_after(model, delay, seed) for delay in tried]
    return pd.concat(
        [
            pd.DataFrame({"kind": "error", "x": tried, "y": errors}),
            pd.DataFrame({"kind": "span", "x": spans["update"], "y": spans["span"]}),
        ],
        ignore_index=True,
    )
