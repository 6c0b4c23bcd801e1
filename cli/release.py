"""`lastmile release …`: which versions of a model answer, and in what share."""

from typing import Annotated

import typer

from cli.control import Document, RegistryOption, RevisionOption, WhyOption, open_control
from cli.models import challenger
from cli.output import print_fields, print_json, when
from cli.target import Options

app = typer.Typer(help="Show and move what serves: champion, canary, shadow.", no_args_is_help=True)

ModelArgument = Annotated[str, typer.Argument(help="Name of the model.")]
VersionArgument = Annotated[int, typer.Argument(min=1, help="Number of the version.")]
OptionalVersion = Annotated[int | None, typer.Argument(min=1, help="Number of the version.")]
StopOption = Annotated[bool, typer.Option("--stop", help="End it.")]


def weight_of(text: str) -> float:
    """A share of the requests: `5%` or `0.05`."""
    bare = text.strip()
    try:
        share = float(bare[:-1]) / 100 if bare.endswith("%") else float(bare)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is no share; say 5% or 0.05") from None
    if not 0 <= share <= 1:  # NaN fails too
        hint = f"; for {bare} percent say {bare}%" if 1 < share <= 100 and not bare.endswith("%") else ""
        raise typer.BadParameter(f"'{text}' is not between 0 and 1, or 0% and 100%{hint}")
    return share


@app.command()
def show(context: typer.Context, model: ModelArgument, registry: RegistryOption = None) -> None:
    """Show which versions of a model serve."""
    say(context.obj, open_control(context.obj, registry).release(model))


@app.command()
def promote(
    context: typer.Context,
    model: ModelArgument,
    version: VersionArgument,
    why: WhyOption,
    revision: RevisionOption = None,
    registry: RegistryOption = None,
) -> None:
    """Make a version the champion.

    A canary ends, and the champion before becomes previous.
    """
    say(context.obj, open_control(context.obj, registry).promote(model, version, why=why, revision=revision))


@app.command()
def canary(
    context: typer.Context,
    model: ModelArgument,
    why: WhyOption,
    version: OptionalVersion = None,
    weight: Annotated[
        float, typer.Option(parser=weight_of, metavar="SHARE", help="Its share of the requests, 5% or 0.05.")
    ] = "5%",  # type: ignore[assignment]  # read by the parser
    stop: StopOption = False,
    revision: RevisionOption = None,
    registry: RegistryOption = None,
) -> None:
    """Send a share of the requests to a version, or --stop sending."""
    check_either(version, stop=stop)
    control = open_control(context.obj, registry)
    say(context.obj, control.canary(model, version, weight=0 if stop else weight, why=why, revision=revision))


@app.command()
def shadow(
    context: typer.Context,
    model: ModelArgument,
    why: WhyOption,
    version: OptionalVersion = None,
    stop: StopOption = False,
    revision: RevisionOption = None,
    registry: RegistryOption = None,
) -> None:
    """Run a version beside the one that answers, or --stop it.

    Its answers are only recorded.
    """
    check_either(version, stop=stop)
    say(context.obj, open_control(context.obj, registry).shadow(model, version, why=why, revision=revision))


@app.command()
def rollback(
    context: typer.Context,
    model: ModelArgument,
    why: WhyOption,
    revision: RevisionOption = None,
    registry: RegistryOption = None,
) -> None:
    """End a canary; without one, bring the champion before back."""
    say(context.obj, open_control(context.obj, registry).rollback(model, why=why, revision=revision))


@app.command()
def reject(
    context: typer.Context,
    model: ModelArgument,
    version: VersionArgument,
    why: WhyOption,
    registry: RegistryOption = None,
) -> None:
    """Bar a version from serving, for good."""
    say(context.obj, open_control(context.obj, registry).reject(model, version, why=why))


def check_either(version: int | None, *, stop: bool) -> None:
    if (version is None) != stop:
        raise typer.BadParameter("give either a version or --stop", param_hint="VERSION")


def say(options: Options, release: Document) -> None:
    if options.json:
        print_json(release)
        return
    head = release["head"]
    print_fields(
        [
            ("model", release["model"]),
            ("champion", release["champion"]),
            ("challenger", challenger(release)),
            ("shadow", release["shadow"]),
            ("previous", release["previous"]),
            ("latest", release["latest"]),
            ("revision", release["revision"]),
            ("last", f"{head['action']} by {head['actor']}"),
            ("why", head["why"]),
            ("at (UTC)", when(head["at"])),
        ]
    )
