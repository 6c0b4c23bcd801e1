import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastmile.errors import InvalidArtefact, InvalidSpec
from lastmile.manifest import MODEL_NAME
from lastmile.spec import ModelSpec, validate
from lastmile.tensors import DATATYPES, Signature, TensorSpec

REPOSITORY = Path(__file__).parents[3]

type Document = dict[str, Any]


def document() -> Document:
    return {
        "name": "fraud",
        "task": "classification",
        "description": "Is this payment a fraud?",
        "inputs": [
            {
                "name": "features",
                "datatype": "FP32",
                "shape": [-1, 2],
                "columns": ["amount", "age (years)"],
                "nullable": True,
                "pii": "drop",
            },
            {"name": "text", "datatype": "BYTES", "shape": [-1, 1]},
        ],
        "outputs": [{"name": "probability", "datatype": "FP32", "shape": [-1]}],
    }


def changed(change: Callable[[Document], object]) -> Document:
    made = document()
    change(made)
    return made


def test_a_spec_keeps_what_it_says() -> None:
    spec = validate(document())
    assert spec == ModelSpec(
        name="fraud",
        task="classification",
        description="Is this payment a fraud?",
        inputs=(
            TensorSpec("features", "FP32", (-1, 2), ("amount", "age (years)"), nullable=True, pii="drop"),
            TensorSpec("text", "BYTES", (-1, 1)),
        ),
        outputs=(TensorSpec("probability", "FP32", (-1,)),),
        backend="onnx",
    )


