"""FastAPI and Mangum as usually written. `warm_rival.py PATHS EVENTS MODEL`."""

import os
import sys

sys.path[:0] = sys.argv[1].split(":")
os.environ["MODEL_PATH"] = sys.argv[3]

import json
from functools import partial
from pathlib import Path
from typing import Any

from fastapi_mangum import handler  # type: ignore[import-not-found]
from turns import serve  # type: ignore[import-not-found]

contenders: dict[str, Any] = {}
for key, event in json.loads(Path(sys.argv[2]).read_text()).items():
    if not event["isBase64Encoded"]:
        path = f"/async{event['rawPath']}"
        http = {**event["requestContext"]["http"], "path": path}
        renamed = {**event, "rawPath": path, "requestContext": {**event["requestContext"], "http": http}}
        contenders[f"{key}: FastAPI + Mangum"] = partial(handler, event, None)
        contenders[f"{key}: FastAPI + Mangum, async"] = partial(handler, renamed, None)

serve(contenders, lambda: {name: call() for name, call in contenders.items()})
