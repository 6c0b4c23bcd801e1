"""`lastmile heavy`: endpoints on GPUs for the versions that are released, and for those that are to be."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import CommandFailed
from cli.output import note, print_fields, print_json, print_table, size
from cli.target import Access, Options

if TYPE_CHECKING:
    from lastmile.manifest import Manifest
    from lastmile.registry import Registry

app = typer.Typer(help="Give heavy models endpoints on GPUs, or take them away.", no_args_is_help=True)

ROLES = ("champion", "challenger", "shadow", "previous")
LOCAL = "The local AWS has no SageMaker; there a process of your own machine stands in for it."


@dataclass(frozen=True, slots=True)
class Wanted:
    """A version that is to have an endpoint. `why` is its role in the release, or that it was named."""

    model: str
    version: int
    why: str
    package_bytes: int
    settings: dict[str, Any]

    @property
    def id(self) -> str:
        return f"{self.model}:{self.version}"


Versions = Annotated[
    list[str] | None,
    typer.Argument(help="Versions beside the released ones, like tickets:5, or tickets for its latest."),
]


@app.command("list")
def list_(context: typer.Context, versions: Versions = None) -> None:
    """Show which versions `heavy deploy` would give endpoints to."""
    options: Options = context.obj
    found = wanted(options.target().registry(), versions or ())
    if options.json:
        print_json({"versions": [{"id": one.id, "why": one.why, **one.settings} for one in found]})
        return
    rows = [(one.id, one.why, size(one.package_bytes), one.settings["instance"]) for one in found]
    print_table(("version", "because", "package", "instance"), rows)
    if not rows:
        note("No released version has a heavy side. Next: lastmile push light.onnx --heavy heavy.onnx --spec spec.toml")


@app.command()
def deploy(
    context: typer.Context,
    versions: Versions = None,
    yes: Annotated[bool, typer.Option("--yes", help="Deploy without asking.")] = False,
) -> None:
    """Give released versions their endpoints.

    Of every heavy model; what would change, and its price, is shown first.

    Released are champion, challenger, shadow and previous, so that promoting, a canary and going back find theirs.
    Name a version to have its endpoint before its canary begins. Whatever is neither loses its endpoint.
    """
    from cli.deploy import roll_out

    options: Options = context.obj
    if options.is_local:
        raise CommandFailed(LOCAL, next_step="Name an account with --profile or --stage.")
    found = wanted(options.target().registry(), versions or ())
    if not found:
        raise CommandFailed(
            "No version with a heavy side is released.",
            next_step="Push one with --heavy, promote it, or name it: lastmile heavy deploy <model>.",
        )
    outputs = roll_out(options, yes=yes, context=context_of(found))
    if options.json:
        print_json(outputs)
    else:
        print_fields([(name, value) for name, value in sorted(outputs.items()) if name.startswith("Heavy")])


@app.command()
def remove(
    context: typer.Context, yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False
) -> None:
    """Delete every endpoint on GPUs.

    Versions, packages and all else stay. Heavy requests then get light answers, or wait.
    """
    from cli.deploy import ask
    from cli.local import stack_status
    from cli.progress import Progress

    options: Options = context.obj
    if options.is_local:
        raise CommandFailed(LOCAL, next_step="Name an account with --profile or --stage.")
    access = Access.from_profile(options.profile, region=options.region)
    name = stack_name(options.stage or "dev")
    if stack_status(access, name) is None:
        note(f"There is no stack {name} in {access.region}.")
        return
    if not yes:
        ask(f"Delete {name} in {access.region}?")
    formation = access.client("cloudformation")
    with Progress().step(f"Deleting {name}"):
        formation.delete_stack(StackName=name)
        formation.get_waiter("stack_delete_complete").wait(StackName=name)


def stack_name(stage: str) -> str:
    return f"Lastmile-{stage}-Gpu"


def wanted(registry: "Registry", named: Iterable[str]) -> list[Wanted]:
    """Released versions with a heavy side, and the named ones; by model and number."""
    found: dict[tuple[str, int], Wanted] = {}
    for release in registry.releases(registry.models()):
        for role in ROLES:
            version = getattr(release, role)
            if version is not None and (release.model, version) not in found:
                one = _wanted(registry.manifest(release.model, version, release=release), role)
                if one is not None:
                    found[release.model, version] = one
    for word in named:
        one = _named(registry, word)
        found.setdefault((one.model, one.version), one)
    return [found[key] for key in sorted(found)]


def context_of(found: Sequence[Wanted]) -> dict[str, str]:
    """What infra/heavy.py reads."""
    return {
        "gpu": "true",
        "heavy": ",".join(one.id for one in found),
        "heavy_settings": json.dumps({one.id: one.settings for one in found}, sort_keys=True),
    }


def _named(registry: "Registry", word: str) -> Wanted:
    model, _, number = word.partition(":")
    if number and not (number.isascii() and number.isdigit()):
        raise CommandFailed(
            f"'{word}' names no version.", next_step="Name one like tickets:5, or tickets for its latest."
        )
    release = registry.release(model)
    manifest = registry.manifest(model, int(number) if number else release.latest, release=release)
    found = _wanted(manifest, "named")
    if found is None:
        raise CommandFailed(
            f"Version {manifest.version} of {model} has no heavy side.", next_step="Push one with --heavy."
        )
    return found


def _wanted(manifest: "Manifest", why: str) -> Wanted | None:
    from lastmile.heavy.packaging import PACKAGE

    files = {file.path: file for file in (manifest.artefact, *manifest.files)}
    settings = manifest.policy.get("heavy")
    if PACKAGE not in files or settings is None:
        return None
    return Wanted(manifest.model, manifest.version, why, files[PACKAGE].bytes, settings)