def test_a_spec_comes_back_from_its_document() -> None:
    spec = validate(document())
    stored = orjson.loads(orjson.dumps(spec.to_document()))
    assert ModelSpec.from_document(stored) == spec
    assert validate(stored) == spec


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("models/*/spec.toml")), ids=lambda path: path.parent.name)
def test_the_declared_models_are_valid_and_bear_the_name_of_their_folder(path: Path) -> None:
    assert ModelSpec.from_toml(path).name == path.parent.name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(nam="x"), "nam: unknown key; did you mean 'name'"),
        (lambda d: d["inputs"][1].update(colums=["a"]), r"inputs\[1\].colums: unknown key; did you mean 'columns'"),
        (lambda d: d["outputs"][0].update(threshold=1), r"outputs\[0\].threshold: unknown key$"),
        (lambda d: d.pop("task"), "task: missing"),
        (lambda d: d["inputs"][0].pop("shape"), r"inputs\[0\].shape: missing"),
        (lambda d: d.update(task="magic"), "task: Input should be 'classification'"),
        (lambda d: d.update(backend="pickle"), "backend: Input should be 'onnx'"),
        (lambda d: d.update(description=" "), "description: must have 1 to 2000 characters"),
        (lambda d: d.update(description="x" * 2001), "description: must have 1 to 2000 characters"),
        (lambda d: d.update(description=3), "description: Input should be a valid string"),
        (lambda d: d.update(inputs=[]), "inputs: at least one tensor"),
        (lambda d: d.update(outputs={}), "outputs: Input should be a valid"),
        (lambda d: d["inputs"][0].update(datatype="FP31"), r"inputs\[0\].datatype: 'FP31' is none of BOOL, UINT8"),
        (lambda d: d["inputs"][0].update(shape=[0, 2]), r"inputs\[0\].shape: \[0, 2\] must be"),
        (lambda d: d["inputs"][0].update(shape=[-2, 2]), r"inputs\[0\].shape: \[-2, 2\] must be"),
        (lambda d: d["inputs"][0].update(shape=["n", 2]), r"inputs\[0\].shape\[0\]: Input should be a valid integer"),
        (lambda d: d["inputs"][0].update(shape=[True, 2]), r"inputs\[0\].shape\[0\]: Input should be a valid integer"),
        (lambda d: d["inputs"][0].update(shape=[1.0, 2]), r"inputs\[0\].shape\[0\]: Input should be a valid integer"),
        (lambda d: d["inputs"][0].update(shape=[1] * 33, columns=[]), r"inputs\[0\].shape: .* at most 32 lengths"),
        (lambda d: d["inputs"][0].update(columns=["amount"]), r"inputs\[0\].columns: 1 names for the last axis of"),
        (lambda d: d["inputs"][0].update(shape=[-1]), r"inputs\[0\].columns: 2 names for the last axis of \[-1\]"),
        (lambda d: d["inputs"][0].update(shape=[]), r"inputs\[0\].columns: 2 names for the last axis of \[\]"),
        (lambda d: d["inputs"][0].update(columns=["a", "a"]), r"inputs\[0\].columns: 'a' is there more than once"),
        (lambda d: d["inputs"][0].update(columns=["a", " b"]), r"inputs\[0\].columns: ' b' must be"),
        (lambda d: d["inputs"][0].update(columns=["a", "b\n"]), r"inputs\[0\].columns: 'b\\n' must be"),
        (lambda d: d["inputs"][0].update(columns=["a", ""]), r"inputs\[0\].columns: '' must be"),
        (lambda d: d["inputs"][1].update(name="features"), "inputs: 'features' is there more than once"),
        (lambda d: d["inputs"][1].update(name="a b"), r"inputs\[1\].name: 'a b' must be"),
        (lambda d: d["inputs"][1].update(nullable=True), r"inputs\[1\].nullable: BYTES cannot say"),
        (lambda d: d["inputs"][0].update(pii=True), r"inputs\[0\].pii: Input should be 'drop', 'hash' or 'mask'"),
        (lambda d: d["inputs"][0].update(pii="mask"), r"inputs\[0\].pii: FP32 holds no text to mask; drop it$"),
        (lambda d: d["inputs"][0].update(pii="hash", nullable=False), r"inputs\[0\].pii: FP32 cannot be hashed"),
        (lambda d: d["inputs"][1].update(datatype="INT64", pii="mask"), r"no text to mask; drop it or hash it"),
        (lambda d: d["inputs"][1].update(datatype="BOOL", pii="hash"), r"inputs\[1\].pii: BOOL cannot be hashed"),
        (lambda d: d["outputs"][0].update(pii="drop"), r"outputs\[0\].pii: only an input"),
        (lambda d: d["outputs"][0].update(nullable=True), r"outputs\[0\].nullable: only an input"),
        (lambda d: d.update(description=1 << 70), "description: the number is beyond 64 bits"),
        (lambda d: d.update(description="\ud800"), "a value cannot be used"),
        (lambda d: d.update(description=date(2026, 1, 1)), "description: 2026-01-01 is a date or time"),
        (lambda d: d.update(features={"text": {"minimum": math.nan}}), "features.text.minimum: nan is no finite"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(change: Callable[[Document], object], message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        validate(changed(change))


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(InvalidSpec, match=r"name: .*; .*inputs\[0\].datatype: .*outputs\[0\].shape: "):
        validate(
            changed(
                lambda d: (
                    d.update(name="Fraud"),
                    d["inputs"][0].update(datatype="float"),
                    d["outputs"][0].update(shape=[0]),
                )
            )
        )


@pytest.mark.parametrize(
    "name", ["", "A", "1a", "-a", "a_b", "a/b", "../a", "a..", "a b", "a\n", "ä", "a" * 64, "a/../../etc", "a%2fb"]
)
def test_names_with_path_characters_or_capitals_are_refused(name: str) -> None:
    with pytest.raises(InvalidSpec, match="name: "):
        validate(document() | {"name": name})


@settings(deadline=None)
@given(st.from_regex(r"\A[a-z][a-z0-9-]{0,62}\Z"))
def test_every_other_name_is_fine(name: str) -> None:
    assert MODEL_NAME.fullmatch(name)
    assert validate(document() | {"name": name}).name == name


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
documents = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@settings(deadline=None)
@given(documents)
def test_no_document_fails_in_another_way(value: Any) -> None:
    for key in ("name", "inputs", "outputs"):
        try:
            validate(document() | {key: value})
        except InvalidSpec:
            continue


def test_toml_files_are_named_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    with pytest.raises(InvalidSpec, match=r"spec.toml cannot be read: No such file"):
        ModelSpec.from_toml(path)
    path.write_text("name = ")
    with pytest.raises(InvalidSpec, match=r"spec.toml is no TOML: "):
        ModelSpec.from_toml(path)
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(InvalidSpec, match=r"spec.toml is no TOML: "):
        ModelSpec.from_toml(path)
    path.write_text(f"x = {'9' * 5000}")
    with pytest.raises(InvalidSpec, match=r"spec.toml is no TOML: "):
        ModelSpec.from_toml(path)
    path.write_text(f"x = {'[' * 9999}")
    with pytest.raises(InvalidSpec, match=r"spec.toml is nested too deep"):
        ModelSpec.from_toml(path)
    path.write_text("nam = 'x'", encoding="utf-8-sig")
    with pytest.raises(InvalidSpec, match=r"spec.toml: .*nam: unknown key"):
        ModelSpec.from_toml(path)


X = TensorSpec("x", "FP32", (-1, 3), ("a", "b", "c"), nullable=True, pii="drop")
Y = TensorSpec("y", "FP32", (-1, 2))


def spec(x: TensorSpec = X, y: TensorSpec = Y) -> ModelSpec:
    return ModelSpec("m", "regression", "d", (x,), (y,))


def test_the_served_signature_knows_what_the_spec_and_the_graph_know() -> None:
    graph = Signature(inputs=(TensorSpec("x", "FP32", (-1, -1)),), outputs=(TensorSpec("y", "FP32", (-1, 2)),))
    served = spec(y=replace(Y, shape=(-1, -1))).signature(graph)
    assert served == Signature(inputs=(X,), outputs=(Y,))


@pytest.mark.parametrize(
    ("wanted", "graph", "message"),
    [
        (X, replace(X, name="z"), "inputs are z; the spec says x"),
        (X, replace(X, datatype="FP64"), "input 'x' is FP64 in the model and FP32 in the spec"),
        (X, replace(X, shape=(-1, 4)), r"input 'x' has shape \[-1, 4\] in the model and \[-1, 3\] in the spec"),
        (X, replace(X, shape=(-1,)), r"input 'x' has shape \[-1\]"),
        (X, replace(X, shape=(1, 3)), r"input 'x' has shape \[1, 3\] in the model and \[-1, 3\] in the spec"),
        (replace(X, shape=(-1, 1 << 31)), replace(X, shape=()), r"input 'x' has shape .* 2,147,483,648 elements"),
    ],
)
def test_a_graph_that_contradicts_the_spec_is_refused(wanted: TensorSpec, graph: TensorSpec, message: str) -> None:
    with pytest.raises(InvalidArtefact, match=message):
        spec(wanted).signature(Signature((graph,), (Y,)))
    if graph.shape != (1, 3):  # an output may be more exact than the spec
        with pytest.raises(InvalidArtefact, match=message.replace("input", "output")):
            spec(y=replace(wanted, columns=())).signature(Signature((X,), (graph,)))


def test_more_or_fewer_tensors_than_the_spec_says_are_refused() -> None:
    with pytest.raises(InvalidArtefact, match="outputs are y, z; the spec says y"):
        spec().signature(Signature((X,), (Y, replace(Y, name="z"))))
    with pytest.raises(InvalidArtefact, match="inputs are ; the spec says x"):
        spec().signature(Signature((), (Y,)))


def test_an_output_may_be_more_exact_than_the_spec_or_open() -> None:
    exact = spec(y=replace(Y, shape=(-1, -1))).signature(Signature((X,), (Y,)))
    assert exact.outputs == (Y,)
    assert spec().signature(Signature((X,), (replace(Y, shape=()),))).outputs == (Y,)
    assert spec().signature(Signature((X,), (replace(Y, shape=(-1, -1)),))).outputs == (Y,)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_of_the_table_can_be_declared(datatype: str) -> None:
    made = changed(lambda d: d["inputs"][1].update(datatype=datatype))
    assert validate(made).inputs[1].datatype == datatype
