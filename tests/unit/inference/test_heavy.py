"""Versions with a heavy side through the doors, against the local endpoint and an S3 on this machine."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import boto3
import numpy as np
import pytest
from botocore.config import Config

from functions.inference.background import Background
from functions.inference.door import LambdaDoor
from functions.inference.examples import TWO
from functions.inference.local_endpoint import THREADS, LocalEndpoint
from functions.inference.metrics import Metrics
from functions.inference.server_door import ServerDoor
from functions.inference.serving import Serving
from lastmile import predictor
from lastmile.capture import Capture, read_line
from lastmile.errors import InvalidArtefact, LastmileError
from lastmile.heavy.packaging import Repository, packed
from lastmile.heavy.pending import PAUSES, RETRY_SECONDS
from lastmile.heavy.triton import config
from lastmile.model import OnnxModel
from lastmile.policies import Decision, Heavy
from lastmile.predictor import Predictor
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store
from tests.unit.inference import graphs
from tests.unit.inference.doors import (
    DIGITS,
    WHO,
    Answer,
    Door,
    Sent,
    every_door,
    listening,
    open_serving,
    session,
    through_asgi,
    through_event,
)
from tests.unit.inference.graphs import classifier
from tests.unit.inference.test_doors import binary, post, tensor, v2
from tests.unit.inference.test_metrics import samples

LIGHT, HEAVY = 1, 2  # seeds of the two sides
PATIENT = 25.0  # seconds that an endpoint has, of which it takes some milliseconds
CASCADE, ALWAYS, LATER, BOTH, ALONE = "cascade", "always", "later", "both", "alone"
READ = Decision("route", {"sure_from": 0.15, "unsure": "person", "review": ["person"]})
ROWS = np.stack([np.roll(TWO, shift) for shift in range(40)]).astype(np.float32)
SIDES = {seed: session(seed)(ROWS) for seed in (LIGHT, HEAVY)}
THRESHOLD = float(np.median(SIDES[LIGHT][1].max(axis=1)))

type World = "Room"


def package(model: bytes) -> bytes:
    return packed(Repository("model", config("model", DIGITS, Heavy("always")), model))


class Room:
    """A serving, the endpoint behind it, and what was captured."""

    def __init__(
        self, serving: Serving, endpoint: LocalEndpoint, lines: list[bytes], environ: Mapping[str, str]
    ) -> None:
        self.serving = serving
        self.endpoint = endpoint
        self.lines = lines
        self.environ = environ
        self.door: Door = through_event(LambdaDoor(serving))
        serving.predictor.heavy._runtime._pause = lambda seconds: None

    def ask(self, model: str, rows: Any = ROWS[:1], **more: Any) -> Answer:
        return self.door(post(f"/v2/models/{model}/infer", v2(tensor(rows), **more)))

    def wait(self, location: str) -> Answer:
        deadline = time.monotonic() + 60
        while (got := self.door(Sent("GET", location))).status == 202:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return got

    def paused(self, location: str) -> int:
        """Seconds until the next attempt, once the last one has failed."""
        deadline = time.monotonic() + 60
        while (seconds := int(self.door(Sent("GET", location)).headers.get("retry-after", "0"))) == RETRY_SECONDS:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return seconds

    def rested(self, seconds: float = PAUSES[1]) -> None:
        """So much time has passed, and what failed may be asked again."""
        pending = self.serving.predictor.heavy.pending
        assert pending is not None
        clock = pending._clock
        pending._clock = lambda: clock() + seconds
        pending._breakers.clear()

    def hurry(self, *models: str) -> None:
        """So little time that the endpoint has not answered in it where it is slow."""
        for model in models:
            tiers = self.serving.predictor.resolve(model).loaded.tiers
            assert tiers is not None
            tiers.heavy._deadline_seconds = 0.1

    def fall_asleep(self) -> None:
        """Until somebody wakes it."""
        self.endpoint.set({"asleep": True, "wake_seconds": 3600})

    def wake(self) -> None:
        self.endpoint.set({"asleep": False})

    def records(self) -> list[Any]:
        return [read_line(line) for line in self.lines]


@contextmanager
def opened(artifacts: str, environ: Mapping[str, str], lines: list[bytes], **more: str) -> Iterator[Serving]:
    settings = {"LASTMILE_ARTIFACTS": artifacts, "LASTMILE_STAGE": "test", **environ, **more}
    serving = open_serving(settings, record=Capture(lines.append))
    yield serving
    serving.predictor.reconnect()  # closes what is open


@pytest.fixture(scope="module")
def environ(s3_environ: dict[str, str]) -> dict[str, str]:
    client = boto3.client("s3", endpoint_url=s3_environ["AWS_ENDPOINT_URL"], **KEYS)
    bucket = f"bucket-{uuid4()}"
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client.close()
    return {**s3_environ, "LASTMILE_DATA": f"s3://{bucket}"}


KEYS: Any = {"region_name": "eu-west-1", "aws_access_key_id": "testing", "aws_secret_access_key": "testing"}


@pytest.fixture(scope="module")
def artifacts(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Models whose light side is one classifier and whose heavy side is another."""
    uri = tmp_path_factory.mktemp("registry").as_uri()
    registry = Registry(Store.open(uri, environ={}))
    policies = {
        CASCADE: Heavy("cascade", threshold=THRESHOLD, asleep="degraded", deadline_seconds=PATIENT, max_batch=8),
        BOTH: Heavy("cascade", threshold=THRESHOLD, asleep="accepted", deadline_seconds=PATIENT, max_batch=8),
        ALWAYS: Heavy("always", asleep="degraded", deadline_seconds=PATIENT, realtime_bytes=64 * 4 * 20),
        LATER: Heavy("always", asleep="accepted", deadline_seconds=PATIENT, max_batch=8),
    }
    for name, heavy in policies.items():
        spec = ModelSpec(
            name, "classification", "", DIGITS.inputs, DIGITS.outputs, backend="sagemaker", heavy=heavy, decision=READ
        )
        files = {"model.tar.gz": package(classifier(HEAVY))}
        facts: Any = {"metrics": {}, "lineage": {}, "compression": {}, **WHO}
        registry.push(spec, classifier(LIGHT), signature=DIGITS, files=files, **facts)
        registry.promote(name, 1, **WHO)
    spec = ModelSpec(
        ALONE, "classification", "", DIGITS.inputs, DIGITS.outputs, backend="sagemaker", heavy=policies[LATER]
    )
    registry.push(spec, package(classifier(HEAVY)), signature=DIGITS, artefact="model.tar.gz", **facts)
    registry.promote(ALONE, 1, **WHO)
    return uri


