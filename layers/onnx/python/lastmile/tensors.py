"""Tensors: the Open Inference datatypes, what a signature says of them, and their elements as JSON values.

Facts of the protocol: https://github.com/kserve/open-inference-protocol
"""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import orjson

from lastmile.errors import InvalidInput

type Array = np.ndarray[Any, Any]
type Personal = Literal["drop", "hash", "mask"]

MAX_DIMENSIONS = 32
MOST_OF_EMPTY = 1 << 20  # what is empty still costs what its other lengths say: a list for each row, or a sum for each


class Datatype(NamedTuple):
    """One row of the datatype table: how a tensor element looks in numpy, packed by `struct`, in JSON and in ONNX."""

    name: str
    dtype: np.dtype[Any]
    packed: str
    json_types: frozenset[type]
    onnx: str


def _row(name: str, dtype: str, packed: str, json_types: Iterable[type], onnx: str) -> Datatype:
    return Datatype(name, np.dtype(dtype), packed, frozenset(json_types), f"tensor({onnx})")


DATATYPES: dict[str, Datatype] = {
    row.name: row
    for row in (
        _row("BOOL", "?", "?", [bool], "bool"),
        _row("UINT8", "<u1", "B", [int], "uint8"),
        _row("UINT16", "<u2", "H", [int], "uint16"),
        _row("UINT32", "<u4", "I", [int], "uint32"),
        _row("UINT64", "<u8", "Q", [int], "uint64"),
        _row("INT8", "<i1", "b", [int], "int8"),
        _row("INT16", "<i2", "h", [int], "int16"),
        _row("INT32", "<i4", "i", [int], "int32"),
        _row("INT64", "<i8", "q", [int], "int64"),
        _row("FP16", "<f2", "e", [int, float], "float16"),
        _row("FP32", "<f4", "f", [int, float], "float"),
        _row("FP64", "<f8", "d", [int, float], "double"),
        _row("BYTES", "O", "", [str], "string"),
    )
}
BY_ONNX: dict[str, str] = {row.onnx: row.name for row in DATATYPES.values()}

_JSON_NAMES = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A named tensor of a signature; -1 in `shape` is any length, `columns` names the last axis.

    `pii`: what becomes of personal data before it is captured (`lastmile.personal`).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    datatype: str
    shape: tuple[int, ...]
    columns: tuple[str, ...] = ()
    nullable: bool = False
    pii: Personal | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "TensorSpec":
        """From a trusted document, where lists stand for tuples."""
        fields: dict[str, Any] = {
            key: tuple(value) if type(value) is list else value for key, value in document.items()
        }
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives, in the order of its graph."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def check_datatype(name: str, datatype: object) -> Datatype:
    row = DATATYPES.get(datatype) if isinstance(datatype, str) else None
    if row is None:
        raise InvalidInput(f"{name}: datatype {datatype!r} is none of {', '.join(DATATYPES)}")
    return row


def check_shape(name: str, shape: object) -> list[int]:
    """The shape as given by a client: a list of non-negative integers."""
    if type(shape) is not list:
        raise InvalidInput(f"{name}: shape must be a list of non-negative integers, not {_brief(shape)}")
    for length in shape:
        if type(length) is not int or length < 0:
            raise InvalidInput(f"{name}: shape must be a list of non-negative integers, not {_brief(shape)}")
    if len(shape) > MAX_DIMENSIONS:
        raise InvalidInput(f"{name}: shape has {len(shape)} dimensions, at most {MAX_DIMENSIONS} are possible")
    if 0 in shape and math.prod(length or 1 for length in shape) > MOST_OF_EMPTY:
        raise InvalidInput(f"{name}: shape {_brief(shape)} is too large for an empty array")
    return shape


def check_fits(spec: TensorSpec, array: Array, name: str | None = None) -> None:
    """Raise InvalidInput unless the array's shape agrees with the signature's; `name` is the input's if not given."""
    shape, wanted = array.shape, spec.shape
    if len(shape) == len(wanted):
        for length, expected in zip(shape, wanted, strict=True):
            if length != expected and expected != -1:
                break
        else:
            return
    where = name or f"input '{spec.name}'"
    raise InvalidInput(f"{where}: shape {list(shape)} does not fit {list(wanted)} (-1 is any length)")


def check_feeds(inputs: dict[str, TensorSpec], feeds: dict[str, Array]) -> None:
    """Raise InvalidInput unless there is exactly one fitting array for each input, and all of the same rows."""
    if feeds.keys() != inputs.keys():
        for name in feeds:
            if name not in inputs:
                raise InvalidInput(f"input '{name}' is unknown; the model takes {', '.join(inputs)}")
        missing = [name for name in inputs if name not in feeds]
        raise InvalidInput(f"missing input{'s' if len(missing) > 1 else ''}: {', '.join(missing)}")
    for name, array in feeds.items():
        check_fits(inputs[name], array)
    if len(feeds) > 1:
        _check_rows(inputs, feeds)


