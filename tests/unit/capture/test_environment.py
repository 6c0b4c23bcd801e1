import pytest

from functions.capture.environment import Environment
from lastmile.errors import MissingSettings


def test_all_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(MissingSettings, match="LASTMILE_ARTIFACTS, LASTMILE_DATA"):
        Environment.from_env({})


def test_what_is_said_is_taken() -> None:
    needed = {"LASTMILE_ARTIFACTS": "memory://", "LASTMILE_DATA": "memory://"}
    assert Environment.from_env(needed) == Environment("memory://", "memory://", "local", None)
    full = Environment.from_env({**needed, "LASTMILE_STAGE": "prod", "LASTMILE_BUS": "default"})
    assert (full.stage, full.bus) == ("prod", "default")
