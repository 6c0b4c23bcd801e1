"""Each platform's own way of being told and answered; Slack's is tested with the operator."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from standardwebhooks import Webhook

from functions.chat.assistant.conversation import Button
from functions.chat.keys import Keys
from functions.chat.message import Incoming
from functions.chat.operations.board import Board
from functions.chat.operations.posts import Post
from functions.chat.web import Page, Refused
from tests.unit.chat.conftest import Hook
from tests.unit.chat.operations.conftest import NOW, SECRETS
from tests.unit.chat.service import Network

BUTTONS = (Button("Approve", "approve:fraud/8"), Button("Reject", "reject:fraud/8"))
QUESTION = Post("Version 8 of fraud waits", BUTTONS, field=True, terminal="lastmile approve fraud 8 --why …")
DONE = Post("Version 8 of fraud was approved", done=True)
REFUSED = Post("You may not do that")


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def board(network: Network) -> Board:
    return Board(network, Keys(lambda name: [SECRETS[name]] if name in SECRETS else []), clock=lambda: NOW)


def told(board: Board, network: Network, platform: str, post: Post = QUESTION, *, again: bool = False) -> Any:
    board.post(platform, post, "key-1", again=again)
    return network.requests[-1]


def pressed(hook: Hook, name: str) -> Incoming:
    hook.recorded(name)
    return hook.queue.taken[-1]


def test_slack_is_asked_before_it_is_told_again(board: Board, network: Network) -> None:
    told(board, network, "slack")
    told(board, network, "slack", again=True)
    assert len(network.posts) == 1
    network.posts.clear()
    told(board, network, "slack", again=True)
    assert len(network.posts) == 1


@pytest.mark.parametrize("platform", ["slack", "discord", "telegram", "teams"])
def test_what_is_too_long_is_cut_to_what_the_platform_takes(board: Board, network: Network, platform: str) -> None:
    """Anybody may publish 256 kB where alarms are; the buttons, or the words in their place, stay."""
    *_, body = told(board, network, platform, replace(QUESTION, text="€" * 250_000))
    assert len(orjson.dumps(body)) < 28_000
    assert "approve" in str(body)


def test_discord_gets_components_and_knows_the_key(board: Board, network: Network) -> None:
    _, url, headers, body = told(board, network, "discord")
    assert url == "https://discord.com/api/v10/channels/645/messages"
    assert headers["authorization"] == "Bot d-1"
    assert (body["nonce"], body["enforce_nonce"], body["allowed_mentions"]) == ("key-1", True, {"parse": []})
    assert [each["custom_id"] for each in body["components"][0]["components"]] == ["approve:fraud/8", "reject:fraud/8"]


def test_telegram_gets_a_keyboard_and_words_for_what_is_too_long_for_it(board: Board, network: Network) -> None:
    long = Button("Block", f"block:{'a-model-of-a-longer-name'}/01KEZ6N1G0RDVX8Q5H4BEHNKF8/1000000")
    *_, body = told(board, network, "telegram", replace(QUESTION, buttons=(*BUTTONS, long)))
    keys = [key["callback_data"] for row in body["reply_markup"]["inline_keyboard"] for key in row]
    assert keys == ["approve:fraud/8", "reject:fraud/8"]
    assert len(long.value) > 64
    assert body["text"].endswith("Block: /lastmile block a-model-of-a-longer-name 01KEZ6N1G0RDVX8Q5H4BEHNKF8/1000000")


def test_teams_is_told_what_to_type_since_its_cards_cannot_call_back(board: Board, network: Network) -> None:
    _, url, _, body = told(board, network, "teams")
    assert url == "https://teams.example/ops"
    text = body["attachments"][0]["content"]["body"][0]["text"]
    assert "Approve: `/lastmile approve fraud 8 <why>`" in text
    assert "In a terminal: `lastmile approve fraud 8 --why …`" in text


def test_a_receiver_of_webhooks_is_told_with_the_same_id_again(board: Board) -> None:
    sent: list[tuple[bytes, Any]] = []

    class Wire(Network):
        def send(self, method: str, url: str, *, headers: Any, body: Any = None, seconds: float = 3.0) -> Page:
            sent.append((body, headers))
            return Page(200, None)

    wired = Board(Wire(), Keys(lambda name: [SECRETS[name]]), clock=lambda: NOW)
    for again in (False, True):
        wired.post("standard", QUESTION, "key-1", again=again)
    assert [headers["webhook-id"] for _, headers in sent] == ["msg_key-1", "msg_key-1"]
    signer = Webhook(SECRETS["standard"]["signing_secret"])
    assert (
        signer.sign("msg_key-1", datetime.fromtimestamp(NOW, UTC), sent[0][0].decode())
        in (sent[0][1]["webhook-signature"])
    )


def test_discord_edits_what_is_done_and_whispers_what_is_not(board: Board, network: Network, hook: Hook) -> None:
    for name in ("discord/button", "discord/explained"):
        board.answer(pressed(hook, name), DONE, "k", again=False)
        method, url, _, body = network.requests[-1]
        assert (method, url.rpartition("/")[2], body["components"]) == ("PATCH", "@original", [])
    board.answer(pressed(hook, "discord/button"), REFUSED, "k", again=False)
    method, url, _, body = network.requests[-1]
    assert (method, body["flags"]) == ("POST", 64)
    assert url == "https://discord.com/api/v10/webhooks/775799577604522054/A_UNIQUE_TOKEN"


def test_a_discord_button_that_needs_a_reason_opens_a_form_at_once(hook: Hook) -> None:
    _, body = hook.recorded("discord/reject")
    assert '"type":9' in body
    assert '"custom_id":"reject:fraud/8"' in body
    assert hook.queue.taken == []
    explained = pressed(hook, "discord/explained")
    assert (explained.value, explained.text) == ("reject:fraud/8", "Worse for small shops")


def test_telegram_edits_what_is_done_and_alerts_the_person_otherwise(
    board: Board, network: Network, hook: Hook
) -> None:
    board.answer(pressed(hook, "telegram/approve"), DONE, "k", again=False)
    (_, seen, _, toast), (_, edit, _, body) = network.requests
    assert (seen.endswith("/answerCallbackQuery"), toast["show_alert"]) == (True, False)
    assert (edit.endswith("/editMessageText"), body["message_id"]) == (True, "1369")
    assert "reply_markup" not in body
    network.requests.clear()
    board.answer(pressed(hook, "telegram/approve"), REFUSED, "k", again=False)
    ((_, _, _, alert),) = network.requests
    assert (alert["text"], alert["show_alert"]) == (REFUSED.text, True)


def test_an_edit_that_was_made_before_is_no_failure(board: Board, network: Network, hook: Hook) -> None:
    network.answers["editMessageText"] = Page(400, {"ok": False, "description": "message is not modified"})
    board.answer(pressed(hook, "telegram/approve"), DONE, "k", again=True)
    assert [url.rpartition("/")[2] for _, url, *_ in network.requests] == ["answerCallbackQuery", "editMessageText"]


@pytest.mark.parametrize("name", ["slack/rollback", "discord/command", "telegram/reject", "teams/approve"])
def test_a_typed_order_is_answered_where_it_was_typed(board: Board, network: Network, hook: Hook, name: str) -> None:
    board.answer(pressed(hook, name), Post("fraud: version 7 serves"), "k", again=False)
    assert "fraud: version 7 serves" in str(network.requests[-1][3])


def test_a_refusal_says_whose_and_a_missing_member_is_named(board: Board, network: Network) -> None:
    network.answers["discord.com"] = Page(403, None)
    with pytest.raises(Refused, match="Discord refuses the answer: 403"):
        told(board, network, "discord")
    with pytest.raises(Refused, match="the secret of telegram has no bot_token"):
        Board(network, Keys(lambda _: [{"operations": "1"}])).post("telegram", DONE, "k", again=False)
    with pytest.raises(Refused, match="there is no secret for slack"):
        Board(network, Keys(lambda _: [])).post("slack", DONE, "k", again=False)


def test_only_platforms_with_a_channel_are_told() -> None:
    secrets = {"slack": [{"bot_token": "x"}], "teams": [SECRETS["teams"]]}
    assert Board(Network(), Keys(lambda name: secrets.get(name, []))).platforms() == ["teams"]
