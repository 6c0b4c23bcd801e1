"""`lastmile push --heavy`: both sides of a model as one ordinary version."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lastmile.heavy.packaging import PACKAGE, unpacked
from lastmile.model import OnnxModel

SPEC = """
name = "tickets"
task = "classification"
description = "Four numbers, two classes."
backend = "sagemaker"

[[inputs]]
name = "x"
datatype = "FP32"
shape = [-1, 4]

[[outputs]]
name = "label"
datatype = "INT64"
shape = [-1]

[[outputs]]
name = "probabilities"
datatype = "FP32"
shape = [-1, 2]

[certificate]
tolerance = 0.003

[heavy]
mode = "cascade"
asleep = "degraded"
"""


def network(path: Path, *, hidden: int, scale: float = 0.5, opset: int = 17, ir: int = 8, inner: str = "Tanh") -> Path:
    """Two layers from x to probabilities, and the label of the higher one."""
    random = np.random.default_rng(hidden)
    weights = {"a": random.standard_normal((4, hidden)), "b": random.standard_normal((hidden, 2))}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "a"], ["xa"]),
            helper.make_node(inner, ["xa"], ["h"]),
            helper.make_node("MatMul", ["h", "b"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
            helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
        ],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2]),
        ],
        [numpy_helper.from_array((scale * array).astype(np.float32), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def desk(workspace: Any) -> Any:
    """A workspace with a spec that has a heavy side."""
    workspace.spec.write_text(SPEC)
    return workspace


@pytest.fixture
def light(desk: Any) -> Path:
    return network(desk.root / "light.onnx", hidden=2)


@pytest.fixture
def heavy(desk: Any) -> Path:
    return network(desk.root / "heavy.onnx", hidden=64)


def words(desk: Any, *more: object) -> tuple[object, ...]:
    return ("--spec", desk.spec, "--registry", desk.registry_folder, *more)


def test_both_sides_are_one_version(lastmile: Any, desk: Any, light: Path, heavy: Path) -> None:
    outcome = lastmile("push", light, "--heavy", heavy, *words(desk))
    assert outcome.code == 0, outcome.err
    manifest = desk.registry.manifest("tickets", 1)
    assert manifest.artefact.path == "model.onnx"
    assert desk.registry.artefact(manifest) == light.read_bytes()
    assert [file.path for file in manifest.files] == ["heavy-certificate.json", PACKAGE]
    assert manifest.policy["heavy"]["mode"] == "cascade"
    assert manifest.compression["heavy"]["precision"] == "fp16"
    assert manifest.compression["heavy"]["bytes"] < manifest.compression["heavy"]["fp32_bytes"]
    repository = unpacked(desk.registry.file(manifest, PACKAGE))
    assert repository.name == "tickets"
    assert 'backend: "onnxruntime"' in repository.config
    assert "model_warmup" in repository.config


def test_the_packed_graph_calculates_in_half_floats_and_answers_nearly_as_before(
    lastmile: Any, desk: Any, light: Path, heavy: Path
) -> None:
    assert lastmile("push", light, "--heavy", heavy, *words(desk)).code == 0
    package = unpacked(desk.registry.file(desk.registry.manifest("tickets", 1), PACKAGE))
    proto = onnx.ModelProto.FromString(package.onnx)
    assert {tensor.data_type for tensor in proto.graph.initializer} == {TensorProto.FLOAT16}
    rows = {"x": np.random.default_rng(1).standard_normal((32, 4)).astype(np.float32)}
    (half,), (single,) = (
        OnnxModel.open(data, threads=1).run(["probabilities"], rows) for data in (package.onnx, heavy.read_bytes())
    )
    assert half.dtype == np.float32
    assert 0 < np.abs(half - single).max() < 0.003


def test_release_canary_rollback_and_audit_are_those_of_any_version(
    lastmile: Any, desk: Any, light: Path, heavy: Path
) -> None:
    assert lastmile("push", light, "--heavy", heavy, *words(desk, "--promote")).code == 0
    again = lastmile("push", light, "--heavy", heavy, *words(desk, "--json"))
    assert (again.json["pushed"], again.json["manifest"]["version"]) == (False, 1)
    other = network(desk.root / "other.onnx", hidden=96)
    assert lastmile("push", light, "--heavy", other, *words(desk, "--why", "wider")).code == 0
    registry = desk.registry
    registry.canary("tickets", 2, weight=0.1, actor="ann", why="try")
    registry.promote("tickets", 2, actor="ann", why="better")
    assert registry.rollback("tickets", actor="ann", why="worse").champion == 1
    assert [entry.action for entry in registry.audit("tickets")][:4] == ["rollback", "promote", "canary", "register"]
    assert registry.verify_audit("tickets") == []


def test_a_heavy_model_alone_is_a_version_too(lastmile: Any, desk: Any, heavy: Path) -> None:
    desk.spec.write_text(SPEC.replace("cascade", "always").replace("degraded", "accepted"))
    assert lastmile("push", "--heavy", heavy, *words(desk)).code == 0
    manifest = desk.registry.manifest("tickets", 1)
    assert manifest.artefact.path == PACKAGE
    assert unpacked(desk.registry.artefact(manifest)).name == "tickets"
    assert [tensor.name for tensor in manifest.signature.outputs] == ["label", "probabilities"]


def test_the_same_files_give_the_same_digest(lastmile: Any, desk: Any, light: Path, heavy: Path) -> None:
    digests = set()
    for number in (1, 2):
        folder = desk.root / f"registry-{number}"
        assert lastmile("push", light, "--heavy", heavy, "--spec", desk.spec, "--registry", folder).code == 0
        digests.add(hashlib.sha256((folder / "models/tickets/versions/1" / PACKAGE).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_single_floats_are_packed_as_they_are(lastmile: Any, desk: Any, light: Path, heavy: Path) -> None:
    desk.spec.write_text(SPEC + 'precision = "fp32"\n')
    assert lastmile("push", light, "--heavy", heavy, *words(desk)).code == 0
    manifest = desk.registry.manifest("tickets", 1)
    assert unpacked(desk.registry.file(manifest, PACKAGE)).onnx == heavy.read_bytes()
    assert [file.path for file in manifest.files] == [PACKAGE]


def test_the_certificate_says_on_which_rows_it_was_given(lastmile: Any, desk: Any, light: Path, heavy: Path) -> None:
    rows = desk.write("rows.json", "[[1, 2, 3, 4], [0.5, 0, -1, 2]]")
    assert lastmile("push", light, "--heavy", heavy, "--rows", rows, *words(desk)).code == 0
    certificate = certificate_of(desk, 1)
    assert (certificate["source"], certificate["rows"], certificate["tolerance"]) == ("rows.json", 2, 0.003)
    assert [(one["output"], one["count"]) for one in certificate["compared"]] == [("label", 2), ("probabilities", 2)]
    desk.spec.write_text(SPEC.replace("0.003", "0.004"))
    assert lastmile("push", light, "--heavy", heavy, *words(desk)).code == 0
    assert (certificate_of(desk, 2)["source"], certificate_of(desk, 2)["rows"]) == ("made up", 64)


def test_rows_in_another_encoding_are_refused(lastmile: Any, desk: Any, light: Path, heavy: Path) -> None:
    rows = desk.root / "rows.csv"
    rows.write_bytes("größe\n1\n".encode("latin-1"))
    outcome = lastmile("push", light, "--heavy", heavy, "--rows", rows, *words(desk))
    assert (outcome.code, outcome.out) == (1, "")
    assert "rows.csv is not UTF-8 at byte 2." in outcome.err


def test_a_newer_file_format_of_old_operators_is_brought_to_what_triton_takes(
    lastmile: Any, desk: Any, light: Path
) -> None:
    desk.spec.write_text(SPEC + 'precision = "fp32"\n')
    heavy = network(desk.root / "new.onnx", hidden=64, opset=21, ir=13)
    assert lastmile("push", light, "--heavy", heavy, *words(desk)).code == 0
    package = unpacked(desk.registry.file(desk.registry.manifest("tickets", 1), PACKAGE))
    assert onnx.ModelProto.FromString(package.onnx).ir_version == 10


@pytest.mark.parametrize(
    ("old", "new", "given", "said"),
    [
        ("0.003", "1e-7", "both", "in half floats the heavy model differs in 'probabilities' on"),
        ('"cascade"', '"cascade"', "heavy", 'mode "cascade" needs a light model'),
        ('"cascade"', '"always"', "heavy", 'asleep "degraded" needs a light model'),
        ('"cascade"', '"cascade"', "light", "Give its ONNX file with --heavy"),
        ('"cascade"', '"cascade"', "neither", "Give its ONNX file with --heavy"),
        ('backend = "sagemaker"', "", "both", '"sagemaker" and the section [heavy] go together'),
        ("shape = [-1, 4]", "shape = [-1, 5]", "both", "Input 'x' has shape [-1, 4]"),
        ('"cascade"', '"cascade"', "opset", "Triton's container knows up to 21"),
        ('"cascade"', '"cascade"', "text", "heavy.onnx is not an ONNX file"),
        (
            '"cascade"',
            '"cascade"',
            "huge",
            "in half floats the heavy model differs in 'probabilities' on 64 of 64 rows",
        ),
    ],
)
def test_what_is_refused_leaves_nothing_behind(
    lastmile: Any, desk: Any, light: Path, heavy: Path, old: str, new: str, given: str, said: str
) -> None:
    desk.spec.write_text(SPEC.replace(old, new))
    match given:
        case "opset":
            network(heavy, hidden=64, opset=22, ir=10)
        case "text":
            heavy.write_text("no model")
        case "huge":
            network(heavy, hidden=64, scale=1e3, inner="Relu")  # its logits are beyond what half floats hold
    chosen: dict[str, list[object]] = {"heavy": ["--heavy", heavy], "light": [light], "neither": []}
    files = chosen.get(given, [light, "--heavy", heavy])
    outcome = lastmile("push", *files, *words(desk))
    assert (outcome.code, outcome.out) == (1, "")
    assert said.lower() in outcome.err.lower()
    assert "Traceback" not in outcome.err
    assert not desk.registry_folder.exists()


@pytest.mark.parametrize("option", ["--heavy", "--rows"])
def test_options_of_a_heavy_side_are_refused_without_one(lastmile: Any, desk: Any, light: Path, option: str) -> None:
    desk.spec.write_text(SPEC.replace('backend = "sagemaker"', "").split("[heavy]")[0])
    outcome = lastmile("push", light, option, light, *words(desk))
    assert outcome.code == 1
    assert "heavy" in outcome.err
    assert not desk.registry_folder.exists()


def certificate_of(desk: Any, version: int) -> Any:
    import orjson

    return orjson.loads(desk.registry.file(desk.registry.manifest("tickets", version), "heavy-certificate.json"))
