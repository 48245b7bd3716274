"""Expire-Span in models of transformers: exact under deletion, chunks, padding and beams; learnt; saved."""

import copy
import re

import numpy as np
import pytest
import torch

import curse_of_memory as com
from curse_of_memory.theory import expiry

transformers = pytest.importorskip("transformers")

WORDS = {"vocab_size": 23, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4, "max_position_embeddings": 512}


def llama(layers=2, **options):
    """Rotary keys, four heads of queries on two of keys."""
    config = transformers.LlamaConfig(
        **WORDS, **SIZES, num_key_value_heads=2, num_hidden_layers=layers, **options
    )
    return transformers.LlamaForCausalLM(config)


def gpt2(layers=2, **options):
    """Learnt positions; keys of all heads in one weight."""
    sizes = {"n_embd": 16, "n_head": 2, "n_layer": layers, "n_positions": 512}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**WORDS, **sizes, **options))


def neox(layers=2, **options):
    """Rotary in part, attention beside the feed-forward."""
    return transformers.GPTNeoXForCausalLM(
        transformers.GPTNeoXConfig(**WORDS, **SIZES, num_hidden_layers=layers, **options)
    )


def mistral(layers=2, **options):
    settings = {"sliding_window": None, "num_key_value_heads": 1, **options}
    return transformers.MistralForCausalLM(
        transformers.MistralConfig(**WORDS, **SIZES, num_hidden_layers=layers, **settings)
    )


EPS = 2.0**-53  # half of the last digit of numbers near one
MODELS = {"llama": llama, "gpt2": gpt2, "neox": neox, "mistral": mistral}


def made(build=llama, *, seed=0, dtype=torch.float64, dropout=None, **options):
    """A model with random weights, larger than they begin, so that attention looks at something."""
    torch.manual_seed(seed)
    model = build(**options).to(dtype).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(4.0)
    return model


def seated(build=llama, *, spread=0.6, max_span=60, ramp=6, seed=0, dtype=torch.float64, options=None, **law):
    """A model whose spans differ from memory to memory, and its seat."""
    model = made(build, seed=seed, dtype=dtype, **(options or {}))
    seat = com.add_expire_span(model, max_span, ramp, **({"initial_share": 0.2} | law))
    torch.manual_seed(seed + 1)
    with torch.no_grad():
        for own in seat.laws:
            own.predictor.weight.normal_(std=spread)
    return model, seat


