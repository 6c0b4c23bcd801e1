"""The layers of BERT (Devlin et al. 2018, https://arxiv.org/abs/1810.04805), mean pooling; in numpy and in a graph."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from functions.retraining.recipes.graph import Graph
from lastmile.tensors import Array

HIDDEN_FROM_ATTENTION = np.float32(-1e9)
SMALLEST_NORM = np.float32(1e-12)


@dataclass(frozen=True, eq=False)
class Bert:
    """`weights` by the names that Hugging Face's BertModel gives them, float32."""

    weights: Mapping[str, Array]
    layers: int
    heads: int
    epsilon: float

    @property
    def width(self) -> int:
        return int(self.weights["embeddings.word_embeddings.weight"].shape[1])

    def embed(self, ids: Array, mask: Array) -> Array:
        """float32 [rows, width], of length 1; `mask` says which of the ids [rows, length] are no padding."""
        x = self._normed(self._embedded(ids), "embeddings.LayerNorm")
        hidden = np.where(mask, np.float32(0), HIDDEN_FROM_ATTENTION)[:, None, None, :]
        for layer in range(self.layers):
            x = self._layer(x, hidden, f"encoder.layer.{layer}")
        counted = mask[:, :, None].astype(np.float32)
        mean = (x * counted).sum(axis=1) / np.maximum(counted.sum(axis=1), np.float32(1))
        norm = np.sqrt((mean * mean).sum(axis=1, keepdims=True))
        return np.asarray(mean / np.maximum(norm, SMALLEST_NORM))

    def _embedded(self, ids: Array) -> Array:
        words = self.weights["embeddings.word_embeddings.weight"][ids]
        return np.asarray(words + self._places[: ids.shape[1]])

    @property
    def _places(self) -> Array:
        types = self.weights["embeddings.token_type_embeddings.weight"]
        return np.asarray(self.weights["embeddings.position_embeddings.weight"] + types[0])

    def _layer(self, x: Array, hidden: Array, name: str) -> Array:
        q, k, v = (self._split(self._linear(x, f"{name}.attention.self.{part}")) for part in ("query", "key", "value"))
        scores = q @ k.swapaxes(2, 3) * np.float32((self.width // self.heads) ** -0.5) + hidden
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        seen = (scores / scores.sum(axis=-1, keepdims=True)) @ v
        joined = seen.swapaxes(1, 2).reshape(x.shape)
        x = self._normed(
            x + self._linear(joined, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm"
        )
        inner = self._linear(x, f"{name}.intermediate.dense")
        inner = inner * np.float32(0.5) * (1 + erf(inner * np.float32(2**-0.5)))
        return self._normed(x + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _split(self, x: Array) -> Array:
        rows, length, width = x.shape
        return x.reshape(rows, length, self.heads, width // self.heads).swapaxes(1, 2)

    def _linear(self, x: Array, name: str) -> Array:
        return np.asarray(x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"])

    def _normed(self, x: Array, name: str) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(self.epsilon))
        return np.asarray(centred / deviation * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"])

    def add(self, graph: Graph, ids: str, mask: str) -> str:
        """The same in the graph; `mask` is of BOOL."""
        words = graph.add("Gather", graph.constant(self.weights["embeddings.word_embeddings.weight"]), ids)
        length = graph.add("Shape", ids, start=1, end=2)
        first, columns = graph.integers(0), graph.integers(0)
        places = graph.add("Slice", graph.constant(self._places), first, length, columns)
        x = self._add_normed(graph, graph.add("Add", words, places), "embeddings.LayerNorm")
        unseen = graph.add(
            "Where", mask, graph.constant(0.0, np.float32), graph.constant(HIDDEN_FROM_ATTENTION, np.float32)
        )
        hidden = graph.add("Unsqueeze", unseen, graph.integers(1, 2))
        for layer in range(self.layers):
            x = self._add_layer(graph, x, hidden, f"encoder.layer.{layer}")
        counted = graph.add("Unsqueeze", graph.cast(mask, "FP32"), graph.integers(2))
        total = graph.add("ReduceSum", graph.add("Mul", x, counted), graph.integers(1), keepdims=0)
        count = graph.add("ReduceSum", counted, graph.integers(1), keepdims=0)
        mean = graph.add("Div", total, graph.add("Max", count, graph.constant(1.0, np.float32)))
        squares = graph.add("ReduceSum", graph.add("Mul", mean, mean), graph.integers(1), keepdims=1)
        norm = graph.add("Max", graph.add("Sqrt", squares), graph.constant(SMALLEST_NORM, np.float32))
        return graph.add("Div", mean, norm)

    def _add_layer(self, graph: Graph, x: str, hidden: str, name: str) -> str:
        own = f"{name}.attention.self"
        # One product for the three: it is as wide as the machine likes it.
        weight = np.concatenate([self.weights[f"{own}.{part}.weight"] for part in ("query", "key", "value")])
        bias = np.concatenate([self.weights[f"{own}.{part}.bias"] for part in ("query", "key", "value")])
        joint = graph.add("Add", graph.add("MatMul", x, graph.constant(weight.T)), graph.constant(bias))
        size = self.width // self.heads
        parted = graph.add("Reshape", joint, graph.integers(0, 0, 3, self.heads, size))
        q, k, v = (
            graph.add("Squeeze", part, graph.integers(2))
            for part in graph.several("Split", parted, count=3, axis=2, num_outputs=3)
        )
        q, v = (graph.add("Transpose", part, perm=[0, 2, 1, 3]) for part in (q, v))
        k = graph.add("Transpose", k, perm=[0, 2, 3, 1])
        scores = graph.add("Mul", graph.add("MatMul", q, k), graph.constant(size**-0.5, np.float32))
        seen = graph.add("MatMul", graph.add("Softmax", graph.add("Add", scores, hidden), axis=-1), v)
        joined = graph.add("Reshape", graph.add("Transpose", seen, perm=[0, 2, 1, 3]), graph.integers(0, 0, self.width))
        attended = self._add_linear(graph, joined, f"{name}.attention.output.dense")
        x = self._add_normed(graph, graph.add("Add", x, attended), f"{name}.attention.output.LayerNorm")
        inner = graph.add("Gelu", self._add_linear(graph, x, f"{name}.intermediate.dense"))
        out = self._add_linear(graph, inner, f"{name}.output.dense")
        return self._add_normed(graph, graph.add("Add", x, out), f"{name}.output.LayerNorm")

    def _add_linear(self, graph: Graph, x: str, name: str) -> str:
        weight, bias = (self.weights[f"{name}.{part}"] for part in ("weight", "bias"))
        return graph.add("Add", graph.add("MatMul", x, graph.constant(weight.T)), graph.constant(bias))

    def _add_normed(self, graph: Graph, x: str, name: str) -> str:
        scale, bias = (graph.constant(self.weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return graph.add("LayerNormalization", x, scale, bias, axis=-1, epsilon=self.epsilon)
