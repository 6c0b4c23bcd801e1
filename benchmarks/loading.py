"""Model loading: from S3 to the first answer, against downloading to a folder and loading from there."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks import s3
from benchmarks.environments import BENCH
from benchmarks.isolated import WORKERS, WorkerFailed
from benchmarks.machine import versions
from benchmarks.matmul import INPUT, perceptron
from benchmarks.measurement import alternate, figure, ratio
from benchmarks.plot import Bar, bars
from benchmarks.progress import Tell, silence, within
from benchmarks.report import number, ratios_table, table
from benchmarks.result import Figure, Ratio, Result, Target
from lastmile.model import OnnxModel
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store

TITLE = "Model loading"
WIDTHS = {1: (512, 512), 20: (1024,) * 6, 100: (2048,) * 7}  # of perceptrons of so many megabytes
OURS, FILE, MEMORY = "Lastmile", "download_file", "get_object"
WAYS = {OURS: "ours", FILE: "boto3_file", MEMORY: "boto3_memory"}
TARGETS = {100: Target(at_least=2.0)}
ENVIRON = {"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
TOLERANCE = 1e-5  # sums of thousands of products; sessions with more threads add them up in another order


@dataclass(frozen=True)
class Load:
    """Seconds from nothing in memory to the first answer, in a process of its own, which is checked."""

    way: str
    megabytes: int
    endpoint: str
    wanted: np.ndarray[Any, Any]
    reports: list[dict[str, float]] = field(default_factory=list)

    def __call__(self) -> float:
        with tempfile.TemporaryDirectory(prefix="lastmile-bench-") as folder:
            order = {
                "uri": f"s3://{s3.BUCKET}",
                "bucket": s3.BUCKET,
                "environ": {**ENVIRON, "AWS_ENDPOINT_URL": self.endpoint},
                "model": _name(self.megabytes),
                "key": f"models/{_name(self.megabytes)}/versions/1/model.onnx",
                "input": INPUT,
                "width": WIDTHS[self.megabytes][0],
                "folder": folder,
            }
            command = [sys.executable, str(WORKERS / "loading.py"), self.way, json.dumps(order)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise WorkerFailed(f"loading, {self.way}: {done.stderr.strip()}")
        report = json.loads(done.stdout.splitlines()[-1])
        np.testing.assert_allclose(report["answer"], self.wanted, rtol=TOLERANCE, atol=TOLERANCE)
        self.reports.append(report)
        return float(report["seconds"])


def run(quick: bool, tell: Tell = silence) -> Result:
    figures: dict[str, Figure] = {}
    ratios: dict[str, Ratio] = {}
    with s3.running(_registry()) as endpoint:
        for megabytes in WIDTHS:
            wanted = _answer(megabytes)
            ways = [OURS, FILE] if quick else list(WAYS)
            loads = {name: Load(WAYS[name], megabytes, endpoint, wanted) for name in ways}
            samples = alternate(loads, rounds=3 if quick else 11, tell=within(tell, f"{megabytes} MB"))
            for name, seconds in samples.items():
                label, reports = f"{megabytes} MB: {name}", loads[name].reports
                figures[label] = figure([1e3 * second for second in seconds], "ms")
                figures[f"{label}, computing"] = figure([1e3 * report["cpu_seconds"] for report in reports], "ms")
                figures[f"{label}, memory"] = figure([report["peak_mb"] for report in reports], "MB")
            for other in ways[1:]:
                ratios[_ratio(megabytes, other)] = ratio(samples[other], samples[OURS], better="higher")
    targets = {_ratio(megabytes, FILE): target for megabytes, target in TARGETS.items()}
    return Result(figures, ratios, targets, versions("boto3", "obstore"))


def describe(document: dict[str, Any]) -> str:
    figures = document["figures"]
    labels = [f"{megabytes} MB: {name}" for megabytes in WIDTHS for name in WAYS]
    labels = [label for label in labels if label in figures]
    rows = [
        (label, *(number(figures[f"{label}{what}"]["median"]) for what in ("", ", computing", ", memory")))
        for label in labels
    ]
    largest = [label for label in labels if label.startswith("100 MB")]
    shown = [Bar(label.partition(": ")[2], figures[label], is_ours=label.endswith(OURS)) for label in largest]
    return "\n".join(
        (
            "From S3 to the first answer, in a fresh process that has imported everything and made its client: ours is "
            "the whole Predictor (release, manifest, file, digest, signature, session, run), the others are boto3's "
            "`download_file` to a folder and a session on that path, and `get_object` and a session on its bytes. S3 "
            f"is a stand-in on this machine that answers {1e3 * s3.LATENCY_SECONDS:.0f} ms late and sends "
            f"{s3.BYTES_PER_SECOND / 1e6:.0f} MB/s over one connection; it shares the machine's "
            f"{document['machine']['cores']} cores. The models are perceptrons. Computing is the time of all threads, "
            "memory what the process grew by at its highest.\n",
            bars("loading", "100 MB: milliseconds from S3 to the first answer", shown),
            ratios_table(document),
            table(("", "ms", "computing, ms", "memory, MB"), rows),
            _why(document),
        )
    )


def _why(document: dict[str, Any]) -> str:
    figures, target = document["figures"], document["targets"][_ratio(100, FILE)]
    ours = figures[f"100 MB: {OURS}"]["median"]
    text = (
        "The release is read first; then manifest and file are asked for together, the file in pieces of 2 MB over 24 "
        "connections. Each piece goes through a pipe into ONNX Runtime's parser while the next ones arrive, and into "
        "the digest, which has to be right before anything is answered. What "
        "costs most is memory touched for the first time: bytes in memory, as one would write it, touch four times "
        "the file (98,000 pages for 100 MB: the bytes, ONNX Runtime's copy of them, the parsed graph, the weights), "
        "a path three times, the pipe twice, and in huge pages.\n"
    )
    if target["reached"]:
        return text
    return text + (
        f"\n**What is not reached, and why.** Of {number(ours)} ms, ONNX Runtime needs about 110 after the last byte "
        "(25 to copy the weights out of the parsed graph, 85 to pack them for its products), SHA-256 needs 80 of "
        "one core, the release 12; receiving 100 MB takes the rest, and all of it shares the cores with the S3 that it "
        "is measured against. Tried: a file in memory instead of the pipe (40 ms slower), weights handed over as "
        "external data (they are copied all the same) or in ORT's own format (parsed in 250 ms instead of 200), no "
        "graph optimisation (nothing saved), no packing (100 ms saved, but products of 2 to 8 rows take three times as "
        "long from then on), pieces of 1, 4 and 8 MB and 12 to 48 connections.\n"
    )


def _name(megabytes: int) -> str:
    return f"perceptron-{megabytes}"


def _ratio(megabytes: int, other: str) -> str:
    return f"{megabytes} MB: {other} / {OURS}"


def _registry() -> Path:
    """A folder that the stand-in serves: every model is version 1 and champion."""
    folder = BENCH / "loading"
    store = Store.open(folder.as_uri(), environ={})
    registry = Registry(store)
    for megabytes, widths in WIDTHS.items():
        if store.exists(f"models/{_name(megabytes)}/release.json"):
            continue
        data = perceptron(widths).read_bytes()
        graph = OnnxModel.open(data, threads=1).signature
        spec = ModelSpec(_name(megabytes), "regression", "", graph.inputs, graph.outputs)
        actor, why = "benchmark", "to be measured"
        manifest = registry.push(
            spec, data, signature=graph, actor=actor, why=why, metrics={}, lineage={}, compression={}
        )
        registry.promote(manifest.model, manifest.version, actor=actor, why=why)
    return folder


def _answer(megabytes: int) -> np.ndarray[Any, Any]:
    """What the file itself says to the worker's row."""
    widths = WIDTHS[megabytes]
    session = ort.InferenceSession(str(perceptron(widths)), providers=["CPUExecutionProvider"])
    rows = np.random.default_rng(0).random((1, widths[0]), dtype=np.float32)
    said: np.ndarray[Any, Any] = session.run(None, {INPUT: rows})[0].ravel()
    return said
