"""Transformers with any law of forgetting, trained on texts of characters, and bits of what they then say."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from curse_of_memory.nn import CausalTransformer
from curse_of_memory.nn.attention.block import Block
from curse_of_memory.nn.forgetting import ExpireSpan, Law
from curse_of_memory.papers.expire_span._stream_trainings import LAWS, Sizes
from curse_of_memory.tasks import Characters
from curse_of_memory.tools import checks
from curse_of_memory.tools.data_sources import REAL, STAND_IN
from curse_of_memory.training import fit_stream

__all__ = [
    "EXPIRE_SPAN",
    "CutSpan",
    "TextSizes",
    "Texts",
    "bits_of",
    "cut_at",
    "law_of",
    "said_of_part",
    "spaced",
    "spans_and_bits",
    "texts_of",
    "trained_on",
]

EXPIRE_SPAN = "Expire-Span"
VALIDATIONS = 4  # looks at the validation text in a training
VALIDATED_ROWS = 8
TRAINING_PART = 90_000_000  # characters of enwik8


@dataclass(frozen=True)
class TextSizes(Sizes):
    """Of the transformer, and of its training on a text, with what the published settings ask for.

    Attributes
    ----------
    feedforward : int
        Inner width of the feed-forward parts, in widths.
    norm : {'pre', 'post'}
        Where layers are normalised.
    dropout : float
        Of attention and channels.
    warmup : int
        Updates over which the learning rate rises.
    clip : float
        Largest norm of the gradient.
    falls : tuple of int
        Updates after which the learning rate falls tenfold.
    shorten : bool
        Whether spans are cut at random in training.
    pre_divide : float
        By which states are divided before spans are told from them.
    """

    feedforward: int = 2
    norm: str = "pre"
    dropout: float = 0.0
    warmup: int = 0
    clip: float = 0.5
    falls: tuple[int, ...] = ()
    shorten: bool = False
    pre_divide: float = 1.0


class Texts(NamedTuple):
    """The parts of a text that are read, and how its characters are numbered.

    Attributes
    ----------
    train : Characters
    validation, test : Characters
        Their first characters.
    """

    train: Characters
    validation: Characters
    test: Characters


def texts_of(train: Characters, validation: int, test: int) -> Texts:
    """Return the parts of a text of which one has the training part, the others as long as is said."""
    for name, count in {"validation_characters": validation, "test_characters": test}.items():
        checks.whole_number(name, count, least=VALIDATED_ROWS + 1)
    source = STAND_IN if train.stand_in else REAL
    return Texts(
        train,
        Characters(train.text, "validation", size=validation, data=source),
        Characters(train.text, "test", size=test, data=source),
    )


def said_of_part(train: Characters, sizes: TextSizes) -> str:
    """Return how much of the published text a training reads, in words; empty if all, or if it is made."""
    whole = TRAINING_PART if train.text == "enwik8" else len(train)
    read = min(sizes.steps * sizes.rows * sizes.block, len(train))
    if train.stand_in or read >= whole:
        return ""
    return f"{spaced(read)} of {spaced(whole)} characters of the training part"


def spaced(number: int) -> str:
    """Return a whole number with blanks between its thousands."""
    return f"{number:,}".replace(",", " ")


class CutSpan(ExpireSpan):
    """Expire-Span of which all spans may be cut when it is trained: min(e, limit)."""

    limit: float = math.inf

    def notes(self, states: Tensor, steps: Tensor) -> Tensor:
        """Return the spans, none above the limit, ``(batch, memory, 1)``."""
        return super().notes(states, steps).clamp(max=self.limit)


@contextlib.contextmanager
def cut_at(model: CausalTransformer, limit: float) -> Iterator[None]:
    """Have the spans of all layers cut at a `limit`, in steps, inside this context; others have none."""
    laws = [cast(Block, block).attention.forgetting for block in model.blocks]
    cut = [law for law in laws if isinstance(law, CutSpan)]
    before = [law.limit for law in cut]
    try:
        for law in cut:
            law.limit = limit
        yield
    finally:
        for law, own in zip(cut, before, strict=True):
            law.limit = own


def law_of(name: str, value: float, sizes: TextSizes) -> Law:
    """Return a law by its name, from the one number by which its memories are made more or fewer."""
    if name != EXPIRE_SPAN:
        return LAWS[name](value, sizes)
    return CutSpan(
        sizes.max_span,
        sizes.ramp,
        initial_share=sizes.initial_share,
        price=value,
        pre_divide=sizes.pre_divide,
        shorten=sizes.shorten,
    )


def trained_on(
    texts: Texts, law: Law, sizes: TextSizes, seed: int, device: str = "auto"
) -> CausalTransformer:
    """Return a transformer that has learnt to say the next character; its weights are the best ones.

    Parameters
    ----------
    texts : Texts
        The validation part is looked at a few times, and selects the weights.
    law : Law
        Of all layers.
    sizes : TextSizes
    seed : int
        Of the initial weights, and of what is drawn in training.
    device : str
    """
    model = CausalTransformer(
        sizes.width,
        sizes.layers,
        heads=sizes.heads,
        feedforward=sizes.feedforward * sizes.width,
        vocabulary=texts.train.vocabulary,
        positions="block",
        norm=sizes.norm,
        activation="relu",
        dropout=sizes.dropout,
        attention_bias=False,
        scaled_residuals=sizes.norm == "pre",
        forgetting=law,
        sees_itself=False,
        zero_memories=sizes.block,
        block=sizes.block,
        seed=seed,
    )
    fit_stream(
        model,
        texts.train.tokens,
        texts.validation.tokens,
        steps=sizes.steps,
        rows=sizes.rows,
        chunk=sizes.block,
        learning_rate=sizes.learning_rate,
        schedule=sizes.falls or "constant",
        warmup=sizes.warmup,
        clip=sizes.clip,
        validate_every=max(1, sizes.steps // VALIDATIONS),
        validation_rows=VALIDATED_ROWS,
        seed=seed,
        device=device,
    )
    return model.eval()


def bits_of(loss: float) -> float:
    """Return a loss in nats in bits."""
    return loss / math.log(2)


@torch.no_grad()
def spans_and_bits(model: CausalTransformer, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return the span of every character of a text in each layer, and the bits by which it was foretold.

    Parameters
    ----------
    model : CausalTransformer
        With :class:`CutSpan` in all layers.
    tokens : Tensor of shape ``(steps,)``

    Returns
    -------
    spans : Tensor of shape ``(layers, steps)``
    bits : Tensor of shape ``(steps,)``
        NaN for the first character.
    """
    remembered = model.remember(tokens[None].to(model.readout.weight.device))
    spans = torch.cat(cast(list[Tensor], remembered.spans)).cpu()
    logits = remembered.y[0, :-1].cpu()
    bits = nn.functional.cross_entropy(logits, tokens[1:], reduction="none") / math.log(2)
    return spans, torch.cat([bits.new_full((1,), math.nan), bits])
