"""Which rows are held out of training."""

import math

import numpy as np

from functions.retraining.data.factorising import row_hashes
from functions.retraining.table import Table
from lastmile.errors import DataRefused, InvalidSpec
from lastmile.policies import Training
from lastmile.spec import ModelSpec
from lastmile.tensors import Array

LABELLED = ("classification", "anomaly")


def default(table: Table, spec: ModelSpec) -> tuple[Table, Table]:
    """The newest rows are held out where the spec names a time, else seeded ones: of every class the same share."""
    training = training_of(spec)
    if training.time is not None:
        held_out = newest(table[training.time], training.holdout)
    else:
        labels = table[training.target] if training.target is not None and spec.task in LABELLED else None
        held_out = apart(table, training.holdout, training.seed, labels)
    if not held_out.any() or held_out.all():
        many = f"{table.rows} rows cannot be divided into training rows and {training.holdout:.0%} held-out rows"
        if training.time is not None and table.rows > 1:
            raise DataRefused(f"{many}: {training.time} is the same in all of them", "Look for the time in the rows.")
        raise DataRefused(many, "Upload more rows.")
    return table.take(~held_out), table.take(held_out)


def training_of(spec: ModelSpec) -> Training:
    if spec.training is None:
        raise InvalidSpec("training: missing")
    return spec.training


def newest(times: Array, share: float) -> Array:
    """A mask of the newest rows; those of one moment stay together."""
    ordered = np.sort(times)
    first = ordered[min(math.ceil(len(ordered) * (1 - share)), len(ordered) - 1)] if len(ordered) else 0.0
    return np.asarray(times >= first)


def apart(table: Table, share: float, seed: int, labels: Array | None = None) -> Array:
    """A mask of a seeded share of the rows, and of the rows of every label; never the only row of a label.

    What is in a row decides on which side it is, so that copies are on the same, and so is the row in the next upload:
    else a champion would be measured on what it has learnt.
    """
    codes = np.zeros(table.rows, np.int64) if labels is None else np.unique(labels, return_inverse=True)[1]
    counts = np.bincount(codes)
    ends = counts.cumsum()
    wanted = np.floor(ends * share) - np.floor((ends - counts) * share)
    order = np.lexsort((row_hashes(table, seed=seed), codes))
    mask = np.zeros(table.rows, bool)
    mask[order] = np.arange(table.rows) - (ends - counts)[codes[order]] < wanted[codes[order]]
    return mask if labels is None else mask & (counts[codes] > 1)


def drawn(rows: int, share: float, seed: int, labels: Array | None = None) -> Array:
    """A mask of a random share of the rows, and of the rows of every label; never the only row of a label."""
    order = np.random.default_rng(seed).permutation(rows)
    if labels is not None:
        _, codes = np.unique(labels, return_inverse=True)
        order = order[np.argsort(codes[order], kind="stable")]
    # Each row moves the sum by the share; where it passes a whole number, the row is held out.
    steps = np.floor((np.arange(rows) + 1) * share) > np.floor(np.arange(rows) * share)
    mask = np.zeros(rows, bool)
    mask[order[steps]] = True
    return mask if labels is None else mask & (np.bincount(codes)[codes] > 1)


def folds(rows: int, count: int, seed: int, labels: Array | None = None) -> Array:
    """The fold of each row, every label spread evenly over all of them."""
    order = np.random.default_rng(seed).permutation(rows)
    if labels is not None:
        _, codes = np.unique(labels, return_inverse=True)
        order = order[np.argsort(codes[order], kind="stable")]
    found = np.empty(rows, np.int64)
    found[order] = np.arange(rows) % count
    return found
