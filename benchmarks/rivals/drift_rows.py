"""The rows that every contender compares: 20 columns of numbers and 5 of categories, from a folder of arrays.

`python drift_rows.py <folder> <rows>` writes them; the contenders import this and read them.
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

NUMBERS = 20
CATEGORIES = (2, 10, 50, 200, 10)
SIDES = ("reference", "current")


def write(folder: Path, rows: int) -> None:
    random = np.random.default_rng(rows)
    folder.mkdir(parents=True, exist_ok=True)
    for side in SIDES:
        np.save(folder / f"{side}-numbers.npy", random.normal(size=(rows, NUMBERS)).astype(np.float32))
        codes = np.stack([random.integers(0, categories, rows) for categories in CATEGORIES], axis=1)
        np.save(folder / f"{side}-codes.npy", codes.astype(np.int16))


def read(folder: Path, side: str) -> tuple[np.ndarray, np.ndarray]:
    return np.load(folder / f"{side}-numbers.npy"), np.load(folder / f"{side}-codes.npy")


def measured(call) -> None:
    """Prints what one call took and what the process used at its most."""
    start = time.perf_counter()
    call()
    seconds = time.perf_counter() - start
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"seconds": seconds, "megabytes": megabytes}))


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
