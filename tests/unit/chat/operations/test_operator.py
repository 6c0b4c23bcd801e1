import random
from dataclasses import replace
from typing import Any

import pytest

from functions.chat.operations.notices import ALARM
from functions.chat.web import Page
from lastmile.errors import StoreUnavailable
from lastmile.tensors import Signature
from tests.unit.chat.operations.conftest import (
    ANN,
    BOB,
    CHANCES,
    EVE,
    LABEL,
    NOW,
    PREDICTION,
    SECRETS,
    SPEC,
    Room,
    X,
    slack_press,
    wanted,
)
from tests.unit.chat.service import TIMEOUT, Context, Killed, event_of

DRIFT = {
    "id": "fraud-20270115T080000Z",
    "model": "fraud",
    "version": 1,
    "drifted": ["amount"],
    "summary": "Drifted: amount.",
    "report": "reports/fraud/drift/20270115T080000Z.json",
    "at": "2027-01-15T08:00:00.000Z",
}
REVIEW = {
    "id": f"{PREDICTION}-0",
    "prediction_id": PREDICTION,
    "row": 0,
    "model": "fraud",
    "version": 1,
    "decision": "review",
    "reasons": ["41 % is likely a fraud of 900 EUR."],
    "at": NOW,
}


def test_a_waiting_run_asks_in_the_channel_with_buttons_and_a_field(asked: Room) -> None:
    assert asked.tell("ApprovalWanted", wanted(2)) == 1
    asked.work()
    (post,) = asked.network.posts
    assert post["channel"] == "C9"
    assert post["text"].startswith("Version 2 of fraud waits for a yes or a no, until 2027-01-18 08:00 UTC.")
    assert "On held-out rows: auc 0.91." in post["text"]
    assert [block["type"] for block in post["blocks"]] == ["section", "input", "actions"]
    buttons = post["blocks"][2]["elements"]
    assert [(each["action_id"], each["value"], each["style"]) for each in buttons] == [
        ("approve", "fraud/2", "primary"),
        ("reject", "fraud/2", "danger"),
    ]


def test_the_same_event_gives_one_message_however_often_it_comes(asked: Room) -> None:
    for _ in range(3):
        asked.tell("ApprovalWanted", wanted(2))
        asked.work()
    asked.tell("ApprovalWanted", wanted(1))
    asked.work()
    assert len(asked.network.posts) == 2


def test_every_platform_with_a_channel_is_told_and_one_that_fails_keeps_no_other(asked: Room) -> None:
    asked.connected = tuple(SECRETS)
    asked.network.answers["api.telegram.org"] = Page(403, None)
    assert asked.tell("ApprovalWanted", wanted(2)) == 5
    asked.work()
    urls = {url for _, url, _, _ in asked.network.requests}
    assert urls == {
        "https://slack.com/api/chat.postMessage",
        "https://discord.com/api/v10/channels/645/messages",
        "https://api.telegram.org/bott-1/sendMessage",
        "https://teams.example/ops",
        "https://r.example/o",
    }
    assert [reason for _, reason in asked.dead.letters] == ["Telegram refuses the answer: 403"]


def test_a_yes_wakes_the_run_and_is_in_the_audit_with_the_platforms_id(asked: Room) -> None:
    said = asked.press("approve:fraud/2", why="looks right")
    assert said == f"Version 2 of fraud was approved by {ANN}: looks right. Its run goes on."
    assert asked.answered[-1]["replace_original"] is True
    assert asked.woken == ["a token"]
    head = asked.registry.release("fraud").head
    assert (head.action, head.version, head.actor, head.why) == ("approve", 2, ANN, "looks right")


def test_without_the_scope_nothing_happens_and_only_the_person_is_told(asked: Room) -> None:
    said = asked.press("approve:fraud/2", by=EVE)
    assert said.startswith(f"You ({EVE}) may not do that: approve needs the scope approve.")
    assert (asked.answered[-1]["replace_original"], asked.answered[-1]["response_type"]) == (False, "ephemeral")
    assert asked.approvals.read("fraud", 2).answer is None
    assert asked.woken == []
    assert "not allowed" in [event for event, _ in asked.log]


def test_a_stranger_learns_nothing_of_any_model(asked: Room) -> None:
    for number, value in enumerate(("status:all", "drift:nothing", "rollback:fraud", "approve:nothing/1")):
        said = asked.press(value, by="slack:T1:U0", press=f"t-{number}")
        assert said.startswith("You (slack:T1:U0) may not do that")
        assert "version" not in said


def test_what_is_taken_away_is_gone_at_once(asked: Room) -> None:
    assert asked.press("status:all").startswith("fraud: version 1 serves")
    asked.manager.people = {}
    assert asked.press("status:all", press="again").startswith("You (")


