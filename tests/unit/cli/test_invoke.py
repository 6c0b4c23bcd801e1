import json
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CommandFailed
from cli.invoke import function_name
from cli.target import Target
from lastmile.protocols.messages import Response
from tests.unit.cli.conftest import Api


@pytest.fixture
def target(serve: Any, tmp_path: Path) -> Target:
    serve(Api([]))
    return Target.local(tmp_path / "stack")


def test_a_function_has_a_short_name_and_a_full_one(target: Target) -> None:
    assert function_name(target, "inference") == "lastmile-dev-inference"
    assert function_name(target, "lastmile-dev-drift") == "lastmile-dev-drift"


def test_an_unknown_function_is_told_the_known_ones(target: Target) -> None:
    with pytest.raises(CommandFailed, match="There is no function 'other'") as failure:
        function_name(target, "other")
    assert failure.value.next_step == "Name one of inference, control."


@pytest.mark.parametrize(("text", "said"), [("{", "is not JSON"), ("[" * 100_000, "is nested too deeply")])
def test_an_event_must_be_json(lastmile: Any, target: Target, tmp_path: Path, text: str, said: str) -> None:
    event = tmp_path / "event.json"
    event.write_text(text)
    outcome = lastmile("invoke", "inference", event)
    assert outcome.code == 1
    assert f"{event} {said}" in outcome.err


@pytest.mark.parametrize(
    ("returned", "code"),
    [('{"statusCode": 404}', 1), ('{"statusCode": "404"}', 0), ('{"statusCode": null}', 0), ("[404]", 0), ("", 0)],
)
def test_a_status_of_400_and_more_is_a_failure(
    lastmile: Any, serve: Any, tmp_path: Path, returned: str, code: int
) -> None:
    serve(Api([("/2015-03-31/functions/", "", lambda request: Response(200, {}, returned.encode()))]))
    (tmp_path / "event.json").write_text("{}")
    outcome = lastmile("invoke", "inference", tmp_path / "event.json")
    assert (outcome.code, outcome.json) == (code, json.loads(returned or "null"))


def test_a_missing_event_is_a_usage_error(lastmile: Any, target: Target) -> None:
    assert lastmile("invoke", "inference", "nowhere.json").code == 2
