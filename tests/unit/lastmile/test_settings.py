import pytest

from lastmile.errors import MissingSettings
from lastmile.settings import InvalidSetting, Settings, WatchSettings

MINIMAL = {"LASTMILE_ARTIFACTS": "memory://"}


def test_defaults_suit_a_server() -> None:
    settings = Settings.from_env(MINIMAL)
    assert (settings.release_seconds, settings.memory_mb, settings.default_model, settings.capture) == (
        30.0,
        None,
        None,
        True,
    )


def test_everything_can_be_set() -> None:
    settings = Settings.from_env(
        MINIMAL
        | {
            "LASTMILE_RELEASE_SECONDS": "2.5",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
            "LASTMILE_DEFAULT_MODEL": "digits",
            "LASTMILE_CAPTURE": "off",
        }
    )
    assert (settings.release_seconds, settings.memory_mb, settings.default_model, settings.capture) == (
        2.5,
        1769,
        "digits",
        False,
    )


def test_what_is_missing_is_named() -> None:
    with pytest.raises(MissingSettings, match="LASTMILE_ARTIFACTS"):
        Settings.from_env({})


@pytest.mark.parametrize(("name", "value"), [("LASTMILE_RELEASE_SECONDS", "soon"), ("LASTMILE_CAPTURE", "yes")])
def test_an_unreadable_value_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} is '{value}'"):
        Settings.from_env(MINIMAL | {name: value})


def test_the_stage_is_the_deployments_and_local_elsewhere() -> None:
    assert Settings.from_env(MINIMAL).stage == "local"
    assert Settings.from_env(MINIMAL | {"LASTMILE_STAGE": "prod"}).stage == "prod"


def test_those_who_watch_name_all_that_is_missing_at_once() -> None:
    with pytest.raises(MissingSettings, match="LASTMILE_ARTIFACTS, LASTMILE_DATA"):
        WatchSettings.from_env({})


def test_those_who_watch_need_no_cloud_and_no_bus() -> None:
    needed = {"LASTMILE_ARTIFACTS": "s3://a", "LASTMILE_DATA": "s3://d"}
    assert WatchSettings.from_env(needed) == WatchSettings("s3://a", "s3://d", "local", None)
    full = WatchSettings.from_env({**needed, "LASTMILE_STAGE": "prod", "LASTMILE_BUS": "default"})
    assert full == WatchSettings("s3://a", "s3://d", "prod", "default")
