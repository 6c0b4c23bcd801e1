"""Writing the line of a prediction, in the time that a small model leaves for it."""

import os
import sys
import zlib
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from lastmile.manifest import Manifest
from lastmile.tensors import DATATYPES, Array, TensorSpec

if TYPE_CHECKING:
    from lastmile.personal import Hide

MARKER = "lastmile.capture"
MAX_BYTES = 250_000  # of a line: one CloudWatch log event may always hold 256 KB
PLAIN_ELEMENTS = 32  # numeric arrays with more are packed: written out, a number takes 25 ns
ROOM = MAX_BYTES * 3 // 4 - 2_000  # for data of that many bytes: base64 makes four of three
MOST_MEMBERS = 1024  # beginnings of arrays that are remembered
NUMPY = orjson.OPT_SERIALIZE_NUMPY
AS_MEMBERS = NUMPY | orjson.OPT_APPEND_NEWLINE
ROLES = ("champion", "challenger", "shadow", "pinned")
TEXTS = "OUS"  # kinds of arrays
TOLD_BY_JSON = frozenset(("BOOL", "INT64", "FP64", "BYTES"))  # what a JSON value is taken for when it is read back

type Write = Callable[[bytes], object]
type Encode = Callable[[Any], bytes]


def write_line(line: bytes) -> None:
    """Standard output, which Lambda turns into one log event per line; past its text layer, which takes 2 µs more."""
    descriptor = sys.stdout.fileno()
    while line:
        line = line[os.write(descriptor, line) :]


def as_base64(data: Any) -> bytes:
    return b2a_base64(data, newline=False)


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
    it. `heads` are the beginnings of the lines, by role: all that is the same in each of them. Of up to `plain_rows`
    rows all numbers are few enough to be written out.
    """

    model: str
    version: int
    rate: float
    hidden: "dict[str, Hide]"
    heads: dict[str, bytes]
    plain_rows: int

    @classmethod
    def of(cls, manifest: Manifest, *, key: bytes | None = None) -> "Recording":
        """`key` is what personal inputs are hashed with."""
        signature = manifest.signature
        hidden = _hidden(signature.inputs, key)
        tensors = [*(spec for spec in signature.inputs if spec.name not in hidden), *signature.outputs]
        facts: dict[str, Any] = {"marker": MARKER, "model": manifest.model, "version": manifest.version}
        facts |= {"types": told} if (told := _types(tensors)) else {}
        rate = manifest.policy.get("capture", {}).get("rate", 1.0)
        heads = {role: orjson.dumps(facts | {"role": role})[:-1] for role in ROLES}
        return cls(manifest.model, manifest.version, rate, hidden, heads, _plain_rows(tensors))


@dataclass(frozen=True, slots=True)
class Capture:
    """Writes the line of each prediction; what is declared personal never leaves the process as it came.

    `encode` is base64 of anything with a buffer. `trace` names the request's trace, where there is one.

    The line is put together of pieces of JSON rather than of a record of everything: that takes a sixth less.
    """

    write: Write = write_line
    encode: Encode = as_base64
    trace: Callable[[], bytes | None] | None = None

    def __call__(
        self,
        *,
        prediction_id: str,
        at: float,
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
        head = b'%b,"id":"%b","at":%.3f,"ms":%.4f,"rows":%d,' % (
            recording.heads[role],
            prediction_id.encode(),
            at,
            milliseconds,
            rows,
        )
        if self.trace is not None and (trace := self.trace()) is not None:
            head = b'%b"trace":"%b",' % (head, trace)
        if error is not None or decisions is not None or tier is not None:
            head += _beside(error, decisions, tier)
        if recording.rate < 1.0 and not is_sampled(prediction_id, recording.rate):
            self.write(head + b'"sampled":false}\n')
            return
        if recording.hidden:
            inputs = _shown(inputs, recording.hidden)
        if 0 < rows <= recording.plain_rows:  # the way of a request with one row, without detours
            line = head + orjson.dumps({"inputs": inputs, "outputs": outputs}, _writable, AS_MEMBERS)[1:]
            if b"null" not in line and len(line) <= MAX_BYTES:
                self.write(line)
                return
        keep = _rows_that_may_fit(rows, inputs, outputs)
        if keep is None:
            line = self._line(head, inputs, outputs)
            if len(line) <= MAX_BYTES:
                self.write(line)
                return
            keep = _fewer(rows, len(line))
        self.write(self._cut(head, inputs, outputs, keep) or self._least(head, error, decisions))

    def _cut(self, head: bytes, inputs: Mapping[str, Array], outputs: Mapping[str, Array], keep: int) -> bytes | None:
        """With as many leading rows as there is room for; None where there is none for what is said of them."""
        while True:
            told = b'%b"rows_captured":%d,' % (head, keep)
            line = self._line(told, _leading(inputs, keep), _leading(outputs, keep))
            if len(line) <= MAX_BYTES:
                return line
            if not keep:
                return None
            keep = _fewer(keep, len(line))

    def _least(self, head: bytes, error: str | None, decisions: list[dict[str, Any]] | None) -> bytes:
        """What is left when even without its rows the line is too long: decisions without their reasons."""
        record = orjson.loads(head[:-1] + b"}")
        if error is not None:
            record["error"] = error[:1000]
        if decisions is not None:
            record["decisions"] = [{**one, "reasons": []} for one in decisions]
        return orjson.dumps(record | {"rows_captured": 0, "inputs": {}, "outputs": {}}, None, orjson.OPT_APPEND_NEWLINE)

    def _line(self, head: bytes, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> bytes:
        parts = [head, b'"inputs":{']
        self._add(parts, inputs)
        parts.append(b'},"outputs":{')
        self._add(parts, outputs)
        parts.append(b"}}\n")
        return b"".join(parts)  # all at once: memory for many numbers takes as long as they do

    def _add(self, parts: list[bytes], arrays: Mapping[str, Array]) -> None:
        """The members of an object of arrays: packed, unless they are small or texts."""
        comma = b""
        for name, array in arrays.items():
            value = self._plain(array)
            if value is None:
                data = array if array.flags.c_contiguous else array.tobytes()
                parts += (comma, _packed(name, array.dtype, array.shape), self.encode(data), b'"}')
            else:
                parts += (comma, _member(name), value)
            comma = b","

    def _plain(self, array: Array) -> bytes | None:
        """JSON has no infinity, and where one is written as null it would be read back as missing."""
        kind = array.dtype.kind
        if kind not in TEXTS and not 0 < array.size <= PLAIN_ELEMENTS:
            return None
        value = orjson.dumps(array, _writable, NUMPY)
        return None if kind == "f" and b"null" in value and np.isinf(array).any() else value


def is_sampled(prediction_id: str, rate: float) -> bool:
    """The same for all that has one id: an answer and the shadow's beside it are kept together."""
    return zlib.crc32(prediction_id.encode()) < rate * 2.0**32


