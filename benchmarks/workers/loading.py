"""From S3 to the first answer, in a fresh process: `loading.py <way> <order>`; the clock starts when all is imported.

The order is JSON: `uri`, `environ`, `model` (name), `key` (of the file), `input`, `width`, `folder` to download to.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np

type Order = dict[str, Any]
type Answer = Callable[[Any], Any]


def ours(order: Order) -> Answer:
    """The Predictor over the real registry: release, manifest, file, digest, signature."""
    from lastmile.model import threads_for
    from lastmile.predictor import Predictor
    from lastmile.registry import Registry
    from lastmile.store import Store

    registry = Registry(Store.open(order["uri"], environ=order["environ"]))
    predictor = Predictor(registry, threads=threads_for(None))

    def answer(rows: Any) -> Any:
        served = predictor.resolve(order["model"])
        return next(iter(predictor.run(served, {order["input"]: rows}).outputs.values()))

    return answer


def boto3_file(order: Order) -> Answer:
    """What most people write: `download_file` to a folder, and a session on that path."""
    import onnxruntime as ort

    client = _client(order)
    path = Path(order["folder"], "model.onnx")

    def answer(rows: Any) -> Any:
        client.download_file(order["bucket"], order["key"], str(path))
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(None, {order["input"]: rows})[0]

    return answer


def boto3_memory(order: Order) -> Answer:
    """One `get_object`, and a session on its bytes."""
    import onnxruntime as ort

    client = _client(order)

    def answer(rows: Any) -> Any:
        data = client.get_object(Bucket=order["bucket"], Key=order["key"])["Body"].read()
        session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
        return session.run(None, {order["input"]: rows})[0]

    return answer


def _client(order: Order) -> Any:
    import boto3
    from botocore.config import Config

    environ = order["environ"]
    return boto3.client(
        "s3",
        endpoint_url=environ["AWS_ENDPOINT_URL"],
        region_name=environ["AWS_REGION"],
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
        config=Config(s3={"addressing_style": "path"}),
    )


WAYS: dict[str, Callable[[Order], Answer]] = {"ours": ours, "boto3_file": boto3_file, "boto3_memory": boto3_memory}


def _peak_mb() -> float:
    """The most memory that this process has had (https://man7.org/linux/man-pages/man5/proc_pid_status.5.html)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1e3


def main(way: str, order: Order) -> None:
    rows = np.random.default_rng(0).random((1, order["width"]), dtype=np.float32)
    answer = WAYS[way](order)
    before = _peak_mb()
    started, computed = time.perf_counter(), time.process_time()
    said = answer(rows)
    took = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - computed}
    print(json.dumps({**took, "peak_mb": _peak_mb() - before, "answer": said.ravel().tolist()}))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
