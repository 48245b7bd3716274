"""Fingerprints of values, functions and objects: equal in every process, or none at all.

Equation.   A fingerprint is the SHA-256 of a type and of the fingerprints of what a value is made of (a
            Merkle tree): numbers by type and bits, so that 1, 1.0, True, −0.0 and numpy's 1.0 are five;
            arrays and tensors by type, shape, strides and bytes; dicts in their order; sets without one;
            objects by class and state, as they are pickled.

Functions and classes count by name where their module is *covered*: its text, or its version, is part of what
the fingerprints are held together with. All others count by value: code, defaults, closure, and whatever of
their module they name. What cannot be followed has no fingerprint: a lock, a file, a generator, a module
that is not covered, a function that sets a global variable.
"""

import dis
import functools
import hashlib
import inspect
import struct
import types
import weakref
from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np
import pandas as pd
import torch

__all__ = ["Fingerprints", "NoFingerprintError", "Noted"]

PLAIN = (bool, int, complex, type(None), type(Ellipsis), type(NotImplemented))
BY_REPR = (torch.device, torch.dtype, torch.layout, torch.memory_format)
IN_ANY_CLASS = (
    *("__dict__", "__weakref__", "__module__", "__doc__", "__annotations__", "__slots__", "__qualname__"),
    *("__dataclass_fields__", "__dataclass_params__", "__match_args__", "__orig_bases__", "__parameters__"),
    "__slotnames__",  # which copy and pickle leave in a class
    *("__abstractmethods__", "_abc_impl", "__firstlineno__", "__static_attributes__", "__annotate_func__"),
    *("__annotations_cache__", "_is_protocol", "__protocol_attrs__", "__non_callable_proto_members__"),
)
NAMED = (types.FunctionType, type, functools._lru_cache_wrapper)
DEEPEST = 200  # levels of a value
LARGE, PLACES = 2**20, 4099  # bytes of a tensor, and places in it that are looked at again


Noted = tuple[weakref.ref, tuple, bytes]  # a tensor, what was seen of it, and its fingerprint


class NoFingerprintError(TypeError):
    """A value has no fingerprint that another process would find again."""


