import pytest

from functions.inference.listening import Listening
from lastmile.settings import InvalidSetting


def test_defaults_are_for_this_machine_alone() -> None:
    assert Listening.from_env({}) == Listening(host="127.0.0.1", port=8080, workers=1)


def test_everything_can_be_set() -> None:
    environ = {"LASTMILE_HOST": "0.0.0.0", "LASTMILE_PORT": "9000", "LASTMILE_WORKERS": "4", "PATH": "/bin"}
    assert Listening.from_env(environ) == Listening(host="0.0.0.0", port=9000, workers=4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LASTMILE_PORT", "http"),
        ("LASTMILE_PORT", "0"),
        ("LASTMILE_PORT", "65536"),
        ("LASTMILE_PORT", "tcp://10.0.0.1:80"),
        ("LASTMILE_WORKERS", "-1"),
        ("LASTMILE_WORKERS", "1.5"),
        ("LASTMILE_WORKERS", "1000"),
    ],
)
def test_an_unreadable_value_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} is '{value}'"):
        Listening.from_env({name: value})


def test_a_misspelt_setting_is_an_error_that_knows_the_right_one() -> None:
    with pytest.raises(InvalidSetting, match="LASTMILE_PROT is no setting; is LASTMILE_PORT meant?"):
        Listening.from_env({"LASTMILE_PROT": "8080"})
    with pytest.raises(InvalidSetting, match="LASTMILE_XYZZY is no setting"):
        Listening.from_env({"LASTMILE_XYZZY": "1"})
