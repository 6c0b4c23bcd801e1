"""What the trained object answered, kept from the step that trains for the step that certifies: no code is stored."""

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import orjson

from functions.retraining.recipes.contract import Fitted
from lastmile.errors import InvalidInput
from lastmile.tensors import Array

type Arrays = Mapping[str, Array]


class Remembered:
    """A trained object that knows the answers it was asked for when it was there."""

    def __init__(self, onnx: bytes, probes: dict[str, Array], seed: int, answers: dict[str, dict[str, Array]]) -> None:
        self.onnx = onnx
        self._probes = probes
        self._seed = seed
        self._answers = answers

    @classmethod
    def of(cls, fitted: Fitted, *, seed: int, asked: Iterable[dict[str, Array]]) -> "Remembered":
        """Ask for the probes of this seed, and for everything else that will be asked."""
        probes = fitted.probes(seed)
        answers = {digest(feeds): fitted.predict(feeds) for feeds in (probes, *asked)}
        return cls(fitted.onnx, probes, seed, answers)

    def predict(self, feeds: dict[str, Array]) -> dict[str, Array]:
        try:
            return self._answers[digest(feeds)]
        except KeyError:
            raise InvalidInput("the trained object was not asked for these rows while it was there") from None

    def probes(self, seed: int) -> dict[str, Array]:
        if seed != self._seed:
            raise InvalidInput(f"the probes of seed {self._seed} are known, not those of {seed}")
        return self._probes

    def to_bytes(self) -> bytes:
        """Without the graph, which is kept as it is."""
        document = {"seed": self._seed, "probes": _packed(self._probes)}
        answers = {name: _packed(arrays) for name, arrays in self._answers.items()}
        return zlib.compress(orjson.dumps(document | {"answers": answers}), 1)

    @classmethod
    def from_bytes(cls, onnx: bytes, data: bytes) -> "Remembered":
        document = orjson.loads(zlib.decompress(data))
        answers = {name: _unpacked(arrays) for name, arrays in document["answers"].items()}
        return cls(onnx, _unpacked(document["probes"]), document["seed"], answers)


def digest(feeds: Arrays) -> str:
    """Of names, types, shapes and elements."""
    return hashlib.sha256(orjson.dumps(_packed(feeds), option=orjson.OPT_SORT_KEYS)).hexdigest()


def _packed(arrays: Arrays) -> dict[str, Any]:
    return {name: _described(np.asarray(array)) for name, array in arrays.items()}


def _described(array: Array) -> dict[str, Any]:
    if array.dtype.kind in "OUS":
        return {"dtype": "text", "shape": list(array.shape), "elements": list(map(_text, array.ravel().tolist()))}
    data = np.ascontiguousarray(array).tobytes()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "elements": data.decode("latin-1")}


def _text(element: object) -> str:
    return element.decode() if isinstance(element, bytes) else str(element)


def _unpacked(described: Mapping[str, Any]) -> dict[str, Array]:
    return {name: _array(one) for name, one in described.items()}


def _array(described: Mapping[str, Any]) -> Array:
    if described["dtype"] == "text":
        texts = np.empty(len(described["elements"]), object)
        texts[:] = described["elements"]
        return texts.reshape(described["shape"])
    raw = described["elements"].encode("latin-1")
    return np.frombuffer(raw, described["dtype"]).reshape(described["shape"])
