"""The same check without a cloud: `python -m functions.drift` for a timer, or with a question as JSON."""

import os
import sys
import time
from typing import Any

import orjson

from functions.drift.door import Door
from lastmile.audit import rfc3339

EXAMPLE = '{"model": "fraud", "window_hours": 6}'


def asked(text: str) -> dict[str, Any] | None:
    try:
        question = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return question if isinstance(question, dict) else None


def main() -> int:
    """Answers on standard output, figures and events on standard error."""
    question = asked(sys.argv[1]) if len(sys.argv) > 1 else {"tick": rfc3339(int(time.time() * 1000))}
    if question is None:
        sys.stderr.write(f"{sys.argv[1][:80]} is no question: a JSON object is wanted, like {EXAMPLE}\n")
        return 2
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    answer = Door.open(os.environ)(question, None)
    os.write(answers, orjson.dumps(answer, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return 1 if "error" in answer or answer.get("failed") else 0


if __name__ == "__main__":
    sys.exit(main())
