"""Columns of a file as the arrays that a model takes; what a value is not is said row by row."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lastmile.tensors import DATATYPES, Array, TensorSpec

ARROW: Mapping[str, pa.DataType] = {
    "BOOL": pa.bool_(),
    "UINT8": pa.uint8(),
    "UINT16": pa.uint16(),
    "UINT32": pa.uint32(),
    "UINT64": pa.uint64(),
    "INT8": pa.int8(),
    "INT16": pa.int16(),
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "FP16": pa.float32(),  # no file holds halves of their own
    "FP32": pa.float32(),
    "FP64": pa.float64(),
    "BYTES": pa.string(),
}
BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
SHOWN = 40
TEXTS = (pa.string(), pa.large_string(), pa.string_view())
NESTED = {pa.lib.Type_STRUCT: "a struct", pa.lib.Type_MAP: "a map"}  # the others are lists

type Problems = dict[int, str]


class Column(NamedTuple):
    """A value for each row, something harmless where there is a problem."""

    values: Array
    problems: Problems


class NoValue(Exception):
    """The value is not what the input takes; the text says what is wanted."""


def names_of(spec: TensorSpec) -> tuple[str, ...]:
    return spec.columns or (spec.name,)


def is_list(spec: TensorSpec) -> bool:
    """Whether one column holds a list for each row."""
    return not spec.columns and len(spec.shape) > 1 and spec.shape[1:] != (1,)


def tensor(columns: Mapping[str, pa.Array], spec: TensorSpec) -> Column:
    """The input's array, rows on the first axis."""
    if is_list(spec):
        return _lists(columns[spec.name], spec)
    if (plain := _plain([columns[name] for name in spec.columns], spec)) is not None:
        return Column(plain, {})
    converted = [column(columns[name], name, spec) for name in names_of(spec)]
    problems: Problems = {}
    for one in reversed(converted):
        problems |= one.problems
    if len(spec.shape) == 1:
        return Column(converted[0].values, problems)
    return Column(np.ascontiguousarray(np.stack([one.values for one in converted]).T), problems)


def _plain(columns: list[pa.Array], spec: TensorSpec) -> Array | None:
    """All at once, where the columns hold finite floats of the input's own datatype."""
    if len(columns) < 2 or spec.datatype not in ("FP32", "FP64"):
        return None
    if any(one.type != ARROW[spec.datatype] or one.null_count for one in columns):
        return None
    values: Array = pa.RecordBatch.from_arrays(columns, list(map(str, range(len(columns))))).to_tensor().to_numpy()
    return values if _is_finite(values) else None


