import json
import time

import pytest

from functions.chat.message import LONGEST_TEXT, Incoming, Malformed, needed, optional, seconds, text_of
from tests.unit.chat.conftest import Hook, document_of


def received(hook: Hook, name: str) -> Incoming:
    assert hook.recorded(name)[0] == 200
    return hook.queue.taken[-1]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("slack/message", "Where is my order <4711>? See the order"),
        ("slack/mention", "is it everything a river should be?"),
        ("discord/message", "Where is my order?"),
        ("telegram/message", "Where is my order?"),
        ("teams/message", "Where is my order?"),
        ("zendesk/message", "Where is my order?\nIt should have come on Monday."),
        ("standard/message", "Where is my order?"),
    ],
)
def test_a_message_is_read_as_people_wrote_it(hook: Hook, name: str, text: str) -> None:
    message = received(hook, name)
    assert (message.kind, message.text, message.platform) == ("message", text, name.partition("/")[0])


@pytest.mark.parametrize("platform", ["slack", "telegram", "teams", "standard"])
def test_an_edit_names_the_message_it_changes(hook: Hook, platform: str) -> None:
    edit = received(hook, f"{platform}/edit")
    assert edit.kind == "edit"
    assert edit.about
    assert "4712" in edit.text or "4711" in edit.text


@pytest.mark.parametrize("platform", ["slack", "discord", "telegram", "teams", "zendesk", "standard"])
def test_an_attachment_is_named_and_never_fetched(hook: Hook, platform: str) -> None:
    message = received(hook, f"{platform}/attachment")
    assert message.attachments == ("broken.jpg",)
    assert message.text == "It arrived like this"


@pytest.mark.parametrize("platform", ["slack", "discord", "telegram", "teams", "zendesk"])
def test_a_thread_is_a_conversation_of_its_own(hook: Hook, platform: str) -> None:
    assert received(hook, f"{platform}/thread").conversation != received(
        hook, f"{platform}/attachment"
    ).conversation or (platform in ("teams", "zendesk"))


def test_a_threads_first_message_and_its_answers_are_one_conversation(hook: Hook) -> None:
    assert received(hook, "slack/mention").conversation == received(hook, "slack/thread").conversation
    assert received(hook, "zendesk/message").conversation == received(hook, "zendesk/thread").conversation


@pytest.mark.parametrize(
    ("name", "value", "user"),
    [
        ("slack/button", "approve:fraud/8", "T9TK3CUKW:UA8RXUSPL"),
        ("discord/button", "approve:fraud/8", "53908232506183680"),
        ("discord/reason", "reject:fraud/8", "53908232506183680"),
        ("telegram/button", "helpful:no", "1111111"),
        (
            "teams/button",
            "approve:fraud/8",
            "9da26c1d-1e7b-4b5b-b2ad-c2b9d3c5b3a0:fcfa5bd8-9fcb-4a5c-a0a3-e77e4a2d3e1a",
        ),
        ("standard/button", "helpful:no", "u-7"),
    ],
)
def test_a_button_says_what_was_pressed_and_by_whom(hook: Hook, name: str, value: str, user: str) -> None:
    pressed = received(hook, name)
    assert (pressed.kind, pressed.value, pressed.user) == ("button", value, user)


def test_a_reason_comes_with_the_button(hook: Hook) -> None:
    assert received(hook, "discord/reason").text == "Worse for small shops"


@pytest.mark.parametrize("platform", ["slack", "discord", "telegram"])
def test_a_command_has_its_words(hook: Hook, platform: str) -> None:
    command = received(hook, f"{platform}/command")
    assert (command.kind, command.value) == ("command", "/lastmile")
    assert command.text == "drift fraud"


@pytest.mark.parametrize(
    ("name", "value"), [("slack/reaction", "thumbsdown"), ("telegram/reaction", "👎"), ("standard/reaction", "-1")]
)
def test_a_reaction_names_the_message_it_is_about(hook: Hook, name: str, value: str) -> None:
    reaction = received(hook, name)
    assert (reaction.kind, reaction.value) == ("reaction", value)
    assert reaction.about


def test_an_agents_rerouting_is_heard(hook: Hook) -> None:
    moved = received(hook, "zendesk/rerouted")
    assert (moved.kind, moved.value, moved.about) == ("rerouted", "8447320466431", "5158")


def test_a_ticket_of_a_conversation_elsewhere_teaches_there(hook: Hook) -> None:
    """It bears the conversation's name; and the queue to which we moved it, so that our own move teaches nothing."""
    moved = document_of("zendesk/rerouted")
    moved["detail"] |= {"external_id": "slack:T1:D1", "tags": ["lastmile", "queue-finance"]}
    hook.send("zendesk", json.dumps(moved).encode())
    moved["detail"]["external_id"] = "an order"
    hook.send("zendesk", json.dumps(moved).encode())
    first, second = hook.queue.taken
    assert (first.conversation, first.reply["queue"]) == ("slack:T1:D1", "finance")
    assert second.conversation == "zendesk:12514403:5158"


