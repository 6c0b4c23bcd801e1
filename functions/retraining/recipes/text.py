"""A text to a class: n-grams of characters and words, weighed by how rare they are, into a linear model.

With an encoder, the vector that a sentence transformer gives the text stands beside the n-grams.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix, hstack, vstack

from functions.retraining.recipes import feeding, probing, softmax, tensors
from functions.retraining.recipes.alphabet import Alphabet
from functions.retraining.recipes.bags import Bag
from functions.retraining.recipes.calibration import Calibration
from functions.retraining.recipes.contract import Examples
from functions.retraining.recipes.graph import Graph, each
from functions.retraining.recipes.ngrams import Analyser
from functions.retraining.recipes.options import RecipeOptions
from functions.retraining.recipes.softmax import Linear
from functions.retraining.recipes.split import default as split
from functions.retraining.recipes.split import drawn, training_of
from functions.retraining.recipes.transformer import Encoder
from functions.retraining.table import Table
from lastmile.errors import InvalidSpec
from lastmile.spec import ModelSpec
from lastmile.tensors import Array, TensorSpec

__all__ = ["check", "examples", "fit", "split"]

CHUNK = 2048  # texts at once
ASIDE = 0.1  # of the rows, for the temperature
MOST_PROBES = 3000
MOST_WEIGHTS = 8_000_000
MOST_CELLS = 60_000_000  # n-grams of all training rows
NO_ENCODER = "none"


class Options(NamedTuple):
    sizes: tuple[int, ...]
    words: int
    longest: int
    fewest: int
    most: int
    strength: float
    steps: int
    encoder: str
    pieces: int
    share: float

    @classmethod
    def read(cls, spec: ModelSpec) -> "Options":
        options = RecipeOptions.of(spec)
        found = cls(
            tuple(sorted(set(options.wholes("characters", [2, 3, 4, 5], low=2, high=8)))),
            options.whole("words", 2, low=1, high=3),
            options.whole("longest", 1000, low=10, high=10_000),
            options.whole("fewest_rows", 2, low=1),
            options.whole("vocabulary", 60_000, low=100, high=500_000),
            options.number("strength", 30.0, low=1e-3, high=1e6),
            options.whole("steps", 60, low=5, high=1000),
            options.text("encoder", NO_ENCODER),
            options.whole("pieces", 128, low=8, high=512),
            options.number("encoder_share", 1.0, low=0.01, high=100.0),
        )
        options.close("text")
        return found


def check(spec: ModelSpec) -> None:
    tensors.check_task(spec, "text", "classification")
    tensors.check_target(spec, "text")
    if len(spec.inputs) != 1 or spec.inputs[0].datatype != "BYTES" or spec.inputs[0].shape not in ((-1,), (-1, 1)):
        raise InvalidSpec("inputs: the recipe 'text' takes one BYTES tensor of shape [-1] or [-1, 1]")
    Options.read(spec)


def examples(rows: Table, spec: ModelSpec, *, training: Table) -> Examples:
    return feeding.examples(rows, spec)


@dataclass(frozen=True, eq=False)
class Text:
    spec: ModelSpec
    analyser: Analyser
    characters: Bag
    words: Bag
    linear: Linear
    calibration: Calibration
    background: dict[str, Array]
    encoder: Encoder | None = None
    share: float = 0.0  # the length of the encoder's vectors beside n-grams of length 1

    @property
    def ngrams(self) -> int:
        """How many rows of the weights are of n-grams; those of the encoder come behind."""
        return len(self.characters.vocabulary) + len(self.words.vocabulary)

    @cached_property
    def onnx(self) -> bytes:
        graph = Graph()
        texts = graph.add("Reshape", self.spec.inputs[0].name, graph.integers(-1))
        scores = graph.add("Add", self._add_sums(graph, texts), graph.constant(self.linear.offset))
        if self.encoder is not None:
            dense = graph.constant(self.linear.weights[self.ngrams :] * np.float32(self.share))
            some = graph.add("Concat", texts, graph.constant([" "]), axis=0)  # one of them has a character
            vectors = graph.slice(self.encoder.add(graph, some), 0, -1, 0)
            scores = graph.add("Add", scores, graph.add("MatMul", vectors, dense))
        self._add_probabilities(graph, scores)
        tensors.add_labels(graph, self.spec)
        return graph.model(self.spec.inputs, self.spec.outputs, "text")

    def predict(self, feeds: dict[str, Array]) -> dict[str, Array]:
        texts = feeds[self.spec.inputs[0].name].reshape(-1).tolist()
        parts = [
            hstack([self.characters.matrix(characters), self.words.matrix(words)]).tocsr()
            for characters, words in _analysed(self.analyser, texts)
        ]
        if self.encoder is not None:
            parts = [_beside(vstack(parts).tocsr(), self.encoder.embed(texts), self.share)]
        scores = np.concatenate([self.linear.scores(part) for part in parts])
        return tensors.labelled(self.calibration.probabilities(scores), self.spec)

    def probes(self, seed: int) -> dict[str, Array]:
        """Odd texts, and training texts in capitals, cut, doubled, without spaces and longer than is looked at."""
        name = self.spec.inputs[0].name
        texts = self.background[name].reshape(-1)[: probing.BACKGROUND].tolist()
        odd = [text * (self.analyser.longest // max(len(text), 1) + 2) for text in texts[:2]]
        for text in texts:
            odd += [text.upper(), text.title(), text[: len(text) // 2], f"{text}  {text}"]
            odd += ["".join(text.split()), text.replace(" ", "\t\n")]
        return probing.changed(self.background, self.spec.inputs, {name: odd}, seed)

    def _add_sums(self, graph: Graph, texts: str) -> str:
        """For each text the weights of its n-grams, times what each counts."""
        zero = np.zeros((1, self.linear.weights.shape[1]), np.float32)
        weights, absent = graph.constant(np.concatenate([self.linear.weights[: self.ngrams], zero])), self.ngrams

        def sums(inner: Graph, row: str) -> list[str]:
            text = inner.add("Gather", texts, inner.add("Unsqueeze", row, inner.integers(0)))
            characters, words = self.analyser.add(inner, text)
            rows, counts = self.characters.add(inner, characters, 0, absent)
            more_rows, more_counts = self.words.add(inner, words, len(self.characters.vocabulary), absent)
            places = inner.add("Reshape", inner.add("Concat", rows, more_rows, axis=1), inner.integers(-1))
            taken = inner.add("Gather", weights, places)
            product = inner.add("MatMul", inner.add("Concat", counts, more_counts, axis=1), taken)
            return [inner.add("Reshape", product, inner.integers(-1))]

        return each(graph, texts, sums, [TensorSpec("each_sums", "FP32", (zero.shape[1],))])[0]

    def _add_probabilities(self, graph: Graph, scores: str) -> None:
        scaled = graph.add("Mul", scores, graph.constant(self.calibration.slope, np.float32))
        graph.named("probabilities", "Softmax", scaled, axis=1)


def fit(training: Table, spec: ModelSpec) -> Text:
    options, plan = Options.read(spec), training_of(spec)
    feeds = feeding.feeds(training, spec.inputs)
    texts = feeds[spec.inputs[0].name].reshape(-1)
    labels = tensors.class_numbers(training[str(plan.target)], spec)
    kept = _affordable(texts, options, plan.seed)
    texts, labels = texts[kept].tolist(), labels[kept]
    analyser = Analyser(Alphabet.of(texts), options.sizes, options.words, options.longest)
    analysed = [*_analysed(analyser, texts)]
    most = min(options.most, MOST_WEIGHTS // len(tensors.classes(spec)))
    characters = Bag.of([part for part, _ in analysed], fewest=options.fewest, most=most * 2 // 3)
    words = Bag.of([part for _, part in analysed], fewest=options.fewest, most=most // 3)
    matrix = vstack([hstack([characters.matrix(one), words.matrix(other)]) for one, other in analysed]).tocsr()
    encoder = None if options.encoder == NO_ENCODER else Encoder.read(Path(options.encoder), most=options.pieces)
    whole = matrix if encoder is None else _beside(matrix, encoder.vectors(texts), options.share)
    linear, calibration = _learnt(whole, labels, options, spec)
    covering = {spec.inputs[0].name: feeds[spec.inputs[0].name][kept[_covering(matrix)]]}
    return Text(spec, analyser, characters, words, linear, calibration, covering, encoder, options.share)


def _beside(ngrams: csr_matrix, vectors: Array, share: float) -> csr_matrix:
    return hstack([ngrams, csr_matrix(vectors * np.float32(share))]).tocsr()


def _covering(matrix: csr_matrix) -> Array:
    """Rows that hold every n-gram between them, as far as so many can."""
    seen = np.zeros(matrix.shape[1], bool)
    chosen: list[int] = []
    for row in range(matrix.shape[0]):
        columns = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
        if len(chosen) < MOST_PROBES and not seen[columns].all():
            seen[columns] = True
            chosen.append(row)
    return np.array(chosen or [0], np.int64)


def _learnt(matrix: csr_matrix, labels: Array, options: Options, spec: ModelSpec) -> tuple[Linear, Calibration]:
    """First without some rows, which give the temperature; then on with all of them."""
    learn = partial(softmax.fit, classes=len(tensors.classes(spec)), strength=options.strength)
    aside = drawn(len(labels), ASIDE, training_of(spec).seed, labels)
    first = learn(matrix[~aside], labels[~aside], steps=options.steps * 2 // 3)
    calibration = Calibration.of(first.scores(matrix[aside]), labels[aside]) if aside.any() else Calibration()
    return learn(matrix, labels, steps=options.steps // 2, start=first), calibration


def _affordable(texts: Array, options: Options, seed: int) -> Array:
    """As many rows as memory and time allow, the shortest first; beyond that a seeded draw."""
    lengths = np.array([min(len(text), options.longest) for text in texts.tolist()])
    order = np.random.default_rng(seed).permutation(len(texts))
    cells = (lengths[order] * (len(options.sizes) + options.words)).cumsum()
    kept = np.sort(order[: max(int(np.searchsorted(cells, MOST_CELLS, side="right")), 1)])
    return np.asarray(kept[np.argsort(lengths[kept], kind="stable")])


def _analysed(analyser: Analyser, texts: list[str]) -> Iterator[tuple[Array, Array]]:
    for start in range(0, len(texts), CHUNK):
        yield analyser.ngrams(texts[start : start + CHUNK])
