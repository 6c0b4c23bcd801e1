"""What is known of a model that serves: `lastmile drift <model>`, `quality`, `report` and `feedback`."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.answers import refused
from cli.errors import CommandFailed
from cli.output import console, note, percent, print_fields, print_json, print_table, print_text, readable, when
from cli.target import Options, Target

if TYPE_CHECKING:
    from lastmile.store import Store

UNITS = {"h": 1.0, "d": 24.0, "w": 24.0 * 7}
AT_ONCE = 500  # labels of one request
SHOWN_METRICS = 6
LARGEST = 24.0 * 366
PATIENCE = 920.0  # seconds: the function has 900
KINDS = ("drift", "data", "run")  # of reports that are pages
ID = re.compile(r"[0-9A-Za-z]{26}")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<part>(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")

report_app = typer.Typer(help="Open or list the reports on a model.", no_args_is_help=True)

type Document = dict[str, Any]


def check(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    window: Annotated[
        str | None, typer.Option(help="How far to look back: 24h, 7d or 2w; by default as the spec says.")
    ] = None,
) -> None:
    """Compare what a model is asked and answers now with what it was made for; `check` may be left out."""
    options: Options = context.obj
    asked: Document = {"model": model}
    if window is not None:
        asked["window_hours"] = hours(window)
    report = ask(options, asked)
    if options.json:
        print_json(report)
        return
    print_report(report)
    note(f"Next: lastmile report open {model}")


def quality(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    days: Annotated[float, typer.Option(min=0.01, max=366, help="How many days of predictions.")] = 30.0,
) -> None:
    """Show how right a model was on the predictions that have a label by now."""
    options: Options = context.obj
    found = ask(options, {"model": model, "quality": True, "days": days})
    if options.json:
        print_json(found)
    else:
        print_quality(found)


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
    labels: list[Document]
    if file is not None:
        labels = [known | given for given in lines(file)]
    else:
        labels = [known | {"prediction_id": prediction_id, "label": value(str(label)), "row": row}]
    target = options.target()
    total = {"accepted": 0, "new": 0}
    for start in range(0, len(labels), AT_ONCE):
        answer = send(target, labels[start : start + AT_ONCE])
        total = {key: total[key] + answer[key] for key in total}
    if options.json:
        print_json(total)
    else:
        print(f"{total['accepted']} label{'' if total['accepted'] == 1 else 's'} taken, {total['new']} of them new")


@report_app.command("open")
def open_report(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    kind: Annotated[str, typer.Option(help="drift, data or run.")] = "drift",
    browser: Annotated[bool, typer.Option(help="Show it; else only say where it was put.")] = True,
) -> None:
    """Open the newest report of a model in the browser."""
    options: Options = context.obj
    store = data_store(options.target())
    newest = max(pages(store, model, kind), default=None)
    if newest is None:
        raise CommandFailed(
            f"There is no {kind} report on {model} yet.",
            next_step=f"Run `lastmile drift {model}`." if kind == "drift" else "See `lastmile runs`.",
        )
    file = options.local / newest
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(store.get(newest).data)
    if options.json:
        print_json({"report": newest, "file": str(file)})
    else:
        print_text(str(file))
    if browser and not options.json:
        typer.launch(file.as_uri())


@report_app.command("list")
def list_reports(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    kind: Annotated[str, typer.Option(help="drift, data or run.")] = "drift",
) -> None:
    """List the reports of a model, newest first."""
    options: Options = context.obj
    found = sorted(pages(data_store(options.target()), model, kind), reverse=True)
    if options.json:
        print_json({"model": model, "reports": found})
    else:
        for path in found:
            print_text(path)


def ask(options: Options, event: Mapping[str, Any]) -> Document:
    """What the drift function answers."""
    target = options.target()
    answer = target.client("lambda", patience=PATIENCE).invoke(
        FunctionName=f"lastmile-{target.stage}-drift", Qualifier="live", Payload=json.dumps(event).encode()
    )
    returned: Any = json.loads(answer["Payload"].read() or b"null")
    if "FunctionError" in answer or not isinstance(returned, dict):
        said = returned.get("errorMessage") if isinstance(returned, dict) else returned
        raise CommandFailed(f"The drift function failed: {said}", next_step="Run `lastmile logs drift`.")
    if "error" in returned:
        said = str(returned["error"])
        raise CommandFailed(f"{said[:1].upper()}{said[1:]}.", next_step="See `lastmile models`.")
    return returned


def hours(text: str) -> float:
    try:
        found = float(text[:-1]) * UNITS[text[-1:]]
    except (ValueError, KeyError):
        found = 0.0
    if not 0 < found <= LARGEST:
        raise typer.BadParameter(f"'{text}' is no time like 24h, 7d or 2w", param_hint="--window")
    return found


def data_store(target: Target) -> "Store":
    from lastmile.store import Store

    return Store.open(f"s3://{target.data_bucket}", environ=target.environ)


def pages(store: "Store", model: str, kind: str) -> Iterator[str]:
    if kind not in KINDS:
        raise typer.BadParameter(f"'{kind}' is none of {', '.join(KINDS)}", param_hint="--kind")
    return (path for path in store.list(f"reports/{model}/{kind}") if path.endswith(".html"))


def lines(file: Path) -> list[Document]:
    """Objects of JSON lines. Only a line feed ends a line: a text may hold what else Python takes for its end."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{file} is no UTF-8: {error.reason} at byte {error.start}.") from None
    found: list[Document] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise CommandFailed(f"{file}, line {number}: that is no JSON object.")
        found.append(document)
    return found


