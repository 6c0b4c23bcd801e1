"""Rows on which a wrong conversion shows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from functions.retraining.recipes.tensors import features
from lastmile.tensors import DATATYPES, Array, TensorSpec

BACKGROUND = 64  # rows of the training data that are changed in one place each
ODD_TEXTS = ("", " ", "\u0000", "never seen before", "ß", "İ", "e\u0301", "日本語", "😀", "a\nb", "A" * 300)


def background(feeds: Mapping[str, Array], seed: int) -> dict[str, Array]:
    """A few rows to start from."""
    rows = len(next(iter(feeds.values())))
    chosen = np.sort(np.random.default_rng(seed).choice(rows, min(rows, BACKGROUND), replace=False))
    return {name: array[chosen] for name, array in feeds.items()}


def changed(
    rows: Mapping[str, Array], inputs: Sequence[TensorSpec], values: Mapping[str, Sequence[Any]], seed: int
) -> dict[str, Array]:
    """The rows, and for every value of every feature one of them that has it, besides the values that each may have."""
    known = {name: (tensor, place) for name, tensor, place in features(inputs)}
    changes = [
        (name, value) for name, (tensor, _) in known.items() for value in (*values.get(name, ()), *_extremes(tensor))
    ]
    count = len(next(iter(rows.values())))
    taken = np.concatenate([np.arange(count), np.random.default_rng(seed).integers(0, count, len(changes))])
    found = {name: array[taken] for name, array in rows.items()}
    for row, (name, value) in enumerate(changes, count):
        tensor, place = known[name]
        array = found[tensor.name]
        array[(row, place) if array.ndim > 1 else row] = _as(tensor, value)
    return found


def _extremes(tensor: TensorSpec) -> tuple[Any, ...]:
    if tensor.datatype == "BYTES":
        return ODD_TEXTS
    dtype = DATATYPES[tensor.datatype].dtype
    if dtype.kind == "b":
        return (False, True)
    limits: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    missing = (np.nan,) if tensor.nullable else ()
    return (0, limits.min, limits.max, *missing)


def _as(tensor: TensorSpec, value: Any) -> Any:
    dtype = DATATYPES[tensor.datatype].dtype
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return min(max(round(float(value)), int(limits.min)), int(limits.max))
    return value
