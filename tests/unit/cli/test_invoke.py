from pathlib import Path
from typing import Any

import pytest

from cli.errors import CommandFailed
from cli.invoke import function_name
from cli.target import Target


@pytest.fixture
def target(serve: Any, tmp_path: Path) -> Target:
    from tests.unit.cli.conftest import Api

    serve(Api([]))
    return Target.local(tmp_path / "stack")


def test_a_function_has_a_short_name_and_a_full_one(target: Target) -> None:
    assert function_name(target, "inference") == "lastmile-dev-inference"
    assert function_name(target, "lastmile-dev-drift") == "lastmile-dev-drift"


def test_an_unknown_function_is_told_the_known_ones(target: Target) -> None:
    with pytest.raises(CommandFailed, match="There is no function 'other'") as failure:
        function_name(target, "other")
    assert failure.value.next_step == "Name one of inference, control."


def test_an_event_must_be_json(lastmile: Any, target: Target, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text("{")
    outcome = lastmile("invoke", "inference", event)
    assert outcome.code == 1
    assert f"{event} is not JSON" in outcome.err


def test_a_missing_event_is_a_usage_error(lastmile: Any, target: Target) -> None:
    assert lastmile("invoke", "inference", "nowhere.json").code == 2
