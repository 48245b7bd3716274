"""What trainings on titles say, in numbers, a table and a sentence: errors by step, and ROUGE by p."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from curse_of_memory.papers.interest._extracts import WINDOW_NAME, lead_name
from curse_of_memory.papers.interest._title_sources import Sources
from curse_of_memory.papers.interest._title_trainings import Pairs, Sizes, median_length, trained_on
from curse_of_memory.report.figure import Findings, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.theory import bias

__all__ = ["findings", "part_means", "said_of_rouge"]

EARLY, LATE = 8, 17  # the first steps, and those from this one on
PARTS = {
    "all steps": (1, 10**6),
    f"first {EARLY} steps": (1, EARLY),
    f"from step {LATE} on": (LATE, 10**6),
}
LEAD = lead_name(20)
SCORES = ["rouge_1", "rouge_2", "rouge_l"]
ALIKE = "ours: each n-gram once"  # how others counted is not known


def part_means(trained: pd.DataFrame) -> pd.DataFrame:
    """Return the mean error of all steps of titles, of the first ones, and of late ones, by p and seed.

    NaN where no title has such steps.
    """
    found = {}
    for name, (first, last) in PARTS.items():
        some = trained.loc[trained.step.between(first, last)]
        sums = (some.value * some.titles).groupby([some.p, some.seed]).sum()
        found[name] = sums / some.titles.groupby([some.p, some.seed]).sum()
    return pd.DataFrame(found)


def said_of_rouge(by_p: pd.Series, lead: float) -> str:
    """Return the sentence on ROUGE-L of all trainings, of index ``p, seed``, beside that of a lead.

    Examples
    --------
    >>> index = pd.MultiIndex.from_product([[0, 2], [0, 1]], names=["p", "seed"])
    >>> said_of_rouge(pd.Series([5.0, 7.0, 6.0, 8.0], index), 33.4)[-58:]
    'and tells nothing of p: what seeds do is as much as p does'
    """
    ranges = {p: (float(own.min()), float(own.max())) for p, own in by_p.groupby("p")}
    words = "; ".join(f"p = {p:g}: {low:.1f} to {high:.1f}" for p, (low, high) in ranges.items())
    apart = max(low for low, _ in ranges.values()) > min(high for _, high in ranges.values())
    least, most = (float(value) for value in (by_p.min(), by_p.max()))
    if most < lead:
        told = f"ROUGE-L ({words}) is in every training below the {LEAD} of the abstract, {lead:.1f}, "
        if len(by_p) == len(ranges):
            return told + "and tells nothing of p: of one training each, what a seed does is not known"
        if not apart:
            return told + "and tells nothing of p: what seeds do is as much as p does"
        return told + ("and tells nothing of p: its ranges are apart, but what is written are no titles")
    above = "all trainings" if least > lead else "some trainings"
    return (
        f"ROUGE-L ({words}) is in {above} above the {LEAD} of the abstract, {lead:.1f}; by p its ranges "
        + ("are apart" if apart else "overlap")
    )


def findings(
    table: pd.DataFrame, pairs: Pairs, sizes: Sizes, titles: Sequence[int], read: Sources
) -> Findings:
    """Return what `table` says; `titles` are the lengths of those for training, `read` whose they are."""
    headline: dict[str, float | str] = {}
    by_run: dict[str, Sequence[float]] = {}
    errors = part_means(rows(table, panel="trained"))
    written = rows(table, panel="rouge")
    greedy = rows(written, repeats="all", beams=written.beams.min()).set_index(["p", "seed"])
    for p, own in errors.groupby("p"):
        for name, values in own.dropna(axis=1).items():
            by_run[f"p = {p:g}: nats, {name}"] = values.tolist()
        by_run[f"p = {p:g}: ROUGE-1"] = greedy.rouge_1.xs(p).tolist()
        by_run[f"p = {p:g}: ROUGE-L"] = greedy.rouge_l.xs(p).tolist()
    headline |= {label: float(np.median(values)) for label, values in by_run.items()}
    steps = median_length(titles)
    for p in errors.index.unique("p"):
        headline[f"p = {p:g}: effective steps of {steps}"] = bias.effective_steps(bias.power(p), steps)
    known = rows(table, panel="frequencies")
    counts = (pairs.test.batch.targets >= 0).sum(0).numpy()[known.step.astype(int) - 1]
    headline["nats of frequencies alone"] = float((known.value * counts).sum() / counts.sum())
    extracts = rows(table, panel="extract", repeats="all").set_index("name")
    for name in (LEAD, WINDOW_NAME):
        headline[f"{name}: ROUGE-L"] = float(extracts.rouge_l[name])
    headline["unknown tokens of the titles (%)"] = float(100 * pairs.test.unknown_targets / counts.sum())
    leaks = read.seen_before()
    if read.own_training or read.own_test:
        headline["pairs of the test with an abstract or title trained on"] = leaks
    medians = errors.groupby("p").median()
    parts = "; ".join(
        f"{name} {', '.join(f'{value:.2f}' for value in medians[name])}" for name in medians.dropna(axis=1)
    )
    message = (
        f"{_model(sizes)}, {_training(read, sizes)}{_of_own(read, leaks)}. "
        f"Nats a token of the test's titles with p = {', '.join(f'{p:g}' for p in medians.index)}, "
        f"medians: {parts}; frequencies alone "
        f"{headline['nats of frequencies alone']:.2f}. "
        f"{said_of_rouge(greedy.rouge_l, float(extracts.rouge_l[LEAD]))}."
    )
    return Findings(
        table,
        message,
        headline,
        printed=_printed(table, sizes, read),
        spread=spreads(by_run),
        stand_in=read.stand_in,
        data_part="" if read.stand_in else read.told(),
    )


def _training(read: Sources, sizes: Sizes) -> str:
    count = trained_on(len(read.learnt))
    return f"{sizes.updates} updates, {sizes.updates * min(sizes.batch_size, count) / count:.3g} epochs"


def _of_own(read: Sources, leaks: int) -> str:
    """Return what is to be said of files of one's own, and what the test may have leaked to the training."""
    said = f" on {read.told()}" if read.own_training or read.own_test else ""
    if not leaks:
        return said
    return f"{said}; a leak: {leaks} of these have an abstract or a title that is among those for training"


