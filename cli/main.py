"""The `lastmile` command: registers commands and turns expected errors into one sentence and a next step."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cli import (
    audit,
    batch,
    batches,
    chat,
    cost,
    decide,
    deploy,
    doctor,
    drift,
    feedback,
    heavy,
    invoke,
    logs,
    models,
    predict,
    push,
    release,
    runs,
    streams,
    train,
    up,
    watching,
)
from cli.errors import NEXT_STEPS, UNREACHABLE, CommandFailed, WrongUsage, sentence
from cli.output import readable
from cli.target import LOCAL_FOLDER, Options
from lastmile.errors import (
    LastmileError,
    StoreUnavailable,
)

app = typer.Typer(
    help="Take a trained model the last mile: deploy, push, release, predict, audit.",
    epilog="The options above may also follow the command: `lastmile models --json`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich alone would take longer than all the rest
)
for command in (  # by what people do, one after the other
    *(up.up, up.down, doctor.doctor),
    *(push.push, predict.predict, decide.decide, batch.batch, batches.batches),
    *(models.models, models.versions),
    *(train.train, runs.runs, runs.approve, runs.reject),
    *(watching.quality, feedback.feedback),
    *(cost.cost, deploy.deploy, logs.logs, invoke.invoke),
):
    app.command()(command)
for name, group in (
    ("release", release.app),
    ("audit", audit.app),
    ("run", runs.app),
    ("drift", drift.app),
    ("report", watching.report_app),
    ("chat", chat.app),
    ("heavy", heavy.app),
):
    app.add_typer(group, name=name)

GLOBAL_FLAGS = ("--json",)
GLOBAL_VALUES = ("--profile", "--stage", "--region", "--local")
OWN = {"cost": ("--profile",)}  # options of a command that bear the name of a global one


@app.callback()
def options(
    context: typer.Context,
    profile: Annotated[
        str | None, typer.Option(help="AWS profile; without it and --stage the local AWS is used.")
    ] = None,
    stage: Annotated[str | None, typer.Option(help="Stage of the stack in the account (dev, prod).")] = None,
    region: Annotated[str | None, typer.Option(help="AWS region of the account.")] = None,
    local: Annotated[
        Path, typer.Option(envvar="LASTMILE_LOCAL", show_default=False, help="Folder of the local AWS (.lastmile).")
    ] = LOCAL_FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    context.obj = Options(local=local, profile=profile, stage=stage, region=region, json=as_json)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The one edge of the command line: what went wrong is said here, whatever went wrong below."""
    streams.prepare()
    try:
        words = hoisted(sys.argv[1:] if arguments is None else arguments)
        check_encoding(words)
        try:
            app(words, prog_name="lastmile")
        finally:
            streams.flush()
    except CommandFailed as error:
        fail(str(error), next_step=error.next_step, exit_code=error.exit_code)
    except LastmileError as error:
        step = next((step for kind, step in NEXT_STEPS if isinstance(error, kind)), None)
        fail(sentence(str(error)), next_step=step, exit_code=UNREACHABLE if isinstance(error, StoreUnavailable) else 1)
    except OSError as error:
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        fail(f"{where}{error.strerror or error}.")
    except Exception as error:
        if not is_aws_error(error):
            raise
        fail(f"AWS refused or did not answer: {error}", next_step="Run `lastmile doctor`.")
    sys.exit(0)


def check_encoding(words: Sequence[str]) -> None:
    """Neither a request nor a document can hold what is no text; raises CommandFailed."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise WrongUsage(f"{word!r} is not UTF-8.") from None


def hoisted(arguments: Sequence[str]) -> list[str]:
    """Global options moved before the command, so that they may be written after it."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif rest and word.partition("=")[0] in OWN.get(rest[0], ()):
            rest.append(word)
        elif word in GLOBAL_FLAGS or word.startswith(tuple(f"{name}=" for name in GLOBAL_VALUES)):
            front.append(word)
        elif word in GLOBAL_VALUES:
            front += [word, *(value for value in [next(words, None)] if value is not None)]
        else:
            rest.append(word)
    return front + rest


def is_aws_error(error: Exception) -> bool:
    """Whether boto3 raised it, asked without importing boto3 for the commands that do not use it."""
    kinds = (("botocore", "BotoCoreError"), ("botocore", "ClientError"), ("boto3", "Boto3Error"))
    modules = ((sys.modules.get(f"{package}.exceptions"), kind) for package, kind in kinds)
    return any(module is not None and isinstance(error, getattr(module, kind)) for module, kind in modules)


def fail(message: str, *, next_step: str | None = None, exit_code: int = 1) -> NoReturn:
    sys.stderr.write(readable(message + (f"\n→ {next_step}" if next_step else "")) + "\n")
    sys.exit(exit_code)
