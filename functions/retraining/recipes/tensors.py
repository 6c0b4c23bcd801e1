"""What recipes ask of a spec's inputs and outputs."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from functions.retraining.recipes.graph import Graph
from lastmile.errors import InvalidInput, InvalidSpec
from lastmile.metrics.samples import texts as class_names
from lastmile.spec import ModelSpec
from lastmile.tensors import DATATYPES, Array, TensorSpec

# Names and datatypes of the outputs of each task.
OUTPUTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "classification": {"label": ("INT64", "BYTES"), "probabilities": ("FP32",)},
    "regression": {"value": ("FP32",)},
    "anomaly": {"score": ("FP32",), "label": ("INT64",)},
    "recommendation": {"items": ("BYTES",), "scores": ("FP32",)},
    "forecast": {"quantiles": ("FP32",)},
}
NUMERIC = tuple(name for name, row in DATATYPES.items() if row.dtype.kind != "O")


def check_task(spec: ModelSpec, recipe: str, *tasks: str) -> None:
    if spec.task not in tasks:
        raise InvalidSpec(f"training.recipe: {recipe!r} is for {' and '.join(tasks)}, not for {spec.task}")
    wanted = OUTPUTS[spec.task]
    found = {tensor.name: tensor for tensor in spec.outputs}
    if found.keys() != wanted.keys():
        raise InvalidSpec(f"outputs: the recipe {recipe!r} gives {', '.join(wanted)}; they are {', '.join(found)}")
    for name, datatypes in wanted.items():
        if found[name].datatype not in datatypes:
            raise InvalidSpec(f"outputs.{name}.datatype: must be {' or '.join(datatypes)}")
    if spec.task == "classification":
        _check_classes(found["label"], found["probabilities"])


def check_target(spec: ModelSpec, recipe: str) -> None:
    if spec.training is None or spec.training.target is None:
        raise InvalidSpec(f"training.target: the recipe {recipe!r} needs the column of the label")
    if spec.training.target in spec.feature_names:
        raise InvalidSpec(f"training.target: {spec.training.target!r} is one of the inputs")


def check_columns(spec: ModelSpec) -> None:
    """Every feature is one number or one text for each row."""
    for index, tensor in enumerate(spec.inputs):
        single = tensor.shape in ((-1,), (-1, 1))
        if not single and not (len(tensor.shape) == 2 and tensor.shape[0] == -1 and tensor.columns):
            raise InvalidSpec(f"inputs[{index}].shape: must be [-1], or [-1, k] with k columns")


def check_monotonic(spec: ModelSpec, derived: Iterable[tuple[str, str, str]]) -> None:
    """Trees can follow the order of numbers, though not of what is `derived` of them, by kind and two features; and of
    several classes none is higher than another."""
    numeric = {name for name, tensor, _ in features(spec.inputs) if tensor.datatype != "BYTES"}
    several = spec.task == "classification" and len(classes(spec)) > 2
    kinds = {name: kind for kind, *pair in derived for name in pair}
    for name, feature in spec.features.items():
        if feature.monotonic is not None and name not in numeric:
            raise InvalidSpec(f"features.{name}.monotonic: the feature is no numeric input")
        if feature.monotonic is not None and several:
            raise InvalidSpec(f"features.{name}.monotonic: only for two classes or a number")
        if feature.monotonic is not None and name in kinds:
            raise InvalidSpec(f"training.options.{kinds[name]}: of {name!r}, which is monotonic, none can be made")


def _check_classes(label: TensorSpec, probabilities: TensorSpec) -> None:
    if len(probabilities.columns) < 2:
        raise InvalidSpec("outputs.probabilities.columns: the names of at least two classes are needed")
    if label.datatype == "INT64":
        for name in probabilities.columns:
            if not name.removeprefix("-").isdecimal():
                raise InvalidSpec(f"outputs.probabilities.columns: {name!r} is no integer, as the labels are")


def classes(spec: ModelSpec) -> tuple[str, ...]:
    return next(tensor.columns for tensor in spec.outputs if tensor.name == "probabilities")


def class_numbers(labels: Array, spec: ModelSpec) -> Array:
    """The place of each label among the classes of the spec; each class must be there."""
    known = {name: number for number, name in enumerate(classes(spec))}
    found = class_names(labels)
    if strange := sorted(set(found) - known.keys()):
        raise InvalidInput(f"the label {strange[0]!r} is no class of the spec")
    if absent := [name for name in known if name not in set(found)]:
        raise InvalidInput(f"no training row is of the class {absent[0]!r}")
    return np.array([known[name] for name in found], np.int64)


def label_values(spec: ModelSpec) -> Array:
    """The classes as the label output has them."""
    label = next(tensor for tensor in spec.outputs if tensor.name == "label")
    names = classes(spec)
    return np.array([int(name) for name in names]) if label.datatype == "INT64" else np.array(names, object)


def add_labels(graph: Graph, spec: ModelSpec) -> None:
    """`label`, from the output `probabilities`."""
    best = graph.add("ArgMax", "probabilities", axis=1, keepdims=0)
    graph.named("label", "Gather", graph.constant(label_values(spec)), best)


def labelled(probabilities: Array, spec: ModelSpec) -> dict[str, Array]:
    probabilities = probabilities.astype(np.float32)
    return {"label": label_values(spec)[probabilities.argmax(axis=1)], "probabilities": probabilities}


def features(inputs: Iterable[TensorSpec]) -> Iterator[tuple[str, TensorSpec, int]]:
    """Name, tensor and place on its last axis of every feature."""
    for tensor in inputs:
        for place, name in enumerate(tensor.columns or (tensor.name,)):
            yield name, tensor, place


def column(feeds: Mapping[str, Array], tensor: TensorSpec, place: int) -> Array:
    array = feeds[tensor.name]
    return array if array.ndim == 1 else array[:, place]
