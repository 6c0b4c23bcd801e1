"""The chat's hook from nothing to the acknowledgement of each event. `hook.py PATHS EVENTS`."""

import sys

sys.path[:0] = sys.argv[1].split(":")

import json
import time
from pathlib import Path

events = json.loads(Path(sys.argv[2]).read_text())
started = time.monotonic_ns()

from functions.chat.hook_handler import handler

imported = time.monotonic_ns()
took = []
answers = set()
for event in events:
    begun = time.monotonic_ns()
    answers.add(handler(event, None)["statusCode"])
    took.append(time.monotonic_ns() - begun)

said = {"started": started, "imported": imported, "first": imported + took[0], "answers": sorted(answers)}
print(json.dumps(said | {"ms": [nanoseconds / 1e6 for nanoseconds in took]}))
