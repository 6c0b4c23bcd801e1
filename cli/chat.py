"""`lastmile chat`: talk to the support assistant, connect platforms, look after messages that could not be answered."""

import json
import sys
import time
import urllib.parse
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from cli import discord, letters, people
from cli.answers import sentence
from cli.connections import MEMBERS, put
from cli.desk import HOST, OPERATIONS, RESPONSES, Reply, desk
from cli.errors import CommandFailed, StackMissing
from cli.output import note, print_json, print_table, print_text
from cli.platforms import MAKE
from cli.target import Options, Target, local_document
from cli.webhooks import SIGN
from cli.wire import Answer

BUTTONLESS = ("zendesk",)
ANSWER_SECONDS = 60.0  # the worker's first call loads a model
QUEUES = (("ChatQueueUrl", "ChatDeadLettersUrl"), ("OperationsQueueUrl", "OperationsDeadLettersUrl"))
app = typer.Typer(help="Talk to the support assistant; connect chat platforms to it.", invoke_without_command=True)

app.command()(people.allow)
app.command()(people.deny)
app.command()(people.people)


@app.callback()
def talk(context: typer.Context) -> None:
    """Without a subcommand: a conversation in the terminal, through the hook and the worker."""
    if context.invoked_subcommand is not None:
        return
    target, local = connections(context.obj)
    conversation = f"terminal-{time.time_ns()}"
    note("Say something, or press a button by its number and a reason; /lastmile is for operators. Ctrl-D ends it.")
    pressable: list[tuple[str, str]] = []  # whose button, and its value

    def tell(reply: Reply) -> None:
        sys.stdout.write("\n[operations] ")
        show(reply, after=len(pressable))
        pressable.extend(("slack", value) for value in reply.buttons.values())

    with desk(local["reply_port"], tell) as found:
        for line in lines():
            (platform, value), text = chosen(line, pressable)
            place = OPERATIONS if platform == "slack" else conversation
            send_as(target, local, platform, text, conversation=place, pressed=value)
            reply = found.wait(ANSWER_SECONDS)
            if platform == "standard":
                pressable.clear()
            show(reply, after=len(pressable))
            pressable.extend((platform, value) for value in (reply.buttons if reply else {}).values())


@app.command()
def send(
    context: typer.Context,
    platform: Annotated[str, typer.Argument(help=f"One of {', '.join(MAKE)}.")],
    text: Annotated[str, typer.Argument(help="What is said, or the reason beside a button.")] = "",
    conversation: Annotated[str, typer.Option(help="Messages of one conversation are answered in order.")] = "D1",
    press: Annotated[str | None, typer.Option(help="Press a button by its value, such as approve:fraud/8.")] = None,
    by: Annotated[str | None, typer.Option(help="The platform's id of the user who speaks.")] = None,
) -> None:
    """Post a message or press a button as a platform would.

    It is signed as the platform signs, and what is answered is shown.
    """
    if platform not in MAKE:
        raise CommandFailed(f"{platform!r} is none of {', '.join(MAKE)}.")
    if press is not None and platform in BUTTONLESS:
        raise CommandFailed("Zendesk's tickets have no buttons to press.")
    target, local = connections(context.obj)
    with desk(local["reply_port"]) as found:
        answer = send_as(target, local, platform, text, conversation=conversation, pressed=press, by=by)
        reply = found.wait(ANSWER_SECONDS)
    if context.obj.json:
        said = None if reply is None else {"text": reply.text, "buttons": reply.buttons}
        print_json({"status": answer.status, "acknowledged": answer.body.decode(), "reply": said})
    else:
        note(f"{platform} got {answer.status} {answer.body.decode()}".rstrip())
        show(reply)


@app.command()
def connect(
    context: typer.Context,
    platform: Annotated[str, typer.Argument(help=f"One of {', '.join(MEMBERS)}.")],
    members: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]…", help="Without any: a JSON object on standard input.")
    ] = None,
) -> None:
    """Keep a platform's secret. A new one takes effect at once; the one before is accepted for another day.

    With a bot's token Discord's commands /ask and /lastmile are registered too.
    """
    given = read_members(members or [])
    registers = platform == "discord" and "bot_token" in given
    if registers:
        given["public_key"] = discord.public_key(given)
    new = put(context.obj.target(), platform, given)
    commands = discord.register(given) if registers else []
    done = {"platform": platform, "members": sorted(given), "new": new, "commands": commands}
    told = f" /{' and /'.join(commands)} registered." if commands else ""
    print_json(done) if context.obj.json else note(f"{platform}: {', '.join(sorted(given))} kept.{told}")


