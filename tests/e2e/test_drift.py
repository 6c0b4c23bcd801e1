"""Drift and labels on the deployed stack: shifted traffic, the scheduled check, its report, figure and event; labels
through the API and the quality they show."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from cli.learning import ApiLearning
from cli.target import Target
from cli.training import changes, upload
from cli.watching import data_store
from lastmile.model import OnnxModel
from lastmile.policies import Canary, Compression, Drift, Retrain, Training
from lastmile.profile import reference
from lastmile.profiles import ProfileStore
from lastmile.runs import Runs
from lastmile.ulid import new_ulid

IMAGES, LABELS = (array for array in load_digits(return_X_y=True))
BATCH = 100
LEARNT = 600  # rows that the training by itself gets
QUICKLY = {"trees": 10}
SECONDS = 90
EVENTS = {"source": ["lastmile"], "detail-type": ["DriftDetected", "RetrainWanted"]}


def predict(stack: Target, token: str, rows: Any) -> str:
    """One request; the id of the prediction."""
    data = rows.astype(np.float32)
    tensor = {"name": "image", "shape": list(data.shape), "datatype": "FP32", "data": data.ravel().tolist()}
    answer = stack.call(
        "POST",
        "/v2/models/watched/infer",
        body=json.dumps({"inputs": [tensor]}).encode(),
        headers={"content-type": "application/json"},
        token=token,
    )
    assert answer.status == 200, answer.body
    return answer.headers["lastmile-prediction-id"]


def until(happens: Any, what: str, *, seconds: float = SECONDS) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := happens()):
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.5)
    return found


@dataclass(frozen=True)
class Traffic:
    """What was sent: ids and the right labels of their rows."""

    ids: list[str]
    labels: list[list[int]]


@pytest.fixture(scope="module")
def events(stack: Target) -> Iterator[Any]:
    """Collects the events that a rule on the default bus hears."""
    sqs, bus = stack.client("sqs"), stack.client("events")
    url = sqs.create_queue(QueueName="heard-by-the-drift-test")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    bus.put_rule(Name="heard-by-the-drift-test", EventPattern=json.dumps(EVENTS))
    bus.put_targets(Rule="heard-by-the-drift-test", Targets=[{"Id": "queue", "Arn": arn}])

    def heard() -> list[dict[str, Any]]:
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1).get("Messages", [])
        for message in found:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in found]

    yield heard
    bus.remove_targets(Rule="heard-by-the-drift-test", Ids=["queue"])
    bus.delete_rule(Name="heard-by-the-drift-test")
    sqs.delete_queue(QueueUrl=url)


@pytest.fixture(scope="module")
def uploaded(stack: Target, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Inverted images with their labels, there before the model is: the run of this upload has come to nothing."""
    file = tmp_path_factory.mktemp("watched") / "inverted.csv"
    (pixels,) = (tensor.columns for tensor in stack.registry().spec("digits").inputs)
    rows = np.column_stack([16 - IMAGES[:LEARNT], LABELS[:LEARNT]]).astype(int)
    np.savetxt(file, rows, "%d", ",", header=",".join((*pixels, "label")), comments="")
    run, runs = upload(stack, "watched", file), Runs(data_store(stack))
    until(lambda: any(one.id == run and one.is_over for one in runs.newest("watched", limit=5)), "the run's end")
    return f"training/watched/{file.name}"


@pytest.fixture(scope="module")
def watched(stack: Target, uploaded: str) -> str:
    """The digits' newest version under another name, with a reference, looked at every hour and trained by itself."""
    registry = stack.registry()
    manifest = registry.manifest("digits", 2)
    data = registry.artefact(manifest)
    rows = {"image": IMAGES.astype(np.float32)}
    names = [tensor.name for tensor in manifest.signature.outputs]
    answers = dict(zip(names, OnnxModel.open(data, threads=1).run(names, rows), strict=True))
    of = registry.spec("digits")
    known = reference(manifest.signature, of.task, rows, answers, features=of.features)
    registry.push(
        replace(
            of,
            name="watched",
            drift=Drift(every_hours=1, window_hours=24),
            retrain=Retrain(on_drift=True),
            training=Training(recipe="tabular", target="label", options=QUICKLY),
            compression=Compression(candidates=("optimised",)),
            canary=Canary(steps=(0.5,), bake_seconds=2.0),
        ),
        data,
        signature=manifest.signature,
        actor="e2e",
        why="to be watched",
        metrics={},
        lineage={},
        compression={},
        files={"profile.json": json.dumps(known.to_document()).encode()},
    )
    registry.promote("watched", 1, actor="e2e", why="to be watched")
    return "watched"


