"""Whether what somebody sends is feedback, and fits its model."""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lastmile.errors import InvalidFeedback
from lastmile.feedback.record import Feedback, Label
from lastmile.manifest import MODEL_NAME
from lastmile.spec import ModelSpec
from lastmile.tensors import DATATYPES
from lastmile.ulid import ulid_milliseconds

MOST_ITEMS = 1000  # of a label that is a list
LONGEST_TEXT = 1000
LONGEST_SOURCE = 100
MOST_GROUPS = 20
AHEAD_SECONDS = 300.0  # how far a sender's clock may be ahead
LARGEST_ROW = 1_000_000
RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def checked(document: Mapping[str, Any], *, spec: ModelSpec | None, now: float) -> Feedback:
    """The feedback in an untrusted document; raises InvalidFeedback. Without a spec any kind of label will do."""
    unknown = document.keys() - {"model", "prediction_id", "row", "label", "source", "time", "groups"}
    if unknown:
        raise InvalidFeedback(f"'{min(unknown)}' is unknown")
    for key in ("model", "prediction_id", "label", "source", "time"):
        if document.get(key) is None:
            raise InvalidFeedback(f"'{key}' is missing")
    label = document["label"]
    _check_label(label)
    if spec is not None:
        check_fits(label, spec)
    return Feedback(
        model=_name(document["model"]),
        prediction_id=_id(document["prediction_id"], now),
        row=_row(document.get("row", 0)),
        label=label,
        source=_source(document["source"]),
        time=_time(document["time"], now),
        received=round(now, 3),
        groups=_groups(document.get("groups"), spec),
    )


def check_fits(label: Label, spec: ModelSpec) -> None:
    """Raise InvalidFeedback unless the label is of the kind that the model's outputs are."""
    outputs = {tensor.name: tensor for tensor in spec.outputs}
    match spec.task:
        case "classification" if "label" in outputs:
            textual = DATATYPES[outputs["label"].datatype].dtype.kind == "O"
            _wanted(
                isinstance(label, str) if textual else isinstance(label, int), "a text" if textual else "an integer"
            )
        case "classification":
            _wanted(isinstance(label, (str, int)), "a text or an integer")
        case "anomaly":
            _wanted(label in (0, 1), "0 or 1")
        case "recommendation":
            _wanted(isinstance(label, (str, list)), "a text or a list of texts")
        case "regression" | "forecast":
            _wanted(isinstance(label, (int, float)), "a number")


def groups_of(spec: ModelSpec) -> tuple[str, ...]:
    """Sensitive columns that are no inputs: of a prediction only its label's sender can know them."""
    return tuple(
        name for name, feature in spec.features.items() if feature.sensitive and name not in spec.feature_names
    )


def fits(label: Label, spec: ModelSpec) -> bool:
    """Labels given while the model had no spec yet, or another one, may be of another kind."""
    try:
        check_fits(label, spec)
    except InvalidFeedback:
        return False
    return True


def _name(value: object) -> str:
    if not isinstance(value, str) or MODEL_NAME.fullmatch(value) is None:
        raise InvalidFeedback("'model' is no name of a model")
    return value


def _id(value: object, now: float) -> str:
    if not isinstance(value, str) or ULID.fullmatch(value) is None:
        raise InvalidFeedback("'prediction_id' is no ULID: take the id that came with the prediction")
    at = ulid_milliseconds(value) / 1e3
    if at > now + AHEAD_SECONDS:
        raise InvalidFeedback("'prediction_id' is of a time that has not come yet")
    return value


def _row(value: object) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST_ROW:
        raise InvalidFeedback(f"'row' must be an integer from 0 to {LARGEST_ROW}")
    return value


def _source(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_SOURCE or not _is_writable(value):
        raise InvalidFeedback(f"'source' must be a text of 1 to {LONGEST_SOURCE} characters")
    return value


def _time(value: object, now: float) -> float:
    if not isinstance(value, str) or RFC3339.fullmatch(value) is None:
        raise InvalidFeedback("'time' must be a time like 2026-03-14T15:09:26Z")
    try:
        at = datetime.fromisoformat(value.upper()).timestamp()
    except (ValueError, OverflowError):
        raise InvalidFeedback("'time' is no time that there is") from None
    if at > now + AHEAD_SECONDS:
        raise InvalidFeedback("'time' has not come yet")
    return round(at, 3)


def _groups(value: object, spec: ModelSpec | None) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MOST_GROUPS:
        raise InvalidFeedback(f"'groups' must be an object of at most {MOST_GROUPS} texts")
    for name, group in value.items():
        if not isinstance(group, str) or len(group) > LONGEST_SOURCE or not _is_writable(f"{name}{group}"):
            raise InvalidFeedback(f"'groups.{name:.60}' must be a text of at most {LONGEST_SOURCE} characters")
        if spec is not None and name not in groups_of(spec):
            known = ", ".join(groups_of(spec)) or "none"
            raise InvalidFeedback(f"'groups.{name:.60}' is no sensitive column beside the inputs; there are: {known}")
    return dict(sorted(value.items()))


def _check_label(label: object) -> None:
    match label:
        case bool():
            raise InvalidFeedback("'label' is a boolean: give 1 or 0")
        case int():
            if abs(label) >= 2**63:
                raise InvalidFeedback("'label' is too large for an integer")
        case float():
            if not math.isfinite(label):
                raise InvalidFeedback("'label' is no finite number")
        case str():
            _check_text(label)
        case list():
            if not 0 < len(label) <= MOST_ITEMS:
                raise InvalidFeedback(f"'label' must be a list of 1 to {MOST_ITEMS} texts")
            for item in label:
                _check_text(item)
        case _:
            raise InvalidFeedback("'label' must be a text, a number or a list of texts")


def _check_text(text: object) -> None:
    if not isinstance(text, str) or len(text) > LONGEST_TEXT or not _is_writable(text):
        raise InvalidFeedback(f"'label' must hold texts of at most {LONGEST_TEXT} characters")


def _is_writable(text: str) -> bool:
    """Whether it is free of half characters (lone surrogates), which no encoding has."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _wanted(fits: bool, kind: str) -> None:
    if not fits:
        raise InvalidFeedback(f"'label' must be {kind} for this model")
