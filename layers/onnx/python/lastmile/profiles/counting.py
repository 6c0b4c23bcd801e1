"""What records of predictions say altogether: the profile that a delivery leaves."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from lastmile.capture import Record
from lastmile.profile import Layout, Profile
from lastmile.tensors import Array


def count(layout: Layout, records: Iterable[Record]) -> Profile:
    """Requests, errors and latency of all records; values of those that were sampled. Each record counts once."""
    once = {key(record): record for record in records}
    alike: dict[tuple[Any, ...], list[Record]] = {}
    for record in once.values():
        if record.rows_captured and (record.inputs or record.outputs):
            alike.setdefault(_form(record), []).append(record)
    profile = merged(_values(layout, group) for group in alike.values()) or Profile.empty(layout)
    for record in once.values():
        profile = profile.observed(ms=record.ms, error=record.error is not None, at=record.at)
    return profile


def merged(profiles: Iterable[Profile]) -> Profile | None:
    whole: Profile | None = None
    for profile in profiles:
        whole = profile if whole is None else whole.merge(profile)
    return whole


def _values(layout: Layout, records: list[Record]) -> Profile:
    """Of records that have the same tensors, whose rows can stand below each other."""
    inputs = _stacked([record.inputs for record in records])
    return Profile.of(layout, inputs, _stacked([record.outputs for record in records]))


def _stacked(arrays: list[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([np.atleast_1d(one[name]) for one in arrays]) for name in arrays[0]}


def _form(record: Record) -> tuple[Any, ...]:
    return tuple(
        (kind, name, array.dtype.str, array.shape[1:])
        for kind, arrays in (("in", record.inputs), ("out", record.outputs))
        for name, array in arrays.items()
    )


def key(record: Record) -> tuple[str, str, int]:
    return record.id, record.role, record.version
