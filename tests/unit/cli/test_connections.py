import json
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cli.connections import MEMBERS, local_connections, put
from cli.errors import CommandFailed
from cli.target import Access, Credentials, Target
from functions.chat.platforms import PLATFORMS

KEYS: dict[str, Any] = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}


@pytest.fixture
def target() -> Iterator[Target]:
    names = [field.name for field in fields(Target) if field.init and field.name not in ("access", "functions")]
    access = Access(region="eu-west-1", credentials=Credentials("testing", "testing"))
    with mock_aws():
        yield replace(
            Target(access=access, functions={}, **dict.fromkeys(names, "x")), stage="dev", api_url="http://api"
        )


def held(platform: str, stage: str = "AWSCURRENT") -> dict[str, str]:
    client = boto3.client("secretsmanager", "eu-west-1", **KEYS)
    found = client.get_secret_value(SecretId=f"lastmile/dev/chat/{platform}", VersionStage=stage)
    document: dict[str, str] = json.loads(found["SecretString"])
    return document


def test_a_secret_is_made_then_rotated_and_the_one_before_stays(target: Target) -> None:
    assert put(target, "slack", {"signing_secret": "one", "bot_token": "b"})
    assert not put(target, "slack", {"signing_secret": "two"})
    assert held("slack") == {"signing_secret": "two", "bot_token": "b"}
    assert held("slack", "AWSPREVIOUS")["signing_secret"] == "one"


@pytest.mark.parametrize(
    ("platform", "members", "message"),
    [("irc", {}, "'irc' is none of slack"), ("slack", {"sining_secret": "x"}, "'sining_secret' is no member of slack")],
)
def test_what_is_misspelt_is_named(target: Target, platform: str, members: dict[str, str], message: str) -> None:
    with pytest.raises(CommandFailed, match=message):
        put(target, platform, members)


@pytest.mark.parametrize(
    ("platform", "members"),
    [
        ("teams", {"reply_url": "http://teams.example/in"}),
        ("standard", {"operations": "http://r.example/o"}),
        ("slack", {"api_url": "slack.example"}),
        ("shop", {"url": "ftp://shop.example"}),
    ],
)
def test_an_address_without_tls_is_refused(target: Target, platform: str, members: dict[str, str]) -> None:
    with pytest.raises(CommandFailed, match=f"{next(iter(members))} must begin with https://"):
        put(target, platform, members)


@pytest.mark.parametrize("address", ["https://", "https:///path", "https://[", "//["])
def test_an_address_without_a_host_is_refused_and_a_secret_is_no_address(target: Target, address: str) -> None:
    with pytest.raises(CommandFailed, match="api_url names no host"):
        put(target, "slack", {"api_url": address})
    assert put(target, "slack", {"signing_secret": address})


def test_an_address_on_this_machine_needs_no_tls(target: Target) -> None:
    assert put(target, "slack", {"api_url": "http://127.0.0.1:8080", "operations": "C9", "bot_token": "xoxb-http"})


def test_every_platform_is_connected_locally_and_stays_so(target: Target) -> None:
    first = local_connections(target, {})
    assert local_connections(target, first) == first
    for name, platform in PLATFORMS.items():
        assert first[name]["url"] == f"http://api/hooks/{name}"
        assert held(name)[platform.secret]
        assert set(held(name)) <= set(MEMBERS[name])
    assert held("discord")["public_key"] != first["discord"]["secret"]
    with pytest.raises(Exception, match="AWSPREVIOUS|ResourceNotFound"):
        held("slack", "AWSPREVIOUS")  # nothing was written twice


def test_the_first_member_is_what_requests_are_verified_by() -> None:
    for name, platform in PLATFORMS.items():
        assert MEMBERS[name][0] == platform.secret
