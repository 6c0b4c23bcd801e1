"""The time in the model as a part of the call's X-Ray trace: one datagram, and only where the trace is sampled.

https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html and, for how the daemon is reached,
https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html#xray-api-daemon
"""

import _socket  # what `socket` is made of, without the milliseconds of its import
import os
import re
import time
from collections.abc import Mapping
from typing import Any

from lastmile.capture import Recording
from lastmile.predictor import Record

SAMPLED = re.compile(rb"Root=(1-[0-9a-f]{8}-[0-9a-f]{24});Parent=([0-9a-f]{16});Sampled=1")
DOCUMENT = (
    b'{"format":"json","version":1}\n{"name":"model","type":"subsegment","id":"%b","trace_id":"%b","parent_id":"%b",'
    b'"start_time":%.6f,"end_time":%.6f,"error":%b,"annotations":{"model":"%b","version":%d,"role":"%b"}}'
)


class Segments:
    """Sends a subsegment beside what `record` does; the daemon is never waited for, nor answered."""

    def __init__(self, address: str, environment: Mapping[bytes, bytes], record: Record | None) -> None:
        """`address` as Lambda has it: host:port."""
        host, _, port = address.rpartition(":")
        self._address = host, int(port)
        self._environment = environment
        self._record = record
        self.socket = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
        self.socket.setblocking(False)

    def __call__(self, **facts: Any) -> None:
        found = SAMPLED.match(self._environment.get(b"_X_AMZN_TRACE_ID", b""))
        if found is not None:
            self._send(found, facts)
        if self._record is not None:
            self._record(**facts)

    def _send(self, found: "re.Match[bytes]", facts: Mapping[str, Any]) -> None:
        of: Recording = facts["recording"]
        end = time.time()
        document = DOCUMENT % (
            os.urandom(8).hex().encode(),
            found[1],
            found[2],
            end - facts["milliseconds"] / 1e3,
            end,
            b"false" if facts["error"] is None else b"true",
            of.model.encode(),
            of.version,
            facts["role"].encode(),
        )
        try:
            self.socket.sendto(document, self._address)
        except OSError:  # a trace is not worth an answer
            return
