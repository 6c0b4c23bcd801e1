"""Every prediction captured and counted once, whatever the log delivers, fails to deliver or delivers again."""

import base64
import gzip
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from cli.target import Target
from cli.watching import data_store
from lastmile.capture import Record, read_line
from lastmile.policies import Decision
from lastmile.profile import Profile
from lastmile.profiles import ProfileStore

PREDICTIONS = 600
CONNECTIONS = 8
MODEL = "captured"
DECIDED = "decided"
IMAGES = load_digits().data.astype(np.float32)
SECONDS = 240
UNSURE = Decision("route", {"sure_from": 1.0, "unsure": "person", "review": ["person"]})


def serve(stack: Target, model: str = MODEL) -> None:
    """The digits under a name of these tests' own; every decision about them wants a person."""
    registry = stack.registry()
    if model not in registry.models():
        manifest = registry.manifest("digits", 1)
        registry.push(
            replace(registry.spec("digits"), name=model, decision=UNSURE),
            registry.artefact(manifest),
            signature=manifest.signature,
            actor="e2e",
            why="to be captured",
            metrics={},
            lineage={},
            compression={},
        )
        registry.promote(model, 1, actor="e2e", why="to be captured")


def predict(stack: Target, token: str, number: int) -> str:
    """One row; the id of its prediction."""
    tensor = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": IMAGES[number % len(IMAGES)].tolist()}
    answer = stack.call(
        "POST",
        f"/v2/models/{MODEL}/infer",
        body=json.dumps({"inputs": [tensor]}).encode(),
        headers={"content-type": "application/json"},
        token=token,
    )
    assert answer.status == 200, answer.body
    return answer.headers["lastmile-prediction-id"]


def until(happens: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := happens()):
        assert time.monotonic() < deadline, f"{what} did not come within {SECONDS} s"
        time.sleep(1)
    return found


def captures(stack: Target) -> list[Record]:
    """All lines, also those that lie twice."""
    store = data_store(stack)
    with ThreadPoolExecutor(16) as pool:
        objects = pool.map(lambda path: store.get(path).data, store.list(f"captures/model={MODEL}"))
        return [read_line(line) for packed in objects for line in gzip.decompress(packed).splitlines()]


def counted(stack: Target, *, merges: bool = False) -> Profile | None:
    now = time.time()
    return ProfileStore(data_store(stack), merges=merges).read(MODEL, 1, now - 7200, now + 60)


def logged(stack: Target, ids: set[str]) -> dict[str, list[dict[str, Any]]]:
    """The events of these predictions in the log, by stream."""
    client = stack.client("logs")
    streams: dict[str, list[dict[str, Any]]] = {}
    for page in client.get_paginator("filter_log_events").paginate(logGroupName=log_group(stack)):
        for event in page["events"]:
            if '"lastmile.capture"' in event["message"] and json.loads(event["message"])["id"] in ids:
                streams.setdefault(event["logStreamName"], []).append(event)
    return streams


def log_group(stack: Target) -> str:
    return f"/aws/lambda/lastmile-{stack.stage}-inference"


def deliver(stack: Target, stream: str, events: list[dict[str, Any]]) -> None:
    """As the log would, with event ids that follow from the events."""
    document = {
        "messageType": "DATA_MESSAGE",
        "owner": "000000000000",
        "logGroup": log_group(stack),
        "logStream": stream,
        "subscriptionFilters": [f"lastmile-{stack.stage}-captures"],
        "logEvents": [
            {"id": json.loads(event["message"])["id"], "timestamp": event["timestamp"], "message": event["message"]}
            for event in events
        ],
    }
    data = base64.b64encode(gzip.compress(json.dumps(document).encode())).decode()
    answer = stack.client("lambda").invoke(
        FunctionName=f"lastmile-{stack.stage}-capture",
        Qualifier="live",
        Payload=json.dumps({"awslogs": {"data": data}}).encode(),
    )
    returned = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, returned
    assert returned["captures"] == len(events), returned


def deliver_all(stack: Target, ids: set[str], *, cut: int) -> None:
    for stream, events in logged(stack, ids).items():
        for start in range(0, len(events), cut):
            deliver(stack, stream, events[start : start + cut])


