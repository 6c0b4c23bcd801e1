"""The bodies of requests and answers, with what the API's documentation says about them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lastmile.audit import LONGEST, VISIBLE

MOST_MEMBERS = 50  # of an object that is sent
LARGEST = 2**53 - 1  # beyond it JSON numbers are not exact for everybody
# Of an answer: Lambda takes 6 MB, https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MOST_BYTES = 5_900_000


def fitting[T: BaseModel](found: list[T]) -> list[T]:
    """As many as one answer holds, as a string in JSON, which is how Lambda hands it back; at least one."""
    room = MOST_BYTES
    for number, one in enumerate(found):
        text = one.model_dump_json()
        room -= len(text.encode()) + text.count('"') + text.count("\\") + 1
        if room < 0 and number:
            return found[:number]
    return found


def whole(value: object) -> object:
    """7.0 is an integer in JSON Schema, and so it is here; "7" and true are not."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


type Number = Annotated[int, Field(ge=1, le=LARGEST), BeforeValidator(whole)]
type Revision = Annotated[int, Field(ge=0, le=LARGEST), BeforeValidator(whole)]
type Why = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST["why"],
        pattern=VISIBLE,
        description="The reason, which is kept in the audit.",
        examples=["Better recall on the held-out week, agreed with the fraud team."],
    ),
]
type Expected = Annotated[
    Revision | None,
    Field(
        description="Only if the release is still at this revision; otherwise the answer is 409 and nothing moves.",
        examples=[7],
    ),
]


class Strict(BaseModel):
    """What is sent: unknown members are refused, and no type is bent into another."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def check_members(cls, value: Any) -> Any:
        """Each unknown one is an error of its own, which takes a kilobyte and more."""
        if isinstance(value, dict) and len(value) > MOST_MEMBERS:
            raise ValueError(f"{len(value):,} members are too many")
        return value


class Order(Strict):
    """What an order has in common."""

    why: Why


class Promotion(Order):
    expected_revision: Expected = None


class Canary(Order):
    version: Annotated[Number | None, Field(description="The challenger; null ends the canary.", examples=[8])] = None
    weight: Annotated[
        float, Field(ge=0, le=1, description="Its share of the requests; 0 ends the canary.", examples=[0.05])
    ]
    expected_revision: Expected = None


class Shadow(Order):
    version: Annotated[
        Number | None, Field(description="The version that runs beside; null ends it.", examples=[8])
    ] = None
    expected_revision: Expected = None


class Rollback(Order):
    expected_revision: Expected = None


class Rejection(Order):
    pass


class Page(BaseModel):
    """A part of a list. Unknown parameters are refused, so that a misspelt one is not taken for the whole list."""

    model_config = ConfigDict(extra="forbid")


class ModelPage(Page):
    limit: int = Field(1000, ge=1, le=1000, description="At most so many.")
    after: str = Field("", max_length=200, description="Only names after this one.")


class VersionPage(Page):
    limit: int = Field(20, ge=1, le=100, description="At most so many.")
    before: int | None = Field(None, ge=1, le=LARGEST, description="Only versions below this one.")


class AuditPage(Page):
    limit: int = Field(50, ge=1, le=100, description="At most so many.")
    before: str | None = Field(
        None,
        pattern="^[0-7][0-9A-HJKMNP-TV-Z]{25}$",
        description="Only entries older than the one with this id.",
        examples=["01ARZ3NDEKTSV4RRFFQ69G5FAV"],
    )


class Serving(BaseModel):
    """Which versions answer."""

    champion: int | None = Field(description="Answers, unless the challenger does.", examples=[7])
    challenger: int | None = Field(description="Answers a share of the requests: the canary.", examples=[8])
    weight: float = Field(description="The challenger's share, 0 to 1.", examples=[0.05])
    shadow: int | None = Field(
        description="Runs beside the one that answers; nobody sees its answers.", examples=[None]
    )
    previous: int | None = Field(description="The champion before, to which a rollback returns.", examples=[6])


class Link(BaseModel):
    """The entry before."""

    key: str = Field(examples=["audit/2026/03/14/01ARZ3NDEKTSV4RRFFQ69G5FAV.json"])
    sha256: str = Field(description="Over the bytes of that object.", examples=["9f86d081884c7d659a2feaa0c55ad015…"])


class AuditEntry(BaseModel):
    """Who did what, and what came of it."""

    id: str = Field(description="A ULID.", examples=["01ARZ3NDEKTSV4RRFFQ69G5FAV"])
    at: str = Field(description="RFC 3339, UTC.", examples=["2026-03-14T15:09:26.535Z"])
    model: str = Field(examples=["digits"])
    action: Literal[
        "create", "register", "approve", "promote", "canary", "shadow", "rollback", "reject", "block", "release"
    ]
    version: int | None = Field(description="The version it is about.", examples=[8])
    actor: str = Field(description="From the caller's token.", examples=["client:7example23client45"])
    why: str = Field(examples=["Better recall on the held-out week."])
    outcome: Literal["done", "conflict"] = Field(
        description="`conflict`: somebody else was faster, and nothing was moved."
    )
    from_revision: int = Field(examples=[6])
    to_revision: int = Field(examples=[7])
    before: Serving
    after: Serving
    previous: Link | None = Field(description="Null in a model's first entry.")


class Release(Serving):
    """Which versions of a model serve now."""

    model: str = Field(examples=["digits"])
    revision: int = Field(description="Counts the moves of what serves.", examples=[7])
    latest: int = Field(description="The highest version.", examples=[8])
    gaps: list[int] = Field(
        description="Numbers below `latest` that are no version: a push was cut short.", examples=[[]]
    )
    head: AuditEntry = Field(description="The newest audit entry.")


class Tensor(BaseModel):
    """A tensor of a signature."""

    name: str = Field(examples=["image"])
    datatype: str = Field(description="As the Open Inference Protocol names it.", examples=["FP32"])
    shape: list[int] = Field(description="-1 is any length.", examples=[[-1, 64]])
    columns: list[str] = Field(description="Names of the last axis, if it has names.", examples=[[]])
    nullable: bool
    pii: Literal["drop", "hash", "mask"] | None = Field(
        description="What becomes of personal data before it is captured: left out, hashed with the model's key, or "
        "with addresses and numbers replaced by their kind."
    )


class Signature(BaseModel):
    inputs: list[Tensor]
    outputs: list[Tensor]


class Artefact(BaseModel):
    """The model file."""

    path: str = Field(examples=["model.onnx"])
    sha256: str = Field(examples=["9f86d081884c7d659a2feaa0c55ad015…"])
    bytes: int = Field(examples=[21846])


class Rejected(BaseModel):
    """Who turned the version down, and why."""

    at: str = Field(examples=["2026-03-14T15:09:26.535Z"])
    actor: str = Field(examples=["user:ann"])
    why: str = Field(examples=["Worse for customers under 25."])
    entry: str = Field(description="Id of the audit entry.", examples=["01ARZ3NDEKTSV4RRFFQ69G5FAV"])


class Version(BaseModel):
    """A version's manifest."""

    model: str = Field(examples=["digits"])
    version: int = Field(examples=[8])
    created_at: str = Field(description="RFC 3339, UTC.", examples=["2026-03-14T15:09:26.535Z"])
    artefact: Artefact
    signature: Signature
    metrics: dict[str, Any] = Field(examples=[{"accuracy": 0.978}])
    lineage: dict[str, Any] = Field(description="What it was made from.", examples=[{"code": {"commit": "4f2a…"}}])
    compression: dict[str, Any] = Field(description="What was tried to make it smaller.", examples=[{}])
    policy: dict[str, Any] = Field(
        description="What serving needs of the spec; it moves with the version.",
        examples=[{"task": "classification", "capture": {"rate": 1.0}, "decision": None, "heavy": None}],
    )
    files: list[Artefact] = Field(description="Other files of the version.", examples=[[]])
    rejected: Rejected | None = Field(description="Null unless it was rejected.")


