import fcntl
import io
import sys
from pathlib import Path

import pytest

from cli.deploy import ask, deployment_of, folder_of, roll_out, there
from cli.errors import CommandFailed
from cli.target import Access, Credentials, Options

ACCESS = Access(region="eu-west-1", credentials=Credentials("key", "secret"))


CONFIG = """
[profile work]
region = eu-west-1
[profile guarded]
role_arn = arn:aws:iam::123456789012:role/admin
source_profile = work
mfa_serial = arn:aws:iam::123456789012:mfa/me
"""


@pytest.fixture(autouse=True)
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text(CONFIG)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)


def test_a_profile_is_left_to_the_cdk() -> None:
    """It knows single sign-on; keys copied from it would run out."""
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


@pytest.mark.parametrize("named", [True, False])
def test_the_cdk_which_cannot_ask_gets_what_was_given_for_a_second_factor(
    monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    if not named:
        monkeypatch.setenv("AWS_PROFILE", "guarded")
    environ = deployment_of("prod", Options(profile="guarded" if named else None), ACCESS).environ
    assert (environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"]) == ("key", "secret")
    assert "AWS_PROFILE" not in environ


def test_without_a_profile_the_environment_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert deployment_of("dev", Options(), ACCESS).environ["AWS_PROFILE"] == "work"


def test_what_was_shown_is_what_is_deployed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another command that deploys the stage from here would synthesise into the same folder, before or after a yes."""
    monkeypatch.setattr("cli.deploy.CHECKOUT", tmp_path)
    monkeypatch.setattr("cli.interrupts.end_on_termination", lambda: None)

    def rolled_out(stage: str, *_: object, **__: object) -> dict[str, str]:
        with (folder_of(stage) / "lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return {"Stage": stage}

    monkeypatch.setattr("cli.deploy._rolled_out", rolled_out)
    assert roll_out(Options(stage="prod"), yes=True) == {"Stage": "prod"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(), "--stage dev"),
        (Options(profile="my work", region="eu-west-1"), "--profile 'my work' --stage dev --region eu-west-1"),
    ],
)
def test_the_next_command_goes_where_the_stage_is(options: Options, words: str) -> None:
    """Without the profile and the region it would look for it in another account."""
    assert there(options) == words


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
