"""Who may do what in chat: `lastmile chat allow`, `deny` and `people`."""

import json
from collections.abc import Callable
from typing import Annotated, Any
from uuid import uuid4

import typer

from cli.errors import CommandFailed
from cli.output import note, print_json, print_table
from cli.target import Options, Target

SCOPES = ("read", "operate", "approve")
PLATFORMS = ("slack", "discord", "telegram", "teams", "standard")
CURRENT = "AWSCURRENT"
ATTEMPTS = 10
LOCAL = ("slack:T1:U1", "standard:you")  # as `lastmile chat` signs

PersonArgument = Annotated[
    str,
    typer.Argument(help="Platform and user as the chat names them to whoever may not, such as slack:T024BE7LD:U2147."),
]


def allow(
    context: typer.Context,
    person: PersonArgument,
    scopes: Annotated[list[str], typer.Argument(help=f"Any of {', '.join(SCOPES)}; others are taken away.")],
) -> None:
    """Say what somebody may do in chat.

    Ask (read), roll back and decide reviews (operate), or answer approvals (approve).
    """
    check_person(person)
    if wrong := next((scope for scope in scopes if scope not in SCOPES), None):
        raise CommandFailed(f"{wrong!r} is none of {', '.join(SCOPES)}.")
    wanted = " ".join(scope for scope in SCOPES if scope in scopes)
    target = context.obj.target()
    change(target, lambda found: found | {person: wanted})
    print_json({person: wanted.split()}) if context.obj.json else note(f"{person} may {wanted.replace(' ', ', ')}.")


def deny(context: typer.Context, person: PersonArgument) -> None:
    """Take everything away from a platform's user, at once."""

    def without(found: dict[str, str]) -> dict[str, str]:
        if person not in found:
            raise CommandFailed(f"{person} may nothing already.", next_step="See `lastmile chat people`.")
        return {name: scopes for name, scopes in found.items() if name != person}

    change(context.obj.target(), without)
    print_json({person: []}) if context.obj.json else note(f"{person} may nothing any more.")


def people(context: typer.Context) -> None:
    """List who may do what in chat."""
    options: Options = context.obj
    found = known(options.target())
    if options.json:
        print_json({person: scopes.split() for person, scopes in found.items()})
    elif found:
        print_table(["person", "may"], [[person, scopes.replace(" ", ", ")] for person, scopes in found.items()])
    else:
        note("Nobody may do anything in chat. Next: lastmile chat allow <person> read operate approve")


def allow_locally(target: Target) -> None:
    """Whoever sits at this machine may do everything, unless somebody has said otherwise."""
    if not known(target):
        change(target, lambda found: found or {person: " ".join(SCOPES) for person in LOCAL})


def check_person(person: str) -> None:
    platform, _, user = person.partition(":")
    if platform not in PLATFORMS or not user:
        raise CommandFailed(f"{person!r} is no person: write <platform>:<user>, of {', '.join(PLATFORMS)}.")


def known(target: Target) -> dict[str, str]:
    return held(target.client("secretsmanager"), secret_name(target))[0]


def held(client: Any, name: str) -> tuple[dict[str, str], str | None]:
    """And the id of the version that says so, None where there is no secret yet."""
    try:
        found = client.get_secret_value(SecretId=name, VersionStage=CURRENT)
    except client.exceptions.ResourceNotFoundException:
        return {}, None
    return json.loads(found["SecretString"]), found["VersionId"]


def change(target: Target, changed: Callable[[dict[str, str]], dict[str, str]]) -> None:
    """Nobody's change is lost: what was written meanwhile is read, and changed again."""
    client, name = target.client("secretsmanager"), secret_name(target)
    for _ in range(ATTEMPTS):
        if replaced(client, name, changed):
            return
    raise CommandFailed("Too many write at once who may do what in chat.", next_step="Try again.")


def replaced(client: Any, name: str, changed: Callable[[dict[str, str]], dict[str, str]]) -> bool:
    """Whether nobody wrote in between: the label of what is current moves only from the version said to have it.
    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html"""
    document, before = held(client, name)
    text, label = json.dumps(changed(document)), f"lastmile-{uuid4()}"
    if before is None:
        try:
            client.create_secret(Name=name, SecretString=text)
        except client.exceptions.ResourceExistsException:
            return False
        return True
    version = client.put_secret_value(SecretId=name, SecretString=text, VersionStages=[label])["VersionId"]
    try:
        client.update_secret_version_stage(
            SecretId=name, VersionStage=CURRENT, MoveToVersionId=version, RemoveFromVersionId=before
        )
    except (client.exceptions.InvalidParameterException, client.exceptions.InvalidRequestException):
        return False
    finally:
        client.update_secret_version_stage(SecretId=name, VersionStage=label, RemoveFromVersionId=version)
    return True


def secret_name(target: Target) -> str:
    return f"lastmile/{target.stage}/chat/people"