def tokens(batch=2, steps=80, seed=0):
    return torch.randint(1, 23, (batch, steps), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def streamed(model, x, cache, chunks=1, **options):
    parts, at = [], 0
    for chunk in x.split(chunks, 1):
        more = {}
        if "attention_mask" in options:
            mask = options["attention_mask"][:, : at + chunk.shape[1]]
            places = (mask.cumsum(1) - 1).clamp(min=0)
            more = {"attention_mask": mask, "position_ids": places[:, at:]}
        parts.append(model(chunk, past_key_values=cache, **more).logits)
        at += chunk.shape[1]
    return torch.cat(parts, 1)


@torch.no_grad()
def answers(model, x, **options):
    return model(x, use_cache=False, **options).logits


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_spans_longer_than_the_text_change_nothing(build):
    model, x = made(build), tokens()
    before = answers(model, x)
    seat = com.add_expire_span(model, 1000, 4, initial_share=0.5)
    np.testing.assert_allclose(answers(model, x), before, atol=1e-13)
    assert (seat.live() == torch.arange(1, 81)).all()  # a step sees itself and all before
    seat.remove()
    assert torch.equal(answers(model, x), before)
    assert not [name for name, _ in model.named_parameters() if "forgetting" in name]
    assert not hasattr(model.config, "expire_span")


def test_a_seat_draws_nothing_from_the_generator_of_others():
    model = made()
    before = torch.get_rng_state()
    seat = com.add_expire_span(model, 20, 4)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(weight.any() for name, weight in seat.state_dict().items() if name.endswith("weight"))


@pytest.mark.parametrize("build", [llama, gpt2])
def test_answers_are_those_of_the_models_own_attention_with_log_m_as_its_mask(build):
    model, seat = seated(build, options={"layers": 1})
    x, read = tokens(), []
    (attention,) = seat._decoder.attentions.values()
    hook = attention.register_forward_pre_hook(
        lambda _, args, kwargs: read.append(kwargs.get("hidden_states", args[0] if args else None)),
        with_kwargs=True,
    )
    with_spans = answers(model, x)
    hook.remove()
    law = seat.laws[0]
    spans = 60 / (1 + torch.exp(-(read[0] @ law.predictor.weight[0] + law.predictor.bias))).detach()
    seat.remove()
    ages = np.subtract.outer(np.arange(80), np.arange(80))
    m = torch.as_tensor(expiry.mask(np.maximum(ages, 0), spans[:, None, None, :].numpy(), 6))
    log_m = torch.where(torch.as_tensor(ages) < 0, -torch.inf, m.log())
    assert ((m < 1) & (m > 0)).any()
    assert (m == 0).any()
    np.testing.assert_allclose(with_spans, answers(model, x, attention_mask=log_m), atol=1e-12)


@pytest.mark.parametrize(("build", "steps"), [(llama, 420), (gpt2, 120), (neox, 120), (mistral, 120)])
def test_deleting_changes_nothing_over_many_steps_and_keeps_what_life_says(build, steps):
    model, seat = seated(build, options={"layers": 1})
    x = tokens(2, steps)
    cache = seat.cache()
    y = streamed(model, x, cache)
    seat.deletes = False
    everything = seat.cache()
    masked = streamed(model, x, everything)
    scale = masked.abs().max().item()
    np.testing.assert_allclose(y, masked, rtol=0, atol=4 * EPS * scale)
    np.testing.assert_allclose(y, answers(model, x), rtol=0, atol=1e-13 * scale)
    ages = np.arange(steps, 0, -1)  # for the next step
    for layer, spans in zip(cache.layers, seat.spans(), strict=True):
        alive = expiry.life(spans.detach().numpy(), 6) >= ages
        assert layer.keys.shape[2] == alive.sum(1).max() < 60
        assert (layer.memories.ages > 0).sum(1).tolist() == alive.sum(1).tolist()
    assert [layer.keys.shape[2] for layer in everything.layers] == [steps]
    assert cache.get_seq_length() == steps


@pytest.mark.parametrize("build", [llama, gpt2])
@pytest.mark.parametrize("chunks", [1, 7, 64])
def test_chunks_of_any_length_answer_as_the_whole(build, chunks):
    model, seat = seated(build)
    x = tokens(3, 130)
    whole = answers(model, x)
    price = seat.price()
    assert price == 0
    y = streamed(model, x, seat.cache(), chunks)
    np.testing.assert_allclose(y, whole, rtol=0, atol=1e-13 * whole.abs().max().item())


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_rows_padded_on_the_left_answer_as_they_do_alone(build):
    model, seat = seated(build, price=1.0)
    x, lengths = tokens(3, 90), [90, 61, 17]
    mask = torch.stack([(torch.arange(90) >= 90 - n).long() for n in lengths])
    x = x * mask
    places = (mask.cumsum(1) - 1).clamp(min=0)
    whole = answers(model, x, attention_mask=mask, position_ids=places)
    live, prices = seat.live(), []
    together = seat.price()
    spans = seat.spans()
    caches = seat.cache()
    rows = streamed(model, x, caches, 13, attention_mask=mask)
    for row, n in enumerate(lengths):
        alone = answers(model, x[row : row + 1, 90 - n :])
        prices.append(seat.price() * n)
        for y in (whole, rows):
            np.testing.assert_allclose(
                y[row, 90 - n :], alone[0], rtol=0, atol=1e-13 * alone.abs().max().item()
            )
        assert torch.equal(live[:, row, 90 - n :], seat.live()[:, 0])
        assert (live[:, row, : 90 - n] == 0).all()
        assert spans[0][row, : 90 - n].isnan().all()
        assert (caches.layers[1].memories.ages[row] > 0).sum() <= n
    torch.testing.assert_close(together, sum(prices) / sum(lengths), rtol=1e-12, atol=0)
    # on the right, what is padding pays nothing either
    right = torch.stack(
        [torch.cat([row[90 - n :], row[: 90 - n]]) for row, n in zip(x, lengths, strict=True)]
    )
    answers(model, right, attention_mask=mask.flip(1))
    torch.testing.assert_close(seat.price(), together, rtol=1e-12, atol=0)


@pytest.mark.parametrize("build", [llama, gpt2])
@pytest.mark.parametrize(
    "how",
    [
        {"num_beams": 3, "do_sample": False},
        {"do_sample": False},
        {"do_sample": True, "top_k": 10},
        {"do_sample": False, "prefill_chunk_size": 9},
        {"num_beams": 2, "num_return_sequences": 2, "do_sample": False},
    ],
    ids=["beams", "greedy", "sampled", "chunks", "best two"],
)
def test_generate_says_the_same_with_and_without_deletion(build, how):
    model, seat = seated(build, max_span=20, ramp=3)
    x, mask = tokens(2, 40), torch.ones(2, 40, dtype=torch.int64)
    mask[1, :23] = 0
    said = []
    for deletes in (True, False):
        seat.deletes = deletes
        torch.manual_seed(5)
        out = model.generate(
            x * mask, attention_mask=mask, max_new_tokens=25, return_dict_in_generate=True, **how
        )
        said.append((out.sequences, out.past_key_values.layers[0].keys.shape[2]))
    (deleted, few), (kept, all_) = said
    assert torch.equal(deleted, kept)
    assert few < 20 < all_ == 64
    torch.manual_seed(5)
    slow = model.generate(x * mask, attention_mask=mask, max_new_tokens=25, use_cache=False, **how) if (
        "prefill_chunk_size" not in how
    ) else deleted  # fmt: skip
    assert torch.equal(slow, deleted)


def test_a_cache_goes_on_after_it_was_copied_reordered_and_repeated():
    model, seat = seated()
    x = tokens(3, 60)
    cache = seat.cache()
    streamed(model, x[:, :50], cache, 50)
    whole = answers(model, x)[:, 50:]
    twin = copy.deepcopy(cache)
    order = torch.tensor([2, 0, 2])
    twin.reorder_cache(order)
    np.testing.assert_allclose(streamed(model, x[order, 50:], twin, 5), whole[order], atol=1e-12)
    twice = copy.deepcopy(cache)
    twice.batch_repeat_interleave(2)
    rows = torch.tensor([0, 0, 1, 1, 2, 2])
    np.testing.assert_allclose(streamed(model, x[rows, 50:], twice, 5), whole[rows], atol=1e-12)
    twice.batch_select_indices(torch.tensor([5]))
    assert twice.layers[0].keys.shape[0] == 1
    np.testing.assert_allclose(streamed(model, x[:, 50:], cache, 5), whole, atol=1e-12)
    cache.reset()
    assert cache.get_seq_length() == 0
    np.testing.assert_allclose(streamed(model, x[:, :50], cache, 50), answers(model, x[:, :50]), atol=1e-12)
    cache.crop(0)
    with pytest.raises(ValueError, match="cannot go back"):
        cache.crop(-1)


def test_dates_of_death_are_known_at_birth_and_kept():
    model, seat = seated()
    x, cache, known = tokens(2, 60), seat.cache(), {}
    for t in range(60):
        streamed(model, x[:, t : t + 1], cache)
        for layer, dates in enumerate(seat.deaths(cache)):
            births = t + 1 - cache.layers[layer].memories.ages
            for row in range(2):
                alive = {int(b): int(d) for b, d in zip(births[row], dates[row], strict=True) if d >= 0}
                assert all(date > t + 1 for date in alive.values())  # the next step sees all that are there
                for birth, date in alive.items():
                    assert known.setdefault((layer, row, birth), date) == date
                gone = [
                    date for (at, of, b), date in known.items() if (at, of) == (layer, row) and b not in alive
                ]
                assert all(date <= t + 1 for date in gone)
    assert len(known) == 2 * 2 * 60


@pytest.mark.parametrize("build", [llama, neox])
def test_price_is_the_charge_of_theory_and_gradients_reach_predictors_and_model(build):
    model, seat = seated(build, price=0.3, spread=0.3)
    x = tokens(2, 50)
    model(x, use_cache=False)
    price, spans = seat.price(), seat.spans()
    expected = 0.0
    for e in spans:
        for row in e.detach().numpy():
            ages = np.subtract.outer(np.arange(50), np.arange(50))
            on_ramp = (ages >= 0) & (ages > row) & (ages < row + 6)
            expected += 0.3 / (6 * 50) * ((row - ages) * on_ramp).sum() / 2
    assert price.item() == pytest.approx(expected, rel=1e-12)
    price.backward()
    for law in seat.laws:
        assert law.predictor.bias.grad.abs() > 0
    first = next(p for name, p in model.named_parameters() if "embed" in name)
    assert first.grad.abs().sum() > 0
    model.zero_grad()
    (model(x, labels=x, use_cache=False).loss).backward()
    for law in seat.laws:
        assert law.predictor.weight.grad.abs().sum() > 0


def test_gradients_are_those_of_chunks_through_a_cache():
    model, seat = seated(price=0.1, spread=0.3)
    x = tokens(2, 40)

    def gradients():
        found = {name: p.grad.clone() for name, p in model.named_parameters()}
        model.zero_grad()
        return found

    (model(x, use_cache=False).logits.square().sum() + seat.price()).backward()
    whole = gradients()
    cache, total = seat.cache(), 0.0
    for chunk in x.split(8, 1):
        total = total + model(chunk, past_key_values=cache).logits.square().sum() + seat.price() * 8 / 40
    total.backward()
    for name, gradient in gradients().items():
        np.testing.assert_allclose(
            gradient, whole[name], rtol=0, atol=1e-11 * whole[name].abs().max().item(), err_msg=name
        )


def test_checkpointed_gradients_are_the_same_and_reentrant_ones_are_refused():
    model, seat = seated(price=0.1, shorten=True, spread=0.3)
    x = tokens(2, 40)
    model.train()

    def gradients():
        torch.manual_seed(3)
        loss = model(x, labels=x, use_cache=False).loss
        (loss + seat.price()).backward()
        found = {name: p.grad.clone() for name, p in model.named_parameters()}
        model.zero_grad()
        return found

    plain = gradients()
    model.activation_checkpointing_enable({"use_reentrant": False})
    checkpointed = gradients()
    assert all(torch.equal(plain[name], checkpointed[name]) for name in plain)
    model.activation_checkpointing_enable({"use_reentrant": True})
    model.enable_input_require_grads()
    model(x, labels=x, use_cache=False)
    with pytest.raises(RuntimeError, match="use_reentrant=False"):
        seat.price()


def test_a_text_that_needs_no_memory_shortens_spans():
    torch.manual_seed(0)
    model = llama(1).train()
    seat = com.add_expire_span(model, 40, 8, initial_share=0.5, price=0.03)
    start = 20.0
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for step in range(30):
        x = (
            torch.randint(1, 23, (8, 1), generator=torch.Generator().manual_seed(step)) + torch.arange(40)
        ) % 22
        loss = model(x + 1, labels=x + 1, use_cache=False).loss
        (loss + seat.price()).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert seat.spans()[0].mean() < 0.7 * start
    # all cuts are one share for all layers, and the same for the whole batch
    model.eval()
    assert torch.equal(answers(model, x), answers(model, x))


def test_spans_are_cut_in_training_alone():
    model, seat = seated(shorten=True, max_span=60, initial_share=0.9, spread=0.0)
    x = tokens(1, 60)
    model.train()
    torch.manual_seed(2)
    cut = float(torch.rand(()))
    torch.manual_seed(2)
    model(x, use_cache=False)
    assert seat.live().max() == 6 + np.ceil(60 * cut)  # R + ⌈u L⌉, a step itself among them
    assert seat.spans()[0].mean().item() == pytest.approx(54)
    model.eval()
    model(x, use_cache=False)
    assert seat.live().max() == 60


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shorter_precision(dtype):
    model, seat = seated(dtype=dtype)
    exact, _ = seated()
    x = tokens(2, 60)
    exact.load_state_dict(model.state_dict())
    y, digits = streamed(model, x, seat.cache(), 5), torch.finfo(dtype).eps
    assert y.dtype == dtype
    assert seat.laws[0].predictor.weight.dtype == torch.float32
    whole = answers(exact, x)
    assert (y - whole).abs().mean() < 3 * digits * whole.abs().max()
    model.to(torch.bfloat16)  # the predictor, too
    assert answers(model, x).dtype == torch.bfloat16


def test_autocast_leaves_spans_in_full_precision():
    model, seat = seated(dtype=torch.float32)
    x = tokens(1, 40)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        model(x, use_cache=False)
    assert seat.spans()[0].dtype == torch.float32


@pytest.mark.parametrize("build", [llama, gpt2])
def test_saved_spans_come_back(build, tmp_path):
    model, _ = seated(build, price=0.2, pre_divide=2.0)
    x = tokens()
    y = answers(model, x)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).to(torch.float64).eval()
    assert again.config._attn_implementation == "sdpa"
    loaded = com.load_expire_span(again, tmp_path)
    assert torch.equal(answers(again, x), y)
    assert loaded.laws[0].price == 0.2
    assert loaded.laws[0].pre_divide == 2.0
    base = type(model).base_model_prefix
    alone = type(getattr(model, base)).from_pretrained(tmp_path).to(torch.float64)
    com.load_expire_span(alone, tmp_path)
    loaded.remove()
    again.save_pretrained(tmp_path / "plain")
    with pytest.raises(ValueError, match="has none"):
        com.load_expire_span(again, tmp_path / "plain")
    with pytest.raises(ValueError, match="folder must have the config"):
        com.load_expire_span(again, tmp_path / "nowhere")


