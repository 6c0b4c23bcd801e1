"""The spec in a document that nobody has looked at: what is wrong is said with its key."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import date, time
from pathlib import Path
from typing import Any

import orjson

from lastmile.declared import nearest
from lastmile.errors import InvalidSpec
from lastmile.policies import SECTIONS, Feature, Gate
from lastmile.spec.problems import problems
from lastmile.spec.whole import ModelSpec
from lastmile.tensors import TensorSpec


def read(path: Path) -> ModelSpec:
    """The spec in a file of TOML."""
    import tomllib  # the registry knows specs as JSON

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidSpec(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # of TOML, of UTF-8, or of a number of thousands of digits
        raise InvalidSpec(f"{path} is no TOML: {error}") from error
    except RecursionError:
        raise InvalidSpec(f"{path} is nested too deep") from None
    try:
        return validate(document)
    except InvalidSpec as error:
        raise InvalidSpec(f"{path}: {error}") from error


def validate(document: Mapping[str, Any]) -> ModelSpec:
    """The spec in an untrusted document; raises InvalidSpec naming every key that is wrong."""
    from pydantic import TypeAdapter, ValidationError  # 60 ms that only a push spends

    unusable = [*_unusable(document)]
    if unusable:
        raise InvalidSpec("; ".join(unusable))
    try:
        # As JSON, because there a list may stand for a tuple while nothing else is coerced.
        spec = TypeAdapter(ModelSpec).validate_json(orjson.dumps(document), strict=True)
    except ValidationError as error:
        raise InvalidSpec("; ".join(f"{_key(wrong['loc'])}: {_text(wrong)}" for wrong in error.errors())) from None
    except TypeError as error:
        raise InvalidSpec(f"a value cannot be used: {error}") from None
    wrong = [*problems(spec)]
    if wrong:
        raise InvalidSpec("; ".join(wrong))
    return spec


def _unusable(document: Mapping[str, Any]) -> Iterator[str]:
    """Values that TOML has and JSON has not: they would be read as others, or as none."""
    values: list[tuple[tuple[int | str, ...], Any]] = [((), document)]
    for location, value in values:  # which grow longer on the way
        if isinstance(value, Mapping):
            values += [((*location, key), inner) for key, inner in value.items()]
        elif isinstance(value, (list, tuple)):
            values += [((*location, place), inner) for place, inner in enumerate(value)]
        elif isinstance(value, float) and not math.isfinite(value):
            yield f"{_key(location)}: {value} is no finite number"
        elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            yield f"{_key(location)}: the number is beyond 64 bits"
        elif isinstance(value, (date, time)):  # a datetime is a date
            yield f"{_key(location)}: {value} is a date or time; put it in quotes"


def _key(location: tuple[int | str, ...]) -> str:
    """`inputs[0].shape`, as people write it."""
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return key.lstrip(".") or "the document"


def _text(problem: Mapping[str, Any]) -> str:
    match problem["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"unknown key{nearest(str(problem['loc'][-1]), _keys_at(problem['loc']))}"
        case "missing":
            return "missing"
        case _:
            return str(problem["msg"])


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    """Which keys there are where this one is."""
    tables: dict[Any, type[Any]] = {"inputs": TensorSpec, "outputs": TensorSpec, "features": Feature, "gates": Gate}
    table = ModelSpec if len(location) == 1 else (tables | dict(SECTIONS)).get(location[0])
    return [] if table is None else [key.name for key in fields(table)]
