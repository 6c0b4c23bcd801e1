"""Tensors as a spec declares them: what may be wrong with them, and whether a graph has them."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from lastmile.errors import InvalidArtefact
from lastmile.tensors import DATATYPES, MAX_DIMENSIONS, Datatype, TensorSpec

TENSOR_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")
COLUMN_NAME = re.compile(r"(?=\S)[^\x00-\x1f\x7f]{1,128}(?<=\S)")
LARGEST = 1 << 25  # elements of a tensor with one row: no request holds as many bytes


def tensor_problems(key: str, tensor: TensorSpec) -> Iterator[str]:
    if TENSOR_NAME.fullmatch(tensor.name) is None:
        yield f"{key}.name: {tensor.name!r} must be 1 to 128 letters, digits or _ . : / -"
    row = DATATYPES.get(tensor.datatype)
    if row is None:
        yield f"{key}.datatype: {tensor.datatype!r} is none of {', '.join(DATATYPES)}"
    elif tensor.nullable and row.dtype.kind != "f":
        yield f"{key}.nullable: {tensor.datatype} cannot say that a value is missing, only floating tensors can"
    elif tensor.pii == "mask" and tensor.datatype != "BYTES":
        yield f"{key}.pii: {tensor.datatype} holds no text to mask; drop it{_or_hash(row)}"
    elif tensor.pii == "hash" and tensor.datatype != "BYTES" and not _or_hash(row):
        yield f"{key}.pii: {tensor.datatype} cannot be hashed, only texts and integers can; drop it"
    if len(tensor.shape) > MAX_DIMENSIONS or any(length < 1 and length != -1 for length in tensor.shape):
        yield f"{key}.shape: {list(tensor.shape)} must be at most {MAX_DIMENSIONS} lengths, each positive or -1 for any"
    yield from repeated(f"{key}.columns", tensor.columns)
    for column in tensor.columns:
        if COLUMN_NAME.fullmatch(column) is None:
            yield f"{key}.columns: {column!r} must be 1 to 128 visible characters"
    if tensor.columns and (not tensor.shape or tensor.shape[-1] != len(tensor.columns)):
        yield f"{key}.columns: {len(tensor.columns)} names for the last axis of {list(tensor.shape)}"


def _or_hash(row: Datatype) -> str:
    return " or hash it" if row.dtype.kind in "iu" else ""


def repeated(key: str, names: Sequence[str]) -> Iterator[str]:
    for name in sorted(name for name, count in Counter(names).items() if count > 1):
        yield f"{key}: {name!r} is there more than once"


def nearest(key: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown key: the known one that looks like it, where one does."""
    from difflib import get_close_matches  # only who has misspelt something waits for it

    found = get_close_matches(key, list(known), 1)
    return f"; did you mean {found[0]!r}?" if found else ""


def agreed(kind: str, wanted: tuple[TensorSpec, ...], graph: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    found = {tensor.name: tensor for tensor in graph}
    if found.keys() != {tensor.name for tensor in wanted}:
        raise InvalidArtefact(
            f"the model's {kind}s are {', '.join(sorted(found))}; "
            f"the spec says {', '.join(sorted(tensor.name for tensor in wanted))}"
        )
    return tuple(_agreed_tensor(kind, tensor, found[tensor.name]) for tensor in wanted)


def _agreed_tensor(kind: str, wanted: TensorSpec, found: TensorSpec) -> TensorSpec:
    if found.datatype != wanted.datatype:
        raise InvalidArtefact(
            f"{kind} '{wanted.name}' is {found.datatype} in the model and {wanted.datatype} in the spec"
        )
    its_shape = found.shape or wanted.shape  # a graph may leave a shape open altogether: it then reads as ()
    pairs = list(zip(wanted.shape, its_shape, strict=False))
    if len(wanted.shape) != len(its_shape) or any(
        mine != its and its != -1 and (mine != -1 or kind == "input") for mine, its in pairs
    ):
        raise InvalidArtefact(
            f"{kind} '{wanted.name}' has shape {list(found.shape)} in the model and {list(wanted.shape)} in the spec "
            "(-1 is any length, and an input that the model fixes cannot have any)"
        )
    shape = tuple(its if mine == -1 else mine for mine, its in pairs)
    elements = math.prod(length for length in shape if length != -1)
    if elements > LARGEST:
        raise InvalidArtefact(
            f"{kind} '{wanted.name}' has shape {list(shape)}: {elements:,} elements in one row, "
            f"of at most {LARGEST:,} that can be asked or answered at once"
        )
    return replace(wanted, shape=shape)
