"""`lastmile train`: data in, a better version out, or the reasons why not."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from cli import interrupts
from cli.child import running
from cli.control import Document, RegistryOption, identity, open_registry, store_environ
from cli.errors import CommandFailed, Unreachable
from cli.learning import ApiLearning, DataOption, located, open_data, open_learning
from cli.output import note, print_json
from cli.progress import Progress
from cli.runs import print_run
from cli.target import CHECKOUT, Options
from cli.training import changes, key_of, upload
from cli.waiting import interruptible

if TYPE_CHECKING:
    from lastmile.registry import Registry

INTERRUPTED = 130
GOOD = ("promoted",)


def train(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    data: Annotated[Path, typer.Argument(help="CSV, JSON lines or Parquet, gzipped or not.")],
    spec: Annotated[
        Path | None, typer.Option(help="Declare the model with this spec first (models/<model>/spec.toml if new).")
    ] = None,
    here: Annotated[bool, typer.Option("--here", help="Train in this process's machine, without AWS.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the run to end.")] = False,
    registry: RegistryOption = None,
    at: DataOption = None,
) -> None:
    """Train a model on a file, and follow the run.

    It is uploaded, validated, trained on, evaluated, compressed, certified and released.
    """
    options: Options = context.obj
    if here != (registry is not None):
        raise typer.BadParameter("--here needs --registry, and --registry needs --here", param_hint="--here")
    if here and detach:
        raise typer.BadParameter("a run in this machine ends with the command", param_hint="--detach")
    key = key_of(model, data)
    store = open_registry(options, registry, create=True)
    declare(store, model, spec, actor=identity(options, registry))
    if registry is None:
        run = follow_in_the_cloud(options, model, data, detach=detach)
    else:
        run = run_here(options, model, data, key, registry, at)
    if run is None:
        return
    print_json(run) if options.json else print_run(run)
    if run["state"] not in GOOD:
        problem = run["problem"] or {"reason": run["state"], "advice": None}
        raise CommandFailed(f"The run ended as {run['state']}: {problem['reason']}.", next_step=problem["advice"])


def declare(registry: "Registry", model: str, spec: Path | None, *, actor: str) -> None:
    """The spec that was given; or for a model that nobody knows yet, the one of this checkout."""
    from lastmile.errors import NotFound
    from lastmile.spec import ModelSpec

    if spec is None:
        try:
            registry.spec(model)
        except NotFound:
            spec = CHECKOUT / "models" / model / "spec.toml"
            if not spec.is_file():
                raise CommandFailed(
                    f"Nobody has declared a model '{model}'.", next_step="Give its spec with --spec."
                ) from None
        else:
            return
    declared = ModelSpec.from_toml(spec)
    if declared.name != model:
        raise CommandFailed(f"{spec} is the spec of '{declared.name}', not of '{model}'.")
    if declared.training is None:
        raise CommandFailed(f"{spec} has no [training] section.", next_step="See docs/learning.md.")
    registry.declare(declared, actor=actor, why=f"spec for training: {spec.name}")


def follow_in_the_cloud(options: Options, model: str, data: Path, *, detach: bool) -> Document | None:
    target = options.target()
    progress = Progress()
    with progress.step(f"Uploading {data.name}") as tell:
        run = upload(target, model, data, tell)
    if detach:
        print_json({"model": model, "run": run}) if options.json else note(f"Next: {how_to_follow(model, run)}")
        return None
    try:
        return shown_until_over(progress, changes(ApiLearning(target), model, run))
    except KeyboardInterrupt:
        note(f"The run goes on. To follow it: {how_to_follow(model, run)}")
        raise typer.Exit(INTERRUPTED) from None
    except Unreachable as error:
        raise Unreachable(str(error), next_step=f"The run goes on. To follow it: {how_to_follow(model, run)}") from None


def how_to_follow(model: str, run: str) -> str:
    return f"lastmile run show {run} --model {model}"


def shown_until_over(progress: Progress, changes: Iterable[Document], *, prefix: str = "") -> Document:
    """Each step as it is finished; the last record."""
    told: set[str] = set()
    with progress.step(f"{prefix}Run") as tell:
        for run in changes:
            for step in [name for name in run["steps"] if name not in told]:
                told.add(step)
                progress.say(f"  {prefix}✓ {step}")
            if run["state"] not in told and run["state"] == "waiting for approval":
                told.add(run["state"])
                progress.say(f'  {prefix}? lastmile approve {run["model"]} {run["version"]} --why "…"')
            tell(f"{run['step']}, {run['state']}")
    return run


def places_of(registry: str, at: str | None) -> str:
    """The options by which another command finds the same stores."""
    return f"--registry {quote(registry)}" + (f" --data {quote(at)}" if at else "")


def found_by(at_work: Document, registry: str, at: str | None) -> str:
    """A sentence, where there is a run."""
    show = f"lastmile run show {at_work['run']} {places_of(registry, at)}"
    return f" What it had found: `{show}`." if at_work["run"] else ""


def run_here(options: Options, model: str, data: Path, key: str, registry: str, at: str | None) -> Document:
    """The pipeline as a process of its own, on the user's stores."""
    from cli.learning import StoreLearning
    from cli.push import source_of

    store = open_data(options, registry, at)
    progress = Progress()
    with progress.step(f"Copying {data.name}"):
        interruptible(lambda: store.put(key, data.read_bytes()))
    places = {"LASTMILE_ARTIFACTS": located(registry), "LASTMILE_DATA": located(at or registry)}
    environ = {**os.environ, **store_environ(options, places["LASTMILE_DATA"]), **places}
    code = source_of(CHECKOUT / "functions").get("code", {})
    environ |= {"POWERTOOLS_LOG_LEVEL": "CRITICAL", "ORT_DISABLE_TELEMETRY": "1", "LASTMILE_CODE": json.dumps(code)}
    interrupts.end_on_termination()
    last: Document | None = None
    at_work: Document = {"step": "claim", "run": None}
    with (
        progress.step(f"Training {model}") as tell,
        running("functions.retraining.here", key, checkout=CHECKOUT, environ=environ, marker="lastmile.run") as child,
    ):
        try:
            for said in child.said():
                if "record" in said:
                    last = said["record"]
                    continue
                if said["step"] == "ask" != at_work["step"]:
                    progress.say(f'  ? lastmile approve {model} {said["version"]} --why "…" {places_of(registry, at)}')
                at_work = said
                tell(said["step"])
            complaint = child.last_words()
        except KeyboardInterrupt:
            child.terminate()
            note(f"The run has ended with the command, at step {at_work['step']}.{found_by(at_work, registry, at)}")
            raise typer.Exit(INTERRUPTED) from None
    if last is None:
        why = complaint or f"it said nothing and ended with {child.process.returncode}"
        raise CommandFailed(
            f"The training process broke off at step {at_work['step']}: {why}.",
            next_step="Mend that and train again." + found_by(at_work, registry, at),
        )
    learning = open_learning(options, registry, at)
    assert isinstance(learning, StoreLearning)
    found = learning.run(model, last["id"])
    assert found is not None
    return found
