from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.retraining.recipes.graph import Graph
from functions.retraining.recipes.transformer.folder import read_vocabulary
from functions.retraining.recipes.transformer.wordpiece import WordPieces
from lastmile.model import OnnxModel
from lastmile.tensors import TensorSpec


@pytest.fixture(scope="module")
def pieces(transformer: Path) -> WordPieces:
    return WordPieces(read_vocabulary(transformer), most=20)


@pytest.fixture(scope="module")
def graph(pieces: WordPieces) -> OnnxModel:
    graph = Graph()
    texts = graph.add("Concat", "texts", graph.constant([" "]), axis=0)
    graph.named("ids", "Identity", graph.slice(pieces.add(graph, texts), 0, -1, 0))
    model = graph.model([TensorSpec("texts", "BYTES", (-1,))], [TensorSpec("ids", "INT64", (-1, -1))], "pieces")
    return OnnxModel.open(model, threads=1)


# As Hugging Face's tokenizers 0.23 answers with this vocabulary.
CASES = {
    "unaffordable": "un ##a ##ff ##ord ##able",
    "afford": "afford",
    "Cards, cards.": "card ##s , card ##s .",
    "CAFÉ": "cafe",
    "cafe\u0301": "cafe",
    "é": "[UNK]",
    "the we": "the we",
    "thew": "the ##w",
    "then": "[UNK]",
    "it's": "it ' [UNK]",
    "漢漢 漢字": "漢 漢 漢 [UNK]",
    "1000 100 10 1": "1 ##00 ##0 1 ##00 1 ##0 1",
    "##able": "# # [UNK]",
    "[CLS]": "[UNK] [UNK] [UNK]",
    "the\u200bw\x00e": "[UNK]",
    "the\u2028we\xa0it\tis\na": "the we it is a",
    "t" * 101: "[UNK]",
    "": "",
    "   ": "",
    "a . " * 30: " ".join(["a ."] * 9),
}


@pytest.mark.parametrize("text", CASES)
def test_a_text_is_cut_into_the_longest_known_pieces(pieces: WordPieces, graph: OnnxModel, text: str) -> None:
    wanted = [pieces.ids[piece] for piece in f"[CLS] {CASES[text]} [SEP]".split()]
    assert pieces.tokens([text]).tolist() == [wanted]
    assert run(graph, [text]).tolist() == [wanted]


def test_texts_together_are_padded_to_the_longest(pieces: WordPieces, graph: OnnxModel) -> None:
    found = pieces.tokens([*CASES])
    assert found.shape == (len(CASES), 20)
    np.testing.assert_array_equal(run(graph, [*CASES]), found)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text(max_size=30) | st.text("untheawfordbls10' .,#é漢", max_size=30), min_size=1, max_size=4))
def test_the_graph_cuts_as_python_does(pieces: WordPieces, graph: OnnxModel, texts: list[str]) -> None:
    np.testing.assert_array_equal(run(graph, texts), pieces.tokens(texts))


def run(graph: OnnxModel, texts: list[str]) -> np.ndarray:
    return graph.run(None, {"texts": np.array(texts, object)})[0]
