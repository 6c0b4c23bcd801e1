"""The heavy side of a version as one file: a Triton model repository, packed as SageMaker takes it.

The same model and configuration give the same bytes, whoever packs them and when: nothing of the time, the user or the
compressor's build goes in. Weights hardly compress, so they are stored as they are.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from lastmile.errors import InvalidArtefact
from lastmile.heavy.triton import VERSION
from lastmile.manifest import Manifest
from lastmile.shelf import HEAVY_FILE

PACKAGE = HEAVY_FILE
LIMIT_BYTES = 2_000_000_000  # of a graph: ONNX is protobuf, and that has 2 GiB
STORED_BLOCK = 65_535  # RFC 1951, 3.2.4
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # RFC 1952: no name, no time, no system


class Repository(NamedTuple):
    """One model: its name, Triton's configuration, and its graph."""

    name: str
    config: str
    onnx: bytes


def packed(repository: Repository) -> bytes:
    files = {
        f"{repository.name}/config.pbtxt": repository.config.encode(),
        f"{repository.name}/{VERSION}/model.onnx": repository.onnx,
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in (repository.name, f"{repository.name}/{VERSION}"):
            tar.addfile(_entry(folder, tarfile.DIRTYPE, 0o755, 0))
        for path, data in files.items():
            tar.addfile(_entry(path, tarfile.REGTYPE, 0o644, len(data)), io.BytesIO(data))
    return b"".join(_gzipped(archive.getbuffer()))


def unpacked(data: bytes) -> Repository:
    """What `packed` packed; raises InvalidArtefact for anything else."""
    try:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data)), mode="r:") as tar:
            found = {entry.name: _content(tar, entry) for entry in tar if entry.isreg()}
        (name,) = {path.split("/")[0] for path in found}
        return Repository(name, found[f"{name}/config.pbtxt"].decode(), found[f"{name}/{VERSION}/model.onnx"])
    except (tarfile.TarError, OSError, EOFError, zlib.error, KeyError, ValueError) as error:
        raise InvalidArtefact(f"{PACKAGE} is no packed model repository: {error}") from error


def graph_of(manifest: Manifest, artefact: bytes) -> bytes:
    """The graph of the version's artefact, which is a package where there is no light side."""
    return unpacked(artefact).onnx if manifest.artefact.path == PACKAGE else artefact


def _entry(path: str, kind: bytes, mode: int, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode, entry.size = kind, mode, size
    return entry


def _content(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(entry)
    return b"" if file is None else file.read()


def _gzipped(data: memoryview) -> Iterator[bytes | memoryview]:
    """As gzip that only stores: compressors differ from build to build in what they make of the same bytes."""
    yield GZIP_HEADER
    for at in range(0, len(data), STORED_BLOCK):
        block = data[at : at + STORED_BLOCK]
        size = len(block)
        is_last = at + STORED_BLOCK >= len(data)
        yield bytes([is_last]) + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little")
        yield block
    yield zlib.crc32(data).to_bytes(4, "little") + (len(data) & 0xFFFFFFFF).to_bytes(4, "little")
