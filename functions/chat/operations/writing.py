"""Events and alarms in words, with the buttons that answer them."""

from collections.abc import Callable, Mapping
from typing import Any

from functions.chat.assistant.conversation import Button
from functions.chat.operations.notices import Notice
from functions.chat.operations.posts import Post
from functions.chat.operations.reviews import labels_of
from lastmile.audit import rfc3339
from lastmile.errors import LastmileError
from lastmile.registry import Registry

MOST_METRICS = 4
MOST_REASONS = 4

type Detail = Mapping[str, Any]


class Writing:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._kinds: Mapping[str, Callable[[Detail], Post]] = {
            "Alarm": alarm,
            "ApprovalWanted": self._approval,
            "DecisionReview": self._review,
            "DriftDetected": drift,
            "RunFailed": failed,
            "RunFinished": finished,
        }

    def post(self, notice: Notice) -> Post:
        """Raises KeyError for a detail that is not the event's."""
        return self._kinds[notice.about](notice.detail)

    def _approval(self, detail: Detail) -> Post:
        model, version = detail["model"], int(detail["version"])
        until = rfc3339(int(detail["expires_at"] * 1000))[:16].replace("T", " ")
        lines = [f"Version {version} of {model} waits for a yes or a no, until {until} UTC.", f"Run {detail['run']}."]
        if figures := self._figures(model, version):
            lines.append(figures)
        buttons = (Button("Approve", f"approve:{model}/{version}"), Button("Reject", f"reject:{model}/{version}"))
        return Post("\n".join(lines), buttons, field=True, terminal=f"lastmile approve {model} {version} --why …")

    def _figures(self, model: str, version: int) -> str:
        """How the version did on rows that it had not seen; nothing where that is not known."""
        try:
            metrics = self._registry.manifest(model, version).metrics
        except LastmileError:
            return ""
        found = [(name, _number(value)) for name, value in metrics.items()]
        shown = [f"{name} {value:.4g}" for name, value in found if value is not None][:MOST_METRICS]
        return f"On held-out rows: {', '.join(shown)}." if shown else ""

    def _review(self, detail: Detail) -> Post:
        model, prediction, row = detail["model"], detail["prediction_id"], int(detail["row"])
        lines = [f"{model} wants a person to look at prediction {prediction}, row {row} (version {detail['version']})."]
        lines += [str(reason) for reason in (detail.get("reasons") or ())[:MOST_REASONS]]
        buttons: tuple[Button, ...] = ()
        if self._is_binary(model, int(detail["version"])):
            value = f"{model}/{prediction}/{row}"
            buttons = (Button("Block", f"block:{value}"), Button("Release", f"release:{value}"))
        terminal = f"lastmile feedback {model} {prediction} <what was right> --row {row}"
        return Post("\n".join(lines), buttons, terminal=terminal)

    def _is_binary(self, model: str, version: int) -> bool:
        try:
            return labels_of(self._registry.manifest(model, version)) is not None
        except LastmileError:
            return False


def alarm(detail: Detail) -> Post:
    model = detail.get("model")
    whose = f"{model}: " if model else ""
    state = f" is in state {detail['state']}" if detail.get("state") else ""
    lines = [f"{whose}{detail['name']}{state}", str(detail.get("text") or ""), str(detail.get("reason") or "")]
    buttons = [Button("Show the report", f"drift:{model}")] if model else []
    return Post("\n".join(filter(None, lines)), (*buttons, Button("Status", "status:all")), terminal="lastmile doctor")


def drift(detail: Detail) -> Post:
    model = detail["model"]
    text = f"{model}, version {detail['version']}, has drifted. {detail['summary']}"
    return Post(text, (Button("Show the report", f"drift:{model}"),), terminal=f"lastmile report open {model}")


def failed(detail: Detail) -> Post:
    problem = detail.get("problem") or {}
    lines = [f"A run of {detail['model']} {_ended(detail)} ({detail['run']}, {detail['key']})."]
    if problem:
        lines += [f"{problem['step']}: {problem['reason']}", str(problem.get("advice") or "")]
    return Post("\n".join(filter(None, lines)), terminal=f"lastmile run show {detail['run']} --model {detail['model']}")


def finished(detail: Detail) -> Post:
    model, version = detail["model"], detail.get("version")
    if detail["state"] != "promoted":
        return failed(detail)
    text = f"Version {version} of {model} serves now. Run {detail['run']}, {detail['key']}."
    buttons = (Button("Roll back …", f"rollback:{model}"),)
    return Post(text, buttons, terminal=f"lastmile release rollback {model} --why …")


def _ended(detail: Detail) -> str:
    state = str(detail["state"])
    return state if state == "failed" else f"ended: {state}"


def _number(value: object) -> float | None:
    found = value.get("value") if isinstance(value, dict) else value
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
