"""What a model of transformers must have for a law of forgetting: causal attention in every layer."""

from typing import Any, NamedTuple

from torch import nn

from curse_of_memory.tools import checks, extras

__all__ = ["Decoder", "decoder_of"]

IMPLEMENTATIONS = ("sdpa", "eager")


class Decoder(NamedTuple):
    """The part of a model that reads tokens one after the other.

    Attributes
    ----------
    module : torch.nn.Module
        The decoder, with its embedding and without its readout.
    attentions : dict from str to torch.nn.Module
        Its attentions in the order of layers, by their names in it.
    width : int
        Channels of the states that attentions read.
    heads : int
        Of queries, in each attention.
    """

    module: nn.Module
    attentions: dict[str, nn.Module]
    width: int
    heads: int


def decoder_of(model: Any) -> Decoder:
    """Return the decoder of a `model` of transformers.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A decoder, with or without a readout.

    Raises
    ------
    TypeError, ValueError
        If it is no such model, has an encoder, or one of its attentions is not causal, has a window of its
        own, or does not go through the interface of transformers for attention.
    """
    extras.require("models", "transformers")
    from transformers.modeling_utils import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        raise TypeError(f"model must be a decoder of transformers, got {checks.shown(model)}")
    name = type(model).__name__
    if model.config.is_encoder_decoder:
        raise ValueError(f"model must be a decoder alone, but {name} has an encoder, too")
    module: nn.Module = model.get_decoder()
    config = model.config.get_text_config(decoder=True)
    attentions: dict[str, Any] = {
        path: part
        for path, part in module.named_modules()
        if isinstance(getattr(part, "layer_idx", None), int) and hasattr(part, "is_causal")
    }
    layers = [part.layer_idx for part in attentions.values()]
    if not layers or not all(part.is_causal for part in attentions.values()):
        raise ValueError(f"model must have causal attention in every layer, but {name} has not")
    if layers != list(range(config.num_hidden_layers)):
        raise ValueError(f"model must have one attention in each of its layers, but {name} has not")
    windows = {kind for kind in getattr(config, "layer_types", None) or () if kind != "full_attention"}
    if not getattr(config, "layer_types", None):
        windows = {
            w for w in ("sliding_window", "attention_chunk_size") if getattr(config, w, None) is not None
        }
    if windows:
        raise ValueError(f"model must see its whole past in every layer, but {name} has {', '.join(windows)}")
    chosen = model.config._attn_implementation
    if chosen not in IMPLEMENTATIONS:
        known = " or ".join(map(repr, IMPLEMENTATIONS))
        raise ValueError(
            f"model must have the attention {known}, to whose scores log m is added, got {chosen!r}"
        )
    if not (model._can_set_attn_implementation() and getattr(module, "_supports_attention_backend", False)):
        raise ValueError(f"model must take attention functions by their names, which {name} does not")
    return Decoder(module, attentions, config.hidden_size, config.num_attention_heads)


def _windows(config: Any) -> list[str]:
    """Return what keeps attentions of a configuration from seeing the whole past."""
    if getattr(config, "layer_types", None):
        return sorted({kind for kind in config.layer_types if kind != "full_attention"})
    return [w for w in ("sliding_window", "attention_chunk_size") if getattr(config, w, None) is not None]
