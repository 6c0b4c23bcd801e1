"""How right a model's answers were, once it is known: figures per version, per group of rows and per day."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lastmile.audit import rfc3339
from lastmile.feedback import fits, read
from lastmile.labelled import Join, joined
from lastmile.scores import SHADOW, Table
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import Signature

SHOWN_IDS = 10

type Document = dict[str, Any]


def quality(store: Store, spec: ModelSpec, *, since: float, until: float, predictions: int | None = None) -> Document:
    """What the labels say of the predictions made from `since` to before `until` (seconds since 1970).

    `predictions` is how many rows were answered in that time, where that is known: it makes a share of the labels.
    Nothing in it is NaN: a figure that cannot be is null, with its reason beside it.
    """
    join = joined(store, spec.name, read(store, spec.name, since, until))
    return document(join, spec, since=since, until=until, predictions=predictions)


def document(
    join: Join,
    spec: ModelSpec,
    *,
    since: float,
    until: float,
    predictions: int | None = None,
    signatures: Mapping[int, Signature] | None = None,
) -> Document:
    """The same of a join that has been made already. A version whose signature is given is measured by the names of
    its own classes and columns, which the spec may have changed since."""
    known = {
        version: replace(spec, inputs=its.inputs, outputs=its.outputs) for version, its in (signatures or {}).items()
    }
    fitting = [row for row in join.rows if fits(row.feedback.label, known.get(row.version, spec))]
    versions = sorted({row.version for row in fitting})
    tables = [
        Table(known.get(version, spec), [row for row in fitting if row.version == version]) for version in versions
    ]
    return {
        "model": spec.name,
        "task": spec.task,
        "since": _moment(since),
        "until": _moment(until),
        "made_at": _moment(time.time()),
        "labels": _labels(join, predictions),
        "versions": [table.version_document() for table in tables],
        "segments": [group for table in tables for group in table.segments()],
        "days": [group for table in tables for group in table.days()],
        "notes": list(_notes(join, unfit=len(join.rows) - len(fitting))),
    }


def _labels(join: Join, predictions: int | None) -> Document:
    served = {row.feedback.subject for row in join.rows}
    every = [row.feedback for row in join.rows if row.role != SHADOW]
    delays = [max(0.0, one.received - one.predicted_at) / 3600 for one in (*every, *join.unknown, *join.not_kept)]
    return {
        "given": len(served) + len(join.unknown) + len(join.not_kept),
        "joined": len(served),
        "overruled": join.overruled,
        "unknown": len(join.unknown),
        "unknown_ids": sorted({one.prediction_id for one in join.unknown})[:SHOWN_IDS],
        "not_kept": len(join.not_kept),
        "predictions": predictions,
        "coverage": min(1.0, len(served) / predictions) if predictions else None,
        "delay_hours": {
            "median": round(float(np.median(delays)), 3) if delays else None,
            "p90": round(float(np.quantile(delays, 0.9)), 3) if delays else None,
        },
    }


def _notes(join: Join, *, unfit: int) -> Iterator[str]:
    if not (join.rows or join.unknown or join.not_kept):
        yield "No label has arrived for a prediction of this time."
    if join.unknown:
        yield f"{len(join.unknown)} labels are of predictions that no capture holds: misspelt ids, or captures to come."
    if join.not_kept:
        yield f"{len(join.not_kept)} labels are of rows that were not captured: sampled out, too many, or failed."
    if unfit:
        yield f"{unfit} labels are of another kind than the model's answers, and are left out."
    if join.damaged:
        yield f"{len(join.damaged)} capture objects could be read in part only, the first {join.damaged[0]}."


def _moment(at: float) -> str:
    return rfc3339(int(at * 1000))