@pytest.fixture(scope="module")
def endpoint(artifacts: str, environ: dict[str, str]) -> Iterator[tuple[LocalEndpoint, str]]:
    app = LocalEndpoint({"LASTMILE_ARTIFACTS": artifacts, "LASTMILE_STAGE": "test", **environ})
    with listening(app, http="httptools") as port:
        yield app, f"http://127.0.0.1:{port}"


@pytest.fixture
def room(artifacts: str, endpoint: tuple[LocalEndpoint, str], environ: dict[str, str]) -> Iterator[Room]:
    app, url = endpoint
    for name in app.counts:
        app.counts[name] = 0
    lines: list[bytes] = []
    with opened(artifacts, environ, lines, AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=url) as serving:
        yield Room(serving, app, lines, {**environ, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url})
    app.set({"asleep": False, "slow_seconds": 0, "fail": 0, "garbage": False, "throttle": False, "wake_seconds": 0})


def outputs(got: Answer) -> tuple[Any, Any]:
    label, probabilities = json.loads(got.body)["outputs"]
    return np.array(label["data"]), np.array(probabilities["data"], np.float32).reshape(probabilities["shape"])


def expected(rows: Any) -> tuple[Any, Any, Any]:
    """Each row by the side that it belongs to, and which rows are the heavy side's."""
    light, heavy = session(LIGHT)(rows), session(HEAVY)(rows)
    is_heavy = light[1].max(axis=1) < THRESHOLD
    return np.where(is_heavy, heavy[0], light[0]), np.where(is_heavy[:, None], heavy[1], light[1]), is_heavy


def same(got: Answer, wanted: tuple[Any, ...]) -> None:
    assert got.status == 200, got.body
    label, probabilities = outputs(got)
    np.testing.assert_array_equal(label, wanted[0])
    np.testing.assert_allclose(probabilities, wanted[1], rtol=1e-6)


