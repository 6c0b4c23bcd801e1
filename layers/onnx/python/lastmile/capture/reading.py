"""Reading the line of a prediction back into arrays. Lines have come a long way: everything is checked."""

import math
import re
from binascii import Error as NotBase64
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson

from lastmile.capture.writing import MARKER, ROLES
from lastmile.errors import InvalidCapture
from lastmile.manifest import MODEL_NAME
from lastmile.tensors import DATATYPES, Array

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
TIERS = ("light", "heavy", "cascade")
LATEST = 4e9  # seconds: a time beyond the year 2096 is none of ours
NUMERIC = {row.dtype.str: row.dtype for row in DATATYPES.values() if row.name != "BYTES"}


class Record(NamedTuple):
    """`at` is in seconds since 1970, `ms` the time in the model. Arrays have the rows on their first axis, of which the
    leading `rows_captured` are kept, or none where the prediction was not sampled. Where the version has a heavy side,
    `tier` says which side answered, `heavy_rows` how many rows the heavy one did, in `heavy_ms`, and `degraded` why the
    light one had to stand in for it."""

    id: str
    at: float
    model: str
    version: int
    role: str
    ms: float
    rows: int
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    rows_captured: int
    sampled: bool
    error: str | None
    decisions: tuple[dict[str, Any], ...]
    tier: str | None = None
    heavy_rows: int = 0
    heavy_ms: float = 0.0
    degraded: str | None = None


def read_line(line: str | bytes) -> Record:
    """Raises InvalidCapture naming what is wrong. Personal inputs that were hashed come back as texts."""
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidCapture(f"the line is no JSON: {error}") from None
    if type(document) is not dict or document.get("marker") != MARKER:
        raise InvalidCapture(f"the line is no object with the marker {MARKER}")
    sampled = document.get("sampled", True)
    _check(type(sampled) is bool, "'sampled' must be true or false")
    rows = _whole(document, "rows", 0)
    types = document.get("types", {})
    _check(type(types) is dict, "'types' must be an object")
    return Record(
        id=_text(document, "id", ULID),
        at=_number(document, "at", LATEST),
        model=_text(document, "model", MODEL_NAME),
        version=_whole(document, "version", 1),
        role=_role(document),
        ms=_number(document, "ms", math.inf),
        rows=rows,
        inputs=_arrays(document, "inputs", types) if sampled else {},
        outputs=_arrays(document, "outputs", types) if sampled else {},
        rows_captured=(_whole(document, "rows_captured", 0) if "rows_captured" in document else rows) * sampled,
        sampled=sampled,
        error=_text(document, "error") if "error" in document else None,
        decisions=_decisions(document.get("decisions", [])),
        **_tier(document),
    )


def _tier(document: Mapping[str, Any]) -> dict[str, Any]:
    if "tier" not in document:
        return {}
    _check(document["tier"] in TIERS, f"'tier' is none of {', '.join(TIERS)}")
    return {
        "tier": document["tier"],
        "heavy_rows": _whole(document, "heavy_rows", 0),
        "heavy_ms": _number(document, "heavy_ms", math.inf),
        "degraded": _text(document, "degraded") if "degraded" in document else None,
    }


def _check(is_right: bool, problem: str) -> None:
    if not is_right:
        raise InvalidCapture(problem)


def _text(document: Mapping[str, Any], key: str, form: re.Pattern[str] | None = None) -> str:
    value = document.get(key)
    _check(
        type(value) is str and (form is None or form.fullmatch(value) is not None), f"'{key}' is not what it must be"
    )
    return str(value)


def _role(document: Mapping[str, Any]) -> str:
    role = _text(document, "role")
    _check(role in ROLES, f"'role' is none of {', '.join(ROLES)}")
    return role


def _whole(document: Mapping[str, Any], key: str, least: int) -> int:
    value = document.get(key)
    if type(value) is not int or not least <= value < 1 << 53:
        raise InvalidCapture(f"'{key}' must be an integer from {least} on")
    return value


def _number(document: Mapping[str, Any], key: str, below: float) -> float:
    value = document.get(key)
    if type(value) not in (int, float) or not 0 <= value < below:  # type: ignore[operator]
        raise InvalidCapture(f"'{key}' must be a number from 0 on")
    return float(value)  # type: ignore[arg-type]


def _arrays(document: Mapping[str, Any], key: str, types: Mapping[str, Any]) -> dict[str, Array]:
    values = document.get(key)
    if type(values) is not dict:
        raise InvalidCapture(f"'{key}' must be an object")
    return {name: _array(f"{key}.{name:.60}", value, types.get(name)) for name, value in values.items()}


def _array(name: str, value: Any, told: object) -> Array:
    if type(value) is dict:
        return _unpacked(name, value)
    dtype = NUMERIC.get(told) if isinstance(told, str) else None
    try:
        found = np.array(value, dtype=object)
        kinds = set(map(type, found.reshape(-1).tolist()))
        if kinds == {str}:
            return found
        if dtype is None:
            dtype = _of_json(kinds)
        with np.errstate(all="raise"):
            return found.astype(dtype)
    except (ValueError, TypeError, OverflowError, FloatingPointError):
        raise InvalidCapture(f"'{name}' is no array") from None


def _of_json(kinds: set[type]) -> np.dtype[Any]:
    if not kinds <= {bool, int, float, type(None)}:
        raise TypeError
    return np.dtype(np.bool_ if kinds == {bool} else np.int64 if kinds == {int} else np.float64)


def _unpacked(name: str, packed: Mapping[str, Any]) -> Array:
    dtype, shape = NUMERIC.get(str(packed.get("dtype"))), packed.get("shape")
    if dtype is None or type(shape) is not list or not all(type(length) is int and length >= 0 for length in shape):
        raise InvalidCapture(f"'{name}' is no packed array: dtype or shape is not what it must be")
    try:
        data = a2b_base64(packed["b64"], strict_mode=True)
    except (KeyError, TypeError, ValueError, NotBase64):
        raise InvalidCapture(f"'{name}' is no packed array: it holds no base64") from None
    _check(len(data) == math.prod(shape) * dtype.itemsize, f"'{name}' is packed, and its data do not fill its shape")
    try:
        return np.ndarray(shape, dtype, data)
    except ValueError as error:  # too many axes, or empty ones of a length that there cannot be
        raise InvalidCapture(f"'{name}' is packed in a shape that no array has: {error}") from None


def _decisions(value: object) -> tuple[dict[str, Any], ...]:
    if type(value) is not list:
        raise InvalidCapture("'decisions' must be a list")
    for one in value:
        if type(one) is not dict or type(one.get("row")) is not int or type(one.get("decision")) is not str:
            raise InvalidCapture("'decisions' must be objects with row and decision")
    return tuple(value)
