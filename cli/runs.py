"""`lastmile runs`, `lastmile run …`, `lastmile approve` and `lastmile reject`: what became of uploads."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import typer

from cli.control import Document, RegistryOption, WhyOption
from cli.errors import CommandFailed
from cli.learning import DataOption, Learning, open_learning
from cli.output import Figure, age, note, print_fields, print_json, print_table, size, when
from cli.release import ModelArgument, VersionArgument, say
from cli.target import Options

app = typer.Typer(help="Show one run of the learning pipeline, or repeat it.", no_args_is_help=True)

RunArgument = Annotated[str, typer.Argument(help="Id of the run, as `lastmile runs` shows it.")]
LONGEST_CELL = 60


def runs(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(help="Name of the model; without it, of all.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most so many of each model.")] = 10,
    registry: RegistryOption = None,
    data: DataOption = None,
) -> None:
    """Show runs of the learning pipeline, newest first."""
    options: Options = context.obj
    learning = open_learning(options, registry, data)
    names = learning.model_names() if model is None else [model]
    found = [run for name in names for run in learning.runs(name, limit=limit)]
    found.sort(key=lambda run: run["started_at"], reverse=True)
    if options.json:
        print_json(found)
        return
    if not found:
        note("There are no runs. Next: lastmile train <model> <data>")
        return
    print_table(
        ("run", "model", "state", "at", "version", "data", "size", "started", "took"),
        [
            (
                run["id"],
                run["model"],
                run["state"],
                run["step"],
                run["version"],
                run["upload"]["key"].partition("/")[2].partition("/")[2],
                size(run["upload"]["size"]),
                age(run["started_at"]),
                took(run),
            )
            for run in found
        ],
    )


@app.command()
def show(
    context: typer.Context,
    run: RunArgument,
    model: Annotated[str | None, typer.Option(help="Its model, where that is known: it is found faster.")] = None,
    registry: RegistryOption = None,
    data: DataOption = None,
) -> None:
    """Show what each step of a run found, and how it ended."""
    options: Options = context.obj
    found = find(open_learning(options, registry, data), run, model)
    if options.json:
        print_json(found)
    else:
        print_run(found)


@app.command()
def repeat(
    context: typer.Context,
    run: RunArgument,
    model: Annotated[str | None, typer.Option(help="Its model, where that is known: it is found faster.")] = None,
) -> None:
    """Take up a run again that broke off.

    What it has made already is not made again.
    """
    from cli.training import start

    options: Options = context.obj
    found = find(open_learning(options, None, None), run, model)
    if found["state"] != "failed":
        raise CommandFailed(
            f"The run is not one that broke off: {found['state']}.", next_step="To train again, upload the data again."
        )
    execution = start(options.target(), found["upload"])
    if options.json:
        print_json({"execution": execution})
    else:
        note(f"It goes on. Next: lastmile run show {run} --model {found['model']}")


def approve(
    context: typer.Context,
    model: ModelArgument,
    version: VersionArgument,
    why: WhyOption,
    registry: RegistryOption = None,
    data: DataOption = None,
) -> None:
    """Say yes to a version for which a run waits; its canary begins."""
    options: Options = context.obj
    approval = open_learning(options, registry, data).approve(model, version, why=why)
    if options.json:
        print_json(approval)
        return
    print_fields([(name, approval[name]) for name in ("model", "version", "run", "answer", "actor", "why")])


def reject(
    context: typer.Context,
    model: ModelArgument,
    version: VersionArgument,
    why: WhyOption,
    registry: RegistryOption = None,
    data: DataOption = None,
) -> None:
    """Bar a version from serving, for good.

    A run that waits for an answer about it ends.
    """
    say(context.obj, open_learning(context.obj, registry, data).turn_down(model, version, why=why))


def find(learning: Learning, run: str, model: str | None) -> Document:
    for name in learning.model_names() if model is None else [model]:
        if (found := learning.run(name, run)) is not None:
            return found
    raise CommandFailed(f"There is no run '{run}'.", next_step="See `lastmile runs`.")


def print_run(run: Document) -> None:
    """What happened, then what was measured."""
    problem = run["problem"]
    print_fields(
        [
            ("run", run["id"]),
            ("model", run["model"]),
            ("state", run["state"]),
            ("version", run["version"]),
            ("data", f"{run['upload']['key']}, {size(run['upload']['size'])}"),
            ("started (UTC)", when(run["started_at"])),
            ("took", took(run)),
            *([("ended at", problem["step"]), ("because", problem["reason"]), ("next", problem["advice"])]
              if problem else []),
            ("report", run["report"]),
        ]
    )  # fmt: skip
    for title, columns, rows in tables(run):
        if rows:
            print_table(columns, rows, title=title)


def tables(run: Document) -> Iterator[tuple[str, tuple[str, ...], list[tuple[Any, ...]]]]:
    evaluated = facts(run, "compress") or facts(run, "evaluate")
    gates = [(gate["metric"], "passed" if gate["passed"] else "failed", gate["sentence"])
             for gate in evaluated.get("gates", [])]  # fmt: skip
    yield "\nGates", ("metric", "gate", "what was measured"), gates
    yield (
        "\nMetrics on held-out rows",
        ("metric", "value"),
        [
            (name, Figure(f"{value:.4g}") if isinstance(value, (int, float)) else None)
            for name, value in evaluated.get("metrics", {}).items()
        ],
    )
    yield "\nSteps", ("step", "found"), [(name, summary(step["facts"])) for name, step in run["steps"].items()]


def facts(run: Document, step: str) -> Document:
    found: Document = run["steps"].get(step, {}).get("facts", {})
    return found


def summary(found: Document) -> str:
    """The plain facts on one line."""
    plain = {name: value for name, value in found.items() if isinstance(value, (str, int, float)) and name != "sha256"}
    return ", ".join(f"{name.replace('_', ' ')} {str(value)[:LONGEST_CELL]}" for name, value in plain.items())


def took(run: Document) -> Figure:
    seconds = (datetime.fromisoformat(run["updated_at"]) - datetime.fromisoformat(run["started_at"])).total_seconds()
    return Figure(f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min")
