from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lastmile.errors import InvalidArtefact, InvalidInput, ModelFailed
from lastmile.model import OnnxModel, threads_for
from lastmile.tensors import DATATYPES, Signature, TensorSpec

ONNX_TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


@pytest.mark.parametrize(
    ("memory_mb", "cores", "threads"),
    [
        (128, 2, 1),
        (1769, 2, 1),
        (2048, 2, 1),
        (3008, 2, 2),
        (3538, 6, 2),
        (5307, 4, 3),
        (10240, 6, 6),
        (10240, 2, 2),
        (None, 6, 6),
    ],
)
def test_threads_follow_the_memory_that_is_paid_for(
    memory_mb: int | None, cores: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert threads_for(memory_mb) == threads


def threads_of_this_process() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


@pytest.mark.parametrize("opened_from", ["memory", "file"])
def test_a_small_model_whose_runs_are_short_gets_one_thread(
    opened_from: str, linear: Callable[..., bytes], repeated_product: bytes, two_in_two_out: bytes, tmp_path: Path
) -> None:
    def added(model: bytes) -> int:
        path = tmp_path / "model.onnx"
        path.write_bytes(model)
        before = threads_of_this_process()
        opened = OnnxModel.open(path if opened_from == "file" else model, threads=3)
        added = threads_of_this_process() - before
        del opened
        return added

    assert added(linear()) == 0
    assert added(repeated_product) == 2  # small too, but it has a lot to do
    assert added(two_in_two_out) == 2  # what it has to do depends on the text
    assert added(linear(inputs=1024, outputs=1025)) == 2  # over 4 MB: not even tried


def test_a_model_opens_from_memory_and_from_a_file(linear: Callable[..., bytes], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(linear())
    feeds = {"x": np.ones((2, 3), np.float32)}
    (from_memory,) = OnnxModel.open(linear(), threads=1).run(None, feeds)
    (from_file,) = OnnxModel.open(path, threads=1).run(None, feeds)
    np.testing.assert_array_equal(from_memory, [[10.0, 13.0], [10.0, 13.0]])
    np.testing.assert_array_equal(from_file, from_memory)


def test_the_signature_is_what_the_graph_says(two_in_two_out: bytes) -> None:
    signature = OnnxModel.open(two_in_two_out, threads=1).signature
    assert signature.inputs == (
        TensorSpec("age", "FP32", (-1, 1)),
        TensorSpec("income", "FP32", (-1, 1)),
        TensorSpec("text", "BYTES", (-1, 1)),
    )
    assert [spec.name for spec in signature.outputs] == ["total", "flag"]


@pytest.mark.parametrize("name", DATATYPES)
def test_every_datatype_passes_through_a_graph(name: str, identity: Callable[..., bytes]) -> None:
    model = OnnxModel.open(identity(ONNX_TYPES[name]), threads=1)
    assert model.signature.inputs[0].datatype == name
    array = np.array(["a", "é"], dtype=object) if name == "BYTES" else np.array([0, 1], DATATYPES[name].dtype)
    (answer,) = model.run(None, {"x": array})
    assert answer.dtype == array.dtype
    assert answer.tolist() == array.tolist()


def test_what_is_no_model_is_refused(linear: Callable[..., bytes]) -> None:
    with pytest.raises(InvalidArtefact, match="cannot load"):
        OnnxModel.open(b"not a model", threads=1)
    with pytest.raises(InvalidArtefact, match="the name of an input or output of the model is not UTF-8"):
        OnnxModel.open(linear().replace(b"\n\x01x", b"\n\x01\xff"), threads=1)


def test_a_graph_that_loops_for_ever_is_tried_for_so_long(identity: Callable[..., bytes]) -> None:
    info, kinds = helper.make_tensor_value_info, TensorProto
    step = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["value"], ["same"])],
        "step",
        [info("n", kinds.INT64, []), info("go", kinds.BOOL, []), info("value", kinds.FLOAT, None)],
        [info("on", kinds.BOOL, []), info("same", kinds.FLOAT, None)],
    )
    endless = onnx.load_from_string(identity(TensorProto.FLOAT))
    endless.graph.node[0].CopyFrom(helper.make_node("Loop", ["", "true", "x"], ["y"], body=step))
    endless.graph.initializer.append(numpy_helper.from_array(np.array(True), "true"))
    model, feeds = OnnxModel.open(endless.SerializeToString(), threads=1), {"x": np.ones(1, np.float32)}
    with pytest.raises(ModelFailed, match=r"has come to no end within 0\.05 seconds"):
        model.try_run(None, feeds, seconds=0.05)
    (answer,) = OnnxModel.open(identity(TensorProto.FLOAT), threads=1).try_run(None, feeds)
    assert answer.tolist() == [1.0]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ((TensorSpec("z", "FP32", (-1, 3)),), "the model's inputs are x"),
        ((TensorSpec("x", "FP64", (-1, 3)),), "'x' is FP32; the signature says FP64"),
        ((TensorSpec("x", "FP32", (-1, 4)),), r"shape \[-1, 3\]"),
        ((TensorSpec("x", "FP32", (3,)),), r"shape \[-1, 3\]"),
    ],
)
def test_a_signature_that_the_graph_contradicts_is_refused(
    inputs: tuple[TensorSpec, ...], said: str, linear: Callable[..., bytes]
) -> None:
    model = OnnxModel.open(linear(), threads=1)
    with pytest.raises(InvalidArtefact, match=said):
        model.check(Signature(inputs, (TensorSpec("y", "FP32", (-1, 2)),)))


def test_input_that_the_graph_refuses_is_the_callers_error(linear: Callable[..., bytes]) -> None:
    with pytest.raises(InvalidInput, match="refuses this input"):
        OnnxModel.open(linear(), threads=1).run(None, {"x": np.ones((2, 4), np.float32)})


def test_bytes_that_are_no_text_are_the_callers_error(identity: Callable[..., bytes]) -> None:
    array = np.array(["a", b"\xff"], dtype=object)
    with pytest.raises(InvalidInput, match="input 'x': element 1 is not UTF-8"):
        OnnxModel.open(identity(TensorProto.STRING), threads=1).run(None, {"x": array})


def test_warming_runs_the_graph_or_leaves_it_alone(linear: Callable[..., bytes], two_in_two_out: bytes) -> None:
    for data in (linear(), two_in_two_out):
        OnnxModel.open(data, threads=1).warm()
