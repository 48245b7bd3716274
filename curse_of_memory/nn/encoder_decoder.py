"""Encoder-decoders of ``transformers`` as layers that read one row of numbers: a source, then what was said.

Row.        n numbers of the source, and then the target, one step late: the start mark, then each number that
            was said before. Shorter sources and targets are padded at their end.
Answer.     The logits of every step of the target. Those of step t see the whole source, and of the target
            what was said before t.

Datasets and tasks of such rows can be given to :func:`curse_of_memory.training.fit` as any others.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from curse_of_memory.nn.building import inputs
from curse_of_memory.nn.building.seeding import place, seeded
from curse_of_memory.tools import checks, extras

__all__ = ["EncoderDecoder", "Marks", "load_encoder_decoder", "t5"]


class Marks(NamedTuple):
    """Numbers that are no words: padding, what ends a target, and what stands before its first word."""

    pad: int
    end: int
    start: int


class EncoderDecoder(nn.Module):
    """Logits of an encoder-decoder, for rows in which its source and its target follow each other.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        An encoder-decoder with a readout, such as T5 or MT5. Its configuration says which marks it has.
    source : int
        n, the steps of a source.

    Raises
    ------
    TypeError, ValueError
        If the model is no encoder-decoder of numbers of one vocabulary, misses one of its marks, has fewer
        positions than a source, or a decoder deeper than its encoder: such a one can be trained, but
        ``generate`` of transformers fails with it. When called, for what are no numbers of words in rows of
        more than n steps, more steps than the model has positions, or a source of nothing but padding.
    ModuleNotFoundError
        If transformers is not installed.

    Examples
    --------
    >>> layer = EncoderDecoder(t5(12, width=8, layers=1, heads=2, seed=0), source=4)
    >>> rows = torch.tensor([[5, 7, 2, 0, 0, 5, 7]])  # three words and padding; the start and two words
    >>> layer(rows).shape
    torch.Size([1, 3, 12])
    >>> layer.write(rows[:, :4], longest=5).shape[0]
    1
    """

    def __init__(self, model: Any, source: int):
        super().__init__()
        extras.require("models", "transformers")
        from transformers.modeling_utils import PreTrainedModel

        name = type(model).__name__
        if not isinstance(model, PreTrainedModel) or not model.config.is_encoder_decoder:
            raise TypeError(f"model must be an encoder-decoder of transformers, got {name}")
        if model.main_input_name != "input_ids" or not hasattr(model.config, "vocab_size"):
            raise TypeError(f"model must read and say words of one vocabulary, as T5 does, got {name}")
        if model.get_output_embeddings() is None:
            raise TypeError(f"model must have a readout, such as T5ForConditionalGeneration, got {name}")
        self.source = checks.positive_int("source", source)
        self.model = model
        self.vocabulary = int(model.config.vocab_size)
        self.marks = _marks_of(model.config)
        self._most = {part: _positions(model.config, part) for part in ("encoder", "decoder")}
        self._check_steps("source", source, "encoder")
        layers, deeper = model.config.num_hidden_layers, _decoder_layers(model.config)
        if deeper > layers:
            raise ValueError(
                f"model must have a decoder that is no deeper than its encoder, as transformers can generate "
                f"with no other, got {deeper} and {layers} layers"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits ``(batch, time - n, class)`` of the targets in rows `x` ``(batch, time)``."""
        source, said = self._rows(x)
        if not said.shape[1]:
            raise ValueError(f"x must have steps of a target after {self.source} of the source, got none")
        self._check_steps("x", said.shape[1], "decoder")
        mask = source != self.marks.pad
        return self.model(
            input_ids=source, attention_mask=mask.long(), decoder_input_ids=said, use_cache=False
        ).logits

    @torch.no_grad()
    def write(self, x: Tensor, longest: int, *, beams: int = 1) -> Tensor:
        """Return what the model writes for sources, each up to its end mark, then padding.

        Settings of a folder for writing, such as a least length, do not count: beams are by the mean of what
        their steps cost, nothing is forced or forbidden.

        Parameters
        ----------
        x : Tensor of shape ``(batch, time)``
            Rows, of which the first n steps are read.
        longest : int
            Numbers that are written at most, the end mark among them.
        beams : int
            Candidates that are followed at a time; one is the greedy choice.

        Returns
        -------
        Tensor of shape ``(batch, steps)``
            Without the start mark; as many steps as the longest answer has.
        """
        from transformers.generation.configuration_utils import GenerationConfig

        source, _ = self._rows(x)
        self._check_steps("longest", checks.positive_int("longest", longest), "decoder")
        pad, end, start = self.marks
        model: Any = self.model  # torch says of its modules' members that they are tensors
        kept, was_training = model.generation_config, model.training
        model.generation_config = GenerationConfig(
            pad_token_id=pad, eos_token_id=end, decoder_start_token_id=start
        )
        try:
            written = model.eval().generate(
                source,
                attention_mask=(source != pad).long(),
                max_new_tokens=longest,
                num_beams=checks.positive_int("beams", beams),
                do_sample=False,
            )
        finally:
            model.train(was_training)
            model.generation_config = kept
        return written[:, 1:]

    def _check_steps(self, name: str, steps: int, part: str) -> None:
        most = self._most[part]
        if most is not None and steps > most:
            raise ValueError(f"{name} must have at most the {most} steps of the {part}, got {steps}")

    def _rows(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return sources, and what was said, of rows, if they can be such."""
        inputs.tensor("x", x, "shape (batch, time)")
        if x.ndim != 2 or x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
            raise TypeError(
                f"x must be whole numbers of shape (batch, time), got {x.dtype} of shape {tuple(x.shape)}"
            )
        x = x.long()
        if x.shape[1] < self.source:
            raise ValueError(f"x must have {self.source} steps of a source at least, got {x.shape[1]}")
        if x.numel() and not (x.amin() >= 0 and x.amax() < self.vocabulary):
            raise ValueError(f"x must be 0 to {self.vocabulary - 1}, got {int(x.amin())} to {int(x.amax())}")
        source = x[:, : self.source]
        if not bool((source != self.marks.pad).any(1).all()):
            raise ValueError("x must have a word in every source, got one of padding alone")
        return source, x[:, self.source :]

    def extra_repr(self) -> str:
        """Return n and the marks for printing."""
        return f"source={self.source}, {', '.join(f'{k}={v}' for k, v in self.marks._asdict().items())}"


def t5(
    vocabulary: int,
    *,
    width: int = 64,
    layers: int = 2,
    decoder_layers: int | None = None,
    heads: int = 4,
    feedforward: int | None = None,
    dropout: float = 0.0,
    marks: tuple[int, int, int] = (0, 1, 0),
    seed: int | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Any:
    """Return a T5 from its configuration, with random weights.

    Not an MT5, whose logits are not scaled by the root of the width: a random one begins tens of nats above
    ln V.

    Parameters
    ----------
    vocabulary : int
        V, all marks among them.
    width, layers, decoder_layers, heads, feedforward : int
        Channels; layers of the encoder, and of the decoder, as many unless given; heads, among which the
        width is divided; inner width of the feed-forward parts, twice the width unless given.
    dropout : float
        Probability.
    marks : (int, int, int)
        :class:`Marks`: padding, end and start. T5 starts with its padding.
    seed : int, optional
        Names the weights; torch's global state unless given.
    device, dtype
        Of the weights.

    Returns
    -------
    transformers.T5ForConditionalGeneration

    Raises
    ------
    ValueError, TypeError
        For bad numbers, heads that do not divide the width, or marks outside of the vocabulary.
    ModuleNotFoundError
        If transformers is not installed.
    """
    extras.require("models", "transformers")
    from transformers.models.t5.configuration_t5 import T5Config
    from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration

    checks.positive_int("vocabulary", vocabulary)
    width, heads = checks.positive_int("width", width), checks.positive_int("heads", heads)
    if width % heads:
        raise ValueError(f"heads must divide width, got {heads} heads and a width of {width}")
    own = _checked_marks(marks, vocabulary)
    config = T5Config(
        vocab_size=vocabulary,
        d_model=width,
        d_kv=width // heads,
        d_ff=2 * width if feedforward is None else checks.positive_int("feedforward", feedforward),
        num_layers=checks.positive_int("layers", layers),
        num_decoder_layers=checks.positive_int(
            "decoder_layers", layers if decoder_layers is None else decoder_layers
        ),
        num_heads=heads,
        dropout_rate=checks.non_negative("dropout", dropout),
        pad_token_id=own.pad,
        eos_token_id=own.end,
    )
    config.decoder_start_token_id = own.start
    with seeded(seed):
        model = T5ForConditionalGeneration(config)
    place(model, device, dtype)
    return model


def load_encoder_decoder(
    folder: str | Path, vocabulary: int | None = None, *, marks: tuple[int, int, int] | None = None
) -> Any:
    """Return the encoder-decoder of a local folder, as ``save_pretrained`` of transformers writes it.

    The readout is the one of its file where that has one of its own: T5 and MT5 of transformers 5 would share
    it with the embedding, whatever the configuration says. Weights are in single precision, whatever those of
    the file are in. Nothing is looked for on a hub, and no code of the folder is run.

    Parameters
    ----------
    folder : str or Path
        With ``config.json`` and the weights, such as those of mT5 or T5-PEGASUS.
    vocabulary : int, optional
        Words of the tokenizer: the model must have as many, or up to 255 more that are none.
    marks : (int, int, int), optional
        :class:`Marks` of the tokenizer, in place of those of the configuration: ports of T5-PEGASUS may have
        those of mT5 in it.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no configuration in it.
    ValueError, TypeError
        If the model is no encoder-decoder, its vocabulary is another one, or has no such marks, or if its
        file has not all of the weights, or others than the configuration says.
    ModuleNotFoundError
        If transformers is not installed.
    """
    extras.require("models", "transformers")
    from transformers.models.auto.configuration_auto import AutoConfig
    from transformers.models.auto.modeling_auto import AutoModelForSeq2SeqLM

    if not isinstance(folder, str | Path):
        raise TypeError(f"folder must name a folder, got {checks.shown(folder)}")
    path = Path(folder).expanduser()
    if not (path / "config.json").is_file():
        raise FileNotFoundError(
            f"folder must be a local one with config.json, got {checks.shown(str(folder))}"
        )
    # without the second one it asks in the terminal whether to run code that lies in the folder
    alone = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(path, **alone)
    except Exception as error:  # of any kind
        raise ValueError(f"{path / 'config.json'} cannot be read: {checks.first_line(error)}") from None
    words = getattr(config, "vocab_size", None)
    if not config.is_encoder_decoder or words is None:
        raise TypeError(f"{folder} must hold an encoder-decoder of one vocabulary, got {config.model_type}")
    if (
        vocabulary is not None
        and not checks.positive_int("vocabulary", vocabulary) <= words < vocabulary + 256
    ):
        raise ValueError(
            f"{folder} must have the vocabulary of the tokenizer, {vocabulary} words, got {words}"
        )
    own = None if marks is None else _checked_marks(marks, words)
    try:
        model, told = AutoModelForSeq2SeqLM.from_pretrained(
            path,
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **alone,
        )
    except Exception as error:  # of any kind: each format has its own
        raise ValueError(f"the weights of {folder} cannot be read: {checks.first_line(error)}") from None
    # which transformers draws, and says so in its log
    drawn = sorted([*told["missing_keys"], *(name for name, *_ in told["mismatched_keys"])])
    if drawn:
        raise ValueError(
            f"{folder} must have the weights that its config.json says, and has not {drawn[0]} of that shape"
            + (f", nor {len(drawn) - 1} others" if drawn[1:] else "")
        )
    if own is not None:
        for said in (model.config, model.generation_config):  # the second one is what `generate` reads
            said.pad_token_id, said.eos_token_id, said.decoder_start_token_id = own
    return model


def _checked_marks(marks: tuple[Any, ...], vocabulary: int) -> Marks:
    if not isinstance(marks, tuple | list) or len(marks) != len(Marks._fields):
        raise TypeError(f"marks must be three numbers, {', '.join(Marks._fields)}, got {checks.shown(marks)}")
    if not all(type(mark) is int and 0 <= mark < vocabulary for mark in marks):
        raise ValueError(f"marks must be 0 to vocabulary - 1 = {vocabulary - 1}, got {tuple(marks)}")
    return Marks(*marks)


def _positions(config: Any, part: str) -> int | None:
    """Return the steps that a part has at most, if they have places of their own; T5 knows distances only."""
    return _said(config, f"max_{part}_position_embeddings", "max_position_embeddings")


def _decoder_layers(config: Any) -> int:
    return _said(config, "num_decoder_layers", "decoder_layers") or 0


def _said(config: Any, *names: str) -> int | None:
    """Return the first of some numbers that a configuration has, which each family calls otherwise."""
    return next((getattr(config, name) for name in names if getattr(config, name, None)), None)


def _marks_of(config: Any) -> Marks:
    names = "pad_token_id", "eos_token_id", "decoder_start_token_id"
    pad, end, start = (getattr(config, name, None) for name in names)
    for name, mark in zip(names, (pad, end, start), strict=True):
        if not isinstance(mark, int):
            raise ValueError(f"model must have one {name} in its configuration, got {mark!r}")
    return _checked_marks((pad, end, start), config.vocab_size)
