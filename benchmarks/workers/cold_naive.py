"""The naive bundle from nothing to its first answer. `cold_naive.py PATHS EVENT MODEL`."""

import os
import sys

sys.path[:0] = sys.argv[1].split(":")
os.environ["MODEL_PATH"] = sys.argv[3]

import json
import time
from pathlib import Path
from types import SimpleNamespace

event = json.loads(Path(sys.argv[2]).read_text())
context = SimpleNamespace(
    function_name="benchmark",
    memory_limit_in_mb=1769,
    invoked_function_arn="arn:aws:lambda:eu-central-1:123456789012:function:benchmark",
    aws_request_id="benchmark",
)
started = time.monotonic_ns()

from naive_bundle import lambda_handler  # type: ignore[import-not-found]

imported = time.monotonic_ns()
answer = lambda_handler(event, context)
answered = time.monotonic_ns()

print(json.dumps({"started": started, "imported": imported, "answered": answered, "answer": answer}))
