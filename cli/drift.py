"""`lastmile drift`: what has changed in the rows of a model, or between two files."""

import typer

from cli.compare import compare

app = typer.Typer(help="Judge whether rows have drifted from a reference.", no_args_is_help=True)
app.command()(compare)


@app.callback()
def drift() -> None:
    """A callback keeps `compare` a command of the group while it is the only one."""
