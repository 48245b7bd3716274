"""Titles of abstracts: what is known before training, what is measured, and weights of a local folder."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from curse_of_memory.measure.rouge_scores import rouge
from curse_of_memory.papers.interest import _title_trainings as trainings
from curse_of_memory.papers.interest import summaries
from curse_of_memory.papers.interest._extracts import best_window, extracts
from curse_of_memory.papers.interest._title_findings import part_means, said_of_rouge
from curse_of_memory.report.long_table import rows
from curse_of_memory.tasks import Summaries, available
from curse_of_memory.tasks.vocabularies import CharacterVocabulary
from curse_of_memory.theory import bias

COMMITTED = Path(__file__).parents[3] / "figures/interest/summaries.csv"
SMALL = {
    "pairs": 40, "tested": 12, "source_length": 20, "target_length": 12, "width": 8, "heads": 2, "updates": 3,
    "batch_size": 8, "warmup": 1, "looks": 1, "data": "stand-in", "device": "cpu",
}  # fmt: skip
SIZES = trainings.Sizes("", "", 8, 1, 2, 3, 8, 0.01, 1, False, 1, (1,))


@pytest.fixture(scope="module")
def found():
    return summaries.data(powers=(0, 2), seeds=2, **SMALL)


@pytest.fixture(scope="module")
def pairs():
    learnt, unseen = (
        Summaries(part, size=size, data="stand-in") for part, size in [("train", 40), ("test", 9)]
    )
    vocabulary = CharacterVocabulary([*learnt.abstracts, *learnt.titles])
    cuts = {"source_length": 20, "target_length": 12}
    return trainings.Pairs(
        learnt.encoded(vocabulary, **cuts), unseen.encoded(vocabulary, **cuts), unseen.titles, vocabulary
    )


def test_weights_read_off_the_gradients_are_those_of_the_formulas(found, pairs):
    table = found.table[found.table.panel.isin(["shares", "bias"])]
    assert table.groupby(["panel", "p"]).ngroups == 4
    np.testing.assert_allclose(table.value, table.exact, rtol=1e-12, atol=1e-14)
    shares = rows(table, panel="shares", p=2)
    assert shares.exact.sum() == pytest.approx(1)
    layer = trainings.made(pairs, SIZES, 0)
    (read,) = trainings.weights_read_off(layer, pairs.train, [2], "cpu").values()
    for row, steps in zip(read, trainings.lengths(pairs.train), strict=True):
        own = np.arange(1, steps + 1) ** 2
        np.testing.assert_allclose(row[:steps], own / own.mean(), rtol=1e-12)
        assert not row[steps:].any()


def test_errors_by_step_are_those_of_torch_over_the_titles_that_have_the_step(pairs, monkeypatch):
    """Of the model as it starts; what it writes is read a row at a time."""
    layer = trainings.made(pairs, SIZES, 0).eval()
    monkeypatch.setattr(trainings, "fit", lambda *some, **settings: None)
    table = trainings.trained(1.0, 0, pairs, SIZES, "cpu")
    profile = rows(table, panel="trained").set_index("step")
    errors, counts = (
        profile.value.reindex(range(1, 13)).tolist(),
        profile.titles.reindex(range(1, 13), fill_value=0).tolist(),
    )
    written = [layer.write(row[None], longest=12)[0] for row in pairs.test.batch.inputs]
    scores = 100 * rouge([pairs.vocabulary.decode(row) for row in written], pairs.titles).mean()
    assert rows(table, panel="rouge", repeats="all").rouge_1.item() == pytest.approx(scores.rouge_1)
    with torch.no_grad():
        answers = layer(pairs.test.batch.inputs)
    frequencies = trainings.frequency_errors(pairs)
    said = [int(token) for row in pairs.train.batch.targets for token in row if token >= 0]
    for step in range(12):
        labels = pairs.test.batch.targets[:, step]
        assert counts[step] == (labels >= 0).sum()
        if counts[step]:
            expected = functional.cross_entropy(answers[:, step], labels).item()
            assert errors[step] == pytest.approx(expected, rel=1e-5)
            known = [
                -math.log((said.count(token) + 1) / (len(said) + len(pairs.vocabulary)))
                for token in labels.tolist()
                if token >= 0
            ]
            assert frequencies[step] == pytest.approx(np.mean(known))


def test_headline_numbers_are_those_of_the_table(found, expect_spread):
    trained = rows(found.table, panel="trained", p=2)
    assert trained.seed.value_counts().nunique() == 1
    means = trained.groupby("seed")[["value", "titles"]].apply(
        lambda own: np.average(own.value, weights=own.titles)
    )
    expect_spread(found, "p = 2: nats, all steps", means.tolist())
    early = trained[trained.step <= 8].groupby("seed")[["value", "titles"]]
    assert part_means(trained).loc[2, "first 8 steps"].tolist() == pytest.approx(
        [np.average(own.value, weights=own.titles) for _, own in early]
    )
    greedy = rows(found.table, panel="rouge", p=2, repeats="all")
    expect_spread(found, "p = 2: ROUGE-L", greedy.rouge_l.tolist())
    lengths = [label for label in found.headline if label.startswith("p = 2: effective steps of")]
    steps = int(lengths[0].split()[-1])
    assert found.headline[lengths[0]] == bias.effective_steps(bias.power(2), steps)


def test_best_windows_are_the_best_of_all():
    task = Summaries("test", size=5, data="stand-in")
    for abstract, title in zip(task.abstracts, task.titles, strict=True):
        text = "".join(abstract.lower().split())
        every = [text[k : k + 20] for k in range(0, len(text) - 19, 2)]
        scores = rouge(every, [title] * len(every)).rouge_l
        assert best_window(abstract, title) == every[scores.argmax()]
    assert best_window("短", "短文") == "短"


def test_scores_of_extracts_on_real_pairs():
    """Measured elsewhere: lead-k, and the oracle of the first 200 pairs of dev, there with spaces counted."""
    if not available("csl"):
        pytest.skip("CSL is not here")
    task = Summaries("train")
    table = extracts(task.abstracts, task.titles).query("repeats == 'all'").set_index("name")
    assert table.rouge_1.tolist()[:4] == pytest.approx([35.01, 37.81, 38.26, 36.81], abs=0.006)
    assert table.rouge_l["best window of 20 characters"] == pytest.approx(56.5, abs=0.2)


def test_the_sentence_on_rouge_says_what_the_numbers_say():
    index = pd.MultiIndex.from_product([[0, 2], [0, 1]], names=["p", "seed"])

    def said(values, lead):
        return said_of_rouge(pd.Series(values, index, dtype=float), lead)

    assert "p = 0: 5.0 to 7.0; p = 2: 6.0 to 8.0) is in every training below" in said([5, 7, 6, 8], 33)
    assert said([5, 7, 6, 8], 33).endswith("tells nothing of p: what seeds do is as much as p does")
    assert "of p: its ranges are apart, but what is written are no titles" in said([5, 6, 7, 8], 33)
    one = pd.Series([5.0, 6.0], index[::2])
    assert said_of_rouge(one, 33).endswith("of one training each, what a seed does is not known")
    assert "is in all trainings above" in said([40, 41, 42, 43], 33)
    assert said([40, 41, 42, 43], 33).endswith("by p its ranges are apart")
    assert said([20, 41, 30, 43], 33).endswith("by p its ranges overlap")
    assert "is in some trainings above" in said([20, 41, 30, 43], 33)


@pytest.mark.filterwarnings("error")
def test_the_picture_names_its_axes_and_the_stand_in(found):
    figure = summaries.plot(found)
    assert len(figure.axes) == 4
    assert all(axis.get_xlabel() and axis.lines for axis in figure.axes)
    assert "Stand-in" in figure.get_suptitle()


def test_the_committed_trainings_are_below_the_first_characters():
    table = pd.read_csv(COMMITTED)
    written = rows(table, panel="rouge")
    assert written.groupby("p").seed.nunique().min() >= 3
    cut_out = rows(table, panel="extract", name="first 20 characters").set_index("repeats")
    for way in ("all", "once"):
        assert rows(written, repeats=way).rouge_l.max() < cut_out.rouge_l[way]


# --- files of one's own ----------------------------------------------------------------------------


def lines(task, turned=False):
    pairs = zip(task.abstracts, task.titles, strict=True)
    return [f"{title}\t{abstract}" if turned else f"do\t{abstract}\t{title}" for abstract, title in pairs]


def written(path, some):
    path.write_text("\n".join(some) + "\n", encoding="utf-8")
    return str(path)


def test_a_training_file_takes_the_place_of_dev(found, tmp_path):
    """One with the pairs of dev gives what dev gives; of a longer one the first pairs are taken."""
    own = written(tmp_path / "own.tsv", lines(Summaries("train", size=60, data="stand-in")))
    ours = summaries.data(powers=(0, 2), seeds=2, training_file=own, **SMALL)
    pd.testing.assert_frame_equal(ours.table, found.table, check_exact=True)
    assert ", 3 updates, 0.667 epochs on 40 pairs of own.tsv (20 left out), a tenth held out" in ours.message
    assert "measured on 12 pairs of test of the stand-in (988 left out)" in ours.message
    assert "leak" not in ours.message
    assert ours.headline["pairs of the test with an abstract or title trained on"] == 0
    assert ours.stand_in == found.stand_in


def test_texts_of_the_test_that_are_trained_on_are_counted(tmp_path):
    """Two whole pairs, a title in other letters, an abstract with other spaces; no title as an abstract."""
    learnt, unseen = (Summaries(part, size=12, data="stand-in") for part in ("train", "test"))
    test = lines(unseen, turned=True)
    titles, abstracts = unseen.titles, unseen.abstracts
    added = [*test[:2], f"{titles[2].upper()} \tnew", f"new\t{' '.join(abstracts[3])}", f"new\t{titles[4]}"]
    training = written(tmp_path / "a.tsv", [*lines(learnt, turned=True), *added])
    measured = written(tmp_path / "b.tsv", test)
    found = summaries.data(
        powers=(0,), seeds=1, training_file=training, test_file=measured, title_column=0, **SMALL
    )
    assert found.headline["pairs of the test with an abstract or title trained on"] == 4
    leak = "; a leak: 4 of these have an abstract or a title that is among those for training. "
    assert f"on 17 pairs of a.tsv, a tenth held out; measured on 12 pairs of b.tsv{leak}" in found.message
    assert found.stand_in == ""  # nothing is read of CSL
    assert found.data_part == "17 pairs of a.tsv, a tenth held out; measured on 12 pairs of b.tsv"
    assert found.printed is not None
    assert not [name for name in found.printed.index if "published" in name]  # which are of CSL
    assert found.printed.loc["T5 of width 8 from scratch, p = 0", "pairs"] == "15"
    summaries.plot(found)


def test_a_test_of_few_titles_is_drawn(tmp_path):
    few = written(tmp_path / "few.tsv", lines(Summaries("test", size=3, data="stand-in")))
    summaries.plot(summaries.data(powers=(0,), seeds=1, test_file=few, **SMALL))


def test_the_learning_rate_falls_if_asked_for(pairs, monkeypatch):
    asked = []
    monkeypatch.setattr(trainings, "fit", lambda *some, **settings: asked.append(settings["schedule"]))
    for decay in (False, True):
        trainings.trained(0.0, 0, pairs, replace(SIZES, decay=decay), "cpu")
    assert asked == ["constant", "linear"]


def test_no_more_than_a_thousand_or_so_are_held_out():
    assert [trainings.trained_on(count) for count in (5, 1000, 20_000)] == [4, 900, 18_976]


# --- weights of a folder ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """mT5's layout with a readout of its own, and marks of mT5 in its config; jieba's words beside it."""
    pytest.importorskip("jieba")
    from transformers import MT5Config, MT5ForConditionalGeneration

    place = tmp_path_factory.mktemp("weights") / "tiny-t5-pegasus"
    task = Summaries("train", size=40, data="stand-in")
    characters = sorted(set("".join([*task.abstracts, *task.titles])) - {" "})
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "研究", "方法", "基于", *characters]
    config = MT5Config(
        vocab_size=len(tokens), d_model=8, d_kv=4, d_ff=16, num_layers=1, num_decoder_layers=1, num_heads=2,
        dropout_rate=0.1, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MT5ForConditionalGeneration(config)
        model.lm_head.weight = torch.nn.Parameter(0.1 * torch.randn(len(tokens), 8))
    model.save_pretrained(place)
    (place / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    return place


def test_weights_of_a_local_folder_go_the_same_way(folder):
    options = SMALL | {"model_name": str(folder), "beams": (1, 2), "learning_rate": 0.001, "decay": True}
    found = summaries.data(powers=(0, 2), seeds=1, **options)
    ours = [f"tiny-t5-pegasus, p = {p}" for p in (0, 0, 2, 2)]
    assert found.printed is not None
    assert [name for name in found.printed.index if "tiny-t5-pegasus" in name] == ours
    assert found.printed.loc[ours[0], "beams"].tolist() == ["1", "2"]
    theirs = found.printed.loc["T5-PEGASUS, published"]
    assert theirs.iloc[0, 2:5].tolist() == ["69.87", "59.80", "67.68"]
    table = found.table[found.table.panel.isin(["shares", "bias"])]
    np.testing.assert_allclose(table.value, table.exact, rtol=1e-10, atol=1e-14)
    assert rows(found.table, panel="trained").value.between(0.1, 40).all()
    summaries.plot(found)
    again = summaries.data(powers=(2,), seeds=1, **options)  # dropout is drawn by the seed
    for panel in ("trained", "rouge"):
        one, other = (rows(some.table, panel=panel, p=2).reset_index(drop=True) for some in (found, again))
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_the_readout_of_a_folder_and_the_marks_of_its_words_are_kept(folder, pairs):
    from safetensors.torch import load_file

    from curse_of_memory.tasks.vocabularies import load_vocabulary

    vocabulary = load_vocabulary(folder)
    own = trainings.Pairs(pairs.train, pairs.test, pairs.titles, vocabulary)
    layer = trainings.made(own, replace(SIZES, folder=str(folder)), 0)
    assert layer.marks == (0, 3, 2)
    kept = load_file(folder / "model.safetensors")["lm_head.weight"]
    assert torch.equal(layer.model.lm_head.weight, kept)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model_name": "google/mt5-small"}, "model_name must be a local folder, such as one of mT5 or"),
        ({"powers": ()}, "powers must not be empty"),
        ({"powers": ("two",)}, "powers must be a real number"),
        ({"warmup": 3}, "warmup must be below updates = 3, got 3"),
        ({"looks": 4}, "looks must be at most updates = 3, got 4"),
        ({"source_length": 1}, "source_length must be at least 2"),
        ({"data": "dev"}, "data must be one of"),
        ({"beams": (0,)}, "beams must be at least 1"),
        ({"training_file": "none.tsv"}, "training_file must name a file of pairs, .* got 'none.tsv'"),
        ({"test_file": "none.tsv"}, "test_file must name a file of pairs, .* got 'none.tsv'"),
        ({"title_column": -1}, "title_column must not be negative"),
    ],
)
def test_bad_arguments_are_refused(wrong, message):
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=message) as refusal:
        summaries.data(**(SMALL | wrong))
    assert "\n" not in str(refusal.value)
