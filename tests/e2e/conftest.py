"""Deployments of the tests' own: real `cdk deploy`s into a local AWS in a temporary folder, gone when the tests end."""

import datetime
import ipaddress
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cli.emulator import Certificate
from cli.local import LocalAws
from cli.local_process import HOST
from cli.progress import Silence
from cli.target import Target


@pytest.fixture(scope="session")
def local_aws(assembly: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """Not started yet; whatever it starts ends with the session."""
    local = LocalAws(folder=tmp_path_factory.mktemp("local-aws"), assembly=assembly, guest=True)
    yield local
    discard(local)


@pytest.fixture(scope="session")
def stack(local_aws: LocalAws) -> Target:
    """Deployed, with both versions of digits pushed and the second one promoted."""
    return local_aws.up(Silence())


@pytest.fixture(scope="session")
def guarded_aws(assembly: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """As `local_aws`, but it refuses what IAM policies do not allow."""
    folder = tmp_path_factory.mktemp("guarded-aws")
    local = LocalAws(folder=folder, assembly=assembly, certificate=certificate(folder), guest=True)
    yield local
    discard(local)


@pytest.fixture(scope="session")
def guarded_stack(guarded_aws: LocalAws) -> Target:
    return guarded_aws.up(Silence())


@pytest.fixture(scope="session")
def guarded_url(guarded_aws: LocalAws, guarded_stack: Target) -> str:
    """The same AWS without TLS."""
    process = guarded_aws.emulator.running()
    assert process is not None
    return f"http://{HOST}:{process.port}"


def discard(local: LocalAws) -> None:
    local.erase()
    shutil.rmtree(local.folder)


def certificate(folder: Path) -> Certificate:
    """Self-signed, for the loopback address."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = Certificate(folder / "certificate.pem", folder / "key.pem")
    files.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files