class Fingerprints:
    """Fingerprints of values that stay as they are while this object lives; each is taken once.

    Parameters
    ----------
    covered : callable
        Whether functions and classes of a module, given by its full name, count by name.
    ignored : collection of str, optional
        Attributes of objects that do not count.
    aside : iterable, optional
        Objects that do not count: that they are there does, what they are does not.
    large : dict, optional
        Where fingerprints of large tensors are noted, for whoever takes them next with the same dict: a
        tensor that torch has not seen written to since, and that is the same in places, is not gone through
        again.

    Examples
    --------
    >>> def taken(value):
    ...     return Fingerprints(lambda module: module == "builtins").of(value)
    >>> taken([1, {"a": 0.5}]) == taken([1, {"a": 0.5}])
    True
    >>> len({taken(value) for value in (1, 1.0, True, "1", b"1", [1], (1,), np.int64(1))})
    8
    """

    def __init__(
        self,
        covered: Callable[[str], bool],
        *,
        ignored: Collection[str] = (),
        aside: Iterable[object] = (),
        large: "dict[int, Noted] | None" = None,
    ):
        self._covered, self._ignored = covered, ignored
        self._aside = {id(thing): thing for thing in aside}
        self._known: dict[int, tuple[object, bytes]] = {}  # with the values, so that no id is taken again
        self._open: dict[int, int] = {}
        self._reach = DEEPEST
        self._large: dict[int, Noted] = {} if large is None else large

    def of(self, value: object) -> str:
        """Return the fingerprint of a `value`, 64 hexadecimal digits.

        Raises
        ------
        NoFingerprintError
            If it has none; says of what.
        """
        try:
            return self._digest(value).hex()
        except NoFingerprintError:
            raise
        except RecursionError:
            raise NoFingerprintError("a value of too many levels") from None
        except Exception as error:  # a stranger's object, in whatever way it refuses to be looked at
            raise NoFingerprintError(f"{_named(value)} ({type(error).__name__})") from None

    def _digest(self, value: object) -> bytes:
        kind = type(value)
        if kind in PLAIN:
            return _joined(kind.__name__, repr(value).encode())
        if kind is float:
            return _joined("float", struct.pack(">d", value))
        if kind is str:
            return _joined("str", value.encode("utf-8", "surrogatepass"))  # pyright: ignore[reportAttributeAccessIssue] -- kind is its type
        if kind is bytes:
            return _joined("bytes", value)  # pyright: ignore[reportArgumentType] -- kind is its type
        if id(value) in self._aside:
            return _joined("aside")
        if id(value) in self._known:
            return self._known[id(value)][1]
        if id(value) in self._open:  # inside itself: known by how far outside it is
            self._reach = min(self._reach, self._open[id(value)])
            return _joined("itself", str(len(self._open) - self._open[id(value)]).encode())
        depth = len(self._open)
        if depth >= DEEPEST:
            raise NoFingerprintError("a value of too many levels")
        outer, self._reach = self._reach, DEEPEST
        self._open[id(value)] = depth
        try:
            digest = self._of_parts(value)
        finally:
            del self._open[id(value)]
        if self._reach >= depth:  # else it depends on where it stands
            self._known[id(value)] = (value, digest)
            self._reach = outer
        else:
            self._reach = min(outer, self._reach)
        return digest

    def _all(self, values: Iterable[object]) -> bytes:
        return b"".join(map(self._digest, values))

    def _of_parts(self, value: Any) -> bytes:
        kind = type(value)
        if kind in (list, tuple):
            return _joined(kind.__name__, self._all(value))
        if kind is dict:
            return _joined("dict", self._all(entry for pair in value.items() for entry in pair))
        if kind in (set, frozenset):
            return _joined(kind.__name__, b"".join(sorted(map(self._digest, value))))
        if isinstance(value, tuple):  # a named one
            return _joined("tuple of a kind", self._digest(kind), self._all(tuple(value)))
        if isinstance(value, BY_REPR):
            return _joined("torch", repr(value).encode())
        if isinstance(value, np.dtype):
            return _joined("dtype", repr(np.lib.format.dtype_to_descr(value)).encode())
        if isinstance(value, np.generic):
            return _joined("number", self._digest(value.dtype), value.tobytes())
        if kind is np.ndarray:
            return self._of_array(value)
        if isinstance(value, torch.Tensor):
            return self._of_tensor(value)
        if kind in (pd.DataFrame, pd.Series):
            axes = [value.columns] if kind is pd.DataFrame else [value.name]
            columns = [value.iloc[:, i] for i in range(value.shape[1])] if kind is pd.DataFrame else [value]
            arrays = [(str(column.dtype), np.asarray(column)) for column in columns]
            return _joined(kind.__name__, self._all([*axes, value.index, value.attrs, arrays]))
        if isinstance(value, pd.Index) and not isinstance(value, pd.MultiIndex):
            about = [str(value.dtype), value.name, np.asarray(value)]
            return _joined("index", self._digest(kind), self._all(about))
        return self._of_code(value)

    def _of_array(self, array: np.ndarray) -> bytes:
        about = self._all([array.dtype, array.shape])
        if array.dtype.hasobject:
            return _joined("objects", about, self._all(array.ravel().tolist()))
        flat = array if array.flags.c_contiguous else array.T if array.flags.f_contiguous else array.copy()
        data = np.ascontiguousarray(flat).reshape(-1).view(np.uint8)
        return _joined("array", about, self._digest(array.strides), _buffer(data))

    def _of_tensor(self, tensor: torch.Tensor) -> bytes:
        if type(tensor) not in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer):
            raise NoFingerprintError(f"a tensor of the kind {type(tensor).__name__}")
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type == "meta":
            raise NoFingerprintError(f"a tensor of the layout {tensor.layout}")
        if not tensor.is_leaf:
            raise NoFingerprintError("a tensor that remembers how it was computed")
        about = [type(tensor).__name__, tensor.dtype, tensor.device, tensor.shape, tensor.stride()]
        about += [tensor.requires_grad, tensor.grad]
        values = tensor.detach().resolve_conj().resolve_neg()
        values = torch.view_as_real(values) if values.is_complex() else values
        large = values.device.type == "cpu" and values.is_contiguous() and values.nbytes >= LARGE
        data = values.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        if not large:
            return _joined("tensor", self._all(about), _buffer(data))
        seen = (tensor._version, tensor.data_ptr(), self._all(about), data[:: len(data) // PLACES].tobytes())
        known = self._large.get(id(tensor))
        if known is None or known[0]() is not tensor or known[1] != seen:
            digest = _joined("tensor", seen[2], _buffer(data))
            known = self._large[id(tensor)] = (weakref.ref(tensor), seen, digest)
        return known[2]

    # --- functions, classes, modules ------------------------------------------------------------

    def _of_code(self, value: Any) -> bytes:
        if isinstance(value, types.ModuleType):
            if not self._covered(value.__name__):
                raise NoFingerprintError(f"the module {value.__name__}")
            return _joined("module", value.__name__.encode())
        if isinstance(value, np.ufunc):
            return _joined("ufunc", value.__name__.encode(), repr(value.signature).encode())
        if isinstance(value, types.CodeType):
            return self._of_bytecode(value)
        if isinstance(value, NAMED) and self._by_name(value):
            return _joined("name", f"{value.__module__}.{value.__qualname__}".encode())
        if isinstance(value, functools._lru_cache_wrapper):
            return _joined("kept answers", self._digest(value.__wrapped__))
        if isinstance(value, types.FunctionType):
            return self._of_function(value)
        if isinstance(value, type):
            return self._of_class(value)
        if isinstance(value, types.MethodType):
            return _joined("method", self._all([value.__func__, value.__self__]))
        if isinstance(value, staticmethod | classmethod):
            return _joined(type(value).__name__, self._digest(value.__func__))
        if isinstance(value, property):
            return _joined("property", self._all([value.fget, value.fset, value.fdel]))
        if isinstance(value, functools.cached_property):
            return _joined("cached property", self._digest(value.func))
        if isinstance(value, types.CellType):
            try:
                return _joined("cell", self._digest(value.cell_contents))
            except ValueError:
                return _joined("empty cell")
        if isinstance(value, types.BuiltinFunctionType):
            owner = value.__self__
            if owner is None or isinstance(owner, types.ModuleType):
                return _joined("builtin", f"{value.__module__}.{value.__qualname__}".encode())
            return _joined("builtin method", value.__name__.encode(), self._digest(owner))
        if isinstance(value, types.MethodDescriptorType | types.WrapperDescriptorType):
            return _joined("descriptor", value.__qualname__.encode(), self._digest(value.__objclass__))
        return self._of_object(value)

    def _by_name(self, value: Any) -> bool:
        """Return whether a function or class can be found by its name, in a module that is covered."""
        module, place = value.__module__, inspect.getmodule(value)
        if place is None or not self._covered(module):
            return False
        for name in value.__qualname__.split("."):
            place = getattr(place, name, None)
        return place is value

    def _of_function(self, function: types.FunctionType) -> bytes:
        about = [function.__code__, function.__defaults__, function.__kwdefaults__, function.__closure__]
        own = {name: v for name, v in function.__dict__.items() if name != "__wrapped__"}
        if not self._covered(function.__module__ or ""):  # else its module's text says what the names are
            about.append(self._named_by(function))
        return _joined("function", self._all([*about, own]))

    def _named_by(self, function: types.FunctionType) -> list[tuple[str, object]]:
        """Return the names of its module that a function uses, with what they stand for now."""
        names: set[str] = set()
        codes = [function.__code__]
        while codes:
            code = codes.pop()
            codes += [const for const in code.co_consts if isinstance(const, types.CodeType)]
            for step in dis.get_instructions(code):
                if step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                    raise NoFingerprintError(f"{_named(function)}, which sets the global {step.argval}")
                if step.opname == "IMPORT_NAME" and not self._covered(step.argval):
                    raise NoFingerprintError(f"{_named(function)}, which imports {step.argval or 'a module'}")
                if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                    names.add(step.argval)
        known = function.__globals__
        return [(name, known[name]) for name in sorted(names) if name in known]

    def _of_bytecode(self, code: types.CodeType) -> bytes:
        numbers = [code.co_flags, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount]
        names = [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_exceptiontable]
        return _joined("code", code.co_code, self._all([*numbers, *names, code.co_consts]))

    def _of_class(self, kind: type) -> bytes:
        own = {name: v for name, v in vars(kind).items() if name not in IN_ANY_CLASS}
        # what the interpreter keeps there of slots, and the class of a class
        own = {
            name: v
            for name, v in own.items()
            if not isinstance(v, types.MemberDescriptorType | types.GetSetDescriptorType)
        }
        slots = getattr(kind, "__slots__", ())
        return _joined(
            "class", kind.__qualname__.encode(), self._all([type(kind), kind.__bases__, slots, own])
        )

    # --- other objects --------------------------------------------------------------------------

    def _of_object(self, value: object) -> bytes:
        """Return the fingerprint of what pickle would write of an object."""
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as error:
            raise NoFingerprintError(f"{_named(value)}, which cannot be pickled") from error
        if isinstance(reduced, str):
            if not self._covered(getattr(value, "__module__", None) or ""):
                raise NoFingerprintError(_named(value))
            return _joined("name", f"{getattr(value, '__module__', '')}.{reduced}".encode())
        maker, arguments, state, entries, pairs = (*reduced, *[None] * 5)[:5]
        if isinstance(state, dict):
            state = self._lasting(type(value), state)
        elif isinstance(state, tuple) and len(state) == 2 and isinstance(state[0], dict):
            state = (self._lasting(type(value), state[0]), state[1])
        rest = [None if entries is None else list(entries), None if pairs is None else list(pairs)]
        return _joined("object", self._all([type(value), maker, arguments, state, *rest]))

    def _lasting(self, kind: type, state: dict) -> dict:
        """Return the attributes that count: not those that are ignored, nor answers that are kept."""
        return {
            name: v
            for name, v in state.items()
            if name not in self._ignored
            and not (
                isinstance(name, str) and isinstance(getattr(kind, name, None), functools.cached_property)
            )
        }


def _joined(kind: str, *pieces: bytes | memoryview) -> bytes:
    """Return the SHA-256 of a word and pieces, each with its length, so that none runs into the next."""
    code = hashlib.sha256(kind.encode())
    for piece in pieces:
        code.update(b"%d:" % len(piece))
        code.update(piece)
    return code.digest()


def _buffer(data: np.ndarray) -> memoryview:
    return memoryview(data)  # pyright: ignore[reportArgumentType] -- numpy's types do not say that it is one


def _named(value: object) -> str:
    name = getattr(value, "__qualname__", None)
    return name if isinstance(name, str) else f"an object of the class {type(value).__qualname__}"
