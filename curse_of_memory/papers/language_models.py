"""Small language models, trained on the spot: an LSTM and a causal transformer of words."""

import torch
from torch import Tensor, nn

from curse_of_memory.losses import TemporallyWeightedCrossEntropy
from curse_of_memory.nn.gates import LSTM
from curse_of_memory.nn.seeding import seeded
from curse_of_memory.nn.transformer import CausalTransformer
from curse_of_memory.training import fit

__all__ = ["WordLSTM", "trained_language_models", "unigram_entropy"]

HEADS = 2


class WordLSTM(nn.Module):
    """An embedding of words and an :class:`LSTM` that answers with the logits of the next one.

    Parameters
    ----------
    vocabulary, width, layers : int
        Number of words, width of embedding and state, number of layers.
    seed : int
        Names the initial weights.
    """

    def __init__(self, vocabulary: int, width: int, layers: int, seed: int):
        super().__init__()
        with seeded(seed):
            self.embed = nn.Embedding(vocabulary, width)
        self.lstm = LSTM(width, layers, input_size=width, output_size=vocabulary, seed=seed)

    def forward(self, words: Tensor) -> Tensor:
        """Map words ``(batch, time)`` to logits ``(batch, time, vocabulary)``."""
        return self.lstm(self.embed(words))


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
        "LSTM": WordLSTM(task.vocabulary, width, layers, seed),
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
        result = fit(
            model,
            task,
            validation=validation,
            loss=TemporallyWeightedCrossEntropy(),
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            schedule="cosine",
            validate_every=steps,
            validation_size=64,
            seed=seed,
            device=device,
        )
        model.eval()
        losses[name] = result.loss
    return models, losses


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
