"""Lastmile from nothing to its first answer: what Lambda does with the built function."""

import sys

sys.path[:0] = sys.argv[1].split(":")

import json
import time
from pathlib import Path

event = json.loads(Path(sys.argv[2]).read_text())
started = time.monotonic_ns()

from functions.inference.handler import handler

imported = time.monotonic_ns()
answer = handler(event, None)
answered = time.monotonic_ns()

print(json.dumps({"started": started, "imported": imported, "answered": answered, "answer": answer}))
