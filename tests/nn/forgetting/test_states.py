"""States of attentions with laws of forgetting: rows, copies, checkpoints, and what is no state."""

import copy
import pickle

import pytest
import torch

from curse_of_memory.nn import CausalTransformer
from curse_of_memory.nn.attention.causal_attention import Cache
from curse_of_memory.nn.forgetting import ExpireSpan, Sinks, Window
from curse_of_memory.nn.forgetting.store import choose_rows, replace_rows
from curse_of_memory.training.streams.carried import CarriedState
from tests.nn.forgetting.laws import LAWS, Given, attention, inputs_for

EVERY = pytest.mark.parametrize("name", LAWS)
KEPT = pytest.mark.parametrize("kept", ["states", "keys"])


def model(kept="states", **options):
    laws = [ExpireSpan(12, 3, initial_share=0.4), Sinks(2, 5)]
    made = CausalTransformer(
        8, 2, heads=2, vocabulary=7, forgetting=laws, positions="block", sees_itself=False, zero_memories=2,
        block=4, kept=kept, seed=0, dtype=torch.float64, **options,
    )  # fmt: skip
    torch.nn.init.normal_(
        made.blocks[0].attention.forgetting.predictor.weight, generator=torch.Generator().manual_seed(0)
    )
    return made


def tokens(seed, rows, steps):
    return torch.randint(7, (rows, steps), generator=torch.Generator().manual_seed(seed))


def close(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=1e-13)


@KEPT
@EVERY
def test_chosen_rows_go_on_as_those_they_come_from(name, kept):
    layer = attention(LAWS[name](), kept=kept, block=4, width=4, rotary=True)
    x = inputs_for(layer.forgetting, 0, 3, 20, 4)
    state = layer.run(x[:, :11]).last
    rows = [2, 0, 0, 1]
    chosen = layer.run(x[rows, 11:], choose_rows(state, torch.tensor(rows))).y
    close(chosen, layer.run(x[:, 11:], state).y[rows])
    alone = layer.run(x[1:2, 11:], choose_rows(state, [1])).y
    close(alone, layer(x)[1:2, 11:])


@KEPT
def test_documents_begin_anew_in_their_rows(kept):
    """Three documents in two rows: the rows have read different numbers of steps then."""
    m = model(kept)
    first, second, third = (tokens(i, 1, n) for i, n in enumerate((9, 23, 14)))
    y, state = m.run(torch.cat([first, second[:, :9]]))
    fresh = m.start(1) if kept == "states" else m.run(tokens(0, 1, 0)).last
    after = replace_rows(state, [0], fresh)
    z, _ = m.run(torch.cat([third, second[:, 9:]]), after)
    close(y[:1], m(first))
    close(z[:1], m(third))
    close(torch.cat([y[1:], z[1:]], 1), m(second))
    # the state that was handed in is as it was
    close(m.run(torch.cat([third, second[:, 9:]]), state).y[1:], z[1:])


def test_all_rows_may_begin_anew_from_one_start():
    m, x = model(), tokens(0, 3, 15)
    state = replace_rows(m.run(x).last, [0, 2], m.start(1))
    assert state[0].steps.tolist() == [0, 15, 0]
    close(m.run(x, state).y[[0, 2]], m(x)[[0, 2]])
    everything = replace_rows(m.run(x).last, [0, 1, 2], m.start(3))
    close(m.run(x, everything).y, m(x))
    assert everything[1].states.shape == m.start(3)[1].states.shape  # no room for what nobody remembers


@pytest.mark.parametrize("seed", range(5))
def test_what_is_dead_stays_dead_with_other_weights_in_a_batch_and_alone(seed):
    """A step of training lengthens spans: memories that were deleted do not come back in shorter rows."""
    layer = attention(ExpireSpan(25, 3, initial_share=0.2), seed=seed, block=5)
    x = inputs_for(layer.forgetting, seed, 3, 40)
    state = layer.run(x[:, :20]).last
    alone = [layer.run(x[i : i + 1, :20]).last for i in range(3)]
    with torch.no_grad():
        layer.forgetting.predictor.bias += 2.0
    together = layer.remember(x[:, 20:], state)
    for i in range(3):
        one = layer.remember(x[i : i + 1, 20:], alone[i])
        assert torch.equal(together.live[i], one.live[0])
        close(together.y[i], one.y[0])
    assert not torch.equal(together.live, layer.remember(x).live[:, 20:])


