"""A sentence transformer small enough for a test, in the layout of a real one."""

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from lastmile.tensors import Array

VOCABULARY = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]"),
    *(
        "un",
        "##able",
        "##a",
        "##ff",
        "##ord",
        "afford",
        "##ing",
        "card",
        "##s",
        "cafe",
        "the",
        "we",
        "##w",
        "t",
        "##he",
    ),
    *(".", ",", "'", "##'", "#", "漢", "1", "##0", "##00", "é", "it", "is", "a"),
)
WIDTH, INNER, LAYERS, HEADS, PLACES = 16, 24, 2, 4, 40


@cache
def small_transformer() -> str:
    """The folder's path; it is there until the tests end."""
    folder = Path(tempfile.mkdtemp(prefix="transformer-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in VOCABULARY))
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": PLACES,
    }
    (folder / "config.json").write_text(json.dumps(config))
    write_weights(folder / "model.safetensors", weights())
    return str(folder)


def weights() -> dict[str, Array]:
    shapes = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), WIDTH),
        "embeddings.position_embeddings.weight": (PLACES, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        **normed("embeddings.LayerNorm"),
    }
    for layer in (f"encoder.layer.{number}" for number in range(LAYERS)):
        for part in ("query", "key", "value"):
            shapes |= linear(f"{layer}.attention.self.{part}", WIDTH, WIDTH)
        shapes |= linear(f"{layer}.attention.output.dense", WIDTH, WIDTH)
        shapes |= linear(f"{layer}.intermediate.dense", WIDTH, INNER)
        shapes |= linear(f"{layer}.output.dense", INNER, WIDTH)
        shapes |= normed(f"{layer}.attention.output.LayerNorm") | normed(f"{layer}.output.LayerNorm")
    rng = np.random.default_rng(3)
    return {name: rng.normal(0.1, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def linear(name: str, given: int, wanted: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (wanted, given), f"{name}.bias": (wanted,)}


def normed(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}


def write_weights(file: Path, arrays: dict[str, Array]) -> None:
    """https://github.com/huggingface/safetensors#format"""
    header, data = {}, b""
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data)
