"""A question is put once, answered once, and in time."""

from typing import Any

import pytest

from lastmile.approvals import Approval, Approvals
from lastmile.errors import InvalidInput, NotFound, ReleaseConflict
from lastmile.store import Conflict, Store

QUESTION = Approval("fraud", 3, "run", asked_at=100.0, expires_at=200.0)


@pytest.fixture
def approvals() -> Approvals:
    found = Approvals(Store.open("memory://", environ={}))
    found.ask(QUESTION)
    return found


def test_who_asks_again_finds_the_question_that_stands(approvals: Approvals) -> None:
    again = Approval("fraud", 3, "run", asked_at=150.0, expires_at=999.0)
    assert approvals.ask(again) == QUESTION
    assert approvals.read("fraud", 3) == QUESTION


def test_the_first_answer_counts(approvals: Approvals) -> None:
    approvals.hand("fraud", 3, "token")
    answered = approvals.answer("fraud", 3, "approve", actor="ann", why="good", now=150.0)
    assert (answered.answer, answered.actor, answered.why, answered.answered_at) == ("approve", "ann", "good", 150.0)
    assert answered.token == "token"
    with pytest.raises(ReleaseConflict, match="answered already: approve by ann, good"):
        approvals.answer("fraud", 3, "reject", actor="bob", why="bad", now=160.0)


def test_an_answer_whose_write_was_sent_again_is_this_callers_answer() -> None:
    """The first write was carried out, but not heard of; sent again it failed on itself. A token comes meanwhile."""

    class Losing:
        def __init__(self, inner: Store) -> None:
            self.inner = inner
            self.lost = False

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def replace(self, path: str, data: bytes, etag: str) -> str:
            written = self.inner.replace(path, data, etag)
            if self.lost:
                return written
            self.lost = True
            Approvals(self.inner).hand("fraud", 3, "token")
            raise Conflict("sent twice")

    losing: Any = Losing(Store.open("memory://", environ={}))
    approvals = Approvals(losing)
    approvals.ask(QUESTION)
    answered = approvals.answer("fraud", 3, "approve", actor="ann", why="good", now=150.0)
    assert (answered.answer, answered.actor, answered.token) == ("approve", "ann", "token")
    with pytest.raises(ReleaseConflict, match="answered already: approve by ann, good"):
        approvals.answer("fraud", 3, "approve", actor="ann", why="good", now=151.0)


def test_a_token_that_comes_after_the_answer_leaves_the_answer(approvals: Approvals) -> None:
    approvals.answer("fraud", 3, "reject", actor="ann", why="bad", now=150.0)
    assert approvals.hand("fraud", 3, "token").answer == "reject"


def test_after_its_end_it_is_not_answered(approvals: Approvals) -> None:
    with pytest.raises(ReleaseConflict, match="has expired"):
        approvals.answer("fraud", 3, "approve", actor="ann", why="good", now=200.0)
    assert approvals.read("fraud", 3).answer is None


@pytest.mark.parametrize(("actor", "why"), [("", "good"), ("ann", ""), ("ann", "  ")])
def test_an_answer_says_who_and_why(approvals: Approvals, actor: str, why: str) -> None:
    with pytest.raises(InvalidInput):
        approvals.answer("fraud", 3, "approve", actor=actor, why=why, now=150.0)


@pytest.mark.parametrize(("model", "version"), [("fraud", 4), ("../fraud", 3), ("churn", 3)])
def test_what_nobody_asks_is_not_found(approvals: Approvals, model: str, version: int) -> None:
    with pytest.raises(NotFound):
        approvals.read(model, version)
    with pytest.raises(NotFound):
        approvals.answer(model, version, "approve", actor="ann", why="good", now=150.0)
