"""Writing the line of a prediction, in the time that a small model leaves for it."""

import os
import sys
import zlib
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson

from lastmile.manifest import Manifest
from lastmile.personal import Hide, hiding
from lastmile.tensors import DATATYPES, Array, TensorSpec

MARKER = "lastmile.capture"
MAX_BYTES = 250_000  # of a line: one CloudWatch log event may always hold 256 KB
PLAIN_ELEMENTS = 32  # numeric arrays with more are packed: written out, a number takes 25 ns
NEWLINE = orjson.OPT_APPEND_NEWLINE
AS_LINE = orjson.OPT_SERIALIZE_NUMPY | NEWLINE
TOLD_BY_JSON = frozenset(("BOOL", "INT64", "FP64", "BYTES"))  # what a JSON value is taken for when it is read back

type Write = Callable[[bytes], object]
type Encode = Callable[[Any], str]


def write_line(line: bytes) -> None:
    """Standard output, which Lambda turns into one log event per line; past its text layer, which takes 2 µs more."""
    descriptor = sys.stdout.fileno()
    while line:
        line = line[os.write(descriptor, line) :]


def as_base64(data: Any) -> str:
    return b2a_base64(data, newline=False).decode()


class Tier(NamedTuple):
    """Which side of a version that has a heavy one answered: `name` is light, heavy, or cascade where both did.

    `heavy_rows` are those that the heavy side answered, in so many milliseconds; `degraded` says why the light side's
    answer stands for one that the heavy side should have given.
    """

    name: str
    heavy_rows: int = 0
    heavy_ms: float = 0.0
    degraded: str | None = None


class Recording(NamedTuple):
    """What is kept of a version's predictions; made once per version.

    `rate` is the share whose inputs and outputs are kept. `hidden` are the personal inputs, each with what becomes of
    it. `types` are numpy's names for the tensors whose type a JSON number does not tell.
    """

    rate: float
    hidden: dict[str, Hide]
    types: orjson.Fragment | None

    @classmethod
    def of(cls, manifest: Manifest, *, key: bytes | None = None) -> "Recording":
        """`key` is what personal inputs are hashed with."""
        signature = manifest.signature
        hidden = hiding({spec.name: spec for spec in signature.inputs}, key)
        tensors = [*(spec for spec in signature.inputs if spec.name not in hidden), *signature.outputs]
        return cls(manifest.policy.get("capture", {}).get("rate", 1.0), hidden, _types(tensors))


@dataclass(frozen=True, slots=True)
class Capture:
    """Writes the line of each prediction; what is declared personal never leaves the process as it came.

    `encode` is base64 of anything with a buffer. `trace` names the request's trace, where there is one.
    """

    write: Write = write_line
    encode: Encode = as_base64
    trace: Callable[[], str | None] | None = None

    def __call__(
        self,
        *,
        prediction_id: str,
        at: float,
        model: str,
        version: int,
        role: str,
        milliseconds: float,
        recording: Recording,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        error: str | None = None,
        decisions: list[dict[str, Any]] | None = None,
        tier: Tier | None = None,
    ) -> None:
        """`at` in seconds since 1970; `inputs` and `outputs` share their first axis, the rows. `tier` is who answered
        them, where a version has a heavy side."""
        rows = _rows(inputs)
        record: dict[str, Any] = {
            "marker": MARKER,
            "id": prediction_id,
            "at": int(at * 1e3 + 0.5) / 1e3,  # round() takes three times as long
            "model": model,
            "version": version,
            "role": role,
            "ms": int(milliseconds * 1e4 + 0.5) / 1e4,
            "rows": rows,
        }
        if self.trace is not None and (trace := self.trace()) is not None:
            record["trace"] = trace
        if error is not None:
            record["error"] = error
        if decisions is not None:
            record["decisions"] = decisions
        if tier is not None:
            record.update(_answered(tier))
        if recording.rate < 1.0 and not is_sampled(prediction_id, recording.rate):
            record["sampled"] = False
            self.write(orjson.dumps(record, None, NEWLINE))
            return
        if recording.hidden:
            inputs = _shown(inputs, recording.hidden)
        if recording.types is not None:
            record["types"] = recording.types
        self.write(self._line(record, inputs, outputs, rows))

    def _line(
        self, record: dict[str, Any], inputs: Mapping[str, Array], outputs: Mapping[str, Array], rows: int
    ) -> bytes:
        if _are_small(inputs) and _are_small(outputs):  # the way of a request with one row, without detours
            record["inputs"], record["outputs"] = inputs, outputs
            line = orjson.dumps(record, _writable, AS_LINE)
            if b"null" not in line and len(line) <= MAX_BYTES:
                return line
        return self._fitted(record, inputs, outputs, rows)

    def _fitted(
        self, record: dict[str, Any], inputs: Mapping[str, Array], outputs: Mapping[str, Array], rows: int
    ) -> bytes:
        """With as many leading rows as there is room for."""
        keep = _rows_that_may_fit(rows, inputs, outputs)
        while True:
            kept = rows if keep is None else keep
            record["inputs"] = self._arrays(inputs, keep)
            record["outputs"] = self._arrays(outputs, keep)
            if keep is not None:
                record["rows_captured"] = keep
            line = orjson.dumps(record, _writable, AS_LINE)
            if len(line) <= MAX_BYTES:
                return line
            if not kept:
                return orjson.dumps(_least(record), _writable, AS_LINE)
            keep = min(kept - 1, int(kept * 0.9 * MAX_BYTES / len(line)))

    def _arrays(self, arrays: Mapping[str, Array], keep: int | None) -> dict[str, Any]:
        if keep is None:
            return {name: self._array(array) for name, array in arrays.items()}
        if keep == 0:
            return {}
        return {name: self._array(array[:keep] if array.ndim else array) for name, array in arrays.items()}

    def _array(self, array: Array) -> Any:
        """Packed, unless it is a text or small; JSON has no infinity, so with one it is packed however small."""
        kind = array.dtype.kind
        if kind in "OUS" or (0 < array.size <= PLAIN_ELEMENTS and not (kind == "f" and np.isinf(array).any())):
            return array
        data = array if array.flags.c_contiguous else array.tobytes()
        return {"dtype": array.dtype.str, "shape": array.shape, "b64": self.encode(data)}


