"""When a model is to be trained anew by itself: once per cause, and never more often than its cool-down allows."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress

from functions.drift.records import Document, move, read
from functions.drift.uploads import parquet
from lastmile.audit import rfc3339
from lastmile.bus import Bus
from lastmile.errors import NotFound
from lastmile.feedback import at_once, fits
from lastmile.labelled import Labelled
from lastmile.spec import ModelSpec
from lastmile.store import AlreadyExists, Store

WANTED = "RetrainWanted"  # for whoever wants to know: the upload is what starts the pipeline
MADE = re.compile(r"/(again|feedback)-[0-9TZ]+\.[a-z.]+$")  # uploads of our own
SUFFIX = re.compile(r"\.(?:csv|csv\.gz|jsonl|jsonl\.gz|parquet)$")  # of uploads that start the pipeline
SHADOW = "shadow"


class Retraining:
    """What follows from a check of one model. `record` is `reports/<model>/retrain.json`:

    `at` of the last start, `feedback_until` (the labels received by then are used up), and `pending`, what was decided
    and is not known to be done: whoever comes next does it, so that nothing is lost when a function dies half way.
    """

    def __init__(self, store: Store, bus: Bus, spec: ModelSpec) -> None:
        self._store = store
        self._bus = bus
        self._spec = spec
        self._record = f"reports/{spec.name}/retrain.json"

    def decide(self, *, drifted: Sequence[str], rows: Callable[[], Sequence[Labelled]], at: float) -> Document:
        """`drifted` are the features' names; `rows` gives all labelled rows there are. Returns what the report says."""
        self._finish(rows)
        policy = self._spec.retrain
        if not policy.on_drift and not policy.feedback_rows:
            return _said(False, None, "The spec asks for no training by itself.")
        before = read(self._store, self._record) or {}
        ready = before.get("at", float("-inf")) + policy.cooldown_hours * 3600
        if at < ready:
            return _said(False, None, f"Cooling down until {_moment(ready)}: nothing is started before.")
        cause, sentence, new = self._cause(drifted, rows, before.get("feedback_until", 0.0))
        if cause is None:
            return _said(False, None, sentence)
        newest = None if new else self._newest()
        if not new and newest is None:
            sentence += " There is no upload to learn from: the event alone says so."
        if not self._claim(cause, sentence, new, newest, at, before):
            return _said(False, None, "Another check was faster and has started it.")
        self._finish(rows)
        return _said(True, cause, sentence)

    def _finish(self, rows: Callable[[], Sequence[Labelled]]) -> None:
        """Do what was decided, now or by a check before that did not come to its end."""
        pending = (read(self._store, self._record) or {}).get("pending")
        if pending is None:
            return
        is_there = self._upload(pending, rows)
        self._bus.tell(WANTED, pending["event"] | {"upload": pending["upload"] if is_there else None})

        def done(found: Document | None) -> Document | None:
            return None if found is None or found.get("pending") != pending else found | {"pending": None}

        move(self._store, self._record, done)

    def _upload(self, pending: Document, rows: Callable[[], Sequence[Labelled]]) -> bool:
        """Whether there is something to learn from: what was decided on may be gone since."""
        if pending["upload"] is None or self._store.exists(pending["upload"]):
            return pending["upload"] is not None
        if pending["rows"]:
            new = _new(self._spec, rows(), pending["since"])
            chosen = [row for row in new if row.feedback.received <= pending["until"]]
            if chosen:
                with suppress(AlreadyExists):
                    self._store.create(pending["upload"], parquet(self._spec, chosen))
            return bool(chosen)
        try:
            self._store.copy(pending["copy"], pending["upload"])
        except NotFound:
            return False
        return True

    def _cause(
        self, drifted: Sequence[str], rows: Callable[[], Sequence[Labelled]], used: float
    ) -> tuple[str | None, str, list[Labelled]]:
        policy, training = self._spec.retrain, self._spec.training
        new: list[Labelled] = []
        count = ""
        if policy.feedback_rows:
            if training is None or training.target is None:
                count = "Feedback starts nothing: the spec has no [training] with a target."
            else:
                new = _new(self._spec, rows(), used)
                if len(new) >= policy.feedback_rows:
                    return "feedback", f"{len(new)} new labelled rows, {policy.feedback_rows} are enough.", new
                count = f"{len(new)} of {policy.feedback_rows} new labelled rows are there."
        if policy.on_drift and drifted:
            return "drift", f"Drifted: {', '.join(drifted[:10])}.", []
        return None, " ".join(part for part in (count, "Nothing has drifted." if policy.on_drift else "") if part), []

    def _newest(self) -> str | None:
        """The upload to learn from once more: the newest one that somebody has made."""
        uploads = filter(SUFFIX.search, self._store.list(f"training/{self._spec.name}"))
        paths = [path for path in uploads if not MADE.search(path)]
        times = at_once(lambda path: self._store.stat(path).modified, paths)
        return max(zip(times, paths, strict=True), default=(0.0, None))[1]

    def _claim(
        self, cause: str, sentence: str, new: Sequence[Labelled], newest: str | None, at: float, before: Document
    ) -> bool:
        """Whether it is ours to start: of all checks that decide the same, one gets to write the record."""
        stamp = _moment(at).replace("-", "").replace(":", "")[:15] + "Z"
        used = before.get("feedback_until", 0.0)
        name = f"feedback-{stamp}.parquet" if new else newest and f"again-{stamp}{_suffix(newest)}"
        until = max((row.feedback.received for row in new), default=used)
        pending = {
            "upload": f"training/{self._spec.name}/{name}" if name else None,
            "copy": newest,
            "rows": bool(new),
            "since": used,
            "until": until,
            "event": {"id": f"{self._spec.name}-{stamp}", "model": self._spec.name, "reason": sentence, "cause": cause},
        }
        after = {"at": at, "cause": cause, "feedback_until": until, "pending": pending}
        return move(self._store, self._record, lambda found: after if (found or {}) == before else None) is not None


def _suffix(path: str) -> str:
    """`.csv.gz` of `training/fraud/2026.03.csv.gz`."""
    found = SUFFIX.search(path)
    return found[0] if found else ""


def _new(spec: ModelSpec, rows: Sequence[Labelled], used: float) -> list[Labelled]:
    """Rows that callers were answered, whose labels have come since and are of the kind that the model answers."""
    return [
        row for row in rows if row.role != SHADOW and row.feedback.received > used and fits(row.feedback.label, spec)
    ]


def _said(wanted: bool, cause: str | None, sentence: str) -> Document:
    return {"started": wanted, "cause": cause, "sentence": sentence}


def _moment(at: float) -> str:
    return rfc3339(int(at * 1000))
