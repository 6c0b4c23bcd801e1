"""Where S3 is and with which credentials, as an environment says it to AWS SDKs; for a client that is none."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypedDict
from urllib.parse import urlsplit

import orjson

from lastmile.errors import StoreUnavailable

ECS_HOST = "http://169.254.170.2"  # https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
TIMEOUT_SECONDS = 2.0


class Endpoint(NamedTuple):
    """`certificates` is a PEM bundle to trust besides the system's, for a store behind a private authority."""

    url: str
    region: str
    certificates: bytes | None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Endpoint":
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        suffix = ".cn" if region.startswith("cn-") else ""
        regional = f"https://s3.{region}.amazonaws.com{suffix}"
        url = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or regional
        bundle = environ.get("AWS_CA_BUNDLE") if url.startswith("https://") else None
        return cls(url, region, _certificates(bundle) if bundle else None)


class Credentials(TypedDict):
    access_key_id: str
    secret_access_key: str
    token: str | None
    expires_at: datetime | None


def credential_provider(environ: Mapping[str, str]) -> Callable[[], Credentials] | None:
    """How to get credentials: access keys, or the container endpoint that Lambda SnapStart, ECS and EKS announce.

    None leaves it to the S3 client, which asks for a web identity or the instance metadata itself. The environment is
    read again at each call, so that what changes after a snapshot is seen.
    """
    if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
        return lambda: _from_keys(environ)
    if environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI") or environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        return lambda: _from_container(environ)
    return None


def _from_keys(environ: Mapping[str, str]) -> Credentials:
    return {
        "access_key_id": environ["AWS_ACCESS_KEY_ID"],
        "secret_access_key": environ["AWS_SECRET_ACCESS_KEY"],
        "token": environ.get("AWS_SESSION_TOKEN") or None,
        "expires_at": None,
    }


def _from_container(environ: Mapping[str, str]) -> Credentials:
    relative = environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    body = _fetch(ECS_HOST + relative if relative else environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], environ)
    try:
        document = orjson.loads(body)
        return {
            "access_key_id": document["AccessKeyId"],
            "secret_access_key": document["SecretAccessKey"],
            "token": document["Token"],
            "expires_at": datetime.fromisoformat(document["Expiration"]),
        }
    except (KeyError, ValueError) as error:
        raise StoreUnavailable(f"the container credentials endpoint gives no usable answer: {error}") from error


def _fetch(uri: str, environ: Mapping[str, str]) -> bytes:
    from http.client import HTTPConnection, HTTPException, HTTPSConnection  # only SnapStart and containers need it

    parts = urlsplit(uri)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = connect(parts.netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path, headers=_token(environ))
        response = connection.getresponse()
        body = response.read()
    except (OSError, HTTPException) as error:
        raise StoreUnavailable(f"the container credentials endpoint {parts.netloc} does not answer: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise StoreUnavailable(f"the container credentials endpoint answered {response.status}")
    return body


def _certificates(bundle: str) -> bytes:
    try:
        return Path(bundle).read_bytes()
    except OSError as error:
        raise StoreUnavailable(f"AWS_CA_BUNDLE names {bundle}, which cannot be read: {error.strerror}") from error


def _token(environ: Mapping[str, str]) -> dict[str, str]:
    file = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    token = Path(file).read_text().strip() if file else environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
    return {"Authorization": token} if token else {}
