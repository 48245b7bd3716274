"""Characters: floors, bits and cuts are what they say, in tiny trainings on the stand-in."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch

from curse_of_memory.papers.expire_span import characters
from curse_of_memory.papers.expire_span._least_bits import least_bits
from curse_of_memory.papers.expire_span._text_trainings import (
    CutSpan,
    TextSizes,
    bits_of,
    cut_at,
    law_of,
    said_of_part,
    spaced,
    spans_and_bits,
    texts_of,
    trained_on,
)
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.tasks import Characters
from curse_of_memory.training import evaluate_stream

COMMITTED = Path(__file__).parents[3] / "figures" / "expire_span" / "characters.csv"
SIZES = TextSizes(
    layers=2, width=8, heads=2, block=8, max_span=24, ramp=4, initial_share=0.4, rows=4, steps=3,
    learning_rate=0.01, tried=200, warmup=1, falls=(2,),
)  # fmt: skip


@pytest.fixture(scope="module")
def texts():
    return texts_of(Characters("enwik8", data="stand-in"), 100, 400)


@pytest.fixture(scope="module")
def model(texts):
    """A model whose spans differ from character to character."""
    model = trained_on(texts, law_of("Expire-Span", 1e-3, SIZES), SIZES, 0, "cpu")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("predictor.weight"):
                weight.normal_(generator=torch.Generator().manual_seed(1))
    return model


def tiny(**options):
    arguments = {
        "prices": [1e-3], "windows": [16], "limits": [2, 8], "width": 8, "block": 8, "max_span": 24,
        "ramp": 4, "batch_size": 4, "updates": 2, "warmup": 1, "falls_after": 1, "validation_characters": 60,
        "test_characters": 200, "seeds": 1, "data": "stand-in", "device": "cpu",
    }  # fmt: skip
    return characters.data(**(arguments | options))


@pytest.fixture(scope="module")
def figure():
    return tiny(others=True)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_least_bits_are_the_entropy_after_the_last_characters(order):
    """By scipy, context for context; before the first character are blanks that no text has."""
    text = "the thin thing that they think of then" * 3
    tokens = torch.tensor([ord(letter) for letter in text])
    after: dict[str, Counter] = {}
    padded = "\0" * order + text
    for k in range(1, len(text)):
        after.setdefault(padded[k : k + order], Counter())[text[k]] += 1
    entropies = [scipy.stats.entropy(list(next_.values()), base=2) for next_ in after.values()]
    expected = np.average(entropies, weights=[next_.total() for next_ in after.values()])
    assert least_bits(tokens, order) == pytest.approx(expected, abs=1e-12)


def test_bits_are_those_of_the_probabilities_of_the_next_characters(model, texts):
    tokens = texts.test.tokens[:150]
    with torch.no_grad():
        logits = model(tokens[None]).double().numpy()[0]
    probability = scipy.special.softmax(logits, axis=1)[np.arange(149), tokens[1:]]
    bits = spans_and_bits(model, tokens)[1]
    assert math.isnan(bits[0])
    assert bits[1:].numpy() == pytest.approx(-np.log2(probability), abs=1e-5)
    said = evaluate_stream(model, tokens, rows=1, chunk=16, device="cpu")
    assert bits_of(said.loss) == pytest.approx(-np.log2(probability).mean(), abs=1e-5)


def test_spans_are_cut_inside_the_context_alone(model, texts):
    tokens = texts.test.tokens[:200]
    whole, bits = spans_and_bits(model, tokens)
    assert whole[0].max() > 10 > 6 > whole[0].min()
    with cut_at(model, 6.0):
        cut = spans_and_bits(model, tokens)[0]
        live = model.remember(tokens[None]).live
        with pytest.raises(KeyError), cut_at(model, 2.0):
            raise KeyError
        assert torch.equal(spans_and_bits(model, tokens)[0], cut)
    # the first layer reads the same; later ones read what is left to it
    assert torch.equal(cut[0], whole[0].clamp(max=6.0))
    assert cut.max() <= 6
    assert live.max() <= SIZES.ramp - 1 + 6
    again = spans_and_bits(model, tokens)
    assert torch.equal(again[0], whole)
    assert torch.equal(again[1][1:], bits[1:])
    with cut_at(model, SIZES.max_span):
        assert torch.equal(spans_and_bits(model, tokens)[0], whole)


def test_nothing_is_seen_beyond_the_reach_of_all_layers(model, texts):
    """What a layer hands on has at most the age R - 1 + L'."""
    tokens = texts.test.tokens[:60]
    reach = SIZES.layers * (SIZES.ramp - 1 + 3)
    other = tokens.clone()
    other[10] = (other[10] + 1) % texts.train.vocabulary
    with cut_at(model, 3.0), torch.no_grad():
        gap = (model(tokens[None]) - model(other[None])).abs().amax(-1)[0]
    assert gap[10 + reach + 1 :].max() == 0 < gap[10]
    assert gap[11 : 10 + reach + 1].max() > 0


