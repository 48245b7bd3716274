"""One-line errors for models that fail inside, with the argument that would mend it."""

from torch import Tensor, nn

__all__ = ["failure", "in_one_line", "positions", "refuse_time_first"]

LENGTHS = ("n_positions", "max_position_embeddings", "max_seq_len", "n_ctx")  # of a ``config``
READS = ("input_size", "in_features", "in_channels")  # what parts of torch call their input channels
SPARE = 8  # rows of a table of positions beyond those of the ``config``


def refuse_time_first(model: nn.Module) -> None:
    """Refuse a model that was built with ``batch_first=False``: it reads ``(time, batch, channel)``."""
    first = model.layers[0].self_attn if isinstance(model, nn.TransformerEncoder) else model
    first = first.self_attn if isinstance(first, nn.TransformerEncoderLayer) else first
    if getattr(first, "batch_first", True) is False:
        name = type(model).__name__
        raise ValueError(f"model reads (time, batch, channel): build {name} with batch_first=True")


def positions(model: nn.Module, words: nn.Module | None, length: int) -> str | None:
    """Return an error message if the table of positions of `model` is shorter than `length`, else None.

    Asked before it reads them: on CUDA a table that is too short ends the process.
    """
    name, limit = _limit(model)
    if limit is None or length <= limit:
        return None
    tables = [p for p in model.modules() if isinstance(p, nn.Embedding) and p is not words]
    if not any(limit <= p.num_embeddings <= limit + SPARE for p in tables):
        return None  # rotary or relative positions go on
    return (
        f"horizon (with warmup, for the reversed probe) must be at most {limit}, the model's {name}, but "
        f"sequences of {length} steps are fed"
    )


def _limit(model: nn.Module) -> tuple[str, int | None]:
    config = getattr(model, "config", None)
    for name in LENGTHS:
        if isinstance(limit := getattr(config, name, None), int):
            return name, limit
    return "", None


def failure(system, x: Tensor, error: Exception) -> Exception:
    """Return the exception to raise in place of the `error` by which the model of `system` failed on `x`."""
    if isinstance(error, ValueError | TypeError) and str(error).startswith(("embedding must", "horizon (")):
        return error  # ours, from within
    model = system.model
    tables = {n: part for n, part in model.named_modules() if isinstance(part, nn.Embedding) and n}
    short = [n for n, part in tables.items() if part.num_embeddings < x.shape[1]]
    hint, read = "", _channels(model)
    if isinstance(error, IndexError) and short:
        hint = (
            f"; horizon must be at most {tables[short[0]].num_embeddings}, if {short[0]!r} has the positions"
        )
    elif tables and x.is_floating_point():
        return TypeError(
            f"model does not read sequences of {system.input_size} channel(s); if it reads tokens, name its "
            f"embedding: embedding={next(iter(tables))!r}"
        )
    elif x.is_floating_point() and read not in (None, system.input_size):
        hint = f"; say input_size={read} if that is what it reads"
    name, limit = _limit(model)
    if limit is not None and x.shape[1] > limit:
        hint = f"; horizon must be at most {limit}, the model's {name}"
    refusal = TypeError if isinstance(error, TypeError) else ValueError
    dtype = str(x.dtype).removeprefix("torch.")
    return refusal(
        f"model does not answer inputs of shape {tuple(x.shape)}, {dtype}: {in_one_line(error)}{hint}"
    )


def in_one_line(error: Exception) -> str:
    r"""Return the class of an `error` and the most telling line of its message.

    Examples
    --------
    >>> in_one_line(RuntimeError("shapes differ\nat ..."))
    'RuntimeError: shapes differ'
    """
    lines = (str(error).strip() or "no word").splitlines()
    line = lines[-1 if "TorchScript interpreter" in lines[0] else 0]
    return f"{type(error).__name__}: {line.removeprefix('RuntimeError: ')}"


def _channels(model: nn.Module) -> int | None:
    """Return the input channels that the first part of `model` states, or None."""
    for part in model.modules():
        for name in READS:
            if isinstance(number := getattr(part, name, None), int):
                return number
    return None