def _beside(error: str | None, decisions: list[dict[str, Any]] | None, tier: Tier | None) -> bytes:
    """What not every line has."""
    facts: dict[str, Any] = {}
    if error is not None:
        facts["error"] = error
    if decisions is not None:
        facts["decisions"] = decisions
    if tier is not None:
        facts |= {"tier": tier.name, "heavy_rows": tier.heavy_rows, "heavy_ms": round(tier.heavy_ms, 4)}
        if tier.degraded is not None:
            facts["degraded"] = tier.degraded
    return orjson.dumps(facts)[1:-1] + b","


@lru_cache(MOST_MEMBERS)
def _member(name: str) -> bytes:
    return orjson.dumps(name) + b":"


@lru_cache(MOST_MEMBERS)
def _packed(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """All of a packed array but its data."""
    return orjson.dumps({name: {"dtype": dtype.str, "shape": shape, "b64": ""}})[1:-3]


def _types(tensors: list[TensorSpec]) -> dict[str, str]:
    return {spec.name: DATATYPES[spec.datatype].dtype.str for spec in tensors if spec.datatype not in TOLD_BY_JSON}


def _hidden(inputs: tuple[TensorSpec, ...], key: bytes | None) -> "dict[str, Hide]":
    if not any(spec.pii for spec in inputs):
        return {}
    from lastmile.personal import hiding  # its patterns take 4 ms of a cold start

    return hiding({spec.name: spec for spec in inputs}, key)


def _plain_rows(tensors: list[TensorSpec]) -> int:
    """How many rows of the largest tensor may be written out; none where a row may have any size."""
    rows = [spec.shape[1:] for spec in tensors]
    if any(length < 1 for row in rows for length in row):
        return 0
    return PLAIN_ELEMENTS // max((prod(row) for row in rows), default=1)


def _shown(inputs: Mapping[str, Array], hidden: "Mapping[str, Hide]") -> dict[str, Array]:
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
    return None if data <= ROOM else rows * ROOM // data


def _fewer(rows: int, length: int) -> int:
    """How many rows may fit where these take a line of that length."""
    return min(rows - 1, int(rows * 0.9 * MAX_BYTES / length)) if rows else 0


def _leading(arrays: Mapping[str, Array], keep: int) -> dict[str, Array]:
    if keep == 0:
        return {}
    return {name: array[:keep] if array.ndim else array for name, array in arrays.items()}


def _writable(value: Any) -> Any:
    """What orjson cannot write by itself: texts, and numbers that do not lie in memory one after the other."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.tolist() if value.dtype.kind in TEXTS or not value.ndim else value.copy()
