import time
from typing import Any

import orjson
import pytest

from functions.chat.assistant.conversation import Learnt
from functions.chat.lessons import Lessons
from functions.chat.message import Incoming
from lastmile.store import Store
from lastmile.ulid import new_ulid


@pytest.fixture
def kept() -> Store:
    return Store.open("memory://", environ={})


def rerouted(value: str) -> Incoming:
    return Incoming(
        platform="zendesk",
        event_id="1",
        conversation="zendesk:1:2",
        kind="rerouted",
        user="1:7",
        text="",
        at=time.time(),
        value=value,
    )


def test_an_agents_queue_is_the_label(kept: Store) -> None:
    log: list[tuple[str, Any]] = []
    lessons = Lessons(kept, "tickets", groups={"billing": 77}, log=lambda event, **facts: log.append((event, facts)))
    learnt = Learnt(new_ulid(), helpful=False, label="77")
    message = rerouted("77")
    lessons.put(learnt, message)
    lessons.put(learnt, message)
    (path,) = kept.list("feedback")
    document = orjson.loads(kept.get(path).data)
    assert (document["label"], document["source"], document["model"]) == ("billing", "chat:zendesk", "tickets")
    assert log[0][0] == "judged"


def test_a_judgement_without_a_label_is_counted_and_no_feedback(kept: Store) -> None:
    log: list[str] = []
    lessons = Lessons(kept, "tickets", groups={}, log=lambda event, **facts: log.append(event))
    lessons.put(Learnt(new_ulid(), helpful=True), rerouted("77"))
    lessons.put(Learnt(new_ulid(), helpful=False, label="78"), rerouted("78"))
    lessons.put(Learnt("no ulid", helpful=False, label="77"), rerouted("77"))
    assert log == ["judged"] * 3
    assert [*kept.list("feedback")] == []


def test_what_cannot_be_learnt_is_said(kept: Store) -> None:
    log: list[str] = []
    lessons = Lessons(kept, "tickets", groups={"billing": 77}, log=lambda event, **facts: log.append(event))
    lessons.put(Learnt("no ulid", helpful=False, label="77"), rerouted("77"))
    assert log == ["judged", "not learnt"]
