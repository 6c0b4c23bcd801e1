"""`lastmile invoke`: a recorded event straight into a deployed function."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.errors import CommandFailed
from cli.output import print_json
from cli.target import Options, Target
from cli.watching import PATIENCE


def invoke(
    context: typer.Context,
    function: Annotated[
        str, typer.Argument(help="inference, control, retraining, capture, drift, batch, hook, chat or operations.")
    ],
    event: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON file, as those in events/.")],
) -> None:
    """Call a deployed function with a recorded event.

    What its alias live returns is printed.
    """
    options: Options = context.obj
    target = options.target()
    payload = event.read_bytes()
    try:
        json.loads(payload)
    except ValueError as error:
        raise CommandFailed(f"{event} is not JSON: {error}.") from None
    except RecursionError:
        raise CommandFailed(f"{event} is nested too deeply.") from None
    answer = target.client("lambda", patience=PATIENCE).invoke(
        FunctionName=function_name(target, function), Qualifier="live", Payload=payload
    )
    returned: Any = json.loads(answer["Payload"].read() or b"null")
    if "FunctionError" in answer:
        said = returned.get("errorMessage") if isinstance(returned, dict) else returned
        raise CommandFailed(f"The function failed: {said}", next_step=f"Run `lastmile logs {function}`.")
    print_json(returned)
    status = returned.get("statusCode") if isinstance(returned, dict) else None
    if isinstance(status, int) and status >= 400:
        sys.exit(1)


def function_name(target: Target, function: str) -> str:
    """A full name is taken as it is, since other stacks have functions too."""
    if function in target.functions:
        return target.functions[function]
    if function.startswith("lastmile-"):
        return function
    raise CommandFailed(f"There is no function '{function}'.", next_step=f"Name one of {', '.join(target.functions)}.")