def test_while_nobody_knows_who_may_do_what_an_order_waits(asked: Room) -> None:
    asked.manager.broken = True
    batch = [("g", 1, slack_press("approve:fraud/2").to_bytes().decode())]
    assert asked.take(batch) == [{"itemIdentifier": "1"}]
    asked.manager.broken = False
    assert asked.take(batch) == []
    assert asked.woken == ["a token"]


def test_pressed_twice_and_by_two_there_is_one_effect_and_a_clear_answer(asked: Room) -> None:
    asked.press("approve:fraud/2", why="looks right", press="one")
    for by, press in ((ANN, "two"), (BOB, "three")):
        said = asked.press("approve:fraud/2", by=by, press=press)
        answer = f"approve by {ANN}, looks right"
        assert said == f"Version 2 of model 'fraud' was answered already: {answer}. Nothing was changed."
    said = asked.press("reject:fraud/2", by=BOB, why="unfair", press="four")
    assert said == f"Version 2 of fraud was answered already: approve by {ANN}: looks right. Nothing was changed."
    assert asked.woken == ["a token"]
    assert asked.registry.rejection("fraud", 2) is None
    assert [entry.action for entry in asked.registry.audit("fraud")].count("approve") == 1


def test_after_it_has_expired_nothing_happens(asked: Room) -> None:
    asked.clock += 73 * 3600
    assert "has expired" in asked.press("approve:fraud/2")
    assert "has expired" in asked.press("reject:fraud/2", why="late", press="two")
    assert asked.approvals.read("fraud", 2).answer is None
    assert asked.registry.rejection("fraud", 2) is None


def test_a_no_needs_a_reason_and_opens_a_form_for_it(asked: Room) -> None:
    asked.send(slack_press("reject:fraud/2", trigger_id="12466734323.1"))
    (opened,) = [body for _, url, _, body in asked.network.requests if url.endswith("/api/views.open")]
    assert opened["trigger_id"] == "12466734323.1"
    assert '"value":"reject:fraud/2"' in opened["view"]["private_metadata"]
    assert asked.answered == []
    assert asked.registry.rejection("fraud", 2) is None


def test_where_no_form_can_be_opened_any_more_the_answer_says_what_to_do(asked: Room) -> None:
    asked.network.answers["views.open"] = Page(200, {"ok": False, "error": "expired_trigger_id"})
    asked.send(slack_press("reject:fraud/2", trigger_id="12466734323.1"))
    assert "`/lastmile reject fraud 2 &lt;why&gt;`" in asked.answered[-1]["text"]
    assert asked.answered[-1]["replace_original"] is False


def test_a_no_with_its_reason_bars_the_version_once(asked: Room) -> None:
    assert asked.press("reject:fraud/2", why="unfair") == f"Version 2 of fraud was rejected by {ANN}: unfair."
    assert "was rejected already" in asked.press("reject:fraud/2", by=BOB, why="me too", press="two")
    assert "was rejected by" in asked.press("approve:fraud/2", by=BOB, press="three")
    assert (asked.approvals.read("fraud", 2).answer, asked.woken) == ("reject", ["a token"])
    assert [entry.action for entry in asked.registry.audit("fraud")].count("reject") == 1


def test_a_rollback_asks_first_and_is_done_from_what_was_shown(asked: Room) -> None:
    asked.registry.promote("fraud", 2, actor="test", why="second")
    assert asked.press("rollback:fraud").startswith("Roll fraud back? That would bring version 1 back")
    (button,) = asked.answered[-1]["blocks"][1]["elements"]
    confirmed = f"{button['action_id']}:{button['value']}"
    said = asked.press(confirmed, press="two")
    assert said == f"fraud was rolled back by {ANN}: pressed rollback in slack. Now version 1 serves."
    again = asked.press(confirmed, by=BOB, press="three")
    assert again.startswith(f"fraud was rolled back by {ANN}")
    release = asked.registry.release("fraud")
    assert (release.champion, release.head.action, release.head.actor) == (1, "rollback", ANN)


def test_a_rollback_of_what_has_moved_since_is_refused(asked: Room) -> None:
    asked.registry.promote("fraud", 2, actor="test", why="second")
    revision = asked.registry.release("fraud").revision
    asked.push(b"a third model")
    asked.registry.promote("fraud", 3, actor="carl", why="third")
    said = asked.press(f"rollback:fraud/{revision}")
    assert said == "Nothing was rolled back: fraud has moved since (promote by carl: third). Ask again."
    assert asked.registry.release("fraud").champion == 3


