"""What transform jobs have answered: objects that are looked for once after each job, and listed slice by slice."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import orjson

from functions.batch.pieces import Outputs, joined
from lastmile.batches import Batch
from lastmile.errors import EndpointUnavailable, NotFound
from lastmile.heavy.wire import decode, stored_type
from lastmile.store import Store
from lastmile.tensors import Array, TensorSpec

SUFFIX = ".bin.out"
PROOF = "proof-"
AT_ONCE = 16  # objects read or written


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


class Found(NamedTuple):
    """`outputs` are those of the rows that are not among the `missing`, which are places."""

    outputs: Outputs
    missing: Array


@dataclass(frozen=True, slots=True)
class Answers:
    """Of one batch; `outputs` are those of its version."""

    batch: Batch
    outputs: tuple[TensorSpec, ...]
    data: Store

    def collect(self) -> None:
        """SageMaker may put them anywhere below the place that it was told."""
        lists: dict[int, dict[str, str]] = {}
        proofs = []
        for name, path in self._all():
            if name.startswith(PROOF):
                proofs.append(name)
            else:
                lists.setdefault(Request.of(name).slice, {})[name] = path
        at_once(lambda number: self._keep(number, lists[number]), lists)
        self.data.put(self._proofs, orjson.dumps(proofs))

    def any(self) -> Request | None:
        """One that has been answered, where there is one."""
        each = ((Request.of(name), path) for name, path in self._all() if not name.startswith(PROOF))
        return next((request for request, path in each if self._read(request, path) is not None), None)

    def proves(self, name: str) -> bool:
        """Whether the row that had been answered before was answered again."""
        return name in orjson.loads(self.data.get(self._proofs).data)

    def open(self, number: int, count: int) -> Array:
        """Places of the rows of a slice that no answer is for."""
        return np.flatnonzero(_left(self._paths(number), count))

    def found(self, number: int, count: int) -> Found:
        """What is garbage is no answer, and is taken off the list."""
        paths = self._paths(number)
        read = zip(paths, at_once(lambda request: self._read(request, paths[request]), paths), strict=True)
        outputs = {request: one for request, one in read if one is not None}
        if len(outputs) < len(paths):
            self._keep(number, {request.name: paths[request] for request in outputs})
        left, ordered = np.ones(count, bool), []
        for request in sorted(outputs):
            if left[request.start : request.end].all():  # not one that was cut otherwise before
                left[request.start : request.end] = False
                ordered.append(outputs[request])
        whole = {spec.name: joined([one[spec.name] for one in ordered], spec) for spec in self.outputs}
        return Found(whole, np.flatnonzero(left))

    def _all(self) -> Iterator[tuple[str, str]]:
        """Names and paths, also of proofs."""
        for path in self.data.list(self.batch.pending("answers")):
            if path.endswith(SUFFIX):
                yield path.rpartition("/")[2].removesuffix(SUFFIX), path

    def _keep(self, number: int, paths: dict[str, str]) -> None:
        self.data.put(self._list(number), orjson.dumps(paths))

    def _paths(self, number: int) -> dict[Request, str]:
        try:
            known = orjson.loads(self.data.get(self._list(number)).data)
        except NotFound:
            return {}
        return {Request.of(name): path for name, path in known.items()}

    def _read(self, request: Request, path: str) -> Outputs | None:
        specs = {spec.name: spec for spec in self.outputs}
        body = bytes(self.data.get(path).data)
        try:
            arrays = decode(stored_type(body), body, specs, specs, request.end - request.start)
        except EndpointUnavailable:
            return None
        return dict(zip(specs, arrays, strict=True))

    def _list(self, number: int) -> str:
        return self.batch.path(f"heavy/{number:05d}.answers.json")

    @property
    def _proofs(self) -> str:
        return self.batch.path("heavy/proofs.json")


def _left(requests: dict[Request, str], count: int) -> Array:
    left = np.ones(count, bool)
    for request in requests:
        left[request.start : request.end] = False
    return left


def at_once[One, Told](do: Callable[[One], Told], each: Iterable[One]) -> list[Told]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(do, each))
