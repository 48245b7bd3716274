"""Encoder-decoders that learn to write titles, with errors weighed by tᵖ: one training, and what it says."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from curse_of_memory.losses import TemporallyWeightedCrossEntropy
from curse_of_memory.losses.cross_entropy import IGNORED
from curse_of_memory.nn.encoder_decoder import EncoderDecoder, load_encoder_decoder, t5
from curse_of_memory.papers.interest._extracts import means
from curse_of_memory.tasks.summaries import EncodedSummaries
from curse_of_memory.tasks.vocabularies import Vocabulary
from curse_of_memory.tools.devices import resolve_device, torch_draws
from curse_of_memory.training import fit
from curse_of_memory.training.data_sets import HELD_OUT

__all__ = [
    "Pairs",
    "Sizes",
    "frequency_errors",
    "lengths",
    "made",
    "median_length",
    "trained",
    "trained_on",
    "weights_read_off",
]

LOGITS = 2**23  # that are in memory at a time where nothing is trained
HELD_OUT_MOST = 1024  # of the pairs a tenth is held out, and no more than these


@dataclass(frozen=True)
class Pairs:
    """Pairs for training and for measuring.

    Attributes
    ----------
    train, test : EncodedSummaries
        As numbers of the vocabulary, of one length.
    titles : tuple of str
        Of the test, whole.
    vocabulary : Vocabulary
        Of characters, or of the weights.
    """

    train: EncodedSummaries
    test: EncodedSummaries
    titles: tuple[str, ...]
    vocabulary: Vocabulary


@dataclass(frozen=True)
class Sizes:
    """What a training is.

    Attributes
    ----------
    folder, weights : str
        Where weights are that are trained further, and the checksum of them, so that runs of other weights
        are other runs; both empty for random ones.
    width, layers, heads : int
        Of those with random weights.
    updates, batch_size, learning_rate, warmup, decay
        Of AdamW; whether its rate falls in a line to zero after its linear warm-up, or is constant.
    looks : int
        Times at which the pairs that are held out are looked at; the best weights are kept.
    beams : sequence of int
        Of each way to write.
    """

    folder: str
    weights: str
    width: int
    layers: int
    heads: int
    updates: int
    batch_size: int
    learning_rate: float
    warmup: int
    decay: bool
    looks: int
    beams: tuple[int, ...]


def made(pairs: Pairs, sizes: Sizes, seed: int) -> EncoderDecoder:
    """Return the encoder-decoder that a training starts from."""
    marks, numbers = pairs.vocabulary.marks, len(pairs.vocabulary)
    if sizes.folder:
        model = load_encoder_decoder(sizes.folder, numbers, marks=marks)
    else:
        model = t5(numbers, width=sizes.width, layers=sizes.layers, heads=sizes.heads, marks=marks, seed=seed)
    return EncoderDecoder(model, pairs.train.source_length)


def trained_on(pairs: int) -> int:
    """Return how many of some pairs are trained on, the others being held out."""
    return pairs - min(HELD_OUT_MOST, -(-pairs // HELD_OUT))


def trained(p: float, seed: int, pairs: Pairs, sizes: Sizes, device: str) -> pd.DataFrame:
    """Train one encoder-decoder; return its plain errors by step of the test's titles, and ROUGE.

    Rows of the panel *trained* have ``step, value, titles``: nats, and how many titles have that step;
    those of the panel *rouge* have ``beams`` and the columns of :func:`means`.
    """
    layer = made(pairs, sizes, seed)
    with torch_draws(seed, resolve_device(device)):  # dropout, where weights of a folder have some
        fit(
            layer,
            pairs.train.batch,
            loss=TemporallyWeightedCrossEntropy(p),
            steps=sizes.updates,
            batch_size=sizes.batch_size,
            learning_rate=sizes.learning_rate,
            schedule="linear" if sizes.decay else "constant",
            warmup=sizes.warmup,
            clip=math.inf,  # as in the public code of T5-PEGASUS
            validate_every=sizes.updates // sizes.looks,
            validation_size=HELD_OUT_MOST,
            evaluation_size=_at_a_time(layer, pairs.train),
            seed=seed,
            device=device,
        )
    errors, counts = _profile(layer, pairs.test, device)
    profile = pd.DataFrame(
        {"panel": "trained", "step": range(1, len(errors) + 1), "value": errors, "titles": counts}
    )
    tables = [profile.loc[profile.titles > 0]]
    for beams in sizes.beams:
        said = means(_written(layer, pairs, beams, device), pairs.titles)
        tables.append(said.assign(panel="rouge", beams=beams))
    return pd.concat(tables, ignore_index=True)


@torch.no_grad()
def _profile(layer: EncoderDecoder, test: EncodedSummaries, device: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean error of each step over the titles that have it, and how many these are."""
    plain = TemporallyWeightedCrossEntropy(reduction="none")
    layer.eval()
    total = np.zeros(test.target_length)
    for inputs, labels in _parts(layer, test, device):
        total += plain(layer(inputs), labels).double().sum(0).cpu().numpy()
    counts = (test.batch.targets != IGNORED).sum(0).numpy()
    return total / np.maximum(counts, 1), counts


