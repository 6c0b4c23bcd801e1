"""The platforms' secrets: those that a person gives, and those that the local AWS makes up for itself."""

import base64
import json
import os
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from cli.desk import HOST, OPERATIONS
from cli.errors import CommandFailed
from cli.target import Target

# What a platform's secret may hold; the first name is what its requests are verified by, `operations` the channel (or,
# of Teams and Standard Webhooks, the URL) where operators are told what happens.
MEMBERS: Mapping[str, tuple[str, ...]] = {
    "slack": ("signing_secret", "bot_token", "operations", "api_url"),
    "teams": ("security_token", "reply_url", "operations"),
    "discord": ("public_key", "bot_token", "operations", "api_url"),
    "telegram": ("secret_token", "bot_token", "operations", "api_url"),
    "zendesk": ("signing_secret", "subdomain", "email", "api_token", "api_url"),
    "standard": ("signing_secret", "reply_url", "operations"),
    "tickets": ("signing_secret", "ticket_url"),
    "shop": ("url", "token"),
}


def put(target: Target, platform: str, members: Mapping[str, str]) -> bool:
    """Write the secret, over what it held before; whether it is new. The version before stays readable: that is how
    requests signed with the old one are accepted for another day."""
    if platform not in MEMBERS:
        raise CommandFailed(f"{platform!r} is none of {', '.join(MEMBERS)}.")
    if unknown := sorted(members.keys() - set(MEMBERS[platform])):
        raise CommandFailed(f"{unknown[0]!r} is no member of {platform}'s secret: {', '.join(MEMBERS[platform])}.")
    for member, value in members.items():
        check_address(member, value)
    client, name = target.client("secretsmanager"), f"lastmile/{target.stage}/chat/{platform}"
    held = read(client, name)
    document = json.dumps((held or {}) | dict(members))
    if held is None:
        client.create_secret(Name=name, SecretString=document)
    else:
        client.put_secret_value(SecretId=name, SecretString=document)
    return held is None


def check_address(member: str, value: str) -> None:
    """Answers and tokens go over TLS, except on this machine."""
    named = member == "url" or member.endswith("_url")
    try:
        address = urlsplit(value)
    except ValueError:
        address = urlsplit("https://")
    if named and address.scheme == "https" and not address.hostname:
        raise CommandFailed(f"{member} names no host.")
    if (named and address.scheme != "https") or address.scheme == "http":
        if address.scheme == "http" and address.hostname in (HOST, "localhost"):
            return
        raise CommandFailed(f"{member} must begin with https://.")


def read(client: Any, name: str) -> dict[str, str] | None:
    from botocore.exceptions import ClientError

    try:
        document: dict[str, str] = json.loads(client.get_secret_value(SecretId=name)["SecretString"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return None
        raise
    return document


def local_connections(target: Target, before: Mapping[str, Any]) -> dict[str, Any]:
    """Every platform connected to a desk on this machine; those of `before`, from local.json, stay as they are.

    For each platform its `url`, and as `secret` what its requests are signed with.
    """
    port = before.get("reply_port") or free_port()
    desk = f"http://{HOST}:{port}"
    found: dict[str, Any] = {"reply_port": port}
    for platform in ("slack", "teams", "discord", "telegram", "zendesk", "standard"):
        secret = (before.get(platform) or {}).get("secret") or made_up(platform)
        members = {"api_url": desk, "reply_url": f"{desk}/replies", "bot_token": "local", "email": "local"}
        members |= {"api_token": "local", "subdomain": "local", MEMBERS[platform][0]: known(platform, secret)}
        if platform == "slack":  # one desk needs one channel
            members["operations"] = OPERATIONS
        wanted = {name: value for name, value in members.items() if name in MEMBERS[platform]}
        client, name = target.client("secretsmanager"), f"lastmile/{target.stage}/chat/{platform}"
        if read(client, name) != wanted:
            put(target, platform, wanted)
        found[platform] = {"url": f"{target.api_url}/hooks/{platform}", "secret": secret}
    return found


def made_up(platform: str) -> str:
    drawn = os.urandom(32)
    return base64.b64encode(drawn).decode() if platform in ("teams", "standard") else drawn.hex()


def known(platform: str, secret: str) -> str:
    """What the hook keeps of a secret: of Discord's the public half."""
    if platform != "discord":
        return secret
    from nacl.signing import SigningKey

    return bytes(SigningKey(bytes.fromhex(secret)).verify_key).hex()


def free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        port: int = found.getsockname()[1]
        return port
