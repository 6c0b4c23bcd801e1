"""Is a request from whom it says it is from? Every check takes the same time for every wrong signature.

Sources: https://api.slack.com/authentication/verifying-requests-from-slack,
https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-outgoing-webhook,
https://developer.zendesk.com/documentation/webhooks/verifying/, https://www.standardwebhooks.com,
https://core.telegram.org/bots/api#setwebhook, https://discord.com/developers/docs/interactions/overview
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime

WINDOW = 300  # seconds that a signed time may be off: Slack's and Standard Webhooks' own figure

type Headers = Mapping[str, str]  # names in lower case


def slack(headers: Headers, body: bytes, secret: str, now: float) -> bool:
    """`v0=` and the hex HMAC-SHA256 of `v0:<timestamp>:<body>`."""
    stamp = headers.get("x-slack-request-timestamp", "")
    expected = "v0=" + hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return _same(expected, headers.get("x-slack-signature", "")) & _fresh(stamp, now)


def teams(headers: Headers, body: bytes, secret: str, now: float) -> bool:
    """`HMAC ` and the base64 HMAC-SHA256 of the body, by the base64-decoded token; it carries no time."""
    expected = "HMAC " + _digest64(_decoded(secret), body)
    return _same(expected, headers.get("authorization", ""))


def zendesk(headers: Headers, body: bytes, secret: str, now: float) -> bool:
    """The base64 HMAC-SHA256 of timestamp and body; the time is ISO 8601."""
    stamp = headers.get("x-zendesk-webhook-signature-timestamp", "")
    expected = _digest64(secret.encode(), stamp.encode() + body)
    return _same(expected, headers.get("x-zendesk-webhook-signature", "")) & _fresh(_epoch(stamp), now)


def telegram(headers: Headers, body: bytes, secret: str, now: float) -> bool:
    """The token that was given to setWebhook, as it is."""
    return _same(secret, headers.get("x-telegram-bot-api-secret-token", ""))


def discord(headers: Headers, body: bytes, secret: str, now: float) -> bool:
    """Ed25519 over timestamp and body; `secret` is the application's public key, in hex."""
    from nacl.exceptions import BadSignatureError
    from nacl.signing import VerifyKey

    stamp = headers.get("x-signature-timestamp", "")
    try:
        signature = bytes.fromhex(headers.get("x-signature-ed25519", ""))
        VerifyKey(bytes.fromhex(secret)).verify(stamp.encode() + body, signature)
    except (ValueError, TypeError, BadSignatureError):  # of another length, no hex, or wrong
        return False
    return _fresh(stamp, now)


def standard(headers: Headers, body: bytes, secret: str, now: float) -> bool:
    """Standard Webhooks: one of the `v1,` signatures is the base64 HMAC-SHA256 of `<id>.<timestamp>.<body>`."""
    identity, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    key = _decoded(secret.removeprefix("whsec_"))
    expected = "v1," + _digest64(key, f"{identity}.{stamp}.".encode() + body)
    matches = [_same(expected, given) for given in headers.get("webhook-signature", "").split(" ")]
    return any(matches) & bool(identity) & bool(key) & _fresh(stamp, now)


def _same(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode())


def _fresh(stamp: str, now: float) -> bool:
    return stamp.isascii() and stamp.isdigit() and len(stamp) < 12 and abs(now - int(stamp)) <= WINDOW


def _epoch(stamp: str) -> str:
    """Seconds since 1970 of an ISO 8601 time, as the other platforms write them."""
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return ""
    return "" if moment.tzinfo is None else str(int(moment.timestamp()))


def _digest64(key: bytes, message: bytes) -> str:
    return base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()


def _decoded(secret: str) -> bytes:
    """A secret in base64; one that is none is taken as it is, so that it cannot match by accident of decoding."""
    try:
        return base64.b64decode(secret, validate=True)
    except ValueError:
        return secret.encode()
