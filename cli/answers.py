"""What the API said against a request, as the sentence a command ends with."""

import json
import time
from collections.abc import Callable

from cli.errors import CommandFailed
from cli.output import note
from cli.wire import Answer

LATER_SECONDS = 1800.0  # endpoints wake within minutes

NEXT_STEPS = {
    401: "Run `lastmile doctor`.",
    403: "Run `lastmile doctor`.",
    404: "See `lastmile models` and `lastmile versions <model>`.",
    409: "See `lastmile release show <model>`, then decide again.",
    429: "Wait a moment and repeat the command.",
}


def refused(answer: Answer, *, where: str | None = None) -> CommandFailed:
    step = "See `lastmile logs` and `lastmile doctor`." if answer.status >= 500 else NEXT_STEPS.get(answer.status)
    said = f"{sentence(answer)} (HTTP {answer.status})."
    return CommandFailed(f"{where}: {said}" if where else said[:1].upper() + said[1:], next_step=step)


def sentence(answer: Answer) -> str:
    """The API's own words, whichever protocol's error form they came in."""
    try:
        document = json.loads(answer.body)
        said = next(filter(None, map(document.get, ("error", "message", "detail", "errorMessage"))), None)
    except (ValueError, AttributeError, RecursionError):
        said = None
    return str(said or answer.body.decode(errors="replace").strip()[:300] or "no reason given").rstrip(".")


def awaited(ask: Callable[[str], Answer], answer: Answer, *, pause: Callable[[float], object] = time.sleep) -> Answer:
    """The answer itself, where that one says that it comes later; `ask` gets a path."""
    if answer.status != 202:
        return answer
    where = answer.headers["location"]
    note(f"The model's endpoint is {answer.json().get('reason', 'not there')}; waiting for {where}.")
    deadline = time.monotonic() + LATER_SECONDS
    while answer.status == 202:
        if time.monotonic() > deadline:
            raise CommandFailed("There is no answer yet.", next_step=f"Ask again later: GET {where}.")
        pause(float(answer.headers.get("retry-after", 1)))
        answer = ask(where)
    if answer.headers.get("lastmile-state") == "failed":
        raise CommandFailed(f"There will be no answer: {sentence(answer)}.")
    return answer
