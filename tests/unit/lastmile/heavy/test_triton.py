"""Configurations read back with Triton's own definition of them, which its client's package carries."""

import importlib.metadata
import importlib.util
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from google.protobuf import text_format  # type: ignore[import-untyped]

from lastmile.heavy.triton import TYPES, config, row_shape
from lastmile.policies import Heavy
from lastmile.tensors import DATATYPES, Signature, TensorSpec

HEAVY = Heavy(mode="always")
SIGNATURE = Signature(
    inputs=(TensorSpec("text", "BYTES", (-1,)), TensorSpec("tokens", "INT64", (-1, -1))),
    outputs=(TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, 77))),
)


@cache
def definition() -> Any:
    """The module alone: its package would import gRPC."""
    path = importlib.metadata.distribution("tritonclient").locate_file("tritonclient/grpc/model_config_pb2.py")
    spec = importlib.util.spec_from_file_location("model_config_pb2", str(path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parsed(text: str) -> Any:
    return text_format.Parse(text, definition().ModelConfig())


def test_tensors_are_those_of_the_signature() -> None:
    found = parsed(config("tickets", SIGNATURE, HEAVY))
    assert (found.name, found.backend, found.max_batch_size) == ("tickets", "onnxruntime", 32)
    tensors = [*found.input, *found.output]
    assert [(tensor.name, [*tensor.dims]) for tensor in tensors] == [
        ("text", [1]),
        ("tokens", [-1]),
        ("label", [1]),
        ("probabilities", [77]),
    ]
    kinds = [definition().DataType.Name(tensor.data_type) for tensor in tensors]
    assert kinds == ["TYPE_STRING", "TYPE_INT64", "TYPE_INT64", "TYPE_FP32"]


def test_a_row_without_axes_has_one_on_the_wire_and_none_in_the_graph() -> None:
    found = parsed(config("tickets", SIGNATURE, HEAVY))
    assert [tensor.HasField("reshape") for tensor in (*found.input, *found.output)] == [True, False, True, False]
    assert not found.input[0].reshape.shape
    assert [row_shape(tensor) for tensor in SIGNATURE.inputs] == [(1,), (-1,)]


def test_every_datatype_of_ours_is_one_of_tritons() -> None:
    assert TYPES.keys() == DATATYPES.keys()
    for name, kind in TYPES.items():
        signature = Signature((TensorSpec("x", name, (-1, 2)),), (TensorSpec("y", name, (-1, 2)),))
        assert definition().DataType.Name(parsed(config("m", signature, HEAVY)).input[0].data_type) == kind


@pytest.mark.parametrize(
    ("change", "read"),
    [
        ({"max_batch": 8}, lambda found: found.max_batch_size == 8),
        ({"batch_delay_us": 90}, lambda found: found.dynamic_batching.max_queue_delay_microseconds == 90),
        ({"tensorrt": True}, lambda found: accelerators(found) == {"tensorrt": "FP16"}),
        ({"tensorrt": True, "precision": "fp32"}, lambda found: accelerators(found) == {"tensorrt": "FP32"}),
    ],
    ids=["max_batch", "batch_delay_us", "tensorrt", "precision"],
)
def test_an_option_has_its_effect(change: dict[str, Any], read: Any) -> None:
    assert read(parsed(config("m", SIGNATURE, replace(HEAVY, **change))))
    assert not read(parsed(config("m", SIGNATURE, HEAVY)))


def test_it_runs_on_a_gpu_or_where_there_is_none() -> None:
    def kind(*, gpu: bool) -> str:
        (group,) = parsed(config("m", SIGNATURE, replace(HEAVY, tensorrt=True), gpu=gpu)).instance_group
        return str(definition().ModelInstanceGroup.Kind.Name(group.kind))

    assert (kind(gpu=True), kind(gpu=False)) == ("KIND_GPU", "KIND_CPU")
    assert not accelerators(parsed(config("m", SIGNATURE, replace(HEAVY, tensorrt=True), gpu=False)))


def test_one_row_and_a_whole_batch_of_zeros_come_first() -> None:
    found = parsed(config("m", SIGNATURE, HEAVY)).model_warmup
    assert [warm.batch_size for warm in found] == [1, 32]
    for warm in found:
        assert {name: [*value.dims] for name, value in warm.inputs.items()} == {"text": [1], "tokens": [16]}
        assert all(value.zero_data for value in warm.inputs.values())
    assert [warm.batch_size for warm in parsed(config("m", SIGNATURE, replace(HEAVY, max_batch=1))).model_warmup] == [1]
    assert not parsed(config("m", SIGNATURE, HEAVY, warm=False)).model_warmup


def accelerators(found: Any) -> dict[str, str]:
    return {
        one.name: one.parameters["precision_mode"]
        for one in found.optimization.execution_accelerators.gpu_execution_accelerator
    }
