"""Batches in the cloud: started, followed, and listed by `lastmile batches`."""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import transfer
from cli.batch import INTERRUPTED, NEXT, Seen, print_report, shown
from cli.control import Document, identity
from cli.errors import CommandFailed
from cli.output import age, note, print_json, print_table
from cli.progress import POLL_SECONDS, Progress, longer
from cli.target import Options, Target

if TYPE_CHECKING:
    from lastmile.batches import Batch, Batches
    from lastmile.store import Store

REASONS = 5
GOING_ON = ("RUNNING", "PENDING_REDRIVE")
AGAIN = "Start the same command again: it does what is missing."


def batches(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(help="Name of the model; without it, of all.")] = None,
) -> None:
    """Show what became of batches in the cloud, newest first."""
    options: Options = context.obj
    target = options.target()
    jobs = opened(target)
    found = sorted(jobs.all(model), key=lambda one: one.created_at, reverse=True)
    documents = [one.to_document() | {"report": report_of(target, jobs, one)} for one in found]
    if options.json:
        print_json(documents)
        return
    if not documents:
        note("There are no batches. Next: lastmile batch <model> s3://…/input.csv")
        return
    columns = ("batch", "model", "version", "state", "rows", "bad", "missing", "input", "output", "made")
    print_table(columns, list(map(row_of, documents)))


def report_of(target: Target, jobs: "Batches", batch: "Batch") -> Document | None:
    """Who was stopped could not say so."""
    report: Document | None = jobs.document(batch, "report.json")
    if report is not None and report["state"] == "running" and target.batch_state_machine_arn is not None:
        known = list(executions(target, batch))
        if known and known[-1][1] not in GOING_ON:
            report["state"] = "stopped"
    return report


def row_of(document: Document) -> tuple[Any, ...]:
    from lastmile.audit import rfc3339

    report = document["report"] or {"state": "not started"}
    told = (report.get(name) for name in ("rows", "bad_rows", "missing_rows"))
    made = age(rfc3339(int(document["created_at"] * 1000)))
    return (document["id"], document["model"], document["version"], report["state"], *told, document["input"],
            document["output"], made)  # fmt: skip


def in_the_cloud(
    options: Options, asked: Document, data: str, output: str | None, *, form: str, tolerated: float, detach: bool
) -> None:
    """The same command again follows the job that it started, or does what is missing of it."""
    target = options.target()
    if target.batch_state_machine_arn is None:
        raise CommandFailed("Nothing that does batches is deployed.", next_step="Run `make up`.")
    batch = job_of(target, asked, data, output, form=form, actor=identity(options, None))
    execution = begun(target, batch, tolerated)
    if detach:
        started = {"batch": batch.id, "execution": execution, "output": batch.output}
        print_json(started) if options.json else note(f"It runs as {batch.id}. Next: lastmile batches {batch.model}")
        return
    try:
        report = followed(target, batch, execution)
    except KeyboardInterrupt:
        note("The batch goes on. To follow it, start the same command again.")
        raise typer.Exit(INTERRUPTED) from None
    told = {"batch": batch.id, "model": batch.model, "version": batch.version, "output": batch.output}
    document: Document = told | report
    failed: list[Document] = document.pop("failed", None) or []
    if options.json:
        print_json(document | {"failed": failed})
    else:
        document.pop("ended_at", None)
        print_report({name: value for name, value in document.items() if value is not None})
        for one in failed[:REASONS]:
            note(f"rows from {one['first_row']:,} on, {one['rows']:,} of them: {one['reason']}")
    if report["state"] != "done":
        raise CommandFailed(
            f"The batch is {report['state']}: {report.get('reason') or 'see its report'}.",
            next_step=NEXT if report["state"] == "refused" else AGAIN,
        )


def job_of(target: Target, asked: Document, data: str, output: str | None, *, form: str, actor: str) -> "Batch":
    from lastmile.batches import FORMATS, Batch, Place, batch_id
    from lastmile.ulid import new_ulid

    if form not in FORMATS:
        raise typer.BadParameter(f"'{form}' is none of {', '.join(FORMATS)}", param_hint="--format")
    model = asked["model"]
    release = target.registry().release(model)
    version = asked["version"] or release.champion
    if version is None:
        raise CommandFailed(f"Model '{model}' has no champion.", next_step="Name a version with --version.")
    jobs = opened(target)
    place = Place.of(data) if data.startswith("s3://") else uploaded(target, jobs.data, model, Path(data))
    allowed(target, place)
    if output is not None:
        allowed(target, Place.of(output))
    stat = store_of(target, place.bucket).stat(place.path)
    kept = {name: asked[name] for name in ("keep", "decides", "batch_rows", "part_rows")}
    kept |= {"endpoint": True} if asked.get("endpoint") else {}
    number = batch_id(model=model, version=version, input=place.uri, etag=stat.etag, output=output, format=form, **kept)
    made = Batch(
        id=number,
        model=model,
        version=version,
        input=place.uri,
        etag=stat.etag,
        size=stat.size,
        output=Place.of(output).uri if output else f"s3://{target.data_bucket}/batches/{model}/{number}/output",
        format="csv" if form == "csv" else "parquet",
        keep=tuple(asked["keep"]),
        decides=asked["decides"],
        batch_rows=asked["batch_rows"],
        part_rows=asked["part_rows"],
        prefix=new_ulid()[:18],
        created_at=time.time(),
        actor=actor,
        endpoint=asked.get("endpoint", False),
    )
    return jobs.create(made)


