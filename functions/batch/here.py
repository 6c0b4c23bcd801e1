"""A batch in a process of its own, for the command line: JSON in one argument, JSON lines out."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import orjson

from functions.batch.local import Job, State, run
from lastmile.errors import LastmileError
from lastmile.registry import Registry
from lastmile.store import Store

MARKER = "lastmile.batch"
EVERY_SECONDS = 0.1


def main(argument: str) -> int:
    """`{"registry", "model", "input", "output", …}` as `Job` has them; the last line says how it ended."""
    asked: dict[str, Any] = orjson.loads(argument)
    uri = asked.pop("registry")
    input_, output, keep = Path(asked.pop("input")), Path(asked.pop("output")), tuple(asked.pop("keep", ()))
    job = Job(**asked, input=input_, output=output, keep=keep)
    last = 0.0

    def tell(state: State) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY_SECONDS:
            last = time.monotonic()
            say({"state": state._asdict()})

    try:
        state = run(job, Registry(Store.open(uri, environ=os.environ)), uri=uri, tell=tell)
    except LastmileError as error:
        say({"refused": str(error), "kind": type(error).__name__})
        return 1
    except OSError as error:
        say({"refused": f"{error.filename or output}: {error.strerror or error}", "kind": "OSError"})
        return 1
    say({"done": state._asdict()})
    return 0


def say(document: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps({"marker": MARKER, **document}, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
