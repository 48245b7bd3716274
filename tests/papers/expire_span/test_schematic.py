"""The schematic: bars are the spans of a trained layer, and as many are alive as it counts."""

import numpy as np
import pytest

from curse_of_memory.papers.expire_span import schematic as figure
from curse_of_memory.report.long_table import groups, rows


@pytest.fixture(scope="module")
def drawn():
    return figure.data(delay=9, longest_delay=10, updates=5, trainings=2, device="cpu")


def test_both_episodes_ask_for_their_colour_after_the_delay(drawn):
    episodes = groups(rows(drawn.table, panel="memories"), "curve")
    assert list(episodes) == ["colour A", "colour B"]
    for colour, one in episodes.items():
        assert one.x.tolist() == list(range(figure.STEPS))
        assert one.x[one.kind == colour].tolist() == [figure.BEGINS]
        assert one.x[one.kind == "asked"].tolist() == [figure.BEGINS + 9]
        assert one.kind.str.startswith("noise").sum() == figure.STEPS - 2


def test_spans_of_memories_are_those_of_their_tokens(drawn):
    of_token = rows(drawn.table, panel="spans", seed=0.0).y.to_numpy()
    for one in groups(rows(drawn.table, panel="memories"), "curve").values():
        expected = [of_token[figure.NAMES.index(token)] for token in one.kind]
        np.testing.assert_allclose(one.y, expected, rtol=1e-5)


def test_the_layer_counts_as_many_live_memories_as_spans_say(drawn):
    for one in groups(rows(drawn.table, panel="live"), "curve").values():
        counted, exact = (rows(one, kind=kind).y.to_numpy() for kind in ("counted", "theory"))
        assert np.array_equal(counted, exact)
        assert counted[:2].tolist() == [0, 1]


def test_axes_say_what_they_are(drawn):
    axes = figure.plot(drawn).axes
    assert [axis.get_title(loc="left")[:3] for axis in axes] == ["(a)", "(b)", "(c)", "(d)"]
    assert all(axis.get_ylabel() for axis in axes)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"delay": 1}, "delay must be from 2 to 31"),
        ({"delay": 32}, "delay must be from 2 to 31"),
        ({"price": -1.0}, "price must"),
        ({"trainings": 0}, "trainings must"),
    ],
)
def test_bad_input_is_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        figure.data(**({"updates": 1, "trainings": 1} | bad), device="cpu")
