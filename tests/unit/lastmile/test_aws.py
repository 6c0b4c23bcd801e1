import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lastmile.aws import Endpoint, credential_provider
from lastmile.errors import StoreUnavailable
from lastmile.store import Store

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


class _Server(ThreadingHTTPServer):
    """Gives every request the same answer, and keeps what it was asked."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.body = body
        self.asked: list[tuple[str, dict[str, str]]] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(self.server.body)))
        self.send_header("etag", '"tag"')
        self.send_header("last-modified", "Wed, 21 Oct 2026 07:28:00 GMT")
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


type Serve = Callable[..., _Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(status: int = 200, body: bytes = b"", context: ssl.SSLContext | None = None) -> _Server:
            server = _Server(status, body)
            if context is not None:
                server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return server

        yield start


def container_answer(**changed: object) -> bytes:
    expires = (datetime.now(UTC) + timedelta(hours=6)).isoformat().replace("+00:00", "Z")
    answer = {"AccessKeyId": "its-key", "SecretAccessKey": "its-secret", "Token": "its-token", "Expiration": expires}
    return json.dumps(answer | changed).encode()


def test_keys_of_the_environment_come_first_and_are_read_afresh() -> None:
    environ = KEYS | {"AWS_SESSION_TOKEN": "token", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/"}
    provider = credential_provider(environ)
    assert provider is not None
    assert provider() == {"access_key_id": "key", "secret_access_key": "secret", "token": "token", "expires_at": None}
    environ["AWS_ACCESS_KEY_ID"] = "another"
    del environ["AWS_SESSION_TOKEN"]
    assert provider()["access_key_id"] == "another"
    assert provider()["token"] is None


def test_without_any_word_on_credentials_the_client_looks_itself() -> None:
    assert credential_provider({"AWS_ACCESS_KEY_ID": "alone"}) is None


def test_snapstart_announces_an_endpoint_and_a_token(serve: Serve) -> None:
    server = serve(body=container_answer())
    environ = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{server.server_port}/creds?a=1",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "let me in",
    }
    provider = credential_provider(environ)
    assert provider is not None
    found = provider()
    assert (found["access_key_id"], found["secret_access_key"], found["token"]) == (
        "its-key",
        "its-secret",
        "its-token",
    )
    assert found["expires_at"] is not None
    assert found["expires_at"].utcoffset() == timedelta(0)
    path, headers = server.asked[0]
    assert (path, headers["authorization"]) == ("/creds?a=1", "let me in")


def test_the_store_asks_the_endpoint_once_and_signs_with_what_it_says(serve: Serve, tmp_path: Path) -> None:
    container, bucket = serve(body=container_answer()), serve(body=b"data")
    token = tmp_path / "token"
    token.write_text("of a file\n")
    environ = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{container.server_port}/",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{bucket.server_port}",
    }
    store = Store.open("s3://bucket", environ=environ)
    assert [store.get("a").data for _ in range(3)] == [b"data"] * 3
    assert [headers["authorization"] for _, headers in container.asked] == ["of a file"]
    assert all("Credential=its-key/" in headers["authorization"] for _, headers in bucket.asked)
    assert all(headers["x-amz-security-token"] == "its-token" for _, headers in bucket.asked)
    store.reconnect()
    store.get("a")
    assert len(container.asked) == 2


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (403, b"{}", "answered 403"),
        (200, b"{}", "no usable answer: 'AccessKeyId'"),
        (200, container_answer(Expiration="soon"), "no usable answer"),
        (200, b"<html>", "no usable answer"),
    ],
)
def test_an_endpoint_that_gives_no_credentials_is_named(serve: Serve, status: int, body: bytes, message: str) -> None:
    uri = f"http://127.0.0.1:{serve(status, body).server_port}/"
    provider = credential_provider({"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri})
    assert provider is not None
    with pytest.raises(StoreUnavailable, match=message):
        provider()


def test_a_dead_endpoint_makes_the_store_unavailable() -> None:
    store = Store.open("s3://bucket", environ={"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/"})
    with pytest.raises(StoreUnavailable, match="credentials endpoint 127.0.0.1:9 does not answer"):
        store.get("a")


@pytest.mark.parametrize(
    ("environ", "url", "region"),
    [
        ({}, "https://s3.us-east-1.amazonaws.com", "us-east-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com", "eu-west-1"),
        (
            {"AWS_REGION": "cn-north-1", "AWS_DEFAULT_REGION": "x"},
            "https://s3.cn-north-1.amazonaws.com.cn",
            "cn-north-1",
        ),
        ({"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": "http://b"}, "http://b", "us-east-1"),
        ({"AWS_ENDPOINT_URL": "http://a"}, "http://a", "us-east-1"),
    ],
)
def test_the_endpoint_follows_the_rules_of_the_sdks(environ: dict[str, str], url: str, region: str) -> None:
    assert Endpoint.from_env(environ) == Endpoint(url, region, None)


def test_a_store_behind_a_private_authority_is_trusted_by_its_bundle(serve: Serve, tmp_path: Path) -> None:
    certificate, context = self_signed(tmp_path)
    server = serve(body=b"data", context=context)
    environ = KEYS | {"AWS_ENDPOINT_URL": f"https://127.0.0.1:{server.server_port}"}
    with pytest.raises(StoreUnavailable):
        Store.open("s3://bucket", environ=environ).get("a")
    trusting = Store.open("s3://bucket", environ=environ | {"AWS_CA_BUNDLE": str(certificate)})
    assert trusting.get("a").data == b"data"


def test_a_bundle_that_is_not_there_is_named() -> None:
    environ = {"AWS_ENDPOINT_URL": "https://127.0.0.1:9", "AWS_CA_BUNDLE": "/no/such/bundle"}
    with pytest.raises(StoreUnavailable, match="AWS_CA_BUNDLE"):
        Store.open("s3://bucket", environ=environ)


def self_signed(folder: Path) -> tuple[Path, ssl.SSLContext]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "certificate.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, folder / "key.pem")
    return pem, context
