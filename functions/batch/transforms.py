"""The heavy side as a SageMaker transform job: each request an object, each answer another.

An object is sent as it is, one by one (`SplitType` None), and all of them with one content type. That says how long
the JSON before the binary tensors is, so it is made equally long for all of a job: spaces may follow a JSON document.
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np

from functions.batch.pieces import Answered, Feeds, Outputs, joined, length, part
from lastmile.batches import Batch
from lastmile.errors import InvalidInput
from lastmile.heavy.packaging import PACKAGE
from lastmile.heavy.wire import BINARY, HEADER_SIZE, decode, encode, stored_type
from lastmile.manifest import Manifest
from lastmile.store import Store
from lastmile.tensors import DATATYPES, Array

DIGITS = 20  # more than a length or a size can have
STEP = 64
PAYLOAD_MB = 100  # of all requests at once to one machine
AT_ONCE = 16  # objects read or written
ANSWER = ".bin.out"

type Document = dict[str, Any]
type Machines = Mapping[str, Mapping[str, Any]]


class Request(NamedTuple):
    """Of rows `start` to `end` among those of a slice that the heavy side answers."""

    slice: int
    start: int
    end: int

    @property
    def name(self) -> str:
        return f"{self.slice:05d}-{self.start:07d}-{self.end:07d}"

    @classmethod
    def of(cls, name: str) -> "Request":
        return cls(*map(int, name.split("-")))


@dataclass(frozen=True)
class Transform:
    """Of one version, for one job."""

    batch: Batch
    manifest: Manifest
    data: Store

    def order(self, attempt: str, *, stage: str, artifacts: str, bucket: str, machines: Machines) -> Document:
        """What the state machine tells SageMaker."""
        heavy = self._heavy
        model, version = self.batch.model, self.batch.version
        return {
            "name": f"lastmile-{stage}-{self.batch.id}-{sha256(attempt.encode()).hexdigest()[:8]}",
            "model": model,
            "version": str(version),
            "package": f"{artifacts}/models/{model}/versions/{version}/{PACKAGE}",
            "asked": f"s3://{bucket}/{self.batch.pending('asked')}/{attempt}/",
            "answers": f"s3://{bucket}/{self.batch.pending('answers')}",
            "content_type": f"{BINARY};{HEADER_SIZE}{self.header_bytes}",
            "at_once": self._at_once,
            "payload_mb": self._payload_mb,
            "resources": {**machines[self.instance], "InstanceCount": heavy["max_instances"]},
        }

    def asked(self, attempt: str) -> int:
        """How many requests are there in an attempt."""
        return sum(1 for _ in self.data.list(f"{self.batch.pending('asked')}/{attempt}"))

    def ask(self, feeds: Feeds, number: int, attempt: str) -> int:
        """Writes the requests of a slice that have no answer yet; how many these are."""
        answered = self.answers(number)
        left = [
            (request, body)
            for start in range(0, length(feeds), self._most_rows)
            for request, body in self._requests(feeds, number, start, start + self._most_rows)
            if request not in answered
        ]
        folder = f"{self.batch.pending('asked')}/{attempt}"
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda one: self.data.put(f"{folder}/{one[0].name}.bin", one[1]), left))
        return len(left)

    def answers(self, number: int) -> dict[Request, str]:
        """Where those of a slice lie: below the place that SageMaker was told, wherever that puts them."""
        begin = f"{number:05d}-"
        paths = ((path.rpartition("/")[2], path) for path in self.data.list(self.batch.pending("answers")))
        return {
            Request.of(name.removesuffix(ANSWER)): path
            for name, path in paths
            if name.startswith(begin) and name.endswith(ANSWER)
        }

    def answered(self, number: int, count: int) -> Answered | int:
        """All rows of a slice that the heavy side answers; or how many have no answer."""
        found = self.answers(number)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            outputs = dict(zip(found, pool.map(self._read, found, found.values()), strict=True))
        missing = np.ones(count, bool)
        ordered: list[Outputs] = []
        for request in sorted(outputs):
            if missing[request.start : request.end].all():  # not one that was cut otherwise before
                missing[request.start : request.end] = False
                ordered.append(outputs[request])
        if missing.any():
            return int(missing.sum())
        specs = self.manifest.signature.outputs
        return Answered({spec.name: joined([one[spec.name] for one in ordered], spec) for spec in specs}, {})

    @property
    def instance(self) -> str:
        return str(self._heavy["instance"])

    @cached_property  # every request is made as long as this
    def header_bytes(self) -> int:
        """As long as the JSON of any request of this version may become."""
        inputs = self.manifest.signature.inputs
        least = {
            spec.name: np.full((1,) * len(spec.shape), "" if spec.datatype == "BYTES" else 0,
                               DATATYPES[spec.datatype].dtype)
            for spec in inputs
        }  # fmt: skip
        numbers = sum(len(spec.shape) + 2 for spec in inputs)
        size = _header(self._encoded(least, Request(0, 0, 0))[0]) + DIGITS * numbers
        return -(-size // STEP) * STEP

    @property
    def _heavy(self) -> Document:
        found: Document = self.manifest.policy["heavy"]
        return found

    @property
    def _most_rows(self) -> int:
        return int(self._heavy["max_batch"])

    @property
    def _at_once(self) -> int:
        """Requests to one machine: enough for Triton to put several together."""
        return max(1, min(int(self._heavy["concurrency"]), PAYLOAD_MB))

    @property
    def _payload_mb(self) -> int:
        return PAYLOAD_MB // self._at_once

    def _requests(self, feeds: Feeds, number: int, start: int, end: int) -> Iterator[tuple[Request, bytes]]:
        """One, or several where it would be too large. Raises InvalidInput where one row is."""
        end = min(end, length(feeds))
        request = Request(number, start, end)
        body = self._body(part(feeds, start, end), request)
        if len(body) <= self._payload_mb * 1_000_000:
            yield request, body
            return
        if end - start == 1:
            raise InvalidInput(f"a row has {len(body):,} bytes; a transform job takes {self._payload_mb} MB at most")
        middle = (start + end) // 2
        yield from self._requests(feeds, number, start, middle)
        yield from self._requests(feeds, number, middle, end)

    def _body(self, feeds: Feeds, request: Request) -> bytes:
        content_type, body = self._encoded(feeds, request)
        size, wanted = _header(content_type), self.header_bytes
        return b"".join((body[:size], b" " * (wanted - size), body[size:]))

    def _encoded(self, feeds: Feeds, request: Request) -> tuple[str, bytes]:
        signature = self.manifest.signature
        inputs = {spec.name: spec for spec in signature.inputs}
        return encode(feeds, inputs, [spec.name for spec in signature.outputs], request.name)

    def _read(self, request: Request, path: str) -> Outputs:
        """Raises EndpointUnavailable where it is garbage."""
        specs = {spec.name: spec for spec in self.manifest.signature.outputs}
        body = bytes(self.data.get(path).data)
        arrays = decode(stored_type(body), body, specs, specs, request.end - request.start)
        return dict(zip(specs, arrays, strict=True))


def _header(content_type: str) -> int:
    return int(content_type.rpartition("=")[2])


def packed(rows: Array) -> bytes:
    return rows.astype("<u4").tobytes()


def unpacked(data: bytes) -> Array:
    return np.frombuffer(data, "<u4").astype(np.int64)
