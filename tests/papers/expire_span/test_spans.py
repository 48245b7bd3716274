"""Spans of a corridor: what is drawn are spans of the model, and committed colours live longest."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from curse_of_memory.papers.expire_span import spans
from curse_of_memory.report.long_table import rows

COMMITTED = Path(__file__).parents[3] / "figures" / "expire_span" / "spans.csv"


def test_before_training_every_step_has_the_initial_span():
    found = spans.data(
        longest=9, width=8, block=8, max_span=40, ramp=4, initial_share=0.25, batch_size=2, updates=1,
        learning_rate=1e-12, shown_steps=20, tried_steps=800, seeds=2, layers=2,
    )  # fmt: skip
    snippet, means = rows(found.table, panel="snippet"), rows(found.table, panel="means")
    assert snippet.step.tolist() == list(range(20))
    assert len(means) == 2 * 2 * 3  # seeds, layers and kinds of steps
    assert (found.table.span - 10).abs().max() < 1e-4  # in float32
    assert means.error.between(0, 1).all()


def test_a_corridor_beyond_all_layers_is_refused():
    """Two layers of spans up to L = 40 with R = 4 see 2 · (40 + 3) steps back."""
    tiny: dict[str, Any] = {"width": 8, "block": 8, "ramp": 4, "updates": 1, "seeds": 1, "layers": 2}
    with pytest.raises(
        ValueError, match=r"max_span must be at least 41, .* longest \+ 1 = 87 steps back, got 40"
    ):
        spans.data(longest=86, max_span=40, **tiny)


def test_committed_colours_live_longer_than_the_corridor():
    table = pd.read_csv(COMMITTED)
    means = rows(table, panel="means").groupby(["seed", "kind"]).span.max().unstack()
    assert len(means) >= 3
    assert (means.colour > 2 * means.corridor).all()
