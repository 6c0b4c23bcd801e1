"""The heavy side as a SageMaker transform job: each request an object, each answer another.

An object is sent as it is, one by one (`SplitType` None), and all of them with one content type. That says how long
the JSON before the binary tensors is, so it is made equally long for all of a job: spaces may follow a JSON document.
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np

from functions.batch.answers import PROOF, Answers, Request, at_once
from functions.batch.pieces import Feeds, length, part
from lastmile.batches import Batch
from lastmile.heavy.packaging import PACKAGE
from lastmile.heavy.wire import BINARY, HEADER_SIZE, encode
from lastmile.manifest import Manifest
from lastmile.store import Store
from lastmile.tensors import DATATYPES, Array

DIGITS = 20  # more than a length or a size can have
STEP = 64
PAYLOAD_MB = 100  # of all requests at once to one machine

type Document = dict[str, Any]
type Machines = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Transform:
    """Of one version, for one job. What `asking` is given names the folder of its requests."""

    batch: Batch
    manifest: Manifest
    data: Store

    @property
    def answers(self) -> Answers:
        return Answers(self.batch, self.manifest.signature.outputs, self.data)

    def order(self, asking: str, *, stage: str, artifacts: str, bucket: str, machines: Machines) -> Document:
        """What the state machine tells SageMaker."""
        heavy = self._heavy
        model, version = self.batch.model, self.batch.version
        return {
            "name": f"lastmile-{stage}-{self.batch.id}-{sha256(asking.encode()).hexdigest()[:8]}",
            "model": model,
            "version": str(version),
            "package": f"{artifacts}/models/{model}/versions/{version}/{PACKAGE}",
            "asked": f"s3://{bucket}/{self._folder(asking)}/",
            "answers": f"s3://{bucket}/{self.batch.pending('answers')}",
            "content_type": f"{BINARY};{HEADER_SIZE}{self.header_bytes}",
            "at_once": self._at_once,
            "payload_mb": self._payload_mb,
            "resources": {**machines[self.instance], "InstanceCount": heavy["max_instances"]},
        }

    def asked(self, asking: str) -> int:
        """How many requests there are."""
        paths = self.data.list(self._folder(asking))
        return sum(1 for path in paths if not path.rpartition("/")[2].startswith(PROOF))

    def ask(self, feeds: Feeds, number: int, asking: str, *, alone: bool) -> int:
        """Writes requests for the rows of a slice that have no answer yet, each `alone` in its own; how many requests.

        A row that is too large for one is left out.
        """
        rows, most = self.answers.open(number, length(feeds)), 1 if alone else int(self._heavy["max_batch"])
        left = [one for start, end in _runs(rows, most) for one in self._requests(feeds, number, start, end)]
        at_once(lambda one: self.data.put(f"{self._folder(asking)}/{one[0].name}.bin", one[1]), left)
        return len(left)

    def has_asked(self, number: int, place: int, asking: str) -> bool:
        """For this row alone."""
        return self.data.exists(f"{self._folder(asking)}/{Request(number, place, place + 1).name}.bin")

    def prove(self, feeds: Feeds, place: int, asking: str) -> None:
        """Asks once more for a row that has been answered: if it is again, the job was at work."""
        body = self._body(part(feeds, place, place + 1), PROOF)
        self.data.put(f"{self._folder(asking)}/{self.proof(asking)}.bin", body)

    def proof(self, asking: str) -> str:
        return f"{PROOF}{asking}"

    def too_large(self, feeds: Feeds, place: int) -> str | None:
        """Why a row cannot be asked for, if that is so."""
        size = len(self._body(part(feeds, place, place + 1), PROOF))
        if size <= self._payload_bytes:
            return None
        return f"it has {size:,} bytes; a transform job takes {self._payload_mb} MB at most"

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
        size = _header(self._encoded(least, Request(0, 0, 0).name)[0]) + DIGITS * numbers
        return -(-size // STEP) * STEP

    @property
    def _heavy(self) -> Document:
        found: Document = self.manifest.policy["heavy"]
        return found

    @property
    def _at_once(self) -> int:
        """Requests to one machine: enough for Triton to put several together."""
        return max(1, min(int(self._heavy["concurrency"]), PAYLOAD_MB))

    @property
    def _payload_mb(self) -> int:
        return PAYLOAD_MB // self._at_once

    @property
    def _payload_bytes(self) -> int:
        return self._payload_mb * 1_000_000

    def _folder(self, asking: str) -> str:
        return f"{self.batch.pending('asked')}/{asking}"

    def _requests(self, feeds: Feeds, number: int, start: int, end: int) -> Iterator[tuple[Request, bytes]]:
        """One, or several where it would be too large."""
        request = Request(number, start, end)
        body = self._body(part(feeds, start, end), request.name)
        if len(body) <= self._payload_bytes:
            yield request, body
        elif end - start > 1:
            middle = (start + end) // 2
            yield from self._requests(feeds, number, start, middle)
            yield from self._requests(feeds, number, middle, end)

    def _body(self, feeds: Feeds, name: str) -> bytes:
        content_type, body = self._encoded(feeds, name)
        size, wanted = _header(content_type), self.header_bytes
        return b"".join((body[:size], b" " * (wanted - size), body[size:]))

    def _encoded(self, feeds: Feeds, name: str) -> tuple[str, bytes]:
        signature = self.manifest.signature
        inputs = {spec.name: spec for spec in signature.inputs}
        return encode(feeds, inputs, [spec.name for spec in signature.outputs], name)


def _header(content_type: str) -> int:
    return int(content_type.rpartition("=")[2])


def _runs(places: Array, most: int) -> Iterator[tuple[int, int]]:
    """Start and end of neighbours, at most so many together."""
    for run in np.split(places, np.flatnonzero(np.diff(places) != 1) + 1):
        for at in range(0, len(run), most):
            yield int(run[at]), int(run[min(at + most, len(run)) - 1]) + 1


def packed(rows: Array) -> bytes:
    return rows.astype("<u4").tobytes()


def unpacked(data: bytes) -> Array:
    return np.frombuffer(data, "<u4").astype(np.int64)