def test_each_row_is_answered_by_its_own_side(room: Room) -> None:
    got = room.ask(CASCADE, ROWS)
    label, probabilities, is_heavy = expected(ROWS)
    same(got, (label, probabilities))
    assert 0 < is_heavy.sum() < 40
    assert got.headers["lastmile-tier"] == "cascade"
    assert "lastmile-degraded" not in got.headers
    assert room.endpoint.counts["invocations"] == -(-is_heavy.sum() // 8)  # in parts of a batch
    (record,) = room.records()
    assert (record.tier, record.heavy_rows, record.degraded) == ("cascade", is_heavy.sum(), None)
    assert record.heavy_ms > 0
    for row, heavy in zip(ROWS[:8], is_heavy[:8], strict=True):
        got = room.ask(CASCADE, row[None])
        same(got, session(HEAVY if heavy else LIGHT)(row[None]))
        assert got.headers["lastmile-tier"] == ("heavy" if heavy else "light")


def test_outputs_are_in_the_order_asked_for_also_without_the_confidence(room: Room) -> None:
    got = room.ask(CASCADE, ROWS, outputs=[{"name": "label"}])
    (label,) = json.loads(got.body)["outputs"]
    assert label["data"] == expected(ROWS)[0].tolist()


def test_binary_tensors_go_all_the_way(room: Room) -> None:
    sent = binary(ROWS, parameters={"binary_data_output": True})
    for _ in range(2):  # the second time by a plan
        got = room.door(Sent("POST", f"/v2/models/{CASCADE}/infer", sent.body, sent.headers))
        assert got.status == 200
        at = int(got.headers["inference-header-content-length"])
        found = np.frombuffer(got.body[at : at + 320], np.int64)
        np.testing.assert_array_equal(found, expected(ROWS)[0])
        assert got.headers["lastmile-tier"] == "cascade"


def test_without_rows_nobody_is_asked(room: Room) -> None:
    for model in (CASCADE, ALWAYS):
        got = room.ask(model, ROWS[:0])
        assert [output["shape"] for output in json.loads(got.body)["outputs"]] == [[0], [0, 10]]
    assert room.endpoint.counts["invocations"] == 0


def test_more_rows_than_can_be_asked_are_refused_whoever_would_answer_them(room: Room) -> None:
    got = room.ask(CASCADE, np.zeros((8 * 64 + 1, 64), np.float32))
    assert got.status == 413
    assert b"513 rows are too many" in got.body


WRONG: Any = [
    ({"asleep": True, "wake_seconds": 60}, "asleep"),
    ({"slow_seconds": 1.0}, "slow"),
    ({"fail": 500}, "failing"),
    ({"fail": 424}, "failing"),
    ({"garbage": True}, "garbage"),
    ({"throttle": True}, "throttled"),
]


@pytest.mark.parametrize(("switches", "reason"), WRONG, ids=str)
def test_the_light_answer_stands_and_says_so(room: Room, switches: Any, reason: str) -> None:
    room.endpoint.set(switches)
    if reason == "slow":
        room.hurry(CASCADE, ALWAYS)
    for model, rows in ((CASCADE, ROWS), (ALWAYS, ROWS[:1])):
        got = room.ask(model, rows)
        same(got, session(LIGHT)(rows))
        assert (got.headers["lastmile-tier"], got.headers["lastmile-degraded"]) == ("light", reason)
    assert [record.degraded for record in room.records()] == [reason] * 2


@pytest.mark.parametrize(
    ("model", "switches", "reason"), [*((LATER, *wrong) for wrong in WRONG), (BOTH, *WRONG[0])], ids=str
)
def test_an_answer_that_comes_later_is_the_protocols_own(room: Room, switches: Any, reason: str, model: str) -> None:
    room.endpoint.set(switches)
    if reason == "slow":
        room.hurry(model)
    got = room.ask(model, ROWS, id="mine")
    assert got.status == 202
    document = json.loads(got.body)
    assert (document["state"], document["reason"]) == ("pending", reason)
    assert got.headers["location"] == f"/v1/predictions/{got.headers['lastmile-prediction-id']}"
    assert room.door(Sent("GET", got.headers["location"])).status == 202
    assert not room.lines
    room.endpoint.set({"asleep": False, "slow_seconds": 0, "fail": 0, "garbage": False, "throttle": False})
    room.rested()
    answered = room.wait(got.headers["location"])
    same(answered, session(HEAVY)(ROWS) if model == LATER else expected(ROWS))
    assert json.loads(answered.body)["id"] == "mine"
    assert answered.headers["lastmile-state"] == "answered"
    assert answered.headers["lastmile-tier"] == ("heavy" if model == LATER else "cascade")
    assert answered.headers["lastmile-prediction-id"] == document["prediction_id"]
    assert room.wait(got.headers["location"]).body == answered.body
    (record,) = room.records()  # once, however often one asks
    assert (record.id, record.rows) == (document["prediction_id"], 40)


def test_rows_that_are_all_unsure_are_the_heavy_sides_now_and_later(room: Room) -> None:
    rows = ROWS[expected(ROWS)[2]][:3]
    assert room.ask(BOTH, rows).headers["lastmile-tier"] == "heavy"
    room.fall_asleep()
    got = room.ask(BOTH, rows)
    assert got.status == 202
    room.wake()
    answered = room.wait(got.headers["location"])
    same(answered, session(HEAVY)(rows))
    assert answered.headers["lastmile-tier"] == "heavy"
    assert [(record.tier, record.heavy_rows) for record in room.records()] == [("heavy", 3)] * 2


def test_a_version_may_have_no_light_side(room: Room) -> None:
    assert room.serving.predictor.preload([ALONE]) == [ALONE]
    assert room.endpoint.counts["invocations"] == 0  # nothing is woken before somebody asks
    same(room.ask(ALONE, ROWS), session(HEAVY)(ROWS))
    room.fall_asleep()
    got = room.ask(ALONE)
    assert got.status == 202
    room.wake()
    same(room.wait(got.headers["location"]), session(HEAVY)(ROWS[:1]))


def test_every_protocol_answers_later(room: Room) -> None:
    frame = {"instances": ROWS[:2].tolist()}
    sent = {
        "tfs": post(f"/v1/models/{LATER}:predict", frame),
        "tfs columns": post(f"/v1/models/{LATER}/versions/1:predict", {"inputs": ROWS[:2].tolist()}),
        "torch": post(f"/predictions/{LATER}", ROWS[:2].tolist()),
        "scoring": Sent("POST", "/invocations", json.dumps(frame).encode(), {}, query=f"model={LATER}"),
        "decide": post(f"/v1/models/{LATER}:decide", frame),
        "v2 binary": Sent(
            "POST", f"/v2/models/{LATER}/infer", *both(binary(ROWS[:2], parameters={"binary_data_output": True}))
        ),
    }
    at_once = {name: room.door(one) for name, one in sent.items()}
    room.lines.clear()
    room.fall_asleep()
    accepted = {name: room.door(one) for name, one in sent.items()}
    assert {one.status for one in accepted.values()} == {202}
    room.wake()
    for name, one in accepted.items():
        got, wanted = room.wait(one.headers["location"]), at_once[name]
        told = json.loads(got.body) if name == "decide" else None
        if told is not None:
            now = json.loads(wanted.body)
            assert told["decisions"] == now["decisions"]
            assert told["prediction_id"] == one.headers["lastmile-prediction-id"]
        else:
            assert got.body == wanted.body, name
        assert got.headers["content-type"] == wanted.headers["content-type"]
        assert got.headers.get("inference-header-content-length") == wanted.headers.get(
            "inference-header-content-length"
        )
        assert got.headers["lastmile-role"] == wanted.headers["lastmile-role"]
    assert len(room.lines) == len(sent)
    assert sum(bool(record.decisions) for record in room.records()) == 1


def both(sent: Sent) -> tuple[bytes, Mapping[str, str]]:
    return sent.body, sent.headers


def test_what_is_too_large_for_now_comes_later_whatever_the_policy(room: Room) -> None:
    got = room.ask(ALWAYS, ROWS)
    assert (got.status, json.loads(got.body)["reason"]) == (202, "large")
    same(room.wait(got.headers["location"]), session(HEAVY)(ROWS))


def test_where_nothing_can_be_kept_the_light_side_answers_what_is_too_large(
    artifacts: str, endpoint: Any, environ: dict[str, str]
) -> None:
    elsewhere = {name: value for name, value in environ.items() if name != "LASTMILE_DATA"}
    with opened(artifacts, elsewhere, [], AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=endpoint[1]) as serving:
        door = through_event(LambdaDoor(serving))
        got = door(post(f"/v2/models/{ALWAYS}/infer", v2(tensor(ROWS))))
        assert (got.status, got.headers["lastmile-degraded"]) == (200, "large")
        with pytest.raises(InvalidArtefact, match="version 1 of model 'later' may answer later, and LASTMILE_DATA"):
            serving.predictor.resolve(LATER)
        unloaded = door(post(f"/v2/models/{LATER}/infer", v2(tensor())))
        assert (unloaded.status, json.loads(unloaded.body)["error"]) == (503, "the stored model cannot be loaded")
        unknown = door(Sent("GET", "/v1/predictions/01KAJ4Y5N8V3W6Q2T9XZ7RMBDC"))
        assert (unknown.status, json.loads(unknown.body)["error"]) == (404, "nothing is answered later here")


@pytest.mark.parametrize("switches", [{"fail": 424}, {"garbage": True}], ids=str)
def test_what_fails_for_a_while_uses_up_one_attempt_however_often_one_asks(room: Room, switches: Any) -> None:
    room.endpoint.set(switches)
    location = room.ask(LATER).headers["location"]
    assert 25 < room.paused(location) <= 30
    for _ in range(5):
        assert room.door(Sent("GET", location)).status == 202
    assert room.endpoint.counts["asynchronous"] == 1
    room.endpoint.set({"fail": 0, "garbage": False})
    room.rested(20)
    assert 5 < room.paused(location) <= 10
    assert room.endpoint.counts["asynchronous"] == 1
    room.rested(10)
    same(room.wait(location), session(HEAVY)(ROWS[:1]))
    assert room.endpoint.counts["asynchronous"] == 2


def given_up(room: Room, location: str) -> Answer:
    """After the pauses between all attempts."""
    for pause in PAUSES[1:]:
        assert pause - 5 < room.paused(location) <= pause
        room.rested(pause)
        assert room.door(Sent("GET", location)).status == 202
    assert room.endpoint.counts["asynchronous"] == len(PAUSES)
    return room.wait(location)


def test_where_an_endpoint_goes_on_failing_the_light_answer_stands_in_the_end(room: Room) -> None:
    room.endpoint.set({"fail": 424})
    rows = ROWS[expected(ROWS)[2]][:1]
    location = room.ask(BOTH, rows).headers["location"]
    stands = given_up(room, location)
    same(stands, session(LIGHT)(rows))
    assert stands.headers["lastmile-state"] == "answered"
    assert (stands.headers["lastmile-tier"], stands.headers["lastmile-degraded"]) == ("light", "failing")
    room.endpoint.set({"fail": 0})
    assert room.wait(location).body == stands.body  # it stays what it was
    (record,) = room.records()
    assert (record.tier, record.degraded, record.heavy_rows, record.error) == ("light", "failing", 0, None)


def test_an_endpoint_that_goes_on_failing_is_told_in_the_end(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    room.endpoint.set({"fail": 424})
    got = room.ask(ALONE)
    failed = given_up(room, got.headers["location"])
    assert (failed.status, failed.headers["lastmile-state"]) == (200, "failed")
    document = json.loads(failed.body)
    assert (document["state"], document["error"]) == ("failed", "the endpoint failed")
    room.endpoint.set({"fail": 0})
    assert json.loads(room.wait(got.headers["location"]).body) == document  # it stays what it was
    assert room.endpoint.counts["asynchronous"] == 3
    (record,) = room.records()
    assert record.error == "the endpoint failed"
    assert "the model has crashed" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["01KAJ4Y5N8V3W6Q2T9XZ7RMBDC", "x", "..", "a" * 300, "%2e%2e"])
def test_a_prediction_nobody_waits_for_is_not_found(room: Room, name: str) -> None:
    assert room.door(Sent("GET", f"/v1/predictions/{name}")).status == 404


def test_what_a_version_has_promised_it_answers_though_it_was_rejected_since(room: Room, artifacts: str) -> None:
    registry = Registry(room.serving.store)
    heavy = Heavy("always", asleep="accepted", deadline_seconds=PATIENT)
    spec = ModelSpec(
        "turned", "classification", "", DIGITS.inputs, DIGITS.outputs, backend="sagemaker", heavy=heavy, decision=READ
    )
    facts: Any = {"metrics": {}, "lineage": {}, "compression": {}, **WHO}
    for _ in range(2):
        files = {"model.tar.gz": package(classifier(HEAVY))}
        registry.push(spec, classifier(LIGHT), signature=DIGITS, files=files, **facts)
    registry.promote("turned", 1, **WHO)
    room.fall_asleep()
    asked = [room.ask("turned"), room.door(post("/v1/models/turned:decide", {"instances": ROWS[:1].tolist()}))]
    assert [got.status for got in asked] == [202, 202]
    room.wake()
    registry.promote("turned", 2, **WHO)
    registry.reject("turned", 1, **WHO)
    with opened(artifacts, room.environ, []) as fresh:
        room.door = through_event(LambdaDoor(fresh))
        pinned = room.door(post("/v2/models/turned/versions/1/infer", v2(tensor(ROWS[:1]))))
        assert pinned.status == 409
        answered = [room.wait(got.headers["location"]) for got in asked]
        assert [got.status for got in answered] == [200, 200]
        assert {got.headers["lastmile-version"] for got in answered} == {"1"}
        same(answered[0], session(HEAVY)(ROWS[:1]))


def test_the_light_answer_stands_where_the_heavy_one_does_not_fit_beside_it(room: Room) -> None:
    light, heavy = graphs.echoed(1), graphs.echoed(2)
    policy = Heavy("cascade", threshold=0.8, asleep="accepted")
    serve(room, "widened", heavy, light=light, policy=policy)
    rows = np.array([[9, 0], [0.25, 0]], np.float32)
    got = room.door(post("/v1/models/widened:predict", {"instances": rows.tolist()}))
    assert (got.status, json.loads(got.body)["reason"]) == (202, "garbage")
    for _ in range(2):
        stands = room.wait(got.headers["location"])
        assert (stands.status, stands.headers["lastmile-state"]) == (200, "answered")
        assert (stands.headers["lastmile-tier"], stands.headers["lastmile-degraded"]) == ("light", "garbage")
        assert [row["echo"] for row in json.loads(stands.body)["predictions"]] == rows.tolist()
    (record,) = room.records()
    assert (record.tier, record.degraded) == ("light", "garbage")


@pytest.mark.parametrize("has_light", [True, False])
def test_parts_that_do_not_fit_together_are_no_answer(room: Room, has_light: bool) -> None:
    name = f"squared-{has_light}".lower()
    light = graphs.squared() if has_light else None
    serve(room, name, graphs.squared(), light=light, policy=Heavy("always", asleep="accepted", max_batch=2))
    rows = np.ones((3, 2), np.float32)
    got = room.door(post(f"/v1/models/{name}:predict", {"instances": rows.tolist()}))
    assert (got.status, json.loads(got.body)["reason"]) == (202, "garbage")
    settled = room.wait(got.headers["location"])
    document = json.loads(settled.body)
    if has_light:
        assert document == {"predictions": (rows @ rows.T).tolist()}
        assert (settled.headers["lastmile-tier"], settled.headers["lastmile-degraded"]) == ("light", "garbage")
    else:
        assert (settled.status, document["state"]) == (200, "failed")
        assert document["error"].startswith("the endpoint's answers do not fit together")


def serve(room: Room, name: str, heavy: bytes, *, light: bytes | None, policy: Heavy) -> None:
    """A version with these sides, as champion."""
    signature = OnnxModel.open(heavy, threads=1).signature
    package = packed(Repository(name, config(name, signature, policy), heavy))
    spec = ModelSpec(name, "classification", "", signature.inputs, signature.outputs, backend="sagemaker", heavy=policy)
    how: Any = {"signature": signature, "metrics": {}, "lineage": {}, "compression": {}, **WHO}
    if light is None:
        how["artefact"] = "model.tar.gz"
    else:
        how["files"] = {"model.tar.gz": package}
    registry = Registry(room.serving.store)
    registry.push(spec, light or package, **how)
    registry.promote(name, 1, **WHO)


def test_of_a_prediction_that_has_expired_in_part_no_path_is_told(room: Room) -> None:
    room.fall_asleep()
    location = room.ask(LATER).headers["location"]
    room.wake()
    assert room.wait(location).status == 200
    client = boto3.client("s3", endpoint_url=room.environ["AWS_ENDPOINT_URL"], **KEYS)
    bucket = room.environ["LASTMILE_DATA"].removeprefix("s3://")
    client.delete_object(Bucket=bucket, Key=f"pending/{location.rpartition('/')[2]}/asked.bin")
    client.close()
    got = room.door(Sent("GET", location))
    assert got.status == 404
    said = f"there is no prediction '{location.rpartition('/')[2]}' whose answer is waited for"
    assert json.loads(got.body) == {"error": said}


def test_an_endpoint_that_fails_is_left_alone_and_found_again(room: Room) -> None:
    room.endpoint.set({"asleep": True, "wake_seconds": 60})
    loaded = room.serving.predictor.resolve(ALWAYS).loaded
    assert loaded.tiers is not None
    breaker = loaded.tiers.heavy._breaker
    breaker._rest_seconds = 3600.0
    for _ in range(20):
        assert room.ask(ALWAYS).headers["lastmile-degraded"] == "asleep"
    assert room.endpoint.counts["invocations"] == 3
    breaker._until = 0.0
    room.endpoint.set({"asleep": False})
    assert room.ask(ALWAYS).headers["lastmile-tier"] == "heavy"


def test_nothing_is_lost_through_a_wake_up(room: Room) -> None:
    """A thousand requests while the endpoint wakes: each is answered rightly, degraded and marked, or later."""
    for model in (CASCADE, LATER, BOTH, ALWAYS):
        tiers = room.serving.predictor.resolve(model).loaded.tiers
        assert tiers is not None
        tiers.heavy._breaker._rest_seconds = 0.1
    room.fall_asleep()
    models = (LATER, BOTH, *[CASCADE] * 49, *[ALWAYS] * 49)

    def ask(number: int) -> tuple[str, int, Answer]:
        model, row = models[number % 100], number % 40
        if number == 400:
            room.wake()
        return model, row, room.ask(model, ROWS[row][None])

    def by(side: int, row: int) -> tuple[Any, Any]:
        return SIDES[side][0][row : row + 1], SIDES[side][1][row : row + 1]

    def check(model: str, row: int, got: Answer) -> str:
        if got.status == 202:
            got = room.wait(got.headers["location"])
            state = "later"
        else:
            state = "degraded" if "lastmile-degraded" in got.headers else "now"
        is_sure = model in (CASCADE, BOTH) and SIDES[LIGHT][1][row].max() >= THRESHOLD
        same(got, by(LIGHT if is_sure or state == "degraded" else HEAVY, row))
        return state

    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(ask, range(1000)))
        states = list(pool.map(lambda one: check(*one), asked))
    assert {one.status for _, _, one in asked} <= {200, 202}
    assert {"later", "degraded", "now"} == set(states)
    assert len({record.id for record in room.records()}) == len(room.lines) == 1000
    same(room.ask(ALWAYS), by(HEAVY, 0))  # it is awake


