"""`lastmile drift`: what has changed in the rows of a model, or between two files."""

from typing import Any

import typer
from typer.core import TyperGroup

from cli.compare import compare
from cli.watching import check


class CheckedByDefault(TyperGroup):
    """`drift fraud` is `drift check fraud`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["check", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=CheckedByDefault, help="Judge whether rows have drifted from a reference.", no_args_is_help=True)
app.command()(check)
app.command()(compare)
