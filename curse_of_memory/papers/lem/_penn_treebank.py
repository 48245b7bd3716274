"""LEM, LSTM and GRU of as many weights on the Penn Treebank: trainings, selection, n-grams beside them."""

import dataclasses
import math
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.experiments.ngrams import ngram_losses
from curse_of_memory.experiments.token_models import CELLS, Dropouts, TokenModel
from curse_of_memory.papers.lem._comparison import Quantity
from curse_of_memory.papers.lem._comparison_report import draw, printed, told
from curse_of_memory.papers.lem._equal_weights import number_of_weights, of_as_many_weights
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, spreads
from curse_of_memory.tasks.penn_treebank import PennTreebank
from curse_of_memory.training import fit_stream, text_losses

__all__ = [
    "CHARACTERS",
    "WORDS",
    "Level",
    "Settings",
    "Texts",
    "compared",
    "findings",
    "is_full",
    "picture",
    "texts_of",
]

README = "README of the public code"
FACTORS = np.linspace(0.8, 1, 21).tolist()  # of the logits, one of which the validation chooses


@dataclass(frozen=True)
class Level:
    """Words or characters: what is measured, and what the public code has reached.

    Attributes
    ----------
    quantity : Quantity
        As tables have it.
    readme : float
        The test value in the README of the public code.
    full : mapping from str to int
        The least values of the parameters of a run at that scale.
    tokens : str
        What tokens are called.
    """

    quantity: Quantity
    readme: float
    full: dict[str, int]
    tokens: str

    def value(self, loss: float) -> float:
        """Return the quantity of a loss in nats per token."""
        return math.exp(loss) if self.tokens == "words" else loss / math.log(2)


_UPDATES = {"steps": 200_000}
WORDS = Level(
    Quantity("perplexity", "loss"),
    72.8,
    {"tokens": 929_589, "vocabulary": 10_000, "width": 256, **_UPDATES},
    "words",
)
"""Perplexity: e to the loss per word."""

CHARACTERS = Level(
    Quantity("bits per character", "loss", "{:.3f}"),
    1.25,
    {"tokens": 5_017_482, "width": 1024, **_UPDATES},
    "characters",
)
"""Loss per character over log 2."""


class Texts(NamedTuple):
    """The three parts of a text, or their first tokens."""

    train: Tensor
    validation: Tensor
    test: Tensor
    vocabulary: int
    stand_in: str


def texts_of(train: PennTreebank, validation_tokens: int, test_tokens: int) -> Texts:
    """Return the parts of a text of which one has the training part."""
    validation, test = train.part("validation", validation_tokens), train.part("test", test_tokens)
    return Texts(train.tokens, validation.tokens, test.tokens, train.vocabulary, train.stand_in)


class Settings(TypedDict):
    """How a model is made and trained; penalty and norm are those of the loss summed over a chunk."""

    width: int
    embedding: int | None
    dropouts: Dropouts
    rows: int
    chunk: int
    steps: int
    validate_every: int
    learning_rate: float
    penalty: float
    clip: float
    average_after: int
    average_from: int
    device: str


def compared(texts: Texts, level: Level, settings: Settings, *, seeds: int, seed: int) -> pd.DataFrame:
    """Train every cell from several seeds; return the rows of :func:`run` of all.

    Parameters
    ----------
    texts : Texts
    level : Level
    settings : Settings
    seeds, seed : int
        How many trainings of each there are, and the seed of the first.
    """
    wanted = product_of(model=CELLS, seed=range(seed, seed + seeds))
    return run_grid(run, wanted, {"texts": texts, "level": level, "settings": settings})