@pytest.fixture(scope="module")
def traffic(stack: Target, watched: str) -> Traffic:
    """Inverted images, which no digit was learned from, until they are captured and counted."""
    token = stack.token(["infer"])
    chosen = [slice(start, start + BATCH) for start in range(0, 1500, BATCH)]
    ids = [predict(stack, token, 16 - IMAGES[rows]) for rows in chosen]
    store = data_store(stack)

    def captured() -> bool:
        return len(list(store.list("captures/model=watched"))) > 0 and rows_counted(stack) >= 1500

    until(captured, "the captures")
    return Traffic(ids, [LABELS[rows].tolist() for rows in chosen])


def rows_counted(stack: Target) -> int:
    profiles = ProfileStore(data_store(stack))
    now = time.time()
    found = [profiles.read("watched", 1, now - 7200, now + 3600)]
    return sum(profile.rows for profile in found if profile is not None)


def invoke(stack: Target, event: dict[str, Any]) -> dict[str, Any]:
    answer = stack.client("lambda").invoke(
        FunctionName=f"lastmile-{stack.stage}-drift", Qualifier="live", Payload=json.dumps(event).encode()
    )
    returned: dict[str, Any] = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, returned
    return returned


def reports(stack: Target) -> list[str]:
    return sorted(path for path in data_store(stack).list("reports/watched/drift") if path.endswith("Z.json"))


