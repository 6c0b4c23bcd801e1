import gzip
import io
import random
import tarfile
import time
from collections.abc import Callable

import pytest

from lastmile.errors import InvalidArtefact
from lastmile.heavy.packaging import Repository, packed, unpacked

REPOSITORY = Repository("tickets", 'name: "tickets"\n', b"a graph")


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 300_001])
def test_what_was_packed_comes_out_again(size: int) -> None:
    repository = REPOSITORY._replace(onnx=random.Random(0).randbytes(size))
    data = packed(repository)
    assert unpacked(data) == repository
    assert len(gzip.decompress(data)) % tarfile.RECORDSIZE == 0


def test_the_folders_are_those_that_triton_reads() -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(REPOSITORY))) as tar:
        entries = {entry.name: entry for entry in tar}
    assert list(entries) == ["tickets", "tickets/1", "tickets/config.pbtxt", "tickets/1/model.onnx"]
    assert {(entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname) for entry in entries.values()} == {
        (0, 0, 0, "", "")
    }
    assert entries["tickets/1/model.onnx"].mode == 0o644


def test_the_same_model_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = packed(REPOSITORY)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert packed(REPOSITORY) == first
    assert packed(REPOSITORY._replace(config="another")) != first
    assert packed(REPOSITORY._replace(onnx=b"another")) != first


@pytest.mark.parametrize(
    "broken",
    [
        lambda data: b"",
        lambda data: b"no archive",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-8] + b"\x00" * 8,
        lambda data: packed(REPOSITORY._replace(name="a/b")),
    ],
    ids=["empty", "text", "half", "checksum", "nested"],
)
def test_anything_else_is_refused(broken: Callable[[bytes], bytes]) -> None:
    with pytest.raises(InvalidArtefact, match=r"model\.tar\.gz is no packed model repository"):
        unpacked(broken(packed(REPOSITORY)))
