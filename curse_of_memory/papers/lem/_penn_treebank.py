"""LEM, LSTM and GRU of as many weights on the Penn Treebank: trainings, selection, n-grams beside them."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.experiments.ngrams import ngram_losses
from curse_of_memory.experiments.token_models import CELLS, Dropouts, TokenModel
from curse_of_memory.papers.lem._comparison import Quantity
from curse_of_memory.papers.lem._comparison_report import SAID, draw, printed, reduced, told
from curse_of_memory.papers.lem._equal_weights import number_of_weights, of_as_many_weights
from curse_of_memory.report.figure import FigureData, Findings, spreads
from curse_of_memory.tasks.penn_treebank import PennTreebank
from curse_of_memory.tools import checks
from curse_of_memory.training import fit_stream, text_losses

__all__ = [
    "CHARACTERS",
    "WORDS",
    "Level",
    "Settings",
    "Texts",
    "compared",
    "findings",
    "picture",
    "scale_of",
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
        The parameters of a run at full scale, or the least of them.
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
    """Return the parts of a text of which one has the training part; two tokens are the least of a part."""
    for name, count in {"validation_tokens": validation_tokens, "test_tokens": test_tokens}.items():
        checks.whole_number(name, count, least=2)
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


def findings(
    table: pd.DataFrame, texts: Texts, level: Level, order: int, given: Mapping[str, Any]
) -> Findings:
    """Return what trainings come to, beside n-grams; and the README, if at full scale and of real data.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`compared` returns it.
    texts : Texts
    level : Level
    order : int
        Of the longest n-grams. Those that are best on the validation part stand in the picture.
    given : mapping
        The parameters of the run, or those of which :class:`Level` has the full ones.
    """
    scale = scale_of(level, given)
    quantity = level.quantity
    losses = ngram_losses(texts.train, texts.test, texts.vocabulary, order)
    known = {_gram(k + 1): level.value(loss) for k, loss in enumerate(losses)}
    best = int(np.argmin(ngram_losses(texts.train, texts.validation, texts.vocabulary, order))) + 1
    lines = {name: known[name] for name in (_gram(1), _gram(best))}
    headline, by_seed, words = told(table, quantity)
    paper = {f"LEM: test {quantity.label}": level.readme} if not scale and not texts.stand_in else {}
    if paper:
        known[README] = level.readme
    headline |= {f"{name}: test {quantity.label}": value for name, value in lines.items()}
    said = ", ".join(f"{name} {quantity.text(value)}" for name, value in lines.items())
    message = f"{words} Beside them {said}."
    if scale:
        message = f"{scale}. {message}"
    return Findings(
        table, message, headline, paper, printed(table, quantity, known), spreads(by_seed), texts.stand_in
    )


def _gram(order: int) -> str:
    return f"{order}-grams" if order > 1 else "frequencies alone"


def scale_of(level: Level, given: Mapping[str, Any]) -> str:
    """Return which parameters are smaller than those of the public code, in words; an empty text if none."""
    sizes = {name: min(int(given[name]), full) for name, full in level.full.items()}
    words = {"tokens": f"{{}} {level.tokens}", "vocabulary": "{} of them told apart", "steps": "{} updates"}
    return reduced(sizes, level.full, SAID | words)


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
    return draw(trained, level.quantity, lines, note=scale_of(level, data.parameters))
