"""`lastmile up` and `lastmile down`: the whole service on this machine, and nothing of it."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import print_json

if TYPE_CHECKING:
    from cli.target import Options


def up(
    context: typer.Context,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget everything deployed and stored before.")] = False,
    bare: Annotated[bool, typer.Option("--bare", help="Push the first model alone; train none.")] = False,
) -> None:
    """Run everything on this machine, in a local AWS.

    Deploys, pushes the first model, trains the declared ones, and leaves all of it running.
    """
    from cli import interrupts
    from cli.declared_models import DeclaredModels
    from cli.first_model import FirstModel
    from cli.local import LocalAws
    from cli.progress import Progress
    from cli.summary import summarise

    options: Options = context.obj
    interrupts.end_on_termination()
    local = LocalAws(folder=options.local)
    if fresh:
        local.erase()
    progress = Progress()
    target = local.up(progress)
    if not bare:
        DeclaredModels(local.checkout).serve(target, progress)
    summary = summarise(target, FirstModel(local.checkout).images())
    if options.json:
        summary.print_json()
    else:
        summary.print()


def down(context: typer.Context) -> None:
    """Stop the local AWS. What is deployed and stored stays for the next `up`."""
    from cli.local import LocalAws

    options: Options = context.obj
    stopped = LocalAws(folder=options.local).down()
    if options.json:
        print_json({"stopped": stopped})
    else:
        print("The local AWS is down." if stopped else "The local AWS was not up.")
