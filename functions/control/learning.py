"""Runs of the learning pipeline, and the answer to a run that waits for a person."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from functions.control import documents
from functions.control.refusals import logger
from lastmile import answering
from lastmile.approvals import Approval
from lastmile.audit import rfc3339
from lastmile.executions import Status, described
from lastmile.runs import FINAL, LIVE, Run, Runs

type Name = Annotated[str, Path(description="Name of the model.", examples=["digits"])]
type RunName = Annotated[
    str,
    Path(pattern=r"^\d{8}T\d{6}Z-[0-9a-f]{12}$", description="The run.", examples=["20260314T150926Z-9f86d081884c"]),
]
type Time = Annotated[str, Field(description="RFC 3339, UTC.", examples=["2026-03-14T15:09:26.535Z"])]


class RunPage(documents.Page):
    limit: int = Field(20, ge=1, le=100, description="At most so many.")


class Upload(BaseModel):
    """The version of an object that the run is about."""

    key: str = Field(examples=["training/digits/may.csv"])
    version: str = Field(description="The bucket's version id.", examples=["3sL4kqtJlcpXroDTDmJ"])
    size: int = Field(description="Bytes.", examples=[48213])
    at: Time


class Problem(BaseModel):
    """Why the run did not succeed."""

    step: str = Field(examples=["validate"])
    reason: str = Field(examples=["the column 'amount' is missing"])
    advice: str = Field(description="What to do.", examples=["Mend the header and upload again."])


class RunDocument(BaseModel):
    """A run of the learning pipeline: from an upload to a version that serves, or to a report that says why not."""

    id: str = Field(examples=["20260314T150926Z-9f86d081884c"])
    model: str = Field(examples=["digits"])
    state: Literal[*LIVE, *FINAL] = Field(examples=["promoted"])  # type: ignore[valid-type]
    step: str = Field(description="Where it is, or where it ended.", examples=["judge"])
    version: int | None = Field(description="The version that it registered.", examples=[8])
    upload: Upload
    started_at: Time
    updated_at: Time
    steps: dict[str, Any] = Field(description="What each finished step found.", examples=[{}])
    waits: dict[str, Any] = Field(description="What steps that are looked at again remember.", examples=[{}])
    problem: Problem | None = Field(description="Null unless it ended otherwise than promoted.")
    report: str | None = Field(
        description="Where its report lies in the data bucket, once it is over.",
        examples=["reports/digits/run/20260314T150926Z-9f86d081884c.json"],
    )


class RunList(BaseModel):
    runs: list[RunDocument] = Field(description="Newest first.")


class ApprovalDocument(BaseModel):
    """The question whether a version may be released, and its answer."""

    model: str = Field(examples=["digits"])
    version: int = Field(examples=[8])
    run: str = Field(description="The run that asks.", examples=["20260314T150926Z-9f86d081884c"])
    asked_at: Time
    expires_at: Time
    answer: Literal["approve", "reject"] | None = Field(examples=["approve"])
    actor: str | None = Field(description="From the caller's token.", examples=["client:7example23client45"])
    why: str | None = Field(examples=["Agreed with the fraud team."])


class Approving(documents.Order):
    """A yes to a version that a run asks about."""


def add_runs(router: APIRouter, runs: Runs) -> APIRouter:
    @router.get("/{model}/runs", summary="Runs of the learning pipeline, newest first")
    async def runs_of(model: Name, page: Annotated[RunPage, Query()]) -> RunList:
        return RunList(runs=[_run(run) for run in runs.newest(model, limit=page.limit)])

    @router.get("/{model}/runs/{run}", summary="A run: what each step found, and how it ended")
    async def run(model: Name, run: RunName) -> RunDocument:
        return _run(runs.seen(model, run))

    return router


def approval_document(answered: Approval) -> ApprovalDocument:
    times = {"asked_at": _time(answered.asked_at), "expires_at": _time(answered.expires_at)}
    return ApprovalDocument.model_validate(answered.to_document() | times)


def wake(token: str) -> None:
    """Let the Step Functions execution that waits with this token go on; one that is not reached looks by itself."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answering.wake(_executions(), token)
    except (BotoCoreError, ClientError) as error:  # the answer is kept, and its entry in the audit is still to come
        logger.warning("a run was not woken", extra={"reason": str(error)})


def ask(execution: str) -> Status | None:
    """Whether Step Functions still works on a run of which nothing was heard for a while."""
    from botocore.exceptions import BotoCoreError

    try:
        return described(_executions(), execution)
    except BotoCoreError:  # the record alone is an answer too
        return None


def _executions() -> Any:
    """A client of Step Functions that gives up before its caller does."""
    import boto3  # Lambda's runtime has it; only who asks after a run or answers one pays its import
    from botocore.config import Config

    hurried = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2})
    return boto3.client("stepfunctions", config=hurried)


def _run(run: Run) -> RunDocument:
    times = {"started_at": _time(run.started_at), "updated_at": _time(run.updated_at)}
    document = run.to_document()
    return RunDocument.model_validate(document | times | {"upload": document["upload"] | {"at": _time(run.upload.at)}})


def _time(seconds: float) -> str:
    return rfc3339(int(seconds * 1000))