def is_sampled(prediction_id: str, rate: float) -> bool:
    """The same for all that has one id: an answer and the shadow's beside it are kept together."""
    return zlib.crc32(prediction_id.encode()) < rate * 2.0**32


def _answered(tier: Tier) -> dict[str, Any]:
    facts = {"tier": tier.name, "heavy_rows": tier.heavy_rows, "heavy_ms": int(tier.heavy_ms * 1e4 + 0.5) / 1e4}
    return facts if tier.degraded is None else facts | {"degraded": tier.degraded}


def _are_small(arrays: Mapping[str, Array]) -> bool:
    for array in arrays.values():  # noqa: SIM110 a generator takes three times as long
        if not 0 < array.size <= PLAIN_ELEMENTS:
            return False
    return True


def _types(tensors: list[TensorSpec]) -> orjson.Fragment | None:
    told = {spec.name: DATATYPES[spec.datatype].dtype.str for spec in tensors if spec.datatype not in TOLD_BY_JSON}
    return orjson.Fragment(orjson.dumps(told)) if told else None


def _shown(inputs: Mapping[str, Array], hidden: Mapping[str, Hide]) -> dict[str, Array]:
    shown = {name: hidden[name](array) if name in hidden else array for name, array in inputs.items()}
    return {name: array for name, array in shown.items() if array is not None}


def _rows(inputs: Mapping[str, Array]) -> int:
    for array in inputs.values():
        return array.shape[0] if array.ndim else 1
    return 1


def _rows_that_may_fit(rows: int, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> int | None:
    """How many leading rows are tried first; None when it is all of them. Texts are counted once they are written."""
    data = 0
    for array in inputs.values():
        data += array.nbytes
    for array in outputs.values():
        data += array.nbytes
    room = MAX_BYTES * 3 // 4 - 2_000  # base64 makes four bytes of three
    return None if data <= room else rows * room // data


def _least(record: dict[str, Any]) -> dict[str, Any]:
    """What is left when even without its rows the line is too long: decisions without their reasons."""
    decisions = [{**one, "reasons": []} for one in record.get("decisions", ())]
    error = {"error": record["error"][:1000]} if "error" in record else {}
    return {**record, **({"decisions": decisions} if decisions else {}), **error}


def _writable(value: Any) -> Any:
    """What orjson cannot write by itself: texts, and numbers that do not lie in memory one after the other."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.tolist() if value.dtype.kind in "OUS" or not value.ndim else value.copy()
