"""An upload becomes a version that serves, through the deployed bucket, rule, state machine and function."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.learning import ApiLearning
from cli.local import LocalAws
from cli.target import Target
from cli.training import changes, start, upload
from tests.e2e.valves import ask, declared, rows, until

ENDS_WITHIN = 180.0
LASTMILE = Path(sys.executable).with_name("lastmile")
type Follow = Callable[[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def learning(stack: Target) -> ApiLearning:
    return ApiLearning(stack)


@pytest.fixture
def follow(learning: ApiLearning) -> Follow:
    """Until the run is over; it may not take for ever."""

    def until_over(model: str, run: str) -> dict[str, Any]:
        deadline = time.monotonic() + ENDS_WITHIN
        for record in changes(learning, model, run):
            assert time.monotonic() < deadline, record
            if record["state"] == "waiting for approval":
                return record
        return record

    return until_over


def executions(stack: Target) -> Iterator[dict[str, Any]]:
    pages = stack.client("stepfunctions").get_paginator("list_executions")
    for page in pages.paginate(stateMachineArn=stack.learning_state_machine_arn):
        yield from page["executions"]


@pytest.fixture(scope="module")
def served(stack: Target, learning: ApiLearning, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """`valves` with its first version as champion; the run that made it."""
    folder = tmp_path_factory.mktemp("valves")
    declared(stack, folder, "valves")
    return [*changes(learning, "valves", upload(stack, "valves", rows(folder, seed=1)))][-1]


def test_an_upload_becomes_a_version_that_serves(stack: Target, served: dict[str, Any]) -> None:
    assert served["state"] == "promoted", served["problem"]
    answer = ask(stack, stack.token(["infer"]), "valves")
    assert answer.status == 200
    assert [row["label"] for row in answer.json()["predictions"]] == [1, 0]
    manifest = stack.registry().manifest("valves", 1)
    assert manifest.lineage["run"] == served["id"]
    assert {"profile.json", "card.md", "card.html", "certificate.json"} <= {file.path for file in manifest.files}


def test_the_same_event_again_is_no_other_run(stack: Target, served: dict[str, Any], learning: ApiLearning) -> None:
    before = stack.registry().release("valves")
    arns = [start(stack, served["upload"]) for _ in range(2)]
    client = stack.client("stepfunctions")
    until(lambda: all(client.describe_execution(executionArn=arn)["status"] == "SUCCEEDED" for arn in arns))
    assert stack.registry().release("valves") == before
    assert len(learning.runs("valves", limit=10)) == 1


def test_data_that_cannot_be_learnt_from_is_refused_with_reasons(
    stack: Target, served: dict[str, Any], follow: Follow, tmp_path: Path
) -> None:
    before = stack.registry().release("valves")
    wrong = tmp_path / "wrong.csv"
    wrong.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    record = follow("valves", upload(stack, "valves", wrong))
    assert (record["state"], record["problem"]["step"]) == ("refused", "validate")
    assert "PNG" in record["problem"]["reason"]
    assert stack.registry().release("valves") == before


def reached(learning: ApiLearning, run: str, step: str) -> dict[str, Any] | None:
    """The run's record once it has come to the step, or to the end of the canary."""
    found = learning.run("valves", run)
    return found if found is not None and found["step"] in (step, "judge") else None


def alone(stack: Target, champion: int) -> bool:
    release = stack.registry().release("valves")
    return (release.champion, release.challenger) == (champion, None)


def test_an_execution_that_is_stopped_is_put_in_order_and_repeated(
    stack: Target, served: dict[str, Any], follow: Follow, learning: ApiLearning, tmp_path: Path
) -> None:
    """In the middle and in the canary: the champion serves, and in the end there is one version more."""
    declared(stack, tmp_path, "valves", bake=4.0)
    token, client = stack.token(["infer"]), stack.client("stepfunctions")
    latest = stack.registry().release("valves").latest
    run = upload(stack, "valves", rows(tmp_path, seed=2))
    for step in ("train", "canary"):
        record = until(partial(reached, learning, run, step))
        running = [one for one in executions(stack) if one["status"] == "RUNNING"]
        for one in running:
            client.stop_execution(executionArn=one["executionArn"])
        ended = until(lambda: (found := learning.run("valves", run)) and found["state"] == "failed" and found)
        assert "ABORTED" in ended["problem"]["reason"]
        until(partial(alone, stack, 1))  # a function that had the step in hand when it was stopped may be late
        assert ask(stack, token, "valves").status == 200
        start(stack, record["upload"])
        until(lambda: (found := learning.run("valves", run)) and found["state"] != "failed")
    assert follow("valves", run)["state"] == "promoted"
    assert stack.registry().release("valves").latest == latest + 1
    assert stack.registry().verify_audit("valves") == []


