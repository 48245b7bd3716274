"""The table of settings: parameters as printed, against real models and a closed form, and our figures."""

import inspect
import math

import numpy as np
import pytest

from curse_of_memory.gallery.catalogue import read_catalogue
from curse_of_memory.nn import CausalTransformer
from curse_of_memory.nn.forgetting import AdaptiveSpan, ExpireSpan
from curse_of_memory.papers.expire_span import (
    characters,
    instructions,
    object_collision,
    shortening,
    size_against_error,
    spans,
    spans_over_text,
)
from curse_of_memory.papers.expire_span import hyperparameters as figure
from curse_of_memory.report.long_table import rows
from curse_of_memory.report.reference_numbers import reference

SETTINGS = reference("expire_span/settings").set_index("experiment", drop=False)
FIGURES = {
    "characters": characters,
    "instructions": instructions,
    "object_collision": object_collision,
    "shortening": shortening,
    "size_against_error": size_against_error,
    "spans": spans,
    "spans_over_text": spans_over_text,
}


@pytest.fixture(scope="module")
def found():
    return figure.data(device="cpu")


@pytest.mark.parametrize(
    ("experiment", "parts"),
    [
        # attention, feed-forward part, both norms and the predictor of a layer; characters; positions
        (
            "enwik8 (12 layers)",
            12 * (4 * 512**2 + 2 * 512 * 2048 + 2048 + 512 + 4 * 512 + 513) + 205 * 1025 + 64 * 512,
        ),
        (
            "Object Collision (64k)",
            6 * (4 * 512**2 + 2 * 512 * 1024 + 1024 + 512 + 4 * 512 + 513)
            + 44 * 1025
            + 128 * 256
            + 2 * 512,  # the last norm, which the public code has not
        ),
    ],
)
def test_parameters_are_those_of_the_parts_of_a_model(experiment, parts):
    setting = SETTINGS.loc[experiment]
    assert figure.counted(setting) == figure.closed_form(setting) == parts


@pytest.mark.parametrize(("law", "norm"), [("Expire-Span", "pre"), ("Adaptive-Span", "post")])
def test_a_model_without_numbers_has_as_many_as_one_with(law, norm):
    sizes = {"layers": 2, "width": 12, "feedforward": 20, "heads": 3, "vocabulary": 7, "block": 6}
    setting = SETTINGS.iloc[0].copy()
    setting.update({**sizes, "law": law, "norm": norm, "max_span": 10})
    own = ExpireSpan(10, 2) if law == "Expire-Span" else AdaptiveSpan(10, 2)
    block = 6 if law == "Expire-Span" else 10
    real = CausalTransformer(
        12, 2, heads=3, feedforward=20, vocabulary=7, positions="block", norm=norm, attention_bias=False,
        forgetting=own, sees_itself=False, zero_memories=block, block=block, seed=0,
    )  # fmt: skip
    count = sum(p.numel() for p in real.parameters())
    assert figure.counted(setting) == figure.closed_form(setting) == count


def test_all_printed_sizes_are_ours_to_the_million(found):
    assert len(found.paper) == 4
    for label, printed in found.paper.items():
        assert round(found.headline[label]) == printed
    table = rows(found.table, panel="layers")
    np.testing.assert_array_equal(table.counted, table.closed)


def test_ours_are_the_defaults_and_the_presets_of_the_figures(found):
    presets = read_catalogue().presets["paper"]
    own = rows(found.table, source="ours").set_index("experiment")
    compared = 0
    for name, module in FIGURES.items():
        fast = {k: p.default for k, p in inspect.signature(module.data).parameters.items()}
        full = fast | presets[f"expire_span/{name}"]
        for scale, settings in {"seconds": fast, "full": full}.items():
            row = own.loc[f"{name} ({scale})"]
            for column in ("layers", "width", "heads", "block", "ramp", "max_span", "learning_rate", "clip"):
                if column in settings:
                    assert row[column] == settings[column], (name, scale, column)
                    compared += 1
                elif column != "clip":
                    assert math.isnan(row[column])
            assert row["updates"] == settings.get("updates", settings.get("steps"))
    assert compared > 40


def test_the_table_and_the_picture_show_every_experiment(found):
    assert set(SETTINGS.index) | {f"{name} (full)" for name in FIGURES} <= set(found.printed.index)
    axes = figure.plot(found).axes
    names = {label.get_text() for label in axes[1].get_yticklabels()}
    assert {"enwik8 (12 layers)", "Object Collision (64k)", "shortening (full)"} <= names
