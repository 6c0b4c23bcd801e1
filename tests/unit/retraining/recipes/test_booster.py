"""What XGBoost has trained, against XGBoost itself: the version of AWS's container."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import xgboost

from functions.retraining.evaluation import answers
from functions.retraining.recipes.booster import Booster
from functions.retraining.recipes.encoding import Encoding
from functions.retraining.recipes.probing import background
from functions.retraining.recipes.xgboost import Boosted, hyperparameters, targets
from lastmile.errors import DataRefused, InvalidArtefact
from lastmile.model import OnnxModel
from lastmile.spec import ModelSpec
from lastmile.tensors import Array
from tests.unit.retraining.recipes.examples import KIND, LABEL, NUMBERS, PROBABILITIES, rows, spec

VALUE = {"name": "value", "datatype": "FP32", "shape": [-1]}
THREE = {**PROBABILITIES, "shape": [-1, 3], "columns": ["0", "1", "2"]}


def asked(task: str, outputs: list[Any], target: str, **more: Any) -> ModelSpec:
    options = {"trees": 20, "depth": 4}
    return spec(task, [NUMBERS, KIND], outputs, {"recipe": "xgboost", "target": target, "options": options}, **more)


CASES = {
    "two classes": asked("classification", [LABEL, PROBABILITIES], "y"),
    "three classes": asked("classification", [LABEL, THREE], "level"),
    "a number": asked("regression", [VALUE], "value"),
}


def boosted(asked: ModelSpec, folder: Path, name: str = "xgboost-model") -> tuple[Boosted, Any, Any]:
    """Trained by the library itself as the container would: the fitted object, the library's, and what it predicts."""
    table = rows()
    table.columns["level"] = np.digitize(table["value"], [97, 103])
    feeds = {"numbers": np.stack([table["a"], table["b"]], axis=1).astype(np.float32), "kind": table["kind"]}
    encoding = Encoding.of(feeds, asked.inputs)
    assert asked.training is not None
    told: dict[str, Any] = hyperparameters(asked, encoding)
    rounds = int(told.pop("num_round"))
    matrix = xgboost.DMatrix(encoding.matrix(feeds), label=targets(table[str(asked.training.target)], asked))
    theirs = xgboost.train({**told, "nthread": 1}, matrix, rounds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.save_model(folder / name)
    ours = Boosted(asked, encoding, Booster.read((folder / name).read_bytes()), background(feeds, 0))
    return ours, feeds, theirs.predict(matrix)


def answered(ours: Boosted, feeds: dict[str, Array]) -> dict[str, Array]:
    return answers(OnnxModel.open(ours.onnx, threads=1), feeds)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["xgboost-model", "model.json"])
def test_the_booster_and_the_graph_answer_as_the_library_does(case: str, name: str, tmp_path: Path) -> None:
    ours, feeds, theirs = boosted(CASES[case], tmp_path, name)
    for found in (ours.predict(feeds), answered(ours, feeds)):
        if case == "a number":
            assert np.allclose(found["value"], theirs, atol=1e-4)
        else:
            wanted = np.stack([1 - theirs, theirs], axis=1) if theirs.ndim == 1 else theirs
            assert np.allclose(found["probabilities"], wanted, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_the_graph_decides_as_the_booster_at_every_split_point(case: str, tmp_path: Path) -> None:
    ours, _, _ = boosted(CASES[case], tmp_path)
    probes = ours.probes(0)
    directly, graph = ours.predict(probes), answered(ours, probes)
    for name, values in directly.items():
        if values.dtype.kind == "f":
            assert np.allclose(graph[name], values, atol=1e-5)
        else:
            assert (graph[name] == values).all()


@pytest.mark.parametrize("data", [b"\x80\x04\x95", b"binf", b"", b"{}", b'{"learner": {}}', b"{i\x01aZ}"])
def test_what_is_no_model_of_xgboost_is_refused_and_never_unpickled(data: bytes) -> None:
    with pytest.raises(InvalidArtefact, match="XGBoost"):
        Booster.read(data)


@pytest.mark.parametrize(("part", "value"), [("left_children", 0), ("right_children", 1), ("split_indices", 99)])
def test_a_tree_whose_branches_go_in_circles_is_refused(part: str, value: int, tmp_path: Path) -> None:
    boosted(CASES["a number"], tmp_path, "model.json")
    document = orjson.loads((tmp_path / "model.json").read_bytes())
    document["learner"]["gradient_booster"]["model"]["trees"][0][part][1] = value
    with pytest.raises(InvalidArtefact, match="lead nowhere, or back"):
        Booster.read(orjson.dumps(document))


def test_a_model_for_something_else_is_refused(tmp_path: Path) -> None:
    ours, feeds, _ = boosted(CASES["a number"], tmp_path)
    with pytest.raises(InvalidArtefact, match=r"one for reg:squarederror .* not for binary:logistic"):
        Boosted(CASES["two classes"], ours.encoding, ours.booster, background(feeds, 0))


def test_every_option_reaches_the_container() -> None:
    changed = {"trees": 7, "depth": 3, "learning_rate": 0.5, "child_weight": 9, "l2": 2, "subsample": 0.5}
    plain = CASES["two classes"]
    encoding = Encoding.known(plain.inputs, {"kind": ("k0",)}, ())
    before = hyperparameters(plain, encoding)
    for option, value in changed.items():
        options = {"trees": 20, "depth": 4, option: value}
        training = {"recipe": "xgboost", "target": "y", "options": options}
        after = spec("classification", [NUMBERS, KIND], [LABEL, PROBABILITIES], training)
        assert hyperparameters(after, encoding) != before
    monotonic = asked("classification", [LABEL, PROBABILITIES], "y", features={"a": {"monotonic": "increasing"}})
    assert hyperparameters(monotonic, encoding)["monotone_constraints"] == "(0,1,0)"


def test_it_does_not_learn_where_there_are_no_training_jobs() -> None:
    from functions.retraining.recipes import load

    with pytest.raises(DataRefused, match="learns in training jobs"):
        load(CASES["two classes"]).fit(rows(), CASES["two classes"])
