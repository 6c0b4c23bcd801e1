import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from lastmile.artefact import NEWEST_IR, NEWEST_OPSETS, inspect
from lastmile.errors import InvalidArtefact
from lastmile.model import OnnxModel

WEIGHTS = np.arange(6, dtype=np.float32).reshape(3, 2)

type Save = Callable[[ModelProto], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The model's own folder; beside it lies what must not be read."""
    (tmp_path / "secret").write_bytes(WEIGHTS.tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    return folder


@pytest.fixture
def save(folder: Path) -> Save:
    def write(model: ModelProto) -> Path:
        path = folder / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write


def made(*nodes: NodeProto, **changed: Any) -> ModelProto:
    """x [n, 3] times w, unless there are other nodes."""
    graph = helper.make_graph(
        list(nodes) or [helper.make_node("MatMul", ["x", "w"], ["y"], name="times")],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    opsets = changed.pop("opsets", {"": 17})
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    return helper.make_model(graph, opset_imports=imports, **({"ir_version": 8} | changed))


def external(model: ModelProto, **facts: object) -> ModelProto:
    """The model with its weights in another file."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in facts.items():
        tensor.external_data.add(key=key, value=str(value))
    return model


def run(data: bytes) -> list[list[float]]:
    outputs = OnnxModel.open(data, threads=1).run(None, {"x": np.ones((1, 3), np.float32)})
    rows: list[list[float]] = outputs[0].tolist()
    return rows


def test_a_model_in_one_file_is_taken_byte_for_byte(save: Save) -> None:
    path = save(made())
    assert inspect(path) == path.read_bytes()


def test_external_data_inside_the_folder_is_taken_in(save: Save, folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "weights.bin").write_bytes(b"12345678" + WEIGHTS.tobytes() + b"rest")
    data = inspect(save(external(made(), location="data/weights.bin", offset=8, length=24)))
    assert run(data) == [[6.0, 9.0]]
    tensor = onnx.load_from_string(data).graph.initializer[0]
    assert (tensor.data_location, len(tensor.external_data)) == (TensorProto.DEFAULT, 0)


def test_external_data_without_offset_and_length_is_the_whole_file(save: Save, folder: Path) -> None:
    (folder / "w").write_bytes(WEIGHTS.tobytes())
    assert run(inspect(save(external(made(), location="w")))) == [[6.0, 9.0]]


def test_a_symbolic_link_that_stays_inside_is_followed(save: Save, folder: Path) -> None:
    (folder / "blobs").mkdir()
    (folder / "blobs" / "abc").write_bytes(WEIGHTS.tobytes())
    (folder / "w").symlink_to("blobs/abc")
    assert run(inspect(save(external(made(), location="w")))) == [[6.0, 9.0]]


def test_a_model_that_is_a_link_itself_has_the_folder_it_is_named_in(save: Save, folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.onnx"
    link.symlink_to(save(made()))
    assert run(inspect(link)) == [[6.0, 9.0]]


@pytest.mark.parametrize(
    "location",
    [
        "../secret",
        "a/../../secret",
        "/etc/passwd",
        "\\secret",
        "..\\secret",
        "",
        ".",
        "a\x00b",
        "./../secret",
        "//secret",
    ],
)
def test_external_data_that_leaves_the_folder_is_refused(save: Save, location: str) -> None:
    with pytest.raises(InvalidArtefact, match=r"of tensor 'w' (leaves the folder|is no regular file)"):
        inspect(save(external(made(), location=location)))


def test_a_link_out_of_the_folder_is_refused_at_every_place_in_the_path(save: Save, folder: Path) -> None:
    (folder / "direct").symlink_to("../secret")
    (folder / "up").symlink_to("..")
    (folder / "twice").symlink_to("direct")
    for location in ("direct", "up/secret", "twice"):
        with pytest.raises(InvalidArtefact, match=r"leaves the folder of the model by a symbolic link"):
            inspect(save(external(made(), location=location)))


def test_what_is_no_regular_file_is_not_opened(save: Save, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "device").symlink_to("/dev/zero")
    (folder / "loop").symlink_to("loop")
    (folder / "folder").mkdir()
    for location, message in (
        ("pipe", "no regular file"),
        ("device", "leaves the folder"),
        ("loop", "cannot be read|symbolic link"),
        ("folder", "no regular file"),
        ("missing", "cannot be read: No such file"),
        ("x" * 300, "cannot be read: File name too long"),
    ):
        with pytest.raises(InvalidArtefact, match=message):
            inspect(save(external(made(), location=location)))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"offset": -1}, "wants bytes"),
        ({"offset": 25}, "wants bytes"),
        ({"length": 25}, "wants bytes 0 to 25, the file has 24"),
        ({"length": -5}, "wants bytes"),
        ({"offset": 20, "length": 24}, "wants bytes 20 to 44"),
        ({"offset": "x"}, "no number"),
        ({"length": "1e3"}, "no number"),
        ({"length": 12}, "not a valid ONNX model"),
        ({"length": 0}, "not a valid ONNX model"),
    ],
)
def test_parts_that_are_not_in_the_file_are_refused(
    save: Save, folder: Path, facts: dict[str, object], message: str
) -> None:
    (folder / "w").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(InvalidArtefact, match=message):
        inspect(save(external(made(), location="w", **facts)))


def test_external_data_counts_towards_the_limit_and_is_not_read_when_over_it(save: Save, folder: Path) -> None:
    with (folder / "huge").open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of nothing
    path = save(external(made(), location="huge"))
    with pytest.raises(InvalidArtefact, match="takes the model over the limit"):
        inspect(path)
    (folder / "small").write_bytes(WEIGHTS.tobytes())
    path = save(external(made(), location="small"))
    inspect(path, limit_bytes=path.stat().st_size + 24)
    with pytest.raises(InvalidArtefact, match="takes the model over the limit"):
        inspect(path, limit_bytes=path.stat().st_size + 23)


def test_one_small_file_that_is_named_very_often_does_not_grow_over_the_limit(save: Save, folder: Path) -> None:
    (folder / "w").write_bytes(WEIGHTS.tobytes())
    model = external(made(), location="w")
    for number in range(100):
        copy = model.graph.initializer.add()
        copy.CopyFrom(model.graph.initializer[0])
        copy.name = f"copy{number}"
    path = save(model)
    with pytest.raises(InvalidArtefact, match="over the limit"):
        inspect(path, limit_bytes=path.stat().st_size + 1000)


def hidden_tensor() -> TensorProto:
    tensor = numpy_helper.from_array(WEIGHTS, "hidden")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    return tensor


def branches(*, attribute: bool) -> NodeProto:
    """An If whose branches hold a tensor, in a node's attribute or as an initializer."""

    def branch(name: str) -> onnx.GraphProto:
        output = [helper.make_tensor_value_info("out", TensorProto.FLOAT, [3, 2])]
        if attribute:
            return helper.make_graph(
                [helper.make_node("Constant", [], ["out"], value=hidden_tensor())], name, [], output
            )
        return helper.make_graph(
            [helper.make_node("Identity", ["hidden"], ["out"])], name, [], output, [hidden_tensor()]
        )

    return helper.make_node("If", ["condition"], ["y"], name="if", then_branch=branch("a"), else_branch=branch("b"))


def in_function() -> ModelProto:
    function = helper.make_function(
        "own",
        "f",
        ["a"],
        ["b"],
        [helper.make_node("Constant", [], ["c"], value=hidden_tensor()), helper.make_node("MatMul", ["a", "c"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    return made(helper.make_node("f", ["x"], ["y"], domain="own"), opsets={"": 17, "own": 1}, functions=[function])


def sparse() -> ModelProto:
    model = made()
    indices = numpy_helper.from_array(np.arange(6, dtype=np.int64), "indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(hidden_tensor(), indices, [6]))
    return model


def in_training() -> ModelProto:
    model = made()
    model.training_info.add().algorithm.initializer.append(hidden_tensor())
    return model


@pytest.mark.parametrize(
    "model",
    [
        made(helper.make_node("Constant", [], ["y"], value=hidden_tensor())),
        made(branches(attribute=True)),
        made(branches(attribute=False)),
        in_function(),
        sparse(),
        in_training(),
    ],
    ids=["attribute", "attribute in a branch", "initializer of a branch", "function", "sparse", "training graph"],
)
def test_external_data_is_found_wherever_it_hides(save: Save, model: ModelProto) -> None:
    with pytest.raises(InvalidArtefact, match=r"'../secret' of tensor 'hidden' leaves the folder"):
        inspect(save(model))


@pytest.mark.parametrize("content", [b"", b"\x00", b"not a model", b"\x80\x04\x95pickle", b"PK\x03\x04", b"\x08\x08"])
def test_what_is_not_onnx_is_refused(folder: Path, content: bytes) -> None:
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(InvalidArtefact, match=r"model.onnx is not an ONNX file"):
        inspect(folder / "model.onnx")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_or_valid_and_nothing_else(folder: Path, data: st.DataObject) -> None:
    content = bytearray(made().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "damaged.onnx"
    path.write_bytes(content)
    try:
        inspect(path)
    except InvalidArtefact as error:
        assert str(error)


def test_the_name_of_a_dimension_is_text(save: Save) -> None:
    path = save(made())
    path.write_bytes(path.read_bytes().replace(b"\x12\x01n", b"\x12\x01\xff"))
    with pytest.raises(InvalidArtefact, match="a dimension of 'x' has a name that is not UTF-8"):
        inspect(path)


def test_the_name_of_a_file_with_external_data_is_text(save: Save) -> None:
    path = save(external(made(), location="w.bin"))
    path.write_bytes(path.read_bytes().replace(b"w.bin", b"w.\xff\xff\xff"))
    with pytest.raises(InvalidArtefact, match="external data of tensor 'w' is in a file with a name that is not UTF-8"):
        inspect(path)


def test_a_file_that_is_not_there_is_named(folder: Path) -> None:
    for path in (folder / "none.onnx", folder):
        with pytest.raises(InvalidArtefact, match=f"{path} is no file"):
            inspect(path)


def test_a_file_over_the_limit_is_refused(save: Save) -> None:
    path = save(made())
    size = path.stat().st_size
    assert inspect(path, limit_bytes=size)
    with pytest.raises(InvalidArtefact, match=f"is over the limit of {size - 1} bytes"):
        inspect(path, limit_bytes=size - 1)


@pytest.mark.parametrize("domain", ["", "ai.onnx.ml"])
def test_the_newest_opset_is_the_newest_that_the_runtime_loads(save: Save, domain: str) -> None:
    newest = NEWEST_OPSETS[domain]
    fits = made(opsets={"": 17} | {domain: newest})
    inspect(save(fits))
    onnxruntime.InferenceSession(fits.SerializeToString())
    too_new = made(opsets={"": 17} | {domain: newest + 1})
    with pytest.raises(InvalidArtefact, match=f"opset {newest + 1} of {domain or 'ai.onnx'} is too new"):
        inspect(save(too_new))
    with pytest.raises(InvalidArtefact, match="cannot load the model"):
        OnnxModel.open(too_new.SerializeToString(), threads=1)


def test_the_newest_file_format_is_the_newest_that_the_runtime_loads(save: Save) -> None:
    onnxruntime.InferenceSession(made(ir_version=NEWEST_IR).SerializeToString())
    too_new = made(ir_version=NEWEST_IR + 1)
    with pytest.raises(InvalidArtefact, match=r"file format \(IR\) is 14"):
        inspect(save(too_new))
    with pytest.raises(InvalidArtefact, match="cannot load the model"):
        OnnxModel.open(too_new.SerializeToString(), threads=1)


def test_a_missing_opset_is_named(save: Save) -> None:
    model = made()
    del model.opset_import[:]
    with pytest.raises(
        InvalidArtefact, match=r"operator MatMul \(node 'times'\) uses the domain 'ai.onnx', for which no"
    ):
        inspect(save(model))


def unknown(name: str = "evil") -> NodeProto:
    return helper.make_node("Run", ["x"], ["y"], name=name, domain="com.evil")


def test_an_unknown_operator_domain_is_refused_wherever_it_hides(save: Save) -> None:
    opsets = {"": 17, "com.evil": 1, "own": 1}
    branch = helper.make_graph([unknown("inner")], "b", [], [helper.make_tensor_value_info("y", 1, [1])])
    function = helper.make_function("own", "f", ["x"], ["y"], [unknown("deep")], [helper.make_opsetid("com.evil", 1)])
    for model, place in (
        (made(unknown(), opsets=opsets), r"\(node 'evil'\)"),
        (
            made(
                helper.make_node("If", ["c"], ["y"], name="if", then_branch=branch, else_branch=branch), opsets=opsets
            ),
            r"\(node 'inner'\) in subgraph '(then|else)_branch' of node 'if'",
        ),
        (
            made(helper.make_node("f", ["x"], ["y"], domain="own"), opsets=opsets, functions=[function]),
            r"\(node 'deep'\) in function 'f'",
        ),
    ):
        with pytest.raises(InvalidArtefact, match=f"operator Run {place} is of the unknown operator domain 'com.evil'"):
            inspect(save(model))


def test_a_function_of_the_model_itself_is_no_unknown_operator(save: Save) -> None:
    function = helper.make_function(
        "own", "f", ["a", "b"], ["c"], [helper.make_node("MatMul", ["a", "b"], ["c"])], [helper.make_opsetid("", 17)]
    )
    node = helper.make_node("f", ["x", "w"], ["y"], domain="own")
    assert run(inspect(save(made(node, opsets={"": 17, "own": 1}, functions=[function])))) == [[6.0, 9.0]]


def doubling(name: str, called: str, domain: str) -> FunctionProto:
    """A function that calls another one twice."""
    nodes = [helper.make_node(called, [one], [other], domain=domain) for one, other in (("a", "b"), ("b", "c"))]
    return helper.make_function("own", name, ["a"], ["c"], nodes, [*map(helper.make_opsetid, ("", "own"), (17, 1))])


@pytest.mark.parametrize("first", [("Identity", ""), ("f0", "own"), ("f29", "own")])
def test_functions_that_unfold_without_end_are_refused(save: Save, first: tuple[str, str]) -> None:
    functions = [doubling("f0", *first), *(doubling(f"f{n}", f"f{n - 1}", "own") for n in range(1, 30))]
    model = made(helper.make_node("f29", ["x"], ["y"], domain="own"), opsets={"": 17, "own": 1}, functions=functions)
    with pytest.raises(InvalidArtefact, match="the functions of the file unfold into more than 1,000,000 operators"):
        inspect(save(model))


@pytest.mark.parametrize("operator", ["EPContext", "PythonOp", "ATen"])
def test_operators_that_open_other_files_or_run_code_are_refused(save: Save, operator: str) -> None:
    node = helper.make_node(operator, ["x"], ["y"], name="n", domain="com.microsoft", ep_cache_context="/etc/passwd")
    with pytest.raises(InvalidArtefact, match=f"operator {operator} .* reaches outside of the model"):
        inspect(save(made(node, opsets={"": 17, "com.microsoft": 1})))


def test_what_the_checker_finds_is_told(save: Save) -> None:
    with pytest.raises(InvalidArtefact, match=r"is not a valid ONNX model: .*NoSuchOperator"):
        inspect(save(made(helper.make_node("NoSuchOperator", ["x"], ["y"]))))


def test_pushing_needs_onnx_and_importing_does_not() -> None:
    script = "import sys, lastmile.artefact; print('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b"False\n"
