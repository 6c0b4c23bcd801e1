"""An HTTP request and its answer as plain bytes: what every door turns its own event into."""

import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from lastmile.capture import Tier
from lastmile.errors import (
    InvalidArtefact,
    InvalidInput,
    LastmileError,
    ModelFailed,
    NotFound,
    PayloadTooLarge,
    StoreUnavailable,
    VersionRejected,
)
from lastmile.predictor import Prediction
from lastmile.tensors import dump_json

if TYPE_CHECKING:
    from lastmile.heavy.pending import Meta

MAX_BODY_BYTES = 6_000_000  # Lambda takes 6 MB a call, its own wrapping included
MAX_UNPACKED_BYTES = 32_000_000
MOST_CONTAINERS = 2_000_000  # lists and objects of one document: each takes 64 bytes and more of memory, and 2 of JSON
LONGEST_PATH = 200  # characters of where a value is

JSON = "application/json"


@dataclass(slots=True)
class Request:
    """`path` as sent, without query; header names in lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def content(self) -> bytes:
        """The body, unpacked; raises PayloadTooLarge for one over the limits, also for a compression bomb."""
        body = self.body
        if len(body) > MAX_BODY_BYTES:
            raise PayloadTooLarge(f"the body has more than {MAX_BODY_BYTES:,} bytes")  # a door may have read no further
        encoding = self.headers.get("content-encoding")
        return body if encoding is None else _unpack(body, encoding)

    def json_object(self) -> dict[str, Any]:
        return as_object(parse_json(self.content(), "the body"), "the body")

    def routing_key(self, otherwise: str | None = None) -> str | None:
        """An empty one is none: those whom a client does not know are not one person."""
        return self.headers.get("lastmile-routing-key") or otherwise


@dataclass(slots=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes


def json_response(document: Any, prediction: Prediction | None = None, status: int = 200) -> Response:
    headers = {"content-type": JSON} if prediction is None else {"content-type": JSON, **provenance(prediction)}
    if prediction is not None and prediction.tier is not None:
        headers.update(tier_headers(prediction.tier))
    return Response(status, headers, dump_json(document))


def provenance(prediction: "Prediction | Meta") -> dict[str, str]:
    """Which version answers, in what role, and the id under which feedback can be given."""
    return {
        "lastmile-model": prediction.model,
        "lastmile-version": str(prediction.version),
        "lastmile-role": prediction.role,
        "lastmile-prediction-id": prediction.id,
    }


def tier_headers(tier: Tier) -> dict[str, str]:
    """Which side of the version answered, and why it was the light one where it should have been the other."""
    return {"lastmile-tier": tier.name} | ({} if tier.degraded is None else {"lastmile-degraded": tier.degraded})


# The one table from what happened to what HTTP says, first match wins. A third entry is said instead of the
# error's own words, where those may name buckets or hosts; the door logs the words.
STATUSES: tuple[tuple[type[LastmileError], int, str | None], ...] = (
    (PayloadTooLarge, 413, None),
    (InvalidInput, 400, None),
    (NotFound, 404, None),
    (VersionRejected, 409, None),
    (StoreUnavailable, 503, "the model store does not answer; try again"),
    (InvalidArtefact, 503, "the stored model cannot be loaded"),
    (ModelFailed, 500, None),
    (LastmileError, 500, "internal error"),
)


def status_of(error: LastmileError) -> tuple[int, str]:
    """The HTTP status of an error and the sentence for the caller."""
    return next((status, said or str(error)) for kind, status, said in STATUSES if isinstance(error, kind))


def parse_json(data: bytes | memoryview, where: str) -> Any:
    """Strict JSON; the error names the value that is NaN or infinite, or the place where parsing stopped.

    Raises PayloadTooLarge for one that unpacked to more lists and objects than there is memory for.
    """
    if len(data) > MAX_BODY_BYTES:
        text = bytes(data)
        if text.count(b"[") + text.count(b"{") > MOST_CONTAINERS:
            raise PayloadTooLarge(f"{where} has more than {MOST_CONTAINERS:,} lists and objects; send fewer rows")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(_explain(bytes(data), str(error), where)) from None


def as_object(value: Any, where: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise InvalidInput(f"{where} must be a JSON object")
    return value


def as_list(value: Any, where: str) -> list[Any]:
    if type(value) is not list:
        raise InvalidInput(f"{where} must be a list")
    return value


def as_text(value: Any, where: str) -> str:
    if type(value) is not str:
        raise InvalidInput(f"{where} must be a string")
    return value


def version_number(text: str) -> int:
    """A version as it stands in a path."""
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise NotFound(f"version '{text[:40]}' is not a number")
    return int(text)


def _unpack(body: bytes, encoding: str) -> bytes:
    """gzip and deflate, as the Triton client sends them; never more than the limit is unpacked."""
    coding = encoding.strip().lower()
    if coding == "identity":
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise InvalidInput(f"content-encoding '{encoding[:40]}' is none of gzip, deflate, identity")
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: gzip or zlib, told apart by the header
    try:
        data = unpacker.decompress(body, MAX_UNPACKED_BYTES + 1)
        if unpacker.unused_data:
            data += _unpack_more(unpacker.unused_data, MAX_UNPACKED_BYTES + 1 - len(data))
    except EOFError:
        raise InvalidInput(f"the {coding} body is cut off") from None
    except (zlib.error, OSError):  # gzip's own error is an OSError
        raise InvalidInput(f"the body is not {coding}, as content-encoding says") from None
    if len(data) > MAX_UNPACKED_BYTES:
        raise PayloadTooLarge(f"the body unpacks to more than {MAX_UNPACKED_BYTES:,} bytes")
    if not unpacker.eof:
        raise InvalidInput(f"the {coding} body is cut off")
    return data


def _unpack_more(rest: bytes, limit: int) -> bytes:
    """gzip files may stand one behind another, and are then one: https://www.rfc-editor.org/rfc/rfc1952#section-2.2"""
    import gzip  # hardly anybody sends it
    from io import BytesIO

    return gzip.GzipFile(fileobj=BytesIO(rest)).read(limit)


def _explain(data: bytes, reason: str, where: str) -> str:
    if not data:
        return f"{where} is empty, a JSON document is wanted"
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return f"{where} is not UTF-8 at byte {error.start}"
    try:
        lenient = json.loads(data)
    except (ValueError, RecursionError):
        return f"{where} is not JSON: {reason}"
    path = _path_of_non_finite(lenient)
    return f"{where} is not JSON: {reason}" if path is None else f"{where}: {path}, which JSON cannot say"


def _path_of_non_finite(document: Any) -> str | None:
    """The first number that is none, and where it is. Documents may be nested deeper than calls: this is a loop."""
    steps, levels = [""], [iter([("", document)])]
    while levels:
        step, value = next(levels[-1], (None, None))
        if step is None:
            steps.pop()
            levels.pop()
        elif isinstance(value, float) and not math.isfinite(value):
            path = "".join((*steps, step)).removeprefix(".")
            where = path if len(path) <= LONGEST_PATH else f"{path[:LONGEST_PATH]}…"
            return f"{where or 'the value'} is {value}"
        elif isinstance(value, dict | list):
            steps.append(step)
            levels.append(_children(value))
    return None


def _children(value: dict[str, Any] | list[Any]) -> Iterator[tuple[str, Any]]:
    """Each with the step that leads to it."""
    if isinstance(value, dict):
        return ((f".{key}", child) for key, child in value.items())
    return ((f"[{index}]", child) for index, child in enumerate(value))
