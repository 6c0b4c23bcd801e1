"""The certificate finds conversions that were altered in one number."""

from collections.abc import Callable
from functools import cache

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from functions.retraining.certificate import CertificateRefused, certify
from functions.retraining.recipes import load
from functions.retraining.recipes.contract import Fitted
from lastmile.spec import ModelSpec
from lastmile.tensors import Array
from tests.unit.retraining.recipes.examples import classified, mail, messages, purchases, rows, shop


@cache
def tabular() -> tuple[Fitted, dict[str, Array], ModelSpec]:
    wanted = classified()
    recipe = load(wanted)
    training, held_out = recipe.split(rows(), wanted)
    return recipe.fit(training, wanted), recipe.examples(held_out, wanted, training=training).feeds, wanted


def altered_tree(model: bytes, key: str, place: int, change: Callable[[float], float]) -> bytes:
    """One number of the trees is another."""
    proto = onnx.ModelProto.FromString(model)
    node = next(node for node in proto.graph.node if node.op_type == "TreeEnsembleRegressor")
    attribute = next(attribute for attribute in node.attribute if attribute.name == f"{key}_as_tensor")
    values = numpy_helper.to_array(attribute.t).copy()
    values[place] = change(values[place])
    attribute.CopyFrom(helper.make_attribute(attribute.name, numpy_helper.from_array(values)))
    return bytes(proto.SerializeToString())


def threshold_of(model: bytes) -> int:
    """The root of the first tree that divides a number."""
    proto = onnx.ModelProto.FromString(model)
    node = next(node for node in proto.graph.node if node.op_type == "TreeEnsembleRegressor")
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    nodes = zip(given["nodes_modes"], given["nodes_nodeids"], strict=True)
    return next(place for place, (mode, number) in enumerate(nodes) if mode == b"BRANCH_LEQ" and number == 0)


def altered_weight(model: bytes, elements: int, change: float) -> bytes:
    """One number of the first float32 matrix of at least so many elements is another."""
    proto = onnx.ModelProto.FromString(model)
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim == 2 and values.size >= elements:
            values = values.copy()
            values[tuple(np.array(values.shape) // 3)] += change
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
            return bytes(proto.SerializeToString())
    raise AssertionError("there is no such matrix")


def test_a_true_conversion_is_certified_and_says_what_was_compared() -> None:
    fitted, feeds, wanted = tabular()
    report = certify(fitted, fitted.onnx, feeds, wanted)
    found = report.to_document()
    assert found["rows"] == len(feeds["kind"])
    assert {(each["rows"], each["output"]) for each in found["compared"]} == {
        (rows, output) for rows in ("held-out", "probe") for output in ("label", "probabilities")
    }
    assert all(each["beyond"] == 0 for each in found["compared"])


@pytest.mark.parametrize(
    "change", [lambda value: np.nextafter(np.float32(value), np.float32(np.inf)), lambda value: value + 0.01]
)
def test_one_threshold_that_is_another_is_caught(change: Callable[[float], float]) -> None:
    fitted, feeds, wanted = tabular()
    altered = altered_tree(fitted.onnx, "nodes_values", threshold_of(fitted.onnx), change)
    with pytest.raises(CertificateRefused, match="differs from the trained object in 'probabilities'") as caught:
        certify(fitted, altered, feeds, wanted)
    assert "instead of" in str(caught.value)
    assert caught.value.report.probes > 0


def test_one_leaf_that_is_another_is_caught() -> None:
    fitted, feeds, wanted = tabular()
    altered = altered_tree(fitted.onnx, "target_weights", 0, lambda value: value + 0.05)
    with pytest.raises(CertificateRefused, match="differs"):
        certify(fitted, altered, feeds, wanted)


def test_one_weight_of_a_text_model_that_is_another_is_caught() -> None:
    wanted = messages()
    recipe = load(wanted)
    training, held_out = recipe.split(mail(), wanted)
    fitted = recipe.fit(training, wanted)
    feeds = recipe.examples(held_out, wanted, training=training).feeds
    certify(fitted, fitted.onnx, feeds, wanted)
    with pytest.raises(CertificateRefused, match="differs"):
        certify(fitted, altered_weight(fitted.onnx, 200, 0.5), feeds, wanted)


def test_items_that_change_places_are_caught() -> None:
    wanted = shop(fewest=1)
    recipe = load(wanted)
    training, held_out = recipe.split(purchases(), wanted)
    fitted = recipe.fit(training, wanted)
    feeds = recipe.examples(held_out, wanted, training=training).feeds
    certify(fitted, fitted.onnx, feeds, wanted)
    with pytest.raises(CertificateRefused, match="differs"):
        certify(fitted, altered_weight(fitted.onnx, 4, 0.9), feeds, wanted)


def test_the_tolerance_of_the_spec_decides() -> None:
    fitted, feeds, _ = tabular()
    altered = altered_tree(fitted.onnx, "target_weights", 0, lambda value: value + 0.001)
    with pytest.raises(CertificateRefused):
        certify(fitted, altered, feeds, classified(certificate={"tolerance": 1e-6}))
    certify(fitted, altered, feeds, classified(certificate={"tolerance": 0.01, "max_mismatch_share": 0.1}))
