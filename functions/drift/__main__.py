"""The same check without a cloud: `python -m functions.drift` for a timer, or with a question as JSON."""

import os
import sys
import time

import orjson

from functions.drift.door import Door
from lastmile.audit import rfc3339


def main() -> int:
    """Answers on standard output, figures and events on standard error."""
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    question = orjson.loads(sys.argv[1]) if len(sys.argv) > 1 else {"tick": rfc3339(int(time.time() * 1000))}
    answer = Door.open(os.environ)(question, None)
    os.write(answers, orjson.dumps(answer, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return 1 if "error" in answer or answer.get("failed") else 0


if __name__ == "__main__":
    sys.exit(main())
