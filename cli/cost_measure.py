"""What a request costs in time: measured on this machine right now, or as it was captured from a deployment."""

import math
import os
import statistics
import time
from typing import TYPE_CHECKING

from cli.cost_options import VCPU_MB, Measured
from cli.errors import CommandFailed
from cli.waiting import interruptible

if TYPE_CHECKING:
    from lastmile.model import OnnxModel
    from lastmile.profile import Profile
    from lastmile.registry import Registry
    from lastmile.tensors import Array, Signature

SECONDS = 1.5  # of measuring, for each number of threads
FEWEST, MOST = 5, 2000
HANDLER_MS = 0.6  # what a warm call of ours takes beside the model, as docs/performance.md measures it


def benchmark(registry: "Registry", model: str, version: int) -> Measured:
    """One row at a time, with one thread and with two; the row is zeros, whose answer takes as long as any other's."""
    from lastmile.heavy.making import zeros
    from lastmile.heavy.packaging import graph_of
    from lastmile.model import OnnxModel

    manifest = registry.manifest(model, version)
    data, before = graph_of(manifest, interruptible(lambda: registry.artefact(manifest))), _resident_mb()
    started = time.perf_counter()
    opened = OnnxModel.open(data, threads=1)
    load_ms = (time.perf_counter() - started) * 1000
    signature: Signature = manifest.signature
    feeds = {spec.name: zeros(spec, 1) for spec in signature.inputs}
    alone = _times(opened, feeds)
    memory = max(_resident_mb() - before, len(data) / 1e6)
    answers = opened.run(None, feeds)
    together = _times(OnnxModel.open(data, threads=2), feeds)
    middle = statistics.median(alone) + HANDLER_MS
    return Measured(
        p50_ms=middle,
        p99_ms=max(middle, _quantile(alone, 0.99) + HANDLER_MS),
        two_ms=min(middle, statistics.median(together) + HANDLER_MS),
        load_ms=load_ms,
        memory_mb=memory,
        request_bytes=float(sum(map(_bytes, feeds.values()))),
        response_bytes=float(sum(map(_bytes, answers))),
        handler_ms=HANDLER_MS,
        how=f"{len(alone):,} calls with one row each on one core of this machine, and {HANDLER_MS} ms for the handler",
    )


def captured(profile: "Profile", memory_mb: int, measured: Measured) -> Measured:
    """What a deployment of this memory has taken; the rest is as measured here. Raises CommandFailed without any."""
    if not profile.requests:
        raise CommandFailed("Nothing was captured in this time.", next_step="Leave out --captured to measure here.")
    p50, p99 = (_from_counts(profile, share) for share in (0.5, 0.99))
    factor = measured.factor(memory_mb)
    return Measured(
        p50 / factor,
        p99 / factor,
        measured.two_ms / measured.p50_ms * p50 / factor,
        measured.load_ms,
        measured.memory_mb,
        measured.request_bytes,
        measured.response_bytes,
        measured.handler_ms,
        f"{profile.requests:,} captured requests at {memory_mb} MB ({memory_mb / VCPU_MB:.2f} vCPU)",
    )


def _times(model: "OnnxModel", feeds: "dict[str, Array]") -> list[float]:
    """In milliseconds; the first calls are not counted."""
    for _ in range(3):
        model.run(None, feeds)
    found: list[float] = []
    until = time.perf_counter() + SECONDS
    while len(found) < FEWEST or (len(found) < MOST and time.perf_counter() < until):
        started = time.perf_counter()
        model.run(None, feeds)
        found.append((time.perf_counter() - started) * 1000)
    return found


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _from_counts(profile: "Profile", share: float) -> float:
    """The middle of the bin, as its edges grow by a quarter each."""
    from lastmile.profile import LATENCY_EDGES_MS

    wanted, seen = share * float(profile.latency.sum()), 0.0
    edges = (LATENCY_EDGES_MS[0], *LATENCY_EDGES_MS, LATENCY_EDGES_MS[-1])
    for place, count in enumerate(profile.latency.tolist()):
        seen += count
        if seen >= wanted:
            return math.sqrt(edges[place] * edges[place + 1])
    return edges[-1]


def _resident_mb() -> float:
    """Of this process; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:  # noqa: PTH123 as it is no file of anybody's
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0


def _bytes(array: "Array") -> int:
    """As a binary tensor, which is what an endpoint is sent."""
    from lastmile.binary import array_to_binary

    return len(array_to_binary(array)) if array.dtype.kind in "OUS" else array.nbytes