class Subscription:
    """Of the inference function's log: deafened, nothing is delivered, as when no function could be started."""

    def __init__(self, stack: Target) -> None:
        self._client = stack.client("logs")
        self._group = log_group(stack)
        (self._found,) = self._client.describe_subscription_filters(logGroupName=self._group)["subscriptionFilters"]

    def deafen(self) -> None:
        self._client.delete_subscription_filter(logGroupName=self._group, filterName=self._found["filterName"])

    def restore(self) -> None:
        wanted = ("logGroupName", "filterName", "filterPattern", "destinationArn")
        self._client.put_subscription_filter(**{key: self._found[key] for key in wanted})


@pytest.fixture
def reviews(stack: Target) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Details of the events that a rule on the default bus hears."""
    sqs, bus, name = stack.client("sqs"), stack.client("events"), "heard-by-the-captures-test"
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    bus.put_rule(Name=name, EventPattern=json.dumps({"source": ["lastmile"], "detail-type": ["DecisionReview"]}))
    bus.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])

    def heard() -> list[dict[str, Any]]:
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"])["detail"] for message in found]

    yield heard
    bus.remove_targets(Rule=name, Ids=["queue"])
    bus.delete_rule(Name=name)
    sqs.delete_queue(QueueUrl=url)


def test_every_prediction_is_captured_and_counted_once(stack: Target) -> None:
    serve(stack)
    token = stack.token(["infer"])
    subscription = Subscription(stack)
    chance = random.Random(7)
    stopped = threading.Timer(8, subscription.deafen)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        stopped.start()
        ids = set(pool.map(lambda number: predict(stack, token, number), range(PREDICTIONS // 2)))
        stopped.join()
        subscription.restore()
        again = pool.submit(deliver_all, stack, set(ids), cut=40)  # what was delivered already, and what never was
        ids |= set(pool.map(lambda number: predict(stack, token, number), range(PREDICTIONS // 2)))
        again.result()
    assert len(ids) == PREDICTIONS
    until(lambda: {record.id for record in captures(stack)} == ids, "all captures")

    store = data_store(stack)
    client = stack.client("s3")
    profiles = [path for path in store.list(f"profiles/model={MODEL}") if "/hour=" in path]
    for path in chance.sample(profiles, len(profiles) // 10):  # as if the function had been killed before it wrote
        client.delete_object(Bucket=stack.data_bucket, Key=path)
        if chance.random() < 0.5:
            _, day, hour, batch = path.rsplit("/", 3)
            captured = f"captures/model={MODEL}/{day}/{hour}/{batch.removesuffix('.json.gz')}.jsonl.gz"
            client.delete_object(Bucket=stack.data_bucket, Key=captured)
    for cut in (25, 150):
        deliver_all(stack, ids, cut=cut)

    found = captures(stack)
    assert {record.id for record in found} == ids
    for merges in (False, True, True):
        profile = counted(stack, merges=merges)
        assert profile is not None
        assert (profile.requests, profile.rows, profile.errors) == (PREDICTIONS, PREDICTIONS, 0)
    assert not list(store.list("quarantine/captures"))
    sent = {tuple(IMAGES[number].tolist()) for number in range(PREDICTIONS // 2)}
    assert {tuple(record.inputs["image"][0].tolist()) for record in found} == sent


def test_a_decision_that_wants_a_person_is_an_event(stack: Target, reviews: Callable[[], list[dict[str, Any]]]) -> None:
    serve(stack, DECIDED)
    answer = stack.call(
        "POST",
        f"/v1/models/{DECIDED}:decide",
        body=json.dumps({"instances": IMAGES[:2].tolist()}).encode(),
        headers={"content-type": "application/json"},
        token=stack.token(["infer"]),
    )
    assert answer.status == 200, answer.body
    said = answer.json()
    heard: dict[str, dict[str, Any]] = {}

    def both() -> bool:
        heard.update({one["id"]: one for one in reviews()})
        return len(heard) == 2

    until(both, "the events")
    assert set(heard) == {f"{said['prediction_id']}-{row}" for row in (0, 1)}
    assert all(one["decision"] == "person" and one["model"] == DECIDED and one["reasons"] for one in heard.values())


def test_the_function_needs_no_more_than_its_rights(guarded_stack: Target) -> None:
    serve(guarded_stack)
    token = guarded_stack.token(["infer"])
    ids = {predict(guarded_stack, token, number) for number in range(3)}
    until(lambda: {record.id for record in captures(guarded_stack)} >= ids, "the captures")
    until(lambda: (found := counted(guarded_stack)) is not None and found.requests >= 3, "the profiles")
