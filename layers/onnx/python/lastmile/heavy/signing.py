"""Signature version 4, by which AWS knows who asks: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

from lastmile.aws import Credentials

ALGORITHM = "AWS4-HMAC-SHA256"


def signed(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    region: str,
    service: str,
    credentials: Credentials,
    at: float,
) -> dict[str, str]:
    """The headers with those of the signature; `headers` names the host, `path` is as sent and has no query."""
    moment = datetime.fromtimestamp(at, UTC)
    stamp, day = f"{moment:%Y%m%dT%H%M%SZ}", f"{moment:%Y%m%d}"
    sent = {**headers, "X-Amz-Date": stamp}
    if credentials["token"] is not None:
        sent["X-Amz-Security-Token"] = credentials["token"]
    lines = sorted((name.lower(), " ".join(value.split())) for name, value in sent.items())
    names = ";".join(name for name, _ in lines)
    canonical = "\n".join(
        (
            method,
            quote(path, safe="/~"),
            "",
            *(f"{name}:{value}" for name, value in lines),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        )
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    text = "\n".join((ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = _key(credentials["secret_access_key"], day, region, service)
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    granted = f"{ALGORITHM} Credential={credentials['access_key_id']}/{scope}"
    return {**sent, "Authorization": f"{granted}, SignedHeaders={names}, Signature={signature}"}


@lru_cache(maxsize=4)
def _key(secret: str, *scope: str) -> bytes:
    """Good for a day."""
    key = f"AWS4{secret}".encode()
    for part in (*scope, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
