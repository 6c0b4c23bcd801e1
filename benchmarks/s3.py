"""A stand-in for S3 that reads: `python -m benchmarks.s3 <folder>` serves `/<bucket>/<key>` from that folder.

As S3 does, it answers each request late and sends no faster than a limit over one connection; over many connections
it sends as much as the machine can. GET, with or without a range, and HEAD; nothing is checked, signatures neither.
"""

import asyncio
import email.utils
import hashlib
import mmap
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from layers.uv import ROOT

LATENCY_SECONDS = 0.010
BYTES_PER_SECOND = 80e6  # of one connection
CHUNK = 256 << 10
BUCKET = "models"


@dataclass(frozen=True)
class Stored:
    data: memoryview
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
    """Mapped once; a file does not change while it is served."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
    data = memoryview(mapped)
    return Stored(data, f'"{hashlib.md5(data).hexdigest()}"', email.utils.formatdate(path.stat().st_mtime, usegmt=True))


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
            await _send(writer, "404 Not Found", {"content-type": "application/xml"}, missing, asked)
            return
        found = stored(path)
        size = len(found.data)
        headers = {"etag": found.etag, "last-modified": found.modified, "accept-ranges": "bytes"}
        if asked.headers.get("if-none-match") == found.etag:
            await _send(writer, "304 Not Modified", headers, b"", asked)
            return
        span = asked.span(size)
        if span is None:
            await _send(writer, "200 OK", headers, found.data, asked)
        else:
            first, end = span
            headers["content-range"] = f"bytes {first}-{end - 1}/{size}"
            await _send(writer, "206 Partial Content", headers, found.data[first:end], asked)


def _parsed(head: bytes) -> Asked:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines if line)
    return Asked(method, path, {name.lower(): value.strip() for name, _, value in pairs})


async def _send(
    writer: asyncio.StreamWriter, status: str, headers: dict[str, str], body: bytes | memoryview, asked: Asked
) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {status}\r\n{lines}content-length: {len(body)}\r\n\r\n".encode())
    if asked.method == "HEAD":
        body = b""
    start = time.perf_counter()
    for at in range(0, len(body), CHUNK):
        writer.write(body[at : at + CHUNK])
        await writer.drain()
        early = start + min(at + CHUNK, len(body)) / BYTES_PER_SECOND - time.perf_counter()
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
