"""Random shortening: masks of a layer against their mean, what is trained, and what committed runs show."""

import json
import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("agg")

from curse_of_memory.papers.expire_span import shortening
from curse_of_memory.report.long_table import rows
from curse_of_memory.tasks import Characters
from curse_of_memory.theory.expiry import shortened_mask

COMMITTED = Path(__file__).parents[3] / "figures" / "expire_span" / "shortening.csv"
TEXTS = ("training", "validation")
SMALL: dict[str, Any] = {
    "characters": 300, "tried_characters": 100, "layers": 2, "width": 8, "block": 8, "max_span": 16,
    "ramp": 4, "batch_size": 3, "updates": 4, "looks": 2, "draws": 20, "seeds": 1, "device": "cpu",
    "data": "stand-in",
}  # fmt: skip


def small(**changes: Any) -> dict[str, Any]:
    return SMALL | changes


def curves(table: pd.DataFrame, text: str, shortened: bool) -> np.ndarray:
    """Bits of a text, a row for each of three seeds or more."""
    own = rows(table, text=text, shortened=shortened).pivot(index="seed", columns="step", values="bits")
    assert len(own) >= 3
    return own.to_numpy()


def test_mean_masks_of_a_layer_are_those_of_the_closed_form():
    """By Hoeffding, a mean over n passes is off by t with a chance below 2 exp(−2 n t²)."""
    spans, ages = np.meshgrid([6.0, 20.5, 39.0], np.arange(1, 50, 4))
    spans, ages, n = spans.ravel(), ages.ravel(), 1500
    seen = shortening.mean_masks(spans, ages, max_span=40, ramp=8, draws=n, seed=2, device="cpu")
    off = math.sqrt(math.log(2 * len(seen) / 1e-6) / (2 * n))
    assert off < 0.08
    np.testing.assert_allclose(seen, shortened_mask(ages, spans, 8, 40), rtol=0, atol=off)


def test_before_training_both_are_one_model_and_every_span_is_the_initial_one():
    found = shortening.data(**small(learning_rate=1e-12))
    bits = rows(found.table, panel="training")
    plain, cut = (rows(bits, shortened=shortened).bits.to_numpy() for shortened in (False, True))
    np.testing.assert_allclose(cut, plain, rtol=1e-6)
    known = Characters("pg19", data="stand-in").vocabulary
    np.testing.assert_allclose(plain, math.log2(known), rtol=0.2)  # nothing is known yet
    memories = rows(found.table, panel="memories")
    np.testing.assert_allclose(memories.span, 8.0, rtol=1e-5)
    assert len(memories) == 2 * 2  # with and without, of each layer
    assert "sentences of a grammar" in found.stand_in
    assert shortening.plot(found).get_suptitle().startswith("Stand-in data")
    with pytest.raises(ValueError, match="draws must be at least 1"):
        shortening.data(**small(draws=0))


def test_committed_runs_overfit_with_and_without_shortening():
    table = rows(pd.read_csv(COMMITTED), panel="training")
    seen, unseen = ([curves(table, text, shortened) for shortened in (False, True)] for text in TEXTS)
    rises = [own[:, -1] - own.min(1) for own in unseen]
    assert np.min(rises) > 0.2  # bits
    assert all((np.diff(own[:, 1:]) < 0).all() for own in seen)  # while it is learnt better and better
    # what shortening changes of the best is less than what overfitting costs, and is there in every seed
    better = unseen[0].min(1) - unseen[1].min(1)
    assert 0 < better.min() <= better.max() < np.min(rises)
    assert (seen[1][:, -1] < seen[0][:, -1]).all()
    assert json.loads(COMMITTED.with_suffix(".json").read_text()).get("stand_in", "") == ""


def test_seeds_with_less_overfitting_are_counted():
    """Of two seeds one rises by less, .1 against .3, and one by more, .4 against .2."""
    rise = {(False, 0): 0.3, (True, 0): 0.1, (False, 1): 0.2, (True, 1): 0.4}
    table = pd.DataFrame(
        [
            {"panel": "training", "shortened": cut, "seed": seed, "step": step, "text": text, "bits": bits}
            for (cut, seed), more in rise.items()
            for text in TEXTS
            for step, bits in ((0, 5.0), (1, 3.0), (2, 3.0 + more))
        ]
    )
    message = shortening._findings(table, 2.0).message
    assert "by 0.20 to 0.30 with spans as learnt, and by 0.10 to 0.40 where training shortens" in message
    assert "them, less in 1 of 2 seeds." in message


@pytest.mark.parametrize("share", [1.0, 1.5])
def test_spans_of_the_limit_or_more_are_refused(share):
    with pytest.raises(ValueError, match=f"shares must be below 1, as no span is L, got {share}"):
        shortening.data(**small(shares=[share]))
