"""Rows of one slice: what the model gets of them, and what is wrong with the others."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from functions.batch.columns import Problems, kept, names_of, tensor
from lastmile.tensors import Array, TensorSpec


class Rows(NamedTuple):
    """`feeds` are those of the good rows, whose `places` among all are None when all are good.

    `problems` say by place what is wrong, `lines` where the bad ones stand in the file, if it has lines; `kept` are
    columns of the input that the result repeats.
    """

    total: int
    feeds: dict[str, Array]
    places: Array | None
    problems: Problems
    lines: Mapping[int, int]
    kept: Mapping[str, pa.Array]


def needed(inputs: Sequence[TensorSpec]) -> list[str]:
    return list(dict.fromkeys(name for spec in inputs for name in names_of(spec)))


def taken(columns: Mapping[str, pa.Array], inputs: Sequence[TensorSpec], keep: Mapping[str, pa.DataType]) -> Rows:
    """From whole columns, each with a value for every row."""
    count = len(next(iter(columns.values())))
    problems: Problems = {}
    repeated, feeds = {}, {}
    for name, kind in keep.items():
        repeated[name], wrong = kept(columns[name], name, kind)
        problems = wrong | problems
    for spec in reversed(inputs):
        found = tensor(columns, spec)
        feeds[spec.name] = found.values
        problems |= found.problems
    feeds = {spec.name: feeds[spec.name] for spec in inputs}
    if not problems:
        return Rows(count, feeds, None, {}, {}, repeated)
    good = np.ones(count, bool)
    good[list(problems)] = False
    places = np.flatnonzero(good)
    return Rows(count, {name: array[places] for name, array in feeds.items()}, places, problems, {}, repeated)


def with_torn(rows: Rows, torn: Mapping[int, str]) -> Rows:
    """With records that could not be split into columns, at these places among all."""
    count = rows.total + len(torn)
    whole = np.ones(count, bool)
    whole[list(torn)] = False
    moved = np.flatnonzero(whole)
    places = moved if rows.places is None else moved[rows.places]
    problems = {int(moved[place]): text for place, text in rows.problems.items()} | dict(torn)
    spread = np.zeros(count, np.int64)
    spread[moved] = np.arange(rows.total)
    indices = pa.array(spread, mask=~whole)
    repeated = {name: column.take(indices) for name, column in rows.kept.items()}
    return Rows(count, rows.feeds, places, problems, rows.lines, repeated)
