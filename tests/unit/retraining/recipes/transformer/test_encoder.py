import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from functions.retraining.recipes.transformer import Encoder
from lastmile.errors import InvalidSpec

TEXTS = ["we afford the cards", "", "it is unaffordable, the cafe's card", "1000 " * 60, "漢"]


def test_vectors_have_length_one_and_do_not_depend_on_who_stands_beside(transformer: Path) -> None:
    encoder = Encoder.read(transformer)
    together = encoder.embed(TEXTS)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-6)
    alone = np.concatenate([encoder.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_the_graph_gives_what_numpy_gives(transformer: Path) -> None:
    encoder = Encoder.read(transformer)
    np.testing.assert_allclose(encoder.vectors(TEXTS), encoder.embed(TEXTS), atol=2e-6)


def test_only_so_many_pieces_count(transformer: Path) -> None:
    words = ["the", "we", "it", "is", "a", "card", "cafe", "afford"]
    short = Encoder.read(transformer, most=8).embed([" ".join(words), " ".join(words[:6])])
    np.testing.assert_array_equal(short[0], short[1])
    longer = Encoder.read(transformer, most=10).embed([" ".join(words), " ".join(words[:6])])
    assert np.abs(longer[0] - longer[1]).max() > 5e-4


def change_config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_bytes()) | changes))

    return change


def cut_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:3000])


def keep_capitals(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json cannot be read"),
        (lambda folder: (folder / "config.json").write_text("["), "config.json is no JSON"),
        (lambda folder: (folder / "vocab.txt").unlink(), "vocab.txt cannot be read"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors cannot be read"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 100), "is no safetensors file"),
        (cut_weights, "is no safetensors file"),
        (change_config(model_type="gpt2"), "model_type is 'gpt2', and only 'bert' is known"),
        (change_config(num_hidden_layers=3), "does not hold what config.json says"),
        (keep_capitals, "only uncased ones are known"),
    ],
)
def test_a_folder_that_is_none_is_refused(
    transformer: Path, tmp_path: Path, spoil: Callable[[Path], None], sentence: str
) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(transformer, folder)
    spoil(folder)
    with pytest.raises(InvalidSpec, match=sentence):
        Encoder.read(folder)
