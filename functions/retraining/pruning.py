"""Graphs without the parts that matter least: trees without their slightest splits, texts without weak n-grams."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from functions.retraining import vocabulary
from functions.retraining.rewriting import NothingToDo

FLAT_SHARE = 0.3  # of the splits between two leaves


def pruned(model: bytes) -> bytes:
    """A split between two leaves that hardly differ is one leaf; n-grams that tell little are unknown."""
    proto = onnx.ModelProto.FromString(model)
    trees = [_prune(node) for node in proto.graph.node if node.op_type == "TreeEnsembleRegressor"]
    if not any(trees) and not vocabulary.prune(proto):
        raise NothingToDo("it has neither trees nor a vocabulary")
    return bytes(proto.SerializeToString(deterministic=True))


def _prune(node: onnx.NodeProto) -> bool:
    """Whether there was a split to take out."""
    given = {attribute.name: _values(attribute) for attribute in node.attribute}
    key = "target_weights_as_tensor" if "target_weights_as_tensor" in given else "target_weights"
    leaf = {
        place: (target, weight)
        for *place_, target, weight in zip(
            given["target_treeids"], given["target_nodeids"], given["target_ids"], given[key], strict=True
        )
        for place in [tuple(place_)]
    }
    nodes = [*zip(given["nodes_treeids"], given["nodes_nodeids"], strict=True)]
    branches = [*zip(given["nodes_truenodeids"], given["nodes_falsenodeids"], strict=True)]
    flat = [
        (abs(leaf[tree, yes][1] - leaf[tree, no][1]), place)
        for place, ((tree, _), (yes, no)) in enumerate(zip(nodes, branches, strict=True))
        if given["nodes_modes"][place] == b"BRANCH_LEQ" and (tree, yes) in leaf and (tree, no) in leaf
    ]
    chosen = [place for _, place in sorted(flat)[: int(len(flat) * FLAT_SHARE)]]
    gone: set[tuple[int, int]] = set()
    for place in chosen:
        tree, number = nodes[place]
        (target, one), (_, other) = (leaf.pop((tree, branch)) for branch in branches[place])
        leaf[tree, number] = (target, (one + other) / 2)
        gone |= {(tree, branch) for branch in branches[place]}
    _write(node, given, leaf, {place for place, each in enumerate(nodes) if each in gone}, set(chosen), key)
    return bool(chosen)


def _write(
    node: onnx.NodeProto,
    given: dict[str, Any],
    leaf: Mapping[tuple[int, int], tuple[int, float]],
    gone: set[int],
    now_leaves: set[int],
    key: str,
) -> None:
    for place in now_leaves:
        given["nodes_modes"][place] = b"LEAF"
        given["nodes_truenodeids"][place] = given["nodes_falsenodeids"][place] = 0
    for name, values in given.items():
        if name.startswith("nodes_"):
            given[name] = [value for place, value in enumerate(values) if place not in gone]
    numbered: dict[tuple[int, int], int] = {}
    count: dict[int, int] = {}
    for tree, number in zip(given["nodes_treeids"], given["nodes_nodeids"], strict=True):
        numbered[tree, number] = count.get(tree, 0)
        count[tree] = count.get(tree, 0) + 1
    trees = given["nodes_treeids"]
    for name in ("nodes_truenodeids", "nodes_falsenodeids"):
        is_leaf = [mode == b"LEAF" for mode in given["nodes_modes"]]
        given[name] = [
            0 if end else numbered[tree, value] for tree, value, end in zip(trees, given[name], is_leaf, strict=True)
        ]
    given["nodes_nodeids"] = [numbered[each] for each in zip(trees, given["nodes_nodeids"], strict=True)]
    ordered = sorted((tree, numbered[tree, number], *found) for (tree, number), found in leaf.items())
    for column, name in enumerate(("target_treeids", "target_nodeids", "target_ids", key)):
        given[name] = [row[column] for row in ordered]
    del node.attribute[:]
    for name, values in given.items():
        if name.endswith("_as_tensor"):
            values = numpy_helper.from_array(np.array(values, np.float64), name.removesuffix("_as_tensor"))
        node.attribute.append(helper.make_attribute(name, values))


def _values(attribute: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value).tolist()
    return [*value] if attribute.type in (7, 6, 8) else value
