"""Releases move under traffic: nobody notices but the version header."""

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from sklearn.datasets import load_digits

from cli.target import Target
from cli.wire import Answer

ROW = load_digits().data[-1:].astype(np.float32)
BODY = json.dumps({"instances": ROW.tolist()}).encode()
CONNECTIONS = 8


@pytest.fixture(scope="module")
def tokens(stack: Target) -> dict[str, str]:
    return {scope: stack.token([scope]) for scope in ("infer", "read", "operate", "approve")}


@pytest.fixture
def released(stack: Target, tokens: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The release as the tests found it, and as they leave it."""
    before = release(stack, tokens)
    yield before
    move(stack, tokens, "/canary", version=None, weight=0)
    if release(stack, tokens)["champion"] != before["champion"]:
        move(stack, tokens, f"/versions/{before['champion']}/promote")


def release(stack: Target, tokens: dict[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = stack.call("GET", "/control/models/digits/release", token=tokens["read"]).json()
    return document


def move(stack: Target, tokens: dict[str, str], step: str, **body: Any) -> dict[str, Any]:
    """A step of the control API, as a person with the scope for it."""
    scope = "approve" if step.endswith("/promote") else "operate"
    answer = stack.call(
        "POST",
        f"/control/models/digits{step}",
        body=json.dumps({"why": "end-to-end test", **body}).encode(),
        token=tokens[scope],
        headers={"content-type": "application/json"},
    )
    assert answer.status == 200, answer.body
    document: dict[str, Any] = answer.json()
    return document


def ask(stack: Target, token: str, key: str | None = None) -> Answer:
    headers = {"content-type": "application/json"} | ({} if key is None else {"lastmile-routing-key": key})
    return stack.call("POST", "/v1/models/digits:predict", body=BODY, token=token, headers=headers)


def answers_of(stack: Target, versions: tuple[int, ...]) -> dict[int, Any]:
    """What each version answers, by ONNX Runtime alone."""
    registry = stack.registry()
    answers = {}
    for version in versions:
        session = ort.InferenceSession(registry.artefact(registry.manifest("digits", version)))
        names = [output.name for output in session.get_outputs()]
        row = dict(zip(names, session.run(names, {"image": ROW}), strict=True))
        answers[version] = {name: array[0].tolist() for name, array in row.items()}
    return answers


def test_a_canary_a_promotion_and_a_rollback_fail_none_of_1000_requests(
    stack: Target, tokens: dict[str, str], released: dict[str, Any]
) -> None:
    champion, other = released["champion"], 1 if released["champion"] != 1 else 2
    keys = [f"user-{n}" for n in range(250)]
    move(stack, tokens, "/canary", version=other, weight=0.25)
    wait_for_challenger(stack, tokens["infer"], keys[:40])

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        first, again = (list(pool.map(lambda key: ask(stack, tokens["infer"], key), keys)) for _ in range(2))
    assert sides(first) == sides(again), "a routing key moved to the other side"
    deviation = math.sqrt(len(keys) * 0.25 * 0.75)
    assert abs(sides(first).count(other) - len(keys) * 0.25) < 4 * deviation

    answers = first + again + under_traffic(stack, tokens, champion, other)
    assert len(answers) >= 1000
    assert {answer.status for answer in answers} == {200}
    expected = answers_of(stack, (champion, other))
    for answer in answers:
        (row,) = answer.json()["predictions"]
        wanted = expected[int(answer.headers["lastmile-version"])]
        assert row["label"] == wanted["label"]
        np.testing.assert_array_equal(
            np.array(row["probabilities"], np.float32), np.array(wanted["probabilities"], np.float32)
        )


def wait_for_challenger(stack: Target, token: str, keys: list[str]) -> None:
    deadline = time.monotonic() + 60
    while not any(ask(stack, token, key).headers["lastmile-role"] == "challenger" for key in keys):
        assert time.monotonic() < deadline, "the challenger never served"
        time.sleep(0.5)
    time.sleep(6)  # every copy of the function has read the release by now


def sides(answers: list[Answer]) -> list[int]:
    return [int(answer.headers["lastmile-version"]) for answer in answers]


def under_traffic(stack: Target, tokens: dict[str, str], champion: int, other: int) -> list[Answer]:
    """The answers to some 500 requests during which `other` is promoted, serves, and is rolled back."""
    seen: Counter[int] = Counter()
    turn = threading.Event()

    def traffic(_: int) -> list[Answer]:
        answers: list[Answer] = []
        while len(answers) < 500 / CONNECTIONS or not turn.is_set():
            answer = ask(stack, tokens["infer"])
            answers.append(answer)
            seen[int(answer.headers.get("lastmile-version", 0))] += 1
        return answers

    def wait_for(version: int) -> None:
        before, deadline = seen[version], time.monotonic() + 60
        while seen[version] < before + 20:
            assert time.monotonic() < deadline, f"version {version} never served"
            time.sleep(0.05)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        running = [pool.submit(traffic, n) for n in range(CONNECTIONS)]
        try:
            wait_for(champion)
            move(stack, tokens, f"/versions/{other}/promote")
            wait_for(other)
            move(stack, tokens, "/rollback")
            wait_for(champion)
        finally:
            turn.set()
        return [answer for future in running for answer in future.result()]


def test_of_two_promotions_at_once_one_wins_and_the_audit_shows_both(
    stack: Target, tokens: dict[str, str], released: dict[str, Any]
) -> None:
    other = 1 if released["champion"] != 1 else 2
    body = json.dumps({"why": "race", "expected_revision": released["revision"]}).encode()

    def promote(version: int) -> int:
        path = f"/control/models/digits/versions/{version}/promote"
        headers = {"content-type": "application/json"}
        return stack.call("POST", path, body=body, token=tokens["approve"], headers=headers).status

    with ThreadPoolExecutor(2) as pool:
        statuses = sorted(pool.map(promote, (other, other)))
    assert statuses == [200, 409]
    audit = stack.call("GET", "/control/models/digits/audit?limit=5", token=tokens["read"]).json()
    entries = audit["entries"] if isinstance(audit, dict) else audit
    race = [entry for entry in entries if entry["why"] == "race"]
    assert sorted(entry["outcome"] for entry in race) == ["conflict", "done"]
    assert stack.registry().verify_audit("digits") == []
