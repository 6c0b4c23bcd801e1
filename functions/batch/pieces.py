"""Rows in pieces of some length; a piece that is refused is halved, down to the row that is at fault."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from lastmile.errors import InvalidInput, ModelFailed
from lastmile.tensors import DATATYPES, Array, TensorSpec

type Feeds = dict[str, Array]
type Outputs = dict[str, Array]


class Answered(NamedTuple):
    """`outputs` are those of the rows without a problem; problems are by place among all."""

    outputs: Outputs
    problems: dict[int, str]


def halved[T](run: Callable[[int, int], T], count: int, size: int, problems: dict[int, str]) -> list[T]:
    """What `run(start, end)` gives for all pieces; what it refuses of a single row becomes a problem."""
    return [one for start in range(0, count, size) for one in _halves(run, start, min(start + size, count), problems)]


def _halves[T](run: Callable[[int, int], T], start: int, end: int, problems: dict[int, str]) -> list[T]:
    try:
        return [run(start, end)]
    except (InvalidInput, ModelFailed) as error:
        if end - start == 1:
            problems[start] = str(error)
            return []
    middle = (start + end) // 2
    return [*_halves(run, start, middle, problems), *_halves(run, middle, end, problems)]


def in_pieces(run: Callable[[Feeds], Outputs], feeds: Feeds, size: int, specs: Sequence[TensorSpec]) -> Answered:
    """`specs` are those of the outputs."""
    problems: dict[int, str] = {}
    found = halved(lambda start, end: run(part(feeds, start, end)), length(feeds), size, problems)
    return Answered({spec.name: joined([outputs[spec.name] for outputs in found], spec) for spec in specs}, problems)


def places(count: int, problems: dict[int, str]) -> Array:
    """Of those without a problem."""
    good = np.ones(count, bool)
    good[list(problems)] = False
    return np.flatnonzero(good)


def length(feeds: Feeds) -> int:
    return len(next(iter(feeds.values())))


def part(feeds: Feeds, start: int, end: int) -> Feeds:
    return {name: array[start:end] for name, array in feeds.items()}


def padded(feeds: Feeds, wanted: int) -> Feeds:
    """The last row again and again, where a graph takes batches of one length only."""
    missing = wanted - length(feeds)
    if not missing:
        return feeds
    return {name: np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) for name, array in feeds.items()}


def joined(arrays: list[Array], spec: TensorSpec) -> Array:
    if not arrays:
        return np.empty((0, *(max(length, 0) for length in spec.shape[1:])), DATATYPES[spec.datatype].dtype)
    try:
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    except ValueError as error:  # lengths that the signature leaves open
        raise ModelFailed(f"output '{spec.name}' has another shape for some rows than for others: {error}") from error
