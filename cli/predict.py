"""`lastmile predict`: rows of a file through the deployed API, as any client would send them."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import streams
from cli.answers import awaited, refused
from cli.control import quoted
from cli.errors import CommandFailed
from cli.output import console, note, print_json, print_table
from cli.protocols import PROTOCOLS, Interface, Protocol
from cli.target import Options, Target

if TYPE_CHECKING:
    from cli.rows import Row

BATCH_BYTES = 1_000_000  # well below the API's 6 MB, and small enough for progress to be seen
BATCH_ROWS = 500
SHOWN_CLASSES = 3


@dataclass(frozen=True, slots=True)
class Predicted:
    where: str
    outputs: Mapping[str, Any]
    version: int
    role: str
    prediction_id: str


def predict(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    data: Annotated[str, typer.Option(help="CSV or JSON file with rows; - reads standard input.")],
    version: Annotated[int | None, typer.Option(min=1, help="This version instead of the released one.")] = None,
    key: Annotated[str | None, typer.Option(help="Routing key: one key stays on one side of a canary.")] = None,
    protocol: Annotated[str, typer.Option(help="v2, tensorflow, torchserve or mlflow.")] = "v2",
) -> None:
    """Send the rows of a CSV or JSON file through the deployed API."""
    from cli import rows as reading

    if protocol not in PROTOCOLS:
        raise typer.BadParameter(f"'{protocol}' is none of {', '.join(PROTOCOLS)}", param_hint="--protocol")
    if protocol == "mlflow" and version is not None:
        raise typer.BadParameter("the mlflow protocol cannot name a version", param_hint="--version")
    check_key(key)
    options: Options = context.obj
    text = read_text(data)
    target = options.target()
    client = Client(target, PROTOCOLS[protocol], key)
    interface = client.interface(model, version)
    rows = reading.read(text, interface.inputs)
    ignored = reading.ignored_columns(text, interface.inputs)
    if ignored:
        note(f"Not used: column{'s' if len(ignored) > 1 else ''} {', '.join(ignored)}.")
    free = all(spec.shape[:1] == (-1,) for spec in interface.inputs)
    batches = reading.batches(rows, most_bytes=BATCH_BYTES, most_rows=BATCH_ROWS if free else 1)
    predicted = [row for batch in shown_progress(batches, len(rows)) for row in client.predict(interface, batch)]
    if options.json:
        print_json({"model": model, "predictions": list(map(document_of, predicted))})
    else:
        print_predictions(interface, predicted)


def check_key(key: str | None) -> None:
    """Whether the routing key can be a header."""
    if key is not None and not (key.isascii() and key.isprintable()):
        raise typer.BadParameter("a routing key consists of printable ASCII characters", param_hint="--key")


def read_text(data: str) -> str:
    """A CSV has commas afterwards, whatever stood between its cells, and a request of the API is its rows."""
    from cli.rows import of_request, with_commas

    try:
        text = streams.read() if data == "-" else Path(data).read_text(encoding="utf-8")
        return of_request(with_commas(text))
    except OSError as error:
        raise CommandFailed(f"{data} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        name = "Standard input" if data == "-" else data
        raise CommandFailed(f"{name} is not UTF-8 at byte {error.start}.") from None


@dataclass(frozen=True, slots=True)
class Client:
    target: Target
    protocol: Protocol
    key: str | None

    @property
    def token(self) -> str:
        """Another one when it is about to end: a file may take longer than one serves."""
        return self.target.token(["infer"])

    def interface(self, model: str, version: int | None) -> Interface:
        from lastmile.tensors import TensorSpec

        def spec(tensor: Mapping[str, Any]) -> TensorSpec:
            columns = tensor.get("parameters", {}).get("columns")
            names = tuple(json.loads(columns)) if columns else ()
            return TensorSpec(tensor["name"], tensor["datatype"], tuple(tensor["shape"]), names)

        path = f"/v2/models/{quoted(model)}" + (f"/versions/{version}" if version is not None else "")
        answer = self.target.call("GET", path, token=self.token)
        if answer.status != 200:
            raise refused(answer)
        document = answer.json()
        return Interface(model, version, tuple(map(spec, document["inputs"])), tuple(map(spec, document["outputs"])))

    def predict(self, interface: Interface, batch: "Sequence[Row]") -> "list[Predicted]":
        """One request; when the API refuses several rows at once, halves are sent until the bad one has a name."""
        headers = {"content-type": "application/json"} | ({"lastmile-routing-key": self.key} if self.key else {})
        answer = self.target.call(
            "POST",
            self.protocol.path(interface),
            body=json.dumps(self.protocol.request(interface, batch)).encode(),
            headers=headers,
            token=self.token,
        )
        answer = awaited(lambda path: self.target.call("GET", path, token=self.token), answer)
        if answer.status in (400, 413) and len(batch) > 1:
            middle = len(batch) // 2
            return self.predict(interface, batch[:middle]) + self.predict(interface, batch[middle:])
        if answer.status != 200:
            raise refused(answer, where=batch[0].where if len(batch) == 1 else None)
        version = int(answer.headers["lastmile-version"])
        role, prediction_id = answer.headers["lastmile-role"], answer.headers["lastmile-prediction-id"]
        outputs = self.protocol.outputs(interface, answer.json(), len(batch))
        return [
            Predicted(row.where, output, version, role, prediction_id)
            for row, output in zip(batch, outputs, strict=True)
        ]


def shown_progress(batches: "Iterable[list[Row]]", total: int) -> "Iterator[list[Row]]":
    """The batches, with a bar on standard error while there are several and somebody watches."""
    if total <= BATCH_ROWS or not sys.stderr.isatty():
        yield from batches
        return
    from rich.progress import Progress

    with Progress(console=console(sys.stderr), transient=True) as progress:
        task = progress.add_task("Predicting", total=total)
        for batch in batches:
            yield batch
            progress.advance(task, len(batch))


def document_of(row: Predicted) -> dict[str, Any]:
    unit, number = row.where.split()
    return {
        unit: int(number),
        "outputs": dict(row.outputs),
        "version": row.version,
        "role": row.role,
        "prediction_id": row.prediction_id,
    }


def print_predictions(interface: Interface, predicted: Sequence[Predicted]) -> None:
    print_table(
        [predicted[0].where.split()[0], *(spec.name for spec in interface.outputs), "version", "role", "prediction id"],
        [
            [
                int(row.where.split()[1]),
                *(shown_output(row.outputs[spec.name], spec.columns) for spec in interface.outputs),
                row.version,
                row.role,
                row.prediction_id,
            ]
            for row in predicted
        ],
    )


def shown_output(value: Any, columns: Sequence[str]) -> object:
    """A single value as it is; of a list of shares the largest, of any other list the beginning."""
    if not isinstance(value, list):
        return value
    if not is_distribution(value):
        more = ["…"] if len(value) > SHOWN_CLASSES else []
        return "[" + ", ".join([*map(brief, value[:SHOWN_CLASSES]), *more]) + "]"
    names = columns or [str(index) for index in range(len(value))]
    largest = sorted(zip(value, names, strict=True), reverse=True, key=lambda pair: pair[0])[:SHOWN_CLASSES]
    return "  ".join(f"{name}: {share * 100:.1f} %" for share, name in largest)


def is_distribution(values: list[Any]) -> bool:
    shares = [value for value in values if isinstance(value, float) and 0 <= value <= 1]
    return len(shares) == len(values) and abs(sum(shares) - 1) < 0.01


def brief(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