def test_rows_are_counted_by_the_side_that_answered(artifacts: str, endpoint: Any, environ: dict[str, str]) -> None:
    app, url = endpoint
    metrics, background = Metrics(), Background()
    settings = {"LASTMILE_ARTIFACTS": artifacts, "LASTMILE_STAGE": "test", **environ}
    settings["AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"] = url
    serving = open_serving(settings, record=metrics.recording(None))
    door = through_asgi(ServerDoor(serving, metrics=metrics, background=background))
    sent = post(f"/v2/models/{CASCADE}/infer", v2(tensor(ROWS)))
    door(sent)
    app.set({"garbage": True})
    door(sent)
    app.set({"garbage": False})
    heavy = int(expected(ROWS)[2].sum())
    found = samples(door(Sent("GET", "/metrics")).body)
    of = f"model={CASCADE}"
    assert found["lastmile_rows_total", f"{of},side=heavy,version=1"] == heavy
    assert found["lastmile_rows_total", f"{of},side=light,version=1"] == 80 - heavy
    assert found["lastmile_degraded_total", f"{of},reason=garbage,version=1"] == 1
    assert found["lastmile_heavy_seconds_total", f"{of},version=1"] > 0
    serving.predictor.heavy.reconnect()
    background.close()


def test_every_door_says_the_same(room: Room) -> None:
    room.endpoint.set({"asleep": True, "wake_seconds": 60})
    with every_door(room.serving) as doors:
        for name, door in doors.items():
            degraded = door(post(f"/v2/models/{CASCADE}/infer", v2(tensor(ROWS))))
            assert (degraded.status, degraded.headers["lastmile-degraded"]) == (200, "asleep"), name
            later = door(post(f"/v2/models/{LATER}/infer", v2(tensor())))
            assert (later.status, later.headers["lastmile-state"]) == (202, "pending"), name
            location = f"/v1/predictions/{later.headers['lastmile-prediction-id']}"
            assert door(Sent("GET", location)).status == 202, name


