"""Small language models and their training: an LSTM, a causal transformer, state space layers of words."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import xarray as xr
from torch import Tensor, nn

from curse_of_memory.losses import TemporallyWeightedCrossEntropy
from curse_of_memory.nn import LSTM, S4D, CausalTransformer, SequenceStack
from curse_of_memory.nn.building.inputs import many_of_tokens
from curse_of_memory.nn.building.many_models import looked_up, of_each_model, weights_of_part
from curse_of_memory.nn.building.seeding import seeded
from curse_of_memory.tasks import WikiText2
from curse_of_memory.training import FitResult, fit, sweep

__all__ = [
    "WordModel",
    "WordStack",
    "fit_words",
    "sweep_words",
    "trained_language_models",
    "unigram_entropy",
    "word_lstm",
    "word_s4d",
]

HEADS = 2
VALIDATED = 64  # pieces of text


class WordModel(nn.Module):
    """An embedding of words and a network that reads it: logits of the next word at every step.

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


class WordStack(WordModel):
    """An embedding of words and a :class:`SequenceStack` that reads it, which can run for many models.

    Parameters
    ----------
    network : SequenceStack
        As for :class:`WordModel`, and so are the others.
    vocabulary, width, seed : int
        As there.
    """

    network: SequenceStack

    @property
    def architecture(self) -> tuple:
        """What :meth:`run_many` uses of this model beside weights."""
        return type(self), *self.network.architecture

    @property
    def family(self) -> tuple:
        """The `architecture` without the maps of recurrent weights."""
        return type(self), *self.network.family

    def run_many(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return logits of many models with stacked `parameters`, ``(model, batch, time, vocabulary)``."""
        return self.run_each([self], parameters, x)

    def run_each(self, layers: Sequence["WordStack"], parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return logits of many models that may differ in maps of recurrent weights, those of `layers`.

        Words `x` are ``(batch, time)``, for all models, or ``(model, batch, time)``.
        """
        p, x = many_of_tokens(self, parameters, x)
        embedded = looked_up(p["embed.weight"], of_each_model(p, x, 2))
        return self.network.run_each(
            [layer.network for layer in layers], weights_of_part(p, "network"), embedded
        )


def word_lstm(vocabulary: int, width: int, layers: int, seed: int) -> WordModel:
    """Return an :class:`LSTM` of words; `width` is that of the embedding and of the state."""
    network = LSTM(width, layers, input_size=width, output_size=vocabulary, seed=seed)
    return WordModel(network, vocabulary, width, seed)


def word_s4d(
    vocabulary: int, width: int, layers: int, seed: int, *, states: int, parameterization: str
) -> WordStack:
    """Return a pre-norm :class:`SequenceStack` of :class:`S4D` of words, whose modes are real.

    Their rates at the start are between 0.01 and 1 per word, under one seed the same for every map.
    """
    network = SequenceStack(
        lambda inside: S4D(inside, states, parameterization=parameterization, initial="real", step=None),
        width,
        layers,
        input_size=width,
        output_size=vocabulary,
        placement="pre",
        seed=seed,
    )
    return WordStack(network, vocabulary, width, seed)


def trained_language_models(
    task: WikiText2,
    validation: WikiText2,
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
    """Return an LSTM and a transformer, trained to predict the next word, and their validation losses.

    Parameters
    ----------
    task, validation : WikiText2
        The text that they learn, and the text of the validation.
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
    models = {
        "LSTM": word_lstm(task.vocabulary, width, layers, seed),
        "transformer": CausalTransformer(
            width,
            layers,
            heads=HEADS,
            vocabulary=task.vocabulary,
            positions=positions,
            horizon=task.horizon if positions == "learnt" else None,
            seed=seed,
        ),
    }
    losses = {}
    for name, model in models.items():
        result = fit_words(
            model,
            task,
            validation,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            validate_every=steps,
            seed=seed,
            device=device,
        )
        model.eval()
        losses[name] = result.loss
    return models, losses


def fit_words(
    model: nn.Module,
    task: WikiText2,
    validation: WikiText2,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    validate_every: int,
    seed: int,
    device: str,
    clip: float = 0.5,
    watch: Callable[[nn.Module], Mapping[str, float]] | None = None,
) -> FitResult:
    """Train a model to predict the next word: cross-entropy, cosine schedule, 64 pieces of text to validate.

    Parameters
    ----------
    model : torch.nn.Module
        Maps words ``(batch, time)`` to logits ``(batch, time, vocabulary)``.
    task, validation : WikiText2
        The text that it learns, and the text of the validation.
    steps, batch_size, learning_rate, validate_every, seed, device, clip, watch
        As :func:`curse_of_memory.training.fit` takes them.
    """
    return fit(
        model,
        task,
        loss=TemporallyWeightedCrossEntropy(),
        validation=validation,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="cosine",
        clip=clip,
        validate_every=validate_every,
        validation_size=VALIDATED,
        watch=watch,
        seed=seed,
        device=device,
    )


def sweep_words(
    models: Sequence[WordStack],
    task: WikiText2,
    validation: WikiText2,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    validate_every: int,
    seed: Sequence[int],
    device: str,
    watch: Callable[[nn.Module], Mapping[str, float]] | None = None,
) -> xr.Dataset:
    """Train many models at once as :func:`fit_words` trains each, without clipping.

    Parameters
    ----------
    models : sequence of WordStack
        What :func:`word_s4d` returns.
    task, validation : WikiText2
        The text that they learn, and the text of the validation.
    steps, batch_size, learning_rate, validate_every, seed, device, watch
        As :func:`curse_of_memory.training.sweep` takes them.
    """
    return sweep(
        models,
        task,
        loss=TemporallyWeightedCrossEntropy(),
        validation=validation,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="cosine",
        clip=math.inf,
        validate_every=validate_every,
        validation_size=VALIDATED,
        watch=watch,
        seed=seed,
        device=device,
    )


def unigram_entropy(task: WikiText2, validation: WikiText2) -> float:
    """Return the cross-entropy of add-one-smoothed training word frequencies on the validation words.

    It is the loss per word, in nats, of a model that knows the frequencies of words and nothing else.

    Parameters
    ----------
    task, validation : WikiText2
        Texts of one vocabulary: words are counted in the first, and predicted in the second.
    """
    counts = torch.bincount(task.tokens, minlength=task.vocabulary).double() + 1
    return -(counts / counts.sum()).log()[validation.tokens].mean().item()
