"""What the panels of eviction say, in numbers, at a small size."""

import numpy as np
import pytest

pytest.importorskip("transformers")

from curse_of_memory.papers.expire_span import eviction as figure
from curse_of_memory.report.long_table import rows

SMALL = {"steps": 40, "updates": 50, "span_updates": 15, "budgets": (6, 12, 40), "prices": (1e-2, 1e-1)}


@pytest.fixture(scope="module")
def found():
    return figure.data(**SMALL, texts=6, seeds=2, device="cpu")


def test_a_rule_that_drops_nothing_costs_nothing_and_smaller_budgets_cost_more(found):
    for seed in (0, 1):
        whole = [rows(found.table, panel="loss", curve=name, seed=seed, setting=40) for name in figure.RULES]
        assert np.ptp([one.y.item() for one in whole]) < 1e-5
        for name in figure.RULES:
            mass = rows(found.table, panel="mass", curve=name, seed=seed).sort_values("setting")
            assert (mass.y.diff()[1:] < 0).all()
            assert mass.y.iloc[-1] < 1e-6
            live = rows(found.table, panel="loss", curve=name, seed=seed, setting=6).x.item()
            assert 6 <= live <= 6 + figure.CHUNK - 1


def test_spans_drop_exactly_nothing_and_errors_keep_below_their_bounds(found):
    assert (rows(found.table, panel="mass", curve=figure.SPANS).y == 0).all()
    certificates = rows(found.table, panel="certificate")
    assert len(certificates) > 100
    assert (certificates.y <= certificates.x * (1 + 1e-9)).all()
    assert found.headline["mass that spans drop"] == 0


def test_a_higher_price_leaves_fewer_memories(found):
    for seed in (0, 1):
        live = rows(found.table, panel="loss", curve=figure.SPANS, seed=seed).sort_values("setting").x
        assert live.iloc[1] < live.iloc[0] < 24 + figure.RAMP


def test_texts_ask_for_what_they_have_told():
    tokens, asks = (part.numpy() for part in figure.facts(30, 60, 3))
    assert asks.any(1).all()
    for text, asked in zip(tokens, asks, strict=True):
        told = [t for t in text[: figure.TOLD] if t >= figure.NOISE]
        kinds = {(t - figure.NOISE) // figure.VALUES: t for t in told}
        assert len(told) == len(kinds) == figure.KINDS
        for t in np.flatnonzero(asked):
            assert text[t + 1] == kinds[text[t] - figure.QUESTIONS]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"budgets": (3,)}, "budgets must"), ({"prices": (-1.0,)}, "prices must"), ({"seeds": 0}, "seeds must")],
)
def test_ill_settings_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        figure.data(**(SMALL | wrong))


def test_plot_draws_four_panels(found):
    assert len(figure.plot(found).axes) == 4
