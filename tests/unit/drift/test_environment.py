import pytest

from functions.drift.environment import Environment
from lastmile.errors import MissingSettings

NEEDED = {"LASTMILE_ARTIFACTS": "s3://a", "LASTMILE_DATA": "s3://d"}


def test_what_is_missing_is_named_at_once() -> None:
    with pytest.raises(MissingSettings, match="LASTMILE_ARTIFACTS, LASTMILE_DATA"):
        Environment.from_env({})


def test_without_a_cloud_there_is_no_bus() -> None:
    assert Environment.from_env(NEEDED) == Environment("s3://a", "s3://d", "local", None)


def test_the_bus_and_the_stage_are_taken() -> None:
    given = NEEDED | {"LASTMILE_STAGE": "prod", "LASTMILE_BUS": "default"}
    assert Environment.from_env(given) == Environment("s3://a", "s3://d", "prod", "default")
