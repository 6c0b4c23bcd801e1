"""Who may do what in chat: `lastmile chat allow`, `deny` and `people`."""

import json
from typing import Annotated, Any

import typer

from cli.connections import read
from cli.errors import CommandFailed
from cli.output import note, print_json, print_table
from cli.target import Options, Target

SCOPES = ("read", "operate", "approve")
PLATFORMS = ("slack", "discord", "telegram", "teams", "standard")
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
    """Let a platform's user ask (read), roll back and decide reviews (operate), or answer approvals (approve)."""
    check_person(person)
    if wrong := next((scope for scope in scopes if scope not in SCOPES), None):
        raise CommandFailed(f"{wrong!r} is none of {', '.join(SCOPES)}.")
    wanted = " ".join(scope for scope in SCOPES if scope in scopes)
    target = context.obj.target()
    write(target, known(target) | {person: wanted})
    print_json({person: wanted.split()}) if context.obj.json else note(f"{person} may {wanted.replace(' ', ', ')}.")


def deny(context: typer.Context, person: PersonArgument) -> None:
    """Take everything away from a platform's user, at once."""
    target = context.obj.target()
    found = known(target)
    if person not in found:
        raise CommandFailed(f"{person} may nothing already.", next_step="See `lastmile chat people`.")
    write(target, {name: scopes for name, scopes in found.items() if name != person})
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
        write(target, {person: " ".join(SCOPES) for person in LOCAL})


def check_person(person: str) -> None:
    platform, _, user = person.partition(":")
    if platform not in PLATFORMS or not user:
        raise CommandFailed(f"{person!r} is no person: write <platform>:<user>, of {', '.join(PLATFORMS)}.")


def known(target: Target) -> dict[str, str]:
    return read(target.client("secretsmanager"), secret_name(target)) or {}


def write(target: Target, document: dict[str, str]) -> None:
    client, text = target.client("secretsmanager"), json.dumps(document)
    if exists(client, secret_name(target)):
        client.put_secret_value(SecretId=secret_name(target), SecretString=text)
    else:
        client.create_secret(Name=secret_name(target), SecretString=text)


def exists(client: Any, name: str) -> bool:
    return read(client, name) is not None


def secret_name(target: Target) -> str:
    return f"lastmile/{target.stage}/chat/people"
