"""Small language models, trained on the spot: an LSTM, a causal transformer, state space layers of words."""

import torch
from torch import Tensor, nn

from curse_of_memory.losses import TemporallyWeightedCrossEntropy
from curse_of_memory.nn import LSTM, S4D, CausalTransformer, SequenceStack
from curse_of_memory.nn.building.seeding import seeded
from curse_of_memory.training import FitResult, fit

__all__ = ["WordModel", "fit_words", "trained_language_models", "unigram_entropy", "word_lstm", "word_s4d"]

HEADS = 2


class WordModel(nn.Module):
    """An embedding of words, and a network that reads it and answers with the logits of the next one.

    Parameters
    ----------
    network : torch.nn.Module
        Maps ``(batch, time, width)`` to ``(batch, time, vocabulary)``.
    vocabulary, width : int
        Number of words, width of the embedding.
    seed : int
        Names the initial embedding.
    """

    def __init__(self, network: nn.Module, vocabulary: int, width: int, seed: int):
        super().__init__()
        with seeded(seed):
            self.embed = nn.Embedding(vocabulary, width)
        self.network = network

    def forward(self, words: Tensor) -> Tensor:
        """Map words ``(batch, time)`` to logits ``(batch, time, vocabulary)``."""
        return self.network(self.embed(words))


def word_lstm(vocabulary: int, width: int, layers: int, seed: int) -> WordModel:
    """Return an :class:`LSTM` of words; the width is that of embedding and state."""
    network = LSTM(width, layers, input_size=width, output_size=vocabulary, seed=seed)
    return WordModel(network, vocabulary, width, seed)


def word_s4d(
    vocabulary: int, width: int, layers: int, seed: int, *, states: int, parameterization: str
) -> WordModel:
    """Return a pre-norm :class:`SequenceStack` of :class:`S4D` of words, whose modes are real.

    They start at rates from 0.01 to 1 per word: under one seed at the same ones, whatever the map.
    """
    options = {"parameterization": parameterization, "initial": "real", "step": None}
    network = SequenceStack(
        lambda inside: S4D(inside, states, **options),
        width,
        layers,
        input_size=width,
        output_size=vocabulary,
        placement="pre",
        seed=seed,
    )
    return WordModel(network, vocabulary, width, seed)


def trained_language_models(
    task,
    validation,
    *,
    width: int,
    layers: int,
    positions: str,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    device: str,
) -> tuple[dict[str, nn.Module], dict[str, float]]:
    """Train an LSTM and a transformer to say the next word.

    Parameters
    ----------
    task, validation
        Of words, with ``vocabulary``, ``horizon`` and ``sample``, as those of :class:`WikiText2`.
    width, layers : int
        Of both models.
    positions : str
        Of the transformer, as :class:`CausalTransformer` takes them.
    steps, batch_size, learning_rate : int or float
        Of both trainings.
    seed : int
        Names initial weights and batches.
    device : str
        Where they are trained.

    Returns
    -------
    models : dict of str to torch.nn.Module
        "LSTM" and "transformer", in evaluation mode.
    losses : dict of str to float
        Validation losses per word, in nats.
    """
    longest = {"horizon": task.horizon} if positions == "learnt" else {}
    models = {
        "LSTM": word_lstm(task.vocabulary, width, layers, seed),
        "transformer": CausalTransformer(
            width,
            layers,
            heads=HEADS,
            vocabulary=task.vocabulary,
            positions=positions,
            seed=seed,
            **longest,
        ),
    }
    losses = {}
    for name, model in models.items():
        options = {"steps": steps, "batch_size": batch_size, "seed": seed, "device": device}
        result = fit_words(
            model, task, validation, learning_rate=learning_rate, validate_every=steps, **options
        )
        model.eval()
        losses[name] = result.loss
    return models, losses


def fit_words(model: nn.Module, task, validation, **options) -> FitResult:
    """Train a model to say the next word: cross-entropy, cosine schedule, 64 pieces of text to validate with.

    Parameters
    ----------
    model : torch.nn.Module
        Maps words ``(batch, time)`` to logits ``(batch, time, vocabulary)``.
    task, validation
        Of words.
    **options
        Of :func:`fit`.
    """
    loss = TemporallyWeightedCrossEntropy()
    same = {"loss": loss, "validation": validation, "schedule": "cosine", "validation_size": 64}
    return fit(model, task, **same, **options)


def unigram_entropy(task, validation) -> float:
    """Return the loss per word, in nats, of who knows how frequent each word is and nothing else.

    The frequencies are those in ``task.tokens``, one added to each count; the words ``validation.tokens``.

    Parameters
    ----------
    task, validation
        Of words, with ``vocabulary`` and ``tokens``, as those of :class:`WikiText2`.
    """
    counts = torch.bincount(task.tokens, minlength=task.vocabulary).double() + 1
    return -(counts / counts.sum()).log()[validation.tokens].mean().item()
