"""What Prometheus is told (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

import os
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client import generate_latest as exposition
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from lastmile.predictor import Predictor, Record
from lastmile.protocols.messages import Response

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
        ProcessCollector(registry=own)
        self._children: dict[tuple[str, str, str, int], tuple[Counter, Histogram]] = {}
        self._run_children: dict[tuple[str, int, str], Histogram] = {}
        self._counted: dict[str, int] = {}

    def count(self, route: str, response: Response, seconds: float) -> None:
        headers = response.headers
        key = (route, headers.get("lastmile-model", ""), headers.get("lastmile-version", ""), response.status)
        children = self._children.get(key)
        if children is None:
            children = self._children[key] = (
                self._requests.labels(*key[:3], str(response.status)),
                self._latency.labels(route),
            )
        children[0].inc()
        children[1].observe(seconds)

    def recording(self, record: Record | None) -> Record:
        """`record`, and beside it the time that each run took."""

        def observe(**facts: Any) -> None:
            key = (facts["model"], facts["version"], facts["role"])
            child = self._run_children.get(key)
            if child is None:
                child = self._run_children[key] = self._runs.labels(*map(str, key))
            child.observe(facts["milliseconds"] / 1e3)
            if record is not None:
                record(**facts)

        return observe

    def follow(self, predictor: Predictor, *, dropped: int) -> None:
        """Take down the state of things, as it is now."""
        loaded: dict[str, int] = {}
        for model, _ in predictor.loaded_versions():
            loaded[model] = loaded.get(model, 0) + 1
        for release, failures in predictor.releases():
            self._revision.labels(release.model).set(release.revision)
            self._loaded.labels(release.model).set(loaded.get(release.model, 0))
            self._advance(self._failures.labels(release.model), f"failures {release.model}", failures)
        self._advance(self._dropped, "dropped", dropped)

    def response(self) -> Response:
        """All metrics, of all workers."""
        registry = self._registry
        if MULTIPROCESS_FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return Response(200, {"content-type": CONTENT_TYPE_LATEST}, exposition(registry))

    def close(self) -> None:
        """A worker that ends takes its gauges with it."""
        if MULTIPROCESS_FOLDER in os.environ:
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]

    def _advance(self, counter: Counter, name: str, total: int) -> None:
        counter.inc(total - self._counted.get(name, 0))
        self._counted[name] = total
