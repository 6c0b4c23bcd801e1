"""Every prediction captured and counted once, whatever the log delivers, fails to deliver or delivers again."""

import gzip
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from benchmarks.delivering import Event, Log, kill_some, prediction
from cli.local import LocalAws
from cli.target import Target
from cli.watching import data_store
from lastmile.capture import Record, read_line
from lastmile.policies import Decision
from lastmile.profile import Profile
from lastmile.profiles import ProfileStore

UNHEARD, HEARD = 200, 40  # predictions made while nobody listens to the log, and those that it delivers itself
CONNECTIONS = 8
ATTEMPTS = 10
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
        timeout=300,  # eight functions start at once, beside whatever else runs on the machine
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


def deliver(log: Log, streams: Mapping[str, Sequence[Event]], *, cut: int) -> None:
    """Until each delivery has been taken."""
    for stream, events in streams.items():
        for start in range(0, len(events), cut):
            some = events[start : start + cut]
            found = next(filter(None, (log.deliver(stream, some) for _ in range(ATTEMPTS))), None)
            assert found is not None, "a delivery was never taken"
            assert found["captures"] == len(some), found


@pytest.fixture
def reviews(stack: Target) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Details of the events that a rule on the stage's bus hears."""
    sqs, bus, name = stack.client("sqs"), stack.client("events"), "heard-by-the-captures-test"
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern, there = {"source": ["lastmile"], "detail-type": ["DecisionReview"]}, f"lastmile-{stack.stage}"
    bus.put_rule(Name=name, EventPattern=json.dumps(pattern), EventBusName=there)
    bus.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}], EventBusName=there)

    def heard() -> list[dict[str, Any]]:
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"])["detail"] for message in found]

    yield heard
    bus.remove_targets(Rule=name, Ids=["queue"], EventBusName=there)
    bus.delete_rule(Name=name, EventBusName=there)
    sqs.delete_queue(QueueUrl=url)


def test_every_prediction_is_captured_and_counted_once(stack: Target, local_aws: LocalAws) -> None:
    serve(stack)
    token, started = stack.token(["infer"]), time.time() - 1
    sent: dict[str, int] = {}

    def send(numbers: range) -> set[str]:
        ids = list(pool.map(lambda number: predict(stack, token, number), numbers))
        sent.update(zip(ids, numbers, strict=True))
        return set(ids)

    log = Log(stack)
    with ThreadPoolExecutor(CONNECTIONS) as pool, log.few_at_once():
        with log.lost():
            unheard = send(range(UNHEARD))
        events = [event for event in all_of(log, started) if prediction(event) in unheard]
        assert len(events) == UNHEARD
        streams = {"one": events[::2], "other": events[1::2]}  # as if two processes had answered all of them
        late = pool.submit(deliver, log, streams, cut=40)
        heard = send(range(UNHEARD, UNHEARD + HEARD))
        kill_some(local_aws.folder)
        late.result()
    assert len(sent) == UNHEARD + HEARD
    streams |= {stream: of for stream, of in log.streams(started).items() if prediction(of[0]) in heard}
    forget_some(stack)
    for cut in (25, 150):
        deliver(log, streams, cut=cut)

    found = captures(stack)
    assert {record.id for record in found} == set(sent)
    for merges in (False, True, True):
        profile = counted(stack, merges=merges)
        assert profile is not None
        assert (profile.requests, profile.rows, profile.errors) == (len(sent), len(sent), 0)
    assert not list(data_store(stack).list("quarantine/captures"))
    for record in found:
        assert record.inputs["image"].tolist() == [IMAGES[sent[record.id]].tolist()]


def all_of(log: Log, since: float) -> list[Event]:
    events = [event for of_one in log.streams(since).values() for event in of_one]
    return sorted(events, key=lambda event: (event["timestamp"], event["message"]))


def forget_some(stack: Target) -> None:
    """As if a function had been killed before it wrote the profile, or anything."""
    chance, store, client = random.Random(7), data_store(stack), stack.client("s3")
    profiles = [path for path in store.list(f"profiles/model={MODEL}") if "/hour=" in path]
    for number, path in enumerate(chance.sample(profiles, len(profiles) // 3)):
        client.delete_object(Bucket=stack.data_bucket, Key=path)
        if number % 2:
            _, day, hour, batch = path.rsplit("/", 3)
            captured = f"captures/model={MODEL}/{day}/{hour}/{batch.removesuffix('.json.gz')}.jsonl.gz"
            client.delete_object(Bucket=stack.data_bucket, Key=captured)


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
    profile = until(lambda: enough(counted(guarded_stack), len(ids)), "the profiles")
    assert (profile.requests, profile.errors) == (len(ids), 0)
    assert {record.id for record in captures(guarded_stack)} == ids


def enough(profile: Profile | None, requests: int) -> Profile | None:
    return profile if profile is not None and profile.requests >= requests else None
