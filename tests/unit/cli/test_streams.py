import io
import os
import sys
from pathlib import Path
from typing import TextIO

import pytest

from cli import streams
from cli.errors import CommandFailed
from cli.main import main
from cli.predict import read_text


def code_of(monkeypatch: pytest.MonkeyPatch, out: TextIO | None, err: TextIO | None, *words: str) -> int | str | None:
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with pytest.raises(SystemExit) as exit_:
        main(words)
    for stream in {sys.stdout, sys.stderr} - {out, err}:  # what stood in for those that were closed
        stream.close()
    return exit_.value.code


def alphabet(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


def written(stream: io.TextIOWrapper) -> bytes:
    stream.seek(0)
    return bytes(stream.buffer.read())


def test_what_an_alphabet_lacks_is_spelt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = alphabet("ascii"), alphabet("latin-1")
    assert code_of(monkeypatch, out, err, "models", "--registry", "/no/registry") == 1
    print("1 → 2", file=out)
    assert written(out) == b"1 \\u2192 2\n"
    assert written(err).splitlines()[1] == b"\\u2192 Push a model into it first."


def test_a_reader_that_has_left_is_told_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as out:
        err = alphabet("utf-8")
        assert code_of(monkeypatch, out, err, "models", "--json", "--registry", str(tmp_path)) == 1
    assert written(err) == b""


def test_a_disk_that_is_full_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as out:
        err = alphabet("utf-8")
        assert code_of(monkeypatch, out, err, "models", "--json", "--registry", str(tmp_path)) == 1
    assert written(err) == b"Standard output cannot be written: No space left on device.\n"


def test_streams_that_are_closed_are_written_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    out = alphabet("utf-8")
    assert code_of(monkeypatch, out, None, "models", "--registry", "/no/registry") == 1
    assert written(out) == b""
    assert code_of(monkeypatch, None, alphabet("utf-8"), "--help") == 0


def test_standard_input_is_utf_8_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Grüße".encode()), encoding="ascii"))
    assert streams.read() == "Grüße"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff"), "utf-8", errors="surrogateescape"))
    with pytest.raises(CommandFailed, match="Standard input is not UTF-8 at byte 0"):
        read_text("-")
    monkeypatch.setattr(sys, "stdin", None)
    assert streams.read() == ""
