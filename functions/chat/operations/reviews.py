"""A decision that waits for a person: what an investigator says is kept, as feedback, event and audit entry."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from lastmile import feedback
from lastmile.audit import rfc3339
from lastmile.errors import InvalidFeedback, InvalidInput
from lastmile.feedback import LARGEST_ROW, ULID
from lastmile.manifest import Manifest
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import AlreadyExists, Store
from lastmile.tensors import DATATYPES

LOOK_BACK = 50  # audit entries, for one that a process cut short may have written

type Tell = Callable[[str, dict[str, Any]], object]


@dataclass(frozen=True, slots=True)
class Judged:
    """`answer` is "block" or "release"; `new` says whether it is this call that decided."""

    answer: str
    actor: str
    why: str
    at: str
    new: bool


class Reviews:
    """The first who decides has decided: `decisions/<model>/<prediction>-<row>.json` is written once."""

    def __init__(self, registry: Registry, data: Store, tell: Tell, *, clock: Callable[[], float] = time.time) -> None:
        self._registry = registry
        self._data = data
        self._tell = tell
        self._clock = clock

    def decide(
        self, model: str, prediction: str, row: int, answer: str, *, actor: str, why: str, press: str, again: bool
    ) -> Judged:
        """`press` is the same when the same press comes again: then everything is done that is not done yet. `again`
        says that it may have been here before."""
        if ULID.fullmatch(prediction) is None:
            raise InvalidInput(f"'{prediction[:60]}' is no id of a prediction")
        if row > LARGEST_ROW:
            raise InvalidInput(f"no prediction has a row {row}")
        release = self._registry.release(model)
        path = f"decisions/{model}/{prediction}-{row}.json"
        mine: dict[str, Any] = {
            "id": f"{prediction}-{row}",
            "model": model,
            "prediction_id": prediction,
            "row": row,
            "decision": answer,
            "actor": actor,
            "why": why,
            "at": rfc3339(int(self._clock() * 1000)),
            "press": press,
        }
        label = self._label(model, release.champion or release.latest, answer)
        self._feedback(mine, label)  # what is none must leave no decision behind
        try:
            self._data.create(path, orjson.dumps(mine, option=orjson.OPT_SORT_KEYS))
        except AlreadyExists:
            mine = orjson.loads(self._data.get(path).data)
        judged = Judged(mine["decision"], mine["actor"], mine["why"], mine["at"], mine["press"] == press)
        if judged.new:
            self._follow(mine, label, again=again)
        return judged

    def _follow(self, decided: dict[str, Any], label: int | str, *, again: bool) -> None:
        """Each of these can be done twice; the audit is looked through first."""
        feedback.write(self._data, [self._feedback(decided, label)])
        told = {key: value for key, value in decided.items() if key != "press"}
        self._tell("DecisionMade", told | {"label": label})
        why = f"prediction {decided['prediction_id']} row {decided['row']}: {decided['why']}"[:2000]
        seen = self._registry.audit(decided["model"], limit=LOOK_BACK) if again else ()
        if not any((entry.actor, entry.why) == (decided["actor"], why) for entry in seen):
            self._registry.record(decided["model"], decided["decision"], None, actor=decided["actor"], why=why)

    def _feedback(self, decided: dict[str, Any], label: int | str) -> feedback.Feedback:
        document = {name: decided[name] for name in ("model", "prediction_id", "row")}
        document |= {"label": label, "source": f"chat:{decided['actor']}"[:100], "time": decided["at"]}
        try:
            return feedback.checked(document, spec=self._spec(decided["model"]), now=self._clock())
        except InvalidFeedback as error:
            raise InvalidInput(str(error)) from None

    def _label(self, model: str, version: int, answer: str) -> int | str:
        labels = labels_of(self._registry.manifest(model, version))
        if labels is None:
            raise InvalidInput(f"model '{model}' does not decide between two classes: use `lastmile feedback`")
        return labels[0] if answer == "block" else labels[1]

    def _spec(self, model: str) -> ModelSpec:
        return self._registry.spec(model)


def labels_of(manifest: Manifest) -> tuple[int | str, int | str] | None:
    """What blocking and releasing say was right, where there are two classes; None where there are not, or where labels
    are numbers that the classes do not name."""
    if manifest.policy.get("task") == "anomaly":
        return 1, 0
    outputs = {tensor.name: tensor for tensor in manifest.signature.outputs}
    classes = outputs["probabilities"].columns if "probabilities" in outputs else None
    if manifest.policy.get("task") != "classification" or classes is None or len(classes) != 2:
        return None
    options = (manifest.policy.get("decision") or {}).get("options") or {}
    positive = str(options.get("positive", classes[1]))
    other = classes[0] if positive == classes[1] else classes[1]
    if "label" not in outputs or DATATYPES[outputs["label"].datatype].dtype.kind == "O":
        return positive, other
    try:
        return int(positive), int(other)
    except ValueError:
        return None