def test_copies_have_seats_of_their_own():
    model, _ = seated()
    x = tokens()
    twin = copy.deepcopy(model)
    y = answers(twin, x)
    assert torch.equal(y, answers(model, x))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "forgetting" in name:
                weight.zero_()
    assert torch.equal(answers(twin, x), y)
    assert not torch.equal(answers(model, x), y)


def test_a_seat_that_was_removed_leaves_those_after_it_alone():
    model, old = seated()
    old.remove()
    seat = com.add_expire_span(model, 60, 6)
    old.remove()
    assert seat.is_in_place
    assert not old.is_in_place
    model(tokens())
    assert seat.live().shape == (2, 2, 80)
    assert set(seat.state_dict()) <= {name.removeprefix("model.") for name in model.state_dict()}


@pytest.mark.parametrize("layers", [1, 3])
def test_spans_of_another_model_are_refused_and_leave_no_seat(layers, tmp_path):
    model, _ = seated()
    model.save_pretrained(tmp_path)
    other = made(layers=layers)
    with pytest.raises(ValueError, match="as many attentions as the one that was saved: 4 weights"):
        com.load_expire_span(other, tmp_path)
    assert not [name for name in other.state_dict() if "forgetting" in name]
    com.add_expire_span(other, 60, 6)


def test_weights_are_taken_all_or_none():
    _, seat = seated()
    state = {name: torch.zeros_like(weight) for name, weight in seat.state_dict().items()}
    state.popitem()
    before = [law.predictor.weight.clone() for law in seat.laws]
    with pytest.raises(ValueError, match="state must have one weight"):
        seat.load_state_dict(state)
    assert all(torch.equal(law.predictor.weight, was) for law, was in zip(seat.laws, before, strict=True))


