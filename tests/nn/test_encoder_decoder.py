"""Encoder-decoders in rows of numbers: as transformers computes them, and as their files are."""

import json
import math

import pytest
import torch

from curse_of_memory.losses import TemporallyWeightedCrossEntropy
from curse_of_memory.nn.encoder_decoder import EncoderDecoder, load_encoder_decoder, t5
from curse_of_memory.tasks import MarkedSymbols
from curse_of_memory.training import fit

TASK = MarkedSymbols(6, marked=2, symbols=5)


def layer(seed=0, **options):
    return EncoderDecoder(
        t5(12, width=16, layers=1, heads=2, seed=seed, dtype=torch.float64, **options), TASK.source
    )


def test_logits_are_those_of_transformers_with_labels_of_its_own():
    """It shifts labels by itself, and its loss is the mean over all of them."""
    model = layer().eval()
    rows, labels = TASK.sample(5, seed=0)
    theirs = model.model(input_ids=rows[:, :6], labels=labels)
    assert torch.equal(model(rows), theirs.logits)
    ours = TemporallyWeightedCrossEntropy()(model(rows), labels)
    assert ours.item() == pytest.approx(theirs.loss.item(), rel=1e-14)


def test_the_padding_of_a_source_changes_nothing():
    model = layer().eval()
    rows, _ = TASK.sample(3, seed=1)
    wider = EncoderDecoder(model.model, 9)
    filled = torch.cat([rows[:, :6], torch.zeros(3, 3, dtype=torch.long), rows[:, 6:]], 1)
    torch.testing.assert_close(wider(filled), model(rows), rtol=0, atol=1e-14)


def test_a_step_sees_what_was_said_before_it_alone():
    model = layer().eval()
    rows, _ = TASK.sample(3, seed=1)
    other = rows.clone()
    other[:, 7] = 3
    apart = (model(other) - model(rows)).abs().amax((0, 2))
    assert apart[0] == 0
    assert apart[1] > 0
    other = rows.clone()
    other[:, 5] = 3
    assert (model(other) - model(rows)).abs().amax((0, 2)).min() > 0


def test_what_is_written_is_the_greedy_choice_of_the_logits():
    model = layer().eval()
    rows, _ = TASK.sample(4, seed=0)
    written = model.train().write(rows, longest=5)
    assert model.training
    model.eval()
    said = torch.zeros(4, 1, dtype=torch.long)
    for _ in range(written.shape[1]):
        logits = model(torch.cat([rows[:, :6], said], 1))[:, -1]
        ended = (said[:, 1:] == model.marks.end).any(1)
        said = torch.cat([said, logits.argmax(-1).where(~ended, model.marks.pad)[:, None]], 1)
    assert torch.equal(written, said[:, 1:])
    assert written.shape[1] == 5 or (written == model.marks.end).any(1).all()
    assert model.write(rows, longest=5, beams=2).shape[0] == 4


def test_settings_of_a_folder_for_writing_do_not_count():
    """Those of summarisers force and forbid words, have least lengths and beams of their own."""
    rows, _ = TASK.sample(4, seed=0)
    plain, other = layer().write(rows, longest=6), layer()
    settings = other.model.generation_config
    settings.update(
        min_length=5, max_length=9, num_beams=4, length_penalty=-2.0, no_repeat_ngram_size=1,
        forced_bos_token_id=7, forced_eos_token_id=1, suppress_tokens=[3], repetition_penalty=5.0,
    )  # fmt: skip
    assert torch.equal(other.write(rows, longest=6), plain)
    assert other.model.generation_config is settings
    settings = other.model.generation_config.to_dict()
    assert torch.equal(other.write(rows, longest=6, beams=3), layer().write(rows, longest=6, beams=3))
    assert other.model.generation_config.to_dict() == settings


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.uint16])
def test_whole_numbers_of_any_size_are_words(dtype):
    model = layer().eval()
    rows, _ = TASK.sample(3, seed=0)
    assert torch.equal(model(rows.to(dtype)), model(rows))
    assert torch.equal(model.write(rows.to(dtype), longest=3), model.write(rows, longest=3))


