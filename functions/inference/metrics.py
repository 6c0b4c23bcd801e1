"""What Prometheus is told (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

import os
from bisect import bisect_left
from collections.abc import Mapping
from math import fsum
from threading import Lock
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client import generate_latest as exposition
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from functions.inference.captures import Captures
from lastmile.capture import Recording, Tier
from lastmile.predictor import Predictor, Record
from lastmile.protocols.messages import Response
from lastmile.tensors import Array

MULTIPROCESS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # set by the server where it has several workers
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counts what passes the server door. Labels are routes, and models and versions that have answered: none can be
    made up by a client."""

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        self._requests = Counter(
            "lastmile_requests",
            "Requests of the prediction protocols.",
            ["route", "model", "version", "status"],
            registry=own,
        )
        self._latency = Histogram(
            "lastmile_request_seconds",
            "From the head of a request to its answer.",
            ["route"],
            buckets=SECONDS,
            registry=own,
        )
        self._runs = Histogram(
            "lastmile_model_run_seconds",
            "In the model alone.",
            ["model", "version", "role"],
            buckets=SECONDS,
            registry=own,
        )
        self._rows = Counter(
            "lastmile_rows",
            "Rows of versions that have a heavy side, by the side that answered them.",
            ["model", "version", "side"],
            registry=own,
        )
        self._heavy = Counter("lastmile_heavy_seconds", "Waiting for heavy sides.", ["model", "version"], registry=own)
        self._degraded = Counter(
            "lastmile_degraded",
            "Predictions of the light side in place of the heavy one.",
            ["model", "version", "reason"],
            registry=own,
        )
        self._revision = Gauge(
            "lastmile_release_revision",
            "The release that predictions follow; of several workers, the one furthest behind.",
            ["model"],
            registry=own,
            multiprocess_mode="livemin",
        )
        self._loaded = Gauge(
            "lastmile_loaded_versions", "Versions in memory.", ["model"], registry=own, multiprocess_mode="livesum"
        )
        self._failures = Counter(
            "lastmile_release_refresh_failures", "Readings of a release that failed.", ["model"], registry=own
        )
        self._dropped = Counter("lastmile_shadow_runs_dropped", "Shadow runs left out for want of room.", registry=own)
        self._lost = Counter("lastmile_captures_dropped", "Captures left out for want of room.", registry=own)
        self._refused = Counter("lastmile_captures_quarantined", "Captures put aside with a reason.", registry=own)
        self._waiting = Gauge(
            "lastmile_captures_waiting",
            "Captures not written yet: what a crash would lose.",
            registry=own,
            multiprocess_mode="livesum",
        )
        ProcessCollector(registry=own)
        self._answered: dict[tuple[str, str, str, int], _Tally] = {}
        self._ran: dict[tuple[str, int, str], _Tally] = {}
        self._counted: dict[str, int] = {}

    def count(self, route: str, response: Response, seconds: float) -> None:
        headers = response.headers
        key = (route, headers.get("lastmile-model", ""), headers.get("lastmile-version", ""), response.status)
        tally = self._answered.get(key)
        if tally is None:
            requests = self._requests.labels(*key[:3], str(response.status))
            tally = self._answered[key] = _Tally(self._latency.labels(route), requests)
        tally.add(seconds)

    def recording(self, record: Record | None) -> Record:
        """`record`, and beside it the time that each run took."""

        def observe(**facts: Any) -> None:
            of: Recording = facts["recording"]
            key = (of.model, of.version, facts["role"])
            tally = self._ran.get(key)
            if tally is None:
                tally = self._ran[key] = _Tally(self._runs.labels(*map(str, key)))
            tally.add(facts["milliseconds"] / 1e3)
            if facts.get("tier") is not None:
                self._tell_tier(of.model, str(of.version), facts["tier"], rows_of(facts["inputs"]))
            if record is not None:
                record(**facts)

        return observe

    def _tell_tier(self, model: str, version: str, tier: Tier, rows: int) -> None:
        """What a heavy side costs and saves: at its pace the light side's rows would have taken it so many seconds."""
        self._rows.labels(model, version, "heavy").inc(tier.heavy_rows)
        self._rows.labels(model, version, "light").inc(rows - tier.heavy_rows)
        self._heavy.labels(model, version).inc(tier.heavy_ms / 1e3)
        if tier.degraded is not None:
            self._degraded.labels(model, version, tier.degraded).inc()

    def follow(self, predictor: Predictor, *, dropped: int, captures: Captures | None = None) -> None:
        """Take down the state of things, as it is now."""
        self._enter()
        loaded: dict[str, int] = {}
        for model, _ in predictor.loaded_versions():
            loaded[model] = loaded.get(model, 0) + 1
        for release, failures in predictor.releases():
            self._revision.labels(release.model).set(release.revision)
            self._loaded.labels(release.model).set(loaded.get(release.model, 0))
            self._advance(self._failures.labels(release.model), f"failures {release.model}", failures)
        self._advance(self._dropped, "dropped", dropped)
        if captures is not None:
            self._advance(self._lost, "lost", captures.dropped)
            self._advance(self._refused, "refused", captures.refused)
            self._waiting.set(captures.waiting)

    def response(self) -> Response:
        """All metrics, of all workers."""
        self._enter()
        registry = self._registry
        if MULTIPROCESS_FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return Response(200, {"content-type": CONTENT_TYPE_LATEST}, exposition(registry))

    def close(self) -> None:
        """A worker that ends takes its gauges with it."""
        self._enter()
        if MULTIPROCESS_FOLDER in os.environ:
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]

    def _enter(self) -> None:
        for tally in (*self._answered.values(), *self._ran.values()):
            tally.enter()

    def _advance(self, counter: Counter, name: str, total: int) -> None:
        counter.inc(total - self._counted.get(name, 0))
        self._counted[name] = total


def rows_of(inputs: Mapping[str, Array]) -> int:
    return next((len(array) for array in inputs.values() if array.ndim), 1)


class _Tally:
    """Seconds that are yet to be entered in a histogram, and counted: entered one by one they take 2 µs each, which is
    a tenth of what answering a small request takes."""

    __slots__ = ("_counter", "_entering", "_histogram", "_seconds", "add")

    def __init__(self, histogram: Histogram, counter: Counter | None = None) -> None:
        self._histogram = histogram
        self._counter = counter
        self._seconds: list[float] = []
        self._entering = Lock()
        self.add = self._seconds.append

    def enter(self) -> None:
        with self._entering:
            count = len(self._seconds)
            seconds = self._seconds[:count]
            del self._seconds[:count]  # others append meanwhile
        if not seconds:
            return
        in_bucket = [0] * (len(SECONDS) + 1)
        for second in seconds:
            in_bucket[bisect_left(SECONDS, second)] += 1
        self._histogram._sum.inc(fsum(seconds))
        for bucket, found in zip(self._histogram._buckets, in_bucket, strict=True):
            if found:
                bucket.inc(found)
        if self._counter is not None:
            self._counter.inc(count)
