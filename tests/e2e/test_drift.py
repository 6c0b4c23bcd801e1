"""Drift on the deployed stack: shifted traffic, the scheduled check, its report, figure, event, and what it starts."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cli.learning import ApiLearning
from cli.target import Target
from cli.training import changes, upload
from cli.watching import data_store
from lastmile.model import OnnxModel
from lastmile.policies import Retrain
from lastmile.runs import Runs
from tests.e2e.watched import BATCH, IMAGES, LABELS, invoke, predict, rows_counted, scheduled, serve, until

ROWS = 1500
LEARNT = 600  # rows that the training by itself gets
EVENTS = {"source": ["lastmile"], "detail-type": ["DriftDetected", "RetrainWanted"]}


@pytest.fixture(scope="module")
def events(stack: Target) -> Iterator[Any]:
    """Collects the events that a rule on the stage's bus hears."""
    sqs, bus = stack.client("sqs"), stack.client("events")
    url = sqs.create_queue(QueueName="heard-by-the-drift-test")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    there = {"EventBusName": f"lastmile-{stack.stage}"}
    bus.put_rule(Name="heard-by-the-drift-test", EventPattern=json.dumps(EVENTS), **there)
    bus.put_targets(Rule="heard-by-the-drift-test", Targets=[{"Id": "queue", "Arn": arn}], **there)

    def heard() -> list[dict[str, Any]]:
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1).get("Messages", [])
        for message in found:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in found]

    yield heard
    bus.remove_targets(Rule="heard-by-the-drift-test", Ids=["queue"], **there)
    bus.delete_rule(Name="heard-by-the-drift-test", **there)
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
    serve(stack, "watched", Retrain(on_drift=True))
    return "watched"


@pytest.fixture(scope="module")
def traffic(stack: Target, watched: str) -> None:
    """Inverted images, which no digit was learned from, until they are captured and counted."""
    token = stack.token(["infer"])
    for start in range(0, ROWS, BATCH):
        predict(stack, token, watched, 16 - IMAGES[start : start + BATCH])
    until(lambda: rows_counted(stack, watched) >= ROWS, "the captures")


def reports(stack: Target) -> list[str]:
    return sorted(path for path in data_store(stack).list("reports/watched/drift") if path.endswith("Z.json"))


def test_the_scheduled_check_finds_the_drift_once_and_trains_once(
    stack: Target, traffic: None, uploaded: str, events: Any
) -> None:
    tick = scheduled()
    first = invoke(stack, tick)
    assert first["failed"] == []
    (checked,) = [one for one in first["checked"] if one["model"] == "watched"]
    assert checked["verdict"] == "drifted", checked
    report = json.loads(data_store(stack).get(checked["path"]).data)
    assert report["traffic"]["rows"] >= ROWS
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
    assert invoke(stack, tick)["checked"] == []
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


def test_its_rights_are_enough(guarded_stack: Target) -> None:
    """Where IAM is enforced: everything of a check but drift itself, and a question."""
    found = invoke(guarded_stack, scheduled())
    assert found["failed"] == []
    assert "digits" in [one["model"] for one in found["checked"]]
    assert all(data_store(guarded_stack).exists(one["path"]) for one in found["checked"])
    assert "error" not in invoke(guarded_stack, {"model": "digits", "quality": True})