def test_a_ticket_that_we_opened_asks_nothing(hook: Hook) -> None:
    opened = document_of("zendesk/message")
    opened["detail"]["tags"] = ["lastmile", "queue-finance"]
    assert hook.send("zendesk", json.dumps(opened).encode())[0] == 200
    assert hook.queue.taken == []


def test_a_mention_and_its_message_are_one_event(hook: Hook) -> None:
    """Slack sends both to whoever subscribes to both."""
    mention = received(hook, "slack/mention")
    assert mention.event_id == "T061EG9R6:C123ABC456:1515449522.000016"


def test_a_text_is_cut_where_nobody_reads_on() -> None:
    assert text_of("a" * (LONGEST_TEXT + 1)) == ("a" * LONGEST_TEXT, True)
    assert text_of(" a\x00b\u202ec \n") == ("abc", False)
    assert text_of(None) == ("", False)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(Malformed, match=r"a\.b is missing"):
        needed({"a": {}}, "a", "b")
    assert needed({"a": {"b": 0}}, "a", "b") == 0
    assert optional({"a": 1}, "a", "b") is None


@pytest.mark.parametrize("value", ["soon", "-1", "1e12", "nan", None])
def test_a_time_is_a_number_of_seconds(value: object) -> None:
    with pytest.raises(Malformed):
        seconds(value)


@pytest.mark.parametrize("start", ["<http://", "<http://a|", "<@A|", "<at>", "<at", "<"])
def test_markup_that_is_never_closed_takes_no_time(hook: Hook, start: str) -> None:
    event, activity = document_of("slack/message"), document_of("teams/message")
    event["event"]["text"] = activity["text"] = start * (200_000 // len(start))
    began = time.process_time()
    assert hook.send("slack", json.dumps(event).encode())[0] == 200
    assert hook.send("teams", json.dumps(activity).encode())[0] == 200
    assert time.process_time() - began < 3  # it was half a minute


def telegram(hook: Hook, **changed: object) -> list[Incoming]:
    """A message of Telegram's with these members changed; None takes one away."""
    update = document_of("telegram/message")
    update["message"] = {name: value for name, value in (update["message"] | changed).items() if value is not None}
    assert hook.send("telegram", json.dumps(update).encode())[0] == 200
    taken, hook.queue.taken = hook.queue.taken, []
    return taken


def test_an_answer_in_a_group_without_topics_names_no_thread(hook: Hook) -> None:
    """Telegram gives it a thread's id, and refuses messages to that thread."""
    (message,) = telegram(hook, message_thread_id=111)
    assert message.reply["message_thread_id"] is None
    assert message.conversation == telegram(hook)[0].conversation
    (message,) = telegram(hook, message_thread_id=111, is_topic_message=True)
    assert message.reply["message_thread_id"] == 111


@pytest.mark.parametrize(
    "event", [{"new_chat_members": [{"id": 2}]}, {"left_chat_member": {"id": 2}}, {"pinned_message": {"message_id": 1}}]
)
def test_what_happens_in_a_group_is_no_question(hook: Hook, event: dict[str, object]) -> None:
    assert telegram(hook, text=None, **event) == []


def test_a_place_without_words_is_something_sent(hook: Hook) -> None:
    (message,) = telegram(hook, text=None, location={"latitude": 1.0, "longitude": 2.0})
    assert message.attachments == ("location",)


def test_a_channels_post_in_its_group_is_no_question(hook: Hook) -> None:
    assert telegram(hook, is_automatic_forward=True) == []


@pytest.mark.parametrize("text", ["/start", "/start from-the-shop", "/start@shop_bot"])
def test_a_conversation_that_is_begun_by_telegrams_button_is_greeted(hook: Hook, text: str) -> None:
    assert telegram(hook, text=text)[0].text == "Hello"


def test_what_stands_for_a_deleted_message_of_slack_is_no_question(hook: Hook) -> None:
    changed = document_of("slack/edit")
    changed["event"]["message"] |= {"subtype": "tombstone", "user": "USLACKBOT", "text": "This message was deleted."}
    assert hook.send("slack", json.dumps(changed).encode())[0] == 200
    assert hook.queue.taken == []


def test_a_file_of_slack_of_which_nothing_is_told_is_a_file(hook: Hook) -> None:
    sent = document_of("slack/attachment")
    sent["event"]["files"] = [{"id": "F1", "file_access": "check_file_info"}]  # of another company's channel
    hook.send("slack", json.dumps(sent).encode())
    assert hook.queue.taken[0].attachments == ("file",)
