"""Requests as the chat platforms send them, signed as they sign them: for `lastmile chat` and for trying a hook."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

type Headers = dict[str, str]
type Sign = Callable[[bytes, str, float], Headers]


def sign_slack(body: bytes, secret: str, now: float) -> Headers:
    stamp = str(int(now))
    signature = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {"x-slack-request-timestamp": stamp, "x-slack-signature": f"v0={signature}"}


def sign_teams(body: bytes, secret: str, now: float) -> Headers:
    return {"authorization": f"HMAC {_digest(base64.b64decode(secret), body)}"}


def sign_zendesk(body: bytes, secret: str, now: float) -> Headers:
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    signature = _digest(secret.encode(), stamp.encode() + body)
    return {"x-zendesk-webhook-signature": signature, "x-zendesk-webhook-signature-timestamp": stamp}


def sign_telegram(body: bytes, secret: str, now: float) -> Headers:
    return {"x-telegram-bot-api-secret-token": secret}


def sign_discord(body: bytes, secret: str, now: float) -> Headers:
    """`secret` is the private seed, in hex; what the hook knows is the public key that belongs to it."""
    from nacl.signing import SigningKey

    stamp = str(int(now))
    signature = SigningKey(bytes.fromhex(secret)).sign(stamp.encode() + body).signature
    return {"x-signature-timestamp": stamp, "x-signature-ed25519": signature.hex()}


def sign_standard(body: bytes, secret: str, now: float) -> Headers:
    identity, stamp = f"msg_{hashlib.sha256(body).hexdigest()[:27]}", str(int(now))
    signature = _digest(base64.b64decode(secret.removeprefix("whsec_")), f"{identity}.{stamp}.".encode() + body)
    return {"webhook-id": identity, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}


SIGN: Mapping[str, Sign] = {
    "slack": sign_slack,
    "teams": sign_teams,
    "zendesk": sign_zendesk,
    "telegram": sign_telegram,
    "discord": sign_discord,
    "standard": sign_standard,
}


def _digest(key: bytes, message: bytes) -> str:
    return base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()