@app.command()
def dead(context: typer.Context) -> None:
    """List messages that could not be answered, and why."""
    options: Options = context.obj
    client, urls = queues(options.target())
    found = [letter for _, dead in QUEUES for letter in letters.listed(client, urls[dead])]
    if options.json:
        print_json(found)
    elif found:
        print_table(["platform", "conversation", "reason"], [list(each.values()) for each in found])
    else:
        note("Every message was answered.")


@app.command()
def redrive(context: typer.Context) -> None:
    """Send the dead letters to the worker again."""
    options: Options = context.obj
    client, urls = queues(options.target())
    count = sum(letters.send_again(client, urls[dead], urls[alive]) for alive, dead in QUEUES)
    print_json({"sent": count}) if options.json else note(f"{count} sent again.")


def connections(options: Options) -> tuple[Target, dict[str, Any]]:
    """The local AWS and the platforms connected to it, from local.json; a real platform sends by itself."""
    if not options.is_local:
        raise CommandFailed("Only the local AWS can be talked to from here.", next_step="Use the platform itself.")
    found = local_document(options.local).get("chat")
    if found is None:  # somebody is still bringing it up
        raise StackMissing("The local AWS is not up.", next_step="Run `make up`.")
    return Target.local(options.local), found


def send_as(
    target: Target,
    local: dict[str, Any],
    platform: str,
    text: str,
    *,
    conversation: str,
    pressed: str | None = None,
    by: str | None = None,
) -> Answer:
    """With a button pressed the text is what stands in the field beside it."""
    who = {} if by is None else {"by": by}
    document = MAKE[platform](text, conversation, pressed, why=text if pressed else "", **who)
    form = "payload" in document or "command" in document
    if form:
        document = answered_at(document, f"http://{HOST}:{local['reply_port']}{RESPONSES}")
    body = urllib.parse.urlencode(document).encode() if form else json.dumps(document).encode()
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    headers = SIGN[platform](body, local[platform]["secret"], time.time()) | {"content-type": kind}
    answer = target.call("POST", f"/hooks/{platform}", body=body, headers=headers)
    if answer.status != 200:
        said = f"The hook answered {answer.status}: {sentence(answer)}."
        raise CommandFailed(said, next_step="See `lastmile logs hook`.")
    return answer


def chosen(line: str, pressable: list[tuple[str, str]]) -> tuple[tuple[str, str | None], str]:
    """Whose button it is, with its value and the reason behind its number; or else what is said to the assistant."""
    number, _, why = line.partition(" ")
    if number.isdecimal() and 0 < int(number[:9]) <= len(pressable):
        return pressable[int(number) - 1], why
    return ("standard", None), line


def answered_at(form: dict[str, Any], url: str) -> dict[str, Any]:
    """Slack's form with the address for answers, which a form with a payload has inside."""
    if "payload" in form:
        return {"payload": json.dumps(json.loads(form["payload"]) | {"response_url": url})}
    return form | {"response_url": url}


def lines() -> Iterator[str]:
    while True:
        try:
            line = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            sys.stdout.write("\n")
            return
        if line:
            yield line


def show(reply: Reply | None, *, after: int = 0) -> None:
    """Its buttons are numbered from the one `after` so many."""
    if reply is None:
        note("No answer came. See `lastmile logs chat`, `lastmile chat dead`.")
        return
    print_text(reply.text)
    for number, label in enumerate(reply.buttons, after + 1):
        print_text(f"  {number} {label}")


def read_members(words: list[str]) -> dict[str, str]:
    if not words:
        try:
            document = json.load(sys.stdin)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
            raise CommandFailed("Standard input must be a JSON object of texts.")
        return document
    pairs = [word.partition("=") for word in words]
    if wrong := next((name for name, sign, value in pairs if not sign or not value), None):
        raise CommandFailed(f"{wrong!r} is not of the form NAME=VALUE.")
    return {name: value for name, _, value in pairs}


def queues(target: Target) -> tuple[Any, dict[str, str]]:
    return target.client("sqs"), target.access.stack_outputs(target.stage)
