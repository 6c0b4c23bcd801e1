"""A stand-in for S3 that reads: `python -m benchmarks.s3 <folder>` serves `/<bucket>/<key>` from that folder.

As S3 does, it answers each request late and sends no faster than a limit over one connection; over many connections
it sends as much as the machine can, by `sendfile`, which leaves the cores to the reader. GET, with or without a range,
and HEAD; nothing is checked, signatures neither.
"""

import asyncio
import email.utils
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from layers.uv import ROOT

LATENCY_SECONDS = 0.010
BYTES_PER_SECOND = 80e6  # of one connection
CHUNK = 256 << 10
BUCKET = "models"


@dataclass(frozen=True)
class Stored:
    file: BinaryIO
    size: int
    etag: str
    modified: str


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]

    def span(self, size: int) -> tuple[int, int] | None:
        """First byte and the one after the last, or None for all of them."""
        kind, _, wanted = self.headers.get("range", "").partition("=")
        if kind != "bytes":
            return None
        first, _, last = wanted.partition("-")
        return int(first), min(size, int(last) + 1 if last else size)


@cache
def stored(path: Path) -> Stored:
    """Opened once; a file does not change while it is served."""
    file = path.open("rb")
    digest = hashlib.file_digest(file, "md5").hexdigest()
    status = os.fstat(file.fileno())
    return Stored(file, status.st_size, f'"{digest}"', email.utils.formatdate(status.st_mtime, usegmt=True))


class Server:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for path in folder.rglob("*"):
            if path.is_file():
                stored(path)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until the other side leaves it."""
        try:
            while True:
                asked = _parsed(await reader.readuntil(b"\r\n\r\n"))
                await asyncio.sleep(LATENCY_SECONDS)
                await self._answer(asked, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        path = self._folder / unquote(asked.path.partition("?")[0]).removeprefix(f"/{BUCKET}/")
        if not path.is_file():
            missing = b"<Error><Code>NoSuchKey</Code></Error>"
            _write_head(writer, "404 Not Found", {"content-type": "application/xml"}, len(missing))
            writer.write(missing if asked.method == "GET" else b"")
            return
        found = stored(path)
        headers = {"etag": found.etag, "last-modified": found.modified, "accept-ranges": "bytes"}
        if asked.headers.get("if-none-match") == found.etag:
            _write_head(writer, "304 Not Modified", headers, 0)
            return
        first, end = asked.span(found.size) or (0, found.size)
        if "range" in asked.headers:
            headers["content-range"] = f"bytes {first}-{end - 1}/{found.size}"
        _write_head(writer, "206 Partial Content" if "range" in asked.headers else "200 OK", headers, end - first)
        if asked.method == "GET":
            await _send(writer, found.file, first, end)


def _parsed(head: bytes) -> Asked:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines if line)
    return Asked(method, path, {name.lower(): value.strip() for name, _, value in pairs})


def _write_head(writer: asyncio.StreamWriter, status: str, headers: dict[str, str], length: int) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {status}\r\n{lines}content-length: {length}\r\n\r\n".encode())


async def _send(writer: asyncio.StreamWriter, file: BinaryIO, first: int, end: int) -> None:
    """So many bytes of the file, each chunk no earlier than the limit lets it be there."""
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    for at in range(first, end, CHUNK):
        early = start + (at - first) / BYTES_PER_SECOND - time.perf_counter()
        if early > 0:
            await asyncio.sleep(early)
        await loop.sendfile(writer.transport, file, at, min(CHUNK, end - at), fallback=False)
    early = start + (end - first) / BYTES_PER_SECOND - time.perf_counter()
    if early > 0:
        await asyncio.sleep(early)


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The address of a stand-in in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.s3", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


async def _main(folder: Path) -> None:
    server = await asyncio.start_server(Server(folder).serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