class Spec(BaseModel):
    """What the model is, as it was pushed last."""

    name: str = Field(examples=["digits"])
    task: str = Field(examples=["classification"])
    description: str = Field(examples=["Handwritten digits from 8 x 8 pixel images."])
    inputs: list[Tensor]
    outputs: list[Tensor]
    backend: str = Field(examples=["onnx"])
    features: dict[str, Any] = Field(description="What is known of columns: bounds, categories.", examples=[{}])
    training: dict[str, Any] | None = Field(description="How versions are trained from uploads.", examples=[None])
    gates: list[dict[str, Any]] = Field(description="What a trained version must reach.", examples=[[]])
    compression: dict[str, Any] = Field(examples=[{"metric": None, "max_loss": 0.005}])
    certificate: dict[str, Any] = Field(examples=[{"tolerance": 0.0001}])
    approval: dict[str, Any] = Field(examples=[{"policy": "auto", "expires_hours": 72.0}])
    canary: dict[str, Any] = Field(examples=[{"steps": [0.05, 0.25], "bake_seconds": 600.0}])
    capture: dict[str, Any] = Field(examples=[{"rate": 1.0}])
    drift: dict[str, Any] = Field(examples=[{"every_hours": 24.0, "window_hours": 24.0}])
    retrain: dict[str, Any] = Field(examples=[{"on_drift": False}])
    decision: dict[str, Any] | None = Field(description="What turns predictions into decisions.", examples=[None])
    heavy: dict[str, Any] | None = Field(description="When and how an endpoint answers.", examples=[None])


class Model(BaseModel):
    model: str = Field(examples=["digits"])
    spec: Spec | None = Field(description="Null until the first push is through.")
    release: Release


class Models(BaseModel):
    models: list[Release] = Field(description="By name; fewer than asked for where more would be too long.")
    next: str | None = Field(description="Give this as `after` for the next page; null at the end.", examples=[None])


class Versions(BaseModel):
    versions: list[Version] = Field(description="Newest first; fewer than asked for where more would be too long.")
    next: int | None = Field(description="Give this as `before` for the next page; null at the end.", examples=[None])


class Audit(BaseModel):
    entries: list[AuditEntry] = Field(description="Newest first.")
    next: str | None = Field(description="Give this as `before` for the next page; null at the end.", examples=[None])


class Refusal(BaseModel):
    """Why not."""

    error: str = Field(examples=["model 'digit' does not exist"])


class Incident(BaseModel):
    """Something nobody foresaw; the log has the rest under this id."""

    error: Literal["internal error"]
    id: str = Field(examples=["01ARZ3NDEKTSV4RRFFQ69G5FAV"])


class GatewayRefusal(BaseModel):
    """API Gateway's own words."""

    message: str = Field(examples=["Unauthorized"])
