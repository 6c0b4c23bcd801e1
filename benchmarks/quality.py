"""Labels that have arrived become figures: how long that takes and in how much memory, for ten and twenty thousand."""

import gzip
import time
import tracemalloc
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from benchmarks.machine import versions
from benchmarks.measurement import alternate, figure, ratio
from benchmarks.progress import Tell, silence
from benchmarks.report import figures_table, targets_table
from benchmarks.result import Figure, Ratio, Result, Target
from lastmile.capture import Capture, Recording
from lastmile.feedback import Feedback, write
from lastmile.labelled import hour_folder
from lastmile.manifest import Artefact, Manifest
from lastmile.quality import quality
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import Signature, TensorSpec
from lastmile.ulid import new_ulid

TITLE = "Quality from labels"
MODEL = "measured"
FEW, MANY = 10_000, 20_000
DAYS, DAY, HOUR = 20, 86_400.0, 3600.0
START = 20_000 * DAY
MEGABYTES, SECONDS = 256.0, 30.0
SPEC = ModelSpec(
    MODEL,
    "classification",
    "",
    (TensorSpec("x", "FP32", (-1, 8)),),
    (TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, 2), ("0", "1"))),
)
GROWTH = "processor seconds, 20,000 labels / 10,000"
TIME = "processor seconds of 20,000 labels / 30"
MEMORY = "memory of 20,000 labels / 256 MB"


def run(quick: bool, tell: Tell = silence) -> Result:
    stores = {}
    for count in (FEW, MANY):
        tell(f"storing {count:,} labels")
        stores[count] = labelled(count)
    contenders = {f"{count:,} labels": partial(seconds, store, count) for count, store in stores.items()}
    samples = alternate(contenders, rounds=3 if quick else 7, tell=tell)
    tell("memory")
    peak = megabytes(stores[MANY])
    few, many = samples.values()
    figures = {name: figure(found, "s") for name, found in samples.items()}
    figures["20,000 labels, memory"] = Figure.count(peak, "MB")
    middle = figures[f"{MANY:,} labels"]
    ratios = {
        GROWTH: ratio(many, few),
        TIME: Ratio(middle.median / SECONDS, middle.low / SECONDS, middle.high / SECONDS),
        MEMORY: Ratio.exact(peak / MEGABYTES),
    }
    targets = {GROWTH: Target(at_most=2.5), TIME: Target(at_most=1.0), MEMORY: Target(at_most=1.0)}
    return Result(figures, ratios, targets, versions("obstore"))


def labelled(count: int) -> Store:
    """Single predictions over twenty days, one object of captures per hour, and a label for each."""
    store, random = Store.open("memory://", environ={}), np.random.default_rng(0)
    recording = Recording.of(
        Manifest(
            model=MODEL,
            version=1,
            created_at="2026-01-01T00:00:00.000Z",
            artefact=Artefact("model.onnx", "0" * 64, 1),
            signature=Signature(SPEC.inputs, SPEC.outputs),
            metrics={},
            lineage={},
            compression={},
            policy=SPEC.policy(),
        )
    )
    lines: list[bytes] = []
    times = START + np.arange(count) * (DAYS * DAY / count)
    labels, rows = [], random.normal(size=(count, 1, 8)).astype(np.float32)
    capture = Capture(write=lines.append)
    for at, row in zip(times.tolist(), rows, strict=True):
        sure = np.array([[0.3, 0.7]] if row[0, 0] > 0 else [[0.8, 0.2]], np.float32)
        name = new_ulid(at)
        capture(
            prediction_id=name,
            at=at,
            role="champion",
            milliseconds=1.0,
            recording=recording,
            inputs={"x": row},
            outputs={"label": sure.argmax(axis=1), "probabilities": sure},
        )
        labels.append(Feedback(MODEL, name, 0, int(row[0, 0] + row[0, 1] > 0), "benchmark", at + HOUR, at + HOUR))
    for hour, some in groupby(zip(times.tolist(), lines, strict=True), key=lambda pair: pair[0] // HOUR):
        packed = gzip.compress(b"".join(line for _, line in some), mtime=0)
        store.put(f"{hour_folder(MODEL, hour * HOUR)}/one.jsonl.gz", packed)
    write(store, labels)
    return store


def seconds(store: Store, count: int) -> float:
    started = time.process_time()
    found = measured(store)
    took = time.process_time() - started
    assert found["labels"]["joined"] == count
    return took


def megabytes(store: Store) -> float:
    """Beyond what was there before, at its highest."""
    tracemalloc.start()
    try:
        measured(store)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def measured(store: Store) -> dict[str, Any]:
    return quality(store, SPEC, since=START, until=START + DAYS * DAY)


def describe(document: dict[str, Any]) -> str:
    text = (
        "What `lastmile quality` computes: labels of single predictions, one object each as they arrive, joined to "
        f"captures of {DAYS} days, and all figures of a classifier with their intervals, over all and for each day. "
        "The store is in memory, and the seconds are of the processor; from S3 the labels are read 32 at a time.\n"
    )
    return "\n".join((text, targets_table(document), figures_table(document)))
