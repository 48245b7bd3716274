"""Where tensors live: one rule for every function that takes ``device="auto"``."""

import torch

__all__ = ["resolve_device"]


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the torch device that `device` names; ``"auto"`` is CUDA where there is one, else the CPU.

    Raises
    ------
    ValueError
        If the name is not a device, or names a CUDA device on a machine that has none.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda[:n]', got {device!r}") from None
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device {device!r} was asked for, but torch sees no CUDA device; use 'auto' or 'cpu'"
        )
    return resolved
