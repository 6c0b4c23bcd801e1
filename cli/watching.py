"""What is known of a model that serves: `lastmile drift <model>`, `quality` and `report`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import CommandFailed
from cli.output import console, note, percent, print_fields, print_json, print_table, print_text, readable, when
from cli.target import Options, Target

if TYPE_CHECKING:
    from lastmile.store import Store

UNITS = {"h": 1.0, "d": 24.0, "w": 24.0 * 7}
SHOWN_METRICS = 6
LARGEST = 24.0 * 366
PATIENCE = 920.0  # seconds: the function has 900
KINDS = ("drift", "data", "run")  # of reports that are pages

report_app = typer.Typer(help="Open or list the reports on a model.", no_args_is_help=True)

type Document = dict[str, Any]


def check(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    window: Annotated[
        str | None, typer.Option(help="How far to look back: 24h, 7d or 2w; by default as the spec says.")
    ] = None,
) -> None:
    """Compare what a model is asked now with what it was made for.

    And what it answers; `check` may be left out.
    """
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
    """Show how right a model was, where labels have arrived."""
    options: Options = context.obj
    found = ask(options, {"model": model, "quality": True, "days": days})
    if options.json:
        print_json(found)
    else:
        print_quality(found)


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
