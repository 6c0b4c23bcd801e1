"""Equal values get equal numbers, and equal rows equal hashes."""

import numpy as np

from functions.retraining.table import Table
from lastmile.tensors import Array

SPREAD = np.uint64(0x9E3779B97F4A7C15)  # the odd number nearest to 2^64 / the golden ratio


def factorised(column: Array) -> tuple[Array, int]:
    """A number from 0 on for each distinct value (missing being one), and how many there are."""
    if column.dtype.kind == "O":
        texts = column.tolist()
        codes = {text: code for code, text in enumerate(dict.fromkeys(texts))}
        return np.fromiter(map(codes.__getitem__, texts), np.int64, len(texts)), len(codes)
    values, numbers = np.unique(column, return_inverse=True)
    return numbers, len(values)


def row_hashes(table: Table) -> Array:
    """64 bits per row."""
    hashes = np.zeros(table.rows, np.uint64)
    for column in table.columns.values():
        numbers = _bits(column)
        hashes = _mixed((hashes * SPREAD) ^ numbers)
    return hashes


def _bits(column: Array) -> Array:
    if column.dtype.kind == "O":
        return factorised(column)[0].astype(np.uint64)
    return column.astype(np.float64).view(np.uint64) if column.dtype.kind == "f" else column.view(np.uint64)


def _mixed(bits: Array) -> Array:
    """Every bit of the result depends on every bit: https://prng.di.unimi.it/splitmix64.c"""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = bits ^ (bits >> np.uint64(31))
    return mixed
