"""A stand-in for Secrets Manager and SQS as the chat's hook uses them: `python -m benchmarks.sqs <secret>`.

Both speak AWS's JSON protocol, and answer 10 ms late, as in the same region. A secret is read and a message is taken;
signatures are not checked. `GET /taken` says how many different messages there are.
"""

import asyncio
import hashlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from layers.uv import ROOT

LATENCY_SECONDS = 0.010
YEARS_AGO = 1_500_000_000.0  # when the secret was made: the one before it is asked for no more


class Server:
    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._taken: set[str] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until the other side leaves it."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if head[0].startswith("POST"):
                    await asyncio.sleep(LATENCY_SECONDS)
                answer = json.dumps(self._answer(headers.get("x-amz-target", ""), body)).encode()
                kind = b"content-type: application/x-amz-json-1.0\r\n"
                writer.write(b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%s" % (kind, len(answer), answer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, target: str, body: bytes) -> Any:
        match target.rpartition(".")[2]:
            case "GetSecretValue":
                asked = json.loads(body)
                found = {"SecretString": self._secret, "CreatedDate": YEARS_AGO, "VersionId": "0" * 32}
                return {"Name": asked["SecretId"], "VersionStages": [asked["VersionStage"]], **found}
            case "SendMessage":
                asked = json.loads(body)
                self._taken.add(asked["MessageDeduplicationId"])
                digest = hashlib.md5(asked["MessageBody"].encode(), usedforsecurity=False).hexdigest()
                return {"MessageId": str(len(self._taken)), "MD5OfMessageBody": digest}
            case _:
                return len(self._taken)


@contextmanager
def running(secret: str) -> Iterator[str]:
    """The address of a stand-in in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.sqs", secret]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def taken(address: str) -> int:
    with urllib.request.urlopen(f"{address}/taken", timeout=5) as answer:
        return int(json.load(answer))


async def _main(secret: str) -> None:
    server = await asyncio.start_server(Server(secret).serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
