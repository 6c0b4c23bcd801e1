"""`lastmile models` and `lastmile versions`: what there is, and what each version is worth."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from cli.control import Document, RegistryOption, open_control
from cli.output import note, percent, print_json, print_table, size, when
from cli.target import Options

SHOWN_METRICS = 4


def models(context: typer.Context, registry: RegistryOption = None) -> None:
    """List the models, what serves of each, and the last change."""
    options: Options = context.obj
    found = open_control(options, registry).models()
    if options.json:
        print_json({"models": found})
    elif not found:
        note("There is no model yet. Next: lastmile push <model.onnx> --spec <spec.toml>")
    else:
        print_table(
            ["model", "champion", "challenger", "shadow", "latest", "revision", "last", "changed (UTC)"],
            [
                [
                    release["model"],
                    release["champion"],
                    challenger(release),
                    release["shadow"],
                    release["latest"] or None,
                    release["revision"],
                    release["head"]["action"],
                    when(release["head"]["at"]),
                ]
                for release in found
            ],
        )


def versions(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    registry: RegistryOption = None,
) -> None:
    """List the versions of a model, their metrics, size and role."""
    options: Options = context.obj
    control = open_control(options, registry)
    release = control.release(model)
    found = [version | {"role": role(release, version)} for version in control.versions(model, limit=limit)]
    if options.json:
        print_json({"model": model, "versions": found})
        return
    if not found:
        note(f"{model} has no version yet. Next: lastmile push <model.onnx> --spec <spec.toml>")
        return
    names = metric_names(found)
    print_table(
        ["version", "role", *names, "size", "created (UTC)"],
        [
            [
                version["version"],
                version["role"],
                *(version["metrics"].get(name) for name in names),
                size(version["artefact"]["bytes"]),
                when(version["created_at"]),
            ]
            for version in found
        ],
    )


def challenger(release: Document) -> str | None:
    if release["challenger"] is None:
        return None
    return f"{release['challenger']} ({percent(release['weight'])})"


def role(release: Document, version: Mapping[str, Any]) -> str | None:
    """What the version does now; a version may be the shadow and the previous champion at once."""
    roles = [name for name in ("champion", "challenger", "shadow", "previous") if release[name] == version["version"]]
    if version.get("rejected"):
        roles.append("rejected")
    shown = ", ".join(roles)
    return shown.replace("challenger", f"challenger {percent(release['weight'])}") or None


def metric_names(versions: Sequence[Mapping[str, Any]]) -> list[str]:
    """The first numbers among the metrics, in the order in which the newest version gives them."""
    names = [
        name
        for version in versions
        for name, value in version["metrics"].items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    return list(dict.fromkeys(names))[:SHOWN_METRICS]
