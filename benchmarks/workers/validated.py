"""Reads an upload in a process of its own: `validated.py ours|bare <file> <columns>`, `bare` being Python's csv module
alone, which splits the lines and does nothing else. Answers with the rows, the CPU seconds and the peak of memory."""

import csv
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from functions.retraining.data import validate
from lastmile.spec import validate as spec_of


def ours(path: Path, columns: list[str]) -> int:
    numbers = [name for name in columns if name.startswith("x")]
    texts = [name for name in columns if name.startswith("t")]
    spec: dict[str, Any] = {
        "name": "wide",
        "task": "classification",
        "description": "Many columns",
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [-1, len(numbers)], "columns": numbers, "nullable": True},
            {"name": "t", "datatype": "BYTES", "shape": [-1, len(texts)], "columns": texts},
        ],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2], "columns": ["0", "1"]},
        ],
        "features": {texts[0]: {"categories": ["DE", "FR", "IT", "ES"]}, numbers[0]: {"minimum": -10, "maximum": 10}},
        "training": {"recipe": "tabular", "target": "label", "time": "at"},
    }
    with path.open("rb") as file:
        found = validate(file, path.name, spec_of(spec))
    found.report.page()
    return found.table.rows


def bare(path: Path, columns: list[str]) -> int:
    with path.open(newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


if __name__ == "__main__":
    read = {"ours": ours, "bare": bare}[sys.argv[1]]
    started = time.process_time()
    rows = read(Path(sys.argv[2]), sys.argv[3].split(","))
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"rows": rows, "seconds": seconds, "bytes": peak}))
