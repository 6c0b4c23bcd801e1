from itertools import count
from typing import Any
from unittest.mock import Mock

import pytest

from lastmile.answering import Answering, wake
from lastmile.approvals import Approval, Approvals
from lastmile.errors import NotFound, ReleaseConflict, StoreUnavailable, VersionRejected
from lastmile.registry import Registry
from lastmile.store import Store

NOW = 1_800_000_000.0
ANN: dict[str, Any] = {"actor": "slack:T1:U1", "why": "looks right"}


@pytest.fixture
def data() -> Store:
    return Store.open("memory://", environ={})


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def answering(registry: Registry, push: Any, data: Store, woken: list[str]) -> Answering:
    push(registry)
    Approvals(data).ask(Approval("fraud", 1, "the run", NOW - 1, NOW + 1, "a token"))
    return Answering(registry, Approvals(data), woken.append, clock=count(NOW, 0.001).__next__)


def test_a_yes_is_kept_wakes_the_run_and_is_in_the_audit(
    answering: Answering, registry: Registry, data: Store, woken: list[str]
) -> None:
    before = registry.release("fraud")
    assert answering.approve("fraud", 1, **ANN).answer == "approve"
    assert Approvals(data).read("fraud", 1).actor == "slack:T1:U1"
    assert woken == ["a token"]
    head = registry.release("fraud").head
    assert (head.action, head.version, head.actor, head.why) == ("approve", 1, "slack:T1:U1", "looks right")
    assert head.to_revision == before.revision
    assert registry.verify_audit("fraud") == []


def test_a_second_answer_is_a_conflict_and_wakes_nobody(
    answering: Answering, registry: Registry, woken: list[str]
) -> None:
    answering.approve("fraud", 1, **ANN)
    with pytest.raises(ReleaseConflict, match="was answered already: approve by slack:T1:U1"):
        answering.approve("fraud", 1, actor="slack:T1:U2", why="me too")
    assert len(woken) == 1
    assert registry.release("fraud").head.actor == "slack:T1:U1"


def test_a_yes_that_was_cut_short_before_the_audit_knew_is_told_by_the_same_yes_again(
    answering: Answering, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(registry, "record", Mock(side_effect=StoreUnavailable("no answer")))
        with pytest.raises(StoreUnavailable):
            answering.approve("fraud", 1, **ANN)
    with pytest.raises(ReleaseConflict, match="answered already"):
        answering.approve("fraud", 1, **ANN | {"why": "another reason"})
    assert registry.release("fraud").head.action == "register"
    assert answering.approve("fraud", 1, **ANN).answer == "approve"
    assert registry.release("fraud").head.action == "approve"
    with pytest.raises(ReleaseConflict, match="answered already"):
        answering.approve("fraud", 1, **ANN)


def test_a_no_bars_the_version_and_answers_the_run(answering: Answering, data: Store, woken: list[str]) -> None:
    assert answering.reject("fraud", 1, **ANN).head.action == "reject"
    assert (Approvals(data).read("fraud", 1).answer, woken) == ("reject", ["a token"])
    with pytest.raises(VersionRejected, match=r"rejected by slack:T1:U1: looks right"):
        answering.approve("fraud", 1, **ANN)


def test_a_version_that_nobody_asks_about_can_be_rejected_but_not_approved(
    answering: Answering, registry: Registry, push: Any, woken: list[str]
) -> None:
    push(registry, b"another")
    with pytest.raises(NotFound, match="no run waits"):
        answering.approve("fraud", 2, **ANN)
    answering.reject("fraud", 2, **ANN)
    assert woken == []


class Stopped(Exception):
    pass


class StepFunctions:
    """boto3's client, whose execution has stopped waiting."""

    class exceptions:
        TaskTimedOut = TaskDoesNotExist = InvalidToken = Stopped

    def __init__(self, error: type[Exception]) -> None:
        self._error = error

    def send_task_success(self, *, taskToken: str, output: str) -> None:
        raise self._error(taskToken)


def test_a_run_that_has_stopped_waiting_is_no_failure() -> None:
    wake(StepFunctions(Stopped), "a token")
    with pytest.raises(ValueError, match="a token"):
        wake(StepFunctions(ValueError), "a token")