def test_models_of_one_configuration_are_two():
    first = made()
    twin = type(first)(first.config).double()
    com.add_expire_span(first, 10, 2)
    assert twin.config._attn_implementation == "sdpa"
    assert answers(twin, tokens()).isfinite().all()
    com.add_expire_span(twin, 10, 2)


def refused(error, words, act):
    with pytest.raises(error, match=words) as caught:
        act()
    assert "\n" not in re.sub(r"\n$", "", str(caught.value))


def test_models_that_cannot_take_spans_are_refused():
    bert = transformers.BertModel(transformers.BertConfig(**SIZES, num_hidden_layers=1, vocab_size=23))
    t5 = transformers.T5Model(transformers.T5Config(d_model=16, d_ff=16, d_kv=4, num_layers=1, vocab_size=23))
    cases = [
        (TypeError, "decoder of transformers", torch.nn.LSTM(2, 3)),
        (TypeError, "decoder of transformers", None),
        (ValueError, "causal attention", bert),
        (ValueError, "has an encoder", t5),
        (ValueError, "whole past.*sliding_window", mistral(sliding_window=8)),
        (ValueError, "causal attention", gpt2(add_cross_attention=True)),
        (ValueError, "'sdpa' or 'eager'.*flex", llama(attn_implementation="flex_attention")),
        (ValueError, "causal attention", transformers.MambaModel(transformers.MambaConfig(
            vocab_size=23, hidden_size=8, num_hidden_layers=1, state_size=4, pad_token_id=0))),
    ]  # fmt: skip
    for error, words, model in cases:
        refused(error, words, lambda model=model: com.add_expire_span(model, 10, 2))
    model, _ = seated()
    refused(ValueError, "already", lambda: com.add_expire_span(model, 10, 2))
    for wrong in (
        {"ramp": 0},
        {"initial_share": 1.0},
        {"price": -1.0},
        {"pre_divide": 0.0},
        {"max_span": 0.5},
    ):
        name = next(iter(wrong))
        fresh = llama()
        refused(
            (ValueError, TypeError),
            name,
            lambda w=wrong, m=fresh: com.add_expire_span(m, **({"max_span": 9, "ramp": 2} | w)),
        )
        assert fresh.config._attn_implementation == "sdpa"


