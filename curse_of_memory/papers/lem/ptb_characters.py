"""LEM (2110.04744) on the characters of the Penn Treebank: bits per character of single-layer models."""

from matplotlib.figure import Figure

from curse_of_memory.experiments.token_models import Dropouts
from curse_of_memory.papers.lem._penn_treebank import (
    CHARACTERS,
    Settings,
    compared,
    findings,
    picture,
    texts_of,
)
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.tasks.penn_treebank import PTB_CHARACTERS, PennTreebank

__all__ = ["data", "plot"]


@figure_data(
    title="Penn Treebank, characters",
    source="Long Expressive Memory (2110.04744), Penn Treebank characters; README of its public code",
)
def data(
    *,
    tokens: int = 200_000,
    validation_tokens: int = 8_000,
    test_tokens: int = 8_000,
    width: int = 56,
    embedding: int = 16,
    embedding_dropout: float = 0.05,
    state_dropout: float = 0.05,
    output_dropout: float = 0.05,
    rows: int = 40,
    chunk: int = 25,
    steps: int = 130,
    validate_every: int = 26,
    learning_rate: float = 0.015,
    penalty: float = 1e-5,
    clip: float = 1.0,
    average_after: int = 2,
    average_from: int = 100,
    order: int = 6,
    seeds: int = 3,
    data: str = "auto",
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train LEM, LSTM and GRU of as many weights to say the next character, and select them by validation.

    - One layer of `width` units reads an `embedding` of fewer channels; dropout of the embedding, of the
      state that recurrent weights see and of the output.
    - `rows` pieces of the text side by side, `chunk` characters at a time, and states that are handed on.
    - `penalty` and `clip` are those of the loss summed over a chunk, as the public code has them. The weights
      are averaged once `average_after` validations were no better, or from the step `average_from` on.
    - The factor of the logits, from 0.8 to 1, is chosen on the validation part, and the test part read once.

    Columns: ``model, seed, epoch, validation, test, factor, weights, status``, bits per character.
    """
    source = PTB_CHARACTERS.source(data)
    train = PennTreebank("characters", size=tokens, data=source)
    texts = texts_of(train, validation_tokens, test_tokens)
    settings: Settings = {
        "width": width,
        "embedding": embedding,
        "dropouts": Dropouts(embedding_dropout, state_dropout, output_dropout),
        "rows": rows,
        "chunk": chunk,
        "steps": steps,
        "validate_every": validate_every,
        "learning_rate": learning_rate,
        "penalty": penalty,
        "clip": clip,
        "average_after": average_after,
        "average_from": average_from,
        "device": device,
    }
    table = compared(texts, CHARACTERS, settings, seeds=seeds, seed=seed)
    scale = {"tokens": tokens, "width": width, "steps": steps}
    return findings(table, texts, CHARACTERS, order, scale)


def plot(data: FigureData) -> Figure:
    """Draw the bits per character of the validation part by epoch, and of the test part of each training."""
    return picture(data, CHARACTERS)
