"""Lastmile after a SnapStart restore: everything up to the snapshot is done before the clock starts."""

import sys

sys.path[:0] = sys.argv[1].split(":")

import json
import time
from pathlib import Path

from snapshot_restore_py import get_after_restore, get_before_snapshot

from functions.inference.handler import handler

event = json.loads(Path(sys.argv[2]).read_text())
for hook, arguments, named in reversed(get_before_snapshot()):
    hook(*arguments, **named)

started = time.monotonic_ns()
for hook, arguments, named in get_after_restore():
    hook(*arguments, **named)
imported = time.monotonic_ns()
answer = handler(event, None)
answered = time.monotonic_ns()

print(json.dumps({"started": started, "imported": imported, "answered": answered, "answer": answer}))
