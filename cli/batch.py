"""`lastmile batch`: all rows of a file at once, on this machine or, for a file in S3, in the cloud."""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from cli.child import running
from cli.control import Document, RegistryOption, store_environ
from cli.errors import NEXT_STEPS, CommandFailed, Unreachable, sentence
from cli.learning import located
from cli.output import console, note, print_fields, print_json, printable
from cli.target import CHECKOUT, Options
from lastmile.errors import StoreUnavailable

INTERRUPTED = 130
AGAIN = "Start the same command again, and it goes on from here."
NEXT = "Mend that, then start it again."
MARKER = "lastmile.batch"
# A slice's arrays lie where those of the slice before lay, in large pages: memory that is given back and asked for
# again costs a fault for each 4 KB. Arrow's own pool would keep another heap for each thread.
MALLOC = {"hugetlb": 1, "mmap_threshold": 1 << 30, "trim_threshold": 1 << 32}
MEMORY = {
    "GLIBC_TUNABLES": ":".join(f"glibc.malloc.{name}={value}" for name, value in MALLOC.items()),
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}


def batch(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    data: Annotated[str, typer.Argument(metavar="INPUT", help="CSV or Parquet: a file, or s3://bucket/key.")],
    output: Annotated[
        str | None, typer.Option(help="The file to write, or s3://bucket/prefix/ (in the cloud: in its data bucket).")
    ] = None,
    version: Annotated[int | None, typer.Option(min=1, help="This version instead of the champion.")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="A column of the input that the result repeats.")] = None,
    decides: Annotated[bool, typer.Option("--decide", help="Put each row through the model's policy too.")] = False,
    form: Annotated[str, typer.Option("--format", help="In the cloud: parquet or csv.")] = "parquet",
    tolerate: Annotated[
        float, typer.Option(min=0, max=1, help="In the cloud: share of the rows whose parts may fail.")
    ] = 0.0,
    detach: Annotated[bool, typer.Option("--detach", help="In the cloud: do not wait for the end.")] = False,
    batch_rows: Annotated[
        int | None, typer.Option(min=1, help="Rows in one call of the model; otherwise it is measured.")
    ] = None,
    part_rows: Annotated[int | None, typer.Option(min=1, help="In the cloud: the most rows of one part.")] = None,
    endpoint: Annotated[
        bool,
        typer.Option("--endpoint", help="In the cloud, of a heavy model: ask its endpoint, start no transform job."),
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads on this machine (one more than cores).")] = None,
    registry: RegistryOption = None,
) -> None:
    """Predict all rows of a file. Started again after an interruption, it goes on where it stopped."""
    options: Options = context.obj
    asked: Document = {
        "model": model,
        "version": version,
        "keep": keep or [],
        "decides": decides,
        "batch_rows": batch_rows,
    }
    if data.startswith("s3://") or (output or "").startswith("s3://"):
        refuse("--registry and --workers are for files of this machine", registry is not None or workers is not None)
        from cli.batches import in_the_cloud

        in_the_cloud(
            options,
            asked | {"part_rows": part_rows, "endpoint": endpoint},
            data,
            output,
            form=form,
            tolerated=tolerate,
            detach=detach,
        )
        return
    clouds = form != "parquet" or tolerate > 0 or detach or endpoint or part_rows is not None
    refuse("--format, --tolerate, --detach, --endpoint and --part-rows are for files in S3", clouds)
    if output is None:
        raise typer.BadParameter("name the file to write", param_hint="--output")
    report = on_this_machine(options, asked | {"workers": workers, "input": data, "output": output}, registry)
    print_json(report) if options.json else print_report(report)


def refuse(why: str, wrong: bool) -> None:
    if wrong:
        raise typer.BadParameter(why)


def on_this_machine(options: Options, asked: Document, registry: str | None) -> Document:
    """The engine as a process of its own, on the user's files."""
    if registry is None:
        target = options.target()
        uri, environ = target.artifacts, {**os.environ, **target.environ}
    else:
        uri = located(registry)
        environ = {**os.environ, **store_environ(options, uri)}
    environ |= {"ORT_DISABLE_TELEMETRY": "1", "OPENBLAS_NUM_THREADS": "1", **MEMORY}
    places = {name: str(Path(asked[name]).absolute()) for name in ("input", "output")}
    argument = json.dumps({**asked, **places, "registry": uri})
    started = time.monotonic()
    ended: Document = {}
    with (
        shown(Path(asked["input"]).name) as show,
        running("functions.batch.here", argument, checkout=CHECKOUT, environ=environ, marker=MARKER) as child,
    ):
        try:
            for said in child.said():
                ended = said
                if "state" in said:
                    show(Seen.of(said["state"]))
        except KeyboardInterrupt:
            child.terminate()
            note(AGAIN)
            raise typer.Exit(INTERRUPTED) from None
        complaint = child.last_words()
    if "refused" in ended:
        raise refusal(ended["kind"], ended["refused"])
    if "done" not in ended:
        raise CommandFailed(f"The batch broke off: {complaint or 'its process was ended'}.", next_step=AGAIN)
    return report_of(asked, ended["done"], time.monotonic() - started)


def refusal(kind: str, reason: str) -> CommandFailed:
    """What the engine refused, as this process would have."""
    step = next((step for error, step in NEXT_STEPS if error.__name__ == kind), NEXT)
    failure = Unreachable if kind == StoreUnavailable.__name__ else CommandFailed
    return failure(sentence(reason), next_step=AGAIN if kind == "OSError" else step)


def report_of(asked: Document, done: Document, seconds: float) -> Document:
    new = done["rows"] - done["found"]
    return {
        "model": asked["model"],
        "version": done["version"],
        "output": asked["output"],
        "rows": done["rows"],
        "bad_rows": done["bad"],
        "errors": f"{asked['output']}.errors.jsonl" if done["bad"] else None,
        "found": done["found"],
        "batch_rows": done["batch_rows"],
        "seconds": round(seconds, 3),
        "rows_per_second": round(new / seconds) if seconds else None,
    }


def print_report(report: Mapping[str, Any]) -> None:
    named = {"bad_rows": "bad rows", "found": "found from before", "batch_rows": "rows a call",
             "rows_per_second": "rows/s"}  # fmt: skip
    hidden = [name for name in ("errors", "found") if not report.get(name)]
    print_fields([(named.get(name, name), value) for name, value in report.items() if name not in hidden])


@dataclass(frozen=True, slots=True)
class Seen:
    """Of a batch under way. `new` are the rows since it was started this time."""

    rows: int
    bad: int
    share: float
    new: int

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "Seen":
        return cls(state["rows"], state["bad"], state["share"], state["rows"] - state["found"])


class Show(Protocol):
    def __call__(self, seen: Seen) -> None: ...


@contextmanager
def shown(title: str) -> Iterator[Show]:
    """A bar with rows and rows per second while somebody watches."""
    if not sys.stderr.isatty():
        yield lambda seen: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
               TextColumn("{task.fields[told]}"), TimeRemainingColumn())  # fmt: skip
    started = time.monotonic()
    with Progress(*columns, console=console(sys.stderr), transient=True) as progress:
        task = progress.add_task(printable(title), total=1.0, told="")

        def show(seen: Seen) -> None:
            progress.update(task, completed=seen.share, told=told(seen, time.monotonic() - started))

        yield show


def told(seen: Seen, seconds: float) -> str:
    bad = f", {seen.bad:,} bad" if seen.bad else ""
    return f"{seen.rows:,} rows{bad}, {seen.new / max(seconds, 1e-3):,.0f} rows/s"