def in_an_hour() -> str:
    """The window ends with a whole hour: the next one takes in what has just been sent."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))


def test_the_scheduled_check_finds_the_drift_once_and_trains_once(
    stack: Target, traffic: Traffic, uploaded: str, events: Any
) -> None:
    scheduled = {"detail-type": "Scheduled Event", "source": "aws.events", "time": in_an_hour(), "detail": {}}
    first = invoke(stack, scheduled)
    assert first["failed"] == []
    (checked,) = [one for one in first["checked"] if one["model"] == "watched"]
    assert checked["verdict"] == "drifted", checked
    report = json.loads(data_store(stack).get(checked["path"]).data)
    assert report["traffic"]["rows"] >= 1500
    assert b"<h1>watched: " in data_store(stack).get(report["page"]).data
    assert checked["retrain"]["started"]
    heard = [until(events, "an event") for _ in range(2)]
    told = sorted((event["source"], event["detail-type"], event["detail"]["model"]) for (event,) in heard)
    assert told == [("lastmile", "DriftDetected", "watched"), ("lastmile", "RetrainWanted", "watched")]
    uploads = set(data_store(stack).list("training/watched"))
    (again,) = uploads - {uploaded}
    assert again.startswith("training/watched/again-")
    assert [event["detail"]["upload"] for (event,) in heard if event["detail-type"] == "RetrainWanted"] == [again]
    before = reports(stack)
    assert invoke(stack, scheduled)["checked"] == []
    assert (reports(stack), events()) == (before, [])
    assert set(data_store(stack).list("training/watched")) == uploads
    figure = until(lambda: figures(stack, "DriftedFeatures"), "the figure")
    assert figure[-1]["model"] == "watched"
    assert figure[-1]["DriftedFeatures"] > 0
    learns_what_has_come(stack, again)


def learns_what_has_come(stack: Target, again: str) -> None:
    """The run that drift has started, to its end: there is one, and its version recognises what the old one did not."""
    learning = ApiLearning(stack)

    def started() -> list[str]:
        return [run["id"] for run in learning.runs("watched", limit=20) if run["upload"]["key"] == again]

    (run,) = until(started, "the run")
    *_, record = changes(learning, "watched", run)
    assert record["state"] == "promoted", record["problem"]
    assert started() == [run]
    registry = stack.registry()
    manifest = registry.manifest("watched", registry.release("watched").latest)
    assert manifest.lineage["run"] == run
    old, new = (
        OnnxModel.open(registry.artefact(one), threads=1).run(
            ["label"], {"image": (16 - IMAGES[LEARNT:]).astype(np.float32)}
        )
        for one in (registry.manifest("watched", 1), manifest)
    )
    right = [float((labels[0] == LABELS[LEARNT:]).mean()) for labels in (old, new)]
    assert right[0] < 0.5 < 0.8 < right[1], right


def figures(stack: Target, name: str) -> list[dict[str, Any]]:
    logs = stack.client("logs")
    found = logs.filter_log_events(logGroupName=f"{stack.log_group_prefix}drift", filterPattern=name)["events"]
    lines = [event["message"] for event in found if event["message"].startswith('{"_aws"')]
    return [document for document in map(json.loads, lines) if name in document]


def test_the_rule_itself_wakes_the_function(stack: Target) -> None:
    """Its schedule is made a minute for the length of this test; what it calls and with what stays as deployed."""
    bus, name = stack.client("events"), f"lastmile-{stack.stage}-drift"
    deployed = bus.describe_rule(Name=name)
    assert deployed["ScheduleExpression"] == "rate(1 hour)"
    before = len(ticks(stack))
    bus.put_rule(Name=name, ScheduleExpression="rate(1 minute)", State="ENABLED")
    try:
        until(lambda: len(ticks(stack)) > before, "the tick", seconds=150)
    finally:
        bus.put_rule(Name=name, ScheduleExpression="rate(1 hour)", State="ENABLED")


def ticks(stack: Target) -> list[dict[str, Any]]:
    return figures(stack, "ModelsChecked")


def test_labels_through_the_api_become_quality(stack: Target, traffic: Traffic) -> None:
    known = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    stray = new_ulid()
    labels = [
        {"model": "watched", "prediction_id": prediction_id, "row": row, "label": label, "source": "e2e", "time": known}
        for prediction_id, rows in zip(traffic.ids[:4], traffic.labels[:4], strict=True)
        for row, label in enumerate(rows)
    ] + [{"model": "watched", "prediction_id": stray, "label": 1, "source": "e2e", "time": known}]
    assert send(stack, labels) == {"accepted": 401, "new": 401}
    assert send(stack, labels) == {"accepted": 401, "new": 0}
    found = invoke(stack, {"model": "watched", "quality": True, "days": 1})
    assert (found["labels"]["joined"], found["labels"]["unknown"], found["labels"]["unknown_ids"]) == (400, 1, [stray])
    served = [version for version in found["versions"] if not version["shadow"]]
    assert sum(version["rows"] for version in served) == 400
    accuracy = served[0]["metrics"]["accuracy"]
    assert 0 <= accuracy["low"] <= accuracy["value"] <= accuracy["high"] < 0.9, "inverted digits are not recognised"


def send(stack: Target, labels: list[dict[str, Any]]) -> dict[str, Any]:
    answer = stack.call(
        "POST",
        "/v1/feedback",
        body=json.dumps(labels).encode(),
        headers={"content-type": "application/json"},
        token=stack.token(["feedback"]),
    )
    assert answer.status == 202, answer.body
    document: dict[str, Any] = answer.json()
    return document


def test_its_rights_are_enough(guarded_stack: Target) -> None:
    """Where IAM is enforced: everything of a check but drift itself, and a question."""
    scheduled = {"detail-type": "Scheduled Event", "source": "aws.events", "time": in_an_hour(), "detail": {}}
    found = invoke(guarded_stack, scheduled)
    assert found["failed"] == []
    assert "digits" in [one["model"] for one in found["checked"]]
    assert all(data_store(guarded_stack).exists(one["path"]) for one in found["checked"])
    assert "error" not in invoke(guarded_stack, {"model": "digits", "quality": True})


def test_labels_need_their_own_scope(stack: Target) -> None:
    answer = stack.call("POST", "/v1/feedback", body=b"{}", token=stack.token(["infer", "read"]))
    assert answer.status == 403


def test_a_label_of_another_kind_is_refused_in_a_sentence(stack: Target, traffic: Traffic) -> None:
    label = {"model": "watched", "prediction_id": traffic.ids[0], "label": "three", "source": "e2e"}
    answer = stack.call(
        "POST",
        "/v1/feedback",
        body=json.dumps(label | {"time": "2026-01-01T00:00:00Z"}).encode(),
        headers={"content-type": "application/json"},
        token=stack.token(["feedback"]),
    )
    assert (answer.status, answer.json()) == (422, {"error": "body: 'label' must be an integer for this model"})