def _written(layer: EncoderDecoder, pairs: Pairs, beams: int, device: str) -> list[str]:
    longest = pairs.test.target_length
    rows = [row for x, _ in _parts(layer, pairs.test, device) for row in layer.write(x, longest, beams=beams)]
    return [pairs.vocabulary.decode(row) for row in rows]


def weights_read_off(
    layer: EncoderDecoder, pairs: EncodedSummaries, powers: Sequence[float], device: str
) -> dict[float, np.ndarray]:
    """Return the weights of all steps ``(title, step)``, by p, as gradients of the logits have them.

    Of the sum of the errors w_t CE_t the gradient of the right one of the logits of step t is −w_t (1 − q_t),
    q_t the probability that it has; beyond a title nothing has a gradient.
    """
    layer.to(resolve_device(device)).eval()
    read: dict[float, list[np.ndarray]] = {p: [] for p in powers}
    for inputs, labels in _parts(layer, pairs, device):
        with torch.no_grad():
            logits: Tensor = layer(inputs).double()
        right = labels.clamp(min=0)[..., None]
        missing = 1 - functional.softmax(logits, -1).gather(-1, right)[..., 0]
        for p, found in read.items():
            loss = TemporallyWeightedCrossEntropy(p, reduction="sum")
            answers = logits.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(loss(answers, labels), answers)
            found.append((-gradient.gather(-1, right)[..., 0] / missing).cpu().numpy())
    return {p: np.concatenate(found) for p, found in read.items()}


def frequency_errors(pairs: Pairs) -> np.ndarray:
    """Return the error of each step of the test's titles that knows the frequencies in training alone.

    NaN at steps that no title has. Each token is counted once more, so that none has the probability zero.
    """
    train, test = (some.batch.targets.numpy() for some in (pairs.train, pairs.test))
    counts = 1 + np.bincount(train[train != IGNORED], minlength=len(pairs.vocabulary))
    errors = -np.log(counts / counts.sum())
    has = test != IGNORED
    with np.errstate(invalid="ignore"):
        return np.where(has, errors[np.maximum(test, 0)], 0.0).sum(0) / has.sum(0)


def lengths(pairs: EncodedSummaries) -> list[int]:
    """Return the steps of each title, its end mark among them."""
    return (pairs.batch.targets != IGNORED).sum(1).tolist()


def median_length(titles: Sequence[int]) -> int:
    """Return the median of some lengths; of an even number the lower of the two, which is one of them."""
    return sorted(titles)[(len(titles) - 1) // 2]


def _parts(layer: EncoderDecoder, pairs: EncodedSummaries, device: str) -> list[tuple[Tensor, Tensor]]:
    """Return inputs and labels of so many pairs at a time as there is room for the logits of."""
    where, size = resolve_device(device), _at_a_time(layer, pairs)
    halves = (some.split(size) for some in (pairs.batch.inputs, pairs.batch.targets))
    return [(x.to(where), y.to(where)) for x, y in zip(*halves, strict=True)]


def _at_a_time(layer: EncoderDecoder, pairs: EncodedSummaries) -> int:
    return max(1, LOGITS // (layer.vocabulary * pairs.target_length))
