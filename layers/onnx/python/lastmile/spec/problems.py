"""What may be wrong with a spec whose every value is of its kind."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lastmile.declared import nearest, repeated, tensor_problems
from lastmile.errors import InvalidSpec
from lastmile.manifest import MODEL_NAME
from lastmile.policies import SECTIONS, Decision, Gate
from lastmile.spec.whole import ModelSpec
from lastmile.tensors import Signature

if TYPE_CHECKING:
    from lastmile.metrics import Metric

LONGEST_DESCRIPTION = 2000


def problems(spec: ModelSpec) -> Iterator[str]:
    if MODEL_NAME.fullmatch(spec.name) is None:
        yield f"name: {spec.name!r} must be a lower-case letter and up to 62 letters, digits or hyphens"
    if not spec.description.strip() or len(spec.description) > LONGEST_DESCRIPTION:
        yield f"description: must have 1 to {LONGEST_DESCRIPTION} characters"
    for kind, tensors in (("inputs", spec.inputs), ("outputs", spec.outputs)):
        if not tensors:
            yield f"{kind}: at least one tensor is needed"
        yield from repeated(kind, [tensor.name for tensor in tensors])
        for index, tensor in enumerate(tensors):
            yield from tensor_problems(f"{kind}[{index}]", tensor)
    yield from _section_problems(spec)
    for index, tensor in enumerate(spec.outputs):
        for key in ("nullable", "pii"):
            if getattr(tensor, key):
                yield f"outputs[{index}].{key}: only an input can be that"


def _section_problems(spec: ModelSpec) -> Iterator[str]:
    for name in SECTIONS:
        section = getattr(spec, name)
        if section is not None:
            yield from (f"{name}.{problem}" for problem in section.problems())
    for index, gate in enumerate(spec.gates):
        yield from (f"gates[{index}]: {problem}" for problem in gate.problems())
    yield from _feature_problems(spec)
    yield from _metric_problems(spec)
    yield from _heavy_problems(spec)
    if spec.decision is not None:
        yield from _decision_problems(spec.decision, Signature(spec.inputs, spec.outputs))


def _feature_problems(spec: ModelSpec) -> Iterator[str]:
    holds_texts = {name: one.datatype == "BYTES" for one in spec.inputs for name in one.columns or (one.name,)}
    for name, feature in spec.features.items():
        yield from (f"features.{name}: {problem}" for problem in feature.problems())
        if name not in holds_texts and not feature.sensitive:
            yield (
                f"features.{name}: no input has such a column (only a sensitive one may be none of the inputs)"
                f"{nearest(name, holds_texts)}"
            )
        elif holds_texts.get(name) and feature.is_of_numbers:
            yield f"features.{name}: minimum, maximum and monotonic are of numbers, and it is a text"
        elif holds_texts.get(name) is False and feature.categories:
            yield f"features.{name}: categories are of texts, and it is a number"
    if spec.features or spec.training is not None or spec.decision is not None:
        yield from repeated("inputs", spec.feature_names)


def _metric_problems(spec: ModelSpec) -> Iterator[str]:
    if not any(feature.sensitive for feature in spec.features.values()):
        for index, gate in enumerate(spec.gates):
            if gate.group_gap_at_most is not None:
                yield f"gates[{index}]: group_gap_at_most needs a feature that is sensitive"
    named: list[tuple[str, str, Gate | None]] = [
        (f"gates[{index}]", gate.metric, gate) for index, gate in enumerate(spec.gates)
    ]
    if spec.compression.metric is not None:
        named.append(("compression", spec.compression.metric, None))
    if not named:
        return
    from lastmile.metrics import find  # what serves measures nothing

    for key, name, bounded in named:
        try:
            metric = find(name)
        except InvalidSpec as error:
            yield f"{key}.metric: {error}"
        else:
            if spec.task not in metric.tasks:
                yield f"{key}.metric: {name} is no metric of {spec.task}"
            elif bounded is not None:
                yield from _bound_problems(key, bounded, metric)


def _bound_problems(key: str, gate: Gate, metric: "Metric") -> Iterator[str]:
    """95 where 95 % is meant, say: no model would pass."""
    for kind in ("at_least", "at_most"):
        bound = getattr(gate, kind)
        if bound is None:
            continue
        if bound < metric.low:
            yield f"{key}.{kind}: {bound:g} is below all that {metric.name} can be"
        elif metric.high is not None and bound > metric.high:
            yield f"{key}.{kind}: {bound:g} is above {metric.high:g}, the most that {metric.name} can be"


def _heavy_problems(spec: ModelSpec) -> Iterator[str]:
    """The backend and its section go together, and a cascade needs to know how sure the light side is."""
    if (spec.backend == "sagemaker") != (spec.heavy is not None):
        yield 'backend: "sagemaker" and the section [heavy] go together, and one is there without the other'
    if spec.heavy is None:
        return
    if spec.heavy.mode == "cascade":
        found = {tensor.name: tensor for tensor in spec.outputs}
        probabilities = found.get("probabilities")
        if spec.task != "classification" or probabilities is None or probabilities.datatype != "FP32":
            yield "heavy.mode: a cascade needs a classification with the FP32 output 'probabilities'"
        elif len(probabilities.shape) != 2:
            shape = list(probabilities.shape)
            yield f"heavy.mode: a cascade needs 'probabilities' of shape [rows, classes], not {shape}"
    for kind in ("inputs", "outputs"):
        for index, tensor in enumerate(getattr(spec, kind)):
            if tensor.shape[:1] != (-1,):
                yield f"{kind}[{index}].shape: on the heavy side the first axis must be -1, the rows of a batch"


def _decision_problems(decision: Decision, signature: Signature) -> Iterator[str]:
    from lastmile.decision import policy_of  # what serves has no use for it until somebody asks for a decision

    try:
        policy_of(decision.kind, decision.options, signature)
    except InvalidSpec as error:
        yield str(error)
