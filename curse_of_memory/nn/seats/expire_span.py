"""Expire-Span for a model of transformers: every attention gets a predictor of spans."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from curse_of_memory.nn.building.seeding import seeded
from curse_of_memory.nn.forgetting.expire_span import ExpireSpan
from curse_of_memory.nn.seats.seat import SETTINGS, SUBMODULE, Seat
from curse_of_memory.tools import checks, extras

__all__ = ["add_expire_span", "load_expire_span"]


def add_expire_span(
    model: Any,
    max_span: int,
    ramp: int,
    *,
    initial_share: float = 0.1,
    price: float = 0.0,
    pre_divide: float = 1.0,
    shorten: bool = False,
) -> Seat:
    """Return the seat of Expire-Span in a `model` of transformers: a predictor of spans for every attention.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A decoder, such as Llama, Qwen, Mistral, GPT-2 or GPT-NeoX, with attention "sdpa" or "eager".
    max_span : int
        L, the limit of all spans, in steps.
    ramp : int
        R >= 1: over how many steps a memory fades.
    initial_share : float
        p in (0, 1): every span begins as p · L.
    price : float
        α >= 0, of one step of the mean span in units of the loss; add ``seat.price()`` to it.
    pre_divide : float
        c > 0, by which states are divided before spans are read off them.
    shorten : bool
        In training, cut all spans at u · L, with one u from [0, 1) for a pass.

    Returns
    -------
    Seat
        With the price, spans and live memories of the last pass, caches, and the way back (``remove``).

    Raises
    ------
    ModuleNotFoundError, TypeError, ValueError
        Without transformers; for an option out of its range; for a model that is no decoder of full
        attention, or has a law of forgetting already.

    Notes
    -----
    Spans are read off what the attention reads, after the norm of a pre-norm block, in float32 at least, as
    long as the predictors are: a model that is cast to bfloat16 later casts them, too, and spans are coarser
    then. With spans of L and more steps than a sequence has, a model answers as it did.

    ``model.save_pretrained(folder)`` keeps the predictors with the other weights, as ``forgetting.predictor``
    of each attention, and the settings in the configuration. ``from_pretrained`` makes the model alone, and
    says that it has no use for them; :func:`load_expire_span` puts them back.

    Examples
    --------
    >>> import torch, transformers
    >>> config = transformers.LlamaConfig(
    ...     vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2
    ... )
    >>> model = transformers.LlamaForCausalLM(config).eval()
    >>> seat = add_expire_span(model, max_span=100, ramp=8, initial_share=0.2)
    >>> with torch.no_grad():
    ...     cache = model(torch.ones(1, 60, dtype=int)).past_key_values
    >>> seat.live()[0, 0, [0, 10, 40]].tolist()  # R + ⌈e⌉ = 28, a step itself among them
    [1, 11, 28]
    >>> cache.layers[0].keys.shape[2]  # all that a next step may see
    27
    """
    settings = {
        "max_span": max_span,
        "ramp": ramp,
        "initial_share": initial_share,
        "price": price,
        "pre_divide": pre_divide,
        "shorten": shorten,
    }
    ExpireSpan(**settings)  # says what is wrong with them before anything is done
    extras.require("models", "transformers")
    with seeded(0):  # predictors begin at zero: what torch draws for them first is no business of anybody's
        return Seat(model, lambda: ExpireSpan(**settings), settings=settings)


def load_expire_span(model: Any, folder: str | Path) -> Seat:
    """Return the seat of Expire-Span in a `model`, with the predictors that ``save_pretrained`` kept.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Made by ``from_pretrained(folder)``.
    folder : str or Path
        Where it was saved.

    Raises
    ------
    ModuleNotFoundError, TypeError, ValueError
        As :func:`add_expire_span`, and if what is saved there has no spans.
    """
    extras.require("models", "transformers", "safetensors")
    where = Path(folder)
    try:
        settings = json.loads((where / "config.json").read_text()).get(SETTINGS)
    except (OSError, ValueError):
        raise ValueError(
            f"folder must have the config.json of a model, got {checks.shown(str(folder))}"
        ) from None
    weights = dict(_saved(where))
    if not settings or not weights:
        raise ValueError(f"folder must have a model with spans, saved by save_pretrained: {where} has none")
    seat = add_expire_span(model, **settings)
    try:
        if len(weights) != len(seat.state_dict()):
            raise ValueError(
                f"model must have as many attentions as the one that was saved: {len(weights)} weights of "
                f"spans are there, and {len(seat.state_dict())} are needed"
            )
        seat.load_state_dict(weights)
    except ValueError:
        seat.remove()
        raise
    return seat


def _saved(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Return the weights of laws in all files of weights of a folder."""
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118  # it is no mapping
                if f".{SUBMODULE}." in name:
                    yield name, file.get_tensor(name)
