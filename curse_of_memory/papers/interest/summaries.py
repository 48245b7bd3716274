"""INTEREST (Wang & Yan, 2307.11462): titles of abstracts, written after trainings with the weights tᵖ."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.papers.interest._extracts import extracts
from curse_of_memory.papers.interest._title_findings import findings
from curse_of_memory.papers.interest._title_sources import Sources
from curse_of_memory.papers.interest._title_trainings import (
    Pairs,
    Sizes,
    frequency_errors,
    lengths,
    made,
    median_length,
    trained,
    weights_read_off,
)
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import rows
from curse_of_memory.tasks import Summaries
from curse_of_memory.tasks.vocabularies import CharacterVocabulary, load_vocabulary
from curse_of_memory.theory import bias
from curse_of_memory.tools import checks
from curse_of_memory.tools.files import checksum_of_all

__all__ = ["data", "plot"]

COLUMNS = ["panel", "p", "seed", "step", "exact", "value", "titles", "name", "beams", "repeats"]
COLUMNS += ["rouge_1", "rouge_2", "rouge_l"]
FEWEST = 10  # titles of a step whose mean error is drawn
SCORES = {  # what is drawn: column, way to count, name
    ("rouge_1", "all"): "ROUGE-1, all occurrences",
    ("rouge_1", "once"): "ROUGE-1, each character once",
    ("rouge_2", "all"): "ROUGE-2, all occurrences",
    ("rouge_l", "all"): "ROUGE-L",
}


@figure_data(
    title="Titles of abstracts under the weights tᵖ",
    source="INTEREST (2307.11462), table of summaries; its numbers and code are not public",
)
def data(
    *,
    model_name: str = "",
    training_file: str = "",
    test_file: str = "",
    abstract_column: int = 1,
    title_column: int = 2,
    powers: Sequence[float] = (0, 1, 2),
    source_length: int = 64,
    target_length: int = 32,
    pairs: int = 1000,
    tested: int = 300,
    width: int = 64,
    layers: int = 1,
    heads: int = 4,
    updates: int = 80,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    warmup: int = 8,
    decay: bool = False,
    looks: int = 2,
    beams: Sequence[int] = (1,),
    seeds: int = 3,
    data: str = "auto",
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train encoder-decoders to write titles, with errors weighed by tᵖ, and compare what they write.

    - *shares*, *bias*: what p does before any training: the share of the loss that each step has, by the
      lengths of the titles for training, and the memory bias of a title of median length; exact, and from
      weights that are read off the gradients of the logits of the model at its start;
    - *frequencies*, *trained*: errors by step of the first `tested` titles of the test, plain whatever the
      weight was: of the frequencies of tokens alone, and of each training;
    - *rouge*, *extract*: ROUGE of what is written, and of pieces of the abstracts.

    Without a `model_name` a T5 is trained from scratch, on characters; else the encoder-decoder of this local
    folder, on its tokens, whatever `width`, `layers` and `heads` are. It reads `source_length` tokens of an
    abstract, marks among them, and says `target_length`. With `decay` the learning rate falls, after its
    warm-up, in a line to zero, as in the port of T5-PEGASUS to PyTorch.

    The first `pairs` of CSL's dev are learnt from, or of a `training_file`, and the first `tested` of CSL's
    test measured on, or of a `test_file`. Such a file has a pair a line, in UTF-8 and without headings, and
    tabs between its columns, which are counted from 0. How many pairs of the test have a text that is
    trained on, is counted and said.

    Columns: ``panel, p, seed, step, exact, value, titles, name, beams, repeats, rouge_1, rouge_2, rouge_l``;
    the step of the bias is a lag.
    """
    if model_name and not Path(model_name).expanduser().is_dir():
        raise FileNotFoundError(
            f"model_name must be a local folder, such as one of mT5 or T5-PEGASUS, got {model_name!r}"
        )
    for name, file in (("training_file", training_file), ("test_file", test_file)):
        if file and not Path(file).expanduser().is_file():
            raise FileNotFoundError(f"{name} must name a file of pairs, tabs between columns, got {file!r}")
    if warmup >= updates:
        raise ValueError(f"warmup must be below updates = {updates}, got {warmup}")
    if looks > updates:
        raise ValueError(f"looks must be at most updates = {updates}, got {looks}")

    def pairs_of(split: str, file: str, size: int) -> Summaries:
        if not file:
            return Summaries(split, size=size, data=data)
        return Summaries.from_file(
            file, abstract_column=abstract_column, title_column=title_column, size=size
        )

    learnt, unseen = pairs_of("train", training_file, pairs), pairs_of("test", test_file, tested)
    read = Sources(learnt, unseen, bool(training_file), bool(test_file))
    if model_name:
        vocabulary = load_vocabulary(model_name)
    else:
        vocabulary = CharacterVocabulary(
            [*(text[:source_length] for text in learnt.abstracts), *learnt.titles]
        )
    cuts = {"source_length": source_length, "target_length": target_length}
    both = Pairs(
        learnt.encoded(vocabulary, **cuts), unseen.encoded(vocabulary, **cuts), unseen.titles, vocabulary
    )
    sizes = Sizes(
        model_name,
        checksum_of_all(Path(model_name).expanduser()) if model_name else "",
        width,
        layers,
        heads,
        updates,
        batch_size,
        learning_rate,
        warmup,
        decay,
        looks,
        tuple(beams),
    )
    count = checks.positive_int("seeds", seeds)
    trainings = run_grid(
        trained,
        product_of(p=powers, seed=range(seed, seed + count)),
        {"pairs": both, "sizes": sizes, "device": device},
    )
    titles = lengths(both.train)
    before = _before_training(titles, weights_read_off(made(both, sizes, seed), both.train, powers, device))
    known = pd.DataFrame({"panel": "frequencies", "value": frequency_errors(both)})
    known["step"] = known.index + 1
    cut_out = extracts(unseen.abstracts, unseen.titles).assign(panel="extract")
    table = pd.concat([before, known.dropna(), trainings, cut_out], ignore_index=True)
    return findings(table.reindex(columns=COLUMNS), both, sizes, titles, read)


