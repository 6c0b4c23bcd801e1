"""What every kind of policy shares: the form of a decision, and where its figures come from."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from lastmile.decision.options import LARGEST
from lastmile.errors import InvalidInput, InvalidSpec, ModelFailed
from lastmile.tensors import DATATYPES, Array, Signature, TensorSpec

ROUNDING = 1e-3  # by which half precision and whole numbers take probabilities beyond 0 and 1

type Arrays = Mapping[str, Array]
type Context = Sequence[Mapping[str, Any]]


class Decided(NamedTuple):
    """The decision about one row. `reasons` are sentences with the figures used; `review` asks for a person."""

    decision: str
    reasons: tuple[str, ...]
    details: dict[str, Any]
    review: bool


type Decide = Callable[[Arrays], list[Decided]]


class Policy(Protocol):
    """`context` names what a request may say beside each row's features."""

    context: ClassVar[tuple[str, ...]]

    def prepare(self, feeds: Arrays, context: Context) -> Decide:
        """What decides about these rows once the model has answered.

        `feeds` are the model's inputs by tensor name, rows on the first axis; `context` is empty, or has one
        entry per row. Raises InvalidInput now, so that no wrong request reaches the model.
        """


def output_of(signature: Signature, name: str, kind: str, *, columns: bool = False, text: bool = False) -> TensorSpec:
    """The output that a kind of policy decides by, numbers or texts, several in each row; InvalidSpec where the model
    has none."""
    found = next((spec for spec in signature.outputs if spec.name == name), None)
    if found is None or (columns and not found.columns):
        raise InvalidSpec(
            f"decision.kind: '{kind}' decides by an output '{name}'{' with columns' if columns else ''}; "
            f"the model gives {', '.join(spec.name for spec in signature.outputs)}"
        )
    if len(found.shape) != 2 or (found.datatype == "BYTES") != text or found.datatype == "BOOL":
        raise InvalidSpec(
            f"decision.kind: '{kind}' decides by {'texts' if text else 'numbers'} of shape [rows, columns]; "
            f"the output '{name}' is {found.datatype} of shape {list(found.shape)}"
        )
    return found


class Feature(NamedTuple):
    """Where a feature stands: its tensor, and its place on the last axis where it is one column of several."""

    name: str
    tensor: TensorSpec
    column: int | None

    def values(self, feeds: Arrays) -> Array:
        """One value for each row."""
        array = feeds[self.tensor.name]
        return array.reshape(len(array)) if self.column is None else array[:, self.column]


def features_of(inputs: Iterable[TensorSpec]) -> dict[str, Feature]:
    """By name: a column's name where the tensor has columns, else the tensor's own."""
    found: dict[str, Feature] = {}
    for spec in inputs:
        if spec.columns:
            found |= {name: Feature(name, spec, index) for index, name in enumerate(spec.columns)}
        else:
            found[spec.name] = Feature(spec.name, spec, None)
    return found


def feature_of(signature: Signature, name: str, key: str, *, text: bool = False) -> Feature:
    """The feature that an option names; InvalidSpec unless it is a number, or a text, for each row."""
    known = features_of(signature.inputs)
    found = known.get(name)
    if found is None:
        raise InvalidSpec(f"decision.options.{key}: there is no feature {name!r}; the model takes {', '.join(known)}")
    if (found.tensor.datatype == "BYTES") != text or found.tensor.datatype == "BOOL":
        raise InvalidSpec(f"decision.options.{key}: feature {name!r} is no {'text' if text else 'number'}")
    inner = found.tensor.shape[1:]
    if len(inner) > 1 or (found.column is None and inner not in ((), (1,), (-1,))):
        shape = list(found.tensor.shape)
        raise InvalidSpec(f"decision.options.{key}: feature {name!r} is of shape {shape}, not one value for each row")
    if found.tensor.pii and not text:
        raise InvalidSpec(f"decision.options.{key}: feature {name!r} is personal, and the reasons would say it")
    return found


def amounts(feature: Feature, feeds: Arrays) -> list[float]:
    """A feature's values as something that can be at stake: there, not negative, and not beyond all sums."""
    values: list[float] = np.asarray(feature.values(feeds), np.float64).tolist()
    for row, value in enumerate(values):
        if not math.isfinite(value):
            raise InvalidInput(f"rows[{row}]: '{feature.name}' is missing, and the decision needs it")
        if value < 0:
            raise InvalidInput(f"rows[{row}]: '{feature.name}' is {value:g}, and the decision takes none below 0")
        if value > LARGEST:
            raise InvalidInput(
                f"rows[{row}]: '{feature.name}' is {value:g}, and the decision takes none above {LARGEST:g}"
            )
    return values


def answered(outputs: Arrays, name: str) -> Array:
    """The output; ModelFailed where the model gave no number, about which nothing can be decided."""
    array = outputs[name]
    if not np.isfinite(array).all():
        row = int(np.argmax(~np.isfinite(array).all(axis=1)))
        raise ModelFailed(f"the model's output '{name}' has no number for row {row}, so nothing can be decided")
    return array


def probabilities_of(outputs: Arrays) -> Array:
    """The output; ModelFailed for what are no probabilities: what costs are said to be would be nonsense."""
    array = answered(outputs, "probabilities")
    beyond = (array < -ROUNDING) | (array > 1 + ROUNDING)
    if beyond.any():
        row = int(np.argmax(beyond.any(axis=1)))
        raise ModelFailed(
            f"the model's output 'probabilities' has {float(array[beyond][0]):g} in row {row}: that is no probability, "
            "so nothing can be decided"
        )
    return array


def as_answered(share: float, output: TensorSpec) -> float:
    """The share as the output can say it: 0.7 in FP32 is a little less, and is not to be below a bound of 0.7."""
    dtype = DATATYPES[output.datatype].dtype
    return float(dtype.type(share)) if dtype.kind == "f" else share


def context_number(
    entry: Mapping[str, Any],
    row: int,
    key: str,
    otherwise: float | None,
    *,
    low: float = -math.inf,
    high: float = math.inf,
) -> float:
    """A number that the request says beside a row."""
    value = entry.get(key, otherwise)
    if value is None:
        raise InvalidInput(f"context[{row}]: '{key}' is missing, and the decision needs it")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        bounds = "" if low == -math.inf else f" from {low:g}" + (f" to {high:g}" if high < math.inf else "")
        raise InvalidInput(f"context[{row}]: '{key}' is {value!r:.60}, a number{bounds} is wanted")
    if abs(value) > LARGEST:
        raise InvalidInput(f"context[{row}]: '{key}' is {value:g}, and nothing beyond {LARGEST:g} is decided about")
    return float(value)


def entries(context: Context, rows: int) -> Context:
    """One entry for each row, also where the request has no context."""
    return context or [{}] * rows


def percent(share: float) -> str:
    """With more digits where a whole percent would hide the difference."""
    digits = 1 if 0.001 <= share <= 0.999 or share in (0.0, 1.0) else 3
    return f"{share * 100:.{digits}f} %"