def test_caches_of_others_are_refused():
    model, seat = seated()
    other, others = seated(gpt2)
    plain, x = made(), tokens()
    cache = seat.cache()
    streamed(model, x, cache, 80)
    refused(ValueError, "another model", lambda: other(x, past_key_values=cache))
    refused(RuntimeError, "not to this one", lambda: plain(x, past_key_values=cache))
    refused(ValueError, "another model", lambda: others.deaths(cache))
    used = plain(x, use_cache=True).past_key_values
    refused(ValueError, "must begin empty", lambda: model(x, past_key_values=used))
    static = transformers.StaticCache(config=model.config, max_cache_len=90)
    refused(TypeError, "DynamicCache", lambda: model(x, past_key_values=static))
    refused(TypeError, "DynamicCache", lambda: model(x, past_key_values=((1, 2),)))
    refused(ValueError, "2 sequences, but the batch has 3", lambda: model(tokens(3), past_key_values=cache))


def test_calls_that_make_no_sense_are_refused():
    model, seat = seated()
    x = tokens()
    refused(RuntimeError, "call it first", seat.price)
    refused(ValueError, r"\(batch, time\)", lambda: model(x, attention_mask=torch.zeros(2, 1, 80, 80)))
    refused(ValueError, "80 steps, got 70", lambda: model(x, attention_mask=torch.ones(2, 70)))
    packed = torch.cat([torch.arange(40), torch.arange(40)])[None]
    refused(ValueError, "packed", lambda: model(x, position_ids=packed, use_cache=False))
    refused(ValueError, "no memories yet", lambda: seat.deaths(seat.cache()))
    with torch.no_grad():
        seat.laws[1].predictor.bias.fill_(torch.nan)
    refused(ValueError, "NaN", lambda: model(x))
    seat.remove()
    model.set_attn_implementation("curse_of_memory")
    refused(RuntimeError, "add_expire_span", lambda: model(x))


def test_measurements_show_where_the_memory_of_a_model_ends_now():
    model = made(layers=1)
    seat = com.add_expire_span(model, 12, 4, initial_share=0.5)
    with_spans = com.memory_function(model, horizon=20, probe="impulse", draws=4)
    seat.remove()
    without = com.memory_function(model, horizon=20, probe="impulse", draws=4)
    last = expiry.reach([6.0], 4)  # of one layer
    assert (without.values > 0.1).all()
    assert (with_spans.values[: last + 1] > 0.1).all()
    assert (with_spans.values[last + 1 :] == 0).all()
