"""What the data makers share: the command line, and a CSV that the same seed always gives byte for byte."""

import argparse
import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

type Columns = Mapping[str, Sequence[Any]]
type Make = Callable[[int, int], Columns]  # rows, seed

TRAINING, REQUESTS = 0, 1  # streams of one seed: what is asked was never trained on


def generator(seed: int, stream: int = TRAINING) -> np.random.Generator:
    return np.random.default_rng([seed, stream])


def command(make: Make, *, rows: int, what: str) -> None:
    """`--out file.csv [--rows N] [--seed S]`."""
    parser = argparse.ArgumentParser(description=f"Make {what}, the same for the same seed.")
    parser.add_argument("--out", type=Path, required=True, help="CSV file to write")
    parser.add_argument("--rows", type=int, default=rows, help=f"how many rows (default: {rows})")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other rows of the same kind (0)")
    given = parser.parse_args()
    if given.rows < 1 or given.seed < 0:
        parser.error("--rows must be 1 or more, and --seed 0 or more")
    text = csv_of(make(given.rows, given.seed))
    try:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text, encoding="utf-8")
    except OSError as error:
        parser.error(f"{given.out} cannot be written: {error.strerror}")
    print(f"{given.out}: {text.count(chr(10)) - 1:,} rows")


def csv_of(columns: Columns) -> str:
    """A header and a line for each row; None is an empty cell."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return out.getvalue()


def rows_of(columns: Columns, names: Sequence[str]) -> list[dict[str, Any]]:
    """The rows as objects, with these columns only: what a request says."""
    return [dict(zip(names, row, strict=True)) for row in zip(*(columns[name] for name in names), strict=True)]
