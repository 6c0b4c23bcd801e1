import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from functions.control.app import create_app
from functions.control.door import LambdaDoor
from functions.control.learning import ask
from lastmile.approvals import Approval, Approvals
from lastmile.executions import Status
from lastmile.registry import Registry
from lastmile.runs import Run, Runs, Upload, run_id
from lastmile.store import Store
from tests.unit.control.conftest import event

type Call = Callable[..., Any]
type Push = Callable[..., Any]

LATER = 4_000_000_000.0
BECAUSE: dict[str, Any] = {"why": "because"}


@pytest.fixture(autouse=True)
def one_version(registry: Registry, push: Push) -> None:
    push(registry)


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def call(registry: Registry, data: Store, woken: list[str]) -> Iterator[Call]:
    from mangum import Mangum

    door = LambdaDoor(registry, data, token_url="https://auth.example.com/oauth2/token")
    app = create_app(registry, data, token_url="https://auth.example.com/oauth2/token", wake=woken.append)
    door._adapter = Mangum(app, lifespan="off")

    def ask(method: str, path: str, body: object = None, **details: Any) -> tuple[int, Any]:
        answer = door(event(method, path, body, **details), None)
        return answer["statusCode"], json.loads(answer["body"])

    yield ask
    asyncio.get_event_loop().close()


def asked(data: Store, *, expires_at: float = LATER, token: str | None = "a token") -> None:
    Approvals(data).ask(Approval("fraud", 1, "the run", 1.0, expires_at, token))


def record(data: Store, at: float, **fields: Any) -> Run:
    upload = Upload("training/fraud/may.csv", f"version-{at}", 12, at)
    run = Run(run_id(upload), "fraud", upload, **{"execution": "arn"} | fields, started_at=at, updated_at=at + 1)
    Runs(data).create(run)
    return run


def test_runs_are_listed_newest_first(call: Call, data: Store) -> None:
    made = [record(data, 1_800_000_000.0 + day * 86_400) for day in range(3)]
    status, body = call("GET", "/control/models/fraud/runs", limit=2)
    assert status == 200
    assert [run["id"] for run in body["runs"]] == [made[2].id, made[1].id]
    assert body["runs"][0]["upload"]["at"] == "2027-01-17T08:00:00.000Z"


def test_a_run_shows_what_its_steps_found_and_why_it_ended(call: Call, data: Store) -> None:
    problem = {"step": "validate", "reason": "the file is empty", "advice": "Upload rows."}
    steps = {"claim": {"at": 1.0, "outcome": "done", "facts": {"latest": 1}}}
    run = record(data, 1_800_000_000.0, state="refused", problem=problem, steps=steps)
    status, body = call("GET", f"/control/models/fraud/runs/{run.id}")
    assert (status, body["state"], body["problem"], body["steps"]) == (200, "refused", problem, steps)


def test_a_record_or_a_question_that_is_broken_is_named(call: Call, data: Store) -> None:
    run = record(data, 1_800_000_000.0)
    data.put(run.path("run.json"), b"{")
    data.put("approvals/fraud/1.json", b"{}")
    for path in ("runs", f"runs/{run.id}"):
        status, body = call("GET", f"/control/models/fraud/{path}")
        assert (status, body["error"].partition(":")[0]) == (500, f"{run.path('run.json')} is no run")
    status, body = call("POST", "/control/models/fraud/versions/1/approve", BECAUSE)
    assert (status, body["error"].partition(":")[0]) == (500, "approvals/fraud/1.json is no question")


@pytest.mark.parametrize("path", ["fraud/runs/20260101T000000Z-0123456789ab", "Fraud/runs"])
def test_what_is_not_there_is_not_found(call: Call, path: str) -> None:
    assert call("GET", f"/control/models/{path}")[0] == 404


def test_a_yes_is_kept_with_who_and_why_and_wakes_the_run(call: Call, data: Store, woken: list[str]) -> None:
    asked(data)
    status, body = call("POST", "/control/models/fraud/versions/1/approve", BECAUSE)
    assert (status, body["answer"], body["why"], body["run"]) == (200, "approve", "because", "the run")
    kept = Approvals(data).read("fraud", 1)
    assert (kept.answer, kept.why, kept.actor) == ("approve", "because", body["actor"])
    assert woken == ["a token"]


