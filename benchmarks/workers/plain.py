"""What the FastAPI app says to an event, without the fast path. `plain.py PATHS EVENT`."""

import sys

sys.path[:0] = sys.argv[1].split(":")

import json
from pathlib import Path

from functions.inference.handler import handler

print(json.dumps(handler._app()(json.loads(Path(sys.argv[2]).read_text()), None)))