def both_kinds(room: Room, model: str, heavy: Heavy) -> Registry:
    """A light champion, version 1, and a heavy version 2."""
    registry = Registry(room.serving.store)
    facts: Any = {"metrics": {}, "lineage": {}, "compression": {}, **WHO}
    spec = ModelSpec(model, "classification", "", DIGITS.inputs, DIGITS.outputs)
    registry.push(spec, classifier(3), signature=DIGITS, **facts)
    files = {"model.tar.gz": package(classifier(HEAVY))}
    later = ModelSpec(model, "classification", "", DIGITS.inputs, DIGITS.outputs, backend="sagemaker", heavy=heavy)
    registry.push(later, classifier(LIGHT), signature=DIGITS, files=files, **facts)
    registry.promote(model, 1, **WHO)
    return registry


def test_a_shadow_waits_for_nothing(room: Room) -> None:
    both_kinds(room, "plain", Heavy("always", asleep="accepted")).shadow("plain", 2, **WHO)
    room.endpoint.set({"asleep": True, "wake_seconds": 60})
    assert "lastmile-tier" not in room.ask("plain").headers
    first, beside = room.records()
    assert (first.role, first.tier) == ("champion", None)
    assert (beside.role, beside.tier, beside.degraded) == ("shadow", "light", "asleep")
    assert room.endpoint.counts["asynchronous"] == 0