def test_a_transaction_is_blocked_once_as_feedback_event_and_audit_entry(asked: Room) -> None:
    asked.tell("DecisionReview", REVIEW)
    asked.work()
    block, release = asked.network.posts[0]["blocks"][1]["elements"]
    assert (block["action_id"], release["action_id"]) == ("block", "release")
    said = asked.press(f"block:{block['value']}", why="card reported stolen")
    assert said == f"fraud {PREDICTION} row 0: block by {ANN}: card reported stolen. It is kept as feedback."
    later = asked.press(f"release:{release['value']}", by=BOB, press="two")
    assert later == f"fraud {PREDICTION} row 0 was decided already: block by {ANN}. Nothing was changed."
    (kept,) = asked.data.list("feedback/model=fraud")
    assert b'"label":1' in asked.data.get(kept).data
    ((kind, told),) = asked.events
    assert (kind, told["id"], told["decision"], told["label"], told["actor"]) == (
        "DecisionMade",
        f"{PREDICTION}-0",
        "block",
        1,
        ANN,
    )
    head = asked.registry.release("fraud").head
    assert (head.action, head.actor, head.why) == ("block", ANN, f"prediction {PREDICTION} row 0: card reported stolen")
    assert asked.registry.verify_audit("fraud") == []


@pytest.mark.parametrize(
    "value",
    [
        "block:fraud/nonsense/0",
        f"block:fraud/{PREDICTION}/9999999999",
        f"block:fraud/{'7' + 25 * 'Z'}/0",  # of the year 10889
        "block:no/x/0",
    ],
)
def test_what_is_no_prediction_is_refused_with_a_sentence(asked: Room, value: str) -> None:
    assert asked.press(value).endswith("Nothing was changed.")
    assert list(asked.data.list("decisions")) == []


def test_a_model_whose_numbered_labels_its_classes_do_not_name_is_told_without_buttons(room: Room) -> None:
    named = replace(CHANCES, columns=("honest", "fraud"))
    spec, graph = replace(SPEC, outputs=(LABEL, named)), Signature((X,), (LABEL, named))
    facts: dict[str, Any] = {"actor": "test", "why": "test", "metrics": {}, "lineage": {}, "compression": {}}
    room.registry.push(spec, b"a model", signature=graph, **facts)
    room.tell("DecisionReview", REVIEW)
    room.work()
    assert [[block["type"] for block in post["blocks"]] for post in room.network.posts] == [["section"]]
    assert room.press(f"block:fraud/{PREDICTION}/0").endswith("Nothing was changed.")


def test_alarms_are_told_with_their_reason_and_what_others_publish_too(asked: Room) -> None:
    alarm = (
        '{"AlarmName": "Errors", "AlarmDescription": "inference: calls failed", "NewStateValue": "ALARM", '
        '"NewStateReason": "3 datapoints", "StateChangeTime": "2027-01-15T08:00:00.000+0000", "AlarmArn": "arn:a"}'
    )
    event = {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": alarm, "MessageId": "1", "Subject": "x"}}]}
    for _ in range(2):
        asked.operator(event, Context())
        asked.work()
    other = {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "the disk is full", "MessageId": "2"}}]}
    asked.operator(other, Context())
    asked.work()
    assert [post["text"] for post in asked.network.posts] == [
        "Errors is in state ALARM\ninference: calls failed\n3 datapoints",
        f"{ALARM}\nthe disk is full",
    ]


def test_alarms_of_two_models_that_ring_at_once_are_two_and_name_their_model(asked: Room) -> None:
    for model in ("fraud", "tickets", "fraud"):
        attributes = f'"AlarmContributorId": "id-{model}", "AlarmContributorAttributes": {{"model": "{model}"}}, '
        alarm = '{"AlarmName": "Drifted", "StateChangeTime": "2027-01-15T08:00:00.000+0000", "AlarmArn": "arn:a", '
        message = alarm + attributes + '"NewStateValue": "ALARM"}'
        asked.operator({"Records": [{"Sns": {"Message": message, "MessageId": "1"}}]}, Context())
        asked.work()
    assert [post["text"] for post in asked.network.posts] == [
        "fraud: Drifted is in state ALARM",
        "tickets: Drifted is in state ALARM",
    ]
    buttons = asked.network.posts[-1]["blocks"][1]["elements"]
    assert [(each["action_id"], each["value"]) for each in buttons] == [("drift", "tickets"), ("status", "all")]