def _is_finite(values: Array) -> bool:
    """False also where only the sum is too large."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()))


def column(found: pa.Array, name: str, spec: TensorSpec) -> Column:
    if pa.types.is_dictionary(found.type):
        found = found.dictionary_decode()
    if spec.datatype == "BYTES":
        return _texts(found, name)
    if pa.types.is_null(found.type):
        found = found.cast(ARROW[spec.datatype])
    try:
        # Texts and fractions must fit exactly; a double becomes the nearest float, as a decimal would.
        safe = not (pa.types.is_floating(found.type) and spec.datatype.startswith("FP"))
        cast = found if found.type == ARROW[spec.datatype] else pc.cast(found, ARROW[spec.datatype], safe=safe)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _one_by_one(found, name, spec)
    return _floats(cast, name, spec) if spec.datatype.startswith("FP") else _wholes(cast, name, spec)


def _floats(cast: pa.Array, name: str, spec: TensorSpec) -> Column:
    values = cast.to_numpy(zero_copy_only=False)
    if spec.datatype == "FP16":
        with np.errstate(over="ignore"):
            values = values.astype(np.float16)
    if _is_finite(values):
        return Column(values, {})
    infinite = np.flatnonzero(np.isinf(values)).tolist()
    problems = dict.fromkeys(infinite, f"'{name}' is infinite, or too large for {spec.datatype}")
    if not spec.nullable:
        problems |= dict.fromkeys(np.flatnonzero(np.isnan(values)).tolist(), f"'{name}' is missing")
    return Column(values, problems)


def _wholes(cast: pa.Array, name: str, spec: TensorSpec) -> Column:
    dtype = DATATYPES[spec.datatype].dtype
    if not cast.null_count:
        return Column(cast.to_numpy(zero_copy_only=False).astype(dtype, copy=False), {})
    missing = np.flatnonzero(cast.is_null().to_numpy(zero_copy_only=False)).tolist()
    values = cast.fill_null(False if spec.datatype == "BOOL" else 0).to_numpy(zero_copy_only=False)
    return Column(values.astype(dtype, copy=False), dict.fromkeys(missing, f"'{name}' is missing"))


def _texts(found: pa.Array, name: str) -> Column:
    """A missing text is the empty one."""
    texts, problems = texts_of(found, name)
    return Column(texts.fill_null("").to_numpy(zero_copy_only=False), problems)


def texts_of(found: pa.Array, name: str) -> tuple[pa.Array, Problems]:
    """Null where there is none, or none in UTF-8."""
    try:
        texts = pc.cast(found, pa.string())
        texts.validate(full=True)  # a Parquet file may call anything a text
    except pa.ArrowInvalid:
        return _decoded(found.cast(pa.binary()), name)
    except pa.ArrowNotImplementedError:
        kind = NESTED.get(found.type.id, "a list")
        given = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False)).tolist()
        return pa.nulls(len(found), pa.string()), dict.fromkeys(given, f"'{name}' is {kind}, a text is wanted")
    return texts, {}


def kept(found: pa.Array, name: str, kind: pa.DataType) -> tuple[pa.Array, Problems]:
    """A column as the result repeats it; what should be text and is none is empty."""
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return found.cast(kind), {}
    texts, problems = texts_of(found, name)
    return texts.cast(kind), problems


def _decoded(found: pa.Array, name: str) -> tuple[pa.Array, Problems]:
    texts: list[str | None] = []
    problems: Problems = {}
    for row, value in enumerate(found.to_pylist()):
        try:
            texts.append(value if value is None else value.decode())
        except UnicodeDecodeError:
            texts.append(None)
            problems[row] = f"'{name}' is not UTF-8 text"
    return pa.array(texts, pa.string()), problems


def _one_by_one(found: pa.Array, name: str, spec: TensorSpec) -> Column:
    dtype = DATATYPES[spec.datatype].dtype
    values = np.zeros(len(found), dtype)
    problems: Problems = {}
    convert, wanted = converter(spec)
    each = found.cast(pa.binary()) if found.type in TEXTS else found  # a Parquet file may call anything a text
    for row, raw in enumerate(each.to_pylist()):
        value = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
        if value is None or value == "":
            if spec.nullable and dtype.kind == "f":
                values[row] = np.nan
            else:
                problems[row] = f"'{name}' is missing"
            continue
        try:
            with np.errstate(over="raise"):
                values[row] = convert(value)
        except (ValueError, KeyError, TypeError, OverflowError, FloatingPointError):
            problems[row] = f"'{name}' is {str(value)[:SHOWN]!r}, {wanted} is wanted"
    return Column(values, problems)


def converter(spec: TensorSpec) -> tuple[Callable[[Any], Any], str]:
    if spec.datatype == "BOOL":
        return lambda value: BOOLEANS[str(value).strip().lower()], "true or false"
    if spec.datatype.startswith("FP"):
        return (_number_or_none if spec.nullable else _number), "a number"
    return _whole, f"a whole number ({spec.datatype})"


def _number_or_none(value: Any) -> float:
    number = float(value)
    if math.isinf(number) or "_" in str(value):
        raise ValueError(value)
    return number


def _number(value: Any) -> float:
    number = _number_or_none(value)
    if math.isnan(number):
        raise ValueError(value)
    return number


def _whole(value: Any) -> int:
    if isinstance(value, str):
        if "_" in value:
            raise ValueError(value)
        return int(value)
    if value != int(value):
        raise ValueError(value)
    return int(value)


def _lists(found: pa.Array, spec: TensorSpec) -> Column:
    """Lists of a Parquet column, or JSON lists in texts."""
    dtype, shape = DATATYPES[spec.datatype].dtype, tuple(spec.shape[1:])
    if (uniform := _uniform(found, spec)) is not None:
        return Column(uniform, {})
    each: list[Array | None] = []
    texts, problems = (found, {}) if pa.types.is_nested(found.type) else texts_of(found, spec.name)
    for row, value in enumerate(texts.to_pylist()):
        if value is None:
            problems.setdefault(row, f"'{spec.name}' is missing")
            each.append(None)
            continue
        try:
            each.append(_list(value, dtype, shape))
        except (ValueError, TypeError, OverflowError, NoValue) as error:
            wanted = str(error) if isinstance(error, NoValue) else f"a list of {spec.datatype} is wanted"
            problems[row] = f"'{spec.name}' is {str(value)[:SHOWN]!r}, {wanted}"
            each.append(None)
    given = next((one.shape for one in each if one is not None), tuple(max(length, 1) for length in shape))
    values = np.full((len(each), *given), "" if dtype.kind == "O" else 0, dtype)
    for row, one in enumerate(each):
        if one is not None and one.shape == given:
            values[row] = one
        elif one is not None:
            problems[row] = f"'{spec.name}' has shape {list(one.shape)}, that of the rows before it is {list(given)}"
    return Column(values, problems)


def _uniform(found: pa.Array, spec: TensorSpec) -> Array | None:
    """All at once, where each row has as many finite floats as the others."""
    listed = pa.types.is_list(found.type) or pa.types.is_fixed_size_list(found.type)
    if not (listed and len(spec.shape) == 2 and spec.datatype.startswith("FP") and len(found)) or found.null_count:
        return None
    values = found.flatten()
    length = len(values) // len(found)
    equal = pc.all(pc.equal(pc.list_value_length(found), length)).as_py()
    if not equal or values.null_count or spec.shape[1] not in (-1, length) or not pa.types.is_floating(values.type):
        return None
    with np.errstate(over="ignore"):
        array: Array = values.to_numpy().astype(DATATYPES[spec.datatype].dtype).reshape(len(found), length)
    return array if np.isfinite(array).all() else None


def _list(value: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    found = np.asarray(json.loads(value) if isinstance(value, str) else value)
    if len(found.shape) != len(shape) or any(
        want not in (-1, got) for got, want in zip(found.shape, shape, strict=True)
    ):
        raise NoValue(f"a list of shape {list(shape)} is wanted")
    if dtype.kind == "O":
        if not all(isinstance(one, str) for one in found.reshape(-1).tolist()):
            raise NoValue("a list of texts is wanted")
        return found.astype(object)
    if found.dtype.kind not in "iuf" and not (found.dtype.kind == dtype.kind == "b"):
        raise NoValue("a list of numbers is wanted")
    cast = found.astype(dtype)
    if dtype.kind in "iu" and not (cast == found).all():
        raise NoValue(f"whole numbers of {dtype} are wanted")
    if dtype.kind == "f" and not np.isfinite(cast).all():
        raise NoValue("finite numbers are wanted")
    return cast
