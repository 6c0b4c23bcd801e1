"""The vocabulary in a graph of the recipe `text`, made smaller; found by the nodes that recipes/bags.py writes."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from lastmile.tensors import Array

WEAK_SHARE = 0.3  # of the n-grams


class Bag(NamedTuple):
    """One encoder of n-grams, and the constants that depend on how many it knows."""

    encoder: onnx.NodeProto
    keys: Array
    rarity: str  # of each n-gram, and 0 for an unknown one
    width: str  # their number and one, as a shape
    unknown: str  # their number, which stands for an unknown one
    first: str  # the first one's row among the weights
    absent: str  # the row of an unknown one


def prune(proto: onnx.ModelProto) -> bool:
    """Make n-grams unknown whose weights differ least between the classes; False where there is no such vocabulary."""
    for loop in proto.graph.node:
        bodies = [value.g for value in loop.attribute if value.name == "body"]
        if any(_prune(body, proto.graph) for body in bodies):
            return True
    return False


def _prune(body: onnx.GraphProto, outer: onnx.GraphProto) -> bool:
    """`body` is what the loop over the texts repeats."""
    constants = {tensor.name: tensor for graph in (outer, body) for tensor in graph.initializer}
    bags, name = [*_bags(body, constants)], _weights(body, outer)
    if not bags or name is None:
        return False
    weights = numpy_helper.to_array(constants[name])
    spread = ((weights - weights.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)[:-1]
    kept = np.ones(len(weights), bool)
    kept[np.argsort(spread, kind="stable")[: int(len(spread) * WEAK_SHARE)]] = False
    changed = {name: weights[kept]}
    for bag in bags:
        first = int(numpy_helper.to_array(constants[bag.first]))
        changed[bag.first] = np.array(kept[:first].sum(), np.int64)
        changed[bag.absent] = np.array(kept[:-1].sum(), np.int64)
        if not bag.keys.any():  # it knows none
            continue
        mine = kept[first : first + len(bag.keys)]
        count = int(mine.sum())
        if not count:
            return False
        changed[bag.rarity] = numpy_helper.to_array(constants[bag.rarity])[np.append(mine, True)]
        changed[bag.width] = np.array([count + 1], np.int64)
        changed[bag.unknown] = np.array(count, np.int64)
        _encode(bag.encoder, bag.keys[mine])
    for tensor, array in changed.items():
        constants[tensor].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor))
    return True


def _bags(graph: onnx.GraphProto, constants: dict[str, onnx.TensorProto]) -> Iterator[Bag]:
    made = {output: node for node in graph.node for output in node.output}
    for encoder in graph.node:
        keys = next((value.t for value in encoder.attribute if value.name == "keys_tensor"), None)
        if encoder.op_type != "LabelEncoder" or keys is None:
            continue
        users = {node.op_type: node for node in graph.node if encoder.output[0] in node.input}
        if not {"Gather", "ScatterElements", "Add", "Equal"} <= users.keys():
            continue
        shape = made[made[users["ScatterElements"].input[0]].input[1]]
        choice = next(node for node in graph.node if users["Equal"].output[0] in node.input)
        named = (users["Gather"].input[0], shape.input[1], users["Equal"].input[1], users["Add"].input[1])
        bag = Bag(encoder, numpy_helper.to_array(keys), *named, choice.input[1])
        if all(name in constants for name in bag[2:]):
            yield bag


def _weights(body: onnx.GraphProto, outer: onnx.GraphProto) -> str | None:
    """The matrix outside of the loop, of which it takes rows."""
    outside = {tensor.name for tensor in outer.initializer}
    taken = [node.input[0] for node in body.node if node.op_type == "Gather" and node.input[0] in outside]
    return taken[0] if len(taken) == 1 else None


def _encode(encoder: onnx.NodeProto, keys: Array) -> None:
    tensors = {
        "keys_tensor": keys,
        "values_tensor": np.arange(len(keys), dtype=np.int64),
        "default_tensor": np.array([len(keys)], np.int64),
    }
    del encoder.attribute[:]
    encoder.attribute.extend(
        helper.make_attribute(name, numpy_helper.from_array(array)) for name, array in tensors.items()
    )
