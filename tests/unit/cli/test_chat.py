import io
from pathlib import Path
from typing import Any

import pytest

from cli.chat import chosen, lines, read_members, send_as
from cli.errors import CommandFailed
from cli.target import Target
from tests.unit.cli.conftest import Api


def test_members_are_pairs_or_a_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_members(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    monkeypatch.setattr("sys.stdin", io.StringIO('{"a": "1"}'))
    assert read_members([]) == {"a": "1"}


@pytest.mark.parametrize("words", [["a"], ["a="]])
def test_a_word_without_a_value_is_named(words: list[str]) -> None:
    with pytest.raises(CommandFailed, match="'a' is not of the form"):
        read_members(words)


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"a": 1}'])
def test_standard_input_must_be_an_object_of_texts(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    with pytest.raises(CommandFailed, match="JSON object"):
        read_members([])


def test_empty_lines_are_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["  ", "hello", ""])

    def read(prompt: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", read)
    assert list(lines()) == ["hello"]


def test_a_number_presses_a_button_with_the_reason_behind_it() -> None:
    pressable = [("slack", "approve:fraud/8"), ("standard", "helpful:yes")]
    assert chosen("1 looks right", pressable) == (pressable[0], "looks right")
    assert chosen("2", pressable) == (pressable[1], "")
    assert chosen("3 shirts", pressable) == (("standard", None), "3 shirts")
    assert chosen("² shirts", pressable) == (("standard", None), "² shirts")
    assert chosen("hello", []) == (("standard", None), "hello")


def test_an_unknown_platform_is_named(lastmile: Any, tmp_path: Path) -> None:
    outcome = lastmile("chat", "send", "irc", "hello", "--local", tmp_path)
    assert outcome.code == 1
    assert "'irc' is none of slack" in outcome.err


def test_without_a_local_aws_it_says_so(lastmile: Any, tmp_path: Path) -> None:
    outcome = lastmile("chat", "send", "slack", "hello", "--local", tmp_path)
    assert outcome.code == 3
    assert "Run `make up`" in outcome.err


def test_while_it_is_still_brought_up_it_says_so(lastmile: Any, tmp_path: Path) -> None:
    (tmp_path / "local.json").write_text("{}")
    outcome = lastmile("chat", "send", "slack", "hello", "--local", tmp_path)
    assert outcome.code == 3
    assert "Run `make up`" in outcome.err


def test_a_button_that_a_platform_does_not_have_cannot_be_pressed(lastmile: Any, tmp_path: Path) -> None:
    outcome = lastmile("chat", "send", "zendesk", "--press", "person", "--local", tmp_path)
    assert "Zendesk's tickets have no buttons" in outcome.err


def test_a_real_platform_sends_by_itself(lastmile: Any) -> None:
    outcome = lastmile("chat", "send", "slack", "hello", "--stage", "prod")
    assert "Only the local AWS" in outcome.err


def test_what_the_hook_has_against_a_message_is_said(serve: Any, tmp_path: Path) -> None:
    serve(Api([]))
    local = {"reply_port": 1, "telegram": {"secret": "s"}}
    with pytest.raises(CommandFailed, match="The hook answered 404: Not Found"):
        send_as(Target.local(tmp_path / "stack"), local, "telegram", "hello", conversation="1")
