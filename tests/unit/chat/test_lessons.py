import time
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest

from functions.chat.assistant.conversation import Learnt
from functions.chat.lessons import Lessons
from functions.chat.message import Incoming
from lastmile.store import Store
from lastmile.ulid import new_ulid

CLASSES = {"finance": "billing", "delivery": "delivery"}  # by queue
GROUPS = {"finance": 77, "delivery": 78, "triage": 79}


@dataclass
class School:
    kept: Store = field(default_factory=lambda: Store.open("memory://", environ={}))
    log: list[tuple[str, Any]] = field(default_factory=list)

    def put(self, learnt: Learnt, message: Incoming) -> None:
        Lessons(
            self.kept,
            "tickets",
            groups=GROUPS,
            label=CLASSES.get,
            log=lambda event, **facts: self.log.append((event, facts)),
        ).put(learnt, message)

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [orjson.loads(self.kept.get(path).data) for path in self.kept.list("feedback")]


def rerouted(group: str, ours: str | None = None) -> Incoming:
    return Incoming(
        platform="zendesk",
        event_id="1",
        conversation="zendesk:1:2",
        kind="rerouted",
        user="1:7",
        text="",
        at=time.time(),
        value=group,
        reply={"ticket": "2", "queue": ours},
    )


def pressed(value: str) -> Incoming:
    return replace(rerouted(""), platform="slack", kind="button", value=value)


def test_an_agents_queue_is_the_label_by_the_models_own_name_for_it() -> None:
    school, learnt = School(), Learnt(new_ulid(), helpful=False, label="77")
    for _ in range(2):
        school.put(learnt, rerouted("77"))
    (document,) = school.documents
    assert (document["label"], document["source"], document["model"]) == ("billing", "chat:zendesk", "tickets")
    assert school.log[0][0] == "judged"


def test_what_we_moved_ourselves_teaches_nothing() -> None:
    school, prediction = School(), new_ulid()
    school.put(Learnt(prediction, helpful=False, label="78"), rerouted("78", ours="delivery"))
    assert school.documents == []
    school.put(Learnt(prediction, helpful=False, label="77"), rerouted("77", ours="delivery"))
    assert [document["label"] for document in school.documents] == ["billing"]


@pytest.mark.parametrize("group", ["79", "80"])
def test_a_group_that_is_no_class_of_the_model_teaches_nothing(group: str) -> None:
    """People who sort by hand, and groups that nobody named."""
    school = School()
    school.put(Learnt(new_ulid(), helpful=False, label=group), rerouted(group))
    assert school.documents == []
    assert [event for event, _ in school.log] == ["judged"]


def test_an_answer_that_helped_says_where_its_question_belonged() -> None:
    school = School()
    school.put(Learnt(new_ulid(), helpful=True, label="delivery"), pressed("helpful:yes"))
    (document,) = school.documents
    assert (document["label"], document["source"]) == ("delivery", "chat:slack")


def test_a_judgement_without_a_label_is_counted_and_no_feedback() -> None:
    school = School()
    for helpful in (True, False):
        school.put(Learnt(new_ulid(), helpful=helpful), pressed("helpful"))
    assert [facts["helpful"] for _, facts in school.log] == [True, False]
    assert school.documents == []


def test_what_cannot_be_learnt_is_said() -> None:
    school = School()
    school.put(Learnt("no ulid", helpful=False, label="77"), rerouted("77"))
    assert [event for event, _ in school.log] == ["judged", "not learnt"]