def run(model: str, seed: int, texts: Texts, level: Level, settings: Settings) -> pd.DataFrame:
    """Train one model; return a row for each validation.

    Parameters
    ----------
    model, seed
        One of the cells, of as many weights as a LEM; and what names its weights, masks and starts.
    texts, level, settings
        As for :func:`compared`.

    Returns
    -------
    pandas.DataFrame
        Columns ``epoch, validation, test, factor, weights, status``. The test value, and the factor of the
        logits by which it was had and which the validation has chosen, stand where the validation is best.
    """
    network = made(model, texts.vocabulary, settings, seed)
    chunk, device = settings["chunk"], settings["device"]
    result = fit_stream(
        network,
        texts.train,
        texts.validation,
        steps=settings["steps"],
        rows=settings["rows"],
        chunk=chunk,
        learning_rate=settings["learning_rate"],
        penalty=settings["penalty"] / chunk,
        clip=settings["clip"] / chunk,
        validate_every=settings["validate_every"],
        validation_rows=settings["rows"],
        average_after=settings["average_after"],
        average_from=settings["average_from"],
        seed=seed,
        device=device,
    )
    history = result.history
    tried = text_losses(network, texts.validation, factors=FACTORS, device=device)
    factor = FACTORS[int(np.argmin(tried))]
    test = text_losses(network, texts.test, factors=(factor,), device=device)[0]
    best = history.validation_loss.idxmin()
    table = pd.DataFrame(
        {
            "epoch": history.epoch,
            "validation": [level.value(loss) for loss in history.validation_loss],
            "test": math.nan,
            "factor": math.nan,
            "weights": number_of_weights(network),
            "status": result.status,
        }
    )
    table.loc[best, ["test", "factor"]] = level.value(test), factor
    return table


def made(model: str, vocabulary: int, settings: Settings, seed: int) -> TokenModel:
    """Return an untrained model of as many weights as the LEM of the settings, or nearly."""

    def of(cell: str, width: int) -> TokenModel:
        tied = settings["embedding"]
        return TokenModel(cell, vocabulary, width, embedding=tied, dropouts=settings["dropouts"], seed=seed)

    width = settings["width"]
    if model == "GRU":
        network = of_as_many_weights(lambda units: of(model, units), number_of_weights(of("LEM", width)))
        assert isinstance(network, TokenModel)
        return network
    return of(model, width)  # an LSTM has as many


def findings(table: pd.DataFrame, texts: Texts, level: Level, order: int, *, full: bool) -> Findings:
    """Return what trainings come to, beside n-grams; and the README, if at `full` scale and of real data.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`compared` returns it.
    texts : Texts
    level : Level
    order : int
        Of the longest n-grams. Those that are best on the validation part stand in the picture.
    full : bool
    """
    quantity = level.quantity
    losses = ngram_losses(texts.train, texts.test, texts.vocabulary, order)
    known = {_gram(k + 1): level.value(loss) for k, loss in enumerate(losses)}
    best = int(np.argmin(ngram_losses(texts.train, texts.validation, texts.vocabulary, order))) + 1
    lines = {name: known[name] for name in (_gram(1), _gram(best))}
    headline, by_seed, words = told(table, quantity)
    paper = {f"LEM: test {quantity.label}": level.readme} if full and not texts.stand_in else {}
    if paper:
        known[README] = level.readme
    headline |= {f"{name}: test {quantity.label}": value for name, value in lines.items()}
    said = ", ".join(f"{name} {quantity.text(value)}" for name, value in lines.items())
    message = f"{words} Beside them {said}."
    if not full:
        count = f"{len(texts.train):,}".replace(",", " ")
        message = f"Reduced scale, {count} {level.tokens} of {texts.vocabulary} kinds. {message}"
    return Findings(
        table, message, headline, paper, printed(table, quantity, known), spreads(by_seed), texts.stand_in
    )


def _gram(order: int) -> str:
    return f"{order}-grams" if order > 1 else "frequencies alone"


def is_full(level: Level, given: dict[str, int]) -> bool:
    """Return whether parameters are those of the public code, or larger."""
    return all(given[name] >= least for name, least in level.full.items())


def picture(data: FigureData, level: Level) -> Figure:
    """Draw validation by epoch, and the test value of each training beside n-grams and the README.

    Parameters
    ----------
    data : FigureData
    level : Level
    """
    ending = f": test {level.quantity.label}"
    lines = {name.removesuffix(ending): value for name, value in data.headline.items()}
    lines = {name: float(value) for name, value in lines.items() if name not in CELLS}
    lines |= dict.fromkeys([README] if data.paper else [], level.readme)
    trained = dataclasses.replace(data, table=data.table.loc[data.table.epoch > 0])  # the start is far above
    figure = draw(trained, level.quantity, lines)
    if not is_full(level, dict(data.parameters)):
        with plotting.style():
            above = filter(None, ("Reduced scale", figure.get_suptitle()))
            figure.suptitle("\n".join(above), fontsize=11)
    return figure
