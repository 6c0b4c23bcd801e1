"""Answers that come later, alike in every protocol: 202 and a place to ask, and there the protocol's own answer.

The client's request is kept as it came. When the heavy side has answered, it is answered once more, by the same
function of the same protocol, over a predictor that has the outputs already.
"""

import math
import time
from collections.abc import Callable
from typing import Any

from lastmile.capture import Tier
from lastmile.errors import AnswerLater, EndpointUnavailable, ModelFailed, NotFound
from lastmile.heavy.backend import joined, rows_of
from lastmile.heavy.pending import Failed, Meta, Pending, Waiting
from lastmile.predictor import Decide, Later, Prediction, Predictor, Served
from lastmile.protocols.messages import JSON, Request, Response, provenance
from lastmile.tensors import Array, check_feeds, dump_json

OLDEST_CAPTURE = 82_800.0  # seconds: whoever keeps captures takes none that is a day older than its line
KEPT = ("content-encoding", "content-type", "inference-header-content-length", "x-amzn-sagemaker-target-model")

type Answer = Callable[[Any, Request], Response]


def accept(predictor: Predictor, later: AnswerLater, request: Request) -> Response:
    """Keep the request, hand it to the endpoint, say where its answer will be. Raises StoreUnavailable."""
    waiting: Later = later.facts
    served = waiting.served
    tiers = served.loaded.tiers
    assert tiers is not None
    feeds = waiting.feeds
    if later.rows is not None:
        feeds = {name: array[later.rows] for name, array in feeds.items()}
    parts = tiers.heavy.payloads(feeds, waiting.id)
    meta = Meta(
        id=waiting.id,
        model=served.model,
        version=served.version,
        role=served.role,
        at=waiting.at,
        reason=later.reason,
        endpoint=predictor.heavy.asynchronous(served.model, served.version),
        rows=later.rows,
        parts=[(rows, payload.content_type) for rows, payload in parts],
        asked={
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": {name: request.headers[name] for name in KEPT if name in request.headers},
        },
    )
    pending = predictor.heavy.pending
    assert pending is not None  # nothing is answered later where it is not
    pending.accept(meta, request.body, [payload for _, payload in parts])
    return _pending(meta, Waiting())


def look(predictor: Predictor, prediction_id: str, answer: Answer) -> Response:
    """202 while there is no answer, then what `answer` makes of the request kept; 200 and the reason where there will
    be none. Raises NotFound."""
    pending = predictor.heavy.pending
    if pending is None:
        raise NotFound("nothing is answered later here")
    meta = pending.meta(prediction_id)
    tiers = predictor.resolve(meta.model, version=meta.version, promised=True).loaded.tiers
    assert tiers is not None
    found = pending.answers(meta, tiers.heavy.decoded)
    if isinstance(found, Waiting):
        return _pending(meta, found)
    asked = Request(**meta.asked, body=pending.asked(meta))
    try:
        response = answer(_Settling(predictor, pending, meta, found), asked)
    except ModelFailed as error:
        return _state(meta, 200, "failed", error=str(error))
    response.headers["lastmile-state"] = "answered"
    return response


class _Settling:
    """A predictor for one request whose outputs are there, or for which there will be none."""

    def __init__(self, predictor: Predictor, pending: Pending, meta: Meta, found: "list[list[Array]] | Failed") -> None:
        self._predictor = predictor
        self._pending = pending
        self._meta = meta
        self._found = found

    def resolve(self, model: str, **_: Any) -> Served:
        loaded = self._predictor.resolve(self._meta.model, version=self._meta.version, promised=True).loaded
        return Served(self._meta.model, self._meta.version, self._meta.role, loaded)

    def run(
        self,
        served: Served,
        feeds: dict[str, Array],
        outputs: list[str] | None = None,
        *,
        decide: Decide | None = None,
        checked: bool = False,
    ) -> Prediction:
        if not checked:
            check_feeds(served.loaded.inputs, feeds)
        names = list(served.loaded.outputs) if outputs is None else outputs
        answered, tier = self._answered(served, names, feeds)
        if isinstance(answered, str):
            self._capture(served, feeds, {}, error=answered, tier=tier)
            raise ModelFailed(answered)
        self._capture(served, feeds, answered, decisions=None if decide is None else decide(answered), tier=tier)
        return Prediction(self._meta.id, served.model, served.version, served.role, answered, 0.0, tier)

    def _capture(self, served: Served, feeds: dict[str, Array], outputs: dict[str, Array], **told: Any) -> None:
        """Once, however often the answer is looked at; with no time in the model, since nobody here knows it."""
        meta, now = self._meta, time.time()
        if self._predictor.capture is None or not self._pending.is_first(meta):
            return
        self._predictor.capture(
            prediction_id=meta.id,
            at=meta.at if now - meta.at < OLDEST_CAPTURE else now,
            role=served.role,
            milliseconds=0.0,
            recording=served.loaded.recording,
            inputs=feeds,
            outputs=outputs,
            **told,
        )

    def _answered(
        self, served: Served, names: list[str], feeds: dict[str, Array]
    ) -> tuple[dict[str, Array] | str, Tier]:
        """The outputs, those of the light side where the heavy one has none that fit; else why there are none."""
        tiers, found = served.loaded.tiers, self._found
        assert tiers is not None
        heavy_rows = sum(rows for rows, _ in self._meta.parts)
        tier = Tier("heavy" if heavy_rows == rows_of(feeds) else "cascade", heavy_rows)
        try:
            if not isinstance(found, Failed):
                return tiers.settled(names, feeds, joined(found), self._meta.rows), tier
        except EndpointUnavailable as misfit:
            found = Failed(misfit.reason, str(misfit))
        if tiers.light is None:
            return found.error, tier
        return dict(zip(names, tiers.light.run(names, feeds), strict=True)), Tier("light", degraded=found.reason)


def _pending(meta: Meta, waiting: Waiting) -> Response:
    response = _state(meta, 202, "pending", reason=meta.reason)
    response.headers["location"] = f"/v1/predictions/{meta.id}"
    response.headers["retry-after"] = str(math.ceil(waiting.seconds))
    return response


def _state(meta: Meta, status: int, state: str, **more: str) -> Response:
    headers = {"content-type": JSON, **provenance(meta), "lastmile-state": state}
    document = {"prediction_id": meta.id, "state": state, "location": f"/v1/predictions/{meta.id}", **more}
    return Response(status, headers, dump_json(document))
