"""What a profile counts: for each feature the edges of its bins, or its categories."""

import hashlib
import math
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import orjson

from lastmile.policies import Feature
from lastmile.profile.edges import LENGTH_EDGES, UNIVERSAL_EDGES, quantile_edges
from lastmile.tensors import DATATYPES, Array, Signature, TensorSpec

MOST_CATEGORIES = 256  # counted one by one; what is rarer is `other`
MOST_RARE = 2048  # remembered, so that what was never seen can be told apart from what is rare
MOST_UNSEEN = 0.001  # share of further rows in categories still unknown, beyond which a feature is `alternate`
MOST_CLASSES = 10
WORD_BUCKETS = 64
TEXT_WORDS = 3  # in a value, on average: fewer are names rather than prose
WORD = re.compile(r"\w+")

type Kind = Literal["numeric", "category", "text"]


@dataclass(frozen=True)
class FeatureLayout:
    """Where a feature's values are, and how they are counted.

    `column` is the place on the tensor's last axis, "max" the largest element of each row, None all elements.
    `rare` are checksums of the values beyond the `categories`; when `closed`, a value that is neither is unseen.
    The categories of an `alternate` feature come from every other row, and the reference counts the rows between: those
    that chose what is a category cannot tell how often one will be met.
    `centre` and `scale` make moments sums of whole numbers, which merge in any order to the same.
    """

    kind: Kind
    tensor: str
    column: int | Literal["max"] | None = None
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    rare: tuple[int, ...] = ()
    closed: bool = False
    alternate: bool = False
    centre: float = 0.0
    scale: float = 1.0

    @property
    def bins(self) -> int:
        return len(self.categories) + 2 if self.kind == "category" else len(self.edges) + 1

    @cached_property
    def index(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.categories)}

    @cached_property
    def remembered(self) -> frozenset[int]:
        return frozenset(self.rare)

    def select(self, array: Array) -> Array:
        """The feature's elements, rows on the first of two axes."""
        if not array.ndim or (array.ndim == 1 and isinstance(self.column, int)):
            array = array[np.newaxis]  # one row, without an axis of rows
        rows = array.reshape(array.shape[0], math.prod(array.shape[1:]))
        if self.column is None:
            return rows
        if self.column == "max":
            return rows.max(axis=1, keepdims=True) if rows.shape[1] else rows
        return array[..., self.column].reshape(len(rows), math.prod(array.shape[1:-1]))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "FeatureLayout":
        fields: dict[str, Any] = {
            key: tuple(value) if type(value) is list else value for key, value in document.items()
        }
        return cls(**fields)


