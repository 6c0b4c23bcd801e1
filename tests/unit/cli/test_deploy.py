import io
import sys

import pytest

from cli.deploy import ask, deployment_of
from cli.errors import CommandFailed
from cli.target import Access, Credentials, Options

ACCESS = Access(region="eu-west-1", credentials=Credentials("key", "secret"))


def test_a_profile_is_left_to_the_cdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows single sign-on and second factors; keys copied from it would run out."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    environ = deployment_of("prod", Options(profile="work"), ACCESS).environ
    assert (environ["AWS_PROFILE"], environ["AWS_REGION"]) == ("work", "eu-west-1")
    assert "AWS_ACCESS_KEY_ID" not in environ


def test_keys_in_the_environment_do_not_deploy_to_another_account_than_the_profile_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The CDK takes them first, whatever AWS_PROFILE says; boto3, which finds out the account, takes the profile."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AMAZON_ACCESS_KEY_ID"):
        monkeypatch.setenv(name, "another account's")
    environ = deployment_of("prod", Options(profile="work"), ACCESS).environ
    assert "another account's" not in environ.values()
    assert deployment_of("prod", Options(), ACCESS).environ["AWS_ACCESS_KEY_ID"] == "another account's"


def test_without_a_profile_the_environment_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "usual")
    assert deployment_of("dev", Options(), ACCESS).environ["AWS_PROFILE"] == "usual"


def test_a_stage_decides_its_own_architecture() -> None:
    assert deployment_of("prod", Options(stage="prod"), ACCESS).architecture is None


def test_without_a_person_there_is_no_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(CommandFailed, match="Nobody is here") as failure:
        ask("Deploy?")
    assert "--yes" in str(failure.value.next_step)


@pytest.mark.parametrize(("answer", "deploys"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_a_person_decides(monkeypatch: pytest.MonkeyPatch, answer: str, deploys: bool) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    if deploys:
        ask("Deploy?")
    else:
        with pytest.raises(CommandFailed, match="Nothing was deployed"):
            ask("Deploy?")
