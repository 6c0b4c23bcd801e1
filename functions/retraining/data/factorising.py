"""Equal values get equal numbers, and equal rows equal hashes."""

import hashlib

import numpy as np

from functions.retraining.table import Table
from lastmile.tensors import Array

SPREAD = np.uint64(0x9E3779B97F4A7C15)  # the odd number nearest to 2^64 / the golden ratio

EXACT = 2.0**53  # floats below it hold every whole number


def factorised(column: Array) -> tuple[Array, int]:
    """A number from 0 on for each distinct value (missing being one), and how many there are."""
    if column.dtype.kind == "O":
        texts = column.tolist()
        codes = {text: code for code, text in enumerate(dict.fromkeys(texts))}
        return np.fromiter(map(codes.__getitem__, texts), np.int64, len(texts)), len(codes)
    values, numbers = np.unique(column, return_inverse=True)
    return numbers, len(values)


def row_hashes(table: Table, *, seed: int = 0) -> Array:
    """64 bits per row, which what is in it decides: a row has the same in whatever table of these columns it is."""
    hashes = np.full(table.rows, seed, np.uint64)
    for column in table.columns.values():
        hashes = _mixed((hashes * SPREAD) ^ _bits(column))
    return hashes


def _bits(column: Array) -> Array:
    """A whole number has the same as an integer and as a float, as far as floats are exact."""
    if column.dtype.kind == "O":
        return _of_texts(column.tolist())
    with np.errstate(invalid="ignore"):
        floats = np.where(np.isnan(column), np.nan, column.astype(np.float64) + 0.0)  # zero has no sign
    if column.dtype.kind == "f":
        return floats.view(np.uint64)
    return np.where(np.abs(floats) < EXACT, floats.view(np.uint64), column.view(np.uint64))


def _of_texts(texts: list[str]) -> Array:
    known = {text: _digest(text) for text in dict.fromkeys(texts)}
    return np.fromiter(map(known.__getitem__, texts), np.uint64, len(texts))


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _mixed(bits: Array) -> Array:
    """Every bit of the result depends on every bit: https://prng.di.unimi.it/splitmix64.c"""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = bits ^ (bits >> np.uint64(31))
    return mixed