def test_rolling_back_restores_the_exact_answers(stack: Target, served: dict[str, Any]) -> None:
    registry, token = stack.registry(), stack.token(["infer"])
    champion = registry.release("valves").champion
    assert champion != 1
    registry.rollback("valves", actor="test", why="compare")
    first = registry.artefact(registry.manifest("valves", 1))
    import onnxruntime

    session = onnxruntime.InferenceSession(first, providers=["CPUExecutionProvider"])
    wanted = session.run(["probabilities"], {"sensors": np.array([[2, 0], [-2, 0]], np.float32)})[0]

    def restored() -> bool:
        found = [row["probabilities"] for row in ask(stack, token, "valves").json()["predictions"]]
        return bool(np.array_equal(np.array(found, np.float32), wanted))

    until(restored)


def test_a_person_is_asked_and_a_rejected_version_never_serves(
    stack: Target, local_aws: LocalAws, learning: ApiLearning, follow: Follow, tmp_path: Path
) -> None:
    """Through the command line, with live progress."""
    lastmile = [str(LASTMILE), "--local", str(local_aws.folder)]
    declared(stack, tmp_path, "asked", policy="manual")
    train = [*lastmile, "train", "asked", str(rows(tmp_path, seed=3)), "--spec", str(tmp_path / "spec.toml")]
    with subprocess.Popen(train, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = [*takewhile(lambda line: "? lastmile approve asked 1" not in line, process.stderr)]
        assert [line.split()[1] for line in told if line.startswith("  ✓")][:3] == ["claim", "validate", "train"]
        assert stack.registry().release("asked").champion is None
        check_said([*lastmile, "approve", "asked", "1", "--why", "looks right"], "looks right")
        out, _ = process.communicate(timeout=ENDS_WITHIN)
    assert process.returncode == 0
    assert "promoted" in out
    assert "looks right" in stack.registry().release("asked").head.why
    second = follow("asked", upload(stack, "asked", rows(tmp_path, seed=4)))
    assert second["state"] == "waiting for approval"
    check_said([*lastmile, "reject", "asked", "2", "--why", "unfair"], "asked")
    until(lambda: learning.run("asked", second["id"])["state"] == "rejected")  # type: ignore[index]
    assert stack.registry().release("asked").champion == 1
    check_said([*lastmile, "runs", "asked"], "rejected", "promoted")
    check_said([*lastmile, "run", "show", second["id"]], "unfair")


def check_said(command: list[str], *said: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [word for word in said if word not in done.stdout] == []


def test_a_broken_canary_is_rolled_back_without_a_person(
    stack: Target, follow: Follow, learning: ApiLearning, tmp_path: Path
) -> None:
    """Its labels were the wrong way round: what it says has nothing to do with what the champion says."""
    declared(stack, tmp_path, "broken", bake=60.0)
    assert follow("broken", upload(stack, "broken", rows(tmp_path, seed=5)))["state"] == "promoted"
    token = stack.token(["infer"])
    run = upload(stack, "broken", rows(tmp_path, seed=6, mistaken=True))
    until(lambda: (found := learning.run("broken", run)) and found["state"] == "in canary", ENDS_WITHIN)
    for number in range(400):
        assert ask(stack, token, "broken", str(number)).status == 200
    record = follow("broken", run)
    assert record["state"] == "rolled back", stack.registry().release("broken").head.why
    release = stack.registry().release("broken")
    assert (release.champion, release.challenger) == (1, None)
    assert release.head.action == "rollback"
