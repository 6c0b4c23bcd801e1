"""`lastmile decide`: rows of a file through the deployed API, and what to do about each of them."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.answers import awaited, refused
from cli.control import quoted
from cli.errors import CommandFailed
from cli.output import note, print_json, print_table
from cli.predict import BATCH_BYTES, Client, check_key, read_text, shown_progress
from cli.protocols import PROTOCOLS, Interface
from cli.target import Options

if TYPE_CHECKING:
    from cli.rows import Row

BATCH_ROWS = 200  # the API decides 256 at once
PREFIX = "context."

type Context = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Decided:
    where: str
    document: Mapping[str, Any]
    version: int
    role: str
    prediction_id: str


def decide(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    data: Annotated[str, typer.Option(help="CSV or JSON file with rows; - reads standard input.")],
    version: Annotated[int | None, typer.Option(min=1, help="This version instead of the released one.")] = None,
    key: Annotated[str | None, typer.Option(help="Routing key: one key stays on one side of a canary.")] = None,
) -> None:
    """Decide about the rows of a file by the model's policy.

    What the policy asks for beside the model's features stands in columns such as context.stock.
    """
    from cli import rows as reading

    options: Options = context.obj
    check_key(key)
    text = read_text(data)
    target = options.target()
    decider = Decider(Client(target, PROTOCOLS["tensorflow"], key))
    interface = decider.client.interface(model, version)
    rows = reading.read(text, interface.inputs)
    said = contexts(text, len(rows))
    ignored = [name for name in reading.ignored_columns(text, interface.inputs) if not name.startswith(PREFIX)]
    if ignored:
        note(f"Not used: column{'s' if len(ignored) > 1 else ''} {', '.join(ignored)}.")
    decided: list[Decided] = []
    for batch in shown_progress(reading.batches(rows, most_bytes=BATCH_BYTES, most_rows=BATCH_ROWS), len(rows)):
        decided += decider.decide(interface, batch, said[len(decided) : len(decided) + len(batch)])
    if options.json:
        print_json({"model": model, "decisions": list(map(document_of, decided))})
    else:
        print_decisions(decided)


@dataclass(frozen=True, slots=True)
class Decider:
    client: Client

    def decide(self, interface: Interface, batch: "Sequence[Row]", context: Sequence[Context]) -> list[Decided]:
        """One request; when the API refuses several rows at once, halves are sent until the bad one has a name."""
        body: dict[str, Any] = {"rows": [features(interface, row) for row in batch]}
        if any(context):
            body["context"] = list(context)
        named = f"/versions/{interface.version}" if interface.version is not None else ""
        headers = {"lastmile-routing-key": self.client.key} if self.client.key else {}
        answer = self.client.target.call(
            "POST",
            f"/v1/models/{quoted(interface.model)}{named}:decide",
            body=json.dumps(body).encode(),
            headers={"content-type": "application/json"} | headers,
            token=self.client.token,
        )
        answer = awaited(lambda path: self.client.target.call("GET", path, token=self.client.token), answer)
        if answer.status in (400, 413) and len(batch) > 1:
            middle = len(batch) // 2
            first = self.decide(interface, batch[:middle], context[:middle])
            return first + self.decide(interface, batch[middle:], context[middle:])
        if answer.status != 200:
            raise refused(answer, where=batch[0].where if len(batch) == 1 else None)
        version, role = int(answer.headers["lastmile-version"]), answer.headers["lastmile-role"]
        prediction_id = answer.headers["lastmile-prediction-id"]
        return [
            Decided(row.where, document, version, role, prediction_id)
            for row, document in zip(batch, answer.json()["decisions"], strict=True)
        ]


def features(interface: Interface, row: "Row") -> dict[str, Any]:
    """The row's values by feature: by column where an input has columns, else by input."""
    found: dict[str, Any] = {}
    for spec in interface.inputs:
        value = row.inputs[spec.name]
        found |= dict(zip(spec.columns, value, strict=True)) if spec.columns else {spec.name: value}
    return found


def contexts(text: str, count: int) -> list[Context]:
    """What each row says under `context`: columns `context.…` of a CSV, or an object of that name in JSON."""
    from cli.rows import numbered

    stripped = text.lstrip("\ufeff \t\r\n")
    if stripped[:1] not in ("[", "{"):
        records = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
        return [{n[len(PREFIX) :]: value_of(v) for n, v in row.items() if said(n, v)} for row in records]
    try:
        document = json.loads(stripped)
    except json.JSONDecodeError:
        document = [json.loads(line) for _, line in numbered(stripped) if line.strip()]
    rows = document if isinstance(document, list) and len(document) == count else [document]
    found = [row.get("context", {}) if isinstance(row, dict) else {} for row in rows]
    for number, entry in enumerate(found, start=1):
        if not isinstance(entry, dict):
            raise CommandFailed(f"row {number}: 'context' must be an object.")
    return found


def said(name: str | None, value: Any) -> bool:
    return name is not None and name.startswith(PREFIX) and value not in (None, "")


def value_of(text: str) -> Any:
    """A cell as JSON where it is a number or a list, else the text, as it is of NaN and infinities."""
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, (int, float, list)) else text


def document_of(row: Decided) -> dict[str, Any]:
    unit, number = row.where.split()
    about = {"version": row.version, "role": row.role, "prediction_id": row.prediction_id}
    return {unit: int(number)} | dict(row.document) | about


def print_decisions(decided: Sequence[Decided]) -> None:
    print_table(
        [decided[0].where.split()[0], "decision", "for a person", "why"],
        [
            [
                int(row.where.split()[1]),
                row.document["decision"],
                "yes" if row.document["review"] else None,
                " ".join(row.document["reasons"]),
            ]
            for row in decided
        ],
    )
    answered = sorted({(row.version, row.role) for row in decided})
    note("Decided by " + ", ".join(f"version {version} ({role})" for version, role in answered) + ".")