def allowed(target: Target, place: Any) -> None:
    if place.bucket == target.data_bucket and not place.path.startswith("batches/"):
        raise CommandFailed(
            f"Batches may not use {place.uri}.",
            next_step=f"Use s3://{target.data_bucket}/batches/…, or a bucket of `batch_buckets` in infra/config.py.",
        )


def uploaded(target: Target, store: "Store", model: str, data: Path) -> Any:
    """Under a name that says what is in it, so that it is uploaded once."""
    from lastmile.batches import Place

    name = transfer.name_of(data)
    with data.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    place = Place(target.data_bucket, f"batches/{model}/inputs/{digest}/{name}")
    if not store.exists(place.path):
        with Progress().step(f"Uploading {data.name}") as tell:
            transfer.upload(target, data, place.bucket, place.path, tell)
    return place


def begun(target: Target, batch: "Batch", tolerated: float) -> str:
    """The ARN of the execution that is at work on the job, or has done it; started where there is none, or where what
    it made is not all there."""
    known = list(executions(target, batch))
    if known and (known[-1][1] in GOING_ON or (known[-1][1] == "SUCCEEDED" and is_whole(target, batch, tolerated))):
        return known[-1][0]
    given = {"job": {"model": batch.model, "id": batch.id, "tolerated": tolerated}}
    machine, name = target.client("stepfunctions"), f"{batch.id}-{len(known) + 1}"
    with suppress(machine.exceptions.ExecutionAlreadyExists):  # somebody else has just begun it
        machine.start_execution(stateMachineArn=str(target.batch_state_machine_arn), name=name, input=json.dumps(given))
    return arn_of(target, name)


def executions(target: Target, batch: "Batch") -> Iterator[tuple[str, str]]:
    """ARN and status of each, first to last."""
    from botocore.exceptions import ClientError

    machine = target.client("stepfunctions")
    for attempt in count(1):
        arn = arn_of(target, f"{batch.id}-{attempt}")
        try:
            yield arn, str(machine.describe_execution(executionArn=arn)["status"])
        except ClientError as error:
            if "ExecutionDoesNotExist" not in str(error):
                raise
            return


def arn_of(target: Target, execution: str) -> str:
    return f"{str(target.batch_state_machine_arn).replace(':stateMachine:', ':execution:')}:{execution}"


def is_whole(target: Target, batch: "Batch", tolerated: float) -> bool:
    """Whether no larger share of the rows is missing than is tolerated now, and the list of the parts is there."""
    from lastmile.batches import Place, done_parts

    plan, output = opened(target).document(batch, "plan.json"), store_of(target, Place.of(batch.output).bucket)
    if plan is None or not output.exists(f"{Place.of(batch.output).path}/_manifest.json"):
        return False
    done = set(done_parts(output, batch))
    missing = sum(one["rows"] for number, one in enumerate(plan["slices"]) if number not in done)
    return bool(missing <= tolerated * plan["rows"])


def followed(target: Target, batch: "Batch", execution: str) -> Document:
    """The report, once the execution is over."""
    with shown(f"batch {batch.id}") as show:
        for seen in changes(target, batch, execution):
            show(seen)
    report = opened(target).document(batch, "report.json")
    if report is None or report["state"] == "running":
        raise CommandFailed(
            f"The execution {execution} ended without a report.", next_step="See `lastmile logs batch`."
        )
    found: Document = report
    return found


def changes(target: Target, batch: "Batch", execution: str) -> Iterator[Seen]:
    """What is done, as often as one looks, until the execution is over."""
    from lastmile.batches import Place, done_parts

    machine, jobs = target.client("stepfunctions"), opened(target)
    output = store_of(target, Place.of(batch.output).bucket)
    plan: Document | None = None
    found: int | None = None
    pause = POLL_SECONDS
    while machine.describe_execution(executionArn=execution)["status"] == "RUNNING":
        plan = plan or jobs.document(batch, "plan.json")
        if plan is not None:
            rows = sum(plan["slices"][number]["rows"] for number in done_parts(output, batch))
            found = rows if found is None else found
            yield Seen(rows, 0, rows / max(1, plan["rows"]), rows - found)
        time.sleep(pause)
        pause = longer(pause)


def opened(target: Target) -> "Batches":
    from lastmile.batches import Batches

    return Batches(store_of(target, target.data_bucket))


def store_of(target: Target, bucket: str) -> "Store":
    from lastmile.store import Store

    return Store.open(f"s3://{bucket}", environ=target.environ)
