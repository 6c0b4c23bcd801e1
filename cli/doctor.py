"""`lastmile doctor`: what is wrong with this machine or stack, and how to mend it."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import typer

from cli import machine
from cli.errors import CommandFailed
from cli.output import print_json, print_table
from cli.target import Options

REACH = "Check the network, the region, and the credentials (--profile)."
MARKS = {"ok": "✓", "wrong": "✗", "skipped": "-"}


@dataclass(frozen=True)
class Finding:
    check: str
    state: str  # one of MARKS
    found: str
    mend: str | None = None


@dataclass(frozen=True)
class Check:
    """`look` says what is there, or raises CommandFailed with the next step."""

    name: str
    look: Callable[[], str]

    def run(self) -> Finding:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return Finding(self.name, "ok", self.look())
        except CommandFailed as failure:
            return Finding(self.name, "wrong", str(failure), failure.next_step)
        except (BotoCoreError, ClientError) as error:
            return Finding(self.name, "wrong", str(error), REACH)


def doctor(context: typer.Context) -> None:
    """Say what is wrong with machine and stack, and how to mend it."""
    options: Options = context.obj
    findings = list(examine(options))
    if options.json:
        print_json([vars(finding) for finding in findings])
    else:
        rows = [(MARKS[item.state], item.check, item.found, item.mend or "") for item in findings]
        print_table(["", "check", "found", "to mend it"], rows)
    if any(finding.state == "wrong" for finding in findings):
        sys.exit(1)


def examine(options: Options) -> Iterator[Finding]:
    """The machine first. Of the stack, what comes after something wrong would only repeat it, and is skipped."""
    from cli.health import Account, Local, Stack

    for name, look in machine.CHECKS.items():
        yield Check(name, look).run()
    place = Local(options.local) if options.is_local else Account(options)
    wrong = False
    for name, look in (place.checks() | Stack(place.target).checks()).items():
        finding = Finding(name, "skipped", "needs the one above") if wrong else Check(name, look).run()
        wrong = wrong or finding.state == "wrong"
        yield finding
    for name, look in place.freshness().items():
        yield Check(name, look).run()