def _check_rows(inputs: dict[str, TensorSpec], feeds: dict[str, Array]) -> None:
    """A leading axis of any length is that of the rows, of which every input has as many."""
    first, rows = "", -1
    for name, array in feeds.items():
        if inputs[name].shape[:1] != (-1,):
            continue
        found = array.shape[0]
        if rows == -1:
            first, rows = name, found
        elif found != rows:
            raise InvalidInput(f"input '{first}' has {rows} rows and input '{name}' has {found}: send as many of each")


def array_from_json(
    data: object, datatype: Datatype, name: str, *, shape: Sequence[int] | None = None, nullable: bool = False
) -> Array:
    """Numbers, strings or booleans, flat or nested, as an array of exactly that datatype.

    Without `shape` the nesting decides; with it, the elements must multiply out. Nothing is coerced: 1.5 is
    no INT64, true is no number, 300 is no INT8. With `nullable`, null in a floating tensor is NaN.
    """
    flat, nesting = _flatten(data, name)
    if not {type(value) for value in flat} <= datatype.json_types:
        flat = _with_nulls(flat, datatype, name, nullable)
    if shape is not None and math.prod(shape) != len(flat):
        wanted = math.prod(shape)
        raise InvalidInput(f"{name}: shape {list(shape)} needs {wanted} elements, data has {len(flat)}")
    if shape is not None and len(nesting) > 1 and nesting != list(shape):
        raise InvalidInput(f"{name}: data is nested as {nesting}, shape says {list(shape)}")
    return _packed(flat, datatype, nesting if shape is None else shape, name)


def array_to_json(array: Array, name: str) -> Any:
    """The array's elements, row-major and flat, as something orjson writes (with OPT_SERIALIZE_NUMPY).

    Floats come out as the shortest decimals that read back to the same value. JSON has no NaN and no infinity: they
    become null; the binary form keeps them.
    """
    flat = array.ravel()  # contiguous, as orjson wants it
    if flat.dtype.kind == "O":
        return _texts(flat, name)
    return flat


def nested_json(array: Array, name: str) -> Any:
    """Like `array_to_json`, but nested as the array is."""
    if array.dtype.kind == "O":
        _texts(array.reshape(-1), name)
        return array.tolist()
    # ONNX Runtime's int64 is numpy's `longlong`: equal to int64, but its scalars are none that orjson knows.
    return np.ascontiguousarray(array).view(array.dtype.str)


def dump_json(document: Any) -> bytes:
    """JSON bytes; numpy arrays are written as lists."""
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _flatten(data: object, name: str) -> tuple[list[Any], list[int]]:
    """The leaves and the nesting's lengths; raises InvalidInput where rows differ in length."""
    if type(data) is not list:
        return [data], []
    level: list[Any] = data
    nesting = [len(level)]
    while level and type(level[0]) is list:
        if any(type(row) is not list for row in level):
            raise InvalidInput(f"{name}: data mixes lists and values at depth {len(nesting)}")
        lengths = set(map(len, level))
        if len(lengths) != 1:
            raise InvalidInput(
                f"{name}: data is ragged, rows at depth {len(nesting)} have lengths {sorted(lengths)[:5]}"
            )
        if len(nesting) == MAX_DIMENSIONS:
            raise InvalidInput(f"{name}: data is nested deeper than {MAX_DIMENSIONS} levels")
        nesting.append(lengths.pop())
        level = list(chain.from_iterable(level))
    return level, nesting


def _with_nulls(flat: list[Any], datatype: Datatype, name: str, nullable: bool) -> list[Any]:
    """Accept null as NaN where that is allowed, and name the first element that is wrong."""
    nulls = nullable and datatype.dtype.kind == "f"
    for index, value in enumerate(flat):
        if type(value) in datatype.json_types or (value is None and nulls):
            continue
        if value is None:
            raise InvalidInput(f"{name}: element {index} is null, and the tensor is not nullable")
        raise InvalidInput(f"{name}: element {index} is {_JSON_NAMES[type(value)]}, {datatype.name} is wanted")
    return [math.nan if value is None else value for value in flat]


def _packed(flat: list[Any], datatype: Datatype, shape: Sequence[int], name: str) -> Array:
    """`struct` refuses what does not fit, where numpy would make an infinity of it, and is twice as fast."""
    if not datatype.packed:
        return np.array(flat, dtype=datatype.dtype).reshape(shape)
    try:
        data = struct.pack(f"<{len(flat)}{datatype.packed}", *flat)
    except (struct.error, OverflowError):
        raise InvalidInput(f"{name}: {_out_of_range(flat, datatype)} does not fit {datatype.name}") from None
    return np.ndarray(shape, datatype.dtype, data)


def _out_of_range(flat: list[Any], datatype: Datatype) -> str:
    limits: Any = np.finfo(datatype.dtype) if datatype.dtype.kind == "f" else np.iinfo(datatype.dtype)
    low, high = limits.min.item() if datatype.dtype.kind == "f" else limits.min, limits.max
    high = high.item() if datatype.dtype.kind == "f" else high
    index = next(i for i, value in enumerate(flat) if value < low or value > high)
    return f"element {index} ({_brief(flat[index])})"


def _texts(flat: Array, name: str) -> list[str]:
    texts: list[str] = flat.tolist()
    if not set(map(type, texts)) <= {str}:
        raise InvalidInput(f"{name}: an element is not UTF-8 text; ask for it as binary data")
    return texts


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