@dataclass(frozen=True)
class Layout:
    """Features and outputs by name. Two profiles can be merged and compared when their layouts are equal."""

    features: dict[str, FeatureLayout] = field(default_factory=dict)
    outputs: dict[str, FeatureLayout] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        document = orjson.dumps(self.to_document(), option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(document).hexdigest()[:16]

    @classmethod
    def from_rows(
        cls,
        signature: Signature,
        task: str | None,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        *,
        features: Mapping[str, Feature] | None = None,
    ) -> "Layout":
        """Edges and categories of these rows. Arrays are by tensor name, rows on the first axis; a tensor without an
        array gets the universal edges. What is dropped or hashed before it is captured is not counted at all."""
        known = features or {}
        return cls(
            features={
                name: laid_out(place, inputs.get(place.tensor), known.get(name))
                for name, place in _input_places(signature)
            },
            outputs={
                name: laid_out(place, outputs.get(place.tensor), None)
                for name, place in _output_places(signature, task)
            },
        )

    @classmethod
    def default(
        cls, signature: Signature, task: str | None, *, features: Mapping[str, Feature] | None = None
    ) -> "Layout":
        """For a version without reference rows: signed logarithmic bins for numbers, buckets for texts."""
        return cls.from_rows(signature, task, {}, {}, features=features)

    def to_document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Layout":
        return cls(
            features={name: FeatureLayout.from_document(row) for name, row in document["features"].items()},
            outputs={name: FeatureLayout.from_document(row) for name, row in document["outputs"].items()},
        )


def texts(array: Array) -> Counter[str]:
    """How often each text is there; the missing ones, the empty texts, are left out."""
    if array.dtype.kind == "O":
        found = Counter(array.ravel().tolist())
    else:
        found = Counter(dict(zip(*(part.tolist() for part in np.unique(array, return_counts=True)), strict=True)))
    counted: Counter[str] = Counter()
    for element, count in found.items():
        counted[_text(element)] += count
    del counted[""]
    return counted


def as_text(array: Array) -> list[str]:
    """Each element as a category is called; a missing one is the empty text."""
    return [_text(element) for element in array.tolist()]


def words(values: Iterable[str]) -> list[str]:
    return WORD.findall(" ".join(values).lower())


def checksum(value: str) -> int:
    return zlib.crc32(value.encode(errors="replace"))


def _text(element: object) -> str:
    if isinstance(element, str):
        return element
    if isinstance(element, bool):
        return "true" if element else "false"
    if isinstance(element, bytes):
        return element.decode(errors="replace")
    if element is None or element != element:  # only NaN is unlike itself
        return ""
    return str(int(element)) if isinstance(element, float) and element.is_integer() else str(element)


def _input_places(signature: Signature) -> Iterator[tuple[str, FeatureLayout]]:
    for tensor in signature.inputs:
        if tensor.pii in (None, "mask"):
            kind = _kind(tensor)
            for column, name in enumerate(tensor.columns):
                yield name, FeatureLayout(kind, tensor.name, column)
            if not tensor.columns:
                yield tensor.name, FeatureLayout(kind, tensor.name)


def _output_places(signature: Signature, task: str | None) -> Iterator[tuple[str, FeatureLayout]]:
    for tensor in signature.outputs:
        if tensor.name == "probabilities" and _kind(tensor) == "numeric":
            yield "confidence", FeatureLayout("numeric", tensor.name, "max")
            width = max(0, tensor.shape[-1]) if tensor.shape else 0
            classes = tensor.columns or tuple(map(str, range(width)))
            for column, name in enumerate(classes[:MOST_CLASSES]):
                yield f"probability:{name}", FeatureLayout("numeric", tensor.name, column)
        elif tensor.name == "label" and task in ("classification", "anomaly"):
            yield "label", FeatureLayout("category", tensor.name)
        else:
            for column, name in enumerate(tensor.columns):
                yield f"{tensor.name}:{name}", FeatureLayout(_kind(tensor), tensor.name, column)
            if not tensor.columns:
                yield tensor.name, FeatureLayout(_kind(tensor), tensor.name)


def _kind(tensor: TensorSpec) -> Kind:
    return "category" if DATATYPES[tensor.datatype].dtype.kind in "Ob" else "numeric"


def laid_out(place: FeatureLayout, array: Array | None, known: Feature | None) -> FeatureLayout:
    """The place with the edges or categories of this array, or with those for an unknown one."""
    values = None if array is None else place.select(array)
    if place.kind == "numeric":
        return _numeric(place, np.empty(0) if values is None else values)
    if known is not None and known.categories:
        return FeatureLayout("category", place.tensor, place.column, categories=known.categories, closed=True)
    counts: Counter[str] = Counter() if values is None else texts(values)
    if not counts or _is_prose(counts):
        return FeatureLayout("text", place.tensor, place.column, edges=LENGTH_EDGES)
    is_open = _is_open(counts)
    if is_open and values is not None:
        counts = texts(values[::2]) or counts
    ranked = sorted(counts, key=lambda text: (-counts[text], text))
    beyond = {checksum(text) for text in ranked[MOST_CATEGORIES:]}
    closed = len(beyond) <= MOST_RARE
    return FeatureLayout(
        "category",
        place.tensor,
        place.column,
        categories=tuple(sorted(ranked[:MOST_CATEGORIES])),
        rare=tuple(sorted(beyond)) if closed else (),
        closed=closed,
        alternate=is_open,
    )


def _numeric(place: FeatureLayout, values: Array) -> FeatureLayout:
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return FeatureLayout("numeric", place.tensor, place.column, edges=UNIVERSAL_EDGES)
    centre = float(np.partition(finite, finite.size // 2)[finite.size // 2])
    # Halves and parts: the distance of two finite numbers may be infinite, and so may their sum.
    spread = float((np.abs(finite / 2 - centre / 2) / finite.size).sum()) * 2
    scale = min(spread, sys.float_info.max) if spread > 0 else max(abs(centre), 1.0)
    edges = quantile_edges(finite)
    return FeatureLayout("numeric", place.tensor, place.column, edges=edges, centre=centre, scale=scale)


def _is_prose(counts: Counter[str]) -> bool:
    return len(counts) * 5 > counts.total() and len(words(counts)) >= TEXT_WORDS * len(counts)


def _is_open(counts: Counter[str]) -> bool:
    """Whether further rows would have categories that these lack: as many as are there just once (Good 1953)."""
    singletons = sum(count == 1 for count in counts.values())
    return len(counts) > MOST_CATEGORIES or singletons > MOST_UNSEEN * counts.total()
