"""The record of a prediction: one structured log line, which a log subscription hands to the capture function."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from lastmile.tensors import Array, TensorSpec

MARKER = "lastmile.capture"
MAX_ELEMENTS = 8_192  # keeps a line under the 256 KB that one CloudWatch log event may always hold
AS_LINE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE

type Write = Callable[[str], object]


def write_line(line: str) -> None:
    """Standard output, which Lambda turns into one log event per line; past its text layer, which takes 2 µs more."""
    descriptor, data = sys.stdout.fileno(), line.encode()
    while data:
        data = data[os.write(descriptor, data) :]


@dataclass(frozen=True, slots=True)
class Capture:
    """Writes the line of each prediction; inputs declared personal never leave the process."""

    write: Write = write_line

    def __call__(
        self,
        *,
        prediction_id: str,
        at: float,
        model: str,
        version: int,
        role: str,
        milliseconds: float,
        specs: Mapping[str, TensorSpec],
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        error: str | None = None,
        decisions: list[dict[str, Any]] | None = None,
    ) -> None:
        """`at` in seconds since 1970; `inputs` and `outputs` share their first axis, the rows."""
        kept = {name: array for name, array in inputs.items() if not specs[name].pii}
        rows = _rows(inputs)
        keep = _rows_that_fit(rows, kept, outputs)
        record: dict[str, Any] = {
            "marker": MARKER,
            "id": prediction_id,
            "at": int(at * 1e3 + 0.5) / 1e3,  # round() takes three times as long
            "model": model,
            "version": version,
            "role": role,
            "ms": int(milliseconds * 1e4 + 0.5) / 1e4,
            "rows": rows,
            "inputs": kept if keep is None else _first_rows(kept, keep),
            "outputs": outputs if keep is None else _first_rows(outputs, keep),
        }
        if keep is not None:
            record["rows_captured"] = keep
        if error is not None:
            record["error"] = error
        if decisions is not None:
            record["decisions"] = decisions
        self.write(orjson.dumps(record, _writable, AS_LINE).decode())


def _rows(inputs: Mapping[str, Array]) -> int:
    for array in inputs.values():
        return array.shape[0] if array.ndim else 1
    return 1


def _rows_that_fit(rows: int, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> int | None:
    """How many leading rows are captured; None when all of them are."""
    elements = 0
    for array in inputs.values():
        elements += array.size
    for array in outputs.values():
        elements += array.size
    return None if elements <= MAX_ELEMENTS else rows * MAX_ELEMENTS // elements


def _first_rows(arrays: Mapping[str, Array], keep: int) -> dict[str, Array]:
    return {name: array[:keep] if array.ndim else array for name, array in arrays.items()}


def _writable(array: Array) -> Any:
    """What orjson cannot write by itself: texts, and numbers that do not lie in memory one after the other."""
    if array.dtype.kind in "OUS":
        return [
            element if isinstance(element, str) else element.decode(errors="replace")
            for element in array.reshape(-1).tolist()
        ]
    return array.copy()