def _model(sizes: Sizes) -> str:
    return Path(sizes.folder).name if sizes.folder else f"T5 of width {sizes.width} from scratch"


def _printed(table: pd.DataFrame, sizes: Sizes, read: Sources) -> pd.DataFrame:
    """Return ROUGE by p, of extracts, and for CSL's test of the published models, as a table of texts."""
    lines = []
    for (p, beams), own in groups(rows(table, panel="rouge"), ["p", "beams"]).items():
        once, every = (rows(own, repeats=way) for way in ("once", "all"))
        ours = {
            "model": f"{_model(sizes)}, p = {p:g}",
            "pairs": str(trained_on(len(read.learnt))),
            "beams": f"{beams:g}",
        }
        lines.append(ours | _cells(once) | {"all occurrences": _three(every)})
    for name, own in groups(rows(table, panel="extract"), "name").items():
        once, every = (rows(own, repeats=way) for way in ("once", "all"))
        lines.append(
            {"model": f"{name} of the abstract", "pairs": "—", "beams": "—"}
            | _cells(once)
            | {"all occurrences": _three(every)}
        )
    theirs = reference("interest/summaries").query("data == 'CSL'")
    for row in [] if read.own_test else theirs.to_dict("records"):
        lines.append(
            {
                "model": f"{row['model']}, published",
                "pairs": f"{row['pairs']:g}",
                "beams": f"{row['beams']:g}",
            }
            | {name: f"{row[name]:.2f}" for name in SCORES}
            | {"all occurrences": "—"}
        )
    names = dict(zip(SCORES, (f"ROUGE-{n}, {ALIKE}" for n in "12L"), strict=True))
    return pd.DataFrame(lines).rename(columns=names).set_index("model")


def _cells(scores: pd.DataFrame) -> dict[str, str]:
    """Return the middle of some runs and their range, by score."""
    several = len(scores) > 1
    return {
        name: f"{scores[name].median():.2f}"
        + (f" ({scores[name].min():.2f} to {scores[name].max():.2f})" if several else "")
        for name in SCORES
    }


def _three(scores: pd.DataFrame) -> str:
    return " / ".join(f"{scores[name].median():.2f}" for name in SCORES)
