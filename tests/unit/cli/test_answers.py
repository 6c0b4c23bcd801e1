import json
from collections.abc import Iterator
from typing import Any

import pytest

from cli.answers import awaited
from cli.errors import CommandFailed
from cli.wire import Answer

WHERE = "/v1/predictions/01KAJ4Y5N8V3W6Q2T9XZ7RMBDC"


def answer(status: int, document: Any, **headers: str) -> Answer:
    return Answer(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(document).encode()
    )


PENDING = answer(202, {"state": "pending", "reason": "asleep"}, location=WHERE, retry_after="5")


def test_an_answer_that_comes_later_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    answers: Iterator[Answer] = iter([PENDING, PENDING, answer(200, [1], lastmile_state="answered")])
    asked: list[str] = []
    pauses: list[float] = []

    def ask(path: str) -> Answer:
        asked.append(path)
        return next(answers)

    assert awaited(ask, PENDING, pause=pauses.append).json() == [1]
    assert (asked, pauses) == ([WHERE] * 3, [5.0] * 3)
    assert "asleep" in capsys.readouterr().err


def test_one_that_is_there_is_taken_as_it_is() -> None:
    there = answer(200, [1])
    assert awaited(lambda path: pytest.fail(path), there) is there


def test_one_that_never_comes_is_an_error() -> None:
    failed = answer(200, {"state": "failed", "error": "the endpoint failed: out of memory"}, lastmile_state="failed")
    with pytest.raises(CommandFailed, match="out of memory"):
        awaited(lambda path: failed, PENDING, pause=lambda seconds: None)
