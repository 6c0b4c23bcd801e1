import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey, VerifyKey
from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook, WebhookVerificationError

from cli.webhooks import SIGN
from functions.chat import signatures
from functions.chat.platforms import PLATFORMS
from tests.unit.chat.conftest import NOW, known, private

BODY = '{"text": "Größe?"}'.encode()
TIMED = ("slack", "discord", "zendesk", "standard")

type Verify = Callable[..., bool]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_is_signed_is_authentic(platform: str) -> None:
    headers = SIGN[platform](BODY, private(platform), NOW)
    verify = PLATFORMS[platform].verify
    assert verify(headers, BODY, known(platform), NOW)
    assert not verify(headers, BODY, known(platform, 2), NOW)
    assert not verify({}, BODY, known(platform), NOW)
    if platform != "telegram":  # whose token says nothing of the body
        assert not verify(headers, BODY + b" ", known(platform), NOW)


def test_a_secret_without_a_key_proves_nothing() -> None:
    """Anybody could sign with it."""
    assert not signatures.standard(SIGN["standard"](BODY, "whsec_", NOW), BODY, "whsec_", NOW)


@pytest.mark.parametrize("platform", TIMED)
@pytest.mark.parametrize("late", [-signatures.WINDOW - 1, signatures.WINDOW + 1])
def test_a_signature_of_another_time_is_stale(platform: str, late: int) -> None:
    headers = SIGN[platform](BODY, private(platform), NOW)
    assert PLATFORMS[platform].verify(headers, BODY, known(platform), NOW - late // 2)
    assert not PLATFORMS[platform].verify(headers, BODY, known(platform), NOW - late)


@pytest.mark.parametrize("platform", PLATFORMS)
@given(values=st.dictionaries(st.integers(0, 3), st.text(max_size=90), max_size=4))
def test_no_header_makes_a_check_fail_with_more_than_no(platform: str, values: dict[int, str]) -> None:
    headers = SIGN[platform](BODY, private(platform), NOW)
    forged = {name: values.get(index, value) for index, (name, value) in enumerate(headers.items())}
    assert PLATFORMS[platform].verify(forged, BODY, known(platform), NOW) == (forged == headers)


def test_slacks_sdk_and_ours_agree() -> None:
    now = time.time()
    verifier = SignatureVerifier("slack-secret-1")
    ours = SIGN["slack"](BODY, "slack-secret-1", now)
    assert verifier.is_valid_request(BODY, ours)
    theirs = verifier.generate_signature(timestamp=str(int(now)), body=BODY)
    assert theirs is not None
    headers = {"x-slack-request-timestamp": str(int(now)), "x-slack-signature": theirs}
    assert signatures.slack(headers, BODY, "slack-secret-1", now)


def test_slacks_own_example_is_authentic() -> None:
    """From the page that documents the signature; it is in whole numbers and a published secret."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name="
        b"foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F"
        b"hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id="
        b"398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = {
        "x-slack-request-timestamp": "1531420618",
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }
    assert signatures.slack(headers, body, "8f742231b10e8888abcd99yyyzzz85a5", 1531420618.0)


def test_standard_webhooks_sdk_and_ours_agree() -> None:
    now, secret = time.time(), "whsec_" + private("standard")
    ours = SIGN["standard"](BODY, secret, now)
    assert Webhook(secret).verify(BODY, ours) == {"text": "Größe?"}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, ours | {"webhook-id": "msg_other"})
    moment = datetime.fromtimestamp(int(now), UTC)
    theirs = Webhook(secret).sign("msg_1", moment, BODY.decode())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now)), "webhook-signature": f"v1,AAAA {theirs}"}
    assert signatures.standard(headers, BODY, secret, now)
    assert not signatures.standard(headers | {"webhook-signature": theirs.replace("v1,", "v2,")}, BODY, secret, now)


def test_cryptography_and_ours_agree_on_discord() -> None:
    """Another implementation than the one that verifies."""
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(private("discord")))
    stamp = str(int(NOW))
    headers = {"x-signature-timestamp": stamp, "x-signature-ed25519": key.sign(stamp.encode() + BODY).hex()}
    assert signatures.discord(headers, BODY, known("discord"), NOW)
    ours = SIGN["discord"](BODY, private("discord"), NOW)
    signed = ours["x-signature-timestamp"].encode() + BODY
    key.public_key().verify(bytes.fromhex(ours["x-signature-ed25519"]), signed)
    with pytest.raises(InvalidSignature):
        key.public_key().verify(bytes.fromhex(ours["x-signature-ed25519"]), signed + b" ")


def test_pynacl_and_ours_agree_on_discord() -> None:
    key = SigningKey(bytes.fromhex(private("discord")))
    ours = SIGN["discord"](BODY, private("discord"), NOW)
    VerifyKey(bytes.fromhex(known("discord"))).verify(
        ours["x-signature-timestamp"].encode() + BODY, bytes.fromhex(ours["x-signature-ed25519"])
    )
    stamp = str(int(NOW))
    headers = {"x-signature-timestamp": stamp, "x-signature-ed25519": key.sign(stamp.encode() + BODY).signature.hex()}
    assert signatures.discord(headers, BODY, known("discord"), NOW)