def bart(**options):
    """One whose padding, end and start are 1, 2 and 2, and which has places, eight unless said."""
    from transformers import BartConfig, BartForConditionalGeneration

    sizes = {
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "max_position_embeddings": 8,
    }
    sizes |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16} | options
    marks = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BartForConditionalGeneration(BartConfig(vocab_size=20, d_model=8, **sizes, **marks)).double()


def test_another_encoder_decoder_with_marks_of_its_own_goes_the_same_way():
    """A pair alone is the pair among longer ones; what is written is the greedy choice."""
    model = EncoderDecoder(bart(encoder_layers=2), 5).eval()
    assert model.marks == (1, 2, 2)
    rows = torch.randint(3, 20, (3, 5 + 4), generator=torch.Generator().manual_seed(0))
    rows[:, 5] = 2
    rows[1, 2:5] = 1
    alone = EncoderDecoder(model.model, 2)(torch.cat([rows[1:2, :2], rows[1:2, 5:]], 1))
    torch.testing.assert_close(model(rows)[1:2], alone, rtol=0, atol=1e-14)
    written = model.write(rows, longest=3)
    said = torch.cat([torch.full((3, 1), 2), written], 1)
    answers = model(torch.cat([rows[:, :5], said[:, :-1]], 1)).argmax(-1)
    goes_on = (written[:, :-1] != 2).cumprod(1).bool()
    assert torch.equal(written[:, 0], answers[:, 0])
    assert torch.equal(written[:, 1:][goes_on], answers[:, 1:][goes_on])