def test_drift_and_the_ends_of_runs_are_told_with_what_can_be_done(asked: Room) -> None:
    run = {"id": "r", "run": "r", "model": "fraud", "version": 2, "key": "training/fraud/may.csv", "report": "x"}
    problem = {"step": "validate", "reason": "the file is empty", "advice": "Upload rows."}
    asked.tell("DriftDetected", DRIFT)
    asked.tell("RunFailed", run | {"state": "refused", "problem": problem})
    asked.tell("RunFinished", run | {"state": "promoted", "problem": None})
    asked.tell("RunFinished", run | {"state": "rolled back", "problem": problem})
    asked.work()
    drifted, refused, promoted, rolled = [post["text"] for post in asked.network.posts]
    assert drifted == "fraud, version 1, has drifted. Drifted: amount."
    assert refused.startswith("A run of fraud ended: refused (r, training/fraud/may.csv).\nvalidate: the file is empty")
    assert promoted == "Version 2 of fraud serves now. Run r, training/fraud/may.csv."
    assert rolled.startswith("A run of fraud ended: rolled back")
    values = [post["blocks"][1]["elements"][0]["action_id"] for post in asked.network.posts if len(post["blocks"]) > 1]
    assert values == ["drift", "rollback"]


def test_an_event_of_somebody_else_is_an_error_that_its_sender_sees(room: Room) -> None:
    with pytest.raises(ValueError, match="nobody is told about aws.s3"):
        room.operator({"detail-type": "Object Created", "source": "aws.s3", "detail": {}}, Context())


def test_what_cannot_be_read_is_a_dead_letter_with_its_reason(room: Room) -> None:
    room.tell("DriftDetected", {"model": "fraud"})
    room.work()
    room.take([("g", 1, "no JSON"), ("g", 2, '{"kind": "notice"}')])
    assert [reason.partition(":")[0] for _, reason in room.dead.letters] == [
        "the detail of DriftDetected is none",
        "the message cannot be read",
        "the message cannot be read",
    ]


def test_what_was_refused_at_once_can_be_sent_again(room: Room) -> None:
    room.tell("DriftDetected", {"model": "fraud"})
    room.work()
    (body, reason), *_ = room.dead.letters
    event = event_of([("g", 1, body)], redriven="letter-1")
    event["Records"][0]["eventSource"] = "aws:sqs"
    assert room.operator(event, Context()) == {"batchItemFailures": []}
    assert room.dead.letters == [(body, reason)] * 2
    assert all("expires" in item for item in room.table.items.values())


def test_a_busy_platform_is_tried_again_when_it_wants(asked: Room) -> None:
    asked.network.busy = 2
    asked.tell("ApprovalWanted", wanted(2))
    asked.work()
    assert len(asked.network.posts) == 1
    assert asked.queue.postponed == [2.0, 2.0]


def test_an_answer_goes_to_slack_and_nowhere_else(asked: Room) -> None:
    asked.send(slack_press("status:all", response_url="https://evil.example/hooks.slack.com/"))
    assert [reason for _, reason in asked.dead.letters] == ["the address for the answer is none of Slack's"]
    assert not [url for _, url, _, _ in asked.network.requests if "evil" in url]


def test_a_store_that_does_not_answer_is_asked_again(asked: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[int] = []

    def away(*arguments: Any, **named: Any) -> Any:
        times.append(1)
        raise StoreUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(asked.registry, "models", away)
        assert asked.take([("g", 1, slack_press("status:all").to_bytes().decode())]) == [{"itemIdentifier": "1"}]
    assert asked.take([("g", 1, slack_press("status:all").to_bytes().decode())]) == []
    assert len(times) == 1


@pytest.mark.parametrize("seed", range(12))
def test_killed_anywhere_each_order_has_one_effect(seed: int) -> None:
    """The process ends at any border; what was queued comes again until it is done."""
    chance, room = random.Random(seed), Room()
    room.push()
    room.registry.promote("fraud", 1, actor="test", why="first")
    room.push(b"a better model")
    room.registry.promote("fraud", 2, actor="test", why="second")
    room.push(b"a third model")
    room.ask(3)
    revision = room.registry.release("fraud").revision
    room.tell("ApprovalWanted", wanted(3))
    values = ("approve:fraud/3", f"rollback:fraud/{revision}", f"block:fraud/{PREDICTION}/0")
    for number, value in enumerate(values):
        room.queue.put(slack_press(value, why="agreed", press=f"press-{number}"))
    strike = room.fate

    def die() -> None:
        if chance.random() < 0.15:
            raise Killed

    kills = 0
    strike.strike = die
    for _ in range(500):
        try:
            room.work()
        except Killed:
            kills += 1
            room.table.ahead += TIMEOUT
            room.clock += TIMEOUT
        else:
            break
    strike.strike = lambda: None
    assert kills > 0
    assert room.dead.letters == []
    assert len(room.network.posts) == 1
    release = room.registry.release("fraud")
    assert (release.champion, release.revision) == (1, revision + 1)
    assert room.approvals.read("fraud", 3).actor == ANN
    assert len(list(room.data.list("feedback/model=fraud"))) == 1
    actions = [entry.action for entry in room.registry.audit("fraud") if entry.actor == ANN]
    assert sorted(actions) == ["approve", "block", "rollback"]
    assert {detail["id"] for _, detail in room.events} == {f"{PREDICTION}-0"}