def test_a_yes_counts_and_is_in_the_audit_where_the_run_cannot_be_woken(
    registry: Registry, data: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "testing")
    door = LambdaDoor(registry, data, token_url="https://auth.example.com/oauth2/token")
    asked(data)
    answer = door(event("POST", "/control/models/fraud/versions/1/approve", BECAUSE), None)
    asyncio.get_event_loop().close()
    assert answer["statusCode"] == 200
    assert registry.audit("fraud", limit=1)[0].action == "approve"


def test_a_yes_before_the_run_has_left_a_token_is_kept_too(call: Call, data: Store, woken: list[str]) -> None:
    asked(data, token=None)
    assert call("POST", "/control/models/fraud/versions/1/approve", BECAUSE)[0] == 200
    assert woken == []


def test_a_question_is_answered_once(call: Call, data: Store, woken: list[str]) -> None:
    asked(data)
    call("POST", "/control/models/fraud/versions/1/approve", BECAUSE)
    status, body = call("POST", "/control/models/fraud/versions/1/approve", {"why": "again"})
    assert status == 409
    assert "was answered already: approve by" in body["error"]
    assert len(woken) == 1


def test_after_it_has_expired_the_answer_is_a_conflict(call: Call, data: Store) -> None:
    asked(data, expires_at=2.0)
    status, body = call("POST", "/control/models/fraud/versions/1/approve", BECAUSE)
    assert status == 409
    assert "has expired" in body["error"]


def test_nobody_can_say_yes_unasked(call: Call) -> None:
    status, body = call("POST", "/control/models/fraud/versions/1/approve", BECAUSE)
    assert (status, body["error"]) == (404, "no run waits for an answer about version 1 of model 'fraud'")


def test_a_rejection_is_the_answer_to_the_run_that_asks(
    call: Call, data: Store, registry: Registry, woken: list[str]
) -> None:
    asked(data)
    status, body = call("POST", "/control/models/fraud/versions/1/reject", {"why": "unfair"})
    assert (status, body["head"]["action"]) == (200, "reject")
    assert Approvals(data).read("fraud", 1).answer == "reject"
    assert woken == ["a token"]
    assert registry.rejection("fraud", 1) is not None
    status, body = call("POST", "/control/models/fraud/versions/1/approve", BECAUSE)
    assert status == 409
    assert "was rejected by" in body["error"]


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/control/models/fraud/runs", "lastmile/approve"),
        ("POST", "/control/models/fraud/versions/1/approve", "lastmile/operate"),
    ],
)
def test_another_scope_is_not_enough(call: Call, method: str, path: str, scope: str) -> None:
    assert call(method, path, BECAUSE if method == "POST" else None, scope=scope)[0] == 403


def test_a_run_that_ended_without_a_word_is_not_shown_as_live(registry: Registry, data: Store) -> None:
    """Nobody was left to write its record: whoever looks is told so, and what to do."""
    from mangum import Mangum

    asked_after: list[str] = []

    def answer(execution: str) -> Status:
        asked_after.append(execution)
        return Status("FAILED", 1_700_000_000.0)

    door = LambdaDoor(registry, data, token_url="https://auth.example.com/oauth2/token")
    door._adapter = Mangum(create_app(registry, data, token_url="https://auth.example.com", ask=answer), lifespan="off")
    run = record(data, 1_700_000_000.0, execution="arn:of:it", state="running", step="train")
    for path in ("runs", f"runs/{run.id}"):
        body = json.loads(door(event("GET", f"/control/models/fraud/{path}", None), None)["body"])
        shown = body["runs"][0] if path == "runs" else body
        assert shown["state"] == "failed"
        assert shown["problem"]["reason"] == "the pipeline ended without a word at step train (FAILED)"
        assert f"lastmile run repeat {run.id}" in shown["problem"]["advice"]
    assert asked_after == ["arn:of:it", "arn:of:it"]
    asyncio.get_event_loop().close()


def test_what_step_functions_does_not_say_leaves_the_record_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody listens there
    assert ask("arn:of:it") is None
