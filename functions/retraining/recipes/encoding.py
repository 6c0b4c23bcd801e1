"""From the raw inputs to one matrix of numbers: the same in numpy, for training, and in the graph.

Categories come first, as codes; a missing, unseen or rare one is NaN. Then the numbers as float32, then products,
differences and ratios of two of them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from functions.retraining.recipes.graph import Graph, encoder
from functions.retraining.recipes.options import RecipeOptions
from functions.retraining.recipes.tensors import column, features
from lastmile.spec import ModelSpec
from lastmile.tensors import Array, TensorSpec

MOST_CATEGORIES = 254  # scikit-learn's trees have 255 bins, one of them for the missing
DERIVED = {"products": ("Mul", np.multiply), "differences": ("Sub", np.subtract), "ratios": ("Div", np.divide)}

type Pairs = tuple[tuple[str, str, str], ...]  # kind and two features


@dataclass(frozen=True)
class Encoding:
    inputs: tuple[TensorSpec, ...]
    categories: Mapping[str, tuple[str, ...]]
    numbers: tuple[str, ...]
    derived: Pairs

    @classmethod
    def of(cls, feeds: Mapping[str, Array], inputs: Sequence[TensorSpec], derived: Pairs = ()) -> Self:
        """What the training rows hold decides which categories there are."""
        found = {name: (tensor, place) for name, tensor, place in features(inputs)}
        categories = {
            name: _most_frequent(column(feeds, tensor, place))
            for name, (tensor, place) in found.items()
            if tensor.datatype == "BYTES"
        }
        return cls.known(inputs, categories, derived)

    @classmethod
    def known(cls, inputs: Sequence[TensorSpec], categories: Mapping[str, tuple[str, ...]], derived: Pairs) -> Self:
        """With the categories that were found before."""
        numbers = tuple(name for name, _, _ in features(inputs) if name not in categories)
        return cls(tuple(inputs), categories, numbers, derived)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the matrix's columns."""
        return (*self.categories, *self.numbers, *(f"{kind}: {one}, {other}" for kind, one, other in self.derived))

    @property
    def codes(self) -> dict[int, int]:
        """The number of categories of each categorical column of the matrix."""
        return {place: len(known) for place, known in enumerate(self.categories.values())}

    def matrix(self, feeds: Mapping[str, Array]) -> Array:
        """float32 [rows, columns]."""
        raw = {name: column(feeds, tensor, place) for name, tensor, place in features(self.inputs)}
        columns = [_coded(raw[name], known) for name, known in self.categories.items()]
        with np.errstate(over="ignore"):
            numbers = {name: raw[name].astype(np.float32) for name in self.numbers}
        columns += numbers.values()
        with np.errstate(all="ignore"):
            columns += [DERIVED[kind][1](numbers[one], numbers[other]) for kind, one, other in self.derived]
        return np.stack(columns, axis=1).astype(np.float32)

    def add(self, graph: Graph) -> str:
        """The matrix in the graph: FP32 [-1, columns]."""
        raw = self._columns(graph)
        columns = [encoder(graph, raw[name], known, np.float32, np.nan) for name, known in self.categories.items()]
        numbers = {name: graph.cast(raw[name], "FP32") for name in self.numbers}
        columns += numbers.values()
        columns += [graph.add(DERIVED[kind][0], numbers[one], numbers[other]) for kind, one, other in self.derived]
        return graph.add("Concat", *columns, axis=1) if len(columns) > 1 else columns[0]

    def _columns(self, graph: Graph) -> dict[str, str]:
        """Every feature by itself, [-1, 1]."""
        found: dict[str, str] = {}
        for tensor in self.inputs:
            if len(tensor.shape) == 1:
                found[tensor.name] = graph.add("Unsqueeze", tensor.name, graph.integers(1))
            elif len(tensor.columns) < 2:
                found[tensor.columns[0] if tensor.columns else tensor.name] = tensor.name
            else:
                parts = graph.several(
                    "Split", tensor.name, count=len(tensor.columns), axis=1, num_outputs=len(tensor.columns)
                )
                found.update(zip(tensor.columns, parts, strict=True))
        return found


def pairs(options: RecipeOptions, spec: ModelSpec) -> Pairs:
    """The options `products`, `differences` and `ratios`: lists of two numeric features each."""
    numeric = {name for name, tensor, _ in features(spec.inputs) if tensor.datatype != "BYTES"}
    found: list[tuple[str, str, str]] = []
    for kind in DERIVED:
        for pair in options.lists(kind):
            if len(pair) != 2 or not set(pair) <= numeric:
                raise options.wrong(kind, f"{pair} must be two numeric features")
            found.append((kind, pair[0], pair[1]))
    return tuple(found)


def _most_frequent(texts: Array) -> tuple[str, ...]:
    counts = Counter(texts.tolist())
    del counts[""]
    if not counts:
        return ()
    ranked = sorted(counts, key=lambda text: (-counts[text], text))[:MOST_CATEGORIES]
    return tuple(sorted(ranked))


def _coded(texts: Array, known: Sequence[str]) -> Array:
    codes = {text: float(code) for code, text in enumerate(known)}
    return np.array([codes.get(text, np.nan) for text in texts.tolist()], np.float32)
