"""`lastmile audit`: who did what to a model and why, and whether that record is whole."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from cli.control import Document, RegistryOption, open_control, open_registry
from cli.output import note, percent, print_json, print_table, print_text, when
from cli.target import Options

if TYPE_CHECKING:
    from lastmile.registry import Registry


class ShownByDefault(TyperGroup):
    """`audit digits` is `audit show digits`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=ShownByDefault,
    help="Show who did what to a model and why, or verify that record.",
    no_args_is_help=True,
)


@app.command()
def show(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many entries, newest first.")] = 20,
    registry: RegistryOption = None,
) -> None:
    """Show the entries of a model, newest first; `show` may be left out."""
    options: Options = context.obj
    entries = open_control(options, registry).audit(model, limit=limit)
    if options.json:
        print_json({"model": model, "entries": entries})
        return
    print_table(
        ["when (UTC)", "action", "version", "change", "by", "why"],
        [
            [
                when(entry["at"]),
                entry["action"] if entry["outcome"] == "done" else f"{entry['action']} ({entry['outcome']})",
                entry["version"],
                change(entry),
                entry["actor"],
                entry["why"],
            ]
            for entry in entries
        ],
    )


@app.command()
def verify(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(help="Name of the model.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All models.")] = False,
    registry: RegistryOption = None,
) -> None:
    """Check that no entry was changed, removed or added.

    The exit code is 1 when one was.
    """
    if (model is None) != every:
        raise typer.BadParameter("give either a model or --all", param_hint="MODEL")
    options: Options = context.obj
    opened = open_registry(options, registry)
    problems = {model: opened.verify_audit(model)} if model is not None else verified(opened)
    if options.json:
        print_json({"intact": not any(problems.values()), "problems": problems})
    else:
        for name, found in problems.items():
            print_verdict(name, found)
    if any(problems.values()):
        raise typer.Exit(1)


def verified(registry: "Registry") -> dict[str, list[str]]:
    """Of every model there is or was; the folder of a model whose first write was cut short is none."""
    from lastmile.errors import ModelNotFound

    found = {}
    for name in registry.audited():
        with suppress(ModelNotFound):
            found[name] = registry.verify_audit(name)
    if not found:
        note("There is no model yet, and so no audit.")
    return found


def print_verdict(model: str, problems: list[str]) -> None:
    if not problems:
        print_text(f"{model}: the audit is intact")
        return
    print_text(f"{model}: the audit was tampered with")
    for problem in problems:
        print_text(f"  {problem}")


def change(entry: Document) -> str | None:
    """What the entry changed of what serves: `champion 1 → 2, weight 5 % → 0 %`."""
    before, after = entry["before"], entry["after"]
    moved = [name for name in after if before[name] != after[name]]
    return ", ".join(f"{name} {shown(name, before[name])} → {shown(name, after[name])}" for name in moved) or None


def shown(name: str, value: Any) -> str:
    return "-" if value is None else percent(value) if name == "weight" else str(value)
