"""`lastmile feedback`: what was right, for one prediction or for many."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.answers import refused
from cli.errors import CommandFailed
from cli.output import print_json
from cli.target import Options, Target

AT_ONCE = 500  # labels of one request
ID = re.compile(r"[0-9A-Za-z]{26}")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<part>(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")

type Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Label:
    """`where` is like `labels.jsonl, line 7`, or empty where there is one alone."""

    where: str
    document: Document


def feedback(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    prediction_id: Annotated[str | None, typer.Argument(help="The id that came with the prediction.")] = None,
    label: Annotated[str | None, typer.Argument(help="What was right; a number is sent as a number.")] = None,
    row: Annotated[int, typer.Option(min=0, help="Row of the request.")] = 0,
    source: Annotated[str, typer.Option(help="Who says so.")] = "lastmile",
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON lines with prediction_id, label, row, time.")
    ] = None,
) -> None:
    """Say what was right for a prediction, or for all in a file."""
    if (file is None) == (prediction_id is None) or (prediction_id is None) != (label is None):
        raise typer.BadParameter("give an id and a label, or --file", param_hint="PREDICTION_ID")
    if prediction_id is not None and ID.fullmatch(prediction_id) is None:
        raise typer.BadParameter(
            f"'{prediction_id}' is no prediction id; one has 26 letters and digits", param_hint="PREDICTION_ID"
        )
    options: Options = context.obj
    known = {"model": model, "source": source, "time": datetime.now(UTC).isoformat(timespec="milliseconds")}
    if file is not None:
        labels = [Label(where, known | given) for where, given in lines(file)]
    else:
        given = {"prediction_id": prediction_id, "label": value(str(label)), "row": row}
        labels = [Label("", known | given)]
    total = sent(options.target(), labels)
    if options.json:
        print_json(total)
    else:
        print(f"{total['accepted']} label{'' if total['accepted'] == 1 else 's'} taken, {total['new']} of them new")


def lines(file: Path) -> list[tuple[str, Document]]:
    """Where each object of JSON lines stands, and it."""
    from cli.rows import numbered

    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{file} is no UTF-8: {error.reason} at byte {error.start}.") from None
    found: list[tuple[str, Document]] = []
    for number, line in numbered(text):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise CommandFailed(f"{file}, line {number}: that is no JSON object.")
        found.append((f"{file}, line {number}", document))
    return found


def value(text: str) -> str | int | float:
    """A number where the text is one as JSON has it: `007`, `1_000` and `nan` are texts."""
    found = NUMBER.fullmatch(text)
    if found is None or not math.isfinite(float(text)):
        return text
    return float(text) if found["part"] else int(text)


def sent(target: Target, labels: Sequence[Label]) -> dict[str, int]:
    """How many were accepted, and how many of them were new."""
    total = {"accepted": 0, "new": 0}
    try:
        for start in range(0, len(labels), AT_ONCE):
            for answer in answers(target, labels[start : start + AT_ONCE]):
                total = {key: total[key] + answer[key] for key in total}
    except CommandFailed as error:
        if total["accepted"]:
            error.next_step = f"{total['accepted']} labels were taken; sent again they count once."
        raise
    return total


def answers(target: Target, labels: Sequence[Label]) -> Iterator[Document]:
    """To one request; when the API refuses several labels at once, halves are sent until the bad one has a name."""
    answer = target.call(
        "POST",
        "/v1/feedback",
        body=json.dumps([label.document for label in labels]).encode(),
        headers={"content-type": "application/json"},
        token=target.token(["feedback"]),
    )
    if answer.status in (400, 413, 422) and len(labels) > 1:
        middle = len(labels) // 2
        yield from answers(target, labels[:middle])
        yield from answers(target, labels[middle:])
    elif answer.status != 202:
        raise refused(answer, where=labels[0].where if len(labels) == 1 else None)
    else:
        yield answer.document("accepted", "new")