def test_other_laws_are_not_cut(texts):
    model = trained_on(texts, law_of("window", 5, SIZES), SIZES, 0, "cpu")
    with cut_at(model, 1.0):
        assert model.remember(texts.test.tokens[None, :50]).live[..., -1].tolist() == [[5], [5]]
    law = law_of("Expire-Span", 1e-3, SIZES)
    assert isinstance(law, CutSpan)
    assert (law.price, law.max_span, law.limit) == (1e-3, 24, math.inf)


def test_published_settings_can_be_trained(texts):
    """Post-norm, dropout, spans that are cut at random and divided states, as in the presets for a GPU."""
    sizes = replace(
        SIZES, norm="post", dropout=0.3, shorten=True, pre_divide=64.0, feedforward=4, falls=(SIZES.steps,)
    )
    model = trained_on(texts, law_of("Expire-Span", 1e-6, sizes), sizes, 0, "cpu")
    assert model.norm == "post"
    assert model.get_parameter("blocks.0.widen.weight").shape == (4 * sizes.width, sizes.width)
    tokens = texts.test.tokens[:40]
    assert torch.equal(spans_and_bits(model, tokens)[0], spans_and_bits(model, tokens)[0])
    # of divided states, spans are what they were at first
    assert (spans_and_bits(model, tokens)[0] - 0.4 * 24).abs().max() < 0.5


def test_the_figure_has_every_training_and_every_cut(figure):
    assert figure.message.startswith("Stand-in data")
    trained = rows(figure.table, panel="trained")
    counts = {law: len(some) for law, some in groups(trained, "law").items()}
    others = ("adaptive span", "sinks", "compressive memory", "forget gate")
    assert counts == {"least bits": 3, "Expire-Span": 1, "window": 1} | dict.fromkeys(others, 1)
    assert rows(trained, law="adaptive span").value.tolist() == [0.01]
    cut = rows(figure.table, panel="cut")
    assert cut.limit.tolist() == [2, 8]
    assert (cut.live <= cut.limit + 3).all()
    floors = rows(trained, law="least bits").bits
    assert floors.is_monotonic_decreasing
    assert (trained.bits.dropna() < 8).all()
    assert not figure.data_part


def test_the_paper_stands_beside(figure):
    published = rows(figure.table, panel="published")
    at = {law: dict(zip(some.live, some.bits, strict=True)) for law, some in groups(published, "law").items()}
    assert at["Expire-Span"][603] == 1.0278
    assert at["adaptive span"][700] == 1.0383
    assert at["window"][1024] == 1.0711
    theirs = figure.printed[figure.printed["from"] == "table 2 of the paper"]
    assert len(theirs) == 12
    assert theirs.loc["Expire-Span 24 layers"].tolist() == ["208M", "0.95", "table 2 of the paper"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": "text8"}, "text must be"),
        ({"test_characters": 8}, "test_characters must be"),
        ({"validation_characters": 3}, "validation_characters must be"),
        ({"windows": [0]}, "windows must be"),
        ({"max_span": 4}, "max_span must be at least block"),
        ({"batch_size": 10**6}, "text must have more than"),
        ({"norm": "none"}, "norm must be"),
    ],
)
def test_bad_input_is_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        tiny(**options)
    assert "\n" not in str(caught.value)


def test_what_is_read_is_said(texts):
    assert spaced(1234567) == "1 234 567"
    assert said_of_part(texts.train, SIZES) == ""


def test_committed_trainings_know_more_than_frequencies():
    table = pd.read_csv(COMMITTED)
    trained = rows(table, panel="trained").query("law != 'least bits'")
    assert (trained.groupby(["law", "value"]).seed.nunique() >= 3).all()
    assert trained.bits.max() < rows(table, law="least bits", value=0.0).bits.item()


def test_what_a_longer_window_changes_is_said_of_every_seed():
    own = pd.DataFrame(
        {"law": "window", "value": [8.0, 64.0] * 2, "seed": [0, 0, 1, 1], "bits": [3.0, 2.5, 3.0, 3.25]}
    )
    said = characters._gain_of_windows(own)
    assert said == "From a window of 8 to one of 64 bits change by -0.50 to +0.25. "
    assert characters._gain_of_windows(rows(own, value=8.0)) == ""
