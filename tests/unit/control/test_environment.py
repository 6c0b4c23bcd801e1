import pytest

from functions.control.environment import Environment
from lastmile.errors import MissingSettings

GIVEN = {"LASTMILE_ARTIFACTS": "s3://b", "LASTMILE_DATA": "s3://d"}


def test_the_environment_is_read_once_and_named_when_it_is_missing() -> None:
    assert Environment.from_env(GIVEN) == Environment("s3://b", "s3://d", "/oauth2/token")
    given = Environment.from_env(GIVEN | {"LASTMILE_TOKEN_URL": "https://t"})
    assert given.token_url == "https://t"
    with pytest.raises(MissingSettings, match="LASTMILE_ARTIFACTS, LASTMILE_DATA"):
        Environment.from_env({})