def value(text: str) -> str | int | float:
    """A number where the text is one as JSON has it: `007`, `1_000` and `nan` are texts."""
    found = NUMBER.fullmatch(text)
    if found is None or not math.isfinite(float(text)):
        return text
    return float(text) if found["part"] else int(text)


def send(target: Target, labels: Sequence[Document]) -> Document:
    answer = target.call(
        "POST",
        "/v1/feedback",
        body=json.dumps(labels).encode(),
        headers={"content-type": "application/json"},
        token=target.token(["feedback"]),
    )
    if answer.status != 202:
        raise refused(answer)
    return answer.document("accepted", "new")


def print_report(report: Document) -> None:
    traffic = report["traffic"]
    console().print(readable(f"{report['model']}: {report['verdict']}"), style="bold")
    print_text(report["summary"])
    print_fields(
        [
            ("version", f"{report['version']}, {report['reference']['sentence']}"),
            ("window", f"{when(report['window']['since'])} to {when(report['window']['until'])}"),
            ("requests", f"{traffic['requests']} with {traffic['rows']} rows, {traffic['errors']} failed"),
            *(("note", text) for text in report["notes"]),
        ]
    )
    if report["features"]:
        print()
        print_table(
            ["name", "side", "verdict", "test", "p", "effect", "tolerance"],
            [
                [one["name"], one["side"], one["verdict"], one["statistic"], *map(rounded, figures(one))]
                for one in sorted(report["features"], key=lambda one: one["verdict"] != "drifted")
            ],
        )


def figures(feature: Document) -> list[float | None]:
    return [feature["p_value"], feature["effect"], feature["tolerance"]]


def print_quality(found: Document) -> None:
    labels = found["labels"]
    covered = "" if labels["coverage"] is None else f", {percent(labels['coverage'])} of the rows"
    print(f"{labels['joined']} of {labels['given']} labels belong to a captured prediction{covered}")
    for text in found["notes"]:
        print_text(text)
    if not found["versions"]:
        return
    names = list(dict.fromkeys(name for one in found["versions"] for name in one["metrics"]))[:SHOWN_METRICS]
    rows: list[list[Any]] = [
        [one["version"], "shadow" if one["shadow"] else None, one["rows"], *shown(one, names)]
        for one in found["versions"]
    ]
    rows += [
        [one["version"], f"{one['feature']} = {one['value']}", one["rows"], *shown(one, names)]
        for one in found["segments"]
    ]
    print_table(["version", "group", "rows", *names], rows)


def shown(one: Document, names: Sequence[str]) -> list[float | None]:
    return [rounded(one["metrics"].get(name, {}).get("value")) for name in names]


def rounded(figure: float | None) -> float | None:
    return None if figure is None else float(f"{figure:.4g}")