def test_a_random_t5_begins_near_the_logarithm_of_its_words_and_a_random_mt5_does_not():
    from transformers import MT5Config, MT5ForConditionalGeneration

    rows, labels = TASK.sample(64, seed=0)
    of_mt5 = MT5Config(
        vocab_size=5000, d_model=64, d_kv=32, d_ff=128, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    torch.manual_seed(0)
    for model, least, most in (
        (t5(5000, width=64, layers=1, heads=2, seed=0), -0.5, 0.5),
        (MT5ForConditionalGeneration(of_mt5), 10, math.inf),
    ):
        loss = TemporallyWeightedCrossEntropy()(EncoderDecoder(model, TASK.source)(rows), labels).item()
        assert least < loss - math.log(5000) < most


@pytest.mark.slow
def test_fit_trains_it_as_any_layer():
    """It falls from ln 5 below what knowing the marked symbols, but not their order, has."""
    model = EncoderDecoder(t5(TASK.vocabulary, width=32, layers=1, heads=2, seed=0), TASK.source)
    result = fit(
        model, TASK, loss=TemporallyWeightedCrossEntropy(1), steps=250, batch_size=64, device="cpu",
        validation_size=256,
    )  # fmt: skip
    assert result.loss < TASK.unordered < TASK.guessing
    rows, labels = TASK.sample(200, seed=7)
    assert TASK.accuracy(model(rows), labels)[-1] > 0.9
    first = (model.write(rows, longest=2)[:, 0] == labels[:, 0]).double().mean()
    assert first == TASK.accuracy(model(rows), labels)[0]


# --- files ----------------------------------------------------------------------------------------


def test_a_readout_of_its_own_is_kept(tmp_path):
    """The layout of mT5, whose readout is not its embedding, although its configuration ties the two."""
    from transformers import MT5Config, MT5ForConditionalGeneration

    config = MT5Config(
        vocab_size=20, d_model=8, d_kv=4, d_ff=16, num_layers=2, num_decoder_layers=1, num_heads=2,
        pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = MT5ForConditionalGeneration(config)
    model.lm_head.weight = torch.nn.Parameter(torch.randn(20, 8))
    model.save_pretrained(tmp_path)
    loaded = load_encoder_decoder(tmp_path, vocabulary=20)
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)
    assert not torch.equal(loaded.lm_head.weight, loaded.shared.weight)
    rows = torch.tensor([[3, 4, 5, 0, 7, 8]])
    ours, theirs = EncoderDecoder(loaded, 3).eval(), model.eval()
    expected = theirs(input_ids=rows[:, :3], decoder_input_ids=rows[:, 3:]).logits
    torch.testing.assert_close(ours(rows), expected, rtol=0, atol=1e-6)


def test_marks_of_a_tokenizer_take_the_place_of_those_of_a_folder(tmp_path):
    """What is written then starts and ends with them."""
    t5(12, width=8, layers=1, heads=2, seed=0).save_pretrained(tmp_path)
    loaded = load_encoder_decoder(tmp_path, marks=(0, 5, 4))
    layer = EncoderDecoder(loaded, 3)
    assert layer.marks == (0, 5, 4)
    assert EncoderDecoder(load_encoder_decoder(tmp_path), 3).marks == (0, 1, 0)
    rows = torch.tensor([[3, 4, 6, 4]])
    first = layer.eval()(rows)[0, -1].argmax().item()
    assert layer.write(rows, longest=1).tolist() == [[first]]
    with torch.no_grad():
        loaded.shared.weight[5] = 100 * loaded.shared.weight[first]  # the readout, which is the same: it ends
    assert layer.write(rows, longest=9).tolist()[0][-1] == 5
    assert layer.write(rows, longest=9).shape[1] < 9
    with pytest.raises(ValueError, match=r"marks must be 0 to vocabulary - 1 = 11, got \(0, 1, 12\)"):
        load_encoder_decoder(tmp_path, marks=(0, 1, 12))


def test_a_folder_is_refused_where_it_is_none_or_of_other_words(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder must be a local one with config\.json, got 'google"):
        load_encoder_decoder("google/mt5-small")
    with pytest.raises(TypeError, match="folder must name a folder, got 3"):
        load_encoder_decoder(3)
    t5(12, width=8, layers=1, heads=2, seed=0).save_pretrained(tmp_path)
    for words in (11, 12):
        assert load_encoder_decoder(tmp_path, vocabulary=words).config.vocab_size == 12
    with pytest.raises(ValueError, match="must have the vocabulary of the tokenizer, 13 words, got 12"):
        load_encoder_decoder(tmp_path, vocabulary=13)


def test_weights_are_in_single_precision_whatever_the_file_has(tmp_path):
    model = t5(12, width=8, layers=1, heads=2, seed=0).half()
    model.save_pretrained(tmp_path)
    loaded = load_encoder_decoder(tmp_path)
    assert {weight.dtype for weight in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.shared.weight, model.shared.weight.float())


def weights_without(folder, name):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def config_with(folder, **entries):
    config = json.loads((folder / "config.json").read_text()) | entries
    (folder / "config.json").write_text(json.dumps(config))


WI = "decoder.block.0.layer.2.DenseReluDense.wi.weight"
DAMAGE = {
    "one of them is not there": (
        lambda folder: weights_without(folder, WI),
        f"must have the weights that its config.json says, and has not {WI} of that shape",
    ),
    "those of a layer are not there": (
        lambda folder: config_with(folder, num_layers=2),
        "encoder.block.1.layer.0.SelfAttention.k.weight of that shape, nor 7 others",
    ),
    "another vocabulary": (
        lambda folder: config_with(folder, vocab_size=14),
        "and has not shared.weight of that shape",
    ),
    "half of the file": (
        lambda folder: (folder / "model.safetensors").write_bytes(
            (folder / "model.safetensors").read_bytes()[:5000]
        ),
        "cannot be read",
    ),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "cannot be read: Error no file"),
    "no objects of pickle": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        "the weights of .* cannot be read",
    ),
    "no JSON": (lambda folder: (folder / "config.json").write_text("{"), "config.json cannot be read"),
    "a stranger's code": (
        lambda folder: config_with(folder, model_type="own", auto_map={"AutoConfig": "own.Own"}),
        "config.json cannot be read: .* contains custom code",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_folder_is_refused_in_one_line(what, tmp_path, monkeypatch):
    """Weights that are not there would be random ones, which transformers tells its log alone."""
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asks"))
    t5(12, width=8, layers=1, heads=2, seed=0).save_pretrained(tmp_path)
    damage, message = DAMAGE[what]
    damage(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        load_encoder_decoder(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_encoder_decoder_is_refused():
    from transformers import GPT2Config, GPT2LMHeadModel, T5Model

    sizes = {"n_layer": 1, "n_head": 2, "n_embd": 8, "vocab_size": 12}
    with pytest.raises(TypeError, match="model must be an encoder-decoder of transformers, got GPT2LMHead"):
        EncoderDecoder(GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=1)), 3)
    with pytest.raises(TypeError, match="got Linear"):
        EncoderDecoder(torch.nn.Linear(2, 2), 3)
    with pytest.raises(TypeError, match="model must have a readout"):
        EncoderDecoder(T5Model(t5(12, width=8, layers=1, heads=2).config), 3)
    with pytest.raises(ValueError, match=r"decoder that is no deeper .* got 2 and 1 layers"):
        layer(decoder_layers=2)
    assert layer(decoder_layers=1).write(TASK.sample(1, seed=0)[0], longest=2).shape[0] == 1
    model = t5(12, width=8, layers=1, heads=2)
    model.config.eos_token_id = None
    with pytest.raises(ValueError, match="model must have one eos_token_id in its configuration, got None"):
        EncoderDecoder(model, 3)
    model.config.eos_token_id = 12
    with pytest.raises(ValueError, match=r"marks must be 0 to vocabulary - 1 = 11, got \(0, 12, 0\)"):
        EncoderDecoder(model, 3)
    model.config.eos_token_id = 1
    del model.config.decoder_start_token_id
    with pytest.raises(ValueError, match="model must have one decoder_start_token_id in its configuration"):
        EncoderDecoder(model, 3)


def test_models_of_sounds_and_of_two_vocabularies_are_refused(tmp_path):
    from transformers import (
        BertConfig,
        EncoderDecoderConfig,
        EncoderDecoderModel,
        WhisperConfig,
        WhisperForConditionalGeneration,
    )

    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    one, other = (BertConfig(vocab_size=words, **small) for words in (20, 30))
    two = EncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(one, other))
    sizes = {
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
    }
    marks = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 2}
    sounds = WhisperForConditionalGeneration(WhisperConfig(vocab_size=20, d_model=8, **sizes, **marks))
    for model in (two, sounds):
        with pytest.raises(TypeError, match="model must read and say words of one vocabulary"):
            EncoderDecoder(model, 3)
    two.save_pretrained(tmp_path)
    with pytest.raises(
        TypeError, match="must hold an encoder-decoder of one vocabulary, got encoder-decoder"
    ):
        load_encoder_decoder(tmp_path)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layer()(torch.zeros(2, 7)), "x must be whole numbers of shape"),
        (lambda: layer()(torch.ones(2, 6).long()), "x must have steps of a target after 6 of the source"),
        (lambda: layer()(torch.ones(2, 5).long()), "x must have 6 steps of a source at least, got 5"),
        (lambda: layer()(torch.zeros(2, 7).long()), "x must have a word in every source"),
        (lambda: layer()(torch.full((2, 7), 12)), "x must be 0 to 11, got 12 to 12"),
        (lambda: layer().write(torch.ones(2, 7).long(), longest=0), "longest must be at least 1"),
        (lambda: layer()(torch.ones(2, 7).cfloat()), "x must be whole numbers of shape"),
        (lambda: EncoderDecoder(bart(), 9), "source must have at most the 8 steps of the encoder, got 9"),
        (lambda: EncoderDecoder(bart(), 2)(torch.full((1, 11), 3)), "x must have at most the 8 steps of the"),
        (
            lambda: EncoderDecoder(bart(), 2).write(torch.full((1, 2), 3), longest=9),
            "longest must have at most",
        ),
        (lambda: t5(12, decoder_layers=0), "decoder_layers must be at least 1, got 0"),
        (lambda: t5(12, marks=(0, 1)), r"marks must be three numbers, pad, end, start, got \(0, 1\)"),
        (lambda: t5(12, marks=(0, 1, True)), "marks must be 0 to vocabulary - 1 = 11"),
        (lambda: t5(12, width=10, heads=4), "heads must divide width"),
        (lambda: t5(12, marks=(0, 1, 12)), r"marks must be 0 to vocabulary - 1 = 11, got \(0, 1, 12\)"),
    ],
)
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