def test_rows_of_other_numbers_of_memories_are_padded():
    layer = attention(Given(40, 1), block=3)
    x = inputs_for(layer.forgetting, 0, 2, 12)
    x[0, :, 0], x[1, :, 0] = 40.0, 0.0
    long, short = (layer.run(x[i : i + 1]).last for i in range(2))
    assert (long.ages.shape[1], short.ages.shape[1]) == (12, 0)
    for one, other in ((long, short), (short, long)):
        both = replace_rows(choose_rows(one, [0, 0]), [1], other)
        assert both.ages.shape == (2, 12)
        for row, state in enumerate((one, other)):
            close(layer.run(x[:1], choose_rows(both, [row])).y, layer.run(x[:1], state).y)


@KEPT
def test_models_and_states_are_copied_and_stored(kept, tmp_path):
    m = model(kept)
    x = tokens(0, 2, 30)
    state = m.run(x[:, :13]).last
    expected = m.run(x[:, 13:], state).y
    for other in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        assert torch.equal(other.run(x[:, 13:], pickle.loads(pickle.dumps(state))).y, expected)
    torch.save({"model": m.state_dict()}, tmp_path / "weights")
    another = model(kept)
    for w in another.parameters():
        torch.nn.init.ones_(w)
    another.load_state_dict(torch.load(tmp_path / "weights")["model"])
    assert torch.equal(another.run(x[:, 13:], copy.deepcopy(state)).y, expected)
    carried, resumed = CarriedState(), CarriedState()
    carried.hand_on(state)
    torch.save(carried.tensors, tmp_path / "state")
    resumed.go_to(torch.load(tmp_path / "state"))
    again = resumed.state(lambda: m.run(x[:, :1]).last)
    assert torch.equal(m.run(x[:, 13:], again).y, expected)


def test_states_carry_no_graph_and_hold_no_more_than_they_show():
    m, x, state = model(), tokens(0, 2, 40), None
    for chunk in x.split(8, 1):
        known = m.remember(chunk, state)
        state = known.last
        for one in state:
            assert not any(part.requires_grad for part in one)


def test_a_state_of_states_may_go_on_in_an_attention_that_keeps_keys_and_not_back():
    layer = attention(Sinks(2, 3))
    x = inputs_for(layer.forgetting, 0, 1, 12)
    state = layer.run(x[:, :6]).last
    layer.kept = "keys"
    keys = layer.run(x[:, 6:], state)
    close(keys.y, layer(x)[:, 6:])
    layer.kept = "states"
    with pytest.raises(TypeError, match="state has keys and values, but this attention keeps states"):
        layer.run(x, keys.last)


BAD = {
    "another batch": (lambda s: choose_rows(s, [0]), ValueError, r"state must have states of shape \(2,"),
    "another width": (lambda s: _layer(s, states=s[0].states[..., :6]), ValueError, "must have states of sh"),
    "another dtype": (
        lambda s: _layer(s, states=s[0].states.float()),
        TypeError,
        "states of dtype torch.float64, got",
    ),
    "another device": (
        lambda s: tuple(type(one)(*(part.to("meta") for part in one)) for one in s),
        ValueError,
        "state must be on the device of the weights, cpu, got meta",
    ),
    "fewer layers": (lambda s: s[:1], ValueError, "state must hold one for each of 2 blocks, got 1"),
    "more layers": (lambda s: (*s, s[0]), ValueError, "state must hold one for each of 2 blocks, got 3"),
    "one of an attention": (lambda s: s[0], (TypeError, ValueError), "state must h"),
    "a cache": (lambda s: (Cache(s[0].states, s[0].states),) * 2, TypeError, "state must be memories"),
    "a tensor": (lambda s: s[0].states, TypeError, "state must be a tuple of the states of 2 blocks"),
    "NaN": (lambda s: _layer(s, states=s[0].states * torch.nan), ValueError, "states must be finite numbers"),
    "inf": (lambda s: _layer(s, states=s[0].states / 0), ValueError, "states must be finite numbers"),
    "real ages": (lambda s: _layer(s, ages=s[0].ages.double()), TypeError, "ages of dtype torch.int64"),
    "other ages": (lambda s: _layer(s, ages=s[0].ages[:, 1:]), ValueError, "state must have"),
    "ages in another order": (
        lambda s: _layer(s, ages=s[0].ages.flip(1)),
        ValueError,
        "fall from left to right",
    ),
    "ages twice": (lambda s: _layer(s, ages=s[0].ages.clamp(min=2)), ValueError, "fall from left to right"),
    "ages before birth": (lambda s: _layer(s, ages=s[0].ages - 1), ValueError, "ages from 1"),
    "ages before the first step": (lambda s: _layer(s, ages=s[0].ages + 99), ValueError, "steps that were r"),
    "steps below zero": (lambda s: _layer(s, steps=s[0].steps - 99), ValueError, "steps that were read"),
    "no steps": (lambda s: _layer(s, steps=s[0].steps[:1]), ValueError, r"steps of shape \(2,\)"),
}


