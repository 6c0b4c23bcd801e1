import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from moto import mock_aws

from cli.errors import CommandFailed, StackMissing, Unreachable
from cli.target import Access, Credentials, Options, Target
from lastmile.protocols.messages import Request, Response
from tests.unit.cli.conftest import Api

ACCESS = Access(region="eu-west-1", credentials=Credentials("key", "hidden", "passing"))


def test_an_sdk_finds_the_account_in_its_environment() -> None:
    assert ACCESS.environ == {
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "hidden",
        "AWS_SESSION_TOKEN": "passing",
    }


def test_every_sdk_trusts_the_certificate() -> None:
    trusting = replace(ACCESS, ca_bundle="/certificate.pem").environ
    assert {name for name, value in trusting.items() if value == "/certificate.pem"} == {
        "AWS_CA_BUNDLE",
        "SSL_CERT_FILE",
        "NODE_EXTRA_CA_CERTS",
    }


def test_secrets_are_not_shown() -> None:
    assert "hidden" not in repr(ACCESS)
    assert "passing" not in repr(ACCESS)


def test_without_local_json_the_next_step_is_up(tmp_path: Path) -> None:
    with pytest.raises(StackMissing) as missing:
        Options(local=tmp_path).target()
    assert missing.value.next_step == "Run `make up`."


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "[" * 100_000, '{"region": "eu-west-1"}'])
def test_a_local_json_that_was_half_written_is_a_missing_stack(tmp_path: Path, text: str) -> None:
    (tmp_path / "local.json").write_text(text)
    with pytest.raises(StackMissing, match=r"local\.json does not describe a stack") as missing:
        Options(local=tmp_path).target()
    assert missing.value.next_step == "Run `make up`."
    with pytest.raises(StackMissing, match="not up"):
        Options(local=tmp_path / "local.json").target()


def test_a_region_alone_is_no_account() -> None:
    with pytest.raises(CommandFailed, match="--region is for an account") as failure:
        Options(region="eu-west-1").target()
    assert failure.value.next_step == "Add --profile or --stage."


def test_a_named_stage_or_profile_means_an_account() -> None:
    assert Options().is_local
    assert not Options(stage="prod").is_local
    assert not Options(profile="work").is_local


@mock_aws
def test_a_stage_that_is_not_deployed_is_named() -> None:
    with pytest.raises(StackMissing, match="no stack Lastmile-prod-Storage in eu-west-1") as missing:
        Target.of_stage("prod", ACCESS)
    assert missing.value.next_step == "Run `lastmile deploy --stage prod`."


def test_missing_credentials_and_region_are_one_sentence_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    with pytest.raises(CommandFailed, match="No AWS credentials"):
        Access.from_profile()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(CommandFailed, match="No AWS region"):
        Access.from_profile()
    assert Access.from_profile(region="eu-north-1").region == "eu-north-1"
    with pytest.raises(CommandFailed, match="There is no AWS profile 'wrok'"):
        Access.from_profile("wrok")


@pytest.fixture
def target(serve: Callable[..., Any], tmp_path: Path) -> Target:
    """An API that answers with what it was asked."""

    def echo(request: Request) -> Response:
        return Response(418 if request.method == "POST" else 200, {"X-Asked": request.path}, request.body)

    serve(Api([("/", "", echo)]))
    return Target.local(tmp_path / "stack")


def test_a_token_has_the_scopes_that_were_asked_for(target: Target) -> None:
    assert target.token(["infer", "read"]) == "lastmile/infer lastmile/read"


@pytest.mark.parametrize(("seconds", "given"), [(3600, 2), (100, 4), (None, 4)])
def test_a_token_is_asked_for_again_when_it_is_about_to_end(
    serve: Callable[..., Any], tmp_path: Path, seconds: int | None, given: int
) -> None:
    asked: list[str] = []

    class Billed(Api):
        def answer(self, request: Request) -> Response:
            asked.append(request.body.decode())
            ends = {} if seconds is None else {"expires_in": seconds}
            return Response(200, {}, json.dumps({"access_token": f"token {len(asked)}", **ends}).encode())

    serve(Billed([]))
    target = Target.local(tmp_path / "stack")
    tokens = [target.token([scope]) for scope in ("read", "infer", "read", "infer")]
    assert len(asked) == len(set(tokens)) == given
    assert not target.to_document().keys() & {"_tokens", "access"}


@pytest.mark.parametrize(("body", "said"), [(b"<html>", "no JSON"), (b"[" * 100_000, "no JSON"), (b"[]", "another")])
def test_who_answers_otherwise_than_the_api_is_named(
    serve: Callable[..., Any], tmp_path: Path, body: bytes, said: str
) -> None:
    serve(Api([("/", "", lambda request: Response(200, {}, body))]))
    target = Target.local(tmp_path / "stack")
    with pytest.raises(Unreachable, match=f"/control/models answers 200 with {said}"):
        target.call("GET", "/control/models", token="any").document("models")


@pytest.mark.parametrize("sent", [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", b"\x00\xff\r\n\r\n", b""])
def test_half_an_answer_is_none(target: Target, sent: bytes) -> None:
    def answer(server: socket.socket) -> None:
        with server.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(sent)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=answer, args=[server])
        thread.start()
        broken = replace(target, api_url=f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(Unreachable, match="/health does not answer"):
            broken.call("GET", "/health")
        thread.join()


def test_a_refusal_is_an_answer(target: Target) -> None:
    answer = target.call("POST", "/brew", body=b'{"tea": 1}', token=target.token(["infer"]))
    assert (answer.status, answer.headers["x-asked"], answer.json()) == (418, "/brew", {"tea": 1})


def test_no_answer_is_unreachable_with_a_next_step(target: Target) -> None:
    nowhere = replace(target, api_url="http://127.0.0.1:9")
    with pytest.raises(Unreachable, match="http://127.0.0.1:9/health does not answer") as failure:
        nowhere.call("GET", "/health")
    assert failure.value.next_step == "Run `lastmile doctor`."


def test_a_token_endpoint_that_refuses_is_named(target: Target) -> None:
    wrong = replace(target, token_url=f"{target.api_url}/elsewhere")
    with pytest.raises(Unreachable, match="/elsewhere answered 403"):
        wrong.token()


def test_a_proxy_is_not_asked_for_this_machine(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert target.token(["infer"]) == "lastmile/infer"
