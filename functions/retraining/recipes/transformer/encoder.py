"""Texts to vectors of length 1: word pieces, then BERT; in numpy, and in the graph that serves."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from functions.retraining.recipes.graph import Graph
from functions.retraining.recipes.transformer import folder as files
from functions.retraining.recipes.transformer.bert import Bert
from functions.retraining.recipes.transformer.wordpiece import PADDING, WordPieces
from lastmile.errors import InvalidSpec
from lastmile.model import OnnxModel
from lastmile.tensors import Array, TensorSpec

CHUNK = 32  # texts at once


@dataclass(frozen=True, eq=False)
class Encoder:
    pieces: WordPieces
    bert: Bert

    @classmethod
    def read(cls, folder: Path, *, most: int = 128) -> Self:
        """From a folder in Hugging Face's layout; at most so many pieces of a text count. Raises InvalidSpec."""
        config = files.read_config(folder)
        if not files.is_uncased(folder):
            raise InvalidSpec(f"{folder}: its tokenizer keeps capitals, and only uncased ones are known")
        weights = files.read_weights(folder)
        bert = Bert(weights, config["num_hidden_layers"], config["num_attention_heads"], config["layer_norm_eps"])
        try:
            bert.embed(np.zeros((1, 2), np.int64), np.ones((1, 2), bool))
        except (KeyError, ValueError, IndexError) as error:
            raise InvalidSpec(f"{folder}/model.safetensors does not hold what config.json says: {error}") from error
        most = min(most, int(config["max_position_embeddings"]))
        return cls(WordPieces(files.read_vocabulary(folder), most), bert)

    def embed(self, texts: list[str]) -> Array:
        """float32 [texts, width], by numpy alone."""

        def embedded(part: list[str]) -> Array:
            ids = self.pieces.tokens(part)
            return self.bert.embed(ids, ids != self.pieces.ids[PADDING])

        return self._in_parts(texts, embedded)

    def vectors(self, texts: list[str]) -> Array:
        """The same but for rounding, by the graph, in a fraction of the time."""
        graph = Graph()
        some = graph.add("Concat", "texts", graph.constant([" "]), axis=0)
        graph.named("vectors", "Identity", graph.slice(self.add(graph, some), 0, -1, 0))
        given, wanted = TensorSpec("texts", "BYTES", (-1,)), TensorSpec("vectors", "FP32", (-1, self.bert.width))
        model = OnnxModel.open(graph.model([given], [wanted], "encoder"), threads=1)  # so that no sum is split
        return self._in_parts(texts, lambda part: model.run(None, {"texts": np.array(part, object)})[0])

    def _in_parts(self, texts: list[str], embedded: Callable[[list[str]], Array]) -> Array:
        """Texts of one length together, since the shorter ones are padded."""
        order = np.argsort([len(text) for text in texts], kind="stable")
        found = np.zeros((len(texts), self.bert.width), np.float32)
        for start in range(0, len(order), CHUNK):
            rows = order[start : start + CHUNK]
            found[rows] = embedded([texts[row] for row in rows])
        return found

    def add(self, graph: Graph, texts: str) -> str:
        """The vectors of `texts` [-1], of which one at least has a character."""
        ids = self.pieces.add(graph, texts)
        mask = graph.add("Not", graph.add("Equal", ids, graph.constant(self.pieces.ids[PADDING], np.int64)))
        return self.bert.add(graph, ids, mask)