def test_an_answer_hardly_waits_for_a_shadow_whose_endpoint_is_slow(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "SHADOW_SECONDS", PATIENT)
    heavy = Heavy("always", asleep="degraded", deadline_seconds=PATIENT)
    both_kinds(room, "slowly", heavy).shadow("slowly", 2, **WHO)
    room.ask("slowly")
    monkeypatch.setattr(predictor, "SHADOW_SECONDS", 0.2)
    room.endpoint.set({"slow_seconds": 5.0})
    began = time.monotonic()
    for _ in range(8):
        assert room.ask("slowly").status == 200
    assert time.monotonic() - began < PATIENT
    assert room.endpoint.counts["invocations"] == 2
    beside = [(record.tier, record.degraded) for record in room.records() if record.role == "shadow"]
    assert beside == [("heavy", None)] + [("light", "slow")] * 8
    room.endpoint.set({"slow_seconds": 0})
    pinned = room.door(post("/v2/models/slowly/versions/2/infer", v2(tensor())))
    assert pinned.headers["lastmile-tier"] == "heavy"  # whoever gives it its time asks it all the same


@pytest.mark.parametrize("place", ["champion", "challenger", "shadow"])
def test_the_first_request_that_may_fall_on_a_heavy_version_leaves_the_event_loop_free(
    room: Room, artifacts: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = f"to-{place}"
    registry = both_kinds(room, model, Heavy("always", asleep="degraded", deadline_seconds=PATIENT))
    background, ran = Background(), []
    settings = {"LASTMILE_ARTIFACTS": artifacts, "LASTMILE_STAGE": "test", "LASTMILE_RELEASE_SECONDS": "0.05"}
    serving = open_serving({**settings, **room.environ}, spawn=background.refresh, spawn_shadow=background.shadow)
    call, following = serving.protocols.call, serving.predictor._releases._following

    def noted(*given: Any) -> Any:
        released = following[model].release if model in following else None
        ran.append((getattr(released, place, None), threading.current_thread().name.partition("_")[0]))
        return call(*given)

    monkeypatch.setattr(serving.protocols, "call", noted)
    door = ServerDoor(serving, metrics=Metrics(), background=background)
    ask = through_asgi(door)
    sent = post(f"/v2/models/{model}/infer", v2(tensor()))
    ask(sent)
    door._pace._milliseconds.clear()
    while ran[-1][1] != "MainThread":
        assert ask(sent).headers["lastmile-version"] == "1"
    move: Any = {"champion": registry.promote, "challenger": registry.canary, "shadow": registry.shadow}[place]
    move(model, 2, **WHO, **({"weight": 0.5} if place == "challenger" else {}))
    deadline = time.monotonic() + 60
    while ran[-1][0] != 2:
        assert time.monotonic() < deadline
        ask(sent)
    for _ in range(60):  # so many quick answers in a row made the path quick before
        ask(sent)
    assert {thread for version, thread in ran if version == 2} == {"prediction"}
    background.close()
    serving.predictor.heavy.reconnect()


def test_boto3_speaks_to_the_local_endpoint(room: Room, environ: dict[str, str]) -> None:
    client = boto3.client(
        "sagemaker-runtime",
        endpoint_url=room.environ["AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"],
        config=Config(proxies={}, retries={"total_max_attempts": 1}),
        **KEYS,
    )
    asked = {"EndpointName": "lastmile-test-heavy", "ContentType": "application/json", "Body": v2(tensor(ROWS[:2]))}
    component = {"InferenceComponentName": f"lastmile-test-{LATER}-v1"}
    answer = json.loads(client.invoke_endpoint(**asked, **component)["Body"].read())
    assert answer["outputs"][0]["data"] == session(HEAVY)(ROWS[:2])[0].tolist()
    store = Store.open(environ["LASTMILE_DATA"], environ=environ)
    store.put("pending/x/in.json", asked["Body"])  # type: ignore[arg-type]
    placed = client.invoke_endpoint_async(
        EndpointName=f"lastmile-test-{LATER}-v1-async",
        ContentType="application/json",
        InputLocation=f"{environ['LASTMILE_DATA']}/pending/x/in.json",
    )
    path = placed["OutputLocation"].removeprefix(f"{environ['LASTMILE_DATA']}/")
    deadline = time.monotonic() + 60
    while not store.exists(path):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert json.loads(store.get(path).data)["outputs"] == answer["outputs"]

    def code(**changes: Any) -> str:
        with pytest.raises(client.exceptions.ClientError) as raised:
            client.invoke_endpoint(**{**asked, **component, **changes})
        return str(raised.value.response["Error"]["Code"])

    assert code(EndpointName="other") == code(InferenceComponentName="other") == "ValidationError"
    assert code(Body=b"{}") == code(Body=v2(tensor(ROWS))) == "ModelError"
    for switches, said in (
        ({"throttle": True}, "ThrottlingException"),
        ({"throttle": False, "fail": 500}, "InternalFailure"),
        ({"fail": 424}, "ModelError"),
        ({"asleep": True}, "ValidationError"),
    ):
        room.endpoint.set(switches)
        room.endpoint._awake_at = None if "asleep" not in switches else float("inf")
        if "asleep" not in switches:
            room.endpoint._awake_at = 0.0
        assert code() == said
    client.close()


@pytest.mark.parametrize("switches", [{"asleep": True, "wake_seconds": 60}, {"slow_seconds": 60}], ids=str)
def test_what_an_endpoint_had_not_answered_when_it_ended_is_asked_of_the_next(
    artifacts: str, environ: dict[str, str], switches: Any
) -> None:
    settings = {"LASTMILE_ARTIFACTS": artifacts, "LASTMILE_STAGE": "test", **environ}
    count = THREADS + 2  # some of which have not even begun
    app = LocalEndpoint(settings)
    with listening(app, http="httptools") as port:
        url = f"http://127.0.0.1:{port}"
        with opened(artifacts, environ, [], AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=url) as serving:
            room = Room(serving, app, [], environ)
            app.set({"asleep": True, "wake_seconds": 60})
            locations = [room.ask(LATER).headers["location"] for _ in range(count)]
            app.set({"asleep": False, **switches})
        began = time.monotonic()
    assert time.monotonic() - began < 50  # of sixty
    assert app.counts["asynchronous"] == count
    again = LocalEndpoint(settings)
    with listening(again, http="httptools") as port:
        url = f"http://127.0.0.1:{port}"
        with opened(artifacts, environ, [], AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=url) as serving:
            room = Room(serving, again, [], environ)
            room.rested()
            for location in locations:
                assert room.door(Sent("GET", location)).status == 202
            assert again.counts["asynchronous"] == count
            for location in locations:
                same(room.wait(location), session(HEAVY)(ROWS[:1]))


def test_a_switch_that_is_none_is_refused(room: Room) -> None:
    wrong_ones: list[Any] = [{"speed": 1}, {"asleep": 2.5}, [], {"slow_seconds": -1}]
    for wrong in wrong_ones:
        with pytest.raises(LastmileError):
            room.endpoint.set(wrong)


def test_who_has_no_way_to_an_endpoint_serves_the_light_side(artifacts: str) -> None:
    predictor = Predictor(Registry(Store.open(artifacts, environ={})), threads=1)
    found = predictor.run(predictor.resolve(CASCADE), {"image": ROWS})
    np.testing.assert_array_equal(found.outputs["label"], session(LIGHT)(ROWS)[0])
    assert found.tier is None
    with pytest.raises(InvalidArtefact, match="runs on an endpoint alone"):
        predictor.resolve(ALONE)
