"""The weights of LEM as the public code keeps them, and as ours does.

The public code (tk-rusch/LEM) has three affine maps, each with a bias, in blocks of h rows:

===============  ===========  =======================================
map              of           blocks of rows
===============  ===========  =======================================
``inp2hid``      the input    y gate, z gate, goal of y, goal of z
``hid2hid``      the old y    y gate, z gate, goal of z
``transform_z``  the new z    goal of y
===============  ===========  =======================================

Ours, as ``GATED``, has all blocks in the order in which a step computes them: y gate, z gate, goal of z, goal
of y. So ``hid2hid`` over ``transform_z`` is ours as it stands, and the last two blocks of ``inp2hid`` change
places. The gate of y comes first in both, although 1 is the index of the gate of z in the paper.

The readout is called ``classifier`` there; what is read here may have any name.
"""

import re
from collections.abc import Mapping
from statistics import mode

import torch
from torch import Tensor

__all__ = ["from_public", "read_public", "to_public"]

# rows and columns of each tensor, in h and the number of inputs m
SHAPES = {
    "inp2hid.weight": lambda h, m: (4 * h, m),
    "inp2hid.bias": lambda h, m: (4 * h,),
    "hid2hid.weight": lambda h, m: (3 * h, h),
    "hid2hid.bias": lambda h, m: (3 * h,),
    "transform_z.weight": lambda h, m: (h, h),
    "transform_z.bias": lambda h, m: (h,),
}


def _exchanged(rows: Tensor) -> Tensor:
    """Return four blocks of rows with the last two in each other's place: from either layout to the other."""
    y_gate, z_gate, third, fourth = rows.chunk(4)
    return torch.cat([y_gate, z_gate, fourth, third])


def from_public(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our weights of one cell, by name, from the six `tensors` of the public code's."""
    return {
        "input_weight": _exchanged(tensors["inp2hid.weight"]),
        "recurrent_weight": torch.cat([tensors["hid2hid.weight"], tensors["transform_z.weight"]]),
        "input_bias": _exchanged(tensors["inp2hid.bias"]),
        "recurrent_bias": torch.cat([tensors["hid2hid.bias"], tensors["transform_z.bias"]]),
    }


def to_public(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the six tensors of the public code's cell, by name, from our four `weights`."""
    tensors = {}
    for what in ("weight", "bias"):
        recurrent = weights[f"recurrent_{what}"]
        h = len(recurrent) // 4
        tensors[f"inp2hid.{what}"] = _exchanged(weights[f"input_{what}"])
        tensors[f"hid2hid.{what}"], tensors[f"transform_z.{what}"] = recurrent[: 3 * h], recurrent[3 * h :]
    return {name: tensors[name].clone() for name in SHAPES}


def read_public(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors of the cell, and those of the readout, from a `state_dict` of the public code.

    Returns
    -------
    cell : dict
        As :func:`from_public` takes them.
    readout : dict
        ``weight`` and ``bias``; empty if there is no readout.

    Raises
    ------
    TypeError, ValueError
        If it is no mapping of tensors, or one is missing, has another shape, or is one too many: it is named.
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(
            f"state_dict must be a mapping from names to tensors, got {type(state_dict).__name__}"
        )
    for name, tensor in state_dict.items():
        if not isinstance(name, str):
            raise TypeError(f"state_dict must have names as keys, got {name!r}")
        if not isinstance(tensor, Tensor):
            raise TypeError(f"state_dict[{name!r}] must be a tensor, got {type(tensor).__name__}")
    names = {}
    for wanted in SHAPES:
        hits = [name for name in state_dict if re.fullmatch(rf"(.*\.)?{re.escape(wanted)}", name)]
        if len(hits) != 1:
            raise ValueError(f"state_dict must have one tensor {wanted!r}, got {hits or 'none of that name'}")
        names[wanted] = hits[0]
    cell = {wanted: state_dict[name] for wanted, name in names.items()}
    readout = {name: t for name, t in state_dict.items() if name not in names.values()}
    h = _width(cell)
    m = cell["inp2hid.weight"].shape[-1] if cell["inp2hid.weight"].ndim else 1
    for wanted, shape in SHAPES.items():
        _demand_shape(names[wanted], cell[wanted], shape(h, m))
    return cell, _read_readout(readout, h)


def _width(cell: Mapping[str, Tensor]) -> int:
    """Return h as most of the tensors have it, so that the one that is off is the one that is named."""
    blocks = {"inp2hid": 4, "hid2hid": 3, "transform_z": 1}
    rows = {name: (t.shape[0] if t.ndim else 1, blocks[name.partition(".")[0]]) for name, t in cell.items()}
    return mode([count // block for count, block in rows.values() if count and count % block == 0] or [1])


def _demand_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise ValueError(f"state_dict[{name!r}] must have shape {shape}, got {tuple(tensor.shape)}")


def _read_readout(tensors: Mapping[str, Tensor], h: int) -> dict[str, Tensor]:
    """Return weight and bias of the readout, checked; nothing if there are none."""
    if not tensors:
        return {}
    prefix = next(iter(tensors)).rpartition(".")[0]
    for what in ("weight", "bias"):
        if (name := f"{prefix}.{what}") not in tensors:
            raise ValueError(f"state_dict must have {name!r} beside {', '.join(map(repr, tensors))}")
    if unknown := [name for name in tensors if name not in (f"{prefix}.weight", f"{prefix}.bias")]:
        raise ValueError(f"state_dict must have a cell and a readout, but there is {unknown[0]!r}, too")
    weight, bias = tensors[f"{prefix}.weight"], tensors[f"{prefix}.bias"]
    outputs = weight.shape[0] if weight.ndim else 1
    _demand_shape(f"{prefix}.weight", weight, (outputs, h))
    if bias.shape != (outputs,):
        got = f"of shape {tuple(bias.shape)} beside {outputs} rows of {prefix + '.weight'!r}"
        raise ValueError(f"state_dict must have a number for each output, got {prefix + '.bias'!r} {got}")
    return {"weight": weight, "bias": bias}
