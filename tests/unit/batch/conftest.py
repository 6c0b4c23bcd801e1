"""Small real models in a registry of a folder, and files for them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lastmile.heavy.packaging import Repository, packed
from lastmile.heavy.triton import config
from lastmile.model import OnnxModel
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store

SUM = """
name = "sum"
task = "classification"
description = "Two shares and which is larger, of two measurements."
[[inputs]]
name = "x"
datatype = "FP32"
shape = [-1, 2]
columns = ["length", "width"]
{nullable}
[[outputs]]
name = "label"
datatype = "INT64"
shape = [-1]
[[outputs]]
name = "probabilities"
datatype = "FP32"
shape = [-1, 2]
columns = ["short", "long"]
[decision]
kind = "threshold"
[decision.options]
positive = "long"
amount = "width"
review_cost = 0.1
block_cost = 50.0
"""
TEXT = """
name = "echo"
task = "regression"
description = "Says what it heard."
[[inputs]]
name = "text"
datatype = "BYTES"
shape = [-1, 1]
[[inputs]]
name = "count"
datatype = "INT64"
shape = [-1, 1]
[[outputs]]
name = "heard"
datatype = "BYTES"
shape = [-1, 1]
[[outputs]]
name = "twice"
datatype = "INT64"
shape = [-1, 1]
"""

type Written = Callable[[str, str], Path]


def sum_model(rows: int | str = "n") -> bytes:
    """softmax([x0, x1]) and its argmax."""
    nodes = [
        helper.make_node("Softmax", ["x"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 2])]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, [rows]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [rows, 2]),
    ]
    return graph(nodes, inputs, outputs)


def other_model() -> bytes:
    """As `sum_model`, of what was measured with the other sign."""
    nodes = [
        helper.make_node("Neg", ["x"], ["turned"]),
        helper.make_node("Softmax", ["turned"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2]),
    ]
    return graph(nodes, inputs, outputs)


def text_model() -> bytes:
    nodes = [
        helper.make_node("Identity", ["text"], ["heard"]),
        helper.make_node("Add", ["count", "count"], ["twice"]),
    ]
    inputs = [
        helper.make_tensor_value_info("text", TensorProto.STRING, ["n", 1]),
        helper.make_tensor_value_info("count", TensorProto.INT64, ["n", 1]),
    ]
    outputs = [
        helper.make_tensor_value_info("heard", TensorProto.STRING, ["n", 1]),
        helper.make_tensor_value_info("twice", TensorProto.INT64, ["n", 1]),
    ]
    return graph(nodes, inputs, outputs)


def graph(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: list[onnx.TensorProto] | None = None,
) -> bytes:
    made = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, weights),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    return bytes(made.SerializeToString())


def push(registry: Registry, folder: Path, text: str, data: bytes, files: dict[str, bytes] | None = None) -> None:
    file = folder / "spec.toml"
    file.write_text(text)
    spec = ModelSpec.from_toml(file)
    signature = OnnxModel.open(data, threads=1).signature
    facts: dict[str, Any] = {"metrics": {}, "lineage": {}, "compression": {}, "files": files}
    pushed = registry.push(spec, data, signature=signature, actor="test", why="test", **facts)
    registry.promote(spec.name, pushed.version, actor="test", why="test")


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a registry with three models: `sum`, `echo`, and `holes`, which is `sum` with missing values."""
    folder = tmp_path_factory.mktemp("registry")
    registry = Registry(Store.open((folder / "registry").as_uri(), environ={}))
    (folder / "registry").mkdir()
    push(registry, folder, SUM.format(nullable=""), sum_model())
    push(registry, folder, SUM.format(nullable="nullable = true").replace('"sum"', '"holes"'), sum_model())
    push(
        registry,
        folder,
        SUM.format(nullable="")
        .replace('"sum"', '"fixed"')
        .replace('[-1, 2]\ncolumns = ["length', '[4, 2]\ncolumns = ["length'),
        sum_model(),
    )
    push(registry, folder, TEXT, text_model())
    return folder / "registry"


THRESHOLD = 0.7
MAX_BATCH = 16


@pytest.fixture(scope="session")
def sided_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with two models whose heavy side is `other_model`: `both` asks it where the light one is not sure,
    and `alone` has no other."""
    folder = tmp_path_factory.mktemp("sided")
    (folder / "registry").mkdir()
    registry = Registry(Store.open((folder / "registry").as_uri(), environ={}))
    signature = OnnxModel.open(sum_model(), threads=1).signature
    facts: Any = {"metrics": {}, "lineage": {}, "compression": {}, "actor": "test", "why": "test"}
    for name, mode in (("both", "cascade"), ("alone", "always")):
        text = (
            SUM.format(nullable="")
            .replace('"sum"', f'"{name}"')
            .replace("[[inputs]]", 'backend = "sagemaker"\n[[inputs]]', 1)
        )
        file = folder / "spec.toml"
        file.write_text(f'{text}[heavy]\nmode = "{mode}"\nthreshold = {THRESHOLD}\nmax_batch = {MAX_BATCH}\n')
        spec = ModelSpec.from_toml(file)
        assert spec.heavy is not None
        package = packed(Repository(name, config(name, signature, spec.heavy), other_model()))
        if name == "both":
            registry.push(spec, sum_model(), signature=signature, files={"model.tar.gz": package}, **facts)
        else:
            registry.push(spec, package, signature=signature, artefact="model.tar.gz", **facts)
        registry.promote(name, 1, actor="test", why="test")
    return folder / "registry"


@pytest.fixture
def registry(place: Path) -> Registry:
    return Registry(Store.open(place.as_uri(), environ={}))


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write


def measurements(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 2)).astype(np.float32)


def shares(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    summed: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return summed


def sided(x: np.ndarray, model: str) -> tuple[np.ndarray, np.ndarray]:
    """The shares that each row's own side gives, and whether it is the heavy one."""
    light, heavy = shares(x), shares(-x)
    by_heavy = light.max(axis=1) < THRESHOLD if model == "both" else np.ones(len(x), bool)
    return np.where(by_heavy[:, None], heavy, light), by_heavy


def as_csv(x: np.ndarray) -> str:
    return "length,width\n" + "".join(f"{a!r},{b!r}\n" for a, b in x.astype(float).tolist())
