import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.datasets import load_digits

from models.digits import train

FILES = ("model.onnx", "model.int8.onnx")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    train.train(folder)
    return folder


@pytest.fixture(scope="module")
def report(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "report.json").read_text())
    return document


def test_the_same_checkout_gives_the_same_models_and_the_same_report_but_for_timings(out: Path, tmp_path: Path) -> None:
    train.train(tmp_path)
    for file in FILES:
        assert (tmp_path / file).read_bytes() == (out / file).read_bytes()
    assert untimed(tmp_path / "report.json") == untimed(out / "report.json")


def untimed(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    for name in ("fp32", "int8"):
        for figure in ("latency_us", "latency_us_per_row"):
            assert document[name]["metrics"].pop(figure) > 0
    return document


@pytest.mark.parametrize("name", ["fp32", "int8"])
def test_the_report_says_what_the_file_does(out: Path, report: dict[str, Any], name: str) -> None:
    described = report[name]
    model = (out / described["file"]).read_bytes()
    data = train.split()
    labels = train.open_session(model).run(["label"], {"image": data.test_images})[0]
    assert described["sha256"] == hashlib.sha256(model).hexdigest()
    assert described["bytes"] == len(model)
    assert described["metrics"]["accuracy"] == round(float((labels == data.test_labels).mean()), 4)
    assert described["metrics"]["accuracy"] > 0.97


def test_int8_is_much_smaller_within_the_accuracy_bound(report: dict[str, Any]) -> None:
    assert report["int8"]["bytes"] * 3.5 < report["fp32"]["bytes"]
    assert report["int8"]["metrics"]["accuracy"] >= report["fp32"]["metrics"]["accuracy"] - train.ACCURACY_BOUND


def test_int8_computes_in_integers_and_needs_no_private_operator(out: Path) -> None:
    graph = onnx.load(out / "model.int8.onnx").graph
    weights = sorted((len(tensor.raw_data), tensor.data_type) for tensor in graph.initializer)[-2:]
    assert weights == [(64 * 512, onnx.TensorProto.INT8), (512 * 256, onnx.TensorProto.INT8)]
    assert {node.domain for node in graph.node} <= {"", "ai.onnx.ml"}


@pytest.mark.parametrize("file", FILES)
def test_an_image_gets_the_same_answer_alone_as_among_others(out: Path, file: str) -> None:
    model = (out / file).read_bytes()
    images = train.split().test_images[:64]
    alone = np.concatenate([train.probabilities(model, images[row : row + 1]) for row in range(len(images))])
    np.testing.assert_allclose(train.probabilities(model, images), alone, atol=1e-5)


@pytest.mark.parametrize("file", FILES)
def test_the_graph_has_the_signature_of_the_spec(out: Path, file: str) -> None:
    session = train.open_session((out / file).read_bytes())
    found = [(tensor.name, tensor.type, tensor.shape[1:]) for tensor in (*session.get_inputs(), *session.get_outputs())]
    assert found == [
        ("image", "tensor(float)", [64]),
        ("label", "tensor(int64)", []),
        ("probabilities", "tensor(float)", [10]),
    ]


def test_the_images_of_the_report_were_held_out(report: dict[str, Any]) -> None:
    images, labels = load_digits(return_X_y=True)
    seen = {image.tobytes() for image in train.split().train_images}
    assert len(report["images"]) == 5
    for row in report["images"]:
        image = np.array(row["image"], dtype=np.float32)
        assert image.tobytes() not in seen
        assert row["digit"] in labels[(images == image).all(axis=1)]


def test_certification_refuses_a_graph_of_another_model(out: Path) -> None:
    data = train.split()
    few = train.Split(data.train_images[:200], data.train_labels[:200], data.test_images, data.test_labels)
    with pytest.raises(train.CertificationFailed, match="disagree"):
        train.certify(train.fit(few), (out / "model.onnx").read_bytes(), data.test_images)


def test_an_int8_model_that_loses_too_much_is_refused() -> None:
    train.check_loss(0.98, 0.971)
    with pytest.raises(train.CertificationFailed, match=r"0\.96 after 0\.98"):
        train.check_loss(0.98, 0.96)