def _layer(state, **changes):
    return (state[0]._replace(**changes), *state[1:])


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_state_of_this_model_is_refused_in_one_line(name):
    change, error, message = BAD[name]
    m, x = model(), tokens(0, 2, 9)
    state = m.run(x).last
    with pytest.raises(error, match=message) as caught:
        m.run(x, change(state))
    assert "\n" not in str(caught.value)


def test_keys_of_a_law_that_notes_something_else_are_refused():
    layer, other = (attention(law, kept="keys") for law in (ExpireSpan(9, 2), Window(5)))
    x = inputs_for(None, 0, 2, 12)
    with pytest.raises(
        ValueError, match="state must have 1 notes of each memory, as ExpireSpan makes, got 0"
    ):
        layer.run(x, other.run(x).last)


@pytest.mark.parametrize("part", ["keys", "values", "notes"])
def test_nan_in_kept_keys_is_refused(part):
    m, x = model("keys"), tokens(0, 2, 9)
    state = m.run(x).last
    broken = _layer(state, **{part: getattr(state[0], part) * torch.nan})
    with pytest.raises(ValueError, match=f"{part} must be finite numbers"):
        m.run(x, broken)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([0, 3],), ValueError, "rows must be from 0 to 2"),
        (([-1],), ValueError, "rows must be from 0 to 2"),
        (([0.0],), TypeError, "rows must be a list of whole numbers"),
        (([True, False, True],), TypeError, "rows must be a list of whole numbers"),
        (([[0]],), TypeError, "rows must be a list of whole numbers"),
    ],
    ids=str,
)
def test_rows_are_checked(arguments, error, message):
    m = model()
    state = m.run(tokens(0, 3, 5)).last
    with pytest.raises(error, match=message):
        choose_rows(state, *arguments)
    with pytest.raises(error, match=message):
        replace_rows(state, *arguments, m.start(1))


def test_replacements_are_checked():
    m, other = model(), model("keys")
    state = m.run(tokens(0, 3, 5)).last
    with pytest.raises(ValueError, match="rows must differ where they are replaced"):
        replace_rows(state, [0, 0], m.start(1))
    with pytest.raises(ValueError, match="fresh must have 3 rows, or one, got 2"):
        replace_rows(state, [0, 1, 2], m.start(2))
    with pytest.raises(TypeError, match="fresh must be a state as KeptStates, got KeptKeys"):
        replace_rows(state, [0], other.run(tokens(0, 1, 0)).last)
    with pytest.raises(ValueError, match="fresh must have the states of 2 layers"):
        replace_rows(state, [0], m.start(1)[:1])
    with pytest.raises(ValueError, match="fresh must be a state of the same layer"):
        replace_rows(state, [0], model().float().start(1))
    assert [len(one.ages) for one in choose_rows(state, [])] == [0, 0]


@pytest.mark.parametrize("name", ["sinks", "given", "gates"])
@pytest.mark.filterwarnings("ignore")  # of torch, in its own export
def test_exported_attentions_answer_the_same(name):
    """Nothing can be decided by numbers there, such as who is dead: masks alone say the same."""
    law = LAWS[name]()
    layer = attention(law, sees_itself=False, zero_memories=1, block=5)
    x, other = (inputs_for(layer.forgetting, seed, 2, 17) for seed in (0, 1))
    exported = torch.export.export(layer, (x,)).module()
    for one in (x, other):
        assert (exported(one) - layer(one)).abs().max() < 1e-13


def test_shapes_are_known_on_meta():
    for kept in ("states", "keys"):
        model = CausalTransformer(8, 2, forgetting=ExpireSpan(9, 2, price=0.1), kept=kept, device="meta")
        known = model.remember(torch.zeros(2, 30, 1, device="meta"))
        assert known.y.shape == (2, 30, 1)
        assert known.live.shape == (2, 2, 30)