def _before_training(titles: Sequence[int], read: dict[float, np.ndarray]) -> pd.DataFrame:
    """Return shares of the loss and memory biases by p: exact, and from the weights that were read off."""
    steps = median_length(titles)
    tables = []
    for p, weights in read.items():
        weight = bias.power(p)
        exact = bias.step_shares(weight, titles)
        seen = weights.sum(0)[: len(exact)] / sum(titles)
        own = weights[np.array(titles) == steps, :steps].mean(0)
        tails = np.cumsum(own[::-1])[::-1]
        tables += [
            pd.DataFrame(
                {"panel": "shares", "p": p, "step": range(1, len(exact) + 1), "exact": exact, "value": seen}
            ),
            pd.DataFrame(
                {
                    "panel": "bias",
                    "p": p,
                    "step": range(steps),
                    "exact": weight.discrete(steps, normalize="head"),
                    "value": tails / tails[0],
                }
            ),
        ]
    return pd.concat(tables, ignore_index=True)


def plot(data: FigureData) -> Figure:
    """Draw what p does before training, errors by step of a title, and ROUGE beside pieces of abstracts."""
    table = data.table
    looks = plotting.looks(sorted(rows(table, panel="trained").p.unique()))
    with plotting.style():
        figure, axes = plotting.canvas(2, 2, width=11.5, height=8.6)
        _draw_before(axes[0, 0], rows(table, panel="shares"), looks)
        _draw_before(axes[0, 1], rows(table, panel="bias"), looks)
        steps = len(rows(table, panel="bias").step.unique())
        axes[0, 0].set(
            xlabel="step $t$ of the title", ylabel="share of the loss", title="(a) Before training: shares"
        )
        axes[0, 1].set(
            xticks=range(0, steps, 4),
            xlabel="lag $s$ (steps)",
            ylabel=r"$b(s)\,/\,b(0)$",
            title=f"(b) Before training: memory bias of {steps} steps",
        )
        _draw_errors(axes[1, 0], table, looks, scratch=not data.parameters["model_name"])
        _draw_scores(axes[1, 1], table)
        axes[0, 0].legend()
        plotting.legend_below(axes[1, 0], 4, size=9.5)
        plotting.legend_below(axes[1, 1], 2, size=9.5)
        plotting.say_stand_in(figure, data.stand_in)
    return figure


def _draw_before(axis: Axes, table: pd.DataFrame, looks: dict[float, plotting.Look]) -> None:
    for p, look in looks.items():
        own = rows(table, p=p)
        plotting.theory_and_measured(
            axis, (own.step, own.exact), (own.step, own.value), look, size=4, label=plotting.power_label(p)
        )


def _draw_errors(
    axis: Axes, table: pd.DataFrame, looks: dict[float, plotting.Look], *, scratch: bool
) -> None:
    shown = rows(table, panel="trained")
    shown = shown.loc[shown.titles >= min(FEWEST, shown.titles.max())]
    known = rows(table, panel="frequencies")
    known = known.loc[known.step <= shown.step.max()]
    plotting.theory(axis, known.step, known.value, ls=":", lw=1.4, label="frequencies alone")
    for p, look in looks.items():
        own = rows(shown, p=p).pivot(index="seed", columns="step", values="value")
        plotting.over_seeds(axis, own.columns, own, look, ms=4, lw=1.3, label=plotting.power_label(p))
    axis.set(
        xlabel="step $t$ of the title",
        ylabel="cross-entropy (nats)",
        title=f"(c) Test{', reduced scale: from scratch' if scratch else ''}",
    )


def _draw_scores(axis: Axes, table: pd.DataFrame) -> None:
    """Draw a mark for each training and way to count, and for each extract, a line of them a name."""
    written = rows(table, panel="rouge")
    written = written.loc[written.beams == written.beams.min()]
    pieces = rows(table, panel="extract")
    lines = {plotting.power_label(p): own for p, own in written.groupby("p")}
    lines |= {str(name).removesuffix(" characters"): own for name, own in pieces.groupby("name", sort=False)}
    for (column, way), look in zip(SCORES, plotting.distinct(len(SCORES)), strict=True):
        for place, own in enumerate(lines.values()):
            scores = rows(own, repeats=way)[column]
            plotting.measured(
                axis, scores, [place] * len(scores), look, hollow=way == "once", ms=7,
                label="" if place else SCORES[column, way],
            )  # fmt: skip
    axis.set_yticks(range(len(lines)), list(lines))
    axis.invert_yaxis()
    axis.set(xlabel="ROUGE (F1, %)", title="(d) What is written, and characters of the abstract")
