"""Real data or their stand-in: what is taken, and that both have one form."""

import pytest
import torch

from curse_of_memory.tasks import SequentialImages, WikiText2, grammar
from curse_of_memory.tasks.data_files import FILES
from curse_of_memory.tasks.eigenworms import EIGENWORMS
from curse_of_memory.tasks.heart_rate import BIDMC
from curse_of_memory.tasks.images import IMAGES
from curse_of_memory.tasks.keywords import KEYWORDS
from curse_of_memory.tasks.summaries import CSL
from curse_of_memory.tasks.text import WIKITEXT2

DATA_SETS = [*IMAGES.values(), EIGENWORMS, KEYWORDS, WIKITEXT2, BIDMC, CSL]


@pytest.mark.parametrize("data_set", DATA_SETS, ids=lambda one: one.name)
def test_auto_takes_the_files_and_else_the_stand_in(data_set, machine, capfd):
    assert data_set.name in FILES
    assert data_set.source("auto") == "stand-in"
    assert "CURSE_OF_MEMORY_DATA" in capfd.readouterr().err
    assert data_set.source("real") == "real"
    for file in FILES[data_set.name].values():
        place = machine.data / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    assert data_set.source("auto") == "real"
    assert data_set.source("stand-in") == "stand-in"
    assert data_set.note("real") == ""
    assert data_set.note("stand-in").endswith(f"in place of {data_set.title}")
    with pytest.raises(ValueError, match="data must be one of 'auto', 'real', 'stand-in'"):
        data_set.source("reel")
    with pytest.raises(ValueError, match="source must be one of 'real', 'stand-in'; got 'auto'"):
        data_set.content("train", "auto")


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("row_by_row", [True, False])
def test_images_that_stand_in_have_the_form_of_the_real_ones(name, row_by_row, machine):
    size, channels = (32, 3) if name == "cifar10" else (28, 1)
    splits = [
        SequentialImages(name, split, row_by_row=row_by_row, data="stand-in")
        for split in ("train", "validation", "test")
    ]
    held_out = 143 if name == "cifar10" else 119  # a tenth, a twelfth of 1437
    assert [len(images) for images in splits] == [1437 - held_out, held_out, 360]
    for images in splits:
        x, y = images.sample(20, seed=0)
        shape = (size, size * channels) if row_by_row else (size * size, channels)
        assert x.shape == (20, *shape)
        assert y.shape == (20,)
        assert images.stand_in == IMAGES[name].note("stand-in")
        assert "stand-in" in repr(images)
    # mean and deviation of each channel are those of all training images
    whole = torch.cat([next(part.batches(2000, dtype=torch.float64)).inputs for part in splits[:2]])
    values = whole.reshape(-1, channels)
    torch.testing.assert_close(values.mean(0), torch.zeros_like(values[0]), atol=1e-10, rtol=0)
    torch.testing.assert_close(values.std(0, correction=0), torch.ones_like(values[0]))
    assert machine.asked == []


def test_of_fewer_images_than_are_asked_for_all_are_taken(machine):
    images = SequentialImages("mnist", "test", size=1000, data="stand-in")
    assert sorted(images.labels.tolist()) == sorted(
        SequentialImages("mnist", "test", data="stand-in").labels.tolist()
    )
    assert SequentialImages("mnist", "test", size=50, data="stand-in").labels.bincount().tolist() == [5] * 10


def test_real_images_say_nothing_of_a_stand_in(small_mnist):
    for data in ("real", "auto"):
        images = SequentialImages("mnist", "test", data=data)
        assert images.stand_in == ""
        assert len(images) == 40
        assert "stand-in" not in repr(images)


def test_the_text_that_stands_in_has_the_form_of_the_real_one(machine):
    splits = {
        split: WikiText2(split, vocabulary=10**6, data="stand-in")
        for split in ("train", "validation", "test")
    }
    assert {tuple(text.words) for text in splits.values()} == {tuple(splits["train"].words)}
    assert splits["train"].words[0] == "<unk>"
    assert set(splits["train"].words[1:]) <= set(grammar.WORDS)
    assert len(splits["train"]) > 8 * len(splits["validation"])
    heads = {split: tuple(text.tokens[:200].tolist()) for split, text in splits.items()}
    assert len(set(heads.values())) == 3  # each is drawn anew
    small = WikiText2("test", vocabulary=100, sequence_length=9, data="stand-in")
    assert (small.vocabulary, small.tokens.max().item()) == (100, 99)
    x, y = small.sample(5, seed=0)
    assert torch.equal(x[:, 1:], y[:, :-1])
    assert "stand-in" in repr(small)
    assert small.stand_in == "sentences of a grammar, in place of WikiText-2"
    assert machine.asked == []


def test_the_real_text_says_nothing_of_a_stand_in(small_wikitext):
    text = WikiText2(sequence_length=5, data="auto")
    assert text.words == WikiText2(sequence_length=5).words
    assert text.stand_in == ""
