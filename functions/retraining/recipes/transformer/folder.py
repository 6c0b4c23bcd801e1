"""A model's folder in Hugging Face's layout: config.json, vocab.txt, model.safetensors. Nothing in it is executed."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from lastmile.errors import InvalidSpec
from lastmile.tensors import Array

LARGEST_HEADER = 100_000_000  # https://github.com/huggingface/safetensors#format
DTYPES = {"F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4"}


def read_config(folder: Path) -> dict[str, Any]:
    config = _json(folder / "config.json")
    for key, wanted in (("model_type", "bert"), ("hidden_act", "gelu")):
        if config.get(key) != wanted:
            raise InvalidSpec(f"{folder}/config.json: {key} is {config.get(key)!r}, and only {wanted!r} is known")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise InvalidSpec(f"{folder}/config.json: only absolute positions are known")
    return config


def is_uncased(folder: Path) -> bool:
    file = folder / "tokenizer_config.json"
    return bool(_json(file).get("do_lower_case", True)) if file.exists() else True


def read_vocabulary(folder: Path) -> tuple[str, ...]:
    lines = _bytes(folder / "vocab.txt").decode("utf-8").split("\n")
    return tuple(line.rstrip("\r") for line in lines[: -1 if lines[-1] == "" else None])


def read_weights(folder: Path) -> dict[str, Array]:
    """float32 by name, read from the file's memory map; https://github.com/huggingface/safetensors#format."""
    file = folder / "model.safetensors"
    data = np.memmap(file, np.uint8, "r") if file.exists() and file.stat().st_size > 8 else None
    if data is None:
        raise InvalidSpec(f"{file} cannot be read")
    length = int.from_bytes(data[:8].tobytes(), "little")
    if length > min(LARGEST_HEADER, len(data) - 8):
        raise InvalidSpec(f"{file} is no safetensors file")
    try:
        header = json.loads(data[8 : 8 + length].tobytes())
        return {
            name: _tensor(data[8 + length :], row).astype(np.float32)
            for name, row in header.items()
            if name != "__metadata__" and row["dtype"] in DTYPES
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidSpec(f"{file} is no safetensors file: {error}") from error


def _tensor(data: Array, row: dict[str, Any]) -> Array:
    start, end = row["data_offsets"]
    return np.frombuffer(data[start:end].tobytes(), DTYPES[row["dtype"]]).reshape(row["shape"])


def _json(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(_bytes(file))
    except ValueError as error:
        raise InvalidSpec(f"{file} is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidSpec(f"{file} is no JSON object")
    return document


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidSpec(f"{file} cannot be read: {error.strerror}") from error
