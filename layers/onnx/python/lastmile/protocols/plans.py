"""What the JSON header of a binary request leads to: a client sends the same one with all requests of one shape, and
reading, checking and answering it takes longer than a small model."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lastmile.loaded import Loaded
from lastmile.predictor import Prediction, Predictor, Served
from lastmile.tensors import Array

MOST_PLANS = 64  # per version in memory
LONGEST_HEADER = 4096
LOOKED_AT = "?O"  # kinds of arrays whose elements have to be looked at one by one

type Shapes = tuple[tuple[int, ...], ...]


class Input(NamedTuple):
    """A tensor of a request; `start` is counted from the end of the header."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int


class Plan(NamedTuple):
    """A request of `size` bytes behind its header, which was found right, and what its answers' headers were."""

    inputs: tuple[Input, ...]
    size: int
    names: list[str] | None
    headers: dict[Shapes, bytes]

    def run(self, predictor: Predictor, served: Served, body: bytes, end: int) -> Prediction:
        feeds = {name: np.ndarray(shape, dtype, body, end + start) for name, shape, dtype, start in self.inputs}
        return predictor.run(served, feeds, self.names, checked=True)

    def header(self, prediction: Prediction) -> bytes | None:
        """The header of the answer, where one of these shapes was given before."""
        return self.headers.get(_shapes(prediction))

    def keep(self, prediction: Prediction, header: bytes) -> None:
        if len(self.headers) < MOST_PLANS:
            self.headers[_shapes(prediction)] = header


def remember(
    loaded: Loaded, header: bytes, feeds: Mapping[str, Array], prediction: Prediction, *, names: list[str] | None
) -> Plan | None:
    """A plan for the next requests with this header, when all its tensors and all the answer's are binary numbers."""
    arrays = (*feeds.values(), *prediction.outputs.values())
    if len(header) > LONGEST_HEADER or any(array.dtype.kind in LOOKED_AT for array in arrays):
        return None
    if len(loaded.plans) >= MOST_PLANS:
        loaded.plans.clear()  # headers come from clients: start afresh rather than grow
    inputs, at = [], 0
    for name, array in feeds.items():
        inputs.append(Input(name, array.shape, array.dtype, at))
        at += array.nbytes
    plan = loaded.plans[header] = Plan(tuple(inputs), at, names, {})
    return plan


def _shapes(prediction: Prediction) -> Shapes:
    return tuple([array.shape for array in prediction.outputs.values()])
