"""Rules of eviction in models of transformers: their certificates against all weights written out."""

import numpy as np
import pytest
import torch
from scipy import special

import curse_of_memory as com
from curse_of_memory.theory import expiry

transformers = pytest.importorskip("transformers")


def gpt2(layers=1, seed=0):
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        vocab_size=19,
        n_embd=16,
        n_head=2,
        n_layer=layers,
        n_positions=128,
        eos_token_id=None,
        bos_token_id=None,
    )
    model = transformers.GPT2LMHeadModel(config).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(12.0)
    return model


def tokens(batch=2, steps=40, seed=0):
    return torch.randint(0, 19, (batch, steps), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def nats(model, x):
    return torch.nn.functional.cross_entropy(model(x).logits[:, :-1].mT, x[:, 1:]).item()


def projected(model, x):
    """Queries, keys and values of the only layer, ``(batch, head, time, channel)``: they see no attention."""
    with torch.no_grad():
        core = model.transformer
        h = core.h[0].ln_1(core.wte(x) + core.wpe(torch.arange(x.shape[1])))
        q, k, v = core.h[0].attn.c_attn(h).split(16, 2)
    return [part.unflatten(2, (2, 8)).transpose(1, 2).numpy() for part in (q, k, v)]


def written_out(q, k, v, keeps):
    """Mass, error and kept memories of every query, when keeps(t, kept, weights) says what stays after it."""
    batch, heads, steps, width = q.shape
    mass, error = np.zeros((2, batch, heads, steps))
    sets = []
    for row in range(batch):
        stay, of_row = [], []
        for t in range(steps):
            stay = [*stay, t]
            shares = np.zeros(len(stay))
            for head in range(heads):
                s = k[row, head, : t + 1] @ q[row, head, t] / np.sqrt(width)
                w = special.softmax(s)
                o = w @ v[row, head, : t + 1]
                w_kept = special.softmax(s[stay])
                shares += w_kept
                mass[row, head, t] = 1 - w[stay].sum()
                error[row, head, t] = np.linalg.norm(o - w_kept @ v[row, head, stay])
            of_row.append(list(stay))
            stay = keeps(t, stay, shares)
        sets.append(of_row)
    return mass, error, sets


def window(size):
    return lambda t, stay, _: [i for i in stay if i > t + 1 - size]


def sinks(first, size):
    return lambda t, stay, _: [i for i in stay if i > t + 1 - size or i < first]


class heavy:  # noqa: N801
    def __init__(self, count, recent):
        self.count, self.recent, self.sums = count, recent, {}

    def __call__(self, t, stay, shares):
        if t == 0:
            self.sums = {}
        for i, share in zip(stay, shares, strict=True):
            self.sums[i] = self.sums.get(i, 0.0) + share
        late = [i for i in stay if i > t + 1 - self.recent]
        early = sorted((i for i in stay if i not in late), key=lambda i: -self.sums[i])[: self.count]
        return sorted(early + late)


RULES = {
    "window": (com.eviction.Window(8), window(8)),
    "sinks": (com.eviction.Sinks(3, 6), sinks(3, 6)),
    "heavy": (com.eviction.HeavyHitters(5, 4), heavy(5, 4)),
}


@pytest.mark.parametrize("name", RULES)
def test_certificates_are_those_of_all_weights_written_out(name):
    model, x = gpt2(), tokens()
    rule, keeps = RULES[name]
    mass, error, sets = written_out(*projected(model, x), keeps)
    seat = com.eviction.apply(model, rule)
    report = com.eviction.certify(seat, x)
    assert report.mass.max() > 0.3
    np.testing.assert_allclose(report.mass[0], mass, atol=1e-13)
    np.testing.assert_allclose(report.error[0], error, atol=1e-13 * report.norm.values.max())
    assert (report.error <= report.bound * (1 + 1e-12)).all()
    assert report.live.values[0].tolist() == [[len(stay) for stay in row] for row in sets]


@pytest.mark.parametrize("name", RULES)
def test_what_is_freed_and_what_is_masked_answer_the_same(name):
    model, x = gpt2(layers=2), tokens()
    seat = com.eviction.apply(model, RULES[name][0])
    report, cache, said = com.eviction.certify(seat, x), seat.cache(), []
    with torch.no_grad():
        for t in range(x.shape[1]):
            said.append(model(x[:, t : t + 1], past_key_values=cache).logits)
    loss = torch.nn.functional.cross_entropy(torch.cat(said, 1)[:, :-1].mT, x[:, 1:], reduction="none")
    np.testing.assert_allclose(report.loss[:, :-1], loss, atol=1e-12)
    assert cache.layers[1].keys.shape[2] == report.live[1, 0, -1] - 1 >= 7  # the next step is one of them
    assert report.loss[:, -1].isnull().all()


def test_windows_do_not_depend_on_chunks_and_stay_under_their_bounds():
    model, x = gpt2(), tokens()
    seat = com.eviction.apply(model, com.eviction.Window(8))
    one, many = (com.eviction.certify(seat, x, chunk=c) for c in (1, 7))
    for name in one:
        np.testing.assert_allclose(one[name], many[name], rtol=0, atol=1e-12, err_msg=name)
    q, k, _ = projected(model, x)
    scores = np.einsum("bhtw,bhsw->bhts", q, k) / np.sqrt(8)
    for t in (12, 39):
        spread = np.ptp(scores[0, 0, t, : t + 1])
        assert one.mass[0, 0, 0, t] <= expiry.window_mass(t + 1, 8, spread)


def test_learnt_spans_drop_exactly_nothing():
    model, x = gpt2(layers=2), tokens()
    seat = com.add_expire_span(model, 20, 4, initial_share=0.3)
    with torch.no_grad():
        for law in seat.laws:
            law.predictor.weight.normal_(std=0.5)
    report = com.eviction.certify(seat, x)
    assert (report.mass == 0).all()
    assert (report.error == 0).all()
    assert report.live[..., -1].max() < 30
    assert report.loss.mean().item() == pytest.approx(nats(model, x), rel=1e-12)


def test_lossy_and_lossless_stand_in_one_table():
    model, spans, x = gpt2(seed=1), gpt2(seed=1), tokens()
    seat = com.add_expire_span(spans, 20, 4, initial_share=0.3)
    rules = {"all": com.eviction.Window(40)} | {name: rule for name, (rule, _) in RULES.items()}
    table = com.eviction.compare(model, rules | {"spans": seat}, x)
    assert table.index.tolist() == ["all", "window", "sinks", "heavy", "spans"]
    assert (table.mass > 0).tolist() == [False, True, True, True, False]
    assert table.largest_live.tolist()[:4] == [40, 8, 9, 9]
    assert table.live["all"] == 20.5
    assert table.loss["all"] == pytest.approx(nats(model, x), rel=1e-12)
    assert model.config._attn_implementation == "sdpa"


def test_a_rule_of_ones_own_takes_a_few_lines():
    class Even(com.eviction.Rule):
        def keeps(self, ages, notes):
            return ages % 2 == 1

    report = com.eviction.certify(com.eviction.apply(gpt2(), Even()), tokens())
    assert report.live.max() == 2


def test_ill_input_is_refused():
    model = gpt2()
    seat = com.eviction.apply(model, com.eviction.Window(4))
    for error, words, act in [
        (TypeError, "rule must", lambda: com.eviction.apply(gpt2(), 4)),
        (ValueError, "already", lambda: com.eviction.apply(model, com.eviction.Window(3))),
        (TypeError, "seat must", lambda: com.eviction.certify(model, tokens())),
        (TypeError, "tokens must", lambda: com.eviction.certify(seat, torch.zeros(2, 3))),
        (ValueError, "tokens must be one or more", lambda: com.eviction.certify(seat, tokens()[:, :0])),
        (ValueError, "tokens must be one or more", lambda: com.eviction.certify(seat, tokens()[:0])),
        (ValueError, "it was removed", lambda: com.eviction.certify(removed(), tokens())),
        (ValueError, "chunk must", lambda: com.eviction.certify(seat, tokens(), chunk=0)),
        (TypeError, "rules must", lambda: com.eviction.compare(model, [com.eviction.Window(3)], tokens())),
        (ValueError, "heavy must", lambda: com.eviction.HeavyHitters(0, 3)),
        (ValueError, "recent must", lambda: com.eviction.HeavyHitters(2, 0)),
        (ValueError, "no date of death", lambda: heavy_deaths()),
    ]:
        with pytest.raises(error, match=words) as caught:
            act()
        assert "\n" not in str(caught.value)


def removed():
    seat = com.eviction.apply(gpt2(), com.eviction.Window(4))
    seat.remove()
    return seat


def heavy_deaths():
    model = gpt2()
    seat = com.eviction.apply(model, com.eviction.HeavyHitters(2, 2))
    cache = seat.cache()
    model(tokens(), past_key_values=cache)
    seat.deaths(cache)
