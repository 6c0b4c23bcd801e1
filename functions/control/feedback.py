"""`POST /v1/feedback`: what was right, for predictions made before."""

import time
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import BaseModel, Field

from functions.control.documents import Strict
from lastmile import feedback
from lastmile.errors import InvalidFeedback, NotFound
from lastmile.feedback import (
    LARGEST_ROW,
    LONGEST_SOURCE,
    LONGEST_TEXT,
    MOST_AT_ONCE,
    MOST_GROUPS,
    MOST_ITEMS,
    RFC3339,
    ULID,
)
from lastmile.manifest import MODEL_NAME
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store

type Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
type Group = Annotated[str, Field(max_length=LONGEST_SOURCE)]
type Label = Text | int | float | Annotated[list[Text], Field(min_length=1, max_length=MOST_ITEMS)]


class Feedback(Strict):
    """A label for one row of a prediction."""

    model: str = Field(pattern=f"^{MODEL_NAME.pattern}$", examples=["digits"])
    prediction_id: str = Field(
        pattern=f"^{ULID.pattern}$", description="As it came with the answer.", examples=["01ARZ3NDEKTSV4RRFFQ69G5FAV"]
    )
    label: Label = Field(
        description="What was right: a class, a value, 1 for an anomaly, or the texts of the items taken.", examples=[3]
    )
    source: str = Field(min_length=1, max_length=LONGEST_SOURCE, description="Who says so.", examples=["review"])
    time: str = Field(
        pattern=f"^{RFC3339.pattern}$",
        description="When it became known, RFC 3339. Of several labels for one row the latest counts.",
        examples=["2026-03-14T15:09:26Z"],
    )
    row: int = Field(0, ge=0, le=LARGEST_ROW, description="The row of the request.", examples=[0])
    groups: dict[str, Group] = Field(
        default_factory=dict,
        max_length=MOST_GROUPS,
        description="The row's values of sensitive columns that the model is not given.",
        examples=[{}],
    )


class Accepted(BaseModel):
    accepted: int = Field(description="Labels in this request.", examples=[1])
    new: int = Field(description="Those that were not there yet.", examples=[1])


type Batch = Feedback | Annotated[list[Feedback], Field(min_length=1, max_length=MOST_AT_ONCE)]


def add_feedback(
    router: APIRouter, registry: Registry, data: Store, *, clock: Callable[[], float] = time.time
) -> APIRouter:
    @router.post("/v1/feedback", status_code=202, summary="Say what was right")
    async def give_feedback(batch: Annotated[Batch, Body()]) -> Accepted:
        """All of it or none: when one label is refused, nothing is kept."""
        given = batch if isinstance(batch, list) else [batch]
        specs = {name: _spec(registry, name) for name in sorted({one.model for one in given})}
        checked = list(_checked(given, specs, clock()))
        return Accepted(accepted=len(checked), new=feedback.write(data, checked))

    return router


def _checked(given: list[Feedback], specs: dict[str, ModelSpec | None], now: float) -> Iterable[feedback.Feedback]:
    for index, one in enumerate(given):
        document: dict[str, Any] = one.model_dump()
        try:
            yield feedback.checked(document, spec=specs[one.model], now=now)
        except InvalidFeedback as error:
            where = f"body[{index}]" if len(given) > 1 else "body"
            raise InvalidFeedback(f"{where}: {error}") from None


def _spec(registry: Registry, model: str) -> ModelSpec | None:
    """None while nothing was pushed to the end yet; raises ModelNotFound for a model that is not there at all."""
    try:
        return registry.spec(model)
    except NotFound:
        registry.release(model)
        return None
