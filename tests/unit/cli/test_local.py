import stat
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError

from cli.errors import CommandFailed
from cli.local import LocalAws, digest_of, environ, host_architecture, stack_status
from cli.local_process import Process
from cli.target import Access, Credentials, Target


@pytest.fixture
def local(tmp_path: Path) -> LocalAws:
    return LocalAws(folder=tmp_path / "aws")


@pytest.mark.parametrize(
    ("machine", "architecture"), [("x86_64", "x86_64"), ("AMD64", "x86_64"), ("aarch64", "arm64"), ("arm64", "arm64")]
)
def test_the_architecture_is_that_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, machine: str, architecture: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert host_architecture() == architecture


def test_machines_that_cannot_run_handlers_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(CommandFailed, match="riscv64"):
        host_architecture()
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(CommandFailed, match="Linux only") as failure:
        host_architecture()
    assert failure.value.next_step


def test_no_profile_and_no_proxy_of_the_user_leads_elsewhere(local: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, "the user's own")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    found = environ(local.access(Process(pid=1, port=4000)), local.folder)
    assert {name: value for name, value in found.items() if name.startswith("AWS_")} == {
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4000",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    assert found["NO_PROXY"] == "127.0.0.1"


def test_what_it_writes_is_whole_and_for_its_owner_alone(local: LocalAws) -> None:
    local.folder.mkdir()
    local._write("local.json", {"client_secret": "s"})
    assert [path.name for path in local.folder.iterdir()] == ["local.json"]
    assert stat.S_IMODE((local.folder / "local.json").stat().st_mode) == 0o600
    assert local._read("local.json") == {"client_secret": "s"}


def test_a_half_written_document_is_none(local: LocalAws) -> None:
    local.folder.mkdir()
    (local.folder / "deployed.json").write_text("{")
    assert local.deployed_digest() is None


def test_down_where_nothing_ever_was_is_no_error(local: LocalAws) -> None:
    assert not local.down()
    local.erase()


def test_an_assembly_is_known_by_its_documents(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    before = digest_of(tmp_path)
    (tmp_path / "asset.1234").mkdir()
    assert digest_of(tmp_path) == before
    (tmp_path / "Stack.template.json").write_text("{}")
    assert digest_of(tmp_path) != before


@pytest.mark.parametrize(
    ("code", "message", "is_missing"),
    [
        ("ValidationError", "Stack with id CDKToolkit does not exist", True),
        ("AccessDenied", "User is not authorized to perform: cloudformation:DescribeStacks", False),
        ("ExpiredToken", "The security token included in the request is expired", False),
    ],
)
def test_a_stack_that_may_not_be_looked_at_is_not_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch, code: str, message: str, is_missing: bool
) -> None:
    error = ClientError({"Error": {"Code": code, "Message": message}}, "DescribeStacks")
    monkeypatch.setattr(Access, "client", Mock(return_value=Mock(describe_stacks=Mock(side_effect=error))))
    access = Access(region="eu-west-1", credentials=Credentials("key", "secret"))
    if is_missing:
        assert stack_status(access, "CDKToolkit") is None
    else:
        with pytest.raises(ClientError, match=code):
            stack_status(access, "CDKToolkit")


def test_local_json_leads_to_the_same_target(local: LocalAws, tmp_path: Path) -> None:
    target = Target(
        stage="dev",
        access=local.access(Process(pid=1, port=4000)),
        api_url="http://127.0.0.1:4000/_aws/execute-api/a",
        token_url="http://127.0.0.1:4000/oauth2/token",
        user_pool_id="pool",
        client_id="client",
        client_secret="secret",
        api_id="a",
        artifacts_bucket="artifacts",
        data_bucket="data",
        log_group_prefix="/aws/lambda/lastmile-dev-",
        functions={"inference": "lastmile-dev-inference"},
    )
    local.folder.mkdir()
    local._write("local.json", target.to_document())
    assert Target.local(local.folder) == target
    assert "secret" not in repr(target)
