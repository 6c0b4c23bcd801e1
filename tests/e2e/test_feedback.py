"""Labels on the deployed stack: through the API into quality, and as training rows into a run."""

import json
import time
from dataclasses import dataclass
from typing import Any

import pytest

from cli.learning import ApiLearning
from cli.target import Target
from cli.training import changes
from cli.watching import data_store
from lastmile.policies import Retrain
from lastmile.ulid import new_ulid
from tests.e2e.watched import BATCH, IMAGES, LABELS, invoke, predict, rows_counted, scheduled, serve, until

MODEL = "corrected"
ROWS = 400


@dataclass(frozen=True)
class Traffic:
    """What was sent: ids and the right labels of their rows."""

    ids: list[str]
    labels: list[list[int]]


@pytest.fixture(scope="module")
def traffic(stack: Target) -> Traffic:
    """Inverted images, which no digit was learned from, until they are captured and counted."""
    serve(stack, MODEL, Retrain(feedback_rows=ROWS))
    token = stack.token(["infer"])
    chosen = [slice(start, start + BATCH) for start in range(0, ROWS, BATCH)]
    ids = [predict(stack, token, MODEL, 16 - IMAGES[rows]) for rows in chosen]
    until(lambda: rows_counted(stack, MODEL) >= ROWS, "the captures")
    return Traffic(ids, [LABELS[rows].tolist() for rows in chosen])


def test_labels_through_the_api_become_quality(stack: Target, traffic: Traffic) -> None:
    known = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    stray = new_ulid()
    labels = [
        {"model": MODEL, "prediction_id": prediction_id, "row": row, "label": label, "source": "e2e", "time": known}
        for prediction_id, rows in zip(traffic.ids, traffic.labels, strict=True)
        for row, label in enumerate(rows)
    ] + [{"model": MODEL, "prediction_id": stray, "label": 1, "source": "e2e", "time": known}]
    assert send(stack, labels) == {"accepted": ROWS + 1, "new": ROWS + 1}
    assert send(stack, labels) == {"accepted": ROWS + 1, "new": 0}
    found = invoke(stack, {"model": MODEL, "quality": True, "days": 1})
    told = found["labels"]
    assert (told["joined"], told["unknown"], told["unknown_ids"]) == (ROWS, 1, [stray])
    served = [version for version in found["versions"] if not version["shadow"]]
    assert sum(version["rows"] for version in served) == ROWS
    accuracy = served[0]["metrics"]["accuracy"]
    assert 0 <= accuracy["low"] <= accuracy["value"] <= accuracy["high"] < 0.9, "inverted digits are not recognised"


def test_labelled_rows_become_parquet_that_a_run_learns_from(stack: Target, traffic: Traffic) -> None:
    (checked,) = [one for one in invoke(stack, scheduled())["checked"] if one["model"] == MODEL]
    assert (checked["retrain"]["cause"], checked["retrain"]["started"]) == ("feedback", True), checked
    (key,) = data_store(stack).list(f"training/{MODEL}")
    assert key.startswith(f"training/{MODEL}/feedback-")
    assert key.endswith(".parquet")
    learning = ApiLearning(stack)

    def started() -> list[str]:
        return [run["id"] for run in learning.runs(MODEL, limit=20) if run["upload"]["key"] == key]

    (run,) = until(started, "the run")
    *_, record = changes(learning, MODEL, run)
    assert record["state"] == "promoted", record["problem"]
    registry = stack.registry()
    manifest = registry.manifest(MODEL, registry.release(MODEL).latest)
    assert manifest.lineage["run"] == run
    assert data_store(stack).get(key).data[:4] == b"PAR1"


def test_labels_need_their_own_scope(stack: Target) -> None:
    answer = stack.call("POST", "/v1/feedback", body=b"{}", token=stack.token(["infer", "read"]))
    assert answer.status == 403


def test_a_label_of_another_kind_is_refused_in_a_sentence(stack: Target, traffic: Traffic) -> None:
    label = {"model": MODEL, "prediction_id": traffic.ids[0], "label": "three", "source": "e2e"}
    answer = posted(stack, label | {"time": "2026-01-01T00:00:00Z"})
    assert (answer.status, answer.json()) == (422, {"error": "body: 'label' must be an integer for this model"})


def send(stack: Target, labels: list[dict[str, Any]]) -> dict[str, Any]:
    answer = posted(stack, labels)
    assert answer.status == 202, answer.body
    document: dict[str, Any] = answer.json()
    return document


def posted(stack: Target, body: Any) -> Any:
    return stack.call(
        "POST",
        "/v1/feedback",
        body=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
        token=stack.token(["feedback"]),
    )
